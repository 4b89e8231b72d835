/**
 * `flowshard replay`: tracks the packets of a capture and prints verdicts, the table or a summary.
 *
 * The options and what they mean to the engine are here; the packet loop is in feed, what is printed in verdicts,
 * table-text and replay-summary.
 *
 * Imports the other files of cli/, engine/, pcap/. Imported by main.
 */
import { isatty } from 'node:tty';
import { Command, Option } from 'commander';
import { Engine } from '../engine/engine.js';
import {
  DEFAULT_MAX_CONNECTIONS,
  type EngineOptions,
  MAX_CONNECTIONS,
  MAX_SHARDS,
  type WorkerDeathListener,
} from '../engine/options.js';
import type { FlowRules } from '../engine/pipeline.js';
import { FlowError } from '../flows/index.js';
import { oneLine } from '../pcap/descriptor.js';
import { CaptureReader } from '../pcap/reader.js';
import { KNOWN } from '../wire/known.js';
import { ARENA_BYTES } from './arena.js';
import { CaptureClock, CLOCKS, type ClockKind } from './capture-clock.js';
import { EXIT } from './exit.js';
import { Feed } from './feed.js';
import { fileName, refuseOverwriting } from './files.js';
import { readFlowRules } from './flow-rules.js';
import { FrameWriter } from './frame-writer.js';
import { HeldVerdicts } from './held.js';
import { Interrupt } from './interrupt.js';
import { LineWriter } from './line-writer.js';
import { createLogger, type LogLevel } from './logger.js';
import { wholeNumber } from './numbers.js';
import { Progress, progressLine } from './progress.js';
import { printSummary, Tally } from './replay-summary.js';
import { countTable, printTable } from './table-text.js';
import { JsonLines, NO_SINK, StateLines, type VerdictSink } from './verdicts.js';
import { addZoneOptions, applyZoneFlags, hasZoneLimits, type ZoneFlags } from './zone-options.js';

const STANDARD_OUTPUT = 1;
const MAX_ZONE = 0xffff;
/** The engine's default, said here because the times of packets under way are kept for --json. */
const RING_PACKETS = 4096;
/** For the frames that are copied although there is an arena: a few at the beginning, and very long ones. */
const COPIED_BYTES = 1 << 20;
/** What is read before there is an arena: enough to see what the capture is. Its frames are copied. */
const HEAD_BYTES = 4096;

/** Bytes of a capture that a packet takes at the least: the header of its record and that of IPv4. */
const LEAST_BYTES = 36;

/** The options as commander gives them; `no-…` options are true unless they are there. */
interface ReplayFlags extends ZoneFlags {
  readonly states?: true;
  readonly json?: true;
  readonly dump?: true;
  readonly flows?: string;
  readonly write?: string;
  readonly more?: true;
  readonly statistics?: true;
  readonly shards?: number;
  readonly clock: ClockKind;
  readonly zone: number;
  readonly commit: boolean;
  readonly seed?: number;
  readonly seqCheck: boolean;
  readonly maxConnections?: number;
  readonly checksums: boolean;
  readonly logLevel: LogLevel;
}

const NOTES = `
Without --states, --json, --dump or --write - a summary is printed. With --dump the table comes after the packets, one
line per connection, sorted. In the objects of --json, n is the number of the packet, from 1, time is in seconds since
1970, label in hexadecimals, tuple the original direction of the packet's connection or null.

Exit codes: 0 done; 1 the capture cannot be read or written, or ends at a fault, everything before it was tracked and
printed; 2 wrong usage; 130 interrupted (SIGINT) or 143 (SIGTERM), everything up to there was tracked and printed.`;

