/**
 * Several shards at once: as many threads as shards work on one table, each on the packets that are steered to it,
 * while a sweeper runs. Timed from the moment the first begins to the moment the last has ended.
 *
 * Imports barrier, result, statistics, sweeper, thread, engine/, piscina. Imported by run.
 */
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { createMemory, type EngineMemory, handleOf } from '../src/engine/memory.js';
import { memoryOptions, resolveOptions } from '../src/engine/options.js';
import { defineAction } from '../src/engine/tracker.js';
import { newBarrier } from './barrier.js';
import { type Measured, NS_PER_MS, timesOf } from './result.js';
import { figureOf } from './statistics.js';
import { withSweeper } from './sweeper.js';
import type { Span, ThreadTask, ThreadTimes } from './thread.js';

export interface ThreadsOptions {
  readonly shards: number;
  readonly connections: number;
  readonly batch: number;
  readonly seed: number;
  /** Packets that each thread updates with. */
  readonly packets: number;
}

const THREAD_FILE = fileURLToPath(new URL('thread.js', import.meta.url));
const SWEEPER_OWNER = 1;
const FIRST_OWNER = 2;

/** Nanoseconds per packet of every burst, over all threads. */
function burstTimes(threads: readonly (readonly Span[])[]): number[] {
  return threads[0].map((_, burst) => {
    const spans = threads.map(thread => thread[burst]);
    const fromMs = Math.min(...spans.map(span => span.fromMs));
    const toMs = Math.max(...spans.map(span => span.toMs));
    const packets = spans.reduce((sum, span) => sum + span.packets, 0);
    return ((toMs - fromMs) * NS_PER_MS) / packets;
  });
}

async function runThreads(memory: EngineMemory, options: ThreadsOptions): Promise<ThreadTimes[]> {
  const { shards, seed, connections, batch, packets } = options;
  const pool = new Piscina({ minThreads: shards, maxThreads: shards, atomics: 'disabled', filename: THREAD_FILE });
  const common = { memory: handleOf(memory), threads: shards, connections, batch, packets, barrier: newBarrier() };
  try {
    const runs = Array.from({ length: shards }, (_, shard): Promise<ThreadTimes> => {
      const task: ThreadTask = { ...common, owner: FIRST_OWNER + shard, shard, seed: seed + shard };
      return pool.run(task);
    });
    return await Promise.all(runs);
  } finally {
    await pool.destroy();
  }
}

/** Creates and updates of udp4 by `shards` threads. */
export async function measureThreads(options: ThreadsOptions): Promise<Measured[]> {
  const { shards, connections, batch, seed } = options;
  const table = { shards, maxConnections: connections, maxIpv6Connections: 0, seed, clock: 'packets' } as const;
  const memory = createMemory(memoryOptions(resolveOptions(table), FIRST_OWNER - 1));
  defineAction(memory, {});
  const times = await withSweeper(memory, SWEEPER_OWNER, () => runThreads(memory, options));
  const how = { mix: 'udp4', connections, shards, batch, checksums: 'l4-declared', hints: 'none' } as const;
  return [
    { work: 'threads-create', ...how, ...timesOf(figureOf(burstTimes(times.map(({ create }) => create)))) },
    { work: 'threads-update', ...how, ...timesOf(figureOf(burstTimes(times.map(({ update }) => update)))) },
  ];
}
