/**
 * A thread of nat-ports.test.ts: opens flows to one destination, one after the other, and posts how often each reason
 * came.
 *
 * Imports src/, support/.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { PacketBatch } from '../../src/engine/batch.js';
import { attachMemory, type MemoryHandle } from '../../src/engine/memory.js';
import { processPackets } from '../../src/engine/process.js';
import { createTracker } from '../../src/engine/tracker.js';
import { reasonName } from '../../src/reason.js';
import { frame, ipv4, udp } from '../support/frames.js';
import { meet } from '../support/threads.js';

export interface PortsJob {
  readonly memory: MemoryHandle;
  /** 2 or 3; each has flows of its own. */
  readonly owner: number;
  readonly barrier: Int32Array<SharedArrayBuffer>;
  readonly flows: number;
}

export type PortsReport = Record<string, number>;

/** Source port of every flow; they differ in the address. */
export const FLOW_PORT = 40_000;
const SRC_AT = 26;
const DST_LAST_AT = 33;
const IP_SUM_AT = 24;
const UDP_SUM_AT = 40;

/** Makes the frame that of flow `number`: source 10.x.x.x, last byte of the destination as given, sums in order. */
export function writeFlow(bytes: Uint8Array, number: number, destination: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint32(SRC_AT, 0x0a000000 | number);
  bytes[DST_LAST_AT] = destination;
  view.setUint16(UDP_SUM_AT, 0);
  view.setUint16(IP_SUM_AT, 0);
  let sum = 0;
  for (let at = 14; at < 34; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(IP_SUM_AT, ~sum & 0xffff);
}

function run(job: PortsJob): PortsReport {
  const tracker = createTracker(attachMemory(job.memory), job.owner);
  const bytes = frame(ipv4({ src: '10.0.0.0', dst: '198.51.100.1' }, udp({ sport: FLOW_PORT, dport: 53 })));
  const batch = new PacketBatch(32);
  const reasons: Record<string, number> = {};
  tracker.frames = batch.frames;
  meet(job.barrier, 2);
  for (let flow = 0; flow < job.flows; flow += batch.length) {
    batch.clear();
    for (let index = 0; index < batch.capacity; index++) {
      writeFlow(bytes, (flow + index) * 2 + (job.owner & 1), 1);
      batch.add(bytes, 0);
    }
    processPackets(tracker, batch.packets, batch.times, 0, batch.length);
    for (let index = 0; index < batch.length; index++) {
      const reason = reasonName(batch.reason(index));
      reasons[reason] = (reasons[reason] ?? 0) + 1;
    }
  }
  return reasons;
}

if (parentPort !== null) parentPort.postMessage(run(workerData as PortsJob));
