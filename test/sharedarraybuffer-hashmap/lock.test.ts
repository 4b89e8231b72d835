/**
 * The region lock: exclusion, fairness, its bounds, and what becomes of it when its holder dies.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import {
  breakLocks,
  createMap,
  lockOwner,
  lockRegion,
  REGION,
  regionAt,
  renewLocks,
  type SharedMap,
  tryLockRegion,
  unlockRegion,
} from '../../src/sharedarraybuffer-hashmap/index.js';
import { newBarrier, reportOf, runThreads } from '../support/threads.js';
import type { LockJob, LockReport } from './lock-worker.js';

const SCRIPT = new URL('./lock-worker.js', import.meta.url);

function newMap(): SharedMap {
  return createMap({
    regions: 2,
    recordsPerRegion: 1,
    recordWords: 32,
    annexesPerRegion: 0,
    annexWords: 16,
    regionUserWords: 3,
  });
}

function jobs(map: SharedMap, kinds: readonly Partial<LockJob>[]): LockJob[] {
  const shared = { buffer: map.buffer, barrier: newBarrier(), threads: kinds.length };
  const usual = { rounds: Number.POSITIVE_INFINITY, milliseconds: 20_000, holdSteps: 0, pauseSteps: 0 };
  return kinds.map((kind, index) => ({ ...shared, ...usual, owner: index + 1, ...kind }));
}

function waiters(map: SharedMap): number {
  return Atomics.load(map.words, regionAt(map, 0) + REGION.WAITERS);
}

test('four threads exclude one another', async () => {
  const map = newMap();
  const rounds = 100_000;
  const reports = await runThreads<LockJob, LockReport>(
    SCRIPT,
    jobs(map, new Array(4).fill({ rounds, holdSteps: 20 })),
  );
  for (const { taken, refused, intrusions } of reports) {
    assert.deepEqual({ taken, refused, intrusions }, { taken: rounds, refused: 0, intrusions: 0 });
  }
  const user = regionAt(map, 0) + REGION.USER;
  assert.deepEqual([map.words[user], map.words[user + 1]], [4 * rounds, 4 * rounds]);
  assert.deepEqual([lockOwner(map, 0), waiters(map)], [0, 0]);
});

for (const [name, holdSteps] of [
  ['nothing', 0],
  ['the length of a batch', 30_000],
] as const) {
  test(`a thread that takes the lock back to back, for ${name}, starves no other`, async () => {
    const map = newMap();
    const milliseconds = 2_000;
    const [hog, guest] = await runThreads<LockJob, LockReport>(
      SCRIPT,
      jobs(map, [
        { milliseconds, holdSteps },
        { milliseconds, pauseSteps: 2_000 },
      ]),
    );
    for (const { taken, refused, intrusions, longestMs } of [hog, guest]) {
      assert.deepEqual({ refused, intrusions }, { refused: 0, intrusions: 0 });
      assert.ok(taken >= 300, `got the lock only ${taken} times`);
      assert.ok(longestMs < 200, `waited ${longestMs} ms`);
    }
    assert.deepEqual([lockOwner(map, 0), waiters(map)], [0, 0]);
  });
}

test('a waiter that is woken often and finds the lock taken does not give up early', async () => {
  const map = newMap();
  assert.ok(lockRegion(map, 0, 9));
  const [job] = jobs(map, [{ rounds: 1 }]);
  const report = reportOf<LockReport>(new Worker(SCRIPT, { workerData: job }));
  while (waiters(map) === 0) await sleep(1);
  const until = performance.now() + 5_000;
  let woken = 0;
  while (woken < 2_000 && performance.now() < until) {
    woken += Atomics.notify(map.words, regionAt(map, 0) + REGION.LOCK);
  }
  unlockRegion(map, 0);
  const { taken, refused } = await report;
  assert.equal(woken, 2_000);
  assert.deepEqual({ taken, refused }, { taken: 1, refused: 0 });
});

test('tryLockRegion() takes a free lock only', () => {
  const map = newMap();
  assert.equal(lockOwner(map, 0), 0);
  assert.equal(tryLockRegion(map, 0, 5), true);
  assert.equal(lockOwner(map, 0), 5);
  assert.equal(tryLockRegion(map, 0, 6), false);
  assert.equal(tryLockRegion(map, 0, 5), false, 'not even for its owner');
  assert.equal(lockOwner(map, 0), 5);
  unlockRegion(map, 0);
  assert.equal(lockOwner(map, 0), 0);
  assert.equal(tryLockRegion(map, 0, 6), true);
});

test('regions have locks of their own', () => {
  const map = newMap();
  assert.equal(lockRegion(map, 0, 1), true);
  assert.equal(tryLockRegion(map, 1, 2), true);
  unlockRegion(map, 0);
  assert.deepEqual([lockOwner(map, 0), lockOwner(map, 1)], [0, 2]);
});

test('breakLocks() breaks the locks of the named owner only, and nobody waits for them until they are renewed', () => {
  const map = newMap();
  breakLocks(map, 3);
  assert.deepEqual([lockOwner(map, 0), lockOwner(map, 1)], [0, 0], 'free locks');
  assert.ok(lockRegion(map, 0, 7) && lockRegion(map, 1, 8));
  breakLocks(map, 7);
  assert.equal(lockOwner(map, 1), 8, 'the lock of another');
  const asked = performance.now();
  assert.equal(lockRegion(map, 0, 4), false);
  assert.ok(performance.now() - asked < 500, 'at once, not after two seconds');
  assert.deepEqual([tryLockRegion(map, 0, 4), waiters(map)], [false, 0]);
  unlockRegion(map, 1);
  renewLocks(map);
  assert.ok(lockRegion(map, 0, 4));
});

test('who waits for a lock that breaks is refused soon', async () => {
  const map = newMap();
  assert.ok(lockRegion(map, 0, 99));
  const waiting = runThreads<LockJob, LockReport>(SCRIPT, jobs(map, [{ owner: 2, milliseconds: 500 }]));
  while (waiters(map) === 0) await sleep(1);
  breakLocks(map, 99);
  const [{ taken, refused }] = await waiting;
  // Each of two seconds' waiting would be one at the most.
  assert.ok(taken === 0 && refused > 10, `${taken} taken, ${refused} refused`);
});

test('lockRegion() gives up after some two seconds when the holder never frees the lock', () => {
  const map = newMap();
  assert.ok(lockRegion(map, 0, 1));
  const asked = performance.now();
  assert.equal(lockRegion(map, 0, 2), false);
  const waited = performance.now() - asked;
  assert.ok(waited > 1_500 && waited < 4_000, `gave up after ${waited} ms`);
  assert.deepEqual([lockOwner(map, 0), waiters(map)], [1, 0]);
  unlockRegion(map, 0);
  assert.equal(lockRegion(map, 0, 2), true);
});
