/**
 * The one lock that a thread may hold: going to a region and leaving it.
 *
 * A connection under NAT has two entries in the index, and the second may be in another region than its record. Such an
 * entry is removed when the thread holds no lock: removeConnectionLocked() notes it in `leaving`, and leaving the
 * region does the rest. Until then the entry names a record that is dead or another's, which every lookup notices,
 * because it compares the key under the lock of the record's region.
 *
 * Imports counters, region, tracker, nat/used-ports, sharedarraybuffer-hashmap. Imported by engine/ and control/.
 */
import { clearUsedLocked } from '../nat/used-ports.js';
import { leaveLocked, lockFreeRegion, lockRegion, regionAt, unlockRegion } from '../sharedarraybuffer-hashmap/index.js';
import { EVENT } from './counters.js';
import { REGION_WORD } from './region.js';
import { NO_REGION } from './row.js';
import { LEAVING_WORDS, type Tracker } from './tracker.js';

/**
 * Locks a region, after leaving the one that is held.
 * @returns false when it stays locked by others; no region is held then
 */
export function holdRegion(tracker: Tracker, region: number): boolean {
  if (tracker.held === region) return true;
  leaveRegion(tracker);
  if (!lockFreeRegion(tracker.map, region, tracker.owner) && !waitForRegion(tracker, region)) return false;
  tracker.held = region;
  tracker.tcpCountsAt = regionAt(tracker.map, region) + REGION_WORD.TCP_STATES;
  tracker.latestMs[0] = 0;
  return true;
}

/** Waits for the lock of a region that somebody else holds, and notes for how long. */
function waitForRegion({ map, owner, counts }: Tracker, region: number): boolean {
  const startedMs = performance.now();
  const isLocked = lockRegion(map, region, owner);
  const waitedMs = performance.now() - startedMs;
  counts[EVENT.lockWaits]++;
  counts[EVENT.lockWaitMs] += waitedMs;
  if (waitedMs > counts[EVENT.longestLockWaitMs]) counts[EVENT.longestLockWaitMs] = waitedMs;
  return isLocked;
}

/** Frees the region that is held, if any, and leaves it the time of its latest packet: the sweeper goes by that. */
export function leaveRegion(tracker: Tracker): void {
  const { map, doubles, held, latestMs } = tracker;
  if (held === NO_REGION) return;
  const clock = (regionAt(map, held) + REGION_WORD.CLOCK) >>> 1;
  // A time without end would be the latest for ever.
  if (latestMs[0] > doubles[clock] && latestMs[0] !== Number.POSITIVE_INFINITY) doubles[clock] = latestMs[0];
  tracker.held = NO_REGION;
  unlockRegion(map, held);
  if (tracker.leavingCount > 0) removeLeaving(tracker);
}

/** Notes an entry, with its port in `ports`, to be removed once no lock is held. */
export function noteLeaving(tracker: Tracker, region: number, hash: number, record: number): void {
  const at = tracker.leavingCount++ * LEAVING_WORDS;
  tracker.leaving[at] = region;
  tracker.leaving[at + 1] = hash;
  tracker.leaving[at + 2] = record;
  for (let word = 0; word < 3; word++) tracker.leaving[at + 3 + word] = tracker.ports[word];
}

function removeLeaving(tracker: Tracker): void {
  const { map, leaving, owner } = tracker;
  for (let index = 0; index < tracker.leavingCount; index++) {
    const at = index * LEAVING_WORDS;
    const region = leaving[at];
    if (!lockRegion(map, region, owner)) continue;
    leaveLocked(map, region, leaving[at + 1], leaving[at + 2]);
    clearUsedLocked(tracker.memory.usedPorts, leaving[at + 3], leaving[at + 4], leaving[at + 5]);
    unlockRegion(map, region);
  }
  tracker.leavingCount = 0;
}
