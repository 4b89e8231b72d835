/**
 * Virtual reassembly (OVS `ipf`): a fragment is judged with its datagram, and goes on as it came.
 *
 * ```
 *                   a fragment                           the last one that was missing
 *  packets ────────────┬──────────────────────────────────────────┬─────────────────────────────────────► verdicts
 *                      │ held: answered with fragment-held        │ put together, judged once per ct()
 *                      ▼                                          ▼
 *               datagrams of the thread (fragment/) ──────► fragments with the verdict ──► ring of the released
 * ```
 *
 * **Held.** A fragment's own row is answered at once, ct_state 0 and the reason `fragment-held`, and its frame is
 * copied: the caller may use slot and memory again. When the datagram is whole, all of its fragments, the last one to
 * come too, are put into the thread's ring of released packets, in the order of their offsets: rows with the verdict of
 * the whole, frames as NAT has left them, TIME the moment of completion. COOKIE says which packet each of them was. So
 * what is under way never waits for what may never come, and a batch needs no second look.
 *
 * **One thread.** Fragments of one datagram have to come to one thread; they are steered by their addresses
 * (producer.ts). The datagram's connection may lie in any region, as that of any packet.
 *
 * **Bounds.** Number and bytes of what is held are fixed. A pair of source and destination holds half of the fragments
 * at the most. Whoever needs room beyond takes it from the oldest datagram, of the pair or of all, so that a datagram
 * that becomes whole at once has its chance in any flood; OVS refuses the newcomers until the old ones have ended. A
 * fragment that gets no room at all, like one of a family that is not reassembled, is judged as it is, as in OVS: as a
 * packet if it is the first of an IPv4 datagram, as invalid if not. Each refusal has its reason, each loss its counter.
 *
 * Imports action, counters, hash, hold, judge, memory, packet, reassembly, release, tracker, verdict, fragment/, wire/.
 * Imported by process.ts.
 */
import { blocksFor, copyIn, freeBlocks, takeBlocks } from '../fragment/blocks.js';
import {
  addFragment,
  closeDatagram,
  findDatagram,
  findPair,
  heldByPair,
  oldestDatagram,
  openDatagram,
  overlaps,
} from '../fragment/datagrams.js';
import { DATAGRAM, HELD, itemAt, NONE, STATE as PROGRESS, takeItem } from '../fragment/layout.js';
import { assemble, fits, rewriteFragments } from '../fragment/whole.js';
import { REASON } from '../reason.js';
import { homeBucketAt, NONE as NO_RECORD } from '../sharedarraybuffer-hashmap/index.js';
import { CT } from '../track/state.js';
import { FACT, FAMILY_IPV6 } from '../wire/facts.js';
import { FRAGMENT, FRAGMENT_LAST, FRAGMENT_WHOLE, isFirstFragment, readFragment } from '../wire/fragment.js';
import { hashKey, partOf, zoneHash } from '../wire/hash.js';
import { checkIpv4Sum } from '../wire/ipv4.js';
import { parseL4 } from '../wire/parse.js';
import { ROW_REASON, ROW_WORDS } from '../wire/rows.js';
import { ACTION } from './action.js';
import { REASON_COUNTS_AT } from './counters.js';
import { holdRegion } from './hold.js';
import { judgePacket } from './judge.js';
import { CONTROL } from './memory.js';
import { NO_REWRITING, PACKET, PACKET_WORDS } from './packet.js';
import { MAX_HELD_FRAME, type Reassembly } from './reassembly.js';
import { countFragments, dropFragments, expireFragments, FATE, queueReleased } from './release.js';
import { ROW } from './row.js';
import { type Tracker, WHOLE_ROW } from './tracker.js';
import { rejectPacket } from './verdict.js';

const { SRC0, L3, L4, L4_END, PORTS, PORTS_REVERSED, PROTOCOL, HASH } = FACT;
const { FRAME_OFFSET, FRAME_LENGTH, INPUT, TIME, STATE, GENERATION, OUTPUTS } = PACKET;
const { ACTION: ROW_ACTION, REGION, HOME, CANDIDATE } = ROW;
const NO_REASON = REASON.none;
const ADDRESS_WORDS = 8;
const TRANSLATED = CT.SNAT | CT.DNAT;

/** Bytes of an IPv4 datagram, and of the longest header (OVS `max_v4_frag_list_size`). */
const IPV4_MAX_BYTES = 65_535;
const IPV4_MAX_HEADER = 60;

/**
 * Judges a packet of which the parser says that it is a fragment.
 * @param packet first word of the packet in `packets`
 * @param index its place in the batch
 */
