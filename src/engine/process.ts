/**
 * The packet loop: a batch of packets in, a batch of verdicts out. Allocates nothing and throws nothing.
 *
 * A batch goes through three passes. The first parses and hashes every packet and touches its bucket; the second looks
 * up the first candidate of each and touches that record; the third judges the packets in order. Cache misses of
 * different packets overlap in the first two: with a million connections a packet takes 320 ns in batches of 32 and
 * 900 ns alone (UDP, Intel Xeon, Node 20).
 *
 * The lock of a region is kept while the next packet needs the same one. With packets steered by their hash a batch
 * pays for one lock; with packets from anywhere it pays for one each and gives the same verdicts.
 *
 * Imports fragments, release, judge, open-plain, place-kernel, verdict, hold, packet, action, counters, memory, tracker,
 * track/connection, wire/. Imported by engine/ and workers/.
 */
import { REASON } from '../reason.js';
import {
  firstCandidateLocked,
  likelyRecordLocked as likelyRecord,
  NONE as NO_RECORD,
  NO_SLOT,
  recordAt,
  recordInSlot,
  regionOfRecord,
} from '../sharedarraybuffer-hashmap/index.js';
import { annexOfConn } from '../track/connection.js';
import { FACT } from '../wire/facts.js';
import { isFragmentReason } from '../wire/fragment.js';
import { hashKey } from '../wire/hash.js';
import { KNOWN } from '../wire/known.js';
import { parseFrame } from '../wire/parse.js';
import { parsePlainRows } from '../wire/plain.js';
import {
  ROWS as ALL_ROWS,
  ROW_MASK as MASK_OF_ROW,
  MAX_BATCH,
  ROW_REASON as REASON_OF_ROW,
  ROW_WORDS as WORDS_OF_ROW,
} from '../wire/rows.js';
import { ACTION, MAX_ACTIONS, ACTION_WORDS as WORDS_OF_ACTION } from './action.js';
import { EVENT } from './counters.js';
import { judgeFragment } from './fragments.js';
import { holdRegion, leaveRegion } from './hold.js';
import { NOT_PLAIN_ACTION as ACTIONS_NOT_PLAIN, judgePacket, judgePlainRows } from './judge.js';
import { CONTROL } from './memory.js';
import { openPlainRows } from './open-plain.js';
import { PACKET, PACKET_WORDS as WORDS_OF_PACKET } from './packet.js';
import { PLACE_COLUMNS, placeRows } from './place-kernel.js';
import { settleFragments } from './release.js';
import { NO_REGION as NOWHERE, ROW, type Tracker } from './tracker.js';
import { rejectPacket } from './verdict.js';

// Bound again: what this module defines is folded into the code, what it imports is looked up at each use, and an
// imported function compared with the one that was inlined.
const { FRAME_OFFSET, FRAME_LENGTH, INPUT, L3_OFFSET, TIME, ACTION: P_ACTION, STATE, ZONE: P_ZONE } = PACKET;
const { HASH } = FACT;
const { ZONE: A_ZONE, FLAGS: A_FLAGS } = ACTION;
const { KEY0, KEY1 } = CONTROL;
const { REGION, HOME, CANDIDATE, CANDIDATE_AT } = ROW;
const { ACTION: ACTIONS, ZONE: ZONES, UNUSUAL } = PLACE_COLUMNS;
const PACKET_WORDS = WORDS_OF_PACKET;
const ROWS = ALL_ROWS;
const ROW_WORDS = WORDS_OF_ROW;
const ROW_MASK = MASK_OF_ROW;
const ROW_REASON = REASON_OF_ROW;
const ACTION_WORDS = WORDS_OF_ACTION;
const ACTION_MASK = MAX_ACTIONS - 1;
const NONE = NO_RECORD;
const NO_REGION = NOWHERE;
const NOT_PLAIN_ACTION = ACTIONS_NOT_PLAIN;
const likelyRecordLocked = likelyRecord;
const NAMES_L3 = KNOWN.L3_IPV4 | KNOWN.L3_IPV6;
const NO_REASON = REASON.none;
/** Places in the batch of the packets that findCandidates() has not found. */
const MISSING = new Int32Array(MAX_BATCH);
/** Changes no word of a packet, but says that it is not negative and that small numbers can be added to it. */
const PACKETS_MASK = 0x3fffffff;

/**
 * Judges `count` packets, the first of which is number `first` of the row `packets`, in order. Output words of every
 * packet are written; its connection is created, updated or removed as its action says.
 *
 * @param packets rows of PACKET_WORDS words; the caller's, as are the frames in `tracker.frames`
 * @param times the same memory as doubles
 */
