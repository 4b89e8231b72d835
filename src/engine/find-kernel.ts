/**
 * The record that each packet of a batch most likely belongs to, four packets at a time: the one in one of the two chosen
 * slots of its home bucket whose tag fits. That finds all records but one of twenty in a full table; a test compares what
 * it finds with the index. It also asks for the line of each record, as place-kernel does for the buckets.
 *
 * Imports row, touch, sharedarraybuffer-hashmap, wire/. Imported by process.
 */
import { CHOICES, NONE, type SharedMap, TAG_MIX } from '../sharedarraybuffer-hashmap/index.js';
import { FACT } from '../wire/facts.js';
import { columnAt, FIRST_COLUMN, ROW_BYTES, type Rows } from '../wire/rows.js';
import {
  add,
  and,
  bind,
  broadcast,
  type Code,
  compileFunction,
  constant,
  equal,
  gather,
  get,
  greater,
  i32,
  i32add,
  i32and,
  i32left,
  i32lessUnsigned,
  i32right,
  i32store,
  LANES,
  lane,
  multiply,
  not,
  numbered,
  offsetOf,
  pair,
  repeat,
  select,
  set,
  shiftLeft,
  shiftRight,
  shiftRightBy,
  signs,
  subtract,
  type WasmFunction,
  WORD_BYTES,
  when,
  xor,
} from '../wire/wasm.js';
import { ROW } from './row.js';
import { touchLines } from './touch.js';

/** First word of the column of the packets that were not found: their places in the batch. */
export const MISSING = columnAt(FIRST_COLUMN.FIND);
const MISSING_AT = MISSING * WORD_BYTES;

const LOCALS = { parameters: 9, words: 7, vectors: 12 };
/** Given: first byte of the rows, the place in the batch to begin with, the one to end before; the region that is held, the
 * number before its first record and its records; record bits; word of record 0, words of a record. */
const G = numbered(
  ['rowsAt', 'place', 'end', 'region', 'lowest', 'records', 'recordBits', 'recordsAt', 'recordWords'] as const,
  0,
);
const L = numbered(['rowAt', 'first', 'last', 'missing', 'misses', 'touched', 'lowestTag'] as const, LOCALS.parameters);
const V = numbered(
  [
    'hash',
    'home',
    'tag',
    'lowestTag',
    'tagBits',
    'first',
    'second',
    'isFirst',
    'isSecond',
    'record',
    'at',
    'spare',
  ] as const,
  LOCALS.parameters + LOCALS.words,
);

const lanes = Array.from({ length: LANES }, (_, number) => number);
const rows = lanes.map(number => ({ address: get(L.rowAt), offset: number * ROW_BYTES }));
const row = (word: number): Code => gather(rows, offsetOf(word));
/** First byte of what a vector counts in words. */
const bytes = (words: Code): Code => shiftLeft(words, Math.log2(WORD_BYTES));
/** The words at four places, and the tag taken away from each. */
const slotsAt = (places: number): Code =>
  gather(
    lanes.map(number => ({ address: lane(get(places), number), offset: 0 })),
    0,
  );
/** What firstChoice() and secondChoice() of buckets.ts say, in bytes from the start of the bucket; `low` are the bits of the hash. */
const chosen = (low: Code): Code =>
  bytes(add(constant(CHOICES.FIRST), shiftRight(multiply(and(low, constant(0xff)), constant(CHOICES.COUNT)), 8)));

const missed = (number: number): Code => [
  ...i32store(i32add(get(G.rowsAt), i32left(get(L.missing), i32(2))), MISSING_AT, i32add(get(G.place), i32(number))),
  ...set(L.missing, i32add(get(L.missing), i32and(i32right(get(L.misses), i32(number)), i32(1)))),
];

const fourPackets: Code = [
  ...set(V.hash, row(FACT.HASH)),
  ...set(V.home, bytes(row(ROW.HOME))),
  ...set(V.tag, and(multiply(xor(get(V.hash), shiftRight(get(V.hash), 15)), constant(TAG_MIX)), get(V.tagBits))),
  ...set(V.tag, select(get(V.lowestTag), get(V.tag), equal(get(V.tag), constant(0)))),
  ...set(V.first, add(get(V.home), chosen(get(V.hash)))),
  ...set(V.second, add(get(V.home), chosen(shiftRight(get(V.hash), 8)))),
  // What is left of a slot whose tag fits is a record number; of all others bits of the tag are left as well.
  ...set(V.first, xor(slotsAt(V.first), get(V.tag))),
  ...set(V.second, xor(slotsAt(V.second), get(V.tag))),
  ...set(V.isFirst, equal(shiftRightBy(get(V.first), G.recordBits), constant(0))),
  ...set(V.isSecond, equal(shiftRightBy(get(V.second), G.recordBits), constant(0))),
  ...set(V.record, select(get(V.first), and(get(V.second), get(V.isSecond)), get(V.isFirst))),
  // Neither a packet nor a record of another region is under this lock: findConnectionLocked() deals with the latter.
  ...set(
    V.record,
    and(
      get(V.record),
      equal(row(ROW.REGION), broadcast(G.region)),
      greater(get(V.record), broadcast(G.lowest)),
      not(greater(get(V.record), add(broadcast(G.lowest), broadcast(G.records)))),
    ),
  ),
  ...set(V.at, add(broadcast(G.recordsAt), multiply(get(V.record), broadcast(G.recordWords)))),
  ...pair(rows, offsetOf(ROW.CANDIDATE), get(V.record), get(V.at), V.spare),
  ...set(L.misses, signs(equal(get(V.record), constant(NONE)))),
  ...when(get(L.misses), lanes.flatMap(missed)),
  ...set(G.place, i32add(get(G.place), i32(LANES))),
  ...set(L.rowAt, i32add(get(L.rowAt), i32(LANES * ROW_BYTES))),
];

const module = compileFunction(LOCALS, [
  ...set(L.first, i32add(get(G.rowsAt), i32left(get(G.place), i32(Math.log2(ROW_BYTES))))),
  ...set(L.rowAt, get(L.first)),
  ...set(L.lowestTag, i32left(i32(1), get(G.recordBits))),
  ...set(V.lowestTag, broadcast(L.lowestTag)),
  ...set(V.tagBits, subtract(constant(0), get(V.lowestTag))),
  ...repeat(fourPackets, i32lessUnsigned(get(G.place), get(G.end))),
  ...set(L.last, get(L.rowAt)),
  ...touchLines(ROW.CANDIDATE_AT, { rowsAt: G.rowsAt, row: L.rowAt, first: L.first, end: L.last, touched: L.touched }),
  ...get(L.missing),
]);

/** findRowsLocked() of the rows of a thread. */
export const createFindKernel = ({ memory }: Rows): WasmFunction => bind(module, memory);

/**
 * Writes CANDIDATE and CANDIDATE_AT of the rows from place `from` to `count`, and perhaps of up to three before and
 * behind them. What is not found there, or is of another region than the one that is held, has no candidate; its places,
 * ascending, are in the column MISSING then.
 * @returns how many those are
 */
export function findRowsLocked(
  kernel: WasmFunction,
  { at }: Rows,
  map: SharedMap,
  region: number,
  from: number,
  count: number,
): number {
  const { recordBits, recordsAt, recordWords, recordsPerRegion } = map;
  const lowest = region * recordsPerRegion;
  return kernel(at, from & -LANES, count, region, lowest, recordsPerRegion, recordBits, recordsAt, recordWords);
}
