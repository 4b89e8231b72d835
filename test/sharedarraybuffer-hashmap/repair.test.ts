/**
 * Repair after the death of a thread in the middle of an insert or a remove: after every write, after any set of
 * writes that the order of GENERATION allows, and after real deaths.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import {
  breakLocks,
  lockOwner,
  lockRegion,
  MAX_PROBES,
  NONE,
  RECORD,
  REGION,
  rebuildLocked,
  recordAt,
  regionAt,
  renewLocks,
  type SharedMap,
  unlockRegion,
} from '../../src/sharedarraybuffer-hashmap/index.js';
import { SLOTS_PER_BUCKET } from '../../src/sharedarraybuffer-hashmap/layout.js';
import { seedFor, withSeed } from '../support/random.js';
import { auditLocked, hashWithHome } from './audit.js';
import { CHURNED_KEYS, type DoomedJob, STABLE_KEYS } from './doomed-worker.js';
import {
  addLocked,
  annexOf,
  constantHash,
  dropLocked,
  findLocked,
  goodHash,
  isWhole,
  keyOf,
  newMap,
} from './entries.js';

type Write = readonly [at: number, value: number];

/** The words that a piece of work writes, one by one in its order. The writes are done as well. */
function recordWrites(map: SharedMap, work: (map: SharedMap) => void): Write[] {
  const writes: Write[] = [];
  const write = (at: number, value: number) => {
    writes.push([at, value]);
    map.words[at] = value;
  };
  const fill = (value: number, from: number, end: number) => {
    for (let at = from; at < end; at++) write(at, value);
  };
  const words = new Proxy(map.words, {
    get: (target, name) => (name === 'fill' ? fill : target[Number(name)]),
    set: (_target, index, value) => {
      write(Number(index), value);
      return true;
    },
  });
  work({ ...map, words });
  return writes;
}

function rebuild(map: SharedMap, region: number): number {
  return rebuildLocked(map, region, at => [annexOf(map, at)]);
}

/** The region that is repaired, and the one that has nothing to do with it. */
const REPAIRED = 1;
const NEIGHBOUR = 0;
const OTHERS = Array.from({ length: 60 }, (_, index) => 100 + index);
const SUBJECT_WITHOUT_ANNEX = 8;
const SUBJECT_WITH_ANNEX = 7;

/** A region with entries in it and rows on its free lists, and a neighbour. Even keys share one hash. */
function populated(hash: (key: number) => number): SharedMap {
  const map = newMap({ regions: 2, recordsPerRegion: 80, annexesPerRegion: 20 });
  for (const key of OTHERS) {
    assert.notEqual(addLocked(map, REPAIRED, hash(key), key, 1), NONE);
    assert.notEqual(addLocked(map, NEIGHBOUR, hash(key), key, 2), NONE);
  }
  for (const key of [1, 2, 14]) addLocked(map, REPAIRED, hash(key), key, 1);
  for (const key of [2, 14, 1]) dropLocked(map, findLocked(map, REPAIRED, hash(key), key));
  return map;
}

const crowdedHash = (key: number) => (key % 2 === 0 ? constantHash(key) : goodHash(key));

interface Death {
  readonly name: string;
  readonly subject: number;
  readonly hash: (key: number) => number;
  readonly work: 'add' | 'drop';
}

const DEATHS: readonly Death[] = (['add', 'drop'] as const).flatMap(work =>
  [SUBJECT_WITHOUT_ANNEX, SUBJECT_WITH_ANNEX].flatMap(subject => [
    { name: `${work} of key ${subject}`, subject, hash: goodHash, work },
    { name: `${work} of key ${subject} far from home`, subject, hash: () => constantHash(0), work },
    { name: `${work} of key ${subject} among crowds`, subject, hash: crowdedHash, work },
  ]),
);

/** The memory before the work, and the writes of the work. */
function scenario({ subject, hash, work }: Death): { map: SharedMap; before: Int32Array; writes: Write[] } {
  const map = populated(hash);
  if (work === 'drop') addLocked(map, REPAIRED, hash(subject), subject, 1);
  const before = map.words.slice();
  const writes = recordWrites(map, spied => {
    if (work === 'add') addLocked(spied, REPAIRED, hash(subject), subject, 1);
    else dropLocked(spied, findLocked(spied, REPAIRED, hash(subject), subject));
  });
  assert.equal(findLocked(map, REPAIRED, hash(subject), subject) !== NONE, work === 'add');
  return { map, before, writes };
}

