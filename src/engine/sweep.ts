/**
 * Removing connections whose time is up, in small steps.
 *
 * A step looks at SCAN_RECORDS records at most, a chunk, without any lock: the words it reads may be changing, so what it
 * finds is a hint. Of REMOVE_RECORDS records at most it asks for the cache lines that a removal needs; then it locks the
 * region for LOCKED_RECORDS of them at a time, decides again on each and removes it.
 *
 * For each chunk the sweeper remembers when the next connection in it ends, and leaves the chunk alone until then: a
 * million established connections cost nothing. What is made or shortened meanwhile is not overlooked, because nothing
 * ends sooner than the shortest timeout after it was looked at; packets that bring older times than that, and timeouts
 * that are changed, are found within MAX_QUIET_MS.
 *
 * Lookups never return a connection that has ended, so verdicts do not depend on when the sweeper comes by, unless the
 * table is so full that a policy shrinks timeouts: see overload.ts.
 *
 * Imports clock, connections, counters, expected, histogram, hold, memory, overload, tracker, sharedarraybuffer-hashmap,
 * track/. Imported by engine/ and workers/.
 */
import {
  homeBucketAt,
  isLive,
  RECORD,
  REGION,
  recordAt,
  regionAt,
  type SharedMap,
} from '../sharedarraybuffer-hashmap/index.js';
import { CONN, zoneOf } from '../track/connection.js';
import { expiryOf } from '../track/expiry.js';
import { shortestTimeoutMs } from '../track/timeouts.js';
import { sweepTimeMs } from './clock.js';
import { takeOutLocked } from './connections.js';
import { EVENT } from './counters.js';
import { sweepExpectations } from './expected.js';
import { type Bucket, bucketsOf, type Quantiles, recordDuration, sumHistograms } from './histogram.js';
import { holdRegion, leaveRegion } from './hold.js';
import { CONTROL, type EngineMemory } from './memory.js';
import {
  createTimeoutFactors,
  forgetZone,
  isEmergency,
  isShrinking,
  noticeRoom,
  readTimeoutFactors,
  shortenedMs,
  type TimeoutFactors,
} from './overload.js';
import { releaseConnections } from './room.js';
import type { Tracker } from './tracker.js';

const { GENERATION, HASH } = RECORD;
const { KEY, ZONE_NEXT, ZONE_PREVIOUS } = CONN;

/** Records that a step looks at: some 20 µs. */
const SCAN_RECORDS = 4096;
/** Records that a step removes: so many that their cache misses overlap. */
const REMOVE_RECORDS = 64;
/** Records that are removed under one lock: some 2 µs. */
const LOCKED_RECORDS = 16;
/** No zone's number. */
const NO_ZONE = -1;
/** How long a chunk is left alone at the most. */
const MAX_QUIET_MS = 5000;
/** Lags are recorded in thousandths, so that the histogram, which says microseconds, says milliseconds of them. */
const LAG_SCALE = 1 / 1000;

/** How long nothing that is made from now on ends. @param shortestMs the shortest timeout */
function quietMs(shortestMs: number): number {
  return Math.min(shortestMs, MAX_QUIET_MS);
}

/** Where a sweeper stands. The caller keeps it between steps. */
export interface SweepCursor {
  region: number;
  /** Records of the region looked at so far, or passed over. */
  done: number;
  readonly found: Int32Array;
  /** How late those were, in milliseconds, that were removed under the lock that is held. */
  readonly lagsMs: Float64Array;
  /** By region and chunk: before this time, in milliseconds, nothing in it ends. */
  readonly dueMs: Float64Array;
  /** The earliest end seen so far in the chunk at hand. */
  earliestMs: number;
  /** What is left of timeouts in this pass, and the shortest of them as they are set. */
  readonly factors: TimeoutFactors;
  isShrinking: boolean;
  shortestMs: number;
  /** Takes the values that are read only to bring their cache line near. */
  touched: number;
}

