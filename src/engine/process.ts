/**
 * The packet loop: a batch of packets in, a batch of verdicts out. Allocates nothing and throws nothing.
 *
 * A batch goes through three passes. The first parses and hashes every packet and touches its bucket; the second looks
 * up the first candidate of each and touches that record; the third judges the packets in order. Cache misses of
 * different packets overlap in the first two. For plain packets all three are WebAssembly (loop-kernel), and two calls
 * do for a batch; here is what goes on when something is not plain.
 *
 * The lock of a region is kept while the next packet needs the same one. With packets steered by their hash a batch
 * pays for one lock; with packets from anywhere it pays for one each and gives the same verdicts.
 *
 * Imports fragments, release, judge, open-plain, loop-kernel, verdict, hold, packet, packet-memory, counters, memory,
 * tracker, track/tcp, wire/. Imported by engine/ and workers/.
 */
import { REASON } from '../reason.js';
import { readSegment } from '../track/tcp.js';
import { FACT, IPPROTO, PROTOCOL_MASK } from '../wire/facts.js';
import { isFragmentReason } from '../wire/fragment.js';
import { hashKey } from '../wire/hash.js';
import { KNOWN } from '../wire/known.js';
import { parseFrame } from '../wire/parse.js';
import { MAX_BATCH, ROW_REASON, ROW_SEGMENT, ROW_WORDS } from '../wire/rows.js';
import { EVENT, REASON_COUNTS_AT } from './counters.js';
import { judgeFragment } from './fragments.js';
import { holdRegion, leaveRegion } from './hold.js';
import { judgePacket } from './judge.js';
import { LEFT_SHIFT } from './loop-kernel.js';
import { CONTROL } from './memory.js';
import { openPlainRows } from './open-plain.js';
import { PACKET, PACKET_WORDS } from './packet.js';
import type { EnginePackets } from './packet-memory.js';
import { settleFragments } from './release.js';
import { NO_REGION, ROW } from './row.js';
import type { Tracker } from './tracker.js';
import { rejectPacket } from './verdict.js';

const { FRAME_OFFSET, FRAME_LENGTH, INPUT, L3_OFFSET, TIME, ZONE: P_ZONE } = PACKET;
const { PROTOCOL, L4 } = FACT;
const { KEY0, KEY1 } = CONTROL;
const { TCP } = IPPROTO;
const { REGION } = ROW;
const NAMES_L3 = KNOWN.L3_IPV4 | KNOWN.L3_IPV6;
const NO_REASON = REASON.none;
const PACKET_BYTES = PACKET_WORDS * Int32Array.BYTES_PER_ELEMENT;

/**
 * Judges `count` packets, the first of which is number `first` of `memory`, in order. Output words of every packet are
 * written; its connection is created, updated or removed as its action says.
 *
 * @throws Error when the packets are not in the memory of the tracker's engine
 */
export function processPackets(tracker: Tracker, memory: EnginePackets, first: number, count: number): void {
  if (memory.wasm !== tracker.memory.wasm) throw new Error('the packets are not in the memory of this engine');
  tracker.frames = memory.frames;
  tracker.checksSequence = Atomics.load(tracker.memory.control, CONTROL.CHECKS_SEQUENCE) === 1; // a setting
  for (let done = 0; done < count; done += MAX_BATCH) {
    processBatch(tracker, memory, first + done, Math.min(MAX_BATCH, count - done));
  }
  tracker.counts[EVENT.packets] += count;
  settleFragments(tracker);
}

