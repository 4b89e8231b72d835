/**
 * The program behind `npm run bench:check`: a quick run, compared with the committed baseline.
 *
 * What is compared are ratios to the machine's own limits, measured in the same run, so that the baseline of one machine
 * holds on another of the kind. A figure fails when its ratio is above the baseline's by more than its tolerance, or
 * when it is missing. `--record` writes a new baseline.
 *
 * Imports result, run. Nobody imports it.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { BenchResult } from './result.js';
import { DEFAULT_BATCH, describeRun, QUICK_CONNECTIONS, runBench, type Section } from './run.js';

/** From dist/bench/. */
const BASELINE = fileURLToPath(new URL('../../bench/baseline.json', import.meta.url));
const SEED = 1;
const SECTIONS: readonly Section[] = ['memory', 'sizes', 'batches', 'threads', 'rings'];

/** By how much a ratio may be above the baseline's. Work of several threads depends on who else is there. */
const TOLERANCES: Readonly<Record<string, number>> = {
  rings: 0.5,
  'threads-create': 0.5,
  'threads-update': 0.5,
  create: 0.4,
  delete: 0.4,
  update: 0.3,
};

interface Entry {
  /** `work mix connections shards batch checksums hints`. */
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
  const { work, mix, connections, shards, batch, checksums, hints } = result;
  return [work, mix, connections, `${shards}-shard`, batch ?? '-', checksums ?? '-', hints ?? '-'].join(' ');
}

function entriesOf(results: readonly BenchResult[]): Entry[] {
  return results.flatMap(result => {
    const { ratioToLimit, work } = result;
    if (ratioToLimit === null) return [];
    return [{ name: nameOf(result), ratioToLimit, tolerance: TOLERANCES[work] }];
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

async function run(records: boolean): Promise<void> {
  const options = {
    connections: QUICK_CONNECTIONS,
    batch: DEFAULT_BATCH,
    shards: [1, 2],
    seed: SEED,
    quick: true,
    sections: SECTIONS,
  };
  const about = describeRun(options);
  const entries = entriesOf(await runBench(options, about, () => undefined));
  if (records) {
    const { node, machine, commit } = about;
    const baseline: Baseline = { node, cpu: machine.cpu, commit, entries };
    writeFileSync(BASELINE, `${JSON.stringify(baseline, null, 2)}\n`);
    console.log(`${entries.length} figures recorded`);
    return;
  }
  const baseline = readBaseline();
  console.log(`baseline: ${baseline.cpu}, ${baseline.node}, commit ${baseline.commit ?? 'unknown'}`);
  console.log(`${''.padEnd(65)} baseline      now`);
  const failures = compare(baseline, entries);
  console.log(failures === 0 ? 'no regression' : `${failures} of ${baseline.entries.length} figures regressed`);
  if (failures > 0) process.exitCode = 1;
}

try {
  const { values } = parseArgs({ options: { record: { type: 'boolean', default: false } } });
  await run(values.record);
} catch (error) {
  console.error(`bench:check: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