function chunksOf(map: SharedMap): number {
  return Math.ceil(map.recordsPerRegion / SCAN_RECORDS);
}

export function createSweepCursor(map: SharedMap): SweepCursor {
  return {
    region: 0,
    done: 0,
    found: new Int32Array(REMOVE_RECORDS),
    lagsMs: new Float64Array(LOCKED_RECORDS),
    dueMs: new Float64Array(map.regions * chunksOf(map)),
    earliestMs: Number.POSITIVE_INFINITY,
    factors: createTimeoutFactors(),
    isShrinking: false,
    shortestMs: 0,
    touched: 0,
  };
}

function startPass(tracker: Tracker, cursor: SweepCursor): void {
  noticeRoom(tracker);
  const wasShrinking = cursor.isShrinking;
  readTimeoutFactors(tracker.memory, cursor.factors);
  cursor.isShrinking = isShrinking(cursor.factors);
  // What was to end late ends sooner now, or again later: nothing is known of any chunk.
  if (wasShrinking || cursor.isShrinking) cursor.dueMs.fill(0);
  cursor.shortestMs = shortestTimeoutMs(tracker.timeoutsMs);
}

/**
 * Does one step and moves the cursor on.
 * @param wallMs the wall clock in milliseconds, or 0 to go by the times of the packets alone
 * @returns false when the step ended a pass over all regions
 */
export function sweepStep(tracker: Tracker, cursor: SweepCursor, wallMs: number): boolean {
  const { map, counts } = tracker;
  if (cursor.region === 0 && cursor.done === 0) startPass(tracker, cursor);
  const nowMs = sweepTimeMs(map, cursor.region, wallMs);
  const fresh = map.words[regionAt(map, cursor.region) + REGION.RECORD_FRESH];
  passOver(cursor, fresh, nowMs, map);
  if (cursor.done >= fresh) {
    cursor.done = 0;
    cursor.region = (cursor.region + 1) % map.regions;
    if (cursor.region !== 0) return true;
    sweepExpectations(tracker, wallMs);
    return false;
  }
  const startMs = performance.now();
  forgetZone(cursor.factors);
  const chunk = chunkAt(cursor, map);
  const first = cursor.region * map.recordsPerRegion + 1 + cursor.done;
  const ahead = SCAN_RECORDS - (cursor.done % SCAN_RECORDS);
  if (ahead === SCAN_RECORDS) cursor.earliestMs = Number.POSITIVE_INFINITY;
  const scanned = scan(tracker, cursor, first, Math.min(ahead, fresh - cursor.done), nowMs);
  cursor.done += scanned;
  if (scanned === ahead || cursor.done === fresh) {
    cursor.dueMs[chunk] = Math.min(cursor.earliestMs, nowMs + quietMs(cursor.shortestMs));
  }
  counts[EVENT.sweepSteps]++;
  counts[EVENT.sweepRecords] += scanned;
  recordDuration(tracker.sweepStepTimes, performance.now() - startMs);
  return true;
}

/** The chunk that the cursor is in. */
function chunkAt(cursor: SweepCursor, map: SharedMap): number {
  return cursor.region * chunksOf(map) + Math.floor(cursor.done / SCAN_RECORDS);
}

/** Moves on to the next chunk in which something may have ended, or to the end of the region. */
function passOver(cursor: SweepCursor, fresh: number, nowMs: number, map: SharedMap): void {
  while (cursor.done < fresh && cursor.done % SCAN_RECORDS === 0) {
    const leftMs = cursor.dueMs[chunkAt(cursor, map)] - nowMs;
    // What is due later than any chunk may be was looked at by a clock that has gone back since.
    if (!(leftMs > 0 && leftMs <= MAX_QUIET_MS)) return;
    cursor.done += SCAN_RECORDS;
  }
}

