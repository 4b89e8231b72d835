/**
 * What the tracker makes of one packet, once its region is locked: the rules of OVS `conntrack_execute()`,
 * `process_one()` and `conn_update_state()`.
 *
 * Imports connections, membership, verdict, action, counters, packet, tracker, track/, wire/facts. Imported by process.ts.
 */
import { REASON } from '../reason.js';
import { isLive, NONE as NO_RECORD, RECORD, recordAt, regionOfRecord } from '../sharedarraybuffer-hashmap/index.js';
import { CONN, STATUS_LABEL, STATUS_NAT } from '../track/connection.js';
import { UPDATE } from '../track/protocol.js';
import { CT } from '../track/state.js';
import { trackerOf, updateConnection } from '../track/trackers.js';
import { FACT, FACT_RELATED, FAMILY_IPV6, PROTOCOL_MASK } from '../wire/facts.js';
import { turnRound } from '../wire/icmp.js';
import {
  ACTION,
  ACTION_COMMIT,
  ACTION_FORCE,
  ACTION_LABEL,
  ACTION_MARK,
  ACTION_NAT,
  ACTION_TRANSLATE,
} from './action.js';
import {
  checkCandidateLocked,
  createConnectionLocked,
  findConnectionLocked,
  NOT_FOUND,
  removeConnectionLocked,
} from './connections.js';
import { EVENT, REASON_COUNTS_AT as REASONS_AT } from './counters.js';
import { holdRegion } from './hold.js';
import { noticeChangeLocked } from './membership.js';
import { PACKET, PACKET_WORDS as WORDS_OF_PACKET } from './packet.js';
import { ROW, type Tracker, ROW_WORDS as WORDS_OF_ROW } from './tracker.js';
import { createTranslated, translatePacket } from './translate.js';
import { describePacket, finishPacket, setMarks, writeTuple } from './verdict.js';

// Bound again: a constant of this module is folded into the code, an imported one is read each time.
const { TIME, STATE, REASON: P_REASON, ZONE, MARK, LABEL, TUPLE_SRC, TUPLE_DST, CONNECTION } = PACKET;
const { GENERATION: P_GENERATION } = PACKET;
const { PROTOCOL, HASH, FLAGS, PORTS, PORTS_REVERSED, SRC, DST } = FACT;
const { KEY, SRC: C_SRC, DST: C_DST, PORTS: C_PORTS, MARK: C_MARK, STATUS, EXPIRES } = CONN;
const { GENERATION, HASH: R_HASH } = RECORD;
const { FLAGS: A_FLAGS, ZONE: A_ZONE, TIMEOUT_POLICY: A_POLICY } = ACTION;
const { CANDIDATE, ACTION: ROW_ACTION, REGION: ROW_REGION } = ROW;
const PACKET_WORDS = WORDS_OF_PACKET;
const REASON_COUNTS_AT = REASONS_AT;
const { NEW, EST, REL, RPL, INV, TRK } = CT;
const { VALID, VALID_NEW, REPLACE, CHANGED } = UPDATE;
const ROW_WORDS = WORDS_OF_ROW;
const IPV6 = FAMILY_IPV6;
const RELATED = FACT_RELATED;
const NONE = NO_RECORD;
const NO_REASON = REASON.none;
/** Actions that look up and commit, and do nothing else to a connection that is there. */
const NOT_PLAIN = ACTION_FORCE | ACTION_MARK | ACTION_LABEL | ACTION_NAT;
/** Connections that judgePacket() alone deals with. */
const STATUS_NOT_PLAIN = STATUS_LABEL | STATUS_NAT;
/** A packet that was rewritten by an action before this one. */
const TRANSLATED = CT.SNAT | CT.DNAT;

/**
 * The fast path of judgePacket(): packets that were not judged before, whose candidate is their IPv4 connection and
 * lives, under an action that only looks up and commits. It is allowed because the update and the verdict are the
 * same; what is left out are the questions whose answers are known here. One loop for all that come in a row, since
 * the call for each would not be inlined.
 *
 * @param first number of the batch's first packet in `packets`
 * @param from place in the batch of the packet to begin with; its region is held
 * @returns the place of the first packet that is judgePacket()'s, or another region's
 */