/** Brings the memory to where the thread died, repairs it and checks all there is. */
function checkDeath(
  { map, before }: ReturnType<typeof scenario>,
  death: Death,
  done: readonly Write[],
  lives: boolean,
) {
  map.words.set(before);
  for (const [at, value] of done) map.words[at] = value;
  assert.equal(rebuild(map, REPAIRED), 0, 'no record is lost');
  const expected = lives ? [...OTHERS, death.subject] : OTHERS;
  const keys = auditLocked(map, REPAIRED).map(record => keyOf(map, record));
  assert.deepEqual(new Set(keys), new Set(expected));
  for (const key of expected) {
    const record = findLocked(map, REPAIRED, death.hash(key), key);
    assert.ok(record !== NONE && isWhole(map, record, key), `key ${key} is found whole`);
  }
  if (!lives) assert.equal(findLocked(map, REPAIRED, death.hash(death.subject), death.subject), NONE);
  const neighbour = auditLocked(map, NEIGHBOUR);
  assert.ok(neighbour.length === OTHERS.length && neighbour.every(record => isWhole(map, record, keyOf(map, record))));
}

/** Fills the region to the brim: rows that leaked would be missing. */
function checkCapacity(map: SharedMap): void {
  let key = 1_002; // none of these has an annex
  while (addLocked(map, REPAIRED, goodHash(key), key, 1) !== NONE) key += 7;
  assert.equal(auditLocked(map, REPAIRED).length, 80);
  for (const record of auditLocked(map, REPAIRED)) dropLocked(map, record);
  for (key = 7; addLocked(map, REPAIRED, goodHash(key), key, 1) !== NONE; ) key += 7;
  assert.equal(auditLocked(map, REPAIRED).length, 20, 'as many entries with an annex as there are annexes');
}

for (const death of DEATHS) {
  const isAdd = death.work === 'add';

  test(`death after each write: ${death.name}`, () => {
    const prepared = scenario(death);
    const { writes } = prepared;
    assert.ok(writes.length > (isAdd ? 30 : 4), `${writes.length} writes recorded`);
    for (let count = 0; count <= writes.length; count++) {
      try {
        checkDeath(prepared, death, writes.slice(0, count), isAdd ? count === writes.length : count === 0);
      } catch (error) {
        throw new Error(`after ${count} of ${writes.length} writes`, { cause: error });
      }
    }
    checkCapacity(prepared.map);
  });

  test(`death with any of the writes done that GENERATION does not order: ${death.name}`, () => {
    withSeed(1_848, random => {
      const prepared = scenario(death);
      const subjectAt = [...Array(160).keys()].map(index => recordAt(prepared.map, index + 1) + RECORD.GENERATION);
      const isGeneration = ([at]: Write) => subjectAt.includes(at);
      const [first, last] = [prepared.writes[0], prepared.writes.at(-1)];
      assert.ok(first && last && isGeneration(isAdd ? last : first), 'GENERATION is written last or first');
      const others = prepared.writes.filter(write => !isGeneration(write));
      assert.equal(others.length, prepared.writes.length - 1);
      for (let round = 0; round < 150; round++) {
        const share = random.below(101) / 100;
        const done = others.filter(() => random.chance(share));
        // A thread that adds has not come to GENERATION yet; one that removes has it behind it.
        checkDeath(prepared, death, isAdd ? done : [first, ...done], false);
      }
      checkCapacity(prepared.map);
    });
  });
}

test('repair of a sound region changes nothing that can be asked', () => {
  const map = populated(crowdedHash);
  const before = auditLocked(map, REPAIRED);
  for (let time = 0; time < 3; time++) {
    assert.equal(rebuild(map, REPAIRED), 0);
    assert.deepEqual(auditLocked(map, REPAIRED), before);
  }
  checkCapacity(map);
});

test('repair of an empty region', () => {
  const map = newMap({ annexesPerRegion: 0 });
  assert.equal(rebuild(map, 0), 0);
  assert.deepEqual(auditLocked(map, 0), []);
});

