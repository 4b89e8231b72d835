/**
 * Deleting connections while packets flow.
 *
 * A flush of one zone walks the list of that zone, a few connections under the lock at a time, and costs nothing for
 * those of other zones. Any other flush reads the records in order, without a lock, and notes those that it may mean by
 * the words that do not change while a connection lives; it then locks the region for a few of them at a time, compares
 * all there is to compare and deletes. A connection is in the table whole or not at all.
 *
 * Every connection that lives when the flush begins, and still means to be deleted when its turn comes, is gone when it
 * returns. One that is made meanwhile may be missed.
 *
 * Imports filter, zone-walk, engine/, sharedarraybuffer-hashmap. Imported by the public API.
 */
import { removeConnectionLocked } from '../engine/connections.js';
import { EVENT } from '../engine/counters.js';
import { holdRegion, leaveRegion } from '../engine/hold.js';
import type { Tracker } from '../engine/tracker.js';
import { isLive, NONE, REGION, recordAt, regionAt } from '../sharedarraybuffer-hashmap/index.js';
import { type CompiledFilter, type ConnectionFilter, compileFilter, matchesKey, matchesLocked } from './filter.js';
import { ZoneWalk } from './zone-walk.js';

/** Connections looked at and deleted under one lock: some 5 µs, as in the sweeper. */
const DELETE_RECORDS = 32;
/**
 * Connections of a zone that are deleted, and looked at, under one lock: some 40 µs. More than above, since they come in
 * a row, and giving the lock to a thread that sleeps and getting it back costs more than that.
 */
const DELETE_OF_ZONE = 128;
const LOOK_RECORDS = 512;

/**
 * Deletes the connections that the filter means, all without one, and counts them as deleted. Those whose time is up
 * and which the sweeper has not removed yet are among them.
 * @param tracker the calling thread's own; no region is held afterwards
 * @returns how many connections it deleted
 * @throws RangeError when the filter cannot be met, TypeError when it is none, before anything is deleted; Error when a
 *   region stays locked for two seconds
 */
export function flushConnections(tracker: Tracker, filter: ConnectionFilter = {}): number {
  const compiled = compileFilter(filter);
  const found = new Int32Array(DELETE_RECORDS);
  let deleted = 0;
  for (let region = 0; region < tracker.map.regions; region++) {
    deleted +=
      filter.zone === undefined
        ? flushRegion(tracker, compiled, region, found)
        : flushZone(tracker, compiled, region, filter.zone);
  }
  return deleted;
}

function flushZone(tracker: Tracker, filter: CompiledFilter, region: number, zone: number): number {
  const { map } = tracker;
  hold(tracker, region);
  const walk = new ZoneWalk(tracker, region, zone);
  let deleted = 0;
  let record = walk.nextLocked();
  for (let looked = 1, removed = 0; record !== NONE; record = walk.nextLocked(), looked++) {
    if (matchesLocked(filter, map, recordAt(map, record))) {
      removeConnectionLocked(tracker, record, EVENT.deleted);
      deleted++;
      removed++;
    } else walk.keepLocked(record);
    if (looked < LOOK_RECORDS && removed < DELETE_OF_ZONE) continue;
    leaveRegion(tracker);
    hold(tracker, region);
    looked = removed = 0;
  }
  leaveRegion(tracker);
  return deleted;
}

function flushRegion(tracker: Tracker, filter: CompiledFilter, region: number, found: Int32Array): number {
  const { map } = tracker;
  // Acquires all that was written to the region before: the reads without the lock below miss no older connection.
  hold(tracker, region);
  const fresh = map.words[regionAt(map, region) + REGION.RECORD_FRESH];
  leaveRegion(tracker);
  const first = region * map.recordsPerRegion + 1;
  let deleted = 0;
  let count = 0;
  for (let record = first; record < first + fresh; record++) {
    if (!isLive(map, record) || !matchesKey(filter, map.words, recordAt(map, record))) continue;
    found[count++] = record;
    if (count < found.length) continue;
    deleted += deleteFound(tracker, filter, region, found, count);
    count = 0;
  }
  return count === 0 ? deleted : deleted + deleteFound(tracker, filter, region, found, count);
}

function hold(tracker: Tracker, region: number): void {
  if (!holdRegion(tracker, region)) throw new Error(`region ${region} of the table stays locked`);
}

/** Looks again, under the lock, and deletes. @returns how many */
function deleteFound(
  tracker: Tracker,
  filter: CompiledFilter,
  region: number,
  found: Int32Array,
  count: number,
): number {
  const { map } = tracker;
  let deleted = 0;
  hold(tracker, region);
  for (let index = 0; index < count; index++) {
    const record = found[index];
    if (!isLive(map, record) || !matchesLocked(filter, map, recordAt(map, record))) continue;
    removeConnectionLocked(tracker, record, EVENT.deleted);
    deleted++;
  }
  leaveRegion(tracker);
  return deleted;
}