export function judgeFragment(
  tracker: Tracker,
  packets: Int32Array,
  times: Float64Array,
  packet: number,
  index: number,
): void {
  const { facts, reassembly } = tracker;
  const base = index * ROW_WORDS;
  tracker.now[0] = times[(packet + TIME) >>> 1];
  if (reassembly !== undefined && !reassembly.isPiped) reassembly.cause = packets[packet + PACKET.COOKIE];
  const isFirst = isFirstIpv4(tracker, base);
  const reason = reassembly === undefined ? NO_REASON : holdFragment(tracker, reassembly, packets, packet, index);
  if (reason === REASON['fragment-held']) return;
  if (reason !== NO_REASON) facts[base + ROW_REASON] = reason;
  if (isFirst && !isInvalid(reason)) judgeAsPacket(tracker, packets, packet, index);
  else rejectPacket(tracker, packets, packet, index);
}

/** Whether a fragment with this reason is invalid in any case, and not judged as if it were no fragment. */
function isInvalid(reason: number): boolean {
  return (
    reason === REASON['fragment-too-small'] ||
    reason === REASON['fragment-overlap'] ||
    reason === REASON['ipv4-checksum'] ||
    reason === REASON['checksum-declared-bad']
  );
}

function isFirstIpv4({ frames, facts }: Tracker, base: number): boolean {
  return (facts[base + PROTOCOL] & FAMILY_IPV6) === 0 && isFirstFragment(frames, facts[base + L3]);
}

/** The first fragment of an IPv4 datagram that is not held: OVS takes it for a whole one. */
function judgeAsPacket(tracker: Tracker, packets: Int32Array, packet: number, index: number): void {
  const { facts, frames } = tracker;
  const base = index * ROW_WORDS;
  const known = packets[packet + INPUT];
  facts[base + PORTS] = 0;
  facts[base + PORTS_REVERSED] = 0;
  let reason = checkIpv4Sum(frames, facts[base + L3], facts[base + L4], known);
  if (reason === NO_REASON) reason = parseL4(frames, known, facts, base);
  if (reason === NO_REASON) facts[base + ROW_REASON] = NO_REASON;
  judgeParsed(tracker, packets, packet, index);
}

/** Judges a packet whose facts are complete, unless its row says why they are not. */
function judgeParsed(tracker: Tracker, packets: Int32Array, packet: number, index: number): void {
  const { facts, actions, map, now } = tracker;
  const { control } = tracker.memory;
  const base = index * ROW_WORDS;
  if (facts[base + ROW_REASON] === NO_REASON) {
    hashKey(facts, base, control[CONTROL.KEY0], control[CONTROL.KEY1]);
    const region = partOf(facts[base + HASH], map.regions);
    const zoned = zoneHash(facts[base + HASH], actions[facts[base + ROW_ACTION] + ACTION.ZONE]);
    facts[base + HASH] = zoned;
    facts[base + REGION] = region;
    facts[base + HOME] = homeBucketAt(map, region, zoned);
    facts[base + CANDIDATE] = NO_RECORD;
    if (holdRegion(tracker, region)) {
      if (now[0] > tracker.latestMs[0]) tracker.latestMs[0] = now[0];
      judgePacket(tracker, packets, packet, index, region);
      return;
    }
    facts[base + ROW_REASON] = REASON['table-locked'];
  }
  rejectPacket(tracker, packets, packet, index);
}

/** @returns `fragment-held`; or why not; NO_REASON to leave the reason that the parser gave */
function holdFragment(
  tracker: Tracker,
  reassembly: Reassembly,
  packets: Int32Array,
  packet: number,
  index: number,
): number {
  const { facts, frames } = tracker;
  const { control } = tracker.memory;
  const base = index * ROW_WORDS;
  const isIpv6 = (facts[base + PROTOCOL] & FAMILY_IPV6) !== 0;
  const isOn = Atomics.load(control, isIpv6 ? CONTROL.IPV6_REASSEMBLY : CONTROL.IPV4_REASSEMBLY) === 1; // a setting
  const isOtherOn = Atomics.load(control, isIpv6 ? CONTROL.IPV4_REASSEMBLY : CONTROL.IPV6_REASSEMBLY) === 1; // a setting
  if (!isOn && !isOtherOn) return NO_REASON;
  if (!isIpv6) {
    const reason = checkIpv4Sum(frames, facts[base + L3], facts[base + L4], packets[packet + INPUT]);
    if (reason !== NO_REASON) return reason;
  }
  readFragment(frames, facts, base, reassembly.fragment);
  const flags = reassembly.fragment[FRAGMENT.FLAGS];
  if ((flags & FRAGMENT_WHOLE) !== 0) return NO_REASON;
  // As in OVS, sizes count as soon as one of the families is reassembled.
  const least = Atomics.load(control, isIpv6 ? CONTROL.IPV6_MIN_FRAGMENT : CONTROL.IPV4_MIN_FRAGMENT); // a setting
  if ((flags & FRAGMENT_LAST) === 0 && facts[base + L4_END] - facts[base + L3] < least) {
    countFragments(tracker, facts[base + PROTOCOL], FATE.TOO_SMALL, 1);
    return REASON['fragment-too-small'];
  }
  if (!isOn) return NO_REASON;
  expireFragments(tracker, reassembly);
  const pairHash = hashFragment(tracker, base);
  const zone = tracker.actions[facts[base + ROW_ACTION] + ACTION.ZONE];
  const datagram = findDatagram(reassembly.store, facts, base, zone, reassembly.pass);
  let reason = refusalByDatagram(tracker, reassembly, datagram, isIpv6 ? 0 : least);
  if (reason === NO_REASON) {
    reason = makeRoom(tracker, reassembly, datagram, base, pairHash, packets[packet + FRAME_LENGTH]);
  }
  if (reason !== NO_REASON) return reason;
  keepFragment(tracker, reassembly, packets, packet, base, datagram, pairHash, zone);
  return REASON['fragment-held'];
}

