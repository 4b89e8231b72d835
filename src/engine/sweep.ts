/**
 * Removing connections whose time is up, in small steps.
 *
 * A step looks at SCAN_RECORDS records without any lock: the words it reads may be changing, so what it finds is a hint.
 * It then locks the region once, for at most REMOVE_RECORDS records, decides again on each and removes it. A pass over
 * a million connections that live reads 64 MB in order and takes no lock at all.
 *
 * Lookups never return a connection that has ended, so verdicts do not depend on when the sweeper comes by.
 *
 * Imports clock, connections, counters, expected, tracker, sharedarraybuffer-hashmap, track/. Imported by engine/ and workers/.
 */
import {
  isLive,
  REGION,
  recordAt,
  regionAt,
  regionOfRecord,
  type SharedMap,
} from '../sharedarraybuffer-hashmap/index.js';
import { isExpired } from '../track/expiry.js';
import { regionClockLocked } from './clock.js';
import { removeConnectionLocked } from './connections.js';
import { EVENT } from './counters.js';
import { sweepExpectations } from './expected.js';
import { holdRegion, leaveRegion } from './hold.js';
import type { Tracker } from './tracker.js';

/** Records that a step looks at: some 20 µs. */
const SCAN_RECORDS = 4096;
/** Records that a step removes under the lock: some 5 µs. */
const REMOVE_RECORDS = 32;

/** Where a sweeper stands. The caller keeps it between steps. */
export interface SweepCursor {
  region: number;
  /** Records of the region looked at so far. */
  done: number;
  readonly found: Int32Array;
}

export function createSweepCursor(): SweepCursor {
  return { region: 0, done: 0, found: new Int32Array(REMOVE_RECORDS) };
}

/**
 * Does one step and moves the cursor on.
 * @param wallMs the wall clock in milliseconds, or 0 to go by the times of the packets alone
 * @returns false when the step ended a pass over all regions
 */
export function sweepStep(tracker: Tracker, cursor: SweepCursor, wallMs: number): boolean {
  const { map, counts } = tracker;
  const fresh = map.words[regionAt(map, cursor.region) + REGION.RECORD_FRESH];
  if (cursor.done >= fresh) {
    cursor.done = 0;
    cursor.region = (cursor.region + 1) % map.regions;
    if (cursor.region !== 0) return true;
    sweepExpectations(tracker, wallMs);
    return false;
  }
  const nowMs = Math.max(wallMs, regionClockLocked(map, cursor.region)); // a hint here, without the lock
  const first = cursor.region * map.recordsPerRegion + 1 + cursor.done;
  const scanned = scan(tracker, cursor, first, Math.min(SCAN_RECORDS, fresh - cursor.done), nowMs);
  cursor.done += scanned;
  counts[EVENT.sweepSteps]++;
  counts[EVENT.sweepRecords] += scanned;
  return true;
}

/** Looks at up to `count` records from `first` on, and removes what has ended. @returns how many it looked at */
function scan(tracker: Tracker, cursor: SweepCursor, first: number, count: number, nowMs: number): number {
  const { map, doubles } = tracker;
  let found = 0;
  let looked = 0;
  while (looked < count && found < REMOVE_RECORDS) {
    const record = first + looked++;
    if (isLive(map, record) && isExpired(doubles, recordAt(map, record), nowMs)) cursor.found[found++] = record;
  }
  if (found > 0) removeFound(tracker, cursor, found, nowMs);
  return looked;
}

function removeFound(tracker: Tracker, cursor: SweepCursor, found: number, nowMs: number): void {
  const { map, doubles, counts } = tracker;
  const region = regionOfRecord(map, cursor.found[0]);
  if (!holdRegion(tracker, region)) return;
  const lockedMs = performance.now();
  for (let index = 0; index < found; index++) {
    const record = cursor.found[index];
    if (isLive(map, record) && isExpired(doubles, recordAt(map, record), nowMs)) {
      removeConnectionLocked(tracker, record, EVENT.expired);
    }
  }
  const heldMs = performance.now() - lockedMs;
  leaveRegion(tracker);
  counts[EVENT.sweepLockMs] += heldMs;
  if (heldMs > counts[EVENT.sweepLongestLockMs]) counts[EVENT.sweepLongestLockMs] = heldMs;
}

/** Sweeps all regions once, without pause. For callers without a sweeper thread, and for tests. */
export function sweepAll(tracker: Tracker, cursor: SweepCursor, wallMs: number): void {
  cursor.region = 0;
  cursor.done = 0;
  while (sweepStep(tracker, cursor, wallMs)) {}
}

/** Records in use in all regions; a snapshot. */
export function isTableEmpty(map: SharedMap): boolean {
  for (let region = 0; region < map.regions; region++) {
    if (map.words[regionAt(map, region) + REGION.RECORDS_USED] !== 0) return false;
  }
  return true;
}
