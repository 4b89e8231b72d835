/**
 * Walking the table: every connection that lives during the whole walk comes exactly once, packets flow meanwhile.
 *
 * A record keeps its number for life, so the walk goes by numbers, a few records under the lock at a time. A dump of one
 * zone walks the list of that zone instead, and costs nothing for the connections of others.
 *
 * Imports engine/, entry, filter, zone-walk, sharedarraybuffer-hashmap. Imported by the public API and cli/.
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
import { ZoneWalk } from './zone-walk.js';

/** Records copied, and records looked at, under one lock. */
const COPY_RECORDS = 16;
const LOOK_RECORDS = 1024;

/**
 * The connections that have not ended by `nowMs`, in no particular order, read from the table as the caller asks for
 * them.
 * @param tracker the calling thread's own
 * @param filter which connections; default all. The others are not copied.
 * @throws RangeError when the filter cannot be met, TypeError when it is none; the generator throws Error when a region
 *   stays locked for two seconds
 */
export function dumpConnections(
  tracker: Tracker,
  nowMs: number,
  filter: ConnectionFilter = {},
): Generator<ConnectionEntry, void, undefined> {
  const compiled = compileFilter(filter);
  const { zone } = filter;
  return yieldAll(tracker, nowMs, region =>
    zone === undefined ? walkRegion(tracker, compiled, region) : walkZone(tracker, compiled, region, zone),
  );
}

/** Copies some more connections that the filter means, under one lock. False when there are no more. */
type Step = (entries: ConnectionEntry[]) => boolean;

function* yieldAll(
  tracker: Tracker,
  nowMs: number,
  walk: (region: number) => Step,
): Generator<ConnectionEntry, void, undefined> {
  const entries: ConnectionEntry[] = [];
  for (let region = 0; region < tracker.map.regions; region++) {
    const step = walk(region);
    for (let isMore = true; isMore; ) {
      isMore = step(entries);
      for (const entry of entries) if (entry.expiresMs > nowMs) yield entry;
      entries.length = 0;
    }
  }
}

/** Not holdRegion(): a caller may use the tracker for other things between two entries. */
function lock({ map, owner }: Tracker, region: number): void {
  if (!lockRegion(map, region, owner)) throw new Error(`region ${region} of the table stays locked`);
}

/**
 * Looks at some more records of a region under one lock, by their numbers.
 * @param last the record that was looked at last, NONE to begin
 * @param visitLocked is given each live one; false says that it is enough for now
 * @returns the record to go on behind, NONE at the end
 * @throws Error when the region stays locked for two seconds
 */
export function lookAtSome(
  tracker: Tracker,
  region: number,
  last: number,
  visitLocked: (record: number) => boolean,
): number {
  const { map } = tracker;
  const before = last === NONE ? region * map.recordsPerRegion : last;
  let record = last;
  let looked = 0;
  let isMore = true;
  lock(tracker, region);
  do {
    record = nextRecordLocked(map, region, record, LOOK_RECORDS - looked);
    looked = record - before;
    if (record !== NONE && isLive(map, record)) isMore = visitLocked(record);
  } while (record !== NONE && looked < LOOK_RECORDS && isMore);
  unlockRegion(map, region);
  return record;
}

function walkRegion(tracker: Tracker, filter: CompiledFilter, region: number): Step {
  const { map } = tracker;
  let last: number = NONE;
  return entries => {
    last = lookAtSome(tracker, region, last, record => {
      if (matchesLocked(filter, map, recordAt(map, record))) entries.push(readEntryLocked(map, record));
      return entries.length < COPY_RECORDS;
    });
    return last !== NONE;
  };
}

function walkZone(tracker: Tracker, filter: CompiledFilter, region: number, zone: number): Step {
  const { map } = tracker;
  let walk: ZoneWalk | undefined;
  return entries => {
    let record: number = NONE;
    let looked = 0;
    lock(tracker, region);
    walk ??= new ZoneWalk(tracker, region, zone);
    do {
      record = walk.nextLocked();
      if (record === NONE) break;
      walk.keepLocked(record);
      if (matchesLocked(filter, map, recordAt(map, record))) entries.push(readEntryLocked(map, record));
    } while (++looked < LOOK_RECORDS && entries.length < COPY_RECORDS);
    unlockRegion(map, region);
    return record !== NONE;
  };
}
