/**
 * The run of `flowshard bench`: which figures, in which order.
 *
 * Memory comes first, before other tables have come and gone. Then every mix is run small, so that the code is
 * compiled for all of them before any is measured: figures do not depend on the order of the mixes, and are those of
 * an engine that has seen more than one protocol.
 *
 * Imports the other files of bench/. Imported by cli/bench.
 */

import { CHUNK_PACKETS } from './chunk.js';
import { measureMemory, measureOpening, measureOpeningWithWorkers } from './footprint.js';
import { collectGarbage, currentCommit, describeMachine } from './machine.js';
import type { BenchReport, BenchResult } from './result.js';
import { measureRings } from './rings.js';
import { MIXES } from './traffic.js';
import { runWhole } from './whole.js';

export interface RunOptions {
  /** Numbers of connections to measure at. */
  readonly connections: readonly number[];
  readonly batch: number;
  readonly seed: number;
  /** Fewer packets per round. */
  readonly quick: boolean;
}

export const DEFAULT_CONNECTIONS: readonly number[] = [1000, 10_000, 100_000, 1_000_000];
export const DEFAULT_BATCH = 32;
/** Batches are whole, so none is larger than a chunk. */
export const MAX_RUN_BATCH = CHUNK_PACKETS;

/** Rounds of update and packets of each: at a million connections half of them are met. */
const FULL = { rounds: 7, packets: 524_288 };
const QUICK = { rounds: 5, packets: 131_072 };
const WARM_UP = { connections: 5000, rounds: 1, packets: 65_536 };

/** Connections of the run through the rings: this number if it is among those asked for, or the nearest below. */
const RINGS_CONNECTIONS = 100_000;

function ringsConnections(connections: readonly number[]): number {
  const fitting = connections.filter(count => count <= RINGS_CONNECTIONS);
  return fitting.length > 0 ? Math.max(...fitting) : Math.min(...connections);
}

/** What is known before the first figure. */
export function describeRun(options: RunOptions): Omit<BenchReport, 'results'> {
  const { seed, batch, quick } = options;
  return { machine: describeMachine(), node: process.version, commit: currentCommit(), seed, batch, quick };
}

/**
 * Runs the benchmark.
 * @param report told each result as soon as it is there
 * @throws Error when a packet was not judged as it must be, or a table is not to be had
 */
export async function runBench(options: RunOptions, report: (result: BenchResult) => void): Promise<BenchResult[]> {
  const { connections, batch, seed, quick } = options;
  const amount = quick ? QUICK : FULL;
  const results: BenchResult[] = [];
  const add = (result: BenchResult) => {
    results.push(result);
    report(result);
  };
  const most = Math.max(...connections);
  add(measureMemory('udp4', most, batch, seed));
  add(measureMemory('udp6', most, batch, seed));
  add(measureOpening(most));
  add(await measureOpeningWithWorkers(most));
  for (const mix of MIXES) runWhole({ mix, batch, seed, ...WARM_UP }, () => undefined);
  for (const mix of MIXES) {
    for (const count of connections) {
      collectGarbage();
      runWhole({ mix, connections: count, batch, seed, ...amount }, add);
    }
  }
  collectGarbage();
  add(await measureRings({ connections: ringsConnections(connections), batch, seed, ...amount }));
  return results;
}
