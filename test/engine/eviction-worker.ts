/**
 * The threads of eviction-stress.test.ts: some pass packets that nobody steers, one sweeps and one flushes until they are
 * done. Posts how many packets it passed, or connections it flushed.
 *
 * Imports src/, control/populate, support/.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { flushConnections } from '../../src/control/flush.js';
import { PacketBatch } from '../../src/engine/batch.js';
import { attachMemory, CONTROL, type MemoryHandle } from '../../src/engine/memory.js';
import { createSweepCursor, sweepStep } from '../../src/engine/sweep.js';
import { createTracker } from '../../src/engine/tracker.js';
import { ACTIONS } from '../control/populate.js';
import { judgeBatch } from '../support/batch.js';
import { frame, ipv4, ipv6, tcp, udp } from '../support/frames.js';
import { Random } from '../support/random.js';
import { meet } from '../support/threads.js';

export interface EvictionJob {
  readonly kind: 'packets' | 'sweep' | 'flush';
  readonly memory: MemoryHandle;
  readonly owner: number;
  readonly barrier: Int32Array<SharedArrayBuffer>;
  readonly threads: number;
  readonly packetThreads: number;
  readonly packets: number;
}

const job = workerData as EvictionJob;
const tracker = createTracker(attachMemory(job.memory), job.owner);
const random = new Random(job.owner);
const { control } = tracker.memory;

/** Milliseconds from one packet to the next: what lives through the flood long enough ends. */
const STEP_MS = 3;
const FLUSH_PAUSE_MS = 20;

/** Packets of some thousand clients, in both directions: connections are opened, answered, closed and opened again. */
function randomFrame(): Uint8Array {
  const isIpv6 = random.chance(0.2);
  const client = random.below(4000);
  const hosts = isIpv6
    ? [`fd00::${client.toString(16)}`, 'fd00:1::1']
    : [`10.0.${client >> 8}.${client & 255}`, '10.9.9.9'];
  const isReply = random.chance(0.3);
  const [src, dst] = isReply ? hosts.toReversed() : hosts;
  const ports = isReply ? { sport: 80, dport: 5000 } : { sport: 5000, dport: 80 };
  const flags = isReply ? random.pick(['SA', 'A', 'R']) : random.pick(['S', 'S', 'A', 'FA']);
  const transport = random.chance(0.5) ? udp(ports) : tcp({ ...ports, flags, seq: 1, ack: 1 });
  return frame((isIpv6 ? ipv6 : ipv4)({ src, dst }, transport));
}

function passPackets(): number {
  const batch = new PacketBatch(64, undefined, tracker.memory.wasm);
  for (let done = 0; done < job.packets; done += batch.length) {
    batch.clear();
    while (batch.length < batch.capacity) {
      batch.add(randomFrame(), (done + batch.length) * STEP_MS, { action: random.below(ACTIONS.length) });
    }
    judgeBatch(tracker, batch);
  }
  Atomics.add(control, CONTROL.STOP, 1); // counts this thread out
  return job.packets;
}

function othersPass(): boolean {
  return Atomics.load(control, CONTROL.STOP) < job.packetThreads; // orders nothing
}

function sweep(): number {
  const cursor = createSweepCursor(tracker.map);
  while (othersPass()) while (sweepStep(tracker, cursor, 0)) {}
  return 0;
}

function flush(): number {
  let deleted = 0;
  while (othersPass()) {
    deleted += flushConnections(tracker, random.pick([{ zone: 5 }, { protocol: 17 }, { mark: { value: 3, mask: 3 } }]));
    Atomics.wait(control, CONTROL.STOP, Atomics.load(control, CONTROL.STOP), FLUSH_PAUSE_MS);
  }
  return deleted;
}

meet(job.barrier, job.threads);
parentPort?.postMessage(job.kind === 'packets' ? passPackets() : job.kind === 'sweep' ? sweep() : flush());
