/**
 * The program behind `npm run bench:check`: a quick run, compared with the committed baseline.
 *
 * What is compared are ratios to the machine's own limits, measured in the same run, so that the baseline of one machine
 * holds on another of the kind. A figure fails when its ratio is above the baseline's by more than its tolerance, or
 * when it is missing. `--record` writes a new baseline.
 *
 * Imports result, run, statistics. Nobody imports it.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { BenchResult } from './result.js';
import { DEFAULT_BATCH, describeRun, QUICK_CONNECTIONS, runBench, type Section } from './run.js';
import { figureOf } from './statistics.js';

/** From dist/bench/. */
const BASELINE = fileURLToPath(new URL('../../bench/baseline.json', import.meta.url));
const SEED = 1;
const SECTIONS: readonly Section[] = ['memory', 'sizes', 'batches', 'threads', 'rings'];

/** By how much a ratio may be above the baseline's. */
const TOLERANCE = 0.4;
/** Tables beyond the cache: the pages that they happen to lie on make 107 or 174 ns of the same update. */
const LARGE = 100_000;
const LARGE_TOLERANCE = 0.9;
/** Work of several threads depends on who else is there. */
const THREADS_TOLERANCE = 1.5;
/** A baseline is the median of so many runs. */
const RECORDED_RUNS = 3;

function toleranceOf({ work, connections }: BenchResult): number {
  if (work === 'rings' || work.startsWith('threads')) return THREADS_TOLERANCE;
  return connections >= LARGE ? LARGE_TOLERANCE : TOLERANCE;
}

interface Entry {
  /** `work mix connections shards batch checksums hints`, and how frames are handled where that is part of it. */
  readonly name: string;
  readonly ratioToLimit: number;
  readonly tolerance: number;
}

interface Baseline {
  readonly node: string;
  readonly cpu: string;
  readonly commit: string | null;
  readonly entries: readonly Entry[];
}

function nameOf(result: BenchResult): string {
  const { work, mix, connections, shards, batch, checksums, hints, frames } = result;
  const name = [work, mix, connections, `${shards}-shard`, batch ?? '-', checksums ?? '-', hints ?? '-'];
  return [...name, ...(frames === undefined ? [] : [frames])].join(' ');
}

function entriesOf(results: readonly BenchResult[]): Entry[] {
  return results.flatMap(result => {
    const { ratioToLimit } = result;
    if (ratioToLimit === null) return [];
    return [{ name: nameOf(result), ratioToLimit, tolerance: toleranceOf(result) }];
  });
}

function readBaseline(): Baseline {
  return JSON.parse(readFileSync(BASELINE, 'utf8'));
}

/** Prints the comparison. @returns how many figures fail */
function compare(baseline: Baseline, measured: readonly Entry[]): number {
  const byName = new Map(measured.map(entry => [entry.name, entry.ratioToLimit]));
  let failures = 0;
  for (const { name, ratioToLimit, tolerance } of baseline.entries) {
    const now = byName.get(name);
    const isGood = now !== undefined && now <= ratioToLimit * (1 + tolerance);
    if (!isGood) failures++;
    const change = now === undefined ? 'missing' : `${((now / ratioToLimit - 1) * 100).toFixed(0).padStart(4)} %`;
    const numbers = `${ratioToLimit.toFixed(2).padStart(8)} ${(now ?? Number.NaN).toFixed(2).padStart(8)}`;
    console.log(`${isGood ? 'ok  ' : 'FAIL'} ${name.padEnd(60)} ${numbers} ${change.padStart(8)}`);
  }
  return failures;
}

const OPTIONS = {
  connections: QUICK_CONNECTIONS,
  batch: DEFAULT_BATCH,
  shards: [1, 2],
  seed: SEED,
  quick: true,
  sections: SECTIONS,
};

async function measure(): Promise<{ about: ReturnType<typeof describeRun>; entries: Entry[] }> {
  const about = describeRun(OPTIONS);
  return { about, entries: entriesOf(await runBench(OPTIONS, about, () => undefined)) };
}

async function record(): Promise<void> {
  const runs: Awaited<ReturnType<typeof measure>>[] = [];
  for (let run = 0; run < RECORDED_RUNS; run++) runs.push(await measure());
  const { node, machine, commit } = runs[0].about;
  const entries = runs[0].entries.map((entry, index) => {
    const ratios = runs.map(run => run.entries[index].ratioToLimit);
    return { ...entry, ratioToLimit: figureOf(ratios).median };
  });
  const baseline: Baseline = { node, cpu: machine.cpu, commit, entries };
  writeFileSync(BASELINE, `${JSON.stringify(baseline, null, 2)}\n`);
  console.log(`${entries.length} figures recorded`);
}

async function check(): Promise<void> {
  const { entries } = await measure();
  const baseline = readBaseline();
  console.log(`baseline: ${baseline.cpu}, ${baseline.node}, commit ${baseline.commit ?? 'unknown'}`);
  console.log(`${''.padEnd(65)} baseline      now`);
  const failures = compare(baseline, entries);
  console.log(failures === 0 ? 'no regression' : `${failures} of ${baseline.entries.length} figures regressed`);
  if (failures > 0) process.exitCode = 1;
}

try {
  const { values } = parseArgs({ options: { record: { type: 'boolean', default: false } } });
  await (values.record ? record() : check());
} catch (error) {
  console.error(`bench:check: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
