/**
 * The fast path of judgePacket(): TCP and UDP packets that were not judged before, whose candidate is their connection,
 * lives and stays in its state, under an action that only looks up and commits. It is allowed because the update and the
 * verdict are the same; what is left out are the questions whose answers are known here. Tests compare both, word for
 * word.
 *
 * Imports packet, row, track/, wire/, sharedarraybuffer-hashmap. Imported by loop-kernel, tracker.
 */
import { REASON } from '../reason.js';
import { RECORD } from '../sharedarraybuffer-hashmap/index.js';
import {
  ANNEX,
  CONN,
  STATUS_HELPED,
  STATUS_L4_MASK,
  STATUS_LABEL,
  STATUS_NAT,
  STATUS_POLICY_SHIFT,
} from '../track/connection.js';
import { OTHER } from '../track/other.js';
import { CT } from '../track/state.js';
import { checkSegment, slideWindows, TCP_LOCALS } from '../track/tcp-kernel.js';
import { TIMEOUT, TIMEOUT_POLICY_SIZE } from '../track/timeouts.js';
import { FACT, FAMILY_IPV6, IPPROTO, PROTOCOL_MASK } from '../wire/facts.js';
import { columnAt, FIRST_COLUMN, ROW_BYTES, ROW_SEGMENT } from '../wire/rows.js';
import {
  anyTrue,
  type Code,
  constant,
  declareLocals,
  either,
  type FunctionCode,
  f64add,
  f64greatest,
  f64less,
  f64load,
  f64store,
  get,
  i32,
  i32add,
  i32and,
  i32atMost,
  i32bytes,
  i32choose,
  i32differ,
  i32equal,
  i32isZero,
  i32left,
  i32lessUnsigned,
  i32load,
  i32multiply,
  i32or,
  i32right,
  i32store,
  i32subtract,
  i32xor,
  leaveIf,
  load,
  offsetOf,
  or,
  repeatOrLeave,
  set,
  store,
  WORD_BYTES,
  when,
  xor,
} from '../wire/wasm.js';
import { PACKET, PACKET_WORDS } from './packet.js';
import { ROW } from './row.js';

/** Connections that judgePacket() alone deals with. */
const STATUS_NOT_PLAIN = STATUS_LABEL | STATUS_NAT | STATUS_HELPED;
/** First word of a column, whose first two words hold the time of the latest packet. */
export const LATEST = columnAt(FIRST_COLUMN.JUDGE);

/** Given: first byte of the rows, that of the first row and of the one to end before, and of the first packet; the region
 * that is held; first byte of annex 0, bytes of an annex, first byte of the timeouts; 1 where sequence numbers are checked. */
const { locals, G, L, D } = declareLocals({
  given: ['rowsAt', 'row', 'end', 'packet', 'region', 'annexesAt', 'annexBytes', 'timeoutsAt', 'checksSequence'],
  words: [
    ...(['at', 'key', 'status', 'ports', 'annex', 'there', 'back', 'reply', 'isTcp', 'l4State', 'isValid'] as const),
    'first',
    ...TCP_LOCALS,
  ],
  doubles: ['now', 'latest'],
});

const conn = (word: number): Code => i32load(get(L.at), offsetOf(word));
const inRow = (word: number): Code => i32load(get(G.row), offsetOf(word));
const differ = (a: Code, b: Code): Code => i32xor(a, b);

/** Not 0 in `there` where the packet differs from the connection, in `back` where it differs from it turned round. */
const compareIpv4: Code = [
  ...set(
    L.there,
    i32or(get(L.there), differ(conn(CONN.SRC), inRow(FACT.SRC)), differ(conn(CONN.DST), inRow(FACT.DST))),
  ),
  ...set(L.back, i32or(get(L.back), differ(conn(CONN.SRC), inRow(FACT.DST)), differ(conn(CONN.DST), inRow(FACT.SRC)))),
];
/** The same of the addresses in the connection's annex. */
function compareIpv6(): Code {
  const address = (word: number): Code => load(get(L.annex), offsetOf(word));
  const fact = (word: number): Code => load(get(G.row), offsetOf(word));
  const differs = (src: number, dst: number): Code =>
    anyTrue(or(xor(address(ANNEX.SRC), fact(src)), xor(address(ANNEX.DST), fact(dst))));
  return [
    ...set(L.annex, i32add(get(G.annexesAt), i32multiply(conn(CONN.SRC), get(G.annexBytes)))),
    ...set(L.there, i32or(get(L.there), differs(FACT.SRC0, FACT.DST0))),
    ...set(L.back, i32or(get(L.back), differs(FACT.DST0, FACT.SRC0))),
  ];
}

const segment = {
  at: get(L.at),
  reply: get(L.reply),
  sequence: inRow(ROW_SEGMENT),
  acknowledgement: inRow(ROW_SEGMENT + 1),
  header: inRow(ROW_SEGMENT + 2),
  bytes: i32subtract(inRow(FACT.L4_END), inRow(FACT.L4)),
  checksSequence: get(G.checksSequence),
};

/** The state of other.ts stays when it is as high as a packet in this direction makes it: see stateAfter(). */
const staysInState = i32atMost(i32add(i32(OTHER.MULTIPLE), get(L.reply)), get(L.l4State));

