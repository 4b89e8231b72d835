/**
 * Walking the table: every connection that lives during the whole walk comes exactly once, packets flow meanwhile.
 *
 * A record keeps its number for life, so the walk goes by numbers, a few records under the lock at a time.
 *
 * Imports engine/, entry, filter, sharedarraybuffer-hashmap. Imported by the public API and cli/.
 */
import type { Tracker } from '../engine/tracker.js';
import {
  isLive,
  lockRegion,
  NONE,
  nextRecordLocked,
  recordAt,
  unlockRegion,
} from '../sharedarraybuffer-hashmap/index.js';
import { type ConnectionEntry, readEntryLocked } from './entry.js';
import { type CompiledFilter, type ConnectionFilter, compileFilter, matchesLocked } from './filter.js';

/** Records copied, and records looked at, under one lock. */
const COPY_RECORDS = 16;
const LOOK_RECORDS = 1024;

/**
 * The connections that have not ended by `nowMs`, in no particular order, read from the table as the caller asks for
 * them.
 * @param tracker the calling thread's own
 * @param filter which connections; default all. The others are not copied.
 * @throws RangeError when the filter cannot be met; the generator throws Error when a region stays locked for two
 *   seconds
 */
export function dumpConnections(
  tracker: Tracker,
  nowMs: number,
  filter: ConnectionFilter = {},
): Generator<ConnectionEntry, void, undefined> {
  return walkTable(tracker, nowMs, compileFilter(filter));
}

function* walkTable(
  tracker: Tracker,
  nowMs: number,
  filter: CompiledFilter,
): Generator<ConnectionEntry, void, undefined> {
  for (let region = 0; region < tracker.map.regions; region++) {
    const entries: ConnectionEntry[] = [];
    let record: number = NONE;
    do {
      record = copyRecords(tracker, filter, region, record, entries);
      for (const entry of entries) if (entry.expiresMs > nowMs) yield entry;
      entries.length = 0;
    } while (record !== NONE);
  }
}

/** Copies some records behind `record`. @returns the last one looked at, NONE at the end */
function copyRecords(
  tracker: Tracker,
  filter: CompiledFilter,
  region: number,
  record: number,
  entries: ConnectionEntry[],
): number {
  const { map, owner } = tracker;
  if (!lockRegion(map, region, owner)) throw new Error(`region ${region} of the table stays locked`);
  const before = record === NONE ? region * map.recordsPerRegion : record;
  let last = record;
  let looked = 0;
  do {
    last = nextRecordLocked(map, region, last, LOOK_RECORDS - looked);
    looked = last - before;
    if (last !== NONE && isLive(map, last) && matchesLocked(filter, map, recordAt(map, last))) {
      entries.push(readEntryLocked(map, last));
    }
  } while (last !== NONE && looked < LOOK_RECORDS && entries.length < COPY_RECORDS);
  unlockRegion(map, region);
  return last;
}
