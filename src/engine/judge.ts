/**
 * What the tracker makes of one packet, once its region is locked: the rules of OVS `conntrack_execute()`,
 * `process_one()` and `conn_update_state()`.
 *
 * Imports connections, expected, hold, membership, payload, translate, verdict, action, counters, packet, row, tracker,
 * alg/helpers, track/, wire/. Imported by process.ts and fragments.ts.
 */
import { HELPERS, NO_HELPER } from '../alg/helpers.js';
import { REASON, REASON_COUNT } from '../reason.js';
import { isLive, NONE, RECORD, recordAt, regionOfRecord } from '../sharedarraybuffer-hashmap/index.js';
import {
  CONN,
  STATUS_HELPED,
  STATUS_HELPER,
  STATUS_HELPER_SHIFT,
  STATUS_RELATED,
  zoneOf,
} from '../track/connection.js';
import { UPDATE } from '../track/protocol.js';
import { CT } from '../track/state.js';
import { trackerOf, updateConnection } from '../track/trackers.js';
import { FACT, FACT_RELATED, FAMILY_IPV6, PROTOCOL_MASK } from '../wire/facts.js';
import { turnRound } from '../wire/icmp.js';
import { ROW_WORDS } from '../wire/rows.js';
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
import { EVENT } from './counters.js';
import { adoptExpected, describeExpected, describeRelated, isExpected, publishExpectation } from './expected.js';
import { holdRegion } from './hold.js';
import { noticeChangeLocked } from './membership.js';
import { PACKET } from './packet.js';
import { handlePayload, restoreSegment } from './payload.js';
import { NO_REGION, ROW } from './row.js';
import type { Tracker } from './tracker.js';
import { createTranslated, translatePacket } from './translate.js';
import { describePacket, finishPacket, setMarks } from './verdict.js';

const { STATE, REASON: P_REASON, ZONE, CONNECTION, GENERATION: P_GENERATION } = PACKET;
const { PROTOCOL, HASH, FLAGS } = FACT;
const { STATUS } = CONN;
const { GENERATION } = RECORD;
const { FLAGS: A_FLAGS, ZONE: A_ZONE, TIMEOUT_POLICY: A_POLICY } = ACTION;
const { CANDIDATE, ACTION: ROW_ACTION } = ROW;
const { NEW, EST, REL, RPL, INV, TRK } = CT;
const { VALID, VALID_NEW, REPLACE, CHANGED } = UPDATE;
const NO_REASON = REASON.none;
/** A packet that was rewritten by an action before this one. */
const TRANSLATED = CT.SNAT | CT.DNAT;

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
  const isRelated = (facts[base + FLAGS] & FACT_RELATED) !== 0;
  // A packet that comes from another zone starts afresh.
  let state = packets[packet + ZONE] === zone ? packets[packet + STATE] & ~TRK : 0;
  let reason = (state & INV) === 0 ? NO_REASON : reasonBefore(packets[packet + P_REASON]);
  const wasTranslated = (state & TRANSLATED) !== 0;
  const isTranslating = (flags & ACTION_NAT) !== 0 && !wasTranslated;
  let record = state === 0 ? NONE : judgedConnection(tracker, packets, packet, region, flags);
  let isReply = record !== NONE && isReplyOf(tracker, record, base, key);
  let wasExpected = false;
  if (record !== NONE && isTranslating && !isRelated) {
    restoreSegment(tracker, base, recordAt(tracker.map, record), isReply);
  }
  if (record === NONE) {
    let found = findPacket(tracker, index, region, key, wasTranslated);
    // The connection may be in a region whose lock is not to be had: nobody knows, so none may be opened.
    const isUnknown = tracker.held === NO_REGION;
    isReply = ((found & 1) === 1) !== wasTranslated;
    if ((flags & ACTION_FORCE) !== 0 && found > 0 && isReply) {
      removeConnectionLocked(tracker, found >>> 1, EVENT.replaced);
      found = NOT_FOUND;
    }
    let opens = found <= 0 && !isRelated && !isUnknown;
    if (found > 0) {
      record = found >>> 1;
      const conn = recordAt(tracker.map, record);
      if (isTranslating && !isRelated) restoreSegment(tracker, base, conn, isReply);
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
      if (result >= 0 && (tracker.words[conn + STATUS] & STATUS_RELATED) !== 0) state |= REL;
    } else if (isUnknown) {
      state = INV;
      reason = REASON['table-locked'];
    } else if (isRelated) {
      state = INV;
      reason = REASON['icmp-error-unrelated'];
    }
    if (opens) {
      const helper = helperFor(tracker, action, key, record);
      if (record !== NONE) removeConnectionLocked(tracker, record, EVENT.replaced);
      const refusal = trackerOf(key & PROTOCOL_MASK).refusal(tracker, base);
      // As in OVS, an invalid packet to an announced port has mark, label and tuple of the parent, too.
      wasExpected = isExpected(tracker, base, key);
      const opened =
        refusal === NO_REASON
          ? openConnection(tracker, region, base, key, action, found, helper, wasExpected)
          : -refusal;
      state = refusal === NO_REASON ? NEW | (wasExpected ? REL : 0) : INV;
      isReply = false;
      record = Math.max(opened, NONE);
      reason = Math.max(-opened, NO_REASON);
    }
  }
  const rewrites = record !== NONE && (flags & ACTION_NAT) !== 0 && (state & TRANSLATED) === 0;
  const helped = record === NONE ? 0 : tracker.words[recordAt(tracker.map, record) + STATUS] & STATUS_HELPED;
  describePacket(tracker, packets, packet, base, record);
  if (record === NONE && wasExpected) describeExpected(tracker, packets, packet);
  if ((helped & STATUS_RELATED) !== 0) describeRelated(tracker, packets, packet, record);
  if (rewrites) state |= translatePacket(tracker, base, record, isReply, isRelated);
  // Mark and label of a connection that was announced stay those of its parent, as in OVS.
  if (record !== NONE && (flags & (ACTION_MARK | ACTION_LABEL)) !== 0 && (helped & STATUS_RELATED) === 0) {
    setMarks(tracker, packets, packet, record, action);
  }
  if (helped !== 0 && !isRelated && !wasTranslated) {
    const isValid = (state & INV) === 0;
    const why = handlePayload(tracker, packets, packet, base, record, isReply, isTranslating, isValid);
    if (why !== NO_REASON) {
      state |= INV;
      reason = why;
    }
  }
  finishPacket(tracker, packets, packet, state, reason, zone, record);
  // As in OVS, a packet that NAT has seen is looked up anew when it comes again.
  if ((flags & ACTION_NAT) !== 0) packets[packet + P_GENERATION] = 0;
  if (tracker.isAnnounced) publishExpectation(tracker);
}

