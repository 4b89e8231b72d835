/**
 * Looks at all that an engine at rest keeps about its connections, and whether it agrees with a scan: the index with its
 * second entries of translated connections, slabs, lists and counts by class, counts of zones, of half-open connections
 * and of the whole table.
 *
 * Imports src/engine, src/track, src/sharedarraybuffer-hashmap.
 */
import assert from 'node:assert/strict';
import {
  classCountLocked,
  classCounts,
  listedClass,
  nextOfClassLocked,
  oldestOfClassLocked,
} from '../../src/engine/classes.js';
import type { Counters } from '../../src/engine/counters.js';
import { CONTROL, type EngineMemory } from '../../src/engine/memory.js';
import { ZONES } from '../../src/engine/region.js';
import { createTracker, type Tracker } from '../../src/engine/tracker.js';
import {
  isLive,
  NONE,
  RECORD,
  recordAt,
  recordsUsedLocked,
  regionAt,
  regionOfRecord,
  type SharedMap,
} from '../../src/sharedarraybuffer-hashmap/index.js';
import { BUCKET, BUCKET_WORDS, REGION } from '../../src/sharedarraybuffer-hashmap/layout.js';
import { CONN, protocolOf, STATUS_COUNTED, STATUS_REVERSED, zoneOf } from '../../src/track/connection.js';
import { CLASS_NAMES } from '../../src/track/protocol.js';
import { trackerOf } from '../../src/track/trackers.js';

/** How often each record is in the index of a region. */
function entriesOf(map: SharedMap, region: number): Map<number, number> {
  const entries = new Map<number, number>();
  const first = map.bucketsAt + region * map.bucketsPerRegion * BUCKET_WORDS;
  for (let bucket = 0; bucket < map.bucketsPerRegion; bucket++) {
    for (let slot = BUCKET.SLOTS; slot < BUCKET_WORDS; slot++) {
      const word = map.words[first + bucket * BUCKET_WORDS + slot];
      const record = word & map.recordMask;
      if (word !== 0) entries.set(record, (entries.get(record) ?? 0) + 1);
    }
  }
  return entries;
}

function liveRecords(map: SharedMap, region: number): number[] {
  const fresh = map.words[regionAt(map, region) + REGION.RECORD_FRESH];
  const first = region * map.recordsPerRegion + 1;
  return Array.from({ length: fresh }, (_, index) => first + index).filter(record => isLive(map, record));
}

function freeRecords(map: SharedMap, region: number): number {
  let count = 0;
  let record = map.words[regionAt(map, region) + REGION.RECORD_FREE];
  for (; record !== NONE && count <= map.recordsPerRegion; count++)
    record = map.words[recordAt(map, record) + RECORD.HASH];
  return count;
}

function auditClasses(tracker: Tracker, region: number, live: readonly number[]): void {
  const { map, words } = tracker;
  let listed = 0;
  for (let ofClass = 1; ofClass <= CLASS_NAMES.length; ofClass++) {
    const count = classCountLocked(tracker, region, ofClass);
    let walked = 0;
    let record = oldestOfClassLocked(tracker, region, ofClass);
    for (; record !== NONE && walked <= count; walked++) {
      const conn = recordAt(map, record);
      assert.ok(isLive(map, record) && regionOfRecord(map, record) === region, `record ${record} on a list`);
      assert.equal(listedClass(words, conn), ofClass, `class of record ${record}`);
      assert.equal(
        trackerOf(protocolOf(words[conn + CONN.KEY])).classOf(words, conn),
        ofClass,
        'its state says the same',
      );
      record = nextOfClassLocked(tracker, region, record, ofClass);
    }
    assert.equal(walked, count, `connections on the list of class ${CLASS_NAMES[ofClass - 1]}`);
    listed += count;
  }
  const saysSo = live.filter(record => listedClass(words, recordAt(map, record)) !== 0);
  assert.equal(listed, saysSo.length, 'connections on lists');
}

/**
 * @throws AssertionError that says what does not agree
 * @returns the number of connections
 */
export function auditEngine(memory: EngineMemory, counters: Counters): number {
  const tracker = createTracker(memory, 1);
  const { map, words } = tracker;
  const expected = Array.from({ length: map.regions }, () => new Map<number, number>());
  const add = (region: number, record: number) => expected[region].set(record, (expected[region].get(record) ?? 0) + 1);
  const zones = new Int32Array(ZONES);
  const halfOpen = new Int32Array(ZONES);
  let total = 0;
  for (let region = 0; region < map.regions; region++) {
    const live = liveRecords(map, region);
    for (const record of live) {
      const conn = recordAt(map, record);
      add(region, record);
      if ((words[conn + CONN.STATUS] & STATUS_REVERSED) !== 0) add(words[conn + CONN.REPLY_REGION], record);
      zones[zoneOf(words[conn + CONN.KEY])]++;
      if ((words[conn + CONN.STATUS] & STATUS_COUNTED) !== 0) halfOpen[zoneOf(words[conn + CONN.KEY])]++;
    }
    assert.equal(recordsUsedLocked(map, region), live.length, `records in use in region ${region}`);
    const fresh = words[regionAt(map, region) + REGION.RECORD_FRESH];
    assert.equal(freeRecords(map, region) + live.length, fresh, `records free and in use in region ${region}`);
    auditClasses(tracker, region, live);
    total += live.length;
  }
  for (let region = 0; region < map.regions; region++) {
    assert.deepEqual(entriesOf(map, region), expected[region], `the index of region ${region}`);
  }
  assert.equal(memory.control[CONTROL.CONNECTIONS], total, 'connections');
  assert.deepEqual(memory.zoneCounts, zones, 'connections of zones');
  assert.deepEqual(memory.zoneHalfOpen, halfOpen, 'half-open connections of zones');
  const inCells = halfOpen.reduce((sum, count) => sum + count, 0);
  assert.equal(
    memory.sourceHalfOpen.reduce((sum, count) => sum + count, 0),
    2 * inCells,
    'half-open of sources',
  );
  assert.ok(
    memory.sourceHalfOpen.every(count => count >= 0),
    'no cell below zero',
  );
  const { created, expired, replaced, deleted } = counters.events;
  assert.equal(created, total + expired + replaced + deleted + evictedOf(counters), 'created = alive + gone');
  assert.ok(Object.values(classCounts(memory)).reduce((sum, count) => sum + count, 0) <= total);
  return total;
}

/** Connections evicted, of all classes. */
export function evictedOf({ events }: Counters): number {
  const { evictedHalfOpen, evictedOneWay, evictedClosing, evictedReplied, evictedEstablished } = events;
  return evictedHalfOpen + evictedOneWay + evictedClosing + evictedReplied + evictedEstablished;
}
