/**
 * The two benchmarks of Open vSwitch's own `ovstest test-conntrack`, with the same arguments, the same work and the
 * same printed form, so that both programs can be run side by side.
 *
 * - `benchmark`: each thread judges one batch of the same UDP packets over and over, n_pkts of them, with commit in
 *   zone 0; the time is that from the moment all threads begin until all have ended. OVS verifies a packet's checksums
 *   once and parses it before, so here they are declared verified and the network layer is named.
 * - `benchmark-zones`: n_conns connections in each of n_zones zones, packet by packet; then `iterations` times: flush
 *   zone 1, commit its connections again, look them up, flush an empty zone. The averages are OVS's, which give a new
 *   sample a weight of one hundredth; the percentile is exact, where OVS estimates it.
 *
 * Imports barrier, datagrams, ovs-thread, control/, engine/, piscina. Imported by cli/bench-ovs.
 */
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { flushConnections } from '../src/control/flush.js';
import { writeAction } from '../src/engine/action.js';
import { LocalEngine } from '../src/engine/local.js';
import { createMemory, handleOf } from '../src/engine/memory.js';
import { memoryOptions, resolveOptions } from '../src/engine/options.js';
import { PACKET, PACKET_WORDS } from '../src/engine/packet.js';
import { processPackets } from '../src/engine/process.js';
import { defineAction } from '../src/engine/tracker.js';
import { newBarrier } from './barrier.js';
import { Datagrams } from './datagrams.js';
import type { OvsSpan, OvsThreadTask } from './ovs-thread.js';

/** OVS's default maximum: it refuses further connections silently, and the benchmark measures refusals. */
export const OVS_MAX_CONNECTIONS = 3_000_000;

const THREAD_FILE = fileURLToPath(new URL('ovs-thread.js', import.meta.url));
const ROOM = 1024;
const US_PER_MS = 1000;

/** Runs `benchmark n_threads n_pkts batch_size [change_connection]`. @returns milliseconds */
export async function ovsBenchmark(
  threads: number,
  packets: number,
  batch: number,
  changesConnection: boolean,
): Promise<number> {
  const table = resolveOptions({ shards: threads, maxConnections: ROOM + threads, clock: 'packets' });
  const memory = createMemory(memoryOptions(table, 0));
  defineAction(memory, {});
  const pool = new Piscina({ minThreads: threads, maxThreads: threads, atomics: 'disabled', filename: THREAD_FILE });
  const common = { memory: handleOf(memory), threads, packets, batch, changesConnection, barrier: newBarrier() };
  try {
    const runs = Array.from({ length: threads }, (_, thread): Promise<OvsSpan> => {
      const task: OvsThreadTask = { ...common, thread };
      return pool.run(task);
    });
    const spans = await Promise.all(runs);
    return Math.max(...spans.map(({ toMs }) => toMs)) - Math.min(...spans.map(({ fromMs }) => fromMs));
  } finally {
    await pool.destroy();
  }
}

/** Samples of one kind of work, as OVS's stopwatch sums them up: microseconds. */
class Stopwatch {
  static readonly #WEIGHT = 0.01;
  readonly #samples: number[] = [];
  #average = 0;

  time(work: () => void): void {
    const startedMs = performance.now();
    work();
    const us = (performance.now() - startedMs) * US_PER_MS;
    this.#average = this.#samples.length === 0 ? us : this.#average + Stopwatch.#WEIGHT * (us - this.#average);
    this.#samples.push(us);
  }

  get min(): number {
    return Math.min(...this.#samples);
  }

  get max(): number {
    return Math.max(...this.#samples);
  }

  get percentile95(): number {
    const sorted = [...this.#samples].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.95))];
  }

  get average(): number {
    return this.#average;
  }
}

const FULL_ZONE = 1;
const EMPTY_ZONE = 65_535;
const ACTION = 0;

/** A table and packets for it, judged one by one as OVS's benchmark does. */
class ZoneBench {
  readonly #engine: LocalEngine;
  readonly #datagrams: Datagrams;

  constructor(connections: number) {
    this.#engine = new LocalEngine({ maxConnections: OVS_MAX_CONNECTIONS, maxIpv6Connections: 0 });
    this.#engine.defineAction({});
    this.#datagrams = new Datagrams(this.#engine.memory.wasm, connections);
    for (let packet = 0; packet < connections; packet++) {
      // As in OVS: the number's halves are the ports, and a port of zero becomes the highest one.
      this.#datagrams.write(packet, packet >>> 16 || 0xffff, packet & 0xffff || 0xffff);
    }
  }

  execute(zone: number, commit: boolean): void {
    const { tracker } = this.#engine;
    const { memory, packets, count } = this.#datagrams;
    // Nobody else works on this table: one action is written over for each zone.
    writeAction(tracker.actions, ACTION, { zone, commit });
    for (let packet = 0; packet < count; packet++) {
      processPackets(tracker, memory, packet, 1);
      packets[packet * PACKET_WORDS + PACKET.STATE] = 0;
    }
  }

  flush(zone: number): void {
    flushConnections(this.#engine.tracker, { zone });
  }
}

/** Runs `benchmark-zones n_conns n_zones iterations`. @param print takes each line */
export function ovsBenchmarkZones(
  connections: number,
  zones: number,
  iterations: number,
  print: (line: string) => void,
): void {
  let startedMs = performance.now();
  const tookMs = () => Math.round(performance.now() - startedMs);
  const bench = new ZoneBench(connections);
  print(`initial packet generation time: ${tookMs()} ms`);
  startedMs = performance.now();
  for (let zone = 0; zone < zones; zone++) bench.execute(zone, true);
  print(`initial insert time: ${tookMs()} ms`);
  const commit = new Stopwatch();
  const lookup = new Stopwatch();
  const full = new Stopwatch();
  const empty = new Stopwatch();
  startedMs = performance.now();
  for (let iteration = 0; iteration < iterations; iteration++) {
    full.time(() => bench.flush(FULL_ZONE));
    commit.time(() => bench.execute(FULL_ZONE, true));
    lookup.time(() => bench.execute(FULL_ZONE, false));
    empty.time(() => bench.flush(EMPTY_ZONE));
  }
  print(`flush run time: ${tookMs()} ms`);
  const columns = [commit, lookup, full, empty];
  const row = (name: string, value: (watch: Stopwatch) => number, digits: number) => {
    const cells = columns.map((watch, column) => value(watch).toFixed(digits).padStart(WIDTHS[column]));
    print(`| ${name.padEnd(6)} | ${cells.map(cell => `${cell} us`).join(' | ')} |`);
  };
  print('results:');
  print('         | ct execute (commit) | ct execute (no commit) | flush full zone | flush empty zone |');
  print('+--------+---------------------+------------------------+-----------------+------------------+');
  row('Min', watch => watch.min, 0);
  row('Max', watch => watch.max, 0);
  row('95%ile', watch => watch.percentile95, 2);
  row('Avg', watch => watch.average, 2);
}

/** Widths of the numbers in the table's columns. */
const WIDTHS = [16, 19, 12, 13] as const;
