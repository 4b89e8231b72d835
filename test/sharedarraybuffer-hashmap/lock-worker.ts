/**
 * The threads of lock.test.ts: each takes and frees the lock of region 0 in a loop and reports what it met.
 *
 * Imports src/sharedarraybuffer-hashmap, support/threads.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { attachMap, lockRegion, REGION, regionAt, unlockRegion } from '../../src/sharedarraybuffer-hashmap/index.js';
import { meet } from '../support/threads.js';

/** User words of the region: two plain counters and the number of the thread that is inside. */
const COUNTER = REGION.USER;
const OTHER_COUNTER = REGION.USER + 1;
const INSIDE = REGION.USER + 2;

export interface LockJob {
  readonly buffer: SharedArrayBuffer;
  readonly barrier: Int32Array<SharedArrayBuffer>;
  readonly threads: number;
  readonly owner: number;
  /** Takes the lock so often, */
  readonly rounds: number;
  /** or until that much time has gone by. */
  readonly milliseconds: number;
  /** How long the lock is held each time, in steps of a loop of about a nanosecond. */
  readonly holdSteps: number;
  /** How long the thread stays away from it each time. */
  readonly pauseSteps: number;
}

export interface LockReport {
  readonly taken: number;
  readonly refused: number;
  readonly intrusions: number;
  readonly longestMs: number;
}

const job = workerData as LockJob;
const map = attachMap(job.buffer);
const { words } = map;
const region = regionAt(map, 0);

/** Works inside the lock and looks whether somebody else is there; the counters are touched plainly. */
function countsIntrusion(): boolean {
  words[region + INSIDE] = job.owner;
  words[region + COUNTER]++;
  for (let step = 0; step < job.holdSteps; step++) {
    if (words[region + INSIDE] !== job.owner) return true;
  }
  words[region + OTHER_COUNTER]++;
  return false;
}

function pause(): void {
  for (let step = 0; step < job.pauseSteps; step++) Atomics.load(words, region + REGION.LOCK);
}

function run(): LockReport {
  let taken = 0;
  let refused = 0;
  let intrusions = 0;
  let longestMs = 0;
  meet(job.barrier, job.threads);
  const until = performance.now() + job.milliseconds;
  while (taken + refused < job.rounds && performance.now() < until) {
    const asked = performance.now();
    if (!lockRegion(map, 0, job.owner)) {
      refused++;
      continue;
    }
    longestMs = Math.max(longestMs, performance.now() - asked);
    taken++;
    if (countsIntrusion()) intrusions++;
    unlockRegion(map, 0);
    pause();
  }
  return { taken, refused, intrusions, longestMs };
}

parentPort?.postMessage(run());
