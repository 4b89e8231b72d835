/**
 * Where the packets of a batch belong, four at a time: the second half of placeBatch(), as wire/plain-kernel is of
 * parsePlainRows(). What is worked out here for each row is what zoneHash(), partOf() and bucketAtHome() say of one, and
 * a test compares them; placing takes 4 ns, against 6 in JavaScript (AMD EPYC, Node 20).
 *
 * Imports tracker, sharedarraybuffer-hashmap, wire/. Imported by process.
 */
import { BUCKET_MIX, BUCKET_WORDS, type SharedMap } from '../sharedarraybuffer-hashmap/index.js';
import { FACT, FAMILY_IPV6, IPPROTO, PROTOCOL_MASK } from '../wire/facts.js';
import { ZONE_MIX } from '../wire/hash.js';
import { columnAt, createColumn, FIRST_COLUMN, ROW_BYTES, ROW_MEMORY, ROW_REASON } from '../wire/rows.js';
import {
  add,
  and,
  anyTrue,
  broadcast,
  type Code,
  compileFunction,
  constant,
  equal,
  gather,
  get,
  i32,
  i32add,
  i32less,
  LANES,
  load,
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
  VECTOR_BYTES,
  WORD_BYTES,
} from '../wire/wasm.js';
import { NO_KEY, NO_REGION, ROW } from './tracker.js';

const { PLACE } = FIRST_COLUMN;
const [ACTION, ZONE, UNUSUAL] = [PLACE, PLACE + 1, PLACE + 2];
/** What placeBatch() puts in: first word of the packet's action, its zone, and not 0 for what is judgePacket()'s. */
export const PLACE_COLUMNS = {
  ACTION: createColumn(ACTION),
  ZONE: createColumn(ZONE),
  UNUSUAL: createColumn(UNUSUAL),
} as const;

// Locals. Given: bytes of each column that are in use, and what bucketAtHome() and partOf() go by.
const [END, REGIONS, BUCKETS_AT, BUCKETS_PER_REGION, BUCKET_SHIFT] = [0, 1, 2, 3, 4];
const PARAMETERS = 5;
const [AT, ROW_AT] = [5, 6];
const WORDS = 2;
const [PROTOCOL, HASH, KEY, NUMBER, REGION, HOME, REASON, SPARE0, SPARE1, SPARE2, SPARE3, HAS_PLACE, SEEN] = Array.from(
  { length: 13 },
  (_, at) => PARAMETERS + WORDS + at,
);
const VECTORS = 13;
const SPARE = [SPARE0, SPARE1, SPARE2, SPARE3];

const rows = Array.from({ length: LANES }, (_, lane) => ({ address: get(ROW_AT), offset: lane * ROW_BYTES }));
const column = (number: number): Code => load(get(AT), columnAt(number));
const zero = constant(0);

const fourPackets: Code = [
  ...set(PROTOCOL, gather(rows, offsetOf(FACT.PROTOCOL))),
  ...set(HASH, gather(rows, offsetOf(FACT.HASH))),
  ...set(REASON, gather(rows, offsetOf(ROW_REASON))),
  ...set(NUMBER, and(get(PROTOCOL), constant(PROTOCOL_MASK))),
  ...set(
    KEY,
    select(
      or(shiftLeft(column(ZONE), 16), get(PROTOCOL)),
      constant(NO_KEY),
      and(
        equal(or(column(UNUSUAL), gather(rows, offsetOf(FACT.FLAGS))), zero),
        or(equal(get(NUMBER), constant(IPPROTO.UDP)), equal(get(NUMBER), constant(IPPROTO.TCP))),
      ),
    ),
  ),
  ...set(REGION, shiftRight(multiply(shiftRight(get(HASH), 16), broadcast(REGIONS)), 16)),
  ...set(HASH, add(get(HASH), multiply(column(ZONE), constant(ZONE_MIX)))),
  // Two shifts, since one by 32, for a single bucket, would shift by 0.
  ...set(HOME, shiftRightBy(shiftRight(multiply(get(HASH), constant(BUCKET_MIX)), 1), BUCKET_SHIFT)),
  ...set(HOME, add(get(HOME), multiply(get(REGION), broadcast(BUCKETS_PER_REGION)))),
  ...set(HOME, add(broadcast(BUCKETS_AT), shiftLeft(get(HOME), Math.log2(BUCKET_WORDS)))),
  ...set(HAS_PLACE, equal(get(REASON), zero)),
  ...set(SEEN, or(get(SEEN), and(get(PROTOCOL), get(HAS_PLACE)))),
  ...set(REGION, select(get(REGION), constant(NO_REGION), get(HAS_PLACE))),
  ...set(HOME, and(get(HOME), get(HAS_PLACE))),
  ...scatter(rows, offsetOf(FACT.HASH), HASH),
  ...scatter(rows, offsetOf(ROW.KEY), KEY),
  // REGION, HOME and ACTION lie behind the parser's reason.
  ...transpose(rows, offsetOf(ROW_REASON), [get(REASON), get(REGION), get(HOME), column(ACTION)], SPARE),
  ...set(ROW_AT, i32add(get(ROW_AT), i32(LANES * ROW_BYTES))),
  ...set(AT, i32add(get(AT), i32(VECTOR_BYTES))),
];
const body = [...repeat(fourPackets, i32less(get(AT), get(END))), ...anyTrue(and(get(SEEN), constant(FAMILY_IPV6)))];
const kernel = compileFunction(ROW_MEMORY, PARAMETERS, WORDS, VECTORS, body);

/**
 * Writes KEY, REGION, HOME and ACTION of the first `count` rows of ROWS, at least one, and mixes their zone into HASH; in
 * a vector that is not full, also of rows behind them. Rows with a reason have no region.
 * @returns 1 when there is IPv6 among those that have one, otherwise 0
 */
export function placeRows(map: SharedMap, count: number): number {
  const { regions, bucketsAt, bucketsPerRegion, bucketShift } = map;
  return kernel(count * WORD_BYTES, regions, bucketsAt, bucketsPerRegion, bucketShift - 1);
}
