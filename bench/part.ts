/**
 * A part under tinybench: what one call does, what to do before each call outside the timed part, and how to print
 * what came out.
 *
 * Imports tinybench. Imported by the other parts files of bench/.
 */
import { Bench } from 'tinybench';

export interface Part {
  /** What one operation is, with how many packets (or records) it takes. */
  readonly name: string;
  /** Packets of a call. */
  readonly packets: number;
  /** Bytes that a call reads, where a rate of bytes means something. */
  readonly bytes?: number;
  /** Builds the input of the next call. */
  readonly prepare?: () => void;
  /** The call. @returns something made of all results, so that none can be optimised away */
  readonly run: () => number;
}

/** Makes the parts of one kind: their tables are then in memory for no longer than they are used. */
export type PartGroup = (seed: number) => readonly Part[];

export interface PartFigure {
  readonly name: string;
  readonly nsPerPacket: number;
  readonly medianNsPerPacket: number;
  readonly mpps: number;
  /** Relative margin of error of the mean, in percent. */
  readonly rme: number;
  readonly gigabytesPerSecond: number | null;
}

const NS_PER_MS = 1e6;
/** Long enough for the compiler to be done. */
const WARM_UP_MS = 100;
/** A call is measured with two looks at the clock, whose own cost is taken off. */
const OPTIONS = { subtractTimerOverhead: true, retainSamples: false, throws: true } as const;

/** Values that the calls returned. It is printed at the end. */
export const sink = { value: 0 };

/** Measures parts one after the other, each for `ms` milliseconds of calls. @throws what a part throws */
export function measureParts(parts: readonly Part[], ms: number): PartFigure[] {
  const bench = new Bench({ ...OPTIONS, time: ms, warmupTime: WARM_UP_MS });
  for (const part of parts) {
    const { prepare } = part;
    const call = () => {
      sink.value = (sink.value + part.run()) | 0;
    };
    bench.add(part.name, call, { async: false, ...(prepare === undefined ? {} : { beforeEach: prepare }) });
  }
  const tasks = bench.runSync();
  return parts.map((part, index) => {
    const { result } = tasks[index];
    if (result.state !== 'completed') throw new Error(`${part.name}: ${result.state}`);
    const { mean, p50, rme } = result.latency;
    const nsPerPacket = (mean * NS_PER_MS) / part.packets;
    return {
      name: part.name,
      nsPerPacket,
      medianNsPerPacket: (p50 * NS_PER_MS) / part.packets,
      mpps: 1000 / nsPerPacket,
      rme,
      gigabytesPerSecond: part.bytes === undefined ? null : part.bytes / (mean * NS_PER_MS),
    };
  });
}

const NAME_WIDTH = 72;

export const PART_HEAD =
  `${'operation'.padEnd(NAME_WIDTH)}${'ns/packet'.padStart(10)}${'± %'.padStart(7)}` +
  `${'median'.padStart(8)}${'Mpackets/s'.padStart(12)}${'GB/s'.padStart(7)}`;

export function partLine(figure: PartFigure): string {
  const { name, nsPerPacket, rme, medianNsPerPacket, mpps, gigabytesPerSecond } = figure;
  const cells = [
    nsPerPacket.toFixed(1).padStart(10),
    rme.toFixed(1).padStart(7),
    medianNsPerPacket.toFixed(1).padStart(8),
  ];
  const rate = gigabytesPerSecond === null ? '' : gigabytesPerSecond.toFixed(2).padStart(7);
  return `${name.padEnd(NAME_WIDTH)}${cells.join('')}${mpps.toFixed(2).padStart(12)}${rate}`;
}
