/**
 * What a run reports: the shape of the JSON, and the lines of the table.
 *
 * Imports limits, machine, statistics, traffic. Imported by the other files of bench/ and cli/bench.
 */
import type { GoverningLimit, Limits } from './limits.js';
import type { Machine } from './machine.js';
import type { Figure } from './statistics.js';
import { MIX_NOTES, MIXES, type Mix, type Popularity } from './traffic.js';

/**
 * - `open`: an engine for so many connections is made, on the calling thread; `open-workers`: with a shard and a sweeper
 * - `memory`: no time, but bytes
 * - `create`: packets that each open a connection
 * - `update`: packets of connections that exist, on the calling thread
 * - `delete`: connections that the sweeper removes, nanoseconds for each
 * - `threads-create`, `threads-update`: the same in as many threads as there are shards, while a sweeper runs, from one
 *   barrier to the next; nanoseconds of all threads together
 * - `rings`: updates through a producer and a shard worker
 * - `latency`: how long a batch takes while a sweeper removes connections
 * - `replay`: `flowshard replay` of a capture
 */
export type Work =
  | 'open'
  | 'open-workers'
  | 'memory'
  | 'create'
  | 'update'
  | 'delete'
  | 'threads-create'
  | 'threads-update'
  | 'rings'
  | 'latency'
  | 'replay';

/** `l4-declared`: the engine is told that the L4 checksum was verified; `verified`: it verifies them all. */
export type Checksums = 'l4-declared' | 'verified';
/** `l3`: the engine is told where the IPv4 header is. */
export type Hints = 'none' | 'l3';
/** `snat`: every connection has its source translated, and every packet is rewritten. */
export type Translation = 'none' | 'snat';

export type FrameHandling = 'in-place' | 'copied';

