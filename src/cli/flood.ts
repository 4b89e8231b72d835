/**
 * `flowshard flood KIND`: floods an engine, or writes the flood to a capture, and says what became of it.
 *
 * The options are here, with a command of its own for each kind; what is done is in flood/, what is printed in
 * flood-summary.
 *
 * Imports the other files of cli/, flood/, engine/options, engine/policy. Imported by main.
 */
import { Command, InvalidArgumentError, Option } from 'commander';
import { MAX_CONNECTIONS, MAX_SHARDS } from '../engine/options.js';
import { PROFILES, type ProfileName } from '../engine/policy.js';
import { FLOOD_KINDS, FLOODS, type FloodChoice, type FloodKind } from '../flood/kinds.js';
import { FloodRun, type RunOptions, writeFlood } from '../flood/run.js';
import { MAX_SESSIONS } from '../flood/sessions.js';
import { SPREAD_NOTES, SPREADS, type SpreadKind } from '../flood/spread.js';
import { MAX_FRAME_BYTES } from '../flood/target.js';
import { EXIT } from './exit.js';
import { fileName } from './files.js';
import { LiveSpeed, printFlood, stageText } from './flood-summary.js';
import { Interrupt } from './interrupt.js';
import { LineWriter } from './line-writer.js';
import { createLogger, type LogLevel } from './logger.js';
import { formatCount, wholeNumber } from './numbers.js';
import { Progress } from './progress.js';

const DEFAULTS = {
  seconds: 10,
  rate: 1_000_000,
  captureRate: 10_000,
  established: 1000,
  maxConnections: 200_000,
  shards: 1,
  seed: 1,
  sources: 'uniform',
  destinations: 'one',
  zones: 64,
} as const;
const RATE_NOTE = `in virtual time ${DEFAULTS.rate}, in a capture ${DEFAULTS.captureRate}`;
const MAX_SECONDS = 86_400;
const MAX_RATE = 1_000_000_000;
const MAX_SEED = 0xffff_ffff;
/** An engine has 256 actions; the sessions have one. */
const MAX_ZONES = 255;
const LEAST_FRAME_BYTES = 60;

interface FloodFlags {
  readonly seconds: number;
  readonly packets?: number;
  readonly rate?: number;
  readonly clock: 'wall' | 'virtual';
  readonly established: number;
  readonly maxConnections: number;
  readonly shards: number;
  readonly seed: number;
  readonly ipv6?: true;
  readonly sources?: SpreadKind;
  readonly destinations?: SpreadKind;
  readonly ports?: SpreadKind;
  readonly size?: readonly number[];
  readonly zones?: number;
  readonly profile: ProfileName;
  readonly top: boolean;
  readonly write?: string;
  readonly json?: true;
  readonly logLevel: LogLevel;
}

/** `64,1514` as numbers. */
function sizeList(text: string): number[] {
  const sizes = text.split(',').map(part => (/^\d+$/.test(part) ? Number(part) : Number.NaN));
  if (sizes.some(size => !(size >= LEAST_FRAME_BYTES && size <= MAX_FRAME_BYTES))) {
    const range = `${LEAST_FRAME_BYTES} to ${MAX_FRAME_BYTES}`;
    throw new InvalidArgumentError(`Allowed are whole numbers from ${range}, separated by commas.`);
  }
  return sizes;
}

const SPREAD_LINES = ['', 'Spreads:', ...SPREADS.map(kind => `  ${kind.padEnd(8)}  ${SPREAD_NOTES[kind]}`)].join('\n');

const NOTES = `
By the wall clock packets come as fast as one thread makes them and the shards take them, unless --rate says less. In
virtual time each has its time from --rate, however long the run takes; with one shard, which then works in the same
thread, two runs with one seed are the same to the last eviction.

The established sessions send a segment each way per second, and every verdict of theirs is looked at.

Exit codes: 0 done, whatever became of the sessions; 1 failed; 2 wrong usage; 130 interrupted (SIGINT) or 143 (SIGTERM),
the report covers what was sent until then.`;

function countOption(flags: string, what: string, least: number, most: number): Option {
  return new Option(flags, what).argParser(wholeNumber(least, most));
}

/** The option for what a kind can be told about its packets. */
function choiceOption(choice: FloodChoice, kind: FloodKind): Option {
  const spread = (what: string, usual: SpreadKind) =>
    new Option(`--${choice} <spread>`, what).choices(SPREADS).default(usual);
  switch (choice) {
    case 'sources':
      return spread('spread of the source addresses', DEFAULTS.sources);
    case 'destinations':
      return spread('spread of the destination addresses', DEFAULTS.destinations);
    case 'ports':
      return spread('spread of the destination ports', FLOODS[kind].ports);
    case 'size':
      return new Option('--size <list>', 'bytes of the frames, each as likely (default: the least)').argParser(
        sizeList,
      );
    case 'zones':
      return countOption('--zones <n>', 'zones', 1, MAX_ZONES).default(DEFAULTS.zones);
  }
}