export function judgePlainRows(
  tracker: Tracker,
  packets: Int32Array,
  times: Float64Array,
  first: number,
  from: number,
  count: number,
): number {
  const { words, doubles, facts, actions, counts, held, map, now } = tracker;
  const { recordsAt, recordWords } = map;
  let latestMs = tracker.latestMs[0];
  let index = from;
  for (; index < count; index++) {
    const base = index * ROW_WORDS;
    if (facts[base + ROW_REGION] !== held) break;
    const packet = (first + index) * PACKET_WORDS;
    const nowMs = times[(packet + TIME) >>> 1];
    const action = facts[base + ROW_ACTION];
    const zone = actions[action + A_ZONE];
    const protocol = facts[base + PROTOCOL];
    const key = (zone << 16) | protocol;
    const record = facts[base + CANDIDATE];
    const at = recordsAt + record * recordWords;
    const src = words[at + C_SRC];
    const dst = words[at + C_DST];
    const ports = words[at + C_PORTS];
    const isOriginal = src === facts[base + SRC] && dst === facts[base + DST] && ports === facts[base + PORTS];
    if (!isOriginal) {
      const isReply = src === facts[base + DST] && dst === facts[base + SRC] && ports === facts[base + PORTS_REVERSED];
      if (!isReply) break;
    }
    if (
      words[at + KEY] !== key ||
      words[at + R_HASH] !== facts[base + HASH] ||
      (words[at + GENERATION] & 1) === 0 ||
      (protocol & IPV6) !== 0 ||
      facts[base + FLAGS] !== 0 ||
      packets[packet + STATE] !== 0 ||
      (actions[action + A_FLAGS] & NOT_PLAIN) !== 0 ||
      (words[at + STATUS] & STATUS_NOT_PLAIN) !== 0 ||
      !(nowMs < doubles[(at + EXPIRES) >>> 1])
    ) {
      break;
    }
    now[0] = nowMs;
    let result = updateConnection(tracker, at, key, base, !isOriginal);
    if (result === REPLACE) break;
    if (nowMs > latestMs) latestMs = nowMs;
    let state = EST | (isOriginal ? 0 : RPL);
    if (result !== VALID) {
      if (result !== VALID_NEW) result = noticeChangeLocked(tracker, record, result);
      if (result !== VALID) state = result === VALID_NEW ? NEW : INV;
    }
    const reason = result < 0 ? -result : NO_REASON;
    packets[packet + STATE] = state | TRK;
    packets[packet + P_REASON] = reason;
    packets[packet + ZONE] = zone;
    packets[packet + MARK] = words[at + C_MARK];
    packets[packet + LABEL] = 0;
    packets[packet + LABEL + 1] = 0;
    packets[packet + LABEL + 2] = 0;
    packets[packet + LABEL + 3] = 0;
    writeTuple(packets, packet, protocol, ports);
    packets[packet + TUPLE_SRC + 3] = src;
    packets[packet + TUPLE_DST + 3] = dst;
    packets[packet + CONNECTION] = record;
    packets[packet + P_GENERATION] = words[at + GENERATION];
    counts[REASON_COUNTS_AT + reason]++;
  }
  tracker.latestMs[0] = latestMs;
  return index;
}

/**
 * Judges one packet.
 * @param packet first word of the packet in `packets`
 * @param index its place in the batch
 * @param region the locked region, that of the packet's key
 */
export function judgePacket(
  tracker: Tracker,
  packets: Int32Array,
  packet: number,
  index: number,
  region: number,
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
  let record = state === 0 ? NONE : judgedConnection(tracker, packets, packet, region, flags);
  let isReply = record !== NONE && isReplyOf(tracker, record, base, key);
  if (record === NONE) {
    const wasTranslated = (state & TRANSLATED) !== 0;
    let found = findPacket(tracker, index, region, key, wasTranslated);
    isReply = ((found & 1) === 1) !== wasTranslated;
    if ((flags & ACTION_FORCE) !== 0 && found > 0 && isReply) {
      removeConnectionLocked(tracker, found >>> 1, EVENT.replaced);
      found = NOT_FOUND;
    }
    let opens = found <= 0 && !isRelated;
    if (found > 0) {
      record = found >>> 1;
      const conn = recordAt(tracker.map, record);
      let result: number = isRelated ? VALID : updateConnection(tracker, conn, key, base, isReply);
      if (result < VALID || result >= CHANGED) result = noticeChangeLocked(tracker, record, result);
      if (isRelated) state |= REL | (isReply ? RPL : 0);
      else if (result === VALID) state = (state & ~NEW) | EST | (isReply ? RPL : 0);
      else if (result === VALID_NEW) state |= NEW;
      else if (result === REPLACE) opens = true;
      else {
        state = INV;
        reason = -result;
      }
    } else if (isRelated) {
      state = INV;
      reason = REASON['icmp-error-unrelated'];
    }
    if (opens) {
      if (record !== NONE) removeConnectionLocked(tracker, record, EVENT.replaced);
      const refusal = trackerOf(key & PROTOCOL_MASK).refusal(tracker, base);
      const opened = refusal === NO_REASON ? openConnection(tracker, region, base, key, action, found) : -refusal;
      state = refusal === NO_REASON ? NEW : INV;
      isReply = false;
      record = Math.max(opened, NONE);
      reason = Math.max(-opened, NO_REASON);
    }
  }
  const rewrites = record !== NONE && (flags & ACTION_NAT) !== 0 && (state & TRANSLATED) === 0;
  describePacket(tracker, packets, packet, base, record);
  if (rewrites) state |= translatePacket(tracker, base, record, isReply, isRelated);
  if (record !== NONE && (flags & (ACTION_MARK | ACTION_LABEL)) !== 0) {
    setMarks(tracker, packets, packet, record, action);
  }
  finishPacket(tracker, packets, packet, state, reason, zone, record);
  // As in OVS, a packet that NAT has seen is looked up anew when it comes again.
  if ((flags & ACTION_NAT) !== 0) packets[packet + P_GENERATION] = 0;
}