export function processPackets(
  tracker: Tracker,
  packets: Int32Array,
  times: Float64Array,
  first: number,
  count: number,
): void {
  tracker.checksSequence = Atomics.load(tracker.memory.control, CONTROL.CHECKS_SEQUENCE) === 1; // a setting
  for (let done = 0; done < count; done += MAX_BATCH) {
    processBatch(tracker, packets, times, first + done, Math.min(MAX_BATCH, count - done));
  }
  tracker.counts[EVENT.packets] += count;
  settleFragments(tracker);
}

function processBatch(tracker: Tracker, packets: Int32Array, times: Float64Array, first: number, count: number): void {
  parseBatch(tracker, packets, first, count);
  const hasIpv6 = placeBatch(tracker, packets, first, count);
  touchLines(tracker, HOME, 0, count);
  // The region in which candidates were looked up: whatever judges a packet may go to another one meanwhile.
  let entered = NO_REGION;
  for (let index = 0; index < count; ) {
    const region = ROWS[index * ROW_WORDS + REGION];
    const isThere = region === entered && region === tracker.held;
    if (region === NO_REGION || !(isThere || enterRegion(tracker, region, index, count, hasIpv6))) {
      judgeUnplaced(tracker, packets, times, first, index);
      index++;
      continue;
    }
    entered = region;
    let judged = judgePlainRows(tracker, packets, times, first, index, count);
    if (judged === index) judged = openPlainRows(tracker, packets, times, first, index, count);
    if (judged === index) judgeRow(tracker, packets, times, first, judged++);
    index = judged;
  }
  leaveRegion(tracker);
  if (tracker.top !== undefined) countSamples(tracker, packets, times, first, count);
}

/** Counts some of the packets of a batch for the heavy hitters; those that were refused unread have no ends. */
function countSamples(tracker: Tracker, packets: Int32Array, times: Float64Array, first: number, count: number): void {
  const { top, facts, now } = tracker;
  if (top === undefined) return;
  for (let index = top.nextSample(0, count); index >= 0; index = top.nextSample(index + 1, count)) {
    const row = index * ROW_WORDS;
    const packet = (first + index) * PACKET_WORDS;
    if (facts[row + ROW_REASON] !== NO_REASON) continue;
    now[0] = times[(packet + TIME) >>> 1];
    top.countSample(facts, row, packets[packet + P_ZONE], now);
  }
}

/** A packet without a region, because the parser refuses it, or one of whose region there is no lock to be had. */
function judgeUnplaced(tracker: Tracker, packets: Int32Array, times: Float64Array, first: number, index: number): void {
  const packet = (first + index) * PACKET_WORDS;
  const row = index * ROW_WORDS;
  if (ROWS[row + REGION] !== NO_REGION) ROWS[row + ROW_REASON] = REASON['table-locked'];
  else if (isFragmentReason(ROWS[row + ROW_REASON])) {
    judgeFragment(tracker, packets, times, packet, index);
    return;
  }
  rejectPacket(tracker, packets, packet, index);
}

/** A packet that is not plain; its region is held. */
function judgeRow(tracker: Tracker, packets: Int32Array, times: Float64Array, first: number, index: number): void {
  const packet = (first + index) * PACKET_WORDS;
  const nowMs = times[(packet + TIME) >>> 1];
  if (nowMs > tracker.latestMs[0]) tracker.latestMs[0] = nowMs;
  tracker.now[0] = nowMs;
  judgePacket(tracker, packets, packet, index, ROWS[index * ROW_WORDS + REGION]);
}

/**
 * Goes to the region of packet `index`, and looks up the candidates of all packets from there on that lie in it.
 * @returns false when its lock is not to be had
 */
function enterRegion(tracker: Tracker, region: number, index: number, count: number, hasIpv6: boolean): boolean {
  if (tracker.held !== NO_REGION && tracker.held !== region) tracker.counts[EVENT.regionSwitches]++;
  if (!holdRegion(tracker, region)) return false;
  findCandidates(tracker, region, index, count);
  touchLines(tracker, CANDIDATE_AT, index, count);
  if (hasIpv6) touchAnnexes(tracker, index, count);
  return true;
}

/** First pass: the facts and the hash of every packet, the plain ones first. */
function parseBatch(tracker: Tracker, packets: Int32Array, first: number, count: number): void {
  const { frames, memory } = tracker;
  const key0 = memory.control[KEY0];
  const key1 = memory.control[KEY1];
  const left = parsePlainRows(frames, packets, first * PACKET_WORDS + FRAME_OFFSET, PACKET_WORDS, count, key0, key1);
  if (left === 0) return;
  for (let index = 0; index < count; index++) {
    const base = (index * ROW_WORDS) & ROW_MASK;
    if (ROWS[base + ROW_REASON] >= NO_REASON) continue;
    const reason = parsePacket(tracker, packets, (first + index) * PACKET_WORDS, base);
    ROWS[base + ROW_REASON] = reason;
    if (reason === NO_REASON) hashKey(ROWS, base, key0, key1);
  }
}