/** When a connection ends, in milliseconds; sooner than it says if timeouts are shrunk. */
function endOf(tracker: Tracker, cursor: SweepCursor, conn: number): number {
  const endsMs = expiryOf(tracker.doubles, conn);
  return cursor.isShrinking ? endsMs - shortenedMs(tracker, conn, cursor.factors) : endsMs;
}

/** Looks at up to `count` records from `first` on, and removes what has ended. @returns how many it looked at */
function scan(tracker: Tracker, cursor: SweepCursor, first: number, count: number, nowMs: number): number {
  const { map, words } = tracker;
  const { found: records } = cursor;
  const { recordWords } = map;
  let found = 0;
  let looked = 0;
  let earliestMs = cursor.earliestMs;
  let at = recordAt(map, first);
  for (; looked < count && found < REMOVE_RECORDS; looked++, at += recordWords) {
    if ((words[at + GENERATION] & 1) === 0) continue;
    const endsMs = endOf(tracker, cursor, at);
    // Asked so that an end that is no number has come, as in isExpired().
    if (!(nowMs < endsMs)) records[found++] = first + looked;
    else if (endsMs < earliestMs) earliestMs = endsMs;
  }
  cursor.earliestMs = earliestMs;
  if (found > 0) removeFound(tracker, cursor, found, nowMs);
  return looked;
}

/**
 * Reads a word of each cache line that the removals write to, so that the lock is not held while they come. Buckets lie
 * anywhere, and a short loop has more of them under way at a time: in one loop with the rest a removal takes up to a tenth more.
 */
function touchFound(tracker: Tracker, cursor: SweepCursor, region: number, count: number): void {
  const { map, words } = tracker;
  const { found } = cursor;
  let touched = 0;
  for (let index = 0; index < count; index++) {
    touched ^= words[homeBucketAt(map, region, words[recordAt(map, found[index]) + HASH])];
  }
  for (let index = 0; index < count; index++) {
    const conn = recordAt(map, found[index]);
    // Links may change at any moment: what they name is a record of the map whatever happens.
    touched ^= words[recordAt(map, words[conn + ZONE_NEXT]) + ZONE_NEXT];
    touched ^= words[recordAt(map, words[conn + ZONE_PREVIOUS]) + ZONE_NEXT];
  }
  cursor.touched ^= touched;
}

function removeFound(tracker: Tracker, cursor: SweepCursor, found: number, nowMs: number): void {
  touchFound(tracker, cursor, cursor.region, found);
  for (let from = 0; from < found; from += LOCKED_RECORDS) {
    const end = Math.min(found, from + LOCKED_RECORDS);
    if (removeFew(tracker, cursor, from, end, nowMs)) continue;
    // The lock is not to be had: they stay, and the chunk is looked at again in the next pass.
    cursor.earliestMs = nowMs;
    return;
  }
}

/** Removes those from place `from` on before `end` under one lock. @returns false when that is not to be had */
function removeFew(tracker: Tracker, cursor: SweepCursor, from: number, end: number, nowMs: number): boolean {
  const { map, counts } = tracker;
  const { region } = cursor;
  if (!holdRegion(tracker, region)) return false;
  const lockedMs = performance.now();
  let zone = NO_ZONE;
  let removed = 0;
  let late = 0;
  for (let index = from; index < end; index++) {
    const record = cursor.found[index];
    if (!isLive(map, record)) continue;
    const endsMs = endOf(tracker, cursor, recordAt(map, record));
    if (nowMs < endsMs) {
      cursor.earliestMs = Math.min(cursor.earliestMs, endsMs);
      continue;
    }
    cursor.lagsMs[late++] = Math.max(0, nowMs - endsMs);
    const itsZone = zoneOf(tracker.words[recordAt(map, record) + KEY]);
    if (itsZone !== zone) {
      countOut(tracker, zone, removed);
      zone = itsZone;
      removed = 0;
    }
    takeOutLocked(tracker, region, record);
    removed++;
  }
  countOut(tracker, zone, removed);
  const heldMs = performance.now() - lockedMs;
  leaveRegion(tracker);
  for (let index = 0; index < late; index++) recordDuration(tracker.sweepLags, cursor.lagsMs[index] * LAG_SCALE);
  counts[EVENT.sweepLocks]++;
  counts[EVENT.sweepLockMs] += heldMs;
  if (heldMs > counts[EVENT.sweepLongestLockMs]) counts[EVENT.sweepLongestLockMs] = heldMs;
  return true;
}

