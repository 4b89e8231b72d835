/**
 * Connections in the table: finding one by the key of a packet, creating, noticing that one changes, and removing.
 *
 * All functions need the lock of the region that the key, or the record, belongs to.
 *
 * Imports sharedarraybuffer-hashmap, track/, wire/facts, admission, classes, counters, evict, hold, membership, memory,
 * overload, policy, reply, room, succession, tracker. Imported by engine/ and control/.
 */
import { REASON } from '../reason.js';
import {
  annexAt,
  annexesUsedLocked,
  firstCandidateLocked,
  giveAnnexLocked,
  giveRecordLocked,
  insertLocked,
  isLive,
  NO_SLOT,
  NONE,
  nextCandidateLocked,
  RECORD,
  recordAt,
  recordInSlot,
  recordsUsedLocked,
  regionOfRecord,
  removeLocked,
  type SharedMap,
  takeAnnexLocked,
  takeRecordLocked,
} from '../sharedarraybuffer-hashmap/index.js';
import {
  ANNEX,
  annexOfConn,
  CONN,
  editsAnnexOfConn,
  parentAnnexOfConn,
  protocolOf,
  replyAnnexOfConn,
  STATUS_CLASS_SHIFT,
  STATUS_COUNTED,
  STATUS_EDITED,
  STATUS_NAT,
  STATUS_POLICY_SHIFT,
  STATUS_RELATED,
  STATUS_REVERSED,
  zoneOf,
} from '../track/connection.js';
import { hasEnded } from '../track/expiry.js';
import { CLASS, type L4Protocol } from '../track/protocol.js';
import { FACT, FAMILY_IPV6 } from '../wire/facts.js';
import { admit } from './admission.js';
import { listedClass } from './classes.js';
import { EVENT } from './counters.js';
import { victimLocked, zoneVictimLocked } from './evict.js';
import { holdRegion } from './hold.js';
import { enterListsLocked, leaveListsLocked } from './membership.js';
import type { EngineMemory } from './memory.js';
import { noticeFill } from './overload.js';
import {
  floodPolicyOf,
  NO_POLICY,
  POLICY_EVICTS,
  POLICY_EVICTS_AT_LIMIT,
  POLICY_HALF_OPEN,
  POLICY_KEEPS_RESERVE,
  ZONE_POLICY,
} from './policy.js';
import { leaveReply } from './reply.js';
import { isBeyondLimit, leaveZone, refusalOf, releaseConnections, reserveConnections } from './room.js';
import { NO_REGION } from './row.js';
import { noteSuccession } from './succession.js';
import type { Tracker } from './tracker.js';

const { HASH } = RECORD;
const { SRC, DST, PORTS, KEY, MARK, LABEL, STATUS } = CONN;
const { REPLY_SRC, REPLY_DST, REPLY_PORTS, REPLY_HASH } = CONN;
const { SRC: F_SRC, SRC0: F_SRC0, DST: F_DST, DST0: F_DST0, PORTS: F_PORTS, PORTS_REVERSED: F_PORTS_REVERSED } = FACT;
const { SRC: A_SRC, DST: A_DST } = ANNEX;

/** How a record's key compares with a packet's. */
const FORWARD = 0;
const REPLY = 1;
const DIFFERENT = -1;

/** No connection with that key. */
export const NOT_FOUND = 0;

function wordsEqual(a: Int32Array, atA: number, b: Int32Array, atB: number): boolean {
  return a[atA] === b[atB] && a[atA + 1] === b[atB + 1] && a[atA + 2] === b[atB + 2] && a[atA + 3] === b[atB + 3];
}

/** True when the tuple whose addresses and ports are given is that of the packet. */
function tupleEquals(
  tracker: Tracker,
  isIpv6: boolean,
  src: number,
  dst: number,
  ports: number,
  base: number,
): boolean {
  const { words, facts, map } = tracker;
  if (ports !== facts[base + F_PORTS]) return false;
  if (!isIpv6) return src === facts[base + F_SRC] && dst === facts[base + F_DST];
  const annex = annexAt(map, src);
  return (
    wordsEqual(words, annex + A_SRC, facts, base + F_SRC0) && wordsEqual(words, annex + A_DST, facts, base + F_DST0)
  );
}

