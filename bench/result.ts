/**
 * What a run reports: the shape of the JSON, and the lines of the table.
 *
 * Imports machine, statistics, traffic. Imported by the other files of bench/ and cli/bench.
 */
import type { Machine } from './machine.js';
import type { Figure } from './statistics.js';
import { MIX_NOTES, MIXES, type Mix } from './traffic.js';

/**
 * - `open`: an engine for so many connections is made, on the calling thread; `open-workers`: with a shard and a sweeper
 * - `memory`: no time, but bytes
 * - `create`: packets that each open a connection
 * - `update`: packets of connections that exist, picked at random, on the calling thread
 * - `rings`: the same through a producer and a shard worker
 * - `expire`: connections that the sweeper removes, nanoseconds for each
 */
export type Work = 'open' | 'open-workers' | 'memory' | 'create' | 'update' | 'rings' | 'expire';

/** `l4-declared`: the engine is told that the L4 checksum was verified; `verified`: it verifies them all. */
export type Checksums = 'l4-declared' | 'verified';
/** `l3`: the engine is told where the IPv4 header is. */
export type Hints = 'none' | 'l3';

/** Fields that mean nothing for a kind of work are null. */
export interface BenchResult {
  readonly work: Work;
  /** `mixed`: a table with room for any. */
  readonly mix: Mix | 'mixed';
  readonly connections: number;
  readonly shards: number;
  readonly batch: number | null;
  readonly checksums: Checksums | null;
  readonly hints: Hints | null;
  readonly rounds: number;
  /** Median of the rounds. */
  readonly nsPerPacket: number | null;
  /** The fastest round. */
  readonly minNsPerPacket: number | null;
  /** Millions of packets per second, from the median. */
  readonly mpps: number | null;
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

export interface BenchReport {
  readonly machine: Machine;
  readonly node: string;
  readonly commit: string | null;
  readonly seed: number;
  readonly batch: number;
  readonly quick: boolean;
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

const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** Column widths: text to the left, numbers to the right. */
const COLUMNS = [
  ['work', -12],
  ['mix', -5],
  ['connections', 11],
  ['batch', 5],
  ['checksums', -11],
  ['hints', -5],
  ['ns/packet', 9],
  ['least', 7],
  ['Mpackets/s', 10],
] as const;

function line(cells: readonly string[]): string {
  const padded = cells.map((cell, column) => {
    const width = COLUMNS[column]?.[1] ?? 0;
    return width < 0 ? cell.padEnd(-width) : cell.padStart(width);
  });
  return padded.join('  ').trimEnd();
}

/** What the figures that follow were measured on and with, and the head of the table. */
export function headLines(report: Omit<BenchReport, 'results'>): string[] {
  const { machine, node, commit, seed, batch, quick } = report;
  const memory = `${(machine.memoryBytes / 2 ** 30).toFixed(1)} GiB`;
  return [
    `machine      ${machine.cpu}, ${machine.cores} cores, ${memory}, ${machine.platform}`,
    `node         ${node}`,
    `commit       ${commit ?? 'unknown'}`,
    `seed         ${seed}`,
    `batch        ${batch} packets`,
    ...MIXES.map(mix => `${mix.padEnd(13)}${MIX_NOTES[mix]}`),
    'order        updates go to connections picked at random, each as likely as the other, whatever the order of creation',
    'table        100 % full: made for exactly as many connections as there are; one zone, ct(commit)',
    `rounds       medians of at least ${quick ? 'five short' : 'five'}; every verdict is checked outside the timed part`,
    '',
    line(COLUMNS.map(([name]) => name)),
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

/** A result as a line of the table. */
export function resultLine(result: BenchResult): string {
  const { nsPerPacket, minNsPerPacket, mpps, milliseconds } = result;
  const cells = [result.work, result.mix, grouped.format(result.connections)];
  const note = milliseconds === undefined ? bytesNote(result) : `${milliseconds.toFixed(1)} ms`;
  if (nsPerPacket === null) return `${line(cells)}  ${note}`;
  return line([
    ...cells,
    result.batch === null ? '' : String(result.batch),
    result.checksums ?? '',
    result.hints ?? '',
    nsPerPacket.toFixed(1),
    minNsPerPacket === null ? '' : minNsPerPacket.toFixed(1),
    mpps === null ? '' : mpps.toFixed(2),
  ]);
}