/**
 * The connection of a packet that comes again in the same zone: it was judged then and is not judged twice, the action
 * only has its marks set (OVS `process_one_fast()`). NONE when there was no connection, it is gone, or the action
 * forces a new look.
 */
function judgedConnection(
  tracker: Tracker,
  packets: Int32Array,
  packet: number,
  region: number,
  flags: number,
): number {
  const { map, words } = tracker;
  const record = packets[packet + CONNECTION];
  const isOurs = record > NONE && record <= map.regions * map.recordsPerRegion && (flags & ACTION_FORCE) === 0;
  if (!isOurs || regionOfRecord(map, record) !== region || !isLive(map, record)) return NONE;
  return words[recordAt(map, record) + GENERATION] === packets[packet + P_GENERATION] ? record : NONE;
}

/**
 * True when a judged packet travels in the reply direction of its connection. Its ct_state does not always tell: a SYN
 * from the other side is `new`, and what is invalid has no direction.
 */
function isReplyOf(tracker: Tracker, record: number, base: number, key: number): boolean {
  const found = checkCandidateLocked(tracker, record, base, key, tracker.facts[base + HASH]);
  return found > 0 && (found & 1) === 1;
}

/**
 * The connection of a packet, its candidate first; as findConnectionLocked().
 * @param wasTranslated the packet has been rewritten already: what it looks like, turned round, is the other direction
 *   of its connection, and the answer is about that
 */
function findPacket(tracker: Tracker, index: number, region: number, key: number, wasTranslated: boolean): number {
  const base = index * ROW_WORDS;
  const { facts } = tracker;
  const hash = facts[base + HASH];
  const candidate = facts[base + CANDIDATE];
  if (wasTranslated) turnRound((key & IPV6) !== 0, facts, base);
  let found = NOT_FOUND;
  if (candidate !== NONE) found = checkCandidateLocked(tracker, candidate, base, key, hash);
  if (found <= 0) found = findConnectionLocked(tracker, region, base, key, hash);
  if (wasTranslated) turnRound((key & IPV6) !== 0, facts, base);
  return found;
}

/**
 * Opens a connection for a packet that may open one, if the action commits.
 * @param found what findPacket() said: the record of a connection that has ended makes way for the new one
 * @returns the record, or minus the reason why none was created
 */
function openConnection(
  tracker: Tracker,
  region: number,
  base: number,
  key: number,
  action: number,
  found: number,
): number {
  const flags = tracker.actions[action + A_FLAGS];
  if ((flags & ACTION_COMMIT) === 0) return -REASON['not-committed'];
  // A connection that was just replaced may have been elsewhere: the new one belongs where the packet does.
  if (!holdRegion(tracker, region)) return -REASON['table-locked'];
  if (found < 0) removeConnectionLocked(tracker, -found, EVENT.expired);
  const hash = tracker.facts[base + HASH];
  const protocol = trackerOf(key & PROTOCOL_MASK);
  const policy = tracker.actions[action + A_POLICY];
  const record =
    (flags & ACTION_TRANSLATE) !== 0
      ? createTranslated(tracker, region, base, key, hash, action, protocol)
      : createConnectionLocked(tracker, region, base, key, hash, protocol, policy);
  if (record > 0) tracker.counts[EVENT.created]++;
  return record;
}