const verdict = (word: number, value: Code): Code => i32store(get(G.packet), offsetOf(word), value);
const writeIpv4: Code = [
  ...verdict(PACKET.TUPLE_SRC + 3, conn(CONN.SRC)),
  ...verdict(PACKET.TUPLE_DST + 3, conn(CONN.DST)),
];
const writeIpv6: Code = [
  ...store(get(G.packet), offsetOf(PACKET.TUPLE_SRC), load(get(L.annex), offsetOf(ANNEX.SRC))),
  ...store(get(G.packet), offsetOf(PACKET.TUPLE_DST), load(get(L.annex), offsetOf(ANNEX.DST))),
];
const writeVerdict: Code = [
  ...verdict(
    PACKET.STATE,
    i32choose(
      i32add(i32(CT.EST | CT.TRK), i32multiply(get(L.reply), i32(CT.RPL))),
      i32(CT.NEW | CT.TRK),
      i32or(get(L.isTcp), i32equal(get(L.l4State), i32(OTHER.BOTH_WAYS))),
    ),
  ),
  ...verdict(PACKET.REASON, i32(REASON.none)),
  ...verdict(PACKET.ZONE, i32right(get(L.key), i32(16))),
  ...verdict(PACKET.MARK, conn(CONN.MARK)),
  ...store(get(G.packet), offsetOf(PACKET.LABEL), constant(0)),
  ...verdict(PACKET.TUPLE_PROTOCOL, i32and(get(L.key), i32(0xffff))),
  ...verdict(PACKET.TUPLE_PORTS, get(L.ports)),
  ...either(i32and(get(L.key), i32(FAMILY_IPV6)), writeIpv6, writeIpv4),
  ...verdict(PACKET.CONNECTION, inRow(ROW.CANDIDATE)),
  ...verdict(PACKET.GENERATION, conn(RECORD.GENERATION)),
];

const oneRow: Code = [
  ...set(L.at, i32bytes(inRow(ROW.CANDIDATE_AT))),
  ...set(L.key, inRow(ROW.KEY)),
  ...set(L.status, conn(CONN.STATUS)),
  ...leaveIf(
    i32or(
      i32differ(conn(CONN.KEY), get(L.key)),
      i32differ(inRow(ROW.REGION), get(G.region)),
      i32and(get(L.status), i32(STATUS_NOT_PLAIN)),
      i32isZero(i32and(conn(RECORD.GENERATION), i32(1))),
    ),
  ),
  ...set(L.ports, conn(CONN.PORTS)),
  ...set(L.there, differ(get(L.ports), inRow(FACT.PORTS))),
  ...set(L.back, differ(get(L.ports), inRow(FACT.PORTS_REVERSED))),
  ...either(i32and(get(L.key), i32(FAMILY_IPV6)), compareIpv6(), compareIpv4),
  ...leaveIf(i32and(i32differ(get(L.there), i32(0)), i32differ(get(L.back), i32(0)))),
  ...set(L.reply, i32differ(get(L.there), i32(0))),
  ...set(D.now, f64load(get(G.packet), offsetOf(PACKET.TIME))),
  // Asked this way round, an end or a time that is no number has come: see isExpired().
  ...leaveIf(i32isZero(f64less(get(D.now), f64load(get(L.at), offsetOf(CONN.EXPIRES))))),
  ...set(L.isTcp, i32equal(i32and(get(L.key), i32(PROTOCOL_MASK)), i32(IPPROTO.TCP))),
  ...set(L.l4State, i32and(get(L.status), i32(STATUS_L4_MASK))),
  ...either(get(L.isTcp), set(L.isValid, checkSegment(L, segment)), set(L.isValid, staysInState)),
  ...leaveIf(i32isZero(get(L.isValid))),
  ...when(get(L.isTcp), slideWindows(L, segment)),
  ...f64store(
    get(L.at),
    offsetOf(CONN.EXPIRES),
    f64add(
      get(D.now),
      f64load(
        i32add(
          get(G.timeoutsAt),
          i32left(
            i32add(
              i32multiply(i32right(get(L.status), i32(STATUS_POLICY_SHIFT)), i32(TIMEOUT_POLICY_SIZE)),
              // The timeouts of other.ts are numbered as its states are: see timeoutOf().
              i32choose(i32(TIMEOUT.tcp_established), i32add(i32(TIMEOUT.udp_first), get(L.l4State)), get(L.isTcp)),
            ),
            i32(Math.log2(Float64Array.BYTES_PER_ELEMENT)),
          ),
        ),
        0,
      ),
    ),
  ),
  ...set(D.latest, f64greatest(get(D.latest), get(D.now))),
  ...writeVerdict,
  ...set(G.packet, i32add(get(G.packet), i32(PACKET_WORDS * WORD_BYTES))),
  ...set(G.row, i32add(get(G.row), i32(ROW_BYTES))),
];

/**
 * Updates the connections of packets that come in a row, and writes their verdicts.
 *
 * Given as the locals say; returned is how many there were, up to the first that is judgePacket()'s, or another region's.
 */
export const JUDGE: FunctionCode = {
  locals,
  body: [
    ...set(L.first, get(G.row)),
    ...set(D.latest, f64load(get(G.rowsAt), offsetOf(LATEST))),
    ...repeatOrLeave(oneRow, i32lessUnsigned(get(G.row), get(G.end))),
    ...f64store(get(G.rowsAt), offsetOf(LATEST), get(D.latest)),
    ...i32right(i32subtract(get(G.row), get(L.first)), i32(Math.log2(ROW_BYTES))),
  ],
};