/** Microseconds of a batch. */
export interface LatencyFigure {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** Fields that mean nothing for a kind of work are null. */
export interface BenchResult {
  readonly work: Work;
  /** `any`: a table with room for any. */
  readonly mix: Mix | 'any';
  readonly connections: number;
  readonly shards: number;
  readonly batch: number | null;
  readonly checksums: Checksums | null;
  readonly hints: Hints | null;
  /** What differs from plain updates of uniform popularity, where something does. */
  readonly popularity?: Popularity;
  readonly newShare?: number;
  readonly nat?: Translation;
  /** Of `rings`: frames are judged where they lie, or copied into the ring first. */
  readonly frames?: FrameHandling;
  readonly rounds: number;
  /** Median of the rounds. */
  readonly nsPerPacket: number | null;
  /** The fastest round. */
  readonly minNsPerPacket: number | null;
  /** Millions of packets per second, from the median. */
  readonly mpps: number | null;
  /** What the machine allows for this work, and how many times that the work takes; null where no limit applies. */
  readonly limit: GoverningLimit | null;
  readonly ratioToLimit: number | null;
  /** Of work that reads all of long packets, and of `replay`. */
  readonly gigabytesPerSecond?: number;
  readonly latencyUs?: LatencyFigure;
  /** Of `open`: median of the rounds. */
  readonly milliseconds?: number;
  /** Of `memory`: all of the table, in the layout it has, by the connections it has room for. */
  readonly bytesPerConnection?: number;
  readonly indexBytesPerConnection?: number;
  readonly recordBytesPerConnection?: number;
  readonly annexBytesPerConnection?: number;
  /** … and by how much the memory of the process grew when it was made and filled. */
  readonly rssBytesPerConnection?: number;
}

/** A result as it is measured; the run adds the limit. */
export type Measured = Omit<BenchResult, 'limit' | 'ratioToLimit'>;

export interface BenchReport {
  readonly machine: Machine;
  readonly node: string;
  readonly commit: string | null;
  readonly seed: number;
  readonly batch: number;
  readonly quick: boolean;
  readonly limits: Limits;
  readonly results: readonly BenchResult[];
}

export const NS_PER_MS = 1e6;

/** The fields of a result that come from a figure in nanoseconds. */
export function timesOf(figure: Figure): Pick<BenchResult, 'rounds' | 'nsPerPacket' | 'minNsPerPacket' | 'mpps'> {
  return {
    rounds: figure.rounds,
    nsPerPacket: figure.median,
    minNsPerPacket: figure.least,
    mpps: 1000 / figure.median,
  };
}

export const NO_TIMES = { nsPerPacket: null, minNsPerPacket: null, mpps: null } as const;
export const NO_PACKETS = { batch: null, checksums: null, hints: null } as const;

const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** Column widths: text to the left, numbers to the right. */
const COLUMNS = [
  ['work', -14],
  ['mix', -5],
  ['connections', 11],
  ['shards', 6],
  ['batch', 5],
  ['checksums', -11],
  ['hints', -5],
  ['ns/packet', 9],
  ['least', 7],
  ['Mpackets/s', 10],
  ['of limit', -16],
  ['', 0],
] as const;

export const COLUMN_NAMES: readonly string[] = COLUMNS.map(([name]) => name);

function line(cells: readonly string[]): string {
  const padded = cells.map((cell, column) => {
    const width = COLUMNS[column]?.[1] ?? 0;
    return width < 0 ? cell.padEnd(-width) : cell.padStart(width);
  });
  return padded.join('  ').trimEnd();
}

/** What the figures that follow were measured on and with, the machine's limits, and the head of the table. */
export function headLines(report: Omit<BenchReport, 'results'>): string[] {
  const { machine, node, commit, seed, batch, quick, limits } = report;
  const memory = `${(machine.memoryBytes / 2 ** 30).toFixed(1)} GiB`;
  const touches = limits.touches.map(
    ({ connections, nsPerTouch }) => `${nsPerTouch.toFixed(2)} ns (${grouped.format(connections)})`,
  );
  return [
    `machine      ${machine.cpu}, ${machine.cores} cores, ${memory}, ${machine.platform}`,
    `node         ${node}`,
    `commit       ${commit ?? 'unknown'}`,
    `seed         ${seed}`,
    `batch        ${batch} packets where no other is named`,
    ...MIXES.map(mix => `${mix.padEnd(13)}${MIX_NOTES[mix]}`),
    'order        updates go to connections picked at random, each as likely as the other, whatever the order of creation',
    'table        100 % full: made for exactly as many connections as there are; one zone, ct(commit)',
    `rounds       medians of at least ${quick ? 'three short ones' : 'five'}; every verdict is checked outside the timed part`,
    `touch        a random cache line of a region as large as the table: ${touches.join(', ')}`,
    `multiply     ${limits.nsPerMultiply.toFixed(2)} ns for one that waits for the one before it`,
    `stream       ${limits.streamGigabytesPerSecond.toFixed(1)} GB/s read in order`,
    `lock         ${limits.nsPerLock.toFixed(1)} ns to take and free one that nobody else wants`,
    '',
    line(COLUMN_NAMES),
  ];
}

function bytesNote(result: BenchResult): string {
  const { bytesPerConnection, indexBytesPerConnection = 0, recordBytesPerConnection = 0 } = result;
  if (bytesPerConnection === undefined) return '';
  const { annexBytesPerConnection = 0, rssBytesPerConnection = 0 } = result;
  const parts = [indexBytesPerConnection, recordBytesPerConnection, annexBytesPerConnection].map(b => b.toFixed(1));
  return (
    `${bytesPerConnection.toFixed(1)} bytes per connection: index ${parts[0]}, record ${parts[1]}, annex ${parts[2]}; ` +
    `the process grew by ${rssBytesPerConnection.toFixed(1)}`
  );
}

/** What is special about a result, for people. */
function noteOf(result: BenchResult): string {
  const { popularity, newShare, nat, frames, gigabytesPerSecond, latencyUs, milliseconds } = result;
  const notes = [bytesNote(result)];
  if (milliseconds !== undefined) notes.push(`${milliseconds.toFixed(1)} ms`);
  if (popularity === 'zipf') notes.push('popularity by Zipf');
  if (newShare !== undefined) notes.push(`${100 * newShare} % open a connection`);
  if (nat === 'snat') notes.push('source translated');
  if (frames === 'in-place') notes.push('frames where they lie');
  if (frames === 'copied') notes.push('frames copied into the ring');
  if (gigabytesPerSecond !== undefined) notes.push(`${gigabytesPerSecond.toFixed(2)} GB/s`);
  if (latencyUs !== undefined) {
    const { p50, p99, p999, max } = latencyUs;
    const texts = [p50, p99, p999, max].map(us => us.toFixed(1));
    notes.push(`a batch: p50 ${texts[0]} µs, p99 ${texts[1]}, p99.9 ${texts[2]}, max ${texts[3]}`);
  }
  return notes.filter(note => note !== '').join(', ');
}

/** Texts of a result, one per COLUMN_NAMES. */
export function resultCells(result: BenchResult): string[] {
  const { nsPerPacket, minNsPerPacket, mpps, limit, ratioToLimit } = result;
  const number = (value: number | null, digits: number) => (value === null ? '' : value.toFixed(digits));
  return [
    result.work,
    result.mix,
    grouped.format(result.connections),
    String(result.shards),
    number(result.batch, 0),
    result.checksums ?? '',
    result.hints ?? '',
    number(nsPerPacket, 1),
    number(minNsPerPacket, 1),
    number(mpps, 2),
    limit === null || ratioToLimit === null ? '' : `${ratioToLimit.toFixed(2)} × ${limit.name}`,
    noteOf(result),
  ];
}

/** A result as a line of the table. */
export function resultLine(result: BenchResult): string {
  return line(resultCells(result));
}
