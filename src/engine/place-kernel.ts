/**
 * Where the packets of a batch belong, four at a time: action, region and home bucket of each, and whether judge-kernel
 * may deal with it. What is worked out here for each row is what zoneHash(), partOf() and homeBucketAt() say of one, and a
 * test compares them.
 *
 * It also asks for the line of each packet's home bucket.
 *
 * Imports action, packet, row, touch, sharedarraybuffer-hashmap, wire/. Imported by loop-kernel.
 */
import { BUCKET_MIX, BUCKET_WORDS } from '../sharedarraybuffer-hashmap/index.js';
import { FACT, FAMILY_IPV6, IPPROTO, PROTOCOL_MASK } from '../wire/facts.js';
import { ZONE_MIX } from '../wire/hash.js';
import { ROW_BYTES, ROW_REASON } from '../wire/rows.js';
import {
  add,
  and,
  anyTrue,
  broadcast,
  type Code,
  constant,
  declareLocals,
  equal,
  type FunctionCode,
  gather,
  get,
  i32,
  i32add,
  i32bytes,
  i32lessUnsigned,
  LANES,
  lane,
  multiply,
  offsetOf,
  or,
  repeat,
  scatter,
  select,
  set,
  shiftLeft,
  shiftRight,
  shiftRightBy,
  transpose,
  WORD_BYTES,
} from '../wire/wasm.js';
import { ACTION, ACTION_WORDS, MAX_ACTIONS, NOT_PLAIN_ACTION } from './action.js';
import { PACKET, PACKET_WORDS } from './packet.js';
import { NO_KEY, NO_REGION, ROW } from './row.js';
import { touchLines } from './touch.js';

/** Given: first byte of the rows and of the one to end before, of the packets and of the actions; what homeBucketAt() and
 * partOf() go by. */
const { locals, G, L, V } = declareLocals({
  given: ['first', 'end', 'packet', 'actionsAt', 'regions', 'bucketsAt', 'bucketsPerRegion', 'bucketShift'],
  words: ['row', 'touched'],
  vectors: [
    ...(['protocol', 'hash', 'key', 'number', 'region', 'home', 'reason', 'hasPlace', 'seen'] as const),
    ...(['action', 'zone', 'unusual', 's0', 's1', 's2', 's3'] as const),
  ],
});
const SPARE = [V.s0, V.s1, V.s2, V.s3];

const lanes = Array.from({ length: LANES }, (_, number) => number);
const rows = lanes.map(number => ({ address: get(L.row), offset: number * ROW_BYTES }));
const packets = lanes.map(number => ({ address: get(G.packet), offset: number * PACKET_WORDS * WORD_BYTES }));
const zero = constant(0);
/** A word of the actions whose first words are `action`. */
const ofAction = (word: number): Code =>
  gather(
    lanes.map(number => ({
      address: i32add(get(G.actionsAt), i32bytes(lane(get(V.action), number))),
      offset: offsetOf(word),
    })),
    0,
  );

const fourPackets: Code = [
  ...set(
    V.action,
    multiply(and(gather(packets, offsetOf(PACKET.ACTION)), constant(MAX_ACTIONS - 1)), constant(ACTION_WORDS)),
  ),
  ...set(V.zone, ofAction(ACTION.ZONE)),
  ...set(
    V.unusual,
    or(and(ofAction(ACTION.FLAGS), constant(NOT_PLAIN_ACTION)), gather(packets, offsetOf(PACKET.STATE))),
  ),
  ...set(V.protocol, gather(rows, offsetOf(FACT.PROTOCOL))),
  ...set(V.hash, gather(rows, offsetOf(FACT.HASH))),
  ...set(V.reason, gather(rows, offsetOf(ROW_REASON))),
  ...set(V.number, and(get(V.protocol), constant(PROTOCOL_MASK))),
  ...set(
    V.key,
    select(
      or(shiftLeft(get(V.zone), 16), get(V.protocol)),
      constant(NO_KEY),
      and(
        equal(or(get(V.unusual), gather(rows, offsetOf(FACT.FLAGS))), zero),
        or(equal(get(V.number), constant(IPPROTO.UDP)), equal(get(V.number), constant(IPPROTO.TCP))),
      ),
    ),
  ),
  ...set(V.region, shiftRight(multiply(shiftRight(get(V.hash), 16), broadcast(G.regions)), 16)),
  ...set(V.hash, add(get(V.hash), multiply(get(V.zone), constant(ZONE_MIX)))),
  // Two shifts, since one by 32, for a single bucket, would shift by 0.
  ...set(V.home, shiftRightBy(shiftRight(multiply(get(V.hash), constant(BUCKET_MIX)), 1), G.bucketShift)),
  ...set(V.home, add(get(V.home), multiply(get(V.region), broadcast(G.bucketsPerRegion)))),
  ...set(V.home, add(broadcast(G.bucketsAt), shiftLeft(get(V.home), Math.log2(BUCKET_WORDS)))),
  ...set(V.hasPlace, equal(get(V.reason), zero)),
  ...set(V.seen, or(get(V.seen), and(get(V.protocol), get(V.hasPlace)))),
  ...set(V.region, select(get(V.region), constant(NO_REGION), get(V.hasPlace))),
  ...set(V.home, and(get(V.home), get(V.hasPlace))),
  ...scatter(rows, offsetOf(FACT.HASH), V.hash),
  ...scatter(rows, offsetOf(ROW.KEY), V.key),
  // REGION, HOME and ACTION lie behind the parser's reason.
  ...transpose(rows, offsetOf(ROW_REASON), [get(V.reason), get(V.region), get(V.home), get(V.action)], SPARE),
  ...set(L.row, i32add(get(L.row), i32(LANES * ROW_BYTES))),
  ...set(G.packet, i32add(get(G.packet), i32(LANES * PACKET_WORDS * WORD_BYTES))),
];
/**
 * Writes ACTION, KEY, REGION and HOME of the first `count` rows, at least one, and mixes their zone into HASH; in a
 * vector that is not full, also of rows behind them. Rows with a reason have no region.
 *
 * Given as the locals say; returned is 1 when there is IPv6 among those that have a region, otherwise 0.
 */
export const PLACE: FunctionCode = {
  locals,
  body: [
    ...set(L.row, get(G.first)),
    ...repeat(fourPackets, i32lessUnsigned(get(L.row), get(G.end))),
    ...touchLines(ROW.HOME, { rowsAt: G.first, row: L.row, first: G.first, end: G.end, touched: L.touched }),
    ...anyTrue(and(get(V.seen), constant(FAMILY_IPV6))),
  ],
};