function processBatch(tracker: Tracker, memory: EnginePackets, first: number, count: number): void {
  const { packets, times } = memory;
  const { facts } = tracker;
  const packetsAt = memory.place.packetsAt + first * PACKET_BYTES;
  const hasIpv6 = enterBatch(tracker, memory, packetsAt, first, count);
  // The region in which candidates were looked up: whatever judges a packet may go to another one meanwhile.
  let entered = NO_REGION;
  for (let index = 0; index < count; ) {
    const region = facts[index * ROW_WORDS + REGION];
    const isThere = region === entered && region === tracker.held;
    if (region === NO_REGION || !(isThere || goToRegion(tracker, region))) {
      judgeUnplaced(tracker, packets, times, first, index);
      index++;
      continue;
    }
    entered = region;
    let judged = judgePlainRows(tracker, times, packetsAt, first, index, count, isThere, hasIpv6);
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
  const { facts } = tracker;
  const packet = (first + index) * PACKET_WORDS;
  const row = index * ROW_WORDS;
  if (facts[row + REGION] !== NO_REGION) facts[row + ROW_REASON] = REASON['table-locked'];
  else if (isFragmentReason(facts[row + ROW_REASON])) {
    judgeFragment(tracker, packets, times, packet, index);
    return;
  }
  rejectPacket(tracker, packets, packet, index);
}

/**
 * The fast path of judgePacket(), for packets that come in a row: see judge-kernel. Their region is held.
 * @param isFound the candidates of its packets have been looked up since it is held
 * @param hasIpv6 1 when there is IPv6 in the batch
 * @returns the place of the first packet that is judgePacket()'s, or another region's
 */
function judgePlainRows(
  tracker: Tracker,
  times: Float64Array,
  packetsAt: number,
  first: number,
  from: number,
  count: number,
  isFound: boolean,
  hasIpv6: number,
): number {
  const { kernels, held, counts } = tracker;
  const { at } = tracker.rows;
  const checks = tracker.checksSequence ? 1 : 0;
  const judged = isFound
    ? kernels.judge(at, from, count, packetsAt, held, checks)
    : kernels.findAndJudge(at, from, count, packetsAt, held, checks, hasIpv6);
  if (judged === 0) return from;
  const next = from + judged;
  // For what goes by the time of the packet at hand when the batch is over: fragments that wait.
  tracker.now[0] = times[((first + next - 1) * PACKET_WORDS + TIME) >>> 1];
  counts[REASON_COUNTS_AT + NO_REASON] += judged;
  return next;
}

/** A packet that is not plain; its region is held. */
function judgeRow(tracker: Tracker, packets: Int32Array, times: Float64Array, first: number, index: number): void {
  const packet = (first + index) * PACKET_WORDS;
  const nowMs = times[(packet + TIME) >>> 1];
  if (nowMs > tracker.latestMs[0]) tracker.latestMs[0] = nowMs;
  tracker.now[0] = nowMs;
  judgePacket(tracker, packets, packet, index, tracker.facts[index * ROW_WORDS + REGION]);
}

/** @returns false when the lock of the region is not to be had */
function goToRegion(tracker: Tracker, region: number): boolean {
  if (tracker.held !== NO_REGION && tracker.held !== region) tracker.counts[EVENT.regionSwitches]++;
  return holdRegion(tracker, region);
}

/**
 * The facts and the hash of every packet, the plain ones first; then action, region and home bucket of each. Packets that
 * the parser has refused have no region.
 * @returns 1 when there are IPv6 packets among the others, otherwise 0
 */
function enterBatch(
  tracker: Tracker,
  { packets, place }: EnginePackets,
  packetsAt: number,
  first: number,
  count: number,
): number {
  const { kernels, actionsAt } = tracker;
  const { at } = tracker.rows;
  const entered = kernels.enter(at, count, packetsAt, place.framesAt, place.frameBytes, actionsAt);
  if (entered >>> LEFT_SHIFT === 0) return entered;
  parseRest(tracker, packets, first, count);
  return kernels.place(at, count, packetsAt, actionsAt);
}

/** Parses and hashes the packets that are not plain. */
function parseRest(tracker: Tracker, packets: Int32Array, first: number, count: number): void {
  const { memory, facts, frames } = tracker;
  const key0 = memory.control[KEY0];
  const key1 = memory.control[KEY1];
  for (let index = 0; index < count; index++) {
    const base = index * ROW_WORDS;
    if (facts[base + ROW_REASON] >= NO_REASON) continue;
    const reason = parsePacket(tracker, packets, (first + index) * PACKET_WORDS, base);
    facts[base + ROW_REASON] = reason;
    if (reason !== NO_REASON) continue;
    hashKey(facts, base, key0, key1);
    const isTcp = (facts[base + PROTOCOL] & PROTOCOL_MASK) === TCP;
    if (isTcp) readSegment(frames, facts[base + L4], facts, base + ROW_SEGMENT);
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
