/**
 * The first part of wire/plain: where the headers of each frame of a batch lie, and the sums over what follows them.
 *
 * One packet at a time, since each may be of another family; what it finds is put into columns for plain-kernel, which
 * takes four packets at a time. What a checksum covers is summed up sixteen bytes at a time: 1460 bytes make a packet take
 * 65 ns more, those that it waits for them included (AMD EPYC, Node 20).
 *
 * Imports ethernet, ipv4, ipv6, known, plain-kernel, ports, rows, wasm. Imported by wire/plain.
 */
import { ETHERTYPE } from './ethernet.js';
import { IPV4_HEADER_BYTES } from './ipv4.js';
import { IPV6_HEADER_BYTES } from './ipv6.js';
import { KNOWN } from './known.js';
import { type ColumnName, type Family, IPV4, IPV6, NO_BYTES, placeOf } from './plain-kernel.js';
import { UDP_HEADER_BYTES } from './ports.js';
import { columnAt, FIRST_COLUMN, ROW_BYTES, ROW_REASON } from './rows.js';
import {
  add,
  addHalves,
  and,
  type Code,
  constant,
  declareLocals,
  either,
  type FunctionCode,
  get,
  i32,
  i32add,
  i32and,
  i32atLeast,
  i32atMost,
  i32choose,
  i32equal,
  i32isZero,
  i32left,
  i32lessUnsigned,
  i32load,
  i32load8,
  i32load16,
  i32or,
  i32right,
  i32store,
  i32subtract,
  lane,
  load,
  offsetOf,
  repeat,
  set,
  VECTOR_BYTES,
  WORD_BYTES,
  when,
} from './wasm.js';

/** What only parseFrame() deals with. */
const UNUSUAL = KNOWN.L3_CHECKSUM_BAD | KNOWN.L4_CHECKSUM_BAD | KNOWN.L3_OTHER;
const L3_NAMED = KNOWN.L3_IPV4 | KNOWN.L3_IPV6;
const L4_UNCHECKED = KNOWN.L4_CHECKSUM_GOOD | KNOWN.NO_CHECKSUMS;

const ETHERNET_BYTES = 14;
const TYPE_AT = 12;

/** Words of a span: where a frame lies and what is known of it. */
export const SPAN = {
  /** First byte of the frame in the frame memory, and its bytes. */
  START: 0,
  LENGTH: 1,
  /** Bits of KNOWN. */
  KNOWN: 2,
  /** Offset of the network layer; read only when KNOWN names it. */
  L3: 3,
} as const;

/** In place of a reason: parseFrame() is to be asked. */
const NOT_PLAIN = -1;

/**
 * First word of a column with sixteen bytes of ones, and as many of zeros behind them: masks for the last bytes of a sum.
 * The next is all zeros: the header of a frame that has none.
 */
const MASKS = columnAt(FIRST_COLUMN.SCAN);
const NOTHING = columnAt(FIRST_COLUMN.SCAN + 1);

/** Fills in what does not change. */
export function prepareScan(rows: Int32Array): void {
  rows.fill(-1, MASKS, MASKS + VECTOR_BYTES / WORD_BYTES);
}

/** Parts of the result. */
export const IPV4_COUNT = 0xff;
export const IPV6_COUNT_SHIFT = 8;

/** Given: first byte of the rows, that and the bytes of a column that are in use; first span, bytes from one to the next;
 * first byte of the frame memory, its bytes. */
const { locals, G, L, V } = declareLocals({
  given: ['rowsAt', 'end', 'span', 'spanBytes', 'framesAt', 'frameBytes'],
  words: [
    ...(['at', 'row', 'ipv4', 'ipv6At', 'start', 'known', 'l3', 'size', 'stop'] as const),
    ...(['address', 'length', 'sum', 'isInside', 'isIpv4'] as const),
  ],
  vectors: ['sums'],
});

const inSpan = (word: number): Code => i32load(get(G.span), offsetOf(word));
const hasBits = (bits: number): Code => i32and(get(L.known), i32(bits));
/** Two bytes in network order. */
const network16 = (address: Code, offset: number): Code =>
  i32or(i32left(i32load8(address, offset), i32(8)), i32load8(address, offset + 1));

const maskOfNone = i32add(get(G.rowsAt), i32(offsetOf(MASKS) + VECTOR_BYTES));
const more = (bytes: Code): Code => set(V.sums, add(get(V.sums), addHalves(bytes)));
const fold = set(L.sum, i32add(i32and(get(L.sum), i32(0xffff)), i32right(get(L.sum), i32(16))));

/** Sets `sum` to that of the bytes from `address` to `stop` as RFC 1071 has it, folded. */
const sumUp: Code = [
  ...set(V.sums, constant(0)),
  ...when(
    i32atLeast(i32subtract(get(L.stop), get(L.address)), i32(VECTOR_BYTES)),
    repeat(
      [...more(load(get(L.address), 0)), ...set(L.address, i32add(get(L.address), i32(VECTOR_BYTES)))],
      i32atLeast(i32subtract(get(L.stop), get(L.address)), i32(VECTOR_BYTES)),
    ),
  ),
  // What is left, and nothing of what lies behind it.
  ...more(and(load(get(L.address), 0), load(i32subtract(maskOfNone, i32subtract(get(L.stop), get(L.address))), 0))),
  ...set(L.sum, i32add(...[0, 1, 2, 3].map(number => lane(get(V.sums), number)))),
  ...fold,
  ...fold,
  // The halves were read in the order of this machine: the sum is then that of the network, swapped (RFC 1071 section 2).
  ...set(L.sum, i32and(i32or(i32left(get(L.sum), i32(8)), i32right(get(L.sum), i32(8))), i32(0xffff))),
];

