/**
 * The packet loop: a batch of packets in, a batch of verdicts out. Allocates nothing and throws nothing.
 *
 * A batch goes through three passes. The first parses and hashes every packet and touches its bucket; the second looks
 * up the first candidate of each and touches that record; the third judges the packets in order. Cache misses of
 * different packets overlap in the first two, which is what makes a batch of 32 twice as fast as 32 batches of one
 * once the table is larger than the cache.
 *
 * The lock of a region is kept while the next packet needs the same one. With packets steered by their hash a batch
 * pays for one lock; with packets from anywhere it pays for one each and gives the same verdicts.
 *
 * Imports judge, verdict, hash, packet, action, counters, memory, tracker, wire/. Imported by engine/ and workers/.
 */
import { REASON } from '../reason.js';
import {
  firstCandidateLocked,
  homeBucketAt,
  likelyRecordLocked,
  lockRegion,
  NONE as NO_RECORD,
  NO_SLOT,
  RECORD,
  recordAt,
  recordInSlot,
  regionAt,
  unlockRegion,
} from '../sharedarraybuffer-hashmap/index.js';
import { FACT } from '../wire/facts.js';
import { KNOWN } from '../wire/known.js';
import { parseFrame } from '../wire/parse.js';
import { parsePlain } from '../wire/plain.js';
import { ACTION, MAX_ACTIONS, ACTION_WORDS as WORDS_OF_ACTION } from './action.js';
import { REGION_CLOCK } from './clock.js';
import { EVENT } from './counters.js';
import { hashKey, partOf, zoneHash } from './hash.js';
import { judgePacket, judgePlain } from './judge.js';
import { CONTROL } from './memory.js';
import { PACKET, PACKET_WORDS as WORDS_OF_PACKET } from './packet.js';
import { MAX_BATCH, ROW, type Tracker, ROW_WORDS as WORDS_OF_ROW } from './tracker.js';
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
const CLOCK = REGION_CLOCK;
const NONE = NO_RECORD;
const NAMES_L3 = KNOWN.L3_IPV4 | KNOWN.L3_IPV6;
const NO_REASON = REASON.none;
const NO_REGION = -1;

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
}

function processBatch(tracker: Tracker, packets: Int32Array, times: Float64Array, first: number, count: number): void {
  parseBatch(tracker, packets, first, count);
  hashBatch(tracker, count);
  const { facts, map } = tracker;
  let held = lockFirstRegion(tracker, count);
  let judged = 0;
  while (judged < count) {
    if (held !== NO_REGION) {
      touchCandidates(tracker, held, judged, count);
      judged = judgeRegion(tracker, packets, times, first, judged, count, held);
      unlockRegion(map, held);
      if (judged === count) return;
    }
    const region = facts[judged * ROW_WORDS + REGION];
    held = region !== NO_REGION && lockRegion(map, region, tracker.owner) ? region : NO_REGION;
    tracker.counts[EVENT.regionSwitches]++;
    if (held !== NO_REGION) continue;
    if (region !== NO_REGION) facts[judged * ROW_WORDS + ROW_REASON] = REASON['table-locked'];
    rejectPacket(tracker, packets, (first + judged) * PACKET_WORDS, judged);
    judged++;
  }
}

/** First pass: the facts of every packet. Packets that the parser refuses have no region. */
function parseBatch(tracker: Tracker, packets: Int32Array, first: number, count: number): void {
  const { facts, frames } = tracker;
  const frameBytes = frames.byteLength;
  for (let index = 0; index < count; index++) {
    const packet = (first + index) * PACKET_WORDS;
    const base = index * ROW_WORDS;
    const start = packets[packet + FRAME_OFFSET];
    const end = start + packets[packet + FRAME_LENGTH];
    const known = packets[packet + INPUT];
    const l3 = packets[packet + L3_OFFSET];
    const isInside = start >= 0 && end >= start && end <= frameBytes && ((known & NAMES_L3) === 0 || l3 >= start);
    facts[base + ROW_ACTION] = (packets[packet + P_ACTION] & ACTION_MASK) * ACTION_WORDS;
    if (!isInside) facts[base + ROW_REASON] = REASON['frame-range'];
    else if (parsePlain(frames, start, end, known, l3, facts, base)) facts[base + ROW_REASON] = NO_REASON;
    else facts[base + ROW_REASON] = parseFrame(frames, start, end, known, l3, facts, base);
  }
}

/** First pass, continued: hash, region and home bucket; each bucket's line is asked for. */
function hashBatch(tracker: Tracker, count: number): void {
  const { facts, map, words, actions } = tracker;
  const { control } = tracker.memory;
  const { regions } = map;
  const key0 = control[KEY0];
  const key1 = control[KEY1];
  let touched = 0;
  for (let base = 0; base < count * ROW_WORDS; base += ROW_WORDS) {
    if (facts[base + ROW_REASON] !== NO_REASON) {
      facts[base + REGION] = NO_REGION;
      continue;
    }
    hashKey(facts, base, key0, key1);
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

/** Locks the region of the first packet that has one. */
function lockFirstRegion(tracker: Tracker, count: number): number {
  const { facts, map, owner } = tracker;
  for (let index = 0; index < count; index++) {
    const region = facts[index * ROW_WORDS + REGION];
    if (region !== NO_REGION) return lockRegion(map, region, owner) ? region : NO_REGION;
  }
  return NO_REGION;
}

/** Second pass: the record that each packet of the locked region most likely belongs to; its line is asked for. */
function touchCandidates(tracker: Tracker, held: number, from: number, count: number): void {
  const { facts, map, words } = tracker;
  let touched = 0;
  for (let base = from * ROW_WORDS; base < count * ROW_WORDS; base += ROW_WORDS) {
    if (facts[base + REGION] !== held) continue;
    const hash = facts[base + HASH];
    let record = likelyRecordLocked(map, facts[base + HOME], hash);
    if (record === NONE) record = firstRecord(tracker, held, hash);
    facts[base + CANDIDATE] = record;
    touched ^= words[recordAt(map, record) + GENERATION];
  }
  tracker.touched ^= touched;
}

function firstRecord(tracker: Tracker, region: number, hash: number): number {
  const slot = firstCandidateLocked(tracker.map, region, hash);
  return slot === NO_SLOT ? NONE : recordInSlot(tracker.map, slot);
}

/**
 * Third pass: judges packets from number `from` of the batch on, until one needs another region. Leaves the region the
 * time of the latest packet: the sweeper goes by that.
 * @returns the number of the first packet that was not judged
 */
function judgeRegion(
  tracker: Tracker,
  packets: Int32Array,
  times: Float64Array,
  first: number,
  from: number,
  count: number,
  region: number,
): number {
  const { facts } = tracker;
  let latestMs = 0;
  let index = from;
  for (; index < count; index++) {
    const packet = (first + index) * PACKET_WORDS;
    const own = facts[index * ROW_WORDS + REGION];
    if (own !== region) {
      if (own !== NO_REGION) break;
      rejectPacket(tracker, packets, packet, index);
      continue;
    }
    const nowMs = times[(packet + TIME) >>> 1];
    if (nowMs > latestMs) latestMs = nowMs;
    if (!judgePlain(tracker, packets, packet, index, nowMs))
      judgePacket(tracker, packets, packet, index, region, nowMs);
  }
  const clock = (regionAt(tracker.map, region) + CLOCK) >>> 1;
  if (latestMs > tracker.doubles[clock]) tracker.doubles[clock] = latestMs;
  return index;
}
