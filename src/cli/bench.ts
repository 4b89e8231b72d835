/**
 * `flowshard bench`: measures the engine and prints the figures as a table or as JSON.
 *
 * The options and what is printed are here; what is measured, and how, is in bench/.
 *
 * Imports exit, numbers, engine/options, bench/. Imported by main.
 */
import { accessSync, constants, existsSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type BenchReport, headLines, resultLine } from '../../bench/result.js';
import { DEFAULT_BATCH, DEFAULT_CONNECTIONS, describeRun, MAX_RUN_BATCH, runBench } from '../../bench/run.js';
import { MAX_CONNECTIONS } from '../engine/options.js';
import { oneLine, systemReason } from '../pcap/descriptor.js';
import { writeOutput } from './exit.js';
import { wholeNumber } from './numbers.js';

const DEFAULT_SEED = 1;
const MAX_SEED = 0xffff_ffff;
const STANDARD_OUTPUT = '-';

interface BenchFlags {
  readonly connections: readonly number[];
  readonly batch: number;
  readonly seed: number;
  readonly json?: string;
  readonly quick?: true;
}

/** `1000,100000` as numbers, each once. */
function connectionList(text: string): number[] {
  const parts = text.split(',').map(part => (/^\d+$/.test(part) ? Number(part) : Number.NaN));
  if (parts.some(count => !(count >= 1 && count <= MAX_CONNECTIONS))) {
    throw new InvalidArgumentError(`Allowed are whole numbers from 1 to ${MAX_CONNECTIONS}, separated by commas.`);
  }
  return [...new Set(parts)];
}

const NOTES = `
Times are nanoseconds per packet, per connection for expire; least is that of the fastest round. Everything runs on one
thread, but for rings (one producer thread and one shard) and open-workers. The process must be alone on its
processors for figures that mean something.

Exit codes: 0 done; 1 the benchmark failed; 2 wrong usage.`;

export const benchCommand = new Command('bench')
  .summary('measure the engine on this machine')
  .description('Measures how long the engine takes per packet, and how much memory per connection.')
  .addOption(
    new Option('--connections <list>', 'numbers of connections')
      .argParser(connectionList)
      .default(DEFAULT_CONNECTIONS, DEFAULT_CONNECTIONS.join()),
  )
  .option('--batch <n>', 'packets per batch', wholeNumber(1, MAX_RUN_BATCH), DEFAULT_BATCH)
  .option('--seed <n>', 'make packets and the key of the hash from a number', wholeNumber(0, MAX_SEED), DEFAULT_SEED)
  .option('--json <file>', 'write the figures as JSON; - for standard output, instead of the table')
  .option('--quick', 'fewer packets: less than 40 seconds')
  .addHelpText('after', NOTES)
  .action(async (_flags: unknown, command: Command) => {
    await bench(command.opts<BenchFlags>());
  });

/** Says before the run, not after it, that its figures could not be written. @throws Error with a one-line message */
function checkWritable(file: string): void {
  try {
    if (!existsSync(file)) accessSync(dirname(file), constants.W_OK);
    else if (statSync(file).isDirectory()) throw new Error(`${oneLine(file)}: is a directory`);
    else accessSync(file, constants.W_OK);
  } catch (error) {
    if (error instanceof Error && !('code' in error)) throw error;
    throw new Error(`${oneLine(file)}: cannot write: ${systemReason(error)}`);
  }
}

function printLine(line: string): void {
  const bytes = Buffer.from(`${line}\n`);
  writeOutput(bytes, bytes.length);
}

/** Runs the command. @throws Error with a one-line message; OutputClosed */
async function bench(flags: BenchFlags): Promise<void> {
  const { connections, batch, seed, json, quick = false } = flags;
  const printsTable = json !== STANDARD_OUTPUT;
  if (json !== undefined && printsTable) checkWritable(json);
  const options = { connections, batch, seed, quick };
  const about = describeRun(options);
  if (printsTable) for (const line of headLines(about)) printLine(line);
  const results = await runBench(options, result => {
    if (printsTable) printLine(resultLine(result));
  });
  if (json === undefined) return;
  const report: BenchReport = { ...about, results };
  writeReport(json, `${JSON.stringify(report, null, 2)}\n`);
}

function writeReport(file: string, text: string): void {
  if (file === STANDARD_OUTPUT) {
    const bytes = Buffer.from(text);
    writeOutput(bytes, bytes.length);
    return;
  }
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new Error(`${oneLine(file)}: cannot write: ${systemReason(error)}`);
  }
}
