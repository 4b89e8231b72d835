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
 * What a packet's verdict is: OVS `conntrack_execute()`, `process_one()`, `conn_update_state()`, `write_ct_md()`.
 *
 * Imports connections, hash, packet, action, counters, memory, tracker, track/, wire/. Imported by engine/, workers/.
 */
import { REASON } from '../reason.js';
import {
  annexAt,
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
import { ANNEX, CONN, STATUS_LABEL as LABELLED } from '../track/connection.js';
import { isExpired } from '../track/expiry.js';
import { UPDATE } from '../track/protocol.js';
import { CT } from '../track/state.js';
import { trackerOf, updateConnection } from '../track/trackers.js';
import { FACT, FACT_RELATED, FAMILY_IPV6, IPPROTO, PROTOCOL_MASK } from '../wire/facts.js';
import { KNOWN } from '../wire/known.js';
import { parseFrame } from '../wire/parse.js';
import { parsePlain } from '../wire/plain.js';
import {
  ACTION,
  ACTION_COMMIT,
  ACTION_FORCE,
  ACTION_LABEL,
  ACTION_MARK,
  MAX_ACTIONS,
  ACTION_WORDS as WORDS_OF_ACTION,
} from './action.js';
import { REGION_CLOCK } from './clock.js';
import {
  checkCandidateLocked,
  createConnectionLocked,
  findConnectionLocked,
  NOT_FOUND,
  removeConnectionLocked,
} from './connections.js';
import { EVENT, REASON_COUNTS_AT as REASONS_AT } from './counters.js';
import { hashKey, partOf, zoneHash } from './hash.js';
import { CONTROL } from './memory.js';
import { PACKET, PACKET_WORDS as WORDS_OF_PACKET } from './packet.js';
import { MAX_BATCH, ROW, type Tracker, ROW_WORDS as WORDS_OF_ROW } from './tracker.js';

// Bound again: a constant of this module is folded into the code, an imported one is read each time.
const { FRAME_OFFSET, FRAME_LENGTH, INPUT, L3_OFFSET, TIME, ACTION: P_ACTION, STATE } = PACKET;
const { ZONE, MARK, LABEL, TUPLE_PROTOCOL, TUPLE_PORTS, TUPLE_SRC, TUPLE_DST, CONNECTION } = PACKET;
const P_REASON = PACKET.REASON;
const { PROTOCOL, HASH, FLAGS, PORTS: F_PORTS, SRC0: F_SRC0, SRC: F_SRC, DST0: F_DST0, DST: F_DST } = FACT;
const { PORTS_REVERSED: F_PORTS_REVERSED } = FACT;
const { KEY, SRC: C_SRC, DST: C_DST, PORTS: C_PORTS, MARK: C_MARK, LABEL: C_LABEL, STATUS } = CONN;
const { GENERATION, HASH: R_HASH } = RECORD;
const { FLAGS: A_FLAGS, ZONE: A_ZONE } = ACTION;
const { NEW, EST, REL, RPL, INV, TRK } = CT;
const { VALID, VALID_NEW, REPLACE } = UPDATE;
const PACKET_WORDS = WORDS_OF_PACKET;
const ROW_WORDS = WORDS_OF_ROW;
const { REASON: ROW_REASON, REGION, HOME, CANDIDATE, ACTION: ROW_ACTION } = ROW;
const ACTION_WORDS = WORDS_OF_ACTION;
const REASON_COUNTS_AT = REASONS_AT;
const STATUS_LABEL = LABELLED;
const IPV6 = FAMILY_IPV6;
const ICMP = IPPROTO.ICMP;
const ICMPV6 = IPPROTO.ICMPV6 | FAMILY_IPV6;
const CLOCK = REGION_CLOCK;
const { KEY0, KEY1 } = CONTROL;
const RELATED = FACT_RELATED;
const ACTION_MASK = MAX_ACTIONS - 1;
const NONE = NO_RECORD;
const NAMES_L3 = KNOWN.L3_IPV4 | KNOWN.L3_IPV6;
const NO_REASON = REASON.none;
const NO_REGION = -1;
/** Actions that look up and commit, and do nothing else to a connection that is there. */
const NOT_PLAIN = ACTION_FORCE | ACTION_MARK | ACTION_LABEL;

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

/**
 * The fast path of judgePacket(): a packet that was not judged before, whose candidate is its IPv4 connection and
 * lives, under an action that only looks up and commits. It is allowed because the update and the verdict are the
 * same; what is left out are the questions whose answers are known here.
 * @returns false when nothing was done: the packet is judgePacket()'s
 */
function judgePlain(tracker: Tracker, packets: Int32Array, packet: number, index: number, nowMs: number): boolean {
  const { words, facts, actions } = tracker;
  const base = index * ROW_WORDS;
  const action = facts[base + ROW_ACTION];
  const zone = actions[action + A_ZONE];
  const protocol = facts[base + PROTOCOL];
  const key = (zone << 16) | protocol;
  const at = recordAt(tracker.map, facts[base + CANDIDATE]);
  const src = words[at + C_SRC];
  const dst = words[at + C_DST];
  const ports = words[at + C_PORTS];
  const isOriginal = src === facts[base + F_SRC] && dst === facts[base + F_DST] && ports === facts[base + F_PORTS];
  if (!isOriginal) {
    const isReply =
      src === facts[base + F_DST] && dst === facts[base + F_SRC] && ports === facts[base + F_PORTS_REVERSED];
    if (!isReply) return false;
  }
  if (
    words[at + KEY] !== key ||
    words[at + R_HASH] !== facts[base + HASH] ||
    (words[at + GENERATION] & 1) === 0 ||
    (protocol & IPV6) !== 0 ||
    facts[base + FLAGS] !== 0 ||
    packets[packet + STATE] !== 0 ||
    (actions[action + A_FLAGS] & NOT_PLAIN) !== 0 ||
    (words[at + STATUS] & STATUS_LABEL) !== 0 ||
    isExpired(tracker.doubles, at, nowMs)
  ) {
    return false;
  }
  const result = updateConnection(tracker, at, key, base, !isOriginal, nowMs);
  if (result === REPLACE) return false;
  let state = EST | (isOriginal ? 0 : RPL);
  if (result !== VALID) state = result === VALID_NEW ? NEW : INV;
  packets[packet + MARK] = words[at + C_MARK];
  clearLabel(packets, packet);
  writeTuple(packets, packet, protocol, ports);
  packets[packet + TUPLE_SRC + 3] = src;
  packets[packet + TUPLE_DST + 3] = dst;
  finishPacket(tracker, packets, packet, state, result < 0 ? -result : NO_REASON, zone, facts[base + CANDIDATE]);
  return true;
}

/** Verdict of a packet that does not get as far as the table. */
function rejectPacket(tracker: Tracker, packets: Int32Array, packet: number, index: number): void {
  packets[packet + TUPLE_PROTOCOL] = 0;
  packets[packet + MARK] = 0;
  clearLabel(packets, packet);
  const { facts, actions } = tracker;
  const base = index * ROW_WORDS;
  const zone = actions[facts[base + ROW_ACTION] + A_ZONE];
  finishPacket(tracker, packets, packet, INV, facts[base + ROW_REASON], zone, NONE);
}

function finishPacket(
  tracker: Tracker,
  packets: Int32Array,
  packet: number,
  state: number,
  reason: number,
  zone: number,
  record: number,
): void {
  packets[packet + STATE] = state | TRK;
  packets[packet + P_REASON] = reason;
  packets[packet + ZONE] = zone;
  packets[packet + CONNECTION] = record;
  tracker.counts[REASON_COUNTS_AT + reason]++;
}

function clearLabel(packets: Int32Array, packet: number): void {
  packets[packet + LABEL] = 0;
  packets[packet + LABEL + 1] = 0;
  packets[packet + LABEL + 2] = 0;
  packets[packet + LABEL + 3] = 0;
}

/** Third pass, one packet: its region is locked. */
function judgePacket(
  tracker: Tracker,
  packets: Int32Array,
  packet: number,
  index: number,
  region: number,
  nowMs: number,
): void {
  const base = index * ROW_WORDS;
  const { facts, actions } = tracker;
  const action = facts[base + ROW_ACTION];
  const flags = actions[action + A_FLAGS];
  const zone = actions[action + A_ZONE];
  const key = (zone << 16) | facts[base + PROTOCOL];
  const isRelated = (facts[base + FLAGS] & RELATED) !== 0;
  // A packet that comes from another zone starts afresh.
  let state = packets[packet + ZONE] === zone ? packets[packet + STATE] & ~TRK : 0;
  let reason: number = NO_REASON;
  let record: number = NONE;

  let found = findPacket(tracker, index, region, key, nowMs);
  if ((flags & ACTION_FORCE) !== 0 && found > 0 && (found & 1) === 1) {
    removeConnectionLocked(tracker, found >>> 1, EVENT.replaced);
    found = NOT_FOUND;
  }
  let opens = found <= 0 && !isRelated;
  if (found > 0) {
    record = found >>> 1;
    const isReply = (found & 1) === 1;
    const result = isRelated
      ? VALID
      : updateConnection(tracker, recordAt(tracker.map, record), key, base, isReply, nowMs);
    if (isRelated) state |= REL | (isReply ? RPL : 0);
    else if (result === VALID) state = (state & ~NEW) | EST | (isReply ? RPL : 0);
    else if (result === VALID_NEW) state |= NEW;
    else if (result === REPLACE) {
      removeConnectionLocked(tracker, record, EVENT.replaced);
      record = NONE;
      opens = true;
    } else {
      state = INV;
      reason = -result;
    }
  } else if (isRelated) {
    state = INV;
    reason = REASON['icmp-error-unrelated'];
  }
  if (opens) {
    const opened = openConnection(tracker, region, base, key, flags, found, nowMs);
    state = opened < 0 && isRefusal(-opened) ? INV : NEW;
    if (opened > 0) record = opened;
    else reason = -opened;
  }
  describePacket(tracker, packets, packet, base, record);
  if (record !== NONE && (flags & (ACTION_MARK | ACTION_LABEL)) !== 0)
    setMarks(tracker, packets, packet, record, action);
  finishPacket(tracker, packets, packet, state, reason, zone, record);
}

/** The connection of a packet, its candidate first. As findConnectionLocked(). */
function findPacket(tracker: Tracker, index: number, region: number, key: number, nowMs: number): number {
  const base = index * ROW_WORDS;
  const { facts } = tracker;
  const hash = facts[base + HASH];
  const candidate = facts[base + CANDIDATE];
  if (candidate !== NONE) {
    const found = checkCandidateLocked(tracker, candidate, base, key, hash, nowMs);
    if (found !== NOT_FOUND) return found;
  }
  return findConnectionLocked(tracker, region, base, key, hash, nowMs);
}

/** Reasons for which a packet cannot open a connection at all, rather than finding no room for it. */
function isRefusal(reason: number): boolean {
  return reason === REASON['tcp-flags'] || reason === REASON['tcp-syn-ack'] || reason === REASON['icmp-not-request'];
}

/**
 * Opens a connection for a packet that has none, if the packet and the action allow it.
 * @param found what findPacket() said: the record of an expired connection makes way for the new one
 * @returns the record, or minus the reason why none was created
 */
function openConnection(
  tracker: Tracker,
  region: number,
  base: number,
  key: number,
  flags: number,
  found: number,
  nowMs: number,
): number {
  const protocol = trackerOf(key & PROTOCOL_MASK);
  const refusal = protocol.refusal(tracker, base);
  if (refusal !== NO_REASON) return -refusal;
  if ((flags & ACTION_COMMIT) === 0) return -REASON['not-committed'];
  if (found < 0) removeConnectionLocked(tracker, -found, EVENT.expired);
  const hash = tracker.facts[base + HASH];
  const record = createConnectionLocked(tracker, region, base, key, hash, protocol, nowMs);
  if (record > 0) tracker.counts[EVENT.created]++;
  return record;
}

/** Writes mark, label and original tuple: those of the connection, or of the packet itself when it has none. */
function describePacket(tracker: Tracker, packets: Int32Array, packet: number, base: number, record: number): void {
  const { words, facts, map } = tracker;
  if (record === NONE) {
    packets[packet + MARK] = 0;
    clearLabel(packets, packet);
    writeTuple(packets, packet, facts[base + PROTOCOL], facts[base + F_PORTS]);
    if ((facts[base + PROTOCOL] & IPV6) !== 0) {
      writeAddresses(packets, packet, facts, base + F_SRC0, base + F_DST0);
    } else {
      packets[packet + TUPLE_SRC + 3] = facts[base + F_SRC];
      packets[packet + TUPLE_DST + 3] = facts[base + F_DST];
    }
    return;
  }
  const at = recordAt(map, record);
  packets[packet + MARK] = words[at + C_MARK];
  if ((words[at + STATUS] & STATUS_LABEL) !== 0) {
    for (let word = 0; word < 4; word++) packets[packet + LABEL + word] = words[at + C_LABEL + word];
  } else {
    clearLabel(packets, packet);
  }
  const key = words[at + KEY];
  writeTuple(packets, packet, key & 0xffff, words[at + C_PORTS]);
  if ((key & IPV6) !== 0) {
    const annex = annexAt(map, words[at + C_SRC]);
    writeAddresses(packets, packet, words, annex + ANNEX.SRC, annex + ANNEX.DST);
  } else {
    packets[packet + TUPLE_SRC + 3] = words[at + C_SRC];
    packets[packet + TUPLE_DST + 3] = words[at + C_DST];
  }
}

/** Protocol and ports of the original tuple; for ICMP OVS puts type and code where the ports are. */
function writeTuple(packets: Int32Array, packet: number, protocol: number, ports: number): void {
  const isIcmp = protocol === ICMP || protocol === ICMPV6;
  packets[packet + TUPLE_PROTOCOL] = protocol;
  packets[packet + TUPLE_PORTS] = isIcmp ? ((ports >>> 8) & 0xff) << 16 : ports;
}

function writeAddresses(packets: Int32Array, packet: number, from: Int32Array, src: number, dst: number): void {
  for (let word = 0; word < 4; word++) {
    packets[packet + TUPLE_SRC + word] = from[src + word];
    packets[packet + TUPLE_DST + word] = from[dst + word];
  }
}

/** Sets mark and label of the connection as the action says, and tells the packet. */
function setMarks(tracker: Tracker, packets: Int32Array, packet: number, record: number, action: number): void {
  const { words, actions } = tracker;
  const at = recordAt(tracker.map, record);
  const flags = actions[action + A_FLAGS];
  if ((flags & ACTION_MARK) !== 0) {
    const mark = actions[action + ACTION.MARK] | (words[at + C_MARK] & ~actions[action + ACTION.MARK_MASK]);
    words[at + C_MARK] = mark;
    packets[packet + MARK] = mark;
  }
  if ((flags & ACTION_LABEL) === 0) return;
  let any = 0;
  for (let word = 0; word < 4; word++) {
    const kept = words[at + C_LABEL + word] & ~actions[action + ACTION.LABEL_MASK + word];
    const label = actions[action + ACTION.LABEL + word] | kept;
    words[at + C_LABEL + word] = label;
    packets[packet + LABEL + word] = label;
    any |= label;
  }
  words[at + STATUS] = any === 0 ? words[at + STATUS] & ~STATUS_LABEL : words[at + STATUS] | STATUS_LABEL;
}