/** The same for the packet turned round. */
function mirrorEquals(
  tracker: Tracker,
  isIpv6: boolean,
  src: number,
  dst: number,
  ports: number,
  base: number,
): boolean {
  const { words, facts, map } = tracker;
  if (ports !== facts[base + F_PORTS_REVERSED]) return false;
  if (!isIpv6) return src === facts[base + F_DST] && dst === facts[base + F_SRC];
  const annex = annexAt(map, src);
  return (
    wordsEqual(words, annex + A_SRC, facts, base + F_DST0) && wordsEqual(words, annex + A_DST, facts, base + F_SRC0)
  );
}

/** The reply direction of a translated connection is that of the packet. */
function replyEquals(tracker: Tracker, at: number, key: number, base: number): boolean {
  const { words } = tracker;
  const isIpv6 = (key & FAMILY_IPV6) !== 0;
  return tupleEquals(tracker, isIpv6, words[at + REPLY_SRC], words[at + REPLY_DST], words[at + REPLY_PORTS], base);
}

/**
 * The original direction is tried first, as in OVS: a packet to itself is never a reply. Needs the lock of the record's
 * region, which is not that of the packet's key when the packet is the reply of a translated connection.
 */
function compareKey(tracker: Tracker, record: number, base: number, key: number, hash: number): number {
  const { words, map } = tracker;
  const at = recordAt(map, record);
  if (words[at + KEY] !== key || !isLive(map, record)) return DIFFERENT;
  const isIpv6 = (key & FAMILY_IPV6) !== 0;
  const src = words[at + SRC];
  const dst = words[at + DST];
  const ports = words[at + PORTS];
  const isMirrored = (words[at + STATUS] & STATUS_REVERSED) === 0;
  if (words[at + HASH] === hash) {
    if (tupleEquals(tracker, isIpv6, src, dst, ports, base)) return FORWARD;
    return isMirrored && mirrorEquals(tracker, isIpv6, src, dst, ports, base) ? REPLY : DIFFERENT;
  }
  return !isMirrored && words[at + REPLY_HASH] === hash && replyEquals(tracker, at, key, base) ? REPLY : DIFFERENT;
}

/** What a match is returned as: see findConnectionLocked(). */
function answer(tracker: Tracker, record: number, direction: number): number {
  return hasEnded(tracker, recordAt(tracker.map, record)) ? -record : record * 2 + direction;
}

/**
 * Compares one record that is likely to be the right one: the first candidate, looked up when the batch came in.
 * @returns as findConnectionLocked(); NOT_FOUND means no more than "not this one"
 */
export function checkCandidateLocked(
  tracker: Tracker,
  record: number,
  base: number,
  key: number,
  hash: number,
): number {
  const direction = compareKey(tracker, record, base, key, hash);
  return direction === DIFFERENT ? NOT_FOUND : answer(tracker, record, direction);
}

function isOwnRecord(map: SharedMap, region: number, record: number): boolean {
  const index = record - 1 - region * map.recordsPerRegion;
  return index >= 0 && index < map.recordsPerRegion;
}

/**
 * Finds the connection that the facts at `base` belong to, in the zone that is part of `key` and of `hash`.
 *
 * The region is held. If the packet is the reply of a translated connection whose record is elsewhere, that region is
 * held afterwards instead (`tracker.held`); if a lock was not to be had, none is.
 *
 * @returns record * 2 + 1 in the reply direction, record * 2 in the original one; NOT_FOUND; or minus the record of a
 *   connection whose time is up and which the sweeper has not removed yet
 */
export function findConnectionLocked(
  tracker: Tracker,
  region: number,
  base: number,
  key: number,
  hash: number,
): number {
  const own = findOwnLocked(tracker, region, base, key, hash);
  const foreign = own > 0 ? 0 : countForeignLocked(tracker.map, region, hash);
  for (let nth = 0; nth < foreign; nth++) {
    const found = findForeign(tracker, region, nth, base, key, hash);
    if (found > 0 || tracker.held === NO_REGION) return found;
  }
  // To look elsewhere the region was left: what has ended may have been removed since, and its record be another's.
  return foreign === 0 ? own : findOwnLocked(tracker, region, base, key, hash);
}