/** Counts connections of a zone that were removed one after the other, all at once: see room.ts. */
function countOut(tracker: Tracker, zone: number, removed: number): void {
  if (removed === 0) return;
  releaseConnections(tracker.memory, zone, removed);
  tracker.counts[EVENT.expired] += removed;
}

/**
 * Sweeps all regions once, without pause, and looks at every record. For callers without a sweeper thread, whose clock
 * may also go back.
 */
export function sweepAll(tracker: Tracker, cursor: SweepCursor, wallMs: number): void {
  cursor.region = 0;
  cursor.done = 0;
  cursor.dueMs.fill(0);
  while (sweepStep(tracker, cursor, wallMs)) {}
}

/** No record is in use; a snapshot. */
export function isTableEmpty(map: SharedMap): boolean {
  for (let region = 0; region < map.regions; region++) {
    if (map.words[regionAt(map, region) + REGION.RECORDS_USED] !== 0) return false;
  }
  return true;
}

/** True when a pass would find nothing: no connection, and no emergency that has to be ended. */
export function isIdle({ map, memory }: Tracker): boolean {
  const changes = Atomics.load(memory.control, CONTROL.EMERGENCY); // orders nothing: the next pass looks again
  return isTableEmpty(map) && !isEmergency(changes);
}

/**
 * How long a sweeper may sleep after a pass: until the next connection ends, at least for the interval that is set.
 * @param wallMs the wall clock in milliseconds, or 0 when packets bring the time: then nobody knows when that is
 */
export function pauseMs(tracker: Tracker, cursor: SweepCursor, wallMs: number): number {
  const { map, memory } = tracker;
  const intervalMs = Atomics.load(memory.control, CONTROL.SWEEP_INTERVAL_MS); // a setting
  if (wallMs === 0) return intervalMs;
  if (isTableEmpty(map)) return Math.max(intervalMs, quietMs(shortestTimeoutMs(tracker.timeoutsMs)));
  let nextMs = wallMs + MAX_QUIET_MS;
  for (let region = 0; region < map.regions; region++) {
    const fresh = map.words[regionAt(map, region) + REGION.RECORD_FRESH];
    const first = region * chunksOf(map);
    for (let chunk = 0; chunk * SCAN_RECORDS < fresh; chunk++) nextMs = Math.min(nextMs, cursor.dueMs[first + chunk]);
  }
  return Math.max(intervalMs, nextMs - wallMs);
}

export interface SweepTimes {
  /** Durations of steps, in microseconds; a step holds a lock for a part of it, if at all. */
  readonly stepUs: Quantiles;
  /** How long after their end connections were removed by a sweeper, in milliseconds. */
  readonly lagMs: Quantiles;
}

/** The same in full: how many there were in each bucket. */
export interface SweepHistograms {
  readonly stepUs: readonly Bucket[];
  readonly lagMs: readonly Bucket[];
}

export function readSweepHistograms(memory: EngineMemory): SweepHistograms {
  return { stepUs: bucketsOf(memory.sweepStepTimes), lagMs: bucketsOf(memory.sweepLags) };
}

/** What all threads that sweep have recorded so far. */
export function readSweepTimes(memory: EngineMemory): SweepTimes {
  return { stepUs: sumHistograms(memory.sweepStepTimes), lagMs: sumHistograms(memory.sweepLags) };
}
