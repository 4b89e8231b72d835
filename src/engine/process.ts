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
  lockRegion,
  NO_SLOT,
  NONE,
  RECORD,
  recordAt,
  recordInSlot,
  regionAt,
  touchBucket,
  unlockRegion,
} from '../sharedarraybuffer-hashmap/index.js';
import { ANNEX, CONN, STATUS_LABEL } from '../track/connection.js';
import { UPDATE } from '../track/protocol.js';
import { CT } from '../track/state.js';
import { trackerOf, updateConnection } from '../track/trackers.js';
import { FACT, FACT_RELATED, FACT_WORDS, FAMILY_IPV6, IPPROTO, PROTOCOL_MASK } from '../wire/facts.js';
import { KNOWN } from '../wire/known.js';
import { parseFrame } from '../wire/parse.js';
import { ACTION, ACTION_COMMIT, ACTION_FORCE, ACTION_LABEL, ACTION_MARK, ACTION_WORDS, MAX_ACTIONS } from './action.js';
import { REGION_CLOCK } from './clock.js';
import {
  checkCandidateLocked,
  createConnectionLocked,
  findConnectionLocked,
  NOT_FOUND,
  removeConnectionLocked,
} from './connections.js';
import { EVENT, REASON_COUNTS_AT } from './counters.js';
import { hashKey, partOf, zoneHash } from './hash.js';
import { CONTROL } from './memory.js';
import { PACKET, PACKET_WORDS } from './packet.js';
import { MAX_BATCH, type Tracker } from './tracker.js';

const { FRAME_OFFSET, FRAME_LENGTH, INPUT, L3_OFFSET, TIME, ACTION: P_ACTION, STATE } = PACKET;
const { ZONE, MARK, LABEL, TUPLE_PROTOCOL, TUPLE_PORTS, TUPLE_SRC, TUPLE_DST, CONNECTION } = PACKET;
const P_REASON = PACKET.REASON;
const { PROTOCOL, HASH, FLAGS, PORTS: F_PORTS, SRC0: F_SRC0, SRC: F_SRC, DST0: F_DST0, DST: F_DST } = FACT;
const { KEY, SRC: C_SRC, DST: C_DST, PORTS: C_PORTS, MARK: C_MARK, LABEL: C_LABEL, STATUS } = CONN;
const { NEW, EST, REL, RPL, INV, TRK } = CT;
const { VALID, VALID_NEW, REPLACE } = UPDATE;
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
  const { regions, map } = tracker;
  let held = lockFirstRegion(tracker, count);
  let latestMs = 0;
  if (held !== NO_REGION) touchCandidates(tracker, held, count);
  for (let index = 0; index < count; index++) {
    const packet = (first + index) * PACKET_WORDS;
    const region = regions[index];
    const nowMs = times[(packet + TIME) >>> 1];
    if (region === NO_REGION) {
      rejectPacket(tracker, packets, packet, index);
      continue;
    }
    if (region !== held) {
      if (held !== NO_REGION) releaseRegion(tracker, held, latestMs);
      held = lockRegion(map, region, tracker.owner) ? region : NO_REGION;
      latestMs = 0;
      tracker.counts[EVENT.lockWaits]++;
      if (held === NO_REGION) {
        tracker.reasons[index] = REASON['table-locked'];
        rejectPacket(tracker, packets, packet, index);
        continue;
      }
    }
    if (nowMs > latestMs) latestMs = nowMs;
    judgePacket(tracker, packets, packet, index, region, nowMs);
  }
  if (held !== NO_REGION) releaseRegion(tracker, held, latestMs);
}

/** First pass: facts, hash and region of every packet; NO_REGION for those that the parser refuses. */
function parseBatch(tracker: Tracker, packets: Int32Array, first: number, count: number): void {
  const { facts, reasons, regions, candidates, map, frames } = tracker;
  const { control, actions } = tracker.memory;
  const key0 = control[CONTROL.KEY0];
  const key1 = control[CONTROL.KEY1];
  let touched = 0;
  for (let index = 0; index < count; index++) {
    const packet = (first + index) * PACKET_WORDS;
    const base = index * FACT_WORDS;
    const start = packets[packet + FRAME_OFFSET];
    const end = start + packets[packet + FRAME_LENGTH];
    const known = packets[packet + INPUT];
    const l3 = packets[packet + L3_OFFSET];
    regions[index] = NO_REGION;
    candidates[index] = NONE;
    const isInside =
      start >= 0 && end >= start && end <= frames.byteLength && ((known & NAMES_L3) === 0 || l3 >= start);
    const reason = isInside ? parseFrame(frames, start, end, known, l3, facts, base) : REASON['frame-range'];
    reasons[index] = reason;
    if (reason !== NO_REASON) continue;
    hashKey(facts, base, key0, key1);
    const hash = facts[base + HASH];
    const region = partOf(hash, map.regions);
    const zoned = zoneHash(hash, actions[actionAt(packets, packet) + ACTION.ZONE]);
    facts[base + HASH] = zoned;
    regions[index] = region;
    touched ^= touchBucket(map, region, zoned);
  }
  tracker.touched = touched;
}

