/**
 * The run of `flowshard bench`: which figures, in which order, and the limit that each is compared with.
 *
 * The machine's limits come first, then memory, before other tables have come and gone. Then every mix is run small, so
 * that the code is compiled for all of them before any is measured: figures do not depend on the order of the mixes,
 * and are those of an engine that has seen more than one protocol.
 *
 * Imports the other files of bench/. Imported by cli/bench and check.
 */

import { CHUNK_PACKETS } from './chunk.js';
import { measureMemory, measureOpening, measureOpeningWithWorkers } from './footprint.js';
import { measureLatency } from './latency.js';
import { type GoverningLimit, measureLimits, packetLimit, streamLimit } from './limits.js';
import { collectGarbage, currentCommit, describeMachine } from './machine.js';
import { measureReplay } from './replay.js';
import type { BenchReport, BenchResult, FrameHandling, Measured } from './result.js';
import { measureRings } from './rings.js';
import { measureBatches, measureVariants } from './slices.js';
import { measureThreads } from './threads.js';
import { MIXES, type Mix, SEGMENT_BYTES } from './traffic.js';
import { runWhole } from './whole.js';

/** What a run consists of, in this order. */
export const SECTIONS = ['memory', 'sizes', 'batches', 'variants', 'threads', 'rings', 'latency', 'replay'] as const;
export type Section = (typeof SECTIONS)[number];

export interface RunOptions {
  /** Numbers of connections to measure at. */
  readonly connections: readonly number[];
  readonly batch: number;
  /** Numbers of shards to measure with. */
  readonly shards: readonly number[];
  readonly seed: number;
  /** Fewer packets per round, fewer things that are changed. */
  readonly quick: boolean;
  readonly sections: readonly Section[];
}

export const DEFAULT_CONNECTIONS: readonly number[] = [1000, 10_000, 100_000, 1_000_000, 4_000_000];
export const QUICK_CONNECTIONS: readonly number[] = [1000, 10_000, 100_000, 1_000_000];
export const DEFAULT_BATCH = 32;
/** Batches are whole, so none is larger than a chunk. */
export const MAX_RUN_BATCH = CHUNK_PACKETS;

/** Rounds of update and packets of each: at a million connections half of them are met. */
const FULL = { rounds: 7, creations: 5, packets: 524_288 };
const QUICK = { rounds: 5, creations: 3, packets: 65_536 };
const WARM_UP = { connections: 5000, rounds: 1, creations: 5, packets: 65_536 };
const FULL_LATENCY_MS = 5000;
const QUICK_LATENCY_MS = 1000;
const FULL_REPLAY = { bytes: 1e9, rounds: 5 };
const QUICK_REPLAY = { bytes: 5e7, rounds: 3 };
const REPLAY_CONNECTIONS = 10_000;

const FULL_BATCHES: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
const QUICK_BATCHES: readonly number[] = [1, 64];
const RING_BATCHES: readonly number[] = [32, 256];
const RING_FRAMES: readonly FrameHandling[] = ['in-place', 'copied'];

/** Slices and rings are taken at this number of connections if it is among those asked for, or the nearest below. */
const SLICE_CONNECTIONS = 100_000;

/** Bytes of a table per IPv4 connection: its record, and its share of the index. */
const TABLE_BYTES = 144;

function sliceOf(connections: readonly number[]): number {
  const fitting = connections.filter(count => count <= SLICE_CONNECTIONS);
  return fitting.length > 0 ? Math.max(...fitting) : Math.min(...connections);
}

/** What is known before the first figure. Measures the machine's limits. */
export function describeRun(options: RunOptions): Omit<BenchReport, 'results'> {
  const { seed, batch, quick, connections } = options;
  const tables = [...connections].sort((a, b) => a - b).map(count => [count, count * TABLE_BYTES] as const);
  const limits = measureLimits(tables);
  return { machine: describeMachine(), node: process.version, commit: currentCommit(), seed, batch, quick, limits };
}

/** Puts results beside the limits that govern them. */
class Results {
  readonly all: BenchResult[] = [];
  readonly #limits: BenchReport['limits'];
  readonly #report: (result: BenchResult) => void;

  constructor(limits: BenchReport['limits'], report: (result: BenchResult) => void) {
    this.#limits = limits;
    this.#report = report;
  }

