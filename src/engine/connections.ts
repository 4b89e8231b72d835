/**
 * Connections in the table: finding one by the key of a packet, creating and removing.
 *
 * All functions need the lock of the region that the key, or the record, belongs to.
 *
 * Imports sharedarraybuffer-hashmap, track/, wire/facts, memory, counters, tracker. Imported by engine/ and control/.
 */
import { REASON } from '../reason.js';
import {
  annexAt,
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
  removeLocked,
  takeAnnexLocked,
  takeRecordLocked,
} from '../sharedarraybuffer-hashmap/index.js';
import { ANNEX, annexOfConn, CONN } from '../track/connection.js';
import { isExpired } from '../track/expiry.js';
import type { L4Protocol } from '../track/protocol.js';
import { FACT, FAMILY_IPV6 } from '../wire/facts.js';
import { CONTROL } from './memory.js';
import type { Tracker } from './tracker.js';

const { HASH } = RECORD;
const { SRC, DST, PORTS, KEY, MARK, LABEL } = CONN;
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

/** The original direction is tried first, as in OVS: a packet to itself is never a reply. */
function compareKey(tracker: Tracker, record: number, base: number, key: number, hash: number): number {
  const { words, facts, map } = tracker;
  const at = recordAt(map, record);
  if (words[at + KEY] !== key || words[at + HASH] !== hash || !isLive(map, record)) return DIFFERENT;
  const ports = words[at + PORTS];
  if ((key & FAMILY_IPV6) !== 0) {
    const annex = annexAt(map, words[at + SRC]);
    if (
      ports === facts[base + F_PORTS] &&
      wordsEqual(words, annex + A_SRC, facts, base + F_SRC0) &&
      wordsEqual(words, annex + A_DST, facts, base + F_DST0)
    ) {
      return FORWARD;
    }
    const isReply =
      ports === facts[base + F_PORTS_REVERSED] &&
      wordsEqual(words, annex + A_SRC, facts, base + F_DST0) &&
      wordsEqual(words, annex + A_DST, facts, base + F_SRC0);
    return isReply ? REPLY : DIFFERENT;
  }
  const src = words[at + SRC];
  const dst = words[at + DST];
  if (src === facts[base + F_SRC] && dst === facts[base + F_DST] && ports === facts[base + F_PORTS]) return FORWARD;
  const isReply =
    src === facts[base + F_DST] && dst === facts[base + F_SRC] && ports === facts[base + F_PORTS_REVERSED];
  return isReply ? REPLY : DIFFERENT;
}

/** What a match is returned as: see findConnectionLocked(). */
function answer(tracker: Tracker, record: number, direction: number, nowMs: number): number {
  return isExpired(tracker.doubles, recordAt(tracker.map, record), nowMs) ? -record : record * 2 + direction;
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
  nowMs: number,
): number {
  const direction = compareKey(tracker, record, base, key, hash);
  return direction === DIFFERENT ? NOT_FOUND : answer(tracker, record, direction, nowMs);
}

/**
 * Finds the connection that the facts at `base` belong to, in the zone that is part of `key` and of `hash`.
 * @returns record * 2 + 1 in the reply direction, record * 2 in the original one; NOT_FOUND; or minus the record of a
 *   connection whose time is up and which the sweeper has not removed yet
 */
export function findConnectionLocked(
  tracker: Tracker,
  region: number,
  base: number,
  key: number,
  hash: number,
  nowMs: number,
): number {
  const { map } = tracker;
  let slot = firstCandidateLocked(map, region, hash);
  while (slot !== NO_SLOT) {
    const record = recordInSlot(map, slot);
    const direction = compareKey(tracker, record, base, key, hash);
    if (direction !== DIFFERENT) return answer(tracker, record, direction, nowMs);
    slot = nextCandidateLocked(map, region, hash, slot);
  }
  return NOT_FOUND;
}

/** Counts a connection in, unless that would be one too many. Exact among all threads. */
function reserveConnection(control: Int32Array): boolean {
  const most = Atomics.load(control, CONTROL.MAX_CONNECTIONS); // orders nothing: a setting
  let count = Atomics.load(control, CONTROL.CONNECTIONS); // orders nothing: the compare-exchange decides
  while (count < most) {
    const seen = Atomics.compareExchange(control, CONTROL.CONNECTIONS, count, count + 1); // counts the connection
    if (seen === count) return true;
    count = seen;
  }
  return false;
}

function releaseConnection(control: Int32Array): void {
  Atomics.sub(control, CONTROL.CONNECTIONS, 1); // counts the connection out
}

/**
 * Creates the connection that the facts at `base` open. The key must not be in the table.
 * @returns its record, or minus the reason why there is none; the table is then as it was
 */
export function createConnectionLocked(
  tracker: Tracker,
  region: number,
  base: number,
  key: number,
  hash: number,
  protocol: L4Protocol,
  nowMs: number,
): number {
  const { control } = tracker.memory;
  if (!reserveConnection(control)) return -REASON['table-full'];
  const record = takeConnection(tracker, region, base, key);
  if (record !== NONE) {
    const at = recordAt(tracker.map, record);
    protocol.create(tracker, at, base, nowMs);
    if (insertLocked(tracker.map, region, hash, record)) return record;
    giveConnection(tracker, record);
  }
  releaseConnection(control);
  return -REASON['table-memory'];
}

/** Takes a record, with its annex if it needs one, and fills in all but the L4 part. NONE when there is no room. */
function takeConnection(tracker: Tracker, region: number, base: number, key: number): number {
  const { map, words, facts } = tracker;
  const record = takeRecordLocked(map, region);
  if (record === NONE) return NONE;
  const at = recordAt(map, record);
  if ((key & FAMILY_IPV6) !== 0) {
    const annex = takeAnnexLocked(map, region);
    if (annex === NONE) {
      giveRecordLocked(map, record);
      return NONE;
    }
    const from = annexAt(map, annex);
    for (let word = 0; word < 4; word++) {
      words[from + A_SRC + word] = facts[base + F_SRC0 + word];
      words[from + A_DST + word] = facts[base + F_DST0 + word];
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

function giveConnection(tracker: Tracker, record: number): void {
  const annex = annexOfConn(tracker.words, recordAt(tracker.map, record));
  if (annex !== NONE) giveAnnexLocked(tracker.map, annex);
  giveRecordLocked(tracker.map, record);
}

/** Removes a live connection and counts it under `event` (EVENT). */
export function removeConnectionLocked(tracker: Tracker, record: number, event: number): void {
  removeLocked(tracker.map, record);
  giveConnection(tracker, record);
  releaseConnection(tracker.memory.control);
  tracker.counts[event]++;
}
