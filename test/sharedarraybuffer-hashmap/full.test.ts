/**
 * What happens when something is used up, and what generations tell.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  firstCandidateLocked,
  giveAnnexLocked,
  giveRecordLocked,
  insertLocked,
  isLive,
  MAX_PROBES,
  NO_SLOT,
  NONE,
  nextCandidateLocked,
  nextRecordLocked,
  RECORD,
  REGION,
  recordAt,
  recordInSlot,
  recordsUsedLocked,
  regionAt,
  removeLocked,
  type SharedMap,
  takeAnnexLocked,
  takeRecordLocked,
} from '../../src/sharedarraybuffer-hashmap/index.js';
import { BUCKET_WORDS, SLOTS_PER_BUCKET } from '../../src/sharedarraybuffer-hashmap/layout.js';
import { withSeed } from '../support/random.js';
import { auditLocked, hashWithHome, homeBucket, liveRecords } from './audit.js';
import { addLocked, constantHash, dropLocked, findLocked, goodHash, isWhole, keyOf, newMap } from './entries.js';

const REACH = MAX_PROBES * SLOTS_PER_BUCKET;

function generation(map: SharedMap, record: number): number {
  return map.words[recordAt(map, record) + RECORD.GENERATION];
}

function candidates(map: SharedMap, region: number, hash: number): number[] {
  const met: number[] = [];
  let slot = firstCandidateLocked(map, region, hash);
  while (slot !== NO_SLOT) {
    met.push(recordInSlot(map, slot));
    slot = nextCandidateLocked(map, region, hash, slot);
  }
  return met;
}

/** Enters the keys from 0 on under one hash, as many as go in. */
function fill(map: SharedMap, region: number, hash: (key: number) => number): number {
  let key = 0;
  while (addLocked(map, region, hash(key), key, 1) !== NONE) key++;
  return key;
}

test('a slab gives out every record of its region once, then NONE', () => {
  const map = newMap({ regions: 3, recordsPerRegion: 20, annexesPerRegion: 20 });
  const taken = new Set<number>();
  for (let count = 0; count < 20; count++) taken.add(takeRecordLocked(map, 1));
  assert.deepEqual(
    [...taken].sort((a, b) => a - b),
    Array.from({ length: 20 }, (_, index) => 21 + index),
  );
  assert.equal(takeRecordLocked(map, 1), NONE);
  assert.equal(takeRecordLocked(map, 1), NONE, 'and again');
  assert.deepEqual(
    [0, 1, 2].map(region => recordsUsedLocked(map, region)),
    [0, 20, 0],
  );
  assert.deepEqual([takeRecordLocked(map, 0), takeRecordLocked(map, 2)], [1, 41]);
});

test('the record given back last is the next one taken', () => {
  const map = newMap({ recordsPerRegion: 5 });
  const records = Array.from({ length: 5 }, () => takeRecordLocked(map, 0));
  for (const record of records) giveRecordLocked(map, 0, record);
  assert.deepEqual(
    records.map(() => takeRecordLocked(map, 0)),
    records.toReversed(),
  );
  assert.equal(takeRecordLocked(map, 0), NONE);
});

test('a full map takes another entry as soon as one is gone', () => {
  const map = newMap({ recordsPerRegion: 50 });
  assert.equal(fill(map, 0, goodHash), 50);
  for (let key = 50; key < 200; key++) {
    assert.equal(addLocked(map, 0, goodHash(key), key, 1), NONE);
    const oldest = key - 50;
    dropLocked(map, findLocked(map, 0, goodHash(oldest), oldest));
    const record = addLocked(map, 0, goodHash(key), key, 1);
    assert.ok(record !== NONE && isWhole(map, record, key));
    auditLocked(map, 0);
  }
});

