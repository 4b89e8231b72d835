/**
 * A flood in a process of its own, so that nothing that was done before counts among its memory.
 *
 * Imports flood/. Imported by flood-points and observed-flood.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { FLOODS, type FloodKind } from '../src/flood/kinds.js';
import type { FloodReport, Usage } from '../src/flood/report.js';
import type { RunOptions } from '../src/flood/run.js';

const SESSIONS = 10_000;
const TABLE = 200_000;
const VIRTUAL_RATE = 1_000_000;
const PROGRAM = fileURLToPath(new URL('observed-flood.js', import.meta.url));

export type FloodClock = RunOptions['clock'];

/** Memory in use at a moment, after a collection. */
export interface Look extends Usage {
  /** Resident memory that is no file's: heaps, tables, stacks, code that was compiled. */
  readonly ownBytes: number;
}

export interface Observed {
  readonly report: FloodReport;
  readonly looks: readonly Look[];
}

/** 10,000 sessions in a table of 200,000 under a flood at full speed, one shard. */
export function floodOptions(kind: FloodKind, clock: FloodClock, seconds: number): RunOptions {
  return {
    kind,
    clock,
    seconds,
    packets: Number.POSITIVE_INFINITY,
    rate: clock === 'virtual' ? VIRTUAL_RATE : Number.POSITIVE_INFINITY,
    established: SESSIONS,
    maxConnections: TABLE,
    profile: 'resilient',
    tracksTop: true,
    shards: 1,
    seed: 1,
    family: 4,
    sources: 'uniform',
    destinations: 'one',
    ports: FLOODS[kind].ports,
    sizes: [],
    zones: 64,
  };
}

/**
 * Floods, and looks at the memory after each `lookMs` of wall time.
 * @throws Error when the process fails
 */
export async function observe(kind: FloodKind, clock: FloodClock, seconds: number, lookMs: number): Promise<Observed> {
  const args = [PROGRAM, kind, clock, String(seconds), String(lookMs)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout);
}
