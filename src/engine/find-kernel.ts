/**
 * The record that each packet of a batch most likely belongs to: the first in its home bucket whose tag fits. The two slots
 * that its hash prefers are looked at for four packets at a time; that finds all records but one of twenty in a full table.
 * A test compares what it finds with the index. It also asks for the line of each record, as place-kernel does for the
 * buckets, and of the addresses of IPv6 connections.
 *
 * Imports row, touch, sharedarraybuffer-hashmap, track/connection, wire/. Imported by loop-kernel.
 */
import { CHOICES, NONE, TAG_MIX } from '../sharedarraybuffer-hashmap/index.js';
import { CONN } from '../track/connection.js';
import { FACT, FAMILY_IPV6 } from '../wire/facts.js';
import { ROW_BYTES } from '../wire/rows.js';
import {
  add,
  and,
  broadcast,
  type Code,
  constant,
  declareLocals,
  equal,
  type FunctionCode,
  gather,
  get,
  greater,
  i32,
  i32add,
  i32and,
  i32bytes,
  i32left,
  i32lessUnsigned,
  i32load,
  i32multiply,
  i32or,
  i32trailingZeros,
  i32xor,
  LANES,
  lane,
  load,
  multiply,
  not,
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
  WORD_BYTES,
  when,
  withLane,
  xor,
} from '../wire/wasm.js';
import { ROW } from './row.js';
import { leaveTouched, touchLines } from './touch.js';

/** Given: first byte of the rows, the place in the batch to begin with, the one to end before; the region that is held, the
 * number before its first record and its records; record bits; word of record 0, words of a record; 1 when there is IPv6 in
 * the batch, word of annex 0, words of an annex. */
const { locals, G, L, V } = declareLocals({
  given: [
    ...(['rowsAt', 'place', 'end', 'region', 'lowest', 'records', 'recordBits', 'recordsAt', 'recordWords'] as const),
    ...(['hasIpv6', 'annexesAt', 'annexWords'] as const),
  ],
  words: ['rowAt', 'first', 'last', 'misses', 'touched', 'tag', 'at', 'fits'],
  vectors: [
    ...(['hash', 'home', 'tag', 'lowestTag', 'tagBits', 'first', 'second', 'isFirst', 'isSecond'] as const),
    ...(['record', 'at', 'spare', 'wanted'] as const),
  ],
});

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

/** One bit for each of four slots of the bucket at `at`, from number `first` on, that the tag in `wanted` fits. */
const fitting = (first: number): Code =>
  signs(equal(shiftRightBy(xor(load(get(L.at), offsetOf(first)), get(V.wanted)), G.recordBits), constant(0)));
/** The first word of a bucket is no slot. */
const ALL_SLOTS = -2;

/** Looks through all of the home bucket of one of the four packets. */
const lookInBucket = (number: number): Code => [
  ...set(L.tag, lane(get(V.tag), number)),
  ...set(V.wanted, broadcast(L.tag)),
  ...set(L.at, lane(get(V.home), number)),
  ...set(
    L.fits,
    i32and(
      i32or(
        fitting(0),
        i32left(fitting(LANES), i32(LANES)),
        i32left(fitting(2 * LANES), i32(2 * LANES)),
        i32left(fitting(3 * LANES), i32(3 * LANES)),
      ),
      i32(ALL_SLOTS),
    ),
  ),
  ...when(
    get(L.fits),
    set(
      V.record,
      withLane(
        get(V.record),
        number,
        i32xor(i32load(i32add(get(L.at), i32bytes(i32trailingZeros(get(L.fits)))), 0), get(L.tag)),
      ),
    ),
  ),
];
/** The one packet of four that has number `number`, unless something was found for it. */
const lookFurther = (number: number): Code => when(i32and(get(L.misses), i32(1 << number)), lookInBucket(number));

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
  ...set(L.misses, signs(equal(get(V.record), constant(NONE)))),
  ...when(get(L.misses), lanes.flatMap(lookFurther)),
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
  ...set(G.place, i32add(get(G.place), i32(LANES))),
  ...set(L.rowAt, i32add(get(L.rowAt), i32(LANES * ROW_BYTES))),
];

/** Reads a word of the annex of each row whose candidate is an IPv6 connection. */
const touchAnnexes: Code = [
  ...set(L.rowAt, get(L.first)),
  ...repeat(
    [
      ...set(L.at, i32bytes(i32load(get(L.rowAt), offsetOf(ROW.CANDIDATE_AT)))),
      ...when(
        i32and(i32load(get(L.at), offsetOf(CONN.KEY)), i32(FAMILY_IPV6)),
        set(
          L.touched,
          i32xor(
            get(L.touched),
            i32load(
              i32bytes(
                i32add(get(G.annexesAt), i32multiply(i32load(get(L.at), offsetOf(CONN.SRC)), get(G.annexWords))),
              ),
              0,
            ),
          ),
        ),
      ),
      ...set(L.rowAt, i32add(get(L.rowAt), i32(ROW_BYTES))),
    ],
    i32lessUnsigned(get(L.rowAt), get(L.last)),
  ),
  ...leaveTouched(G.rowsAt, L.touched),
];

/**
 * Writes CANDIDATE and CANDIDATE_AT of the rows from place `place`, a multiple of four, to `end`, and perhaps of up to three
 * behind them. What is not in its home bucket, or is of another region than the one that is held, has no candidate.
 *
 * Given as the locals say; what is returned says nothing.
 */
export const FIND: FunctionCode = {
  locals,
  body: [
    ...set(L.first, i32add(get(G.rowsAt), i32left(get(G.place), i32(Math.log2(ROW_BYTES))))),
    ...set(L.rowAt, get(L.first)),
    ...set(L.tag, i32left(i32(1), get(G.recordBits))),
    ...set(V.lowestTag, broadcast(L.tag)),
    ...set(V.tagBits, subtract(constant(0), get(V.lowestTag))),
    ...repeat(fourPackets, i32lessUnsigned(get(G.place), get(G.end))),
    ...set(L.last, get(L.rowAt)),
    ...touchLines(ROW.CANDIDATE_AT, {
      rowsAt: G.rowsAt,
      row: L.rowAt,
      first: L.first,
      end: L.last,
      touched: L.touched,
    }),
    ...when(get(G.hasIpv6), touchAnnexes),
    ...i32(0),
  ],
};
