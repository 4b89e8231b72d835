/**
 * What an engine takes before it does anything: memory per connection, and the time to open.
 *
 * Imports machine, result, statistics, traffic, whole, engine/, sharedarraybuffer-hashmap. Imported by run.
 */
import { Engine } from '../src/engine/engine.js';
import { LocalEngine } from '../src/engine/local.js';
import { BUCKET_WORDS, type SharedMap } from '../src/sharedarraybuffer-hashmap/index.js';
import { KNOWN } from '../src/wire/known.js';
import { collectGarbage } from './machine.js';
import { type Measured, NO_PACKETS, NO_TIMES } from './result.js';
import { figureOf } from './statistics.js';
import { createTraffic, type Mix } from './traffic.js';
import { create, openEngine } from './whole.js';

const WORD_BYTES = Int32Array.BYTES_PER_ELEMENT;

/** Bytes of the parts of a table, as it lies in memory. */
export interface TableBytes {
  readonly index: number;
  readonly records: number;
  readonly annexes: number;
  readonly total: number;
}

export function tableBytes(map: SharedMap): TableBytes {
  return {
    index: map.regions * map.bucketsPerRegion * BUCKET_WORDS * WORD_BYTES,
    records: (map.annexesAt - map.recordsAt) * WORD_BYTES,
    annexes: (map.words.length - map.annexesAt) * WORD_BYTES,
    total: map.words.byteLength,
  };
}

/** Bytes per connection in a table of `mix` that is full. */
export function measureMemory(mix: Mix, connections: number, batch: number, seed: number): Measured {
  collectGarbage();
  const before = process.memoryUsage.rss();
  const engine = openEngine(mix, connections, seed);
  const { wasm } = engine.memory;
  const traffic = createTraffic({ wasm, mix, connections, seed, known: KNOWN.L4_CHECKSUM_GOOD });
  create(engine, traffic, connections, batch);
  collectGarbage();
  const grown = process.memoryUsage.rss() - before;
  const bytes = tableBytes(engine.memory.map);
  return {
    work: 'memory',
    mix,
    connections,
    shards: 1,
    ...NO_PACKETS,
    rounds: 1,
    ...NO_TIMES,
    bytesPerConnection: bytes.total / connections,
    indexBytesPerConnection: bytes.index / connections,
    recordBytesPerConnection: bytes.records / connections,
    annexBytesPerConnection: bytes.annexes / connections,
    rssBytesPerConnection: grown / connections,
  };
}

function opening(work: 'open' | 'open-workers', connections: number, times: readonly number[]): Measured {
  const { median, rounds } = figureOf(times);
  return { work, mix: 'any', connections, shards: 1, ...NO_PACKETS, ...NO_TIMES, rounds, milliseconds: median };
}

/** Opens engines with the defaults, all of whose connections may be IPv6. */
export function measureOpening(connections: number, rounds: number): Measured {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    collectGarbage();
    const startedMs = performance.now();
    const engine = new LocalEngine({ maxConnections: connections });
    times.push(performance.now() - startedMs);
    if (engine.connectionCount !== 0) throw new Error('the benchmark is void: a new engine has connections');
  }
  return opening('open', connections, times);
}

/** The same with one shard worker and the sweeper, until both run. */
export async function measureOpeningWithWorkers(connections: number, rounds: number): Promise<Measured> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    collectGarbage();
    const startedMs = performance.now();
    const engine = await Engine.open({ maxConnections: connections, shards: 1 });
    times.push(performance.now() - startedMs);
    await engine.close();
  }
  return opening('open-workers', connections, times);
}
