/**
 * The thread of zone-flush.test.ts that passes packets meanwhile: to connections that stay.
 *
 * Imports src/, support/.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { PacketBatch } from '../../src/engine/batch.js';
import { attachMemory, type MemoryHandle } from '../../src/engine/memory.js';
import { createTracker } from '../../src/engine/tracker.js';
import { judgeBatch } from '../support/batch.js';
import { flowFrame, writeFlow } from '../support/flows.js';

export interface PassJob {
  readonly memory: MemoryHandle;
  readonly owner: number;
  readonly action: number;
  readonly destination: number;
  /** Numbers of the flows that stay: each tenth from 5 on, up to this one. */
  readonly flows: number;
  /** One word each: packets judged so far; 1 ends the thread. */
  readonly passed: Int32Array<SharedArrayBuffer>;
  readonly stop: Int32Array<SharedArrayBuffer>;
}

const job = workerData as PassJob;
const tracker = createTracker(attachMemory(job.memory), job.owner);
const bytes = flowFrame();
const batch = new PacketBatch(32, undefined, tracker.memory.wasm);
let flow = 5;
let strangers = 0;
while (Atomics.load(job.stop, 0) === 0) {
  batch.clear();
  while (batch.length < batch.capacity) {
    writeFlow(bytes, flow, job.destination);
    flow = (flow + 79_190) % job.flows;
    batch.add(bytes, 1, { action: job.action });
  }
  judgeBatch(tracker, batch);
  for (let index = 0; index < batch.length; index++) if (batch.reason(index) !== 0) strangers++;
  Atomics.add(job.passed, 0, batch.length);
}
parentPort?.postMessage(strangers);
