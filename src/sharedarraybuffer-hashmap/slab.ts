/**
 * The two slabs of a region: taking, giving back and walking records and annexes.
 *
 * Freed rows go on a list that runs through the rows themselves and are taken last in first out; rows that were never
 * used are taken in order, so that a small population stays in a small part of the memory.
 *
 * All functions need the region's lock. Imports layout, map. Imported by engine/ through index.ts.
 */
import { RECORD, REGION } from './layout.js';
import { annexAt, recordAt, regionAt, type SharedMap } from './map.js';

const { GENERATION, HASH } = RECORD;
const { RECORDS_USED, RECORD_FREE, RECORD_FRESH, ANNEXES_USED, ANNEX_FREE, ANNEX_FRESH } = REGION;

/** No record, no annex: all numbers start at 1. */
export const NONE = 0;

/** Takes a record for the caller to fill and insert; NONE when the region has none left. Its words are not cleared. */
export function takeRecordLocked(map: SharedMap, region: number): number {
  const { words } = map;
  const at = regionAt(map, region);
  let record = words[at + RECORD_FREE];
  if (record !== NONE) {
    words[at + RECORD_FREE] = words[recordAt(map, record) + HASH];
  } else {
    if (words[at + RECORD_FRESH] === map.recordsPerRegion) return NONE;
    record = region * map.recordsPerRegion + ++words[at + RECORD_FRESH];
  }
  words[at + RECORDS_USED]++;
  return record;
}

/** Gives back a record that is not in the index: one just taken, or one just removed. */
export function giveRecordLocked(map: SharedMap, region: number, record: number): void {
  const { words } = map;
  const at = regionAt(map, region);
  words[recordAt(map, record) + HASH] = words[at + RECORD_FREE];
  words[at + RECORD_FREE] = record;
  words[at + RECORDS_USED]--;
}

/** Takes an annex; NONE when the region has none left. Its words are not cleared. */
export function takeAnnexLocked(map: SharedMap, region: number): number {
  const { words } = map;
  const at = regionAt(map, region);
  let annex = words[at + ANNEX_FREE];
  if (annex !== NONE) {
    words[at + ANNEX_FREE] = words[annexAt(map, annex)];
  } else {
    if (words[at + ANNEX_FRESH] === map.annexesPerRegion) return NONE;
    annex = region * map.annexesPerRegion + ++words[at + ANNEX_FRESH];
  }
  words[at + ANNEXES_USED]++;
  return annex;
}

export function giveAnnexLocked(map: SharedMap, annex: number): void {
  const { words } = map;
  const at = regionAt(map, ((annex - 1) / map.annexesPerRegion) | 0);
  words[annexAt(map, annex)] = words[at + ANNEX_FREE];
  words[at + ANNEX_FREE] = annex;
  words[at + ANNEXES_USED]--;
}

/**
 * The next live record of a region behind `record` (NONE to begin), or NONE at the end. A record keeps its number for
 * life, so a walk that frees the lock between steps still meets every record that lives throughout exactly once.
 * @param limit how many records to look at, at most, before giving up; the walk then goes on at the returned number,
 *   which may not be live: check with isLive()
 */
export function nextRecordLocked(map: SharedMap, region: number, record: number, limit: number): number {
  const { words } = map;
  const firstOfRegion = region * map.recordsPerRegion + 1;
  const last = firstOfRegion - 1 + words[regionAt(map, region) + RECORD_FRESH];
  const from = record === NONE ? firstOfRegion : record + 1;
  const stop = Math.min(last, from + limit - 1);
  for (let next = from; next <= stop; next++) {
    if ((words[recordAt(map, next) + GENERATION] & 1) === 1) return next;
  }
  return stop < last ? stop : NONE;
}

export function recordsUsedLocked(map: SharedMap, region: number): number {
  return map.words[regionAt(map, region) + RECORDS_USED];
}

export function annexesUsedLocked(map: SharedMap, region: number): number {
  return map.words[regionAt(map, region) + ANNEXES_USED];
}