export const replayCommand = new Command('replay')
  .summary('track the packets of a capture')
  .description('Tracks the packets of a pcap or pcapng capture as Open vSwitch does with ct(commit).')
  .argument('<file>', 'capture to read; - for standard input, as in: tcpdump -w - | flowshard replay -', fileName)
  .addOption(new Option('--states', 'one line per packet with its ct_state, as in: 1: new|trk').conflicts('json'))
  .option('--json', 'one JSON object per packet')
  .option('--dump', 'the connections at the end, as ovs-appctl dpctl/dump-conntrack prints them')
  .option('-m, --more', 'with --dump: state, window scale and flags of both TCP peers')
  .option('-s, --statistics', 'with --dump: seconds until each connection ends')
  .addOption(
    new Option('--flows <file>', 'flow rules to run instead of ct(commit), in the syntax of ovs-ofctl')
      .argParser(fileName)
      .conflicts(['zone', 'commit']),
  )
  .option(
    '--write <file>',
    'the frames as they leave, as a pcap capture; - for standard output, and nothing else there',
    fileName,
  )
  .option('--shards <n>', 'shard workers (default: processors less one)', wholeNumber(1, MAX_SHARDS))
  .addOption(
    new Option('--clock <clock>', 'time of the packets: as captured, as replayed, or always the same')
      .choices(CLOCKS)
      .default('capture'),
  )
  .option('--zone <n>', 'conntrack zone', wholeNumber(0, MAX_ZONE), 0)
  .option('--no-commit', 'do not remember new connections')
  .option('--seed <n>', 'make the key of the hash from a number', wholeNumber(0, Number.MAX_SAFE_INTEGER))
  .option('--no-seq-check', 'do not check TCP sequence numbers against windows')
  .option(
    '--max-connections <n>',
    'connections that fit (default: what the capture can open, 1000000 at the most)',
    wholeNumber(1, MAX_CONNECTIONS),
  )
  .option('--no-checksums', 'do not verify checksums')
  .addHelpText('after', NOTES)
  .action(async (file: string, _flags: unknown, command: Command) => {
    const flags: ReplayFlags = command.optsWithGlobals();
    const wrong = wrongUsage(flags);
    if (wrong !== undefined) command.error(`error: ${wrong}`, { code: 'flowshard.replay', exitCode: EXIT.USAGE });
    process.exitCode = await replay(file, flags);
  });
addZoneOptions(replayCommand);

/** What is wrong with options that are right one by one. */
function wrongUsage({ states, json, dump, more, statistics, write }: ReplayFlags): string | undefined {
  if (dump === undefined && more) return "option '-m, --more' needs --dump";
  if (dump === undefined && statistics) return "option '-s, --statistics' needs --dump";
  if (write !== '-') return undefined;
  // A capture on standard output is not to be mixed with words.
  const printing = Object.entries({ states, json, dump }).find(([, isOn]) => isOn);
  return printing === undefined ? undefined : `option '--write -' cannot be used with option '--${printing[0]}'`;
}

/** Runs the command. @returns the exit code. @throws Error with a one-line message; OutputClosed */
async function replay(file: string, flags: ReplayFlags): Promise<number> {
  if (flags.write !== undefined) refuseOverwriting(flags.write, file, flags.flows);
  const flows = flags.flows === undefined ? undefined : readFlowRules(flags.flows, file);
  const log = createLogger(flags.logLevel);
  const reader = CaptureReader.open(file, { polled: true, ...(usesArena(flags) ? { chunkBytes: HEAD_BYTES } : {}) });
  try {
    log.info({ file, interfaces: reader.interfaces }, 'capture opened');
    const engine = await openEngine(flags, flows, reader.totalBytes, death => log.warn(death, 'worker died'));
    log.info({ shards: engine.shards, clock: flags.clock }, 'engine opened');
    try {
      applyZoneFlags(engine.settings, flags);
      return await new Replay(file, flags, reader, engine).run();
    } finally {
      log.info({ counters: engine.counters() }, 'engine closing');
      await engine.close();
      log.info('engine closed');
    }
  } finally {
    reader.close();
  }
}

/** @throws Error that names the file of the rules when one of them is wrong */
async function openEngine(
  flags: ReplayFlags,
  flows: FlowRules | undefined,
  captureBytes: number | undefined,
  onWorkerDeath: WorkerDeathListener,
): Promise<Engine> {
  const options = { ...engineOptions(flags, captureBytes), onWorkerDeath };
  if (flows === undefined) return Engine.open(options);
  try {
    return await Engine.open({ ...options, flows });
  } catch (error) {
    throw error instanceof FlowError ? new Error(`${oneLine(flags.flows ?? '')}: ${error.message}`) : error;
  }
}

/** Rules may translate addresses, for which a frame needs room behind it: it is copied. Without them hardly any is. */
function usesArena({ flows }: ReplayFlags): boolean {
  return flows === undefined;
}

/**
 * How many connections a capture can open: one for each packet, without rules. The engine touches all pages of its table,
 * which takes half a second for a million.
 */
