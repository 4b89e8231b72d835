/**
 * Walking the table: every connection that lives during the whole walk comes exactly once, packets flow meanwhile.
 *
 * A record keeps its number for life, so the walk goes by numbers, a few records under the lock at a time.
 *
 * Imports engine/, entry, sharedarraybuffer-hashmap. Imported by the public API and cli/.
 */
import type { Tracker } from '../engine/tracker.js';
import { isLive, lockRegion, NONE, nextRecordLocked, unlockRegion } from '../sharedarraybuffer-hashmap/index.js';
import { type ConnectionEntry, readEntryLocked } from './entry.js';

/** Records copied, and records looked at, under one lock. */
const COPY_RECORDS = 16;
const LOOK_RECORDS = 1024;

/**
 * Yields the connections that have not ended by `nowMs`, in no particular order.
 * @param tracker the calling thread's own
 * @throws Error when a region stays locked for two seconds
 */
export function* dumpConnections(tracker: Tracker, nowMs: number): Generator<ConnectionEntry, void, undefined> {
  for (let region = 0; region < tracker.map.regions; region++) {
    const entries: ConnectionEntry[] = [];
    let record: number = NONE;
    do {
      record = copyRecords(tracker, region, record, entries);
      for (const entry of entries) if (entry.expiresMs > nowMs) yield entry;
      entries.length = 0;
    } while (record !== NONE);
  }
}

/** Copies some records behind `record`. @returns the last one looked at, NONE at the end */
function copyRecords(tracker: Tracker, region: number, record: number, entries: ConnectionEntry[]): number {
  const { map, owner } = tracker;
  if (!lockRegion(map, region, owner)) throw new Error(`region ${region} of the table stays locked`);
  let last = record;
  let left = LOOK_RECORDS;
  do {
    const next = nextRecordLocked(map, region, last, left);
    left -= next - last;
    last = next;
    if (last !== NONE && isLive(map, last)) entries.push(readEntryLocked(map, last));
  } while (last !== NONE && left > 0 && entries.length < COPY_RECORDS);
  unlockRegion(map, region);
  return last;
}
