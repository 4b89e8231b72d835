/**
 * The whole engine on the calling thread: create, update and delete at one number of connections.
 *
 * A round of create and delete has a fresh engine, so that records are taken in order and the first round is like the
 * last. The last engine stays, and the variants of update take turns on it, so that a disturbance hits all alike.
 *
 * Imports chunk, machine, result, statistics, traffic, engine/, wire/. Imported by run.
 */
import type { CtAction } from '../src/engine/action.js';
import { LocalEngine } from '../src/engine/local.js';
import { KNOWN } from '../src/wire/known.js';
import { judgeChunk, LATER_MS } from './chunk.js';
import { collectGarbage } from './machine.js';
import { type Checksums, type Hints, type Measured, NO_PACKETS, NS_PER_MS, timesOf } from './result.js';
import { figureOf } from './statistics.js';
import { chunkFor, createTraffic, ipv6Connections, type Mix, type Traffic } from './traffic.js';

export interface WholeOptions {
  readonly mix: Mix;
  readonly connections: number;
  readonly batch: number;
  readonly seed: number;
  /** Rounds of update, and of create and delete at least. */
  readonly rounds: number;
  readonly creations: number;
  /** Packets of a round of update. */
  readonly packets: number;
}

interface Variant {
  readonly checksums: Checksums;
  readonly hints: Hints;
  readonly known: number;
}

const L4_DECLARED: Variant = { checksums: 'l4-declared', hints: 'none', known: KNOWN.L4_CHECKSUM_GOOD };
const UDP4_VARIANTS: readonly Variant[] = [
  L4_DECLARED,
  { checksums: 'verified', hints: 'none', known: 0 },
  { checksums: 'l4-declared', hints: 'l3', known: KNOWN.L4_CHECKSUM_GOOD | KNOWN.L3_IPV4 },
];
const OTHER_VARIANTS: readonly Variant[] = [L4_DECLARED];

/** Creates and deletions of a small table are over in no time: so many connections are wanted in all. */
const LEAST_CREATES = 200_000;
const MOST_ROUNDS = 41;
/** Tables of earlier rounds may stay for a while unless they are large. */
const LARGE = 100_000;
const ROUNDS_PER_COLLECTION = 8;

/** An engine with room for exactly these connections. */
export function openEngine(mix: Mix, connections: number, seed: number, action: CtAction = {}): LocalEngine {
  const maxIpv6Connections = ipv6Connections(mix, connections);
  const engine = new LocalEngine({ maxConnections: connections, maxIpv6Connections, seed });
  engine.defineAction(action);
  return engine;
}

/** Opens all connections. @returns nanoseconds for each */
export function create(engine: LocalEngine, traffic: Traffic, connections: number, batch: number): number {
  const size = chunkFor(batch);
  let ms = 0;
  for (let first = 0; first < connections; first += size) {
    const count = Math.min(size, connections - first);
    ms += judgeChunk(engine, traffic.open(first, count), count, batch);
  }
  checkCount(engine, connections);
  return (ms * NS_PER_MS) / connections;
}

/** Brings all connections to where updates find them. */
export function settle(engine: LocalEngine, traffic: Traffic, connections: number, batch: number): void {
  const size = chunkFor(batch);
  for (let first = 0; first < connections; first += size) {
    const count = Math.min(size, connections - first);
    for (const chunk of traffic.settle(first, count)) judgeChunk(engine, chunk, count, batch);
  }
}

/** Updates connections at random with about so many packets. @returns nanoseconds for each */
export function update(engine: LocalEngine, traffic: Traffic, packets: number, batch: number): number {
  const size = chunkFor(batch);
  let ms = 0;
  let judged = 0;
  for (; judged < packets; judged += size) ms += judgeChunk(engine, traffic.pick(size), size, batch);
  return (ms * NS_PER_MS) / judged;
}

/** Removes all connections as the sweeper does. @returns nanoseconds for each */
function removeAll(engine: LocalEngine, connections: number): number {
  const startedMs = performance.now();
  engine.sweep(LATER_MS);
  const ms = performance.now() - startedMs;
  checkCount(engine, 0);
  return (ms * NS_PER_MS) / connections;
}

export function checkCount(engine: LocalEngine, connections: number): void {
  const { connectionCount } = engine;
  if (connectionCount === connections) return;
  throw new Error(`the benchmark is void: ${connectionCount} connections instead of ${connections}`);
}

/** Runs everything there is to run for a mix and a number of connections, and reports each figure. */
export function runWhole(options: WholeOptions, report: (result: Measured) => void): void {
  const { mix, connections, batch, seed, rounds, creations, packets } = options;
  const many = Math.ceil(LEAST_CREATES / connections);
  const creates: number[] = [];
  const deletions: number[] = [];
  const open = () => {
    const engine = openEngine(mix, connections, seed);
    const { wasm } = engine.memory;
    return { engine, traffic: createTraffic({ wasm, mix, connections, seed, known: L4_DECLARED.known }) };
  };
  let { engine, traffic } = open();
  for (let round = Math.min(MOST_ROUNDS, Math.max(creations, many)); round > 0; round--) {
    creates.push(create(engine, traffic, connections, batch));
    if (round === 1) break;
    deletions.push(removeAll(engine, connections));
    ({ engine, traffic } = open());
    if (connections >= LARGE || round % ROUNDS_PER_COLLECTION === 0) collectGarbage();
  }
  settle(engine, traffic, connections, batch);
  const variants = mix === 'udp4' ? UDP4_VARIANTS : OTHER_VARIANTS;
  const updates: number[][] = variants.map(() => []);
  // The first round finds the code and the caches as creating left them, and is not counted.
  for (let round = 0; round <= rounds; round++) {
    variants.forEach((variant, index) => {
      traffic.declare(variant.known);
      const ns = update(engine, traffic, packets, batch);
      if (round > 0) updates[index].push(ns);
    });
  }
  checkCount(engine, connections);
  deletions.push(removeAll(engine, connections));

  const common = { mix, connections, shards: 1, batch };
  const { checksums, hints } = L4_DECLARED;
  report({ work: 'create', ...common, checksums, hints, ...timesOf(figureOf(creates)) });
  variants.forEach((variant, index) => {
    const { checksums, hints } = variant;
    report({ work: 'update', ...common, checksums, hints, ...timesOf(figureOf(updates[index])) });
  });
  report({ work: 'delete', ...common, ...NO_PACKETS, ...timesOf(figureOf(deletions)) });
}
