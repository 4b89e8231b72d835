/**
 * How long a batch takes while a sweeper removes connections: the one thing that can make a shard wait.
 *
 * A quarter of the packets open connections that live for a second; the others update one of `connections` that stay.
 * Time is that of the packets and goes as fast as the clock on the wall.
 *
 * Imports chunk, random, result, statistics, sweeper, template, traffic, engine/, wire/. Imported by run.
 */
import { setImmediate } from 'node:timers/promises';
import { createMemory } from '../src/engine/memory.js';
import { memoryOptions, resolveOptions } from '../src/engine/options.js';
import { processPackets } from '../src/engine/process.js';
import { Settings } from '../src/engine/settings.js';
import { createTracker, defineAction, type Tracker } from '../src/engine/tracker.js';
import { Random } from '../src/flood/random.js';
import { createTemplate } from '../src/flood/template.js';
import { KNOWN } from '../src/wire/known.js';
import { Chunk, PACKET_MS, STATE } from './chunk.js';
import { type LatencyFigure, type Measured, NS_PER_MS, timesOf } from './result.js';
import { figureOf } from './statistics.js';
import { withSweeper } from './sweeper.js';
import { UDP4 } from './traffic.js';

export interface LatencyOptions {
  readonly connections: number;
  readonly batch: number;
  readonly seed: number;
  /** How long to measure, in milliseconds. */
  readonly ms: number;
}

const OWNER = 1;
const SWEEPER_OWNER = 2;
const SWEEP_INTERVAL_MS = 100;
const LIFE_MS = 1000;
const SOON_POLICY = 1;
const NEW_SHARE = 0.25;
/** More new connections than live at a time. */
const ROOM = 3_000_000;
const US_PER_MS = 1000;
const NS_PER_US = NS_PER_MS / US_PER_MS;

function quantile(sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

/** @param times microseconds of every batch, at least one */
function latencyOf(times: Float64Array): LatencyFigure {
  const sorted = times.slice().sort();
  return {
    p50: quantile(sorted, 0.5),
    p99: quantile(sorted, 0.99),
    p999: quantile(sorted, 0.999),
    max: sorted[sorted.length - 1],
  };
}

/** Judges the first `count` packets as one batch. @returns microseconds */
function timeBatch(tracker: Tracker, chunk: Chunk, count: number): number {
  const startedMs = performance.now();
  processPackets(tracker, chunk.memory, 0, count);
  const tookMs = performance.now() - startedMs;
  chunk.check(count);
  return tookMs * US_PER_MS;
}

/** Actions of packets whose connections stay, and of those whose connections end soon. */
interface Actions {
  readonly stay: number;
  readonly soon: number;
}

/** @returns microseconds of every batch */
function timeBatches(tracker: Tracker, options: LatencyOptions, { stay, soon }: Actions): Float64Array {
  const { connections, batch, seed, ms } = options;
  const chunk = new Chunk(tracker.memory.wasm, [createTemplate(UDP4)], KNOWN.L4_CHECKSUM_GOOD, batch);
  for (let first = 0; first < connections; first += batch) {
    const count = Math.min(batch, connections - first);
    for (let slot = 0; slot < count; slot++) {
      chunk.write(slot, first + slot, STATE.NEW);
      chunk.address(slot, stay, PACKET_MS);
    }
    timeBatch(tracker, chunk, count);
  }
  const random = new Random(seed);
  const times: number[] = [];
  const startedMs = performance.now();
  let opened = connections;
  for (let nowMs = 0; nowMs < ms; nowMs = performance.now() - startedMs) {
    for (let slot = 0; slot < batch; slot++) {
      const opens = random.u32() < NEW_SHARE * 0x1_0000_0000;
      chunk.write(slot, opens ? opened++ : random.below(connections), STATE.NEW);
      chunk.address(slot, opens ? soon : stay, PACKET_MS + nowMs);
    }
    times.push(timeBatch(tracker, chunk, batch));
  }
  return Float64Array.from(times);
}

export async function measureLatency(options: LatencyOptions): Promise<Measured> {
  const { connections, batch, seed } = options;
  const table = { shards: 1, maxConnections: connections + ROOM, maxIpv6Connections: 0, seed } as const;
  const resolved = resolveOptions({ ...table, clock: 'packets', sweepIntervalMs: SWEEP_INTERVAL_MS });
  const memory = createMemory(memoryOptions(resolved, SWEEPER_OWNER - 1));
  new Settings(memory).setTimeoutPolicy(SOON_POLICY, { udp_first: LIFE_MS });
  const actions = { stay: defineAction(memory, {}), soon: defineAction(memory, { timeoutPolicy: SOON_POLICY }) };
  const tracker = createTracker(memory, OWNER);
  const times = await withSweeper(memory, SWEEPER_OWNER, async () => {
    // The sweeper's thread starts while this one turns to its events.
    await setImmediate();
    return timeBatches(tracker, options, actions);
  });
  const ns = figureOf(Array.from(times, us => (us * NS_PER_US) / batch));
  const how = { mix: 'udp4', connections, shards: 1, batch, checksums: 'l4-declared', hints: 'none' } as const;
  return { work: 'latency', ...how, newShare: NEW_SHARE, ...timesOf(ns), latencyUs: latencyOf(times) };
}