test('one hash for all: as many entries as probing reaches, and no harm from one too many', () => {
  const map = newMap({ recordsPerRegion: 400 });
  assert.equal(fill(map, 0, constantHash), REACH);
  const record = takeRecordLocked(map, 0);
  const before = map.words.slice();
  assert.equal(insertLocked(map, 0, constantHash(0), record), false);
  assert.deepEqual(map.words, before, 'not a word was changed');
  giveRecordLocked(map, 0, record);
  auditLocked(map, 0);
  for (let key = 0; key < REACH; key++) {
    assert.ok(isWhole(map, findLocked(map, 0, constantHash(key), key), key), `key ${key} is found`);
  }
  assert.equal(findLocked(map, 0, constantHash(REACH), REACH), NONE);
  assert.equal(map.words[regionAt(map, 0) + REGION.LONG_PROBES], REACH - SLOTS_PER_BUCKET);
});

test('a hole anywhere within reach is found again', () => {
  const map = newMap({ recordsPerRegion: 400 });
  fill(map, 0, constantHash);
  for (let key = 0; key < REACH; key++) {
    dropLocked(map, findLocked(map, 0, constantHash(key), key));
    auditLocked(map, 0);
    assert.notEqual(addLocked(map, 0, constantHash(key), REACH + key, 1), NONE, `the hole of key ${key}`);
    assert.equal(addLocked(map, 0, constantHash(key), 9_999, 1), NONE, 'one hole, one entry');
  }
  auditLocked(map, 0);
});

test('candidates for a hash are its records, each once', () => {
  const map = newMap({ recordsPerRegion: 400 });
  const hash = constantHash(0);
  const added = Array.from({ length: 100 }, (_, key) => addLocked(map, 0, hash, key, 1));
  assert.deepEqual(
    candidates(map, 0, hash).sort((a, b) => a - b),
    added.sort((a, b) => a - b),
  );
});

test('candidates lie within reach, also where the entries of others went on beyond it', () => {
  const map = newMap({ recordsPerRegion: 400 });
  const near = hashWithHome(map, 0, 0);
  const far = hashWithHome(map, 0, MAX_PROBES - 1);
  const expected = Array.from({ length: REACH }, (_, key) => addLocked(map, 0, near, key, 1)).sort((a, b) => a - b);
  while (addLocked(map, 0, far, 1, 1) !== NONE);
  auditLocked(map, 0);
  const met = candidates(map, 0, near).filter(record => map.words[recordAt(map, record) + RECORD.HASH] === near);
  assert.deepEqual(
    met.sort((a, b) => a - b),
    expected,
  );
});

test('probing goes round at the end of its region and leaves the next one alone', () => {
  const map = newMap({ regions: 3, recordsPerRegion: 200 });
  const hash = hashWithHome(map, 1, map.bucketsPerRegion - 1);
  assert.equal(
    fill(map, 1, () => hash),
    REACH,
  );
  auditLocked(map, 1);
  const bucketWords = map.bucketsPerRegion * BUCKET_WORDS;
  for (const region of [0, 2]) {
    const first = map.bucketsAt + region * bucketWords;
    assert.ok(
      map.words.subarray(first, first + bucketWords).every(word => word === 0),
      `region ${region}`,
    );
  }
  for (const record of liveRecords(map, 1)) dropLocked(map, record);
  const first = map.bucketsAt + bucketWords;
  assert.ok(
    map.words.subarray(first, first + bucketWords).every(word => word === 0),
    'all entries gone',
  );
});

test('a region of fewer buckets than probes is probed once round', () => {
  for (const recordsPerRegion of [1, 5, 10, 20]) {
    const map = newMap({ recordsPerRegion });
    assert.ok(map.bucketsPerRegion < MAX_PROBES);
    for (let hash = 0; hash < 40; hash++) {
      assert.equal(
        fill(map, 0, () => hash),
        recordsPerRegion,
      );
      auditLocked(map, 0);
      assert.equal(findLocked(map, 0, hash, recordsPerRegion), NONE);
      for (const record of liveRecords(map, 0)) dropLocked(map, record);
    }
  }
});

test('every bucket is at home to some hashes, and no hash is at home elsewhere', () => {
  for (const recordsPerRegion of [1, 10, 20, 100, 700]) {
    const map = newMap({ regions: 2, recordsPerRegion });
    const homes = new Set<number>();
    for (let key = 0; key < 20 * map.bucketsPerRegion; key++) homes.add(homeBucket(map, 1, goodHash(key)));
    for (const hash of [0, 1, -1, 0x7fff_ffff, -0x8000_0000]) homes.add(homeBucket(map, 1, hash));
    assert.equal(homes.size, map.bucketsPerRegion, `${recordsPerRegion} records`);
  }
});

