/**
 * A thread of repair.test.ts that adds and removes entries until it is ended from outside.
 *
 * Imports src/sharedarraybuffer-hashmap, support/random.
 */
import { isMainThread, workerData } from 'node:worker_threads';
import { attachMap, lockRegion, NONE, unlockRegion } from '../../src/sharedarraybuffer-hashmap/index.js';
import { Random } from '../support/random.js';
import { addLocked, dropLocked, findLocked, goodHash } from './entries.js';

/** Keys from 0 on that the thread leaves alone. */
export const STABLE_KEYS = 70;
/** Keys behind them that it adds and removes; with the others more than fit. */
export const CHURNED_KEYS = 200;

export interface DoomedJob {
  readonly buffer: SharedArrayBuffer;
  /** Set to 1 when the thread is at work. */
  readonly started: Int32Array<SharedArrayBuffer>;
  readonly owner: number;
  readonly seed: number;
}

function churn({ buffer, started, owner, seed }: DoomedJob): void {
  const map = attachMap(buffer);
  const random = new Random(seed);
  for (;;) {
    if (!lockRegion(map, 0, owner)) throw new Error('the lock is not to be had');
    Atomics.store(started, 0, 1); // publishes that this thread has come so far
    for (let step = 0; step < 50; step++) {
      const key = STABLE_KEYS + random.below(CHURNED_KEYS);
      const hash = goodHash(key);
      const record = findLocked(map, 0, hash, key);
      if (record === NONE) addLocked(map, 0, hash, key, step);
      else dropLocked(map, record);
    }
    unlockRegion(map, 0);
  }
}

if (!isMainThread) churn(workerData as DoomedJob);