/** The reason of a packet that was invalid when it came before. Whoever writes rows may have written any word there. */
function reasonBefore(word: number): number {
  return word >= 0 && word < REASON_COUNT ? word : NO_REASON;
}

/** Number of the helper of a new connection: the action's, or that of the connection it replaces, if it fits. */
function helperFor(tracker: Tracker, action: number, key: number, replaced: number): number {
  const { words, actions, map } = tracker;
  let helper = actions[action + ACTION.HELPER];
  if (helper === NO_HELPER && replaced !== NONE) {
    helper = (words[recordAt(map, replaced) + STATUS] & STATUS_HELPER) >>> STATUS_HELPER_SHIFT;
  }
  if (helper === NO_HELPER) return NO_HELPER;
  return HELPERS[helper - 1].protocol === (key & PROTOCOL_MASK) ? helper : NO_HELPER;
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
  if (wasTranslated) turnRound((key & FAMILY_IPV6) !== 0, facts, base);
  let found = NOT_FOUND;
  if (candidate !== NONE) found = checkCandidateLocked(tracker, candidate, base, key, hash);
  if (found <= 0) found = findConnectionLocked(tracker, region, base, key, hash);
  if (wasTranslated) turnRound((key & FAMILY_IPV6) !== 0, facts, base);
  return found;
}

/**
 * Opens a connection for a packet that may open one, if the action commits.
 * @param helper number of its helper, or NO_HELPER
 * @param wasExpected another connection has announced it, as `expected` says
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
  helper: number,
  wasExpected: boolean,
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
    (flags & ACTION_TRANSLATE) !== 0 || (wasExpected && (flags & ACTION_NAT) !== 0)
      ? createTranslated(tracker, region, base, key, hash, action, protocol, wasExpected)
      : createConnectionLocked(tracker, region, base, key, hash, protocol, policy);
  if (record <= 0) return record;
  tracker.counts[EVENT.created]++;
  if (tracker.top !== undefined) tracker.top.countNew(tracker.facts, base, zoneOf(key), tracker.now);
  if (wasExpected) adoptExpected(tracker, record);
  if (helper !== NO_HELPER) tracker.words[recordAt(tracker.map, record) + STATUS] |= helper << STATUS_HELPER_SHIFT;
  return record;
}