/** A packet that is not plain. @returns its reason */
function parsePacket(tracker: Tracker, packets: Int32Array, packet: number, base: number): number {
  const { facts, frames } = tracker;
  const start = packets[packet + FRAME_OFFSET];
  const end = start + packets[packet + FRAME_LENGTH];
  const known = packets[packet + INPUT];
  const l3 = packets[packet + L3_OFFSET];
  const isInside = start >= 0 && end >= start && end <= frames.byteLength && ((known & NAMES_L3) === 0 || l3 >= start);
  return isInside ? parseFrame(frames, start, end, known, l3, facts, base) : REASON['frame-range'];
}

/**
 * First pass, continued: action, region and home bucket of every packet, by its hash; and whether judgePlainRows() may
 * deal with it. Packets that the parser has refused have no region.
 * @returns whether there are IPv6 packets among the others
 */
function placeBatch(tracker: Tracker, packets: Int32Array, first: number, count: number): boolean {
  const { actions } = tracker;
  const rows = count | 0;
  const from = first | 0;
  for (let index = 0; index < rows; index++) {
    const packet = Math.imul(from + index, PACKET_WORDS) & PACKETS_MASK;
    const action = (packets[packet + P_ACTION] & ACTION_MASK) * ACTION_WORDS;
    ACTIONS[index] = action;
    ZONES[index] = actions[action + A_ZONE];
    UNUSUAL[index] = (actions[action + A_FLAGS] & NOT_PLAIN_ACTION) | packets[packet + STATE];
  }
  return placeRows(tracker.map, rows) !== 0;
}

/**
 * Asks for the lines that the words named by word `column` of each row lie in. A loop that does nothing else has the
 * misses of some twenty packets under way at a time; at the end of a longer one it would be those of two or three.
 */
function touchLines(tracker: Tracker, column: number, from: number, count: number): void {
  const { words } = tracker;
  let touched = 0;
  for (let index = from; index < count; index++) {
    touched ^= words[ROWS[((index * ROW_WORDS) & ROW_MASK) + column]];
  }
  tracker.touched ^= touched;
}

/** Second pass: the record that each packet of the locked region most likely belongs to. */
function findCandidates(tracker: Tracker, held: number, from: number, count: number): void {
  const { map, words } = tracker;
  const { recordBits, recordsAt, recordWords, recordsPerRegion } = map;
  const region = held | 0;
  const rows = count | 0;
  const lowest = region * recordsPerRegion;
  let missing = 0;
  for (let index = from | 0; index < rows; index++) {
    const base = (index * ROW_WORDS) & ROW_MASK;
    const likely = likelyRecordLocked(words, recordBits, ROWS[base + HOME], ROWS[base + HASH]);
    // Neither a packet nor a record of another region is under this lock: findConnectionLocked() deals with the latter.
    const isOurs = ROWS[base + REGION] === region && likely > lowest && likely <= lowest + recordsPerRegion;
    const record = isOurs ? likely : NONE;
    MISSING[missing] = index;
    if (record === NONE) missing++;
    ROWS[base + CANDIDATE] = record;
    ROWS[base + CANDIDATE_AT] = recordsAt + record * recordWords;
  }
  if (missing > 0) findFurther(tracker, held, missing);
}

/** … and of the first `count` packets in MISSING, which are not in one of the two slots where they are expected. */
function findFurther(tracker: Tracker, held: number, count: number): void {
  const { map } = tracker;
  for (let place = 0; place < count; place++) {
    const base = (MISSING[place] * ROW_WORDS) & ROW_MASK;
    if (ROWS[base + REGION] !== held) continue;
    const slot = firstCandidateLocked(map, held, ROWS[base + HASH]);
    if (slot === NO_SLOT) continue;
    const record = recordInSlot(map, slot);
    if (regionOfRecord(map, record) !== held) continue;
    ROWS[base + CANDIDATE] = record;
    ROWS[base + CANDIDATE_AT] = recordAt(map, record);
  }
}

/** Asks for the lines of the addresses of candidates that are IPv6 connections; the lines of the records are there. */
function touchAnnexes(tracker: Tracker, from: number, count: number): void {
  const { map, words } = tracker;
  const { annexesAt, annexWords } = map;
  let touched = 0;
  for (let index = from; index < count; index++) {
    const base = (index * ROW_WORDS) & ROW_MASK;
    const annex = annexOfConn(words, ROWS[base + CANDIDATE_AT]);
    touched ^= words[annexesAt + annex * annexWords];
  }
  tracker.touched ^= touched;
}