function connectionsOf(captureBytes: number | undefined, { flows }: ReplayFlags): number {
  if (captureBytes === undefined || flows !== undefined) return DEFAULT_MAX_CONNECTIONS;
  return Math.min(DEFAULT_MAX_CONNECTIONS, 1 + Math.floor(captureBytes / LEAST_BYTES));
}

function engineOptions(flags: ReplayFlags, captureBytes: number | undefined): EngineOptions {
  const { shards, seed, clock, seqCheck, maxConnections = connectionsOf(captureBytes, flags) } = flags;
  return {
    clock: clock === 'wall' ? 'wall' : 'packets',
    checksSequence: seqCheck,
    ringPackets: RING_PACKETS,
    ...(usesArena(flags) ? { ringBytes: COPIED_BYTES, arenaBytes: ARENA_BYTES } : {}),
    ...(shards === undefined ? {} : { shards }),
    ...(seed === undefined ? {} : { seed }),
    maxConnections,
  };
}

/** One run, from the first packet to the report. */
class Replay {
  readonly #file: string;
  readonly #flags: ReplayFlags;
  readonly #engine: Engine;
  readonly #writer = new LineWriter();
  readonly #clock: CaptureClock;
  readonly #tally: Tally;
  readonly #feed: Feed;
  readonly #progress: Progress;
  readonly #frames: FrameWriter | undefined;

  constructor(file: string, flags: ReplayFlags, reader: CaptureReader, engine: Engine) {
    this.#file = oneLine(file);
    this.#flags = flags;
    this.#engine = engine;
    this.#clock = new CaptureClock(flags.clock);
    this.#tally = new Tally(engine.shards);
    // A line on the terminal would get between the lines of the packets.
    const printsPackets = flags.states === true || flags.json === true;
    this.#progress = new Progress(!(printsPackets && isatty(STANDARD_OUTPUT)));
    const underWay = engine.shards * RING_PACKETS;
    this.#frames =
      flags.write === undefined ? undefined : new FrameWriter(flags.write, underWay, flags.flows !== undefined);
    this.#feed = new Feed(reader, engine, new HeldVerdicts(this.#sink(), underWay), {
      clock: this.#clock,
      action: flags.flows === undefined ? engine.defineAction({ zone: flags.zone, commit: flags.commit }) : undefined,
      isFenced: engine.shards > 1 && (flags.flows !== undefined || hasZoneLimits(flags)),
      frames: this.#frames,
      known: flags.checksums ? 0 : KNOWN.NO_CHECKSUMS,
      onTurn: () => this.#drawProgress(reader),
    });
  }

  #drawProgress({ bytesRead, totalBytes }: CaptureReader): void {
    const { judged } = this.#feed;
    this.#progress.draw(elapsedMs => progressLine(bytesRead, totalBytes, judged, judged / (elapsedMs / 1000)));
  }

  async run(): Promise<number> {
    const startedMs = performance.now();
    const interrupt = new Interrupt(() => this.#feed.stop());
    try {
      await this.#feed.run();
    } finally {
      interrupt.end();
      this.#progress.erase();
    }
    this.#frames?.close();
    this.#report(performance.now() - startedMs, interrupt.isThere);
    this.#writer.flush();
    const fault = this.#feed.fault ?? this.#frames?.fault;
    if (fault !== undefined) throw fault;
    return interrupt.exitCode;
  }

  #sink(): VerdictSink {
    const { states, json, dump } = this.#flags;
    if (states) return new StateLines(this.#writer);
    if (json) return new JsonLines(this.#writer, this.#engine.shards * RING_PACKETS);
    return dump ? NO_SINK : this.#tally;
  }

  #report(tookMs: number, isInterrupted: boolean): void {
    const { states, json, dump, more = false, statistics, write } = this.#flags;
    const { tracker } = this.#engine;
    const { nowMs } = this.#clock;
    if (dump) {
      printTable(this.#writer, tracker, nowMs, { more, ...(statistics ? { statisticsAtMs: nowMs } : {}) });
    }
    if (states || json || dump || write === '-') return;
    const { created, replaced } = this.#engine.counters().events;
    printSummary(this.#writer, this.#feed, this.#tally, {
      file: this.#file,
      isInterrupted,
      tookMs,
      created,
      replaced,
      table: countTable(tracker, nowMs),
    });
  }
}
