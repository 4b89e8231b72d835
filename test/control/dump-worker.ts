/**
 * The other thread of dump.test.ts: opens and ends connections in the table, for as long as it is not told to stop.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { PacketBatch } from '../../src/engine/batch.js';
import { attachMemory, type MemoryHandle } from '../../src/engine/memory.js';
import { createSweepCursor, sweepAll } from '../../src/engine/sweep.js';
import { createTracker } from '../../src/engine/tracker.js';
import { judgeBatch } from '../support/batch.js';
import { frame, ipv4, ipv6, udp } from '../support/frames.js';

export interface ChurnJob {
  readonly memory: MemoryHandle;
  readonly owner: number;
  /** A word that becomes 1 when it is time to stop, and one that counts rounds. */
  readonly signal: Int32Array<SharedArrayBuffer>;
  readonly startMs: number;
}

export interface ChurnReport {
  readonly created: number;
  readonly expired: number;
}

/** Connections of a round, each of which ends before the next but one. */
const FLOWS = 300;
const ROUND_MS = 60_000;

const job = workerData as ChurnJob;
const tracker = createTracker(attachMemory(job.memory), job.owner);
const cursor = createSweepCursor(tracker.map);
const batch = new PacketBatch(FLOWS, undefined, tracker.memory.wasm);
let nowMs = job.startMs;
for (let round = 0; Atomics.load(job.signal, 0) === 0; round++) {
  batch.clear();
  for (let number = 0; number < FLOWS; number++) {
    const sport = 1 + ((round * FLOWS + number) % 60_000);
    const packet = number % 2 === 0 ? ipv4({ src: '192.0.2.1' }, udp({ sport })) : ipv6({}, udp({ sport }));
    batch.add(frame(packet), nowMs);
  }
  judgeBatch(tracker, batch);
  nowMs += ROUND_MS;
  sweepAll(tracker, cursor, nowMs);
  Atomics.add(job.signal, 1, 1);
}
const { created, expired } = { created: tracker.counts[1], expired: tracker.counts[2] };
const report: ChurnReport = { created, expired };
parentPort?.postMessage(report);
