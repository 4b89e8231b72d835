/**
 * Making a region whole again after the thread that held its lock has died in the middle of something.
 *
 * What survives is what says of itself that it lives: a record is live when its GENERATION is odd, which insertLocked()
 * makes true last and removeLocked() makes untrue first. Index, free lists and counts are made anew from that, so no
 * order of the dead thread's writes can hurt. Cost: one walk over the region, some 100 ns per record.
 *
 * Further keys of records, whichever region those are in, are the user's to enter again, as are lists.
 *
 * Imports buckets, layout, map, slab. Imported by engine/ and alg/ through index.ts.
 */
import { clearBucketsLocked, enterLocked, isLive } from './buckets.js';
import { RECORD, REGION } from './layout.js';
import { recordAt, regionAt, type SharedMap } from './map.js';
import { giveAnnexLocked, giveRecordLocked, NONE } from './slab.js';

const { GENERATION, HASH } = RECORD;
const { RECORDS_USED, RECORD_FREE, RECORD_FRESH, ANNEXES_USED, ANNEX_FREE, ANNEX_FRESH } = REGION;

/**
 * Rebuilds the index, the free lists and the counts of a region from its live records.
 *
 * @param annexesOf the annexes that belong to the record at a word offset; NONE among them is skipped
 * @returns the number of live records that found no slot any more and were freed: 0 but for a bad hash
 */
export function rebuildLocked(
  map: SharedMap,
  region: number,
  annexesOf: (recordAt: number) => readonly number[],
): number {
  const { words } = map;
  const at = regionAt(map, region);
  const first = region * map.recordsPerRegion + 1;
  const last = first - 1 + words[at + RECORD_FRESH];
  const annexInUse = new Uint8Array(words[at + ANNEX_FRESH] + 1);
  const firstAnnex = region * map.annexesPerRegion + 1;
  clearBucketsLocked(map, region);
  words[at + RECORD_FREE] = NONE;
  words[at + RECORDS_USED] = words[at + RECORD_FRESH];
  let lost = 0;
  for (let record = last; record >= first; record--) {
    const base = recordAt(map, record);
    const isKept = isLive(map, record) && enterLocked(map, region, words[base + HASH], record);
    if (isKept) {
      for (const annex of annexesOf(base)) if (annex !== NONE) annexInUse[annex - firstAnnex] = 1;
      continue;
    }
    if (isLive(map, record)) {
      lost++;
      words[base + GENERATION]++;
    }
    giveRecordLocked(map, region, record);
  }
  rebuildAnnexes(map, region, annexInUse);
  return lost;
}

function rebuildAnnexes(map: SharedMap, region: number, inUse: Uint8Array): void {
  const { words } = map;
  const at = regionAt(map, region);
  words[at + ANNEX_FREE] = NONE;
  words[at + ANNEXES_USED] = words[at + ANNEX_FRESH];
  for (let index = words[at + ANNEX_FRESH] - 1; index >= 0; index--) {
    const annex = region * map.annexesPerRegion + 1 + index;
    if (inUse[index] === 1) continue;
    giveAnnexLocked(map, annex);
  }
}
