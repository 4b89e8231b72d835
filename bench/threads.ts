/**
 * Several shards at once: as many threads as shards work on one table, each on the packets that are steered to it,
 * while a sweeper runs. Timed from the moment the first begins to the moment the last has ended.
 *
 * What counts is how many times as fast several are as one, so the numbers of shards take turns, each with a fresh table:
 * a machine that others use as well may be half as fast some seconds later.
 *
 * Imports barrier, machine, result, statistics, sweeper, thread, engine/, piscina. Imported by run.
 */
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { createMemory, type EngineMemory, handleOf } from '../src/engine/memory.js';
import { memoryOptions, resolveOptions } from '../src/engine/options.js';
import { defineAction } from '../src/engine/tracker.js';
import { newBarrier } from './barrier.js';
import { collectGarbage } from './machine.js';
import { type Measured, NS_PER_MS, timesOf } from './result.js';
import { figureOf } from './statistics.js';
import { withSweeper } from './sweeper.js';
import type { Span, ThreadTask, ThreadTimes } from './thread.js';

export interface ThreadsOptions {
  /** Numbers of shards to measure with. */
  readonly shardCounts: readonly number[];
  readonly connections: number;
  readonly batch: number;
  readonly seed: number;
  readonly rounds: number;
  /** Packets that each thread updates with in a round. */
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

async function runThreads(memory: EngineMemory, shards: number, options: ThreadsOptions): Promise<ThreadTimes[]> {
  const { seed, connections, batch, packets } = options;
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

/** @returns nanoseconds per packet of one round: the medians of its bursts */
async function measureRound(shards: number, options: ThreadsOptions): Promise<{ create: number; update: number }> {
  const { connections, seed } = options;
  const table = { shards, maxConnections: connections, maxIpv6Connections: 0, seed, clock: 'packets' } as const;
  const memory = createMemory(memoryOptions(resolveOptions(table), FIRST_OWNER - 1));
  defineAction(memory, {});
  const times = await withSweeper(memory, SWEEPER_OWNER, () => runThreads(memory, shards, options));
  return {
    create: figureOf(burstTimes(times.map(({ create }) => create))).median,
    update: figureOf(burstTimes(times.map(({ update }) => update))).median,
  };
}

/** Creates and updates of udp4 by as many threads as shards, for each number of shards in the order of `shardCounts`. */
export async function measureThreads(options: ThreadsOptions): Promise<Measured[]> {
  const { shardCounts, connections, batch, rounds } = options;
  const times = shardCounts.map(shards => ({ shards, create: [] as number[], update: [] as number[] }));
  for (let round = 0; round < rounds; round++) {
    for (const { shards, create, update } of times) {
      collectGarbage();
      const figures = await measureRound(shards, options);
      create.push(figures.create);
      update.push(figures.update);
    }
  }
  const common = { mix: 'udp4', connections, batch, checksums: 'l4-declared', hints: 'none' } as const;
  return times.flatMap(({ shards, create, update }): Measured[] => [
    { work: 'threads-create', ...common, shards, ...timesOf(figureOf(create)) },
    { work: 'threads-update', ...common, shards, ...timesOf(figureOf(update)) },
  ]);
}