/** The same among the records of the region. */
function findOwnLocked(tracker: Tracker, region: number, base: number, key: number, hash: number): number {
  const { map } = tracker;
  let ended = NOT_FOUND;
  let slot = firstCandidateLocked(map, region, hash);
  while (slot !== NO_SLOT) {
    const record = recordInSlot(map, slot);
    const found = isOwnRecord(map, region, record) ? checkCandidateLocked(tracker, record, base, key, hash) : NOT_FOUND;
    if (found > 0) return found;
    if (found < 0) ended = found;
    slot = nextCandidateLocked(map, region, hash, slot);
  }
  return ended;
}

/** Candidates whose records lie in other regions. */
function countForeignLocked(map: SharedMap, region: number, hash: number): number {
  let count = 0;
  let slot = firstCandidateLocked(map, region, hash);
  while (slot !== NO_SLOT) {
    if (!isOwnRecord(map, region, recordInSlot(map, slot))) count++;
    slot = nextCandidateLocked(map, region, hash, slot);
  }
  return count;
}

/** The `nth` candidate whose record lies in another region, if it is the packet's. Its region is then held. */
function findForeign(tracker: Tracker, region: number, nth: number, base: number, key: number, hash: number): number {
  const { map } = tracker;
  let left = nth;
  let slot = firstCandidateLocked(map, region, hash);
  while (slot !== NO_SLOT && (isOwnRecord(map, region, recordInSlot(map, slot)) || left-- > 0)) {
    slot = nextCandidateLocked(map, region, hash, slot);
  }
  if (slot === NO_SLOT) return NOT_FOUND;
  const record = recordInSlot(map, slot);
  if (!mayBeReply(tracker, record, base, key) || !holdRegion(tracker, regionOfRecord(map, record))) return NOT_FOUND;
  const found = checkCandidateLocked(tracker, record, base, key, hash);
  if (found <= 0) holdRegion(tracker, region);
  return Math.max(found, NOT_FOUND);
}

/** A look at a record of another region, without its lock: true when its reply direction seems to be the packet's. */
function mayBeReply(tracker: Tracker, record: number, base: number, key: number): boolean {
  const { words, map } = tracker;
  const at = recordAt(map, record);
  return words[at + KEY] === key && (words[at + STATUS] & STATUS_REVERSED) !== 0 && replyEquals(tracker, at, key, base);
}

/** Whom a tuple belongs to: nobody, the reply direction of a translated connection, any other connection. */
export const TUPLE = { FREE: 0, TRANSLATED: 1, OTHER: 2 } as const;

/**
 * Whether a tuple is that of a connection in either direction, or reserved for one that is being made: it cannot be
 * the reply direction of another. The region of the tuple is held.
 * @returns a TUPLE
 */
export function tupleUseLocked(tracker: Tracker, region: number, base: number, key: number, hash: number): number {
  const { map } = tracker;
  let slot = firstCandidateLocked(map, region, hash);
  while (slot !== NO_SLOT) {
    const record = recordInSlot(map, slot);
    const isReply = mayBeReply(tracker, record, base, key);
    const isSame =
      isReply || (isOwnRecord(map, region, record) && compareKey(tracker, record, base, key, hash) !== DIFFERENT);
    const isOver = isLive(map, record) && hasEnded(tracker, recordAt(map, record));
    if (isSame && !isOver) return isReply ? TUPLE.TRANSLATED : TUPLE.OTHER;
    slot = nextCandidateLocked(map, region, hash, slot);
  }
  return TUPLE.FREE;
}

/** Evictions for one new connection, of which other threads may take all but the last. */
const EVICTION_TRIES = 2;
/** The events of evictions lie in the order of the classes, which begin at 1. */
const EVICTED = EVENT.evictedHalfOpen - 1;