test('annexes run out by themselves', () => {
  const map = newMap({ regions: 2, annexesPerRegion: 3 });
  assert.deepEqual(
    [1, 2, 3, 4].map(() => takeAnnexLocked(map, 1)),
    [4, 5, 6, NONE],
  );
  giveAnnexLocked(map, 5);
  assert.deepEqual([takeAnnexLocked(map, 1), takeAnnexLocked(map, 1)], [5, NONE]);
  assert.equal(takeAnnexLocked(map, 0), 1);
  assert.equal(takeAnnexLocked(newMap({ annexesPerRegion: 0 }), 0), NONE);
});

test('removing what is not in the map is an error', () => {
  const map = newMap();
  const record = addLocked(map, 0, 5, 5, 1);
  removeLocked(map, 0, record);
  assert.throws(() => removeLocked(map, 0, record), /not in the index/);
});

test('a generation is odd while the record is in the map and grows by one each time', () => {
  const map = newMap({ recordsPerRegion: 1, annexesPerRegion: 0 });
  for (let life = 0; life < 1_000; life++) {
    const record = takeRecordLocked(map, 0);
    assert.deepEqual([record, generation(map, record), isLive(map, record)], [1, 2 * life, false]);
    assert.ok(insertLocked(map, 0, goodHash(life), record));
    assert.deepEqual([generation(map, record), isLive(map, record)], [2 * life + 1, true]);
    removeLocked(map, 0, record);
    assert.deepEqual([generation(map, record), isLive(map, record)], [2 * life + 2, false]);
    giveRecordLocked(map, 0, record);
  }
});

test('a reference to a record that was used again is recognised by its generation', () => {
  withSeed(77, random => {
    const map = newMap({ recordsPerRegion: 30 });
    const references: { readonly key: number; readonly record: number; readonly generation: number }[] = [];
    const live = new Set<number>();
    for (let key = 0; key < 3_000; key++) {
      while (recordsUsedLocked(map, 0) > random.below(30)) {
        const record = random.pick(liveRecords(map, 0));
        live.delete(keyOf(map, record));
        dropLocked(map, record);
      }
      const record = addLocked(map, 0, goodHash(key), key, 1);
      references.push({ key, record, generation: generation(map, record) });
      live.add(key);
    }
    for (const { key, record, generation: then } of references) {
      const isCurrent = generation(map, record) === then;
      assert.equal(isCurrent, live.has(key), `key ${key} in record ${record}`);
    }
  });
});

test('a walk in steps of any limit meets the live records in order', () => {
  const map = newMap({ regions: 2, recordsPerRegion: 60, annexesPerRegion: 60 });
  assert.deepEqual(liveRecords(map, 1), []);
  const records = Array.from({ length: 60 }, (_, key) => addLocked(map, 1, goodHash(key), key, 1));
  const kept = records.filter((_, key) => key % 10 === 3 || key === 59);
  for (const record of records) if (!kept.includes(record)) dropLocked(map, record);
  for (const limit of [1, 2, 7, 9, 10, 11, 59, 60, 61, 1_000]) {
    assert.deepEqual(liveRecords(map, 1, limit), kept, `limit ${limit}`);
  }
  dropLocked(map, kept[kept.length - 1]);
  for (const limit of [1, 5, 60]) assert.deepEqual(liveRecords(map, 1, limit), kept.slice(0, -1), `limit ${limit}`);
});

test('a step of the walk looks at no more records than its limit', () => {
  const map = newMap({ regions: 2, recordsPerRegion: 60 });
  for (let key = 0; key < 60; key++) addLocked(map, 1, goodHash(key), key, 1);
  const [first, ...records] = liveRecords(map, 1);
  for (const record of records.slice(0, -1)) dropLocked(map, record);
  for (const limit of [1, 10, 58]) {
    assert.equal(nextRecordLocked(map, 1, first, limit), first + limit, 'the last dead record that it saw');
  }
  assert.equal(nextRecordLocked(map, 1, first, 59), first + 59, 'the next live one');
});