/** First word of a packet's action; a number beyond the table wraps, so that a wild one cannot lead outside. */
function actionAt(packets: Int32Array, packet: number): number {
  return (packets[packet + P_ACTION] & (MAX_ACTIONS - 1)) * ACTION_WORDS;
}

/** Locks the region of the first packet that has one. */
function lockFirstRegion(tracker: Tracker, count: number): number {
  const { regions, map, owner } = tracker;
  for (let index = 0; index < count; index++) {
    const region = regions[index];
    if (region !== NO_REGION) return lockRegion(map, region, owner) ? region : NO_REGION;
  }
  return NO_REGION;
}

/** Second pass: the record that each packet of the locked region most likely belongs to. */
function touchCandidates(tracker: Tracker, held: number, count: number): void {
  const { facts, regions, candidates, map, words } = tracker;
  let touched = 0;
  for (let index = 0; index < count; index++) {
    if (regions[index] !== held) continue;
    const slot = firstCandidateLocked(map, held, facts[index * FACT_WORDS + HASH]);
    if (slot === NO_SLOT) continue;
    const record = recordInSlot(map, slot);
    candidates[index] = record;
    touched ^= words[recordAt(map, record) + RECORD.GENERATION];
  }
  tracker.touched ^= touched;
}

/** Frees the region, leaving it the time of the latest packet that touched it: the sweeper goes by that. */
function releaseRegion(tracker: Tracker, region: number, latestMs: number): void {
  const clock = (regionAt(tracker.map, region) + REGION_CLOCK) >>> 1;
  if (latestMs > tracker.doubles[clock]) tracker.doubles[clock] = latestMs;
  unlockRegion(tracker.map, region);
}

/** Verdict of a packet that does not get as far as the table. */
function rejectPacket(tracker: Tracker, packets: Int32Array, packet: number, index: number): void {
  packets[packet + TUPLE_PROTOCOL] = 0;
  packets[packet + MARK] = 0;
  clearLabel(packets, packet);
  const zone = tracker.memory.actions[actionAt(packets, packet) + ACTION.ZONE];
  finishPacket(tracker, packets, packet, INV, tracker.reasons[index], zone, NONE);
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
  for (let word = 0; word < 4; word++) packets[packet + LABEL + word] = 0;
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
  const base = index * FACT_WORDS;
  const { facts } = tracker;
  const action = actionAt(packets, packet);
  const flags = tracker.memory.actions[action + ACTION.FLAGS];
  const zone = tracker.memory.actions[action + ACTION.ZONE];
  const key = (zone << 16) | facts[base + PROTOCOL];
  const isRelated = (facts[base + FLAGS] & FACT_RELATED) !== 0;
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
  const base = index * FACT_WORDS;
  const hash = tracker.facts[base + HASH];
  const candidate = tracker.candidates[index];
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
    if ((facts[base + PROTOCOL] & FAMILY_IPV6) !== 0) {
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
  if ((key & FAMILY_IPV6) !== 0) {
    const annex = annexAt(map, words[at + C_SRC]);
    writeAddresses(packets, packet, words, annex + ANNEX.SRC, annex + ANNEX.DST);
  } else {
    packets[packet + TUPLE_SRC + 3] = words[at + C_SRC];
    packets[packet + TUPLE_DST + 3] = words[at + C_DST];
  }
}

/** Protocol and ports of the original tuple; for ICMP OVS puts type and code where the ports are. */
function writeTuple(packets: Int32Array, packet: number, protocol: number, ports: number): void {
  const isIcmp = protocol === IPPROTO.ICMP || protocol === (IPPROTO.ICMPV6 | FAMILY_IPV6);
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
  const { words } = tracker;
  const { actions } = tracker.memory;
  const at = recordAt(tracker.map, record);
  const flags = actions[action + ACTION.FLAGS];
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