/** Hashes the key of the datagram into the facts. @returns the hash of its addresses alone */
function hashFragment({ facts, memory }: Tracker, base: number): number {
  const key0 = memory.control[CONTROL.KEY0];
  const key1 = memory.control[CONTROL.KEY1];
  const id = facts[base + PORTS];
  const protocol = facts[base + PROTOCOL];
  facts[base + PORTS] = 0;
  facts[base + PORTS_REVERSED] = 0;
  facts[base + PROTOCOL] = protocol & FAMILY_IPV6;
  hashKey(facts, base, key0, key1);
  const pairHash = facts[base + HASH];
  facts[base + PORTS] = id;
  facts[base + PORTS_REVERSED] = id;
  facts[base + PROTOCOL] = protocol;
  hashKey(facts, base, key0, key1);
  return pairHash;
}

/** Why a datagram takes no more of the fragment at hand. @param least minimum size, 0 for any number of fragments */
function refusalByDatagram(tracker: Tracker, reassembly: Reassembly, datagram: number, least: number): number {
  if (datagram === NONE) return NO_REASON;
  const { store, fragment } = reassembly;
  const at = itemAt(store.datagrams, datagram);
  if (store.words[at + DATAGRAM.STATE] === PROGRESS.FAILED) return REASON['fragment-oversize'];
  const most = Math.ceil((IPV4_MAX_BYTES - IPV4_MAX_HEADER) / (least - IPV4_MAX_HEADER));
  if (least > 0 && store.words[at + DATAGRAM.COUNT] >= most) return REASON['fragment-count'];
  if (!overlaps(store, datagram, fragment[FRAGMENT.START], fragment[FRAGMENT.END])) return NO_REASON;
  countFragments(tracker, store.words[at + DATAGRAM.PROTOCOL], FATE.OVERLAPPED, 1);
  return REASON['fragment-overlap'];
}

/** Gives up what is oldest until one more fragment has its place. @returns why there is none to be had */
function makeRoom(
  tracker: Tracker,
  reassembly: Reassembly,
  datagram: number,
  base: number,
  pairHash: number,
  bytes: number,
): number {
  const { store } = reassembly;
  const { control } = tracker.memory;
  const most = Atomics.load(control, CONTROL.MAX_FRAGMENTS); // a setting
  const pair = findPair(store, tracker.facts, base, pairHash);
  while (heldByPair(store, pair) > 0 && heldByPair(store, pair) >= most / 2) {
    if (!evict(tracker, reassembly, pair, datagram)) return REASON['fragment-pair-limit'];
  }
  // Other threads count as well: what is over by then is a fragment each at the most.
  while (Atomics.load(control, CONTROL.FRAGMENTS) >= most) {
    if (!evict(tracker, reassembly, NONE, datagram)) return REASON['fragment-limit'];
  }
  if (bytes > MAX_HELD_FRAME) return REASON['fragment-memory'];
  const blocks = blocksFor(bytes);
  while (freeBlocks(store) < blocks) {
    if (!evict(tracker, reassembly, NONE, datagram)) return REASON['fragment-memory'];
  }
  return NO_REASON;
}

/** Gives up the oldest datagram but `other`, of a pair or of all. @returns false when there is none */
function evict(tracker: Tracker, reassembly: Reassembly, pair: number, other: number): boolean {
  const victim = oldestDatagram(reassembly.store, pair, other);
  if (victim === NONE) return false;
  dropFragments(tracker, reassembly, victim, FATE.EVICTED);
  return true;
}