/**
 * Timeout policy of a new connection: what its action names, or else what its zone has. As in OVS the policy of a zone
 * is for TCP, UDP, ICMP and ICMPv6 (`ct_dpif_timeout_policy_support_ipproto()`).
 */
export function timeoutPolicyOf(memory: EngineMemory, key: number, named: number): number {
  if (named !== 0) return named;
  const protocol = protocolOf(key);
  const isFollowed = protocol === 6 || protocol === 17 || protocol === 1 || protocol === 58;
  return isFollowed ? Atomics.load(memory.zonePolicies, zoneOf(key)) : 0; // a setting, orders nothing
}

/**
 * Creates the connection that the facts at `base` open. The key must not be in the table.
 * @param policy number of the timeout policy that the action names, 0 for that of the zone
 * @returns its record, or minus the reason why there is none; the table is then as it was
 */
export function createConnectionLocked(
  tracker: Tracker,
  region: number,
  base: number,
  key: number,
  hash: number,
  protocol: L4Protocol,
  policy: number,
): number {
  const record = prepareConnectionLocked(tracker, region, base, key, protocol, policy);
  if (record < 0 || goLiveLocked(tracker, region, hash, record)) return record;
  abandonConnectionLocked(tracker, region, record);
  return -REASON['table-memory'];
}

/**
 * Counts a connection in, as its zone's policy allows and as there is room; a full table may make some.
 * @param policy first word of the zone's policy
 * @returns REASON.none, or why not
 */
function admitConnectionLocked(tracker: Tracker, region: number, base: number, key: number, policy: number): number {
  const { memory } = tracker;
  const zone = zoneOf(key);
  const refusal = admit(tracker, policy, base, key);
  if (refusal !== REASON.none) return refusal;
  let reason = reserveConnections(memory, zone, 1);
  // Another thread may be quicker to take what was freed.
  for (let tries = 0; reason !== REASON.none && tries < EVICTION_TRIES && !isBeyondLimit(memory, zone); tries++) {
    const isMade =
      reason === REASON['zone-full']
        ? evictOfZoneLocked(tracker, region, policy, key)
        : evictLocked(tracker, region, policy, key);
    if (!isMade) break;
    reason = reserveConnections(memory, zone, 1);
  }
  noticeFill(tracker);
  return reason;
}

/** Whether a new connection needs the annex of one that gives way. */
function needsAnnexLocked(map: SharedMap, region: number, key: number): boolean {
  return (key & FAMILY_IPV6) !== 0 && annexesUsedLocked(map, region) === map.annexesPerRegion;
}

/**
 * The connection of the region that is cheapest to lose and makes room for one with that key, NONE if the policy does not
 * evict or there is none.
 */
function cheapestLocked(tracker: Tracker, region: number, policy: number, key: number): number {
  const flags = tracker.memory.floodPolicies[policy + ZONE_POLICY.FLAGS];
  if ((flags & POLICY_EVICTS) === 0) return NONE;
  const needsAnnex = needsAnnexLocked(tracker.map, region, key);
  return victimLocked(tracker, region, needsAnnex, (flags & POLICY_KEEPS_RESERVE) !== 0);
}

/** Removes that. */
function evictLocked(tracker: Tracker, region: number, policy: number, key: number): boolean {
  return removeVictimLocked(tracker, cheapestLocked(tracker, region, policy, key));
}

/**
 * The same for a connection that takes its place, and notes it in the tracker's succession. Not for one that needs an annex:
 * the oldest of a class, which the succession goes by, may have none.
 * @returns whether one was removed
 */
export function succeedLocked(tracker: Tracker, region: number, policy: number, key: number): boolean {
  const { words, map, memory, counts, succession } = tracker;
  const victim = needsAnnexLocked(map, region, key) ? NONE : cheapestLocked(tracker, region, policy, key);
  if (victim === NONE) return false;
  const conn = recordAt(map, victim);
  const ofClass = listedClass(words, conn);
  const zone = zoneOf(words[conn + KEY]);
  counts[EVICTED + ofClass]++;
  takeOutLocked(tracker, region, victim);
  if (noteSuccession(succession, ofClass)) leaveZone(memory, zone);
  return true;
}