/** Fills in the columns of a family, at byte `place` of them, and sums up what follows the header if that is to be known. */
function enter(family: Family, place: number, length: Code): Code {
  const put = (name: ColumnName, value: Code): Code => i32store(get(place), placeOf(family, name), value);
  return [
    ...set(L.address, i32add(get(G.framesAt), get(L.l3))),
    ...put('HEADER', get(L.address)),
    ...put('KNOWN', get(L.known)),
    ...put('L3', get(L.l3)),
    ...put('BYTES', get(L.size)),
    ...when(i32isZero(hasBits(L4_UNCHECKED)), [
      ...set(L.length, length),
      ...when(i32and(i32atLeast(get(L.length), i32(family.headerBytes)), i32atMost(get(L.length), get(L.size))), [
        ...set(L.stop, i32add(get(L.address), get(L.length))),
        ...set(L.address, i32add(get(L.address), i32(family.headerBytes))),
        ...sumUp,
        ...put('L4_SUM', get(L.sum)),
      ]),
    ]),
  ];
}

const littleEndian = (type: number): number => ((type & 0xff) << 8) | (type >>> 8);
const isNamed = hasBits(L3_NAMED);
const isOf = (name: number, type: number): Code =>
  i32choose(
    i32equal(isNamed, i32(name)),
    i32equal(i32load16(i32add(get(G.framesAt), get(L.start)), TYPE_AT), i32(littleEndian(type))),
    isNamed,
  );

/** What is not IPv4 has a place in the columns of IPv4 all the same. */
const skipIpv4: Code = [
  ...i32store(get(L.row), offsetOf(ROW_REASON), i32(NOT_PLAIN)),
  ...i32store(get(L.at), placeOf(IPV4, 'BYTES'), i32(NO_BYTES)),
  ...i32store(get(L.at), placeOf(IPV4, 'HEADER'), i32add(get(G.rowsAt), i32(offsetOf(NOTHING)))),
];
const isIpv6 = i32and(
  isOf(KNOWN.L3_IPV6, ETHERTYPE.IPV6),
  i32atLeast(get(L.size), i32(IPV6_HEADER_BYTES + UDP_HEADER_BYTES)),
);

const onePacket: Code = [
  ...set(L.start, inSpan(SPAN.START)),
  ...set(L.known, inSpan(SPAN.KNOWN)),
  ...set(L.l3, i32choose(inSpan(SPAN.L3), i32add(get(L.start), i32(ETHERNET_BYTES)), isNamed)),
  ...set(L.stop, i32add(get(L.start), inSpan(SPAN.LENGTH))),
  ...set(L.size, i32subtract(get(L.stop), get(L.l3))),
  ...set(
    L.isInside,
    i32and(
      i32atLeast(get(L.start), i32(0)),
      i32atMost(get(L.stop), get(G.frameBytes)),
      i32atLeast(get(L.l3), get(L.start)),
      i32atLeast(get(L.stop), get(L.l3)),
      i32atLeast(get(L.size), i32(IPV4_HEADER_BYTES + UDP_HEADER_BYTES)),
      i32isZero(hasBits(UNUSUAL)),
    ),
  ),
  ...set(L.isIpv4, i32(0)),
  ...when(get(L.isInside), set(L.isIpv4, isOf(KNOWN.L3_IPV4, ETHERTYPE.IPV4))),
  ...either(
    get(L.isIpv4),
    [...set(L.ipv4, i32add(get(L.ipv4), i32(1))), ...enter(IPV4, L.at, network16(get(L.address), 2))],
    [
      ...skipIpv4,
      ...when(
        get(L.isInside),
        when(isIpv6, [
          ...i32store(get(L.ipv6At), placeOf(IPV6, 'ROW'), get(L.row)),
          ...enter(IPV6, L.ipv6At, i32add(network16(get(L.address), 4), i32(IPV6_HEADER_BYTES))),
          ...set(L.ipv6At, i32add(get(L.ipv6At), i32(WORD_BYTES))),
        ]),
      ),
    ],
  ),
  ...set(G.span, i32add(get(G.span), get(G.spanBytes))),
  ...set(L.row, i32add(get(L.row), i32(ROW_BYTES))),
  ...set(L.at, i32add(get(L.at), i32(WORD_BYTES))),
];

/**
 * Given the first byte of the rows, that and the bytes of a column that are in use, the first byte of the first span, the
 * bytes from one to the next, and first byte and bytes of the frame memory.
 * @returns how many packets are IPv4, and shifted to the left how many are IPv6
 */
export const SCAN: FunctionCode = {
  locals,
  body: [
    ...set(L.at, get(G.rowsAt)),
    ...set(L.row, get(G.rowsAt)),
    ...set(L.ipv6At, get(G.rowsAt)),
    ...repeat(onePacket, i32lessUnsigned(get(L.at), get(G.end))),
    ...i32or(
      get(L.ipv4),
      i32left(i32subtract(get(L.ipv6At), get(G.rowsAt)), i32(IPV6_COUNT_SHIFT - Math.log2(WORD_BYTES))),
    ),
  ],
};
