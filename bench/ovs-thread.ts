/**
 * A thread of ovsBenchmark(): one batch of packets of one flow, judged over and over.
 *
 * Imports barrier, datagrams, engine/. Started by ovs.ts through Piscina.
 */
import { attachMemory, type MemoryHandle } from '../src/engine/memory.js';
import { PACKET, PACKET_WORDS } from '../src/engine/packet.js';
import { processPackets } from '../src/engine/process.js';
import { createTracker } from '../src/engine/tracker.js';
import { meet } from './barrier.js';
import { Datagrams } from './datagrams.js';

export interface OvsThreadTask {
  readonly memory: MemoryHandle;
  readonly thread: number;
  readonly threads: number;
  /** Packets of each thread. */
  readonly packets: number;
  readonly batch: number;
  readonly changesConnection: boolean;
  readonly barrier: Int32Array<SharedArrayBuffer>;
}

/** When the thread began and ended, by the clock that all threads share. */
export interface OvsSpan {
  readonly fromMs: number;
  readonly toMs: number;
}

const DESTINATION = 2;

export default function runThread(task: OvsThreadTask): OvsSpan {
  const { thread, threads, packets, batch, changesConnection, barrier } = task;
  const tracker = createTracker(attachMemory(task.memory), thread + 1);
  const datagrams = new Datagrams(tracker.memory.wasm, batch);
  for (let packet = 0; packet < batch; packet++) {
    datagrams.write(packet, thread + 1, DESTINATION + (changesConnection ? 1 : 0));
  }
  meet(barrier, threads);
  const fromMs = performance.timeOrigin + performance.now();
  for (let done = 0; done < packets; done += batch) {
    processPackets(tracker, datagrams.memory, 0, batch);
    // Forgets what the packets were told, as OVS's benchmark does.
    for (let packet = 0; packet < batch; packet++) datagrams.packets[packet * PACKET_WORDS + PACKET.STATE] = 0;
  }
  return { fromMs, toMs: performance.timeOrigin + performance.now() };
}