test('death during the repair: the next repair makes up for it', () => {
  const death: Death = { name: '', subject: SUBJECT_WITH_ANNEX, hash: crowdedHash, work: 'add' };
  const prepared = scenario(death);
  const { map, before, writes } = prepared;
  const broken = writes.slice(0, -2);
  map.words.set(before);
  for (const [at, value] of broken) map.words[at] = value;
  const repairs = recordWrites(map, spied => rebuild(spied, REPAIRED));
  assert.ok(repairs.length > 200);
  for (let count = 0; count <= repairs.length; count++) {
    checkDeath(prepared, death, [...broken, ...repairs.slice(0, count)], false);
  }
  checkCapacity(map);
});

test('entries that find no slot any more are freed and counted', () => {
  const map = newMap({ recordsPerRegion: 300, annexesPerRegion: 300 });
  assert.ok(map.bucketsPerRegion >= 2 * MAX_PROBES - 1);
  // The first hash reaches buckets 0 to 7, the second 7 to 14. Entered the other way round, the second takes bucket 7.
  const [first, second] = [hashWithHome(map, 0, 0), hashWithHome(map, 0, MAX_PROBES - 1)];
  const reach = MAX_PROBES * SLOTS_PER_BUCKET;
  for (let key = 0; key < reach; key++) assert.notEqual(addLocked(map, 0, first, key, 1), NONE);
  for (let key = reach; key < 2 * reach - SLOTS_PER_BUCKET; key++) {
    assert.notEqual(addLocked(map, 0, second, key, 1), NONE);
  }
  const generationOf = (record: number) => map.words[recordAt(map, record) + RECORD.GENERATION];
  const before = auditLocked(map, 0).map(record => ({ record, generation: generationOf(record) }));
  assert.equal(rebuild(map, 0), SLOTS_PER_BUCKET);
  const after = auditLocked(map, 0);
  const lost = before.filter(({ record }) => !after.includes(record));
  assert.equal(lost.length, SLOTS_PER_BUCKET);
  assert.ok(lost.every(({ record, generation }) => generationOf(record) === generation + 1));
  assert.ok(after.every(record => isWhole(map, record, keyOf(map, record))));
});

test('threads that are ended at any moment lose nobody else’s entries', async () => {
  const seed = seedFor(2_718);
  const map = newMap({ recordsPerRegion: 200, annexesPerRegion: 40 });
  for (let key = 0; key < STABLE_KEYS; key++) addLocked(map, 0, goodHash(key), key, 1);
  let heldTheLock = 0;
  for (let owner = 1; owner <= 25; owner++) {
    const started = new Int32Array(new SharedArrayBuffer(4));
    const workerData: DoomedJob = { buffer: map.buffer, started, owner, seed: seed + owner };
    const worker = new Worker(new URL('./doomed-worker.js', import.meta.url), { workerData });
    while (Atomics.load(started, 0) === 0) await sleep(1);
    await sleep(owner % 5);
    await worker.terminate();
    const message = `FLOWSHARD_TEST_SEED=${seed}, thread ${owner}`;
    if (lockOwner(map, 0) === owner) {
      heldTheLock++;
      breakLocks(map, owner);
      assert.equal(rebuild(map, 0), 0, message);
      renewLocks(map);
    }
    assert.ok(lockRegion(map, 0, 100), message);
    const keys = auditLocked(map, 0).map(record => keyOf(map, record));
    unlockRegion(map, 0);
    assert.deepEqual(
      keys.filter(key => key < STABLE_KEYS).sort((a, b) => a - b),
      Array.from({ length: STABLE_KEYS }, (_, key) => key),
      message,
    );
    assert.ok(
      keys.every(key => key < STABLE_KEYS + CHURNED_KEYS),
      message,
    );
    for (const key of keys)
      assert.ok(isWhole(map, findLocked(map, 0, goodHash(key), key), key), `${message}, key ${key}`);
  }
  assert.ok(heldTheLock >= 3, `only ${heldTheLock} of 25 threads died with the lock`);
  assert.equal(Atomics.load(map.words, regionAt(map, 0) + REGION.LOCK), 0);
});
