/**
 * Four threads change one map and a fifth walks through it: nothing torn, nothing lost, nothing written where nobody
 * should.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  annexAt,
  lockOwner,
  NONE,
  REGION,
  recordAt,
  regionAt,
  type SharedMap,
} from '../../src/sharedarraybuffer-hashmap/index.js';
import { seedFor } from '../support/random.js';
import { newBarrier, runThreads } from '../support/threads.js';
import { auditLocked } from './audit.js';
import { addLocked, findLocked, goodHash, isWhole, newMap } from './entries.js';
import type { StressJob, StressReport } from './stress-worker.js';

const PERMANENT_KEYS = 90;
const CANARY = 0x0ca7a57e;

/** Words that no part of the map uses: gaps, row 0 of both slabs, the user's words, and the end of the last page. */
function unusedWords(map: SharedMap): Set<number> {
  const unused = new Set<number>();
  const { LOCK, WAITERS, USER, ...counts } = REGION;
  const used = new Set<number>([LOCK, WAITERS, ...Object.values(counts)]);
  for (let region = 0; region < map.regions; region++) {
    for (let word = 0; word < map.regionStride; word++) if (!used.has(word)) unused.add(regionAt(map, region) + word);
  }
  for (let word = 0; word < map.recordWords; word++) unused.add(recordAt(map, NONE) + word);
  for (let word = 0; word < map.annexWords; word++) unused.add(annexAt(map, NONE) + word);
  for (let word = map.words.length; word < map.buffer.byteLength / 4; word++) unused.add(word);
  return unused;
}

for (const [name, regions, recordsPerRegion, keys] of [
  ['one small region, always contended', 1, 120, 220],
  ['three regions', 3, 200, 900],
] as const) {
  test(`threads at work on ${name}`, async () => {
    const seed = seedFor(31_415);
    const map = newMap({ regions, recordsPerRegion, annexesPerRegion: 40, regionUserWords: 3 });
    const memory = new Int32Array(map.buffer);
    const canaries = unusedWords(map);
    for (const word of canaries) memory[word] = CANARY;
    for (let key = 0; key < PERMANENT_KEYS; key++) {
      assert.notEqual(addLocked(map, key % regions, goodHash(key), key, 1), NONE);
    }

    const shared = { buffer: map.buffer, barrier: newBarrier(), threads: 5, permanentKeys: PERMANENT_KEYS, keys };
    const jobs: StressJob[] = [1, 2, 3, 4].map(owner => ({
      ...shared,
      kind: 'churn',
      owner,
      seed: seed + owner,
      steps: 150_000,
    }));
    jobs.push({ ...shared, kind: 'walk', owner: 5, seed: seed + 5, steps: 400 });
    const reports = await runThreads<StressJob, StressReport>(new URL('./stress-worker.js', import.meta.url), jobs);

    const message = `FLOWSHARD_TEST_SEED=${seed}`;
    assert.deepEqual(
      reports.flatMap(report => report.errors),
      [],
      message,
    );
    const total = (name: 'added' | 'removed' | 'refused' | 'staleReferences' | 'walks') =>
      reports.reduce((sum, report) => sum + report[name], 0);
    for (const name of ['added', 'removed', 'refused', 'staleReferences'] as const) {
      assert.ok(total(name) > 1_000, `${message}: ${name} only ${total(name)} times`);
    }
    assert.equal(total('walks'), 400);

    let live = 0;
    for (let region = 0; region < regions; region++) {
      const records = auditLocked(map, region);
      const grown = reports.reduce((sum, report) => sum + report.grown[region], 0);
      assert.equal(records.length, PERMANENT_KEYS / regions + grown, `${message}: entries of region ${region}`);
      assert.equal(lockOwner(map, region), 0);
      live += records.length;
    }
    let found = 0;
    for (let key = 0; key < keys; key++) {
      const record = findLocked(map, key % regions, goodHash(key), key);
      if (record === NONE) continue;
      assert.ok(isWhole(map, record, key), `${message}: key ${key} is torn`);
      found++;
    }
    assert.equal(found, live, `${message}: entries that are found`);
    const overwritten = [...canaries].filter(word => memory[word] !== CANARY);
    assert.deepEqual(overwritten, [], `${message}: words that nobody should write`);
  });
}
