/**
 * A thread of measureThreads(): builds the packets of its own shard, and judges them whenever all threads are ready.
 *
 * Imports barrier, chunk, traffic, engine/, wire/. Started by threads.ts through Piscina.
 */

import { LocalEngine } from '../src/engine/local.js';
import { attachMemory, CONTROL, type EngineMemory, type MemoryHandle } from '../src/engine/memory.js';
import { processPackets } from '../src/engine/process.js';
import { createTracker, type Tracker } from '../src/engine/tracker.js';
import { createTemplate } from '../src/flood/template.js';
import { FACT, FACT_WORDS } from '../src/wire/facts.js';
import { hashKey, partOf } from '../src/wire/hash.js';
import { KNOWN } from '../src/wire/known.js';
import { parseFrame } from '../src/wire/parse.js';
import { meet } from './barrier.js';
import { Chunk, judgeChunk } from './chunk.js';
import { createTraffic, type Traffic, UDP4 } from './traffic.js';

/**
 * Packets between two barriers: long against the time that threads take to leave one, and few enough for rows and
 * frames to stay in the cache.
 */
const BURST_PACKETS = 4096;
/**
 * Tables of the thread's own on which it runs until its code is compiled. Two: code that has seen the kernels of one table
 * only is compiled once more when those of the next are called.
 */
const WARM_UP = { tables: 2, connections: 100_000, bursts: 16 } as const;

export interface ThreadTask {
  readonly memory: MemoryHandle;
  readonly owner: number;
  readonly shard: number;
  readonly threads: number;
  readonly connections: number;
  readonly batch: number;
  readonly seed: number;
  /** Packets that each thread updates with in all. */
  readonly packets: number;
  readonly barrier: Int32Array<SharedArrayBuffer>;
}

/** When each burst began and ended, by the clock that all threads share, and its packets. */
export interface ThreadTimes {
  readonly create: readonly Span[];
  readonly update: readonly Span[];
}
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
  readonly packets: number;
}

const DECLARED = KNOWN.L4_CHECKSUM_GOOD;

/** Flows below `connections` that the engine steers to a shard, in order. */
function flowsOf(memory: EngineMemory, shard: number, connections: number): Int32Array {
  const { control, map } = memory;
  const chunk = new Chunk(memory.wasm, [createTemplate(UDP4)], DECLARED, 1);
  const facts = new Int32Array(FACT_WORDS);
  const flows = new Int32Array(connections);
  let count = 0;
  for (let flow = 0; flow < connections; flow++) {
    chunk.write(0, flow, 0);
    parseFrame(chunk.view, 0, chunk.template(0).bytes.length, DECLARED, 0, facts, 0);
    hashKey(facts, 0, control[CONTROL.KEY0], control[CONTROL.KEY1]);
    if (partOf(facts[FACT.HASH], map.regions) === shard) flows[count++] = flow;
  }
  return flows.slice(0, count);
}

function judge(tracker: Tracker, chunk: Chunk, count: number, task: ThreadTask): Span {
  meet(task.barrier, task.threads);
  const fromMs = performance.timeOrigin + performance.now();
  for (let first = 0; first < count; first += task.batch) {
    processPackets(tracker, chunk.memory, first, Math.min(task.batch, count - first));
  }
  const toMs = performance.timeOrigin + performance.now();
  chunk.check(count);
  return { fromMs, toMs, packets: count };
}

/** All threads come to as many barriers, so every shard opens its connections in as many bursts. */
function createAll(tracker: Tracker, traffic: Traffic, count: number, task: ThreadTask): Span[] {
  const bursts = Math.ceil(task.connections / BURST_PACKETS);
  const spans: Span[] = [];
  for (let burst = 0; burst < bursts; burst++) {
    const first = Math.floor((burst * count) / bursts);
    const next = Math.floor(((burst + 1) * count) / bursts);
    spans.push(judge(tracker, traffic.open(first, next - first), next - first, task));
  }
  return spans;
}

function warmUp(batch: number, seed: number): void {
  const { connections, bursts } = WARM_UP;
  const engine = new LocalEngine({ maxConnections: connections, maxIpv6Connections: 0, seed });
  engine.defineAction({});
  const { wasm } = engine.memory;
  const traffic = createTraffic({ wasm, mix: 'udp4', connections, seed, known: DECLARED, chunkPackets: BURST_PACKETS });
  for (let first = 0; first < connections; first += BURST_PACKETS) {
    const count = Math.min(BURST_PACKETS, connections - first);
    judgeChunk(engine, traffic.open(first, count), count, batch);
  }
  for (let burst = 0; burst < bursts; burst++) judgeChunk(engine, traffic.pick(BURST_PACKETS), BURST_PACKETS, batch);
}

export default function runThread(task: ThreadTask): ThreadTimes {
  const memory = attachMemory(task.memory);
  const tracker = createTracker(memory, task.owner);
  const flows = flowsOf(memory, task.shard, task.connections);
  const { seed } = task;
  const connections = flows.length;
  const { wasm } = memory;
  const options = {
    wasm,
    mix: 'udp4',
    connections,
    seed,
    known: DECLARED,
    flows,
    chunkPackets: BURST_PACKETS,
  } as const;
  const traffic = createTraffic(options);
  for (let table = 0; table < WARM_UP.tables; table++) warmUp(task.batch, seed);
  const create = createAll(tracker, traffic, flows.length, task);
  const update: Span[] = [];
  for (let done = 0; done < task.packets; done += BURST_PACKETS) {
    update.push(judge(tracker, traffic.pick(BURST_PACKETS), BURST_PACKETS, task));
  }
  return { create, update };
}
