/**
 * `flowshard bench`: measures the engine and prints the figures as a table, as JSON, or as a page with plots.
 *
 * The options and what is printed are here; what is measured, and how, is in bench/.
 *
 * Imports bench-ovs, exit, files, numbers, engine/options, bench/. Imported by main.
 */
import { accessSync, constants, existsSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { pageOf } from '../../bench/page.js';
import { type BenchReport, headLines, resultLine } from '../../bench/result.js';
import {
  DEFAULT_BATCH,
  DEFAULT_CONNECTIONS,
  describeRun,
  MAX_RUN_BATCH,
  QUICK_CONNECTIONS,
  runBench,
  SECTIONS,
  type Section,
} from '../../bench/run.js';
import { MAX_CONNECTIONS, MAX_SHARDS } from '../engine/options.js';
import { oneLine, systemReason } from '../pcap/descriptor.js';
import { ovsBenchCommand } from './bench-ovs.js';
import { EXIT, writeOutput } from './exit.js';
import { fileName, isSameTarget } from './files.js';
import { wholeNumber } from './numbers.js';

const DEFAULT_SEED = 1;
const MAX_SEED = 0xffff_ffff;
const STANDARD_OUTPUT = '-';

interface BenchFlags {
  readonly connections?: readonly number[];
  readonly batch: number;
  readonly shards: readonly number[];
  readonly seed: number;
  readonly only?: readonly Section[];
  readonly json?: string;
  readonly html?: string;
  readonly quick?: true;
}

/** Makes the parser of `1000,100000`: numbers, each once. */
function numberList(most: number): (text: string) => number[] {
  return text => {
    const parts = text.split(',').map(part => (/^\d+$/.test(part) ? Number(part) : Number.NaN));
    if (parts.some(count => !(count >= 1 && count <= most))) {
      throw new InvalidArgumentError(`Allowed are whole numbers from 1 to ${most}, separated by commas.`);
    }
    return [...new Set(parts)];
  };
}

function sectionList(text: string): Section[] {
  return text.split(',').map(name => {
    const section = SECTIONS.find(known => known === name);
    if (section === undefined) throw new InvalidArgumentError(`Allowed are ${SECTIONS.join()}, separated by commas.`);
    return section;
  });
}

const CONNECTIONS_NOTE = `${DEFAULT_CONNECTIONS.join()}; with --quick ${QUICK_CONNECTIONS.join()}`;

/** One shard, and as many as there are processors. */
const DEFAULT_SHARDS = [...new Set([1, Math.min(availableParallelism(), MAX_SHARDS)])];

const NOTES = `
Times are nanoseconds per packet, per connection for delete; least is that of the fastest round. Everything runs on one
thread, but for threads-… (as many as shards, and a sweeper), rings (one producer thread and one shard), latency (a
sweeper beside it), replay (a process of its own) and open-workers. "of limit" is how many times the work takes what the
machine's own limit allows: touch and multiply for a packet, stream and read for bytes, in-thread for work of several
threads. The process must be alone on its processors for figures that mean something.

Exit codes: 0 done; 1 the benchmark failed; 2 wrong usage.`;

export const benchCommand = new Command('bench')
  .summary('measure the engine on this machine')
  .description('Measures how long the engine takes per packet, and how much memory per connection.')
  .addOption(
    new Option('--connections <list>', `numbers of connections (default: ${CONNECTIONS_NOTE})`).argParser(
      numberList(MAX_CONNECTIONS),
    ),
  )
  .option('--batch <n>', 'packets per batch', wholeNumber(1, MAX_RUN_BATCH), DEFAULT_BATCH)
  .addOption(
    new Option('--shards <list>', 'numbers of shards to measure together')
      .argParser(numberList(MAX_SHARDS))
      .default(DEFAULT_SHARDS, DEFAULT_SHARDS.join()),
  )
  .option('--seed <n>', 'make packets and the key of the hash from a number', wholeNumber(0, MAX_SEED), DEFAULT_SEED)
  .addOption(new Option('--only <list>', `parts of the run: ${SECTIONS.join()}`).argParser(sectionList))
  .option('--json <file>', 'write the figures as JSON; - for standard output, instead of the table', fileName)
  .option('--html <file>', 'write the figures as a page with plots; - as with --json', fileName)
  .option('--quick', 'fewer packets: less than 40 seconds')
  .addHelpText('after', NOTES)
  .addCommand(ovsBenchCommand)
  .hook('preSubcommand', refuseOptions)
  .action(async (_flags: unknown, command: Command) => {
    const flags = command.opts<BenchFlags>();
    const { json, html } = flags;
    if (json !== undefined && html !== undefined && isSameTarget(json, html)) {
      command.error("error: options '--json' and '--html' name the same file", {
        code: 'flowshard.sameFile',
        exitCode: EXIT.USAGE,
      });
    }
    await bench(flags);
  });

/** The commands under this one measure something else, which none of its options changes. */
function refuseOptions(command: Command, part: Command): void {
  const given = command.options.find(option => command.getOptionValueSource(option.attributeName()) === 'cli');
  if (given === undefined) return;
  const message = `error: option '${given.flags}' cannot be used with '${part.name()}'`;
  command.error(message, { code: 'flowshard.benchOption', exitCode: EXIT.USAGE });
}

/** Says before the run, not after it, that its figures could not be written. @throws Error with a one-line message */
function checkWritable(file: string): void {
  if (file === STANDARD_OUTPUT) return;
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
  const { batch, shards, seed, json, html, quick = false, only: sections = SECTIONS } = flags;
  const { connections = quick ? QUICK_CONNECTIONS : DEFAULT_CONNECTIONS } = flags;
  const printsTable = json !== STANDARD_OUTPUT && html !== STANDARD_OUTPUT;
  if (json !== undefined) checkWritable(json);
  if (html !== undefined) checkWritable(html);
  const options = { connections, batch, shards, seed, quick, sections };
  const about = describeRun(options);
  if (printsTable) for (const line of headLines(about)) printLine(line);
  const results = await runBench(options, about, result => {
    if (printsTable) printLine(resultLine(result));
  });
  const report: BenchReport = { ...about, results };
  if (json !== undefined) writeReport(json, `${JSON.stringify(report, null, 2)}\n`);
  if (html !== undefined) writeReport(html, pageOf(report));
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
