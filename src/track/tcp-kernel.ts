/**
 * The fast path of tcp.update(), as instructions of judge-kernel: data and acknowledgements between two sides that are
 * established. Neither changes its state, so that only the windows are left to look at, and to slide; what inWindow(),
 * slideWindows() and scalesInForce() say in tcp.ts, and a test compares all that comes of it.
 *
 * Imports tcp, wire/wasm. Imported by engine/judge-kernel.
 */
import {
  type Code,
  get,
  i32,
  i32add,
  i32and,
  i32atLeast,
  i32atMost,
  i32choose,
  i32equal,
  i32greater,
  i32isZero,
  i32left,
  i32less,
  i32load,
  i32multiply,
  i32or,
  i32right,
  i32store,
  i32subtract,
  i32xor,
  offsetOf,
  set,
  when,
} from '../wire/wasm.js';
import {
  ESTABLISHED,
  MAX_ACK_WINDOW,
  MAX_SCALE,
  ORIGINAL_PEER,
  PEER,
  PEER_WORDS,
  REPLY_PEER,
  SCALE_MASK,
  SCALE_OFFERED,
  SCALE_SHIFT,
  SCALE_UNKNOWN,
  SEQ_HIGH,
  SEQ_LOW,
  STATE_MASK,
  TCP_FLAG,
  WINDOW_SHIFT,
} from './tcp.js';

const { FIN, SYN, RST, ACK, URG } = TCP_FLAG;
/** Of the header word with data offset, flags and window: the flags that must be ACK alone, or ACK with PSH. */
const UNLIKE_DATA = (FIN | SYN | RST | ACK | URG) << 16;

/** Locals: of the function's own … */
export const TCP_LOCALS = [
  'src',
  'dst',
  'from',
  'to',
  'low',
  'other',
  'payload',
  'seq',
  'end',
  'srcScale',
  'dstScale',
  'window',
  'room',
] as const;
type TcpLocals = Readonly<Record<(typeof TCP_LOCALS)[number], number>>;

/** … and what it is given: first byte of the connection's record, 1 for the reply direction, and what the segment says. */
export interface Segment {
  readonly at: Code;
  readonly reply: Code;
  readonly sequence: Code;
  readonly acknowledgement: Code;
  /** The word with data offset, flags and window. */
  readonly header: Code;
  /** Bytes from the start of the TCP header to the end of the payload. */
  readonly bytes: Code;
  /** 1: sequence numbers are checked. */
  readonly checksSequence: Code;
}

const windowOf = (peer: Code): Code => i32right(peer, i32(WINDOW_SHIFT));
/** Whether sequence number `a` is `b` or comes after it, modulo 2^32. */
const notBefore = (a: Code, b: Code): Code => i32atLeast(i32subtract(a, b), i32(0));
const hasBits = (peer: Code, bits: number): Code => i32and(peer, i32(bits << SCALE_SHIFT));
/** The factor of one side: its own where both have offered one, the largest where neither is known, else none. */
const scaleInForce = (peer: number, both: Code): Code =>
  i32choose(
    i32and(i32right(get(peer), i32(SCALE_SHIFT)), i32(SCALE_MASK)),
    i32choose(i32(MAX_SCALE), i32(0), hasBits(both, SCALE_UNKNOWN)),
    hasBits(both, SCALE_OFFERED),
  );
const isEstablished = (peer: number): Code => i32and(i32xor(get(peer), i32(ESTABLISHED)), i32(STATE_MASK));

/**
 * Takes the segment apart. Leaves 1 when it is valid and slideWindows() is all that is left to do; 0 when it is
 * tcp.update()'s. Changes nothing in the table.
 */
export function checkSegment(L: TcpLocals, segment: Segment): Code {
  const { at, reply, sequence, acknowledgement, header, bytes, checksSequence } = segment;
  const both = i32and(get(L.from), get(L.to));
  const skew = i32subtract(get(L.other), acknowledgement);
  const farthestBack = i32subtract(get(L.low), i32left(windowOf(get(L.to)), get(L.dstScale)));
  const isInWindow = i32and(
    notBefore(i32load(get(L.src), offsetOf(SEQ_HIGH)), get(L.end)),
    notBefore(get(L.seq), farthestBack),
    i32atLeast(skew, i32(-MAX_ACK_WINDOW)),
    i32atMost(skew, i32left(i32(MAX_ACK_WINDOW), get(L.srcScale))),
  );
  const forward = i32multiply(reply, i32(offsetOf(PEER_WORDS)));
  return [
    ...set(L.src, i32add(at, i32(offsetOf(ORIGINAL_PEER)), forward)),
    ...set(L.dst, i32subtract(i32add(at, i32(offsetOf(REPLY_PEER))), forward)),
    ...set(L.from, i32load(get(L.src), offsetOf(PEER))),
    ...set(L.to, i32load(get(L.dst), offsetOf(PEER))),
    ...set(L.low, i32load(get(L.src), offsetOf(SEQ_LOW))),
    ...set(L.other, i32load(get(L.dst), offsetOf(SEQ_LOW))),
    ...set(L.payload, i32subtract(bytes, i32left(i32right(header, i32(28)), i32(2)))),
    // A segment that carries nothing may lie anywhere.
    ...set(L.seq, i32choose(sequence, get(L.low), get(L.payload))),
    ...set(L.end, i32add(get(L.seq), get(L.payload))),
    ...set(L.srcScale, scaleInForce(L.from, both)),
    ...set(L.dstScale, scaleInForce(L.to, both)),
    ...i32and(
      i32isZero(i32or(isEstablished(L.from), isEstablished(L.to))),
      i32equal(i32and(header, i32(UNLIKE_DATA)), i32(ACK << 16)),
      i32or(isInWindow, i32isZero(checksSequence)),
    ),
  ];
}

/** Takes the segment that checkSegment() has found valid into the windows of both sides. */
export function slideWindows(L: TcpLocals, { acknowledgement, header }: Segment): Code {
  const room = get(L.room);
  const limit = i32add(acknowledgement, i32choose(room, i32(1), room));
  return [
    ...set(L.window, i32and(header, i32(0xffff))),
    ...when(
      i32less(windowOf(get(L.from)), get(L.window)),
      i32store(
        get(L.src),
        offsetOf(PEER),
        i32or(i32and(get(L.from), i32((1 << WINDOW_SHIFT) - 1)), i32left(get(L.window), i32(WINDOW_SHIFT))),
      ),
    ),
    ...when(
      i32greater(i32subtract(get(L.end), get(L.low)), i32(0)),
      i32store(get(L.src), offsetOf(SEQ_LOW), get(L.end)),
    ),
    ...set(L.room, i32left(get(L.window), get(L.srcScale))),
    ...when(
      notBefore(i32add(acknowledgement, room), i32load(get(L.dst), offsetOf(SEQ_HIGH))),
      i32store(get(L.dst), offsetOf(SEQ_HIGH), limit),
    ),
  ];
}
