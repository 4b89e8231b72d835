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
 * Imports fragments, release, judge, verdict, hash, hold, packet, action, counters, memory, tracker, wire/. Imported by engine/ and workers/.
 */
import { REASON } from '../reason.js';
import {
  firstCandidateLocked,
  homeBucketAt,
  likelyRecordLocked,
  NONE as NO_RECORD,
  NO_SLOT,
  RECORD,
  recordAt,
  recordInSlot,
} from '../sharedarraybuffer-hashmap/index.js';
import { FACT } from '../wire/facts.js';
import { isFragmentReason } from '../wire/fragment.js';
import { KNOWN } from '../wire/known.js';
import { parseFrame } from '../wire/parse.js';
import { parsePlainRows } from '../wire/plain.js';
import { ACTION, MAX_ACTIONS, ACTION_WORDS as WORDS_OF_ACTION } from './action.js';
import { EVENT } from './counters.js';
import { judgeFragment } from './fragments.js';
import { hashKeys, partOf, zoneHash } from './hash.js';
import { holdRegion, leaveRegion } from './hold.js';
import { judgePacket, judgePlainRows } from './judge.js';
import { CONTROL } from './memory.js';
import { PACKET, PACKET_WORDS as WORDS_OF_PACKET } from './packet.js';
import { settleFragments } from './release.js';
import { MAX_BATCH, NO_REGION as NOWHERE, ROW, type Tracker, ROW_WORDS as WORDS_OF_ROW } from './tracker.js';
import { rejectPacket } from './verdict.js';

// Bound again: a constant of this module is folded into the code, an imported one is read each time.
const { FRAME_OFFSET, FRAME_LENGTH, INPUT, L3_OFFSET, TIME, ACTION: P_ACTION } = PACKET;
const { HASH } = FACT;
const { GENERATION } = RECORD;
const { ZONE: A_ZONE } = ACTION;
const { KEY0, KEY1 } = CONTROL;
const { REASON: ROW_REASON, REGION, HOME, CANDIDATE, ACTION: ROW_ACTION } = ROW;
const PACKET_WORDS = WORDS_OF_PACKET;
const ROW_WORDS = WORDS_OF_ROW;
const ACTION_WORDS = WORDS_OF_ACTION;
const ACTION_MASK = MAX_ACTIONS - 1;
const NONE = NO_RECORD;
const NO_REGION = NOWHERE;
const NAMES_L3 = KNOWN.L3_IPV4 | KNOWN.L3_IPV6;
const NO_REASON = REASON.none;
/** In place of a reason until parseFrame() has been asked. */
const NOT_PLAIN = -1;

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
  hashBatch(tracker, count);
  const { facts } = tracker;
  for (let index = 0; index < count; ) {
    const region = facts[index * ROW_WORDS + REGION];
    if (region !== tracker.held && region !== NO_REGION) changeRegion(tracker, region, index, count);
    const judged = region === tracker.held ? judgePlainRows(tracker, packets, times, first, index, count) : index;
    if (judged === index) judgeRow(tracker, packets, times, first, index);
    index = Math.max(judged, index + 1);
  }
  leaveRegion(tracker);
}

/** A packet that is not plain, or of whose region there is no lock to be had. */
function judgeRow(tracker: Tracker, packets: Int32Array, times: Float64Array, first: number, index: number): void {
  const { facts } = tracker;
  const packet = (first + index) * PACKET_WORDS;
  const row = index * ROW_WORDS;
  const region = facts[row + REGION];
  if (region === NO_REGION && isFragmentReason(facts[row + ROW_REASON])) {
    judgeFragment(tracker, packets, times, packet, index);
    return;
  }
  if (region === NO_REGION || !holdRegion(tracker, region)) {
    if (region !== NO_REGION) facts[row + ROW_REASON] = REASON['table-locked'];
    rejectPacket(tracker, packets, packet, index);
    return;
  }
  const nowMs = times[(packet + TIME) >>> 1];
  if (nowMs > tracker.latestMs[0]) tracker.latestMs[0] = nowMs;
  tracker.now[0] = nowMs;
  judgePacket(tracker, packets, packet, index, region);
}

/** Goes to the region of packet `index`, and looks up the candidates of all packets from there on that lie in it. */
function changeRegion(tracker: Tracker, region: number, index: number, count: number): void {
  if (tracker.held !== NO_REGION) tracker.counts[EVENT.regionSwitches]++;
  if (holdRegion(tracker, region)) touchCandidates(tracker, region, index, count);
}

/** First pass: the facts of every packet, the plain ones first. Packets that the parser refuses have no region. */
function parseBatch(tracker: Tracker, packets: Int32Array, first: number, count: number): void {
  const { facts, frames } = tracker;
  const row = first * PACKET_WORDS + FRAME_OFFSET;
  parsePlainRows(frames, packets, row, PACKET_WORDS, count, facts, ROW_WORDS, ROW_REASON, NO_REASON, NOT_PLAIN);
  for (let index = 0; index < count; index++) {
    const packet = (first + index) * PACKET_WORDS;
    const base = index * ROW_WORDS;
    facts[base + ROW_ACTION] = (packets[packet + P_ACTION] & ACTION_MASK) * ACTION_WORDS;
    if (facts[base + ROW_REASON] === NOT_PLAIN) facts[base + ROW_REASON] = parsePacket(tracker, packets, packet, base);
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

/** First pass, continued: hash, region and home bucket; each bucket's line is asked for. */
function hashBatch(tracker: Tracker, count: number): void {
  const { facts, map, words, actions } = tracker;
  const { control } = tracker.memory;
  const { regions } = map;
  const key0 = control[KEY0];
  const key1 = control[KEY1];
  hashKeys(facts, 0, ROW_WORDS, count, key0, key1);
  let touched = 0;
  for (let base = 0; base < count * ROW_WORDS; base += ROW_WORDS) {
    facts[base + CANDIDATE] = NONE;
    if (facts[base + ROW_REASON] !== NO_REASON) {
      facts[base + REGION] = NO_REGION;
      continue;
    }
    const hash = facts[base + HASH];
    const region = partOf(hash, regions);
    const zoned = zoneHash(hash, actions[facts[base + ROW_ACTION] + A_ZONE]);
    const home = homeBucketAt(map, region, zoned);
    facts[base + HASH] = zoned;
    facts[base + REGION] = region;
    facts[base + HOME] = home;
    touched ^= words[home];
  }
  tracker.touched = touched;
}

/** Second pass: the record that each packet of the locked region most likely belongs to; its line is asked for. */
function touchCandidates(tracker: Tracker, held: number, from: number, count: number): void {
  const { facts, map, words } = tracker;
  const lowest = held * map.recordsPerRegion;
  const highest = lowest + map.recordsPerRegion;
  let touched = 0;
  for (let base = from * ROW_WORDS; base < count * ROW_WORDS; base += ROW_WORDS) {
    if (facts[base + REGION] !== held) continue;
    const hash = facts[base + HASH];
    let record = likelyRecordLocked(map, facts[base + HOME], hash);
    if (record === NONE) record = firstRecord(tracker, held, hash);
    // A record of another region is not under this lock: findConnectionLocked() deals with it.
    if (record <= lowest || record > highest) record = NONE;
    facts[base + CANDIDATE] = record;
    touched ^= words[recordAt(map, record) + GENERATION];
  }
  tracker.touched ^= touched;
}

function firstRecord(tracker: Tracker, region: number, hash: number): number {
  const slot = firstCandidateLocked(tracker.map, region, hash);
  return slot === NO_SLOT ? NONE : recordInSlot(tracker.map, slot);
}