  readonly add = (measured: Measured, special?: GoverningLimit): void => {
    const { nsPerPacket } = measured;
    const limit = nsPerPacket === null ? null : (special ?? this.#limitOf(measured));
    const ratioToLimit = nsPerPacket === null || limit === null ? null : nsPerPacket / limit.ns;
    const result: BenchResult = { ...measured, limit, ratioToLimit };
    this.all.push(result);
    this.#report(result);
  };

  #limitOf(measured: Measured): GoverningLimit {
    const { work, connections, mix, checksums, shards } = measured;
    if (work === 'rings' || (work.startsWith('threads') && shards > 1)) return this.#inThread(measured);
    if (mix === 'tcp4' && checksums === 'verified') return streamLimit(this.#limits, SEGMENT_BYTES);
    return packetLimit(this.#limits, connections);
  }

  /** The same work on one thread, shared by as many threads as there are shards. */
  #inThread(measured: Measured): GoverningLimit {
    const alone = measured.work === 'rings' ? 'update' : measured.work;
    const before = this.all.find(
      ({ work, mix, connections, shards, nsPerPacket }) =>
        work === alone &&
        mix === measured.mix &&
        connections === measured.connections &&
        shards === 1 &&
        nsPerPacket !== null,
    );
    if (before === undefined || before.nsPerPacket === null) return packetLimit(this.#limits, measured.connections);
    return { name: 'in-thread', ns: before.nsPerPacket / measured.shards };
  }
}

async function runMemory({ connections, batch, seed, quick }: RunOptions, results: Results): Promise<void> {
  const { creations } = quick ? QUICK : FULL;
  const most = Math.max(...connections);
  results.add(measureMemory('udp4', most, batch, seed));
  if (!quick) results.add(measureMemory('udp6', most, batch, seed));
  results.add(measureOpening(most, creations));
  results.add(await measureOpeningWithWorkers(most, creations));
}

function runSizes({ connections, batch, seed, quick }: RunOptions, results: Results): void {
  const amount = quick ? QUICK : FULL;
  const mixes: readonly Mix[] = quick ? MIXES.filter(mix => mix !== 'mixed') : MIXES;
  for (const mix of MIXES) runWhole({ mix, batch, seed, ...WARM_UP }, () => undefined);
  const ends = [Math.min(...connections), Math.max(...connections)];
  for (const mix of mixes) {
    for (const count of connections) {
      if (quick && mix !== 'udp4' && !ends.includes(count)) continue;
      collectGarbage();
      runWhole({ mix, connections: count, batch, seed, ...amount }, results.add);
    }
  }
}

async function runThreads(options: RunOptions, results: Results): Promise<void> {
  const { connections, batch, seed, quick } = options;
  const { packets, creations: rounds } = quick ? QUICK : FULL;
  const counts = quick ? [sliceOf(connections)] : [...new Set([sliceOf(connections), Math.max(...connections)])];
  // One first: the others are compared with it.
  const shardCounts = [...new Set([1, ...options.shards])].sort((a, b) => a - b);
  for (const count of counts) {
    const measured = await measureThreads({ shardCounts, connections: count, batch, seed, rounds, packets });
    for (const result of measured) results.add(result);
  }
}

/**
 * Runs the benchmark.
 * @param about what describeRun() said
 * @param report told each result as soon as it is there
 * @throws Error when a packet was not judged as it must be, or a table is not to be had
 */
export async function runBench(
  options: RunOptions,
  about: Omit<BenchReport, 'results'>,
  report: (result: BenchResult) => void,
): Promise<readonly BenchResult[]> {
  const { connections, batch, seed, quick, sections } = options;
  const amount = quick ? QUICK : FULL;
  const results = new Results(about.limits, report);
  const slice = { connections: sliceOf(connections), seed, ...amount };
  const run: Readonly<Record<Section, () => void | Promise<void>>> = {
    memory: () => runMemory(options, results),
    sizes: () => runSizes(options, results),
    batches: () => measureBatches(slice, quick ? QUICK_BATCHES : FULL_BATCHES, results.add),
    variants: () => measureVariants({ ...slice, batch }, results.add),
    threads: () => runThreads(options, results),
    rings: async () => {
      const batches = quick ? [batch] : [...new Set([batch, ...RING_BATCHES])];
      for (const size of batches) {
        for (const frames of RING_FRAMES) results.add(await measureRings({ ...slice, batch: size, frames }));
      }
    },
    latency: async () => {
      const ms = quick ? QUICK_LATENCY_MS : FULL_LATENCY_MS;
      results.add(await measureLatency({ connections: slice.connections, batch, seed, ms }));
    },
    replay: () => {
      const size = quick ? QUICK_REPLAY : FULL_REPLAY;
      const { result, limit } = measureReplay({ connections: REPLAY_CONNECTIONS, seed, ...size });
      results.add(result, limit);
    },
  };
  for (const section of SECTIONS) {
    if (!sections.includes(section)) continue;
    collectGarbage();
    await run[section]();
  }
  return results.all;
}