/** The same for one of a zone that is at its limit. */
function evictOfZoneLocked(tracker: Tracker, region: number, policy: number, key: number): boolean {
  const flags = tracker.memory.floodPolicies[policy + ZONE_POLICY.FLAGS];
  if ((flags & POLICY_EVICTS_AT_LIMIT) === 0) return false;
  // If an annex is needed, takeOrEvictLocked() takes it from one of any zone.
  if (needsAnnexLocked(tracker.map, region, key) && cheapestLocked(tracker, region, policy, key) === NONE) return false;
  return removeVictimLocked(tracker, zoneVictimLocked(tracker, region, zoneOf(key)));
}

function removeVictimLocked(tracker: Tracker, victim: number): boolean {
  if (victim === NONE) return false;
  removeConnectionLocked(tracker, victim, EVICTED + listedClass(tracker.words, recordAt(tracker.map, victim)));
  return true;
}

/** A record for a connection, from the region's slab or, where the policy evicts, from another connection. */
function takeOrEvictLocked(tracker: Tracker, region: number, base: number, key: number, policy: number): number {
  const record = takeConnection(tracker, region, base, key);
  if (record !== NONE || policy === NO_POLICY) return record;
  return evictLocked(tracker, region, policy, key) ? takeConnection(tracker, region, base, key) : NONE;
}

/** STATUS bits that say on which lists and among which counts a new connection is to be: see enterListsLocked(). */
export function listsOf(tracker: Tracker, policy: number, itsClass: number): number {
  if (policy === NO_POLICY) return 0;
  const flags = tracker.memory.floodPolicies[policy + ZONE_POLICY.FLAGS];
  const isCounted = (flags & POLICY_HALF_OPEN) !== 0 && itsClass === CLASS['half-open'];
  return ((flags & POLICY_EVICTS) !== 0 ? itsClass << STATUS_CLASS_SHIFT : 0) | (isCounted ? STATUS_COUNTED : 0);
}

/**
 * Counts a connection in, unless its region has no record for it: what is counted in and not made would have others
 * refused meanwhile.
 * @returns REASON.none, or why not
 */
function countConnectionLocked({ memory, map }: Tracker, region: number, zone: number): number {
  if (recordsUsedLocked(map, region) < map.recordsPerRegion) return reserveConnections(memory, zone, 1);
  const refusal = refusalOf(memory, zone);
  return refusal === REASON.none ? REASON['table-memory'] : refusal;
}

/**
 * The first half of a creation: counts the connection, takes a record and fills it in. Nobody finds it yet, and it is on
 * no list, although its STATUS says already on which it will be.
 * @returns the record, to be inserted or abandoned; or minus the reason why there is none
 */
export function prepareConnectionLocked(
  tracker: Tracker,
  region: number,
  base: number,
  key: number,
  protocol: L4Protocol,
  timeoutPolicy: number,
): number {
  const { words, memory } = tracker;
  const zone = zoneOf(key);
  const policy = floodPolicyOf(memory, zone);
  const reason =
    policy === NO_POLICY
      ? countConnectionLocked(tracker, region, zone)
      : admitConnectionLocked(tracker, region, base, key, policy);
  if (reason !== REASON.none) return -reason;
  const record = takeOrEvictLocked(tracker, region, base, key, policy);
  if (record === NONE) {
    releaseConnections(memory, zone, 1);
    return -REASON['table-memory'];
  }
  const conn = recordAt(tracker.map, record);
  words[conn + STATUS] = timeoutPolicyOf(memory, key, timeoutPolicy) << STATUS_POLICY_SHIFT;
  protocol.create(tracker, conn, base);
  if (policy !== NO_POLICY) words[conn + STATUS] |= listsOf(tracker, policy, protocol.classOf(words, conn));
  return record;
}

/**
 * The second half: from here on the connection is found, listed and counted.
 * @returns false when the index has no room; the record is then to be abandoned
 */
export function goLiveLocked(tracker: Tracker, region: number, hash: number, record: number): boolean {
  if (!insertLocked(tracker.map, region, hash, record)) return false;
  enterListsLocked(tracker, region, record);
  return true;
}

