/**
 * A thread of nat-ports.test.ts: opens flows to one destination, one after the other, and posts how often each reason
 * came.
 *
 * Imports src/, support/.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { PacketBatch } from '../../src/engine/batch.js';
import { attachMemory, type MemoryHandle } from '../../src/engine/memory.js';
import { createTracker } from '../../src/engine/tracker.js';
import { reasonName } from '../../src/reason.js';
import { judgeBatch } from '../support/batch.js';
import { flowFrame, writeFlow } from '../support/flows.js';
import { meet } from '../support/threads.js';

export interface PortsJob {
  readonly memory: MemoryHandle;
  /** 2 or 3; each has flows of its own. */
  readonly owner: number;
  readonly barrier: Int32Array<SharedArrayBuffer>;
  readonly flows: number;
}

export type PortsReport = Record<string, number>;

function run(job: PortsJob): PortsReport {
  const tracker = createTracker(attachMemory(job.memory), job.owner);
  const bytes = flowFrame();
  const batch = new PacketBatch(32, undefined, tracker.memory.wasm);
  const reasons: Record<string, number> = {};
  meet(job.barrier, 2);
  for (let flow = 0; flow < job.flows; flow += batch.length) {
    batch.clear();
    for (let index = 0; index < batch.capacity; index++) {
      writeFlow(bytes, (flow + index) * 2 + (job.owner & 1), 1);
      batch.add(bytes, 0);
    }
    judgeBatch(tracker, batch);
    for (let index = 0; index < batch.length; index++) {
      const reason = reasonName(batch.reason(index));
      reasons[reason] = (reasons[reason] ?? 0) + 1;
    }
  }
  return reasons;
}

parentPort?.postMessage(run(workerData as PortsJob));