/** Copies the fragment, answers for it, and judges its datagram if that is whole now. */
function keepFragment(
  tracker: Tracker,
  reassembly: Reassembly,
  packets: Int32Array,
  packet: number,
  base: number,
  known: number,
  pairHash: number,
  zone: number,
): void {
  const { facts, frames, now } = tracker;
  const { store, fragment } = reassembly;
  const { words } = store;
  const datagram = known === NONE ? openDatagram(store, facts, base, zone, reassembly.pass, now, pairHash) : known;
  const start = packets[packet + FRAME_OFFSET];
  const bytes = packets[packet + FRAME_LENGTH];
  const item = takeItem(store, store.fragments);
  const at = itemAt(store.fragments, item);
  words[at + HELD.START] = fragment[FRAGMENT.START];
  words[at + HELD.END] = fragment[FRAGMENT.END];
  words[at + HELD.PROTOCOL] = fragment[FRAGMENT.PROTOCOL];
  words[at + HELD.BYTES] = bytes;
  words[at + HELD.L3] = facts[base + L3] - start;
  words[at + HELD.L4] = facts[base + L4] - start;
  words[at + HELD.L4_END] = facts[base + L4_END] - start;
  for (let word = 0; word < PACKET_WORDS; word++) words[at + HELD.ROW + word] = packets[packet + word];
  words[at + HELD.BLOCK] = takeBlocks(store, bytes);
  copyIn(store, words[at + HELD.BLOCK], 0, frames, start, bytes);
  Atomics.add(tracker.memory.control, CONTROL.FRAGMENTS, 1); // a count, orders nothing
  countFragments(tracker, fragment[FRAGMENT.PROTOCOL], FATE.ACCEPTED, 1);
  const isWhole = addFragment(store, datagram, item, fragment[FRAGMENT.FLAGS]);
  for (let word: number = STATE; word < OUTPUTS; word++) packets[packet + word] = 0;
  packets[packet + PACKET.REASON] = REASON['fragment-held'];
  tracker.counts[REASON_COUNTS_AT + REASON['fragment-held']]++;
  if (isWhole) completeDatagram(tracker, reassembly, datagram, base, packets[packet + PACKET.ACTION]);
}

/** Judges the datagram under the action of the fragment that made it whole, and sends all of its fragments on. */
function completeDatagram(
  tracker: Tracker,
  reassembly: Reassembly,
  datagram: number,
  base: number,
  action: number,
): void {
  const { store, row } = reassembly;
  const { words, fragments } = store;
  const at = itemAt(store.datagrams, datagram);
  if (!fits(store, words[at + DATAGRAM.FIRST])) {
    words[at + DATAGRAM.STATE] = PROGRESS.FAILED;
    return;
  }
  const first = closeDatagram(store, datagram);
  judgeWhole(tracker, reassembly, first, base, action);
  // As in OVS, fragments do not know the connection: when they come again their datagram is looked up anew.
  row[GENERATION] = 0;
  if ((row[STATE] & TRANSLATED) !== 0) rewriteFragments(store, first, reassembly.whole);
  for (let fragment = first; fragment !== NONE; ) {
    const itemStart = itemAt(fragments, fragment);
    for (let word: number = STATE; word < OUTPUTS; word++) words[itemStart + HELD.ROW + word] = row[word];
    store.doubles[(itemStart + HELD.ROW + TIME) >>> 1] = tracker.now[0];
    words[itemStart + HELD.ROW + PACKET.COMPLETED_BY] = reassembly.cause;
    fragment = words[itemStart + HELD.LINK];
  }
  if (reassembly.isPiped) reassembly.completed = first;
  else queueReleased(store, first);
}

/** Judges the datagram as one packet, whose row is that of its first fragment (as in OVS, the clone of it). */
function judgeWhole(tracker: Tracker, reassembly: Reassembly, first: number, base: number, action: number): void {
  const { facts, frames } = tracker;
  const { store, row, whole } = reassembly;
  const wholeBase = WHOLE_ROW * ROW_WORDS;
  const firstRow = itemAt(store.fragments, first) + HELD.ROW;
  for (let word = 0; word < PACKET_WORDS; word++) row[word] = store.words[firstRow + word];
  row[PACKET.ACTION] = action;
  row[PACKET.FRAME_ROOM] = NO_REWRITING;
  for (let word = 0; word < ADDRESS_WORDS; word++) facts[wholeBase + SRC0 + word] = facts[base + SRC0 + word];
  assemble(store, first, whole, facts, wholeBase);
  facts[wholeBase + ROW_ACTION] = facts[base + ROW_ACTION];
  facts[wholeBase + ROW_REASON] = parseL4(whole, row[INPUT], facts, wholeBase);
  tracker.frames = whole;
  judgeParsed(tracker, row, 0, WHOLE_ROW);
  tracker.frames = frames;
}