function kindCommand(kind: FloodKind): Command {
  const { note } = FLOODS[kind];
  const choices: readonly FloodChoice[] = FLOODS[kind].choices;
  const command = new Command(kind)
    .description(note[0].toUpperCase() + note.slice(1))
    .addOption(countOption('--seconds <n>', 'how long', 1, MAX_SECONDS).default(DEFAULTS.seconds))
    .addOption(countOption('--packets <n>', 'packets of the flood at the most', 1, Number.MAX_SAFE_INTEGER))
    .addOption(countOption('--rate <n>', `packets of the flood per second (default: ${RATE_NOTE})`, 1, MAX_RATE))
    .addOption(
      new Option('--clock <clock>', 'time of the packets: the wall clock’s, or from their number')
        .choices(['wall', 'virtual'])
        .default('wall'),
    )
    .addOption(
      countOption('--established <n>', 'TCP sessions beside it', 0, MAX_SESSIONS).default(DEFAULTS.established),
    )
    .addOption(
      countOption('--max-connections <n>', 'connections that fit', 1, MAX_CONNECTIONS).default(DEFAULTS.maxConnections),
    )
    .addOption(countOption('--shards <n>', 'shard workers', 1, MAX_SHARDS).default(DEFAULTS.shards))
    .addOption(
      new Option('--profile <profile>', 'what the engine does about floods')
        .choices(Object.keys(PROFILES))
        .default('resilient'),
    )
    .addOption(
      countOption('--seed <n>', 'of the packets and of the key of the hash', 0, MAX_SEED).default(DEFAULTS.seed),
    )
    .option('--ipv6', 'IPv6 instead of IPv4');
  for (const choice of choices) command.addOption(choiceOption(choice, kind));
  return command
    .addOption(
      new Option('--write <file>', 'write the packets to a pcap capture instead, at --rate')
        .argParser(fileName)
        .conflicts(['json', 'shards', 'maxConnections', 'profile', 'top', 'clock']),
    )
    .option('--no-top', 'do not count heavy hitters')
    .option('--json', 'end with a JSON object instead of a summary')
    .addHelpText('after', choices.includes('sources') ? `${SPREAD_LINES}\n${NOTES}` : NOTES)
    .action(async (_flags: unknown, command: Command) => {
      process.exitCode = await flood(kind, command.optsWithGlobals<FloodFlags>(), command);
    });
}

export const floodCommand = new Command('flood')
  .summary('flood the engine with synthetic packets')
  .description('Floods an engine with packets that are made up, and says what became of its established sessions.')
  .usage('<kind> [options]');
for (const kind of FLOOD_KINDS) floodCommand.addCommand(kindCommand(kind));

function runOptions(kind: FloodKind, flags: FloodFlags): RunOptions {
  const { seconds, established, maxConnections, shards, seed, profile } = flags;
  const virtualRate = flags.clock === 'virtual' ? DEFAULTS.rate : Number.POSITIVE_INFINITY;
  return {
    kind,
    seconds,
    packets: flags.packets ?? Number.POSITIVE_INFINITY,
    rate: flags.rate ?? (flags.write === undefined ? virtualRate : DEFAULTS.captureRate),
    clock: flags.clock,
    established,
    maxConnections,
    profile,
    tracksTop: flags.top,
    shards,
    seed,
    family: flags.ipv6 ? 6 : 4,
    sources: flags.sources ?? DEFAULTS.sources,
    destinations: flags.destinations ?? DEFAULTS.destinations,
    ports: flags.ports ?? FLOODS[kind].ports,
    sizes: flags.size ?? [],
    zones: flags.zones ?? DEFAULTS.zones,
  };
}

/** Runs the command. @returns the exit code. @throws Error with a one-line message; OutputClosed */
async function flood(kind: FloodKind, flags: FloodFlags, command: Command): Promise<number> {
  if (flags.write === undefined && flags.established > flags.maxConnections) {
    command.error(
      `error: option '--established' of ${flags.established} does not fit '--max-connections' of ${flags.maxConnections}`,
      { code: 'flowshard.established', exitCode: EXIT.USAGE },
    );
  }
  const options = runOptions(kind, flags);
  return flags.write === undefined ? floodEngine(options, flags) : floodCapture(options, flags.write);
}

async function floodEngine(options: RunOptions, flags: FloodFlags): Promise<number> {
  const progress = new Progress(true);
  const speed = new LiveSpeed();
  const run = await FloodRun.open(options, stage => progress.draw(() => stageText(stage, options, speed)));
  const interrupt = new Interrupt(() => run.interrupt());
  createLogger(flags.logLevel).info(options, 'flood begins');
  try {
    const report = await run.run();
    progress.erase();
    const writer = new LineWriter();
    if (flags.json) writer.text(`${JSON.stringify(report)}\n`);
    else printFlood(writer, report);
    writer.flush();
    return interrupt.exitCode;
  } finally {
    interrupt.end();
    progress.erase();
  }
}

async function floodCapture(options: RunOptions, path: string): Promise<number> {
  const interrupt = new Interrupt();
  try {
    const written = await writeFlood(options, path, () => interrupt.isThere);
    // A capture on standard output is not to be mixed with words.
    if (path !== '-') {
      const writer = new LineWriter();
      writer.text(`${formatCount(written)} packets written\n`);
      writer.flush();
    }
  } finally {
    interrupt.end();
  }
  return interrupt.exitCode;
}
