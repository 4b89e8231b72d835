/**
 * Looks at every word by which a region keeps itself in order, and whether they agree.
 *
 * Imports src/sharedarraybuffer-hashmap.
 */
import assert from 'node:assert/strict';
import {
  annexAt,
  annexesUsedLocked,
  homeBucketAt,
  isLive,
  MAX_PROBES,
  NONE,
  nextRecordLocked,
  recordAt,
  recordsUsedLocked,
  regionAt,
  type SharedMap,
} from '../../src/sharedarraybuffer-hashmap/index.js';
import { BUCKET, BUCKET_WORDS, RECORD, REGION } from '../../src/sharedarraybuffer-hashmap/layout.js';
import { annexOf } from './entries.js';

const WHOLE_WALK = 0x7fff_ffff;

/** Number, within its region, of the bucket where a hash belongs. */
export function homeBucket(map: SharedMap, region: number, hash: number): number {
  const bucket = (homeBucketAt(map, region, hash) - map.bucketsAt) / BUCKET_WORDS - region * map.bucketsPerRegion;
  assert.ok(Number.isInteger(bucket) && bucket >= 0 && bucket < map.bucketsPerRegion, `home bucket ${bucket}`);
  return bucket;
}

/** Some hash that belongs in a bucket. */
export function hashWithHome(map: SharedMap, region: number, bucket: number): number {
  let hash = 0;
  while (homeBucket(map, region, hash) !== bucket) hash++;
  return hash;
}

/** The live records of a region in the order of the walk, which must meet each once. */
export function liveRecords(map: SharedMap, region: number, limit = WHOLE_WALK): number[] {
  const live: number[] = [];
  for (
    let record = nextRecordLocked(map, region, NONE, limit);
    record !== NONE;
    record = nextRecordLocked(map, region, record, limit)
  ) {
    if (isLive(map, record)) live.push(record);
  }
  return live;
}

/** The numbers on a free list, each once and in the range of rows ever used. */
function freeList(first: number, next: (row: number) => number, least: number, fresh: number): Set<number> {
  const free = new Set<number>();
  for (let row = first; row !== NONE; row = next(row)) {
    assert.ok(row >= least && row < least + fresh, `free row ${row} outside the ${fresh} from ${least} on`);
    assert.ok(!free.has(row), `row ${row} is on the free list twice`);
    free.add(row);
  }
  return free;
}

function auditIndex(map: SharedMap, region: number, live: ReadonlySet<number>): void {
  const { words, bucketsPerRegion } = map;
  const passing = new Array<number>(bucketsPerRegion).fill(0);
  const indexed = new Set<number>();
  const first = map.bucketsAt + region * bucketsPerRegion * BUCKET_WORDS;
  for (let bucket = 0; bucket < bucketsPerRegion; bucket++) {
    for (let slot = BUCKET.SLOTS; slot < BUCKET_WORDS; slot++) {
      const word = words[first + bucket * BUCKET_WORDS + slot];
      if (word === 0) continue;
      const record = word & map.recordMask;
      assert.ok(live.has(record), `the index holds record ${record}, which is not live`);
      assert.ok(!indexed.has(record), `the index holds record ${record} twice`);
      indexed.add(record);
      const home = homeBucket(map, region, words[recordAt(map, record) + RECORD.HASH]);
      const distance = (bucket - home + bucketsPerRegion) % bucketsPerRegion;
      assert.ok(distance < MAX_PROBES, `record ${record} lies ${distance} buckets from home`);
      for (let step = 0; step < distance; step++) passing[(home + step) % bucketsPerRegion]++;
    }
  }
  assert.equal(indexed.size, live.size, 'every live record is in the index');
  const overflow = passing.map((_, bucket) => words[first + bucket * BUCKET_WORDS + BUCKET.OVERFLOW]);
  assert.deepEqual(overflow, passing, 'OVERFLOW counts the records that went on past each bucket');
}

function auditAnnexes(map: SharedMap, region: number, live: ReadonlySet<number>): void {
  const { words } = map;
  const at = regionAt(map, region);
  const least = region * map.annexesPerRegion + 1;
  const fresh = words[at + REGION.ANNEX_FRESH];
  const free = freeList(words[at + REGION.ANNEX_FREE], annex => words[annexAt(map, annex)], least, fresh);
  const used = new Set<number>();
  for (const record of live) {
    const annex = annexOf(map, recordAt(map, record));
    if (annex === NONE) continue;
    assert.ok(annex >= least && annex < least + fresh, `record ${record} has annex ${annex} of another region`);
    assert.ok(!used.has(annex) && !free.has(annex), `annex ${annex} has one owner`);
    used.add(annex);
  }
  assert.equal(annexesUsedLocked(map, region), used.size, 'annexes in use');
  assert.equal(free.size + used.size, fresh, 'annexes free and in use');
}

/**
 * Audits a region in which every record taken is in the map. Returns its live records.
 * @throws AssertionError naming what does not agree
 */
export function auditLocked(map: SharedMap, region: number): number[] {
  const { words } = map;
  const at = regionAt(map, region);
  const least = region * map.recordsPerRegion + 1;
  const fresh = words[at + REGION.RECORD_FRESH];
  assert.ok(fresh >= 0 && fresh <= map.recordsPerRegion, `${fresh} records ever used`);
  const free = freeList(
    words[at + REGION.RECORD_FREE],
    record => words[recordAt(map, record) + RECORD.HASH],
    least,
    fresh,
  );
  const walked = liveRecords(map, region);
  const live = new Set(walked);
  assert.equal(live.size, walked.length, 'the walk meets each record once');
  for (let record = least; record < least + map.recordsPerRegion; record++) {
    assert.equal(isLive(map, record), live.has(record), `the walk meets the live records: ${record}`);
    assert.ok(!(live.has(record) && free.has(record)), `record ${record} is both live and free`);
  }
  assert.equal(recordsUsedLocked(map, region), live.size, 'records in use');
  assert.equal(free.size + live.size, fresh, 'records free and in use');
  auditIndex(map, region, live);
  auditAnnexes(map, region, live);
  return walked;
}
