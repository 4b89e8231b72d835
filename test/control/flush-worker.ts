/**
 * The threads of flush.test.ts: two pass packets and sweep, one flushes until they are done. Posts how many connections
 * the flushes deleted.
 *
 * Imports src/, support/random, support/threads.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { ConnectionFilter } from '../../src/control/filter.js';
import { flushConnections } from '../../src/control/flush.js';
import { PacketBatch } from '../../src/engine/batch.js';
import { attachMemory, CONTROL, type MemoryHandle } from '../../src/engine/memory.js';
import { createSweepCursor, sweepAll } from '../../src/engine/sweep.js';
import { createTracker } from '../../src/engine/tracker.js';
import { judgeBatch } from '../support/batch.js';
import { Random } from '../support/random.js';
import { meet } from '../support/threads.js';
import { KIND_COUNT, randomFrame } from './kinds.js';
import { ACTIONS } from './populate.js';

export interface FlushJob {
  readonly kind: 'packets' | 'flush';
  readonly memory: MemoryHandle;
  readonly owner: number;
  readonly seed: number;
  readonly barrier: Int32Array<SharedArrayBuffer>;
  readonly threads: number;
  readonly packets: number;
}

const job = workerData as FlushJob;
const tracker = createTracker(attachMemory(job.memory), job.owner);
const random = new Random(job.seed);
const { control } = tracker.memory;

/** Milliseconds from one packet to the next: some connections end on the way. */
const STEP_MS = 3;
/** Between two flushes. */
const PAUSE_MS = 5;
/** Batches between two sweeps. */
const SWEEP_EVERY = 50;

function passPackets(): void {
  const batch = new PacketBatch(64, undefined, tracker.memory.wasm);
  const cursor = createSweepCursor(tracker.map);
  let timeMs = 0;
  for (let done = 0; done < job.packets; done += batch.length) {
    batch.clear();
    while (batch.length < batch.capacity) {
      timeMs += STEP_MS;
      batch.add(randomFrame(random, random.below(KIND_COUNT)), timeMs, { action: random.below(ACTIONS.length) });
    }
    judgeBatch(tracker, batch);
    if (Math.floor(done / 64) % SWEEP_EVERY === 0) sweepAll(tracker, cursor, 0);
  }
  Atomics.add(control, CONTROL.STOP, 1); // counts this thread out
}

const FILTERS: readonly ConnectionFilter[] = [
  { zone: 5 },
  { protocol: 17 },
  { reply: { dst: '192.0.2.1' } },
  { original: { src: 'fd00::1' } },
  { mark: { value: 2, mask: 2 } },
  { label: { value: 1n } },
  {},
];

function flush(): number {
  let deleted = 0;
  while (Atomics.load(control, CONTROL.STOP) < job.threads - 1) {
    deleted += flushConnections(tracker, random.pick(FILTERS));
    // So that some connections live long enough to end by themselves.
    Atomics.wait(control, CONTROL.SWEEP_WAKE, 0, PAUSE_MS);
  }
  return deleted;
}

meet(job.barrier, job.threads);
if (job.kind === 'packets') {
  passPackets();
  parentPort?.postMessage(0);
} else parentPort?.postMessage(flush());