/** Gives back a connection that was prepared and is not in the index. */
export function abandonConnectionLocked(tracker: Tracker, region: number, record: number): void {
  const zone = zoneOf(tracker.words[recordAt(tracker.map, record) + KEY]);
  giveConnection(tracker, region, record);
  releaseConnections(tracker.memory, zone, 1);
}

/** Takes an annex and writes the IPv6 addresses of the facts at `base` into it. NONE when the region has none left. */
export function takeAddressesLocked(tracker: Tracker, region: number, base: number): number {
  const { map, words, facts } = tracker;
  const annex = takeAnnexLocked(map, region);
  if (annex === NONE) return NONE;
  const from = annexAt(map, annex);
  for (let word = 0; word < 4; word++) {
    words[from + A_SRC + word] = facts[base + F_SRC0 + word];
    words[from + A_DST + word] = facts[base + F_DST0 + word];
  }
  return annex;
}

/** Takes a record, with its annex if it needs one, and fills in all but the L4 part. NONE when there is no room. */
function takeConnection(tracker: Tracker, region: number, base: number, key: number): number {
  const { map, words, facts } = tracker;
  const record = takeRecordLocked(map, region);
  if (record === NONE) return NONE;
  const at = recordAt(map, record);
  if ((key & FAMILY_IPV6) !== 0) {
    const annex = takeAddressesLocked(tracker, region, base);
    if (annex === NONE) {
      giveRecordLocked(map, region, record);
      return NONE;
    }
    words[at + SRC] = annex;
    words[at + DST] = 0;
  } else {
    words[at + SRC] = facts[base + F_SRC];
    words[at + DST] = facts[base + F_DST];
  }
  words[at + PORTS] = facts[base + F_PORTS];
  words[at + KEY] = key;
  words[at + MARK] = 0;
  for (let word = 0; word < 4; word++) words[at + LABEL + word] = 0;
  return record;
}

/** Frees a record with its annexes and its entry for the reply direction. */
function giveConnection(tracker: Tracker, region: number, record: number): void {
  const { words, map } = tracker;
  const at = recordAt(map, record);
  if ((words[at + STATUS] & STATUS_HAS_MORE) !== 0) giveMore(tracker, at, record);
  const annex = annexOfConn(words, at);
  if (annex !== NONE) giveAnnexLocked(map, annex);
  words[at + STATUS] = 0;
  giveRecordLocked(map, region, record);
}

/** Connections with more than a record and the annex of IPv6: other annexes, or an entry for the reply direction. */
const STATUS_HAS_MORE = STATUS_NAT | STATUS_RELATED | STATUS_EDITED | STATUS_REVERSED;

function giveMore(tracker: Tracker, at: number, record: number): void {
  const { words, map } = tracker;
  const replyAnnex = replyAnnexOfConn(words, at);
  if ((words[at + STATUS] & STATUS_REVERSED) !== 0) leaveReply(tracker, at, record);
  if (replyAnnex !== NONE) giveAnnexLocked(map, replyAnnex);
  const parentAnnex = parentAnnexOfConn(words, at);
  const editsAnnex = editsAnnexOfConn(words, at);
  if (parentAnnex !== NONE) giveAnnexLocked(map, parentAnnex);
  if (editsAnnex !== NONE) giveAnnexLocked(map, editsAnnex);
}

/** Takes a live connection out of the table, but not out of the counts that room.ts keeps. */
export function takeOutLocked(tracker: Tracker, region: number, record: number): void {
  leaveListsLocked(tracker, region, record);
  removeLocked(tracker.map, region, record);
  giveConnection(tracker, region, record);
}

/** Removes a live connection and counts it under `event` (EVENT). */
export function removeConnectionLocked(tracker: Tracker, record: number, event: number): void {
  const zone = zoneOf(tracker.words[recordAt(tracker.map, record) + KEY]);
  takeOutLocked(tracker, regionOfRecord(tracker.map, record), record);
  releaseConnections(tracker.memory, zone, 1);
  tracker.counts[event]++;
}
