/**
 * A flood from beginning to end: opens an engine, its sessions, floods, and says what became of it.
 *
 * In virtual time and with one shard the engine runs in this thread and is swept by the packets' clock, so that a run
 * can be repeated to the last eviction. Otherwise shards and sweeper are workers, and this thread feeds them.
 *
 * Imports the other files of flood/, engine/, pcap/writer. Imported by cli/flood and tests.
 */

import type { CtAction } from '../engine/action.js';
import type { Counters } from '../engine/counters.js';
import { Engine } from '../engine/engine.js';
import { createHistograms, type Quantiles, readHistograms } from '../engine/histogram.js';
import { LocalEngine } from '../engine/local.js';
import type { EngineMemory } from '../engine/memory.js';
import type { ProfileName } from '../engine/policy.js';
import type { SweepTimes } from '../engine/sweep.js';
import type { TopEntry, TopQuery } from '../engine/top.js';
import { CaptureWriter } from '../pcap/writer.js';
import { Drive } from './drive.js';
import type { FloodOptions } from './generator.js';
import { FLOODS, type FloodKind } from './kinds.js';
import { type Evicted, type FloodReport, hittersOf, Progressed, type Usage, usageNow } from './report.js';
import { Sessions } from './sessions.js';
import { CaptureTarget, LocalTarget, RingTarget, type Target } from './target.js';
import { watchedHomes } from './watched.js';

const ETHERNET = 1;
const MINUTE_MS = 60_000;

export interface RunOptions extends Omit<FloodOptions, 'homeOf'> {
  readonly kind: FloodKind;
  readonly established: number;
  readonly maxConnections: number;
  readonly shards: number;
  readonly clock: 'wall' | 'virtual';
  /** What the engine does about floods. */
  readonly profile: ProfileName;
  /** It counts heavy hitters. */
  readonly tracksTop: boolean;
  readonly seconds: number;
  /** Packets of the flood at the most; may be infinite. */
  readonly packets: number;
  /** Packets of the flood per second; may be infinite by the wall clock. */
  readonly rate: number;
}

/** How far a flood is. */
export interface Stage {
  readonly elapsedMs: number;
  readonly packets: number;
  readonly created: number;
  readonly evicted: Evicted;
  readonly connections: number;
  readonly kept: number;
  readonly p99Us: number;
}

/** What both kinds of engine have. */
interface Flooded {
  readonly target: Target;
  readonly memory: EngineMemory;
  readonly connectionCount: () => number;
  readonly counters: () => Counters;
  readonly latency: () => Quantiles | undefined;
  readonly sweepTimes: () => SweepTimes;
  readonly top: (query: TopQuery) => TopEntry[];
  readonly defineAction: (action: CtAction) => number;
  /** @throws Error when a worker has failed */
  readonly check: () => void;
  readonly close: () => Promise<void>;
}

function openLocal(options: RunOptions): Flooded {
  const { maxConnections, seed, profile, tracksTop } = options;
  const engine = new LocalEngine({ maxConnections, seed, profile, tracksTop, ...ipv6Of(options) });
  const latency = createHistograms(1);
  return {
    target: new LocalTarget(engine, latency),
    memory: engine.memory,
    connectionCount: () => engine.connectionCount,
    counters: () => engine.counters(),
    latency: () => readHistograms(latency),
    sweepTimes: () => engine.sweepTimes(),
    top: query => engine.top(query),
    defineAction: action => engine.defineAction(action),
    check: () => undefined,
    close: async () => undefined,
  };
}

async function openWorkers(options: RunOptions): Promise<Flooded> {
  const { maxConnections, seed, shards, clock, profile, tracksTop } = options;
  const engine = await Engine.open({
    maxConnections,
    seed,
    profile,
    tracksTop,
    shards,
    clock: clock === 'wall' ? 'wall' : 'packets',
    measuresLatency: true,
    ...ipv6Of(options),
  });
  return {
    target: new RingTarget(engine),
    memory: engine.memory,
    connectionCount: () => engine.connectionCount,
    counters: () => engine.counters(),
    latency: () => engine.batchLatency(),
    sweepTimes: () => engine.sweepTimes(),
    top: query => engine.top(query),
    defineAction: action => engine.defineAction(action),
    check: () => engine.checkFailure(),
    close: () => engine.close(),
  };
}

/** Memory for the addresses of IPv6 only where they are. */
function ipv6Of({ family }: RunOptions): { maxIpv6Connections?: number } {
  return family === 6 ? {} : { maxIpv6Connections: 0 };
}

export class FloodRun {
  readonly #options: RunOptions;
  readonly #flooded: Flooded;
  readonly #drive: Drive;
  readonly #onStage: (stage: Stage) => void;
  readonly #minutes: Usage[] = [];
  #before: Counters;
  #isInterrupted = false;

  private constructor(options: RunOptions, flooded: Flooded, onStage: (stage: Stage) => void) {
    this.#options = options;
    this.#flooded = flooded;
    this.#onStage = onStage;
    this.#before = flooded.counters();
    const { family, established, seed, seconds, packets, rate, clock } = options;
    const generator = FLOODS[options.kind].create({ ...options, homeOf: watchedHomes(flooded.memory, family) });
    flooded.defineAction({});
    const [firstAction] = generator.actions.map(flooded.defineAction);
    this.#drive = new Drive(flooded.target, generator, new Sessions(established, family, seed), {
      seconds,
      packets,
      rate,
      firstAction,
      isVirtual: clock === 'virtual',
      onTurn: () => this.#turn(),
    });
  }

  /**
   * Opens an engine.
   * @param onStage called some twenty times a second
   * @throws RangeError, Error as Engine.open()
   */
  static async open(options: RunOptions, onStage: (stage: Stage) => void = () => undefined): Promise<FloodRun> {
    const isLocal = options.clock === 'virtual' && options.shards === 1;
    return new FloodRun(options, isLocal ? openLocal(options) : await openWorkers(options), onStage);
  }

  /** Ends run() soon, with a report. */
  interrupt(): void {
    this.#isInterrupted = true;
    this.#drive.stop();
  }

  /** Opens the sessions, floods, closes the engine. @throws Error when a worker fails */
  async run(): Promise<FloodReport> {
    try {
      await this.#drive.open();
      this.#before = this.#flooded.counters();
      const start = usageNow();
      await this.#drive.run();
      return this.#report(start, usageNow());
    } finally {
      await this.#flooded.close();
    }
  }

  #turn(): void {
    this.#flooded.check();
    const { tookMs } = this.#drive;
    if (tookMs >= (this.#minutes.length + 1) * MINUTE_MS) this.#minutes.push(usageNow());
    const counted = new Progressed(this.#before, this.#flooded.counters());
    // The handshakes of the sessions come before the flood and do not count.
    const hasBegun = tookMs > 0;
    this.#onStage({
      elapsedMs: tookMs,
      packets: hasBegun ? this.#drive.flooded + this.#drive.attended : 0,
      created: hasBegun ? counted.event('created') : 0,
      evicted: counted.evicted(),
      connections: this.#flooded.connectionCount(),
      kept: this.#drive.judge.kept,
      p99Us: this.#flooded.latency()?.p99 ?? 0,
    });
  }

  #report(start: Usage, end: Usage): FloodReport {
    const { kind, seed, shards, clock, profile, maxConnections, established, tracksTop } = this.#options;
    const { clockMs, tookMs, judge, flooded, attended, verdicts, stalls, stalledMs } = this.#drive;
    const counters = this.#flooded.counters();
    const counted = new Progressed(this.#before, counters);
    const refusals = counted.refusals();
    const packets = flooded + attended;
    const { stepUs, lagMs } = this.#flooded.sweepTimes();
    return {
      kind,
      seed,
      shards,
      clock,
      profile,
      maxConnections,
      seconds: clockMs / 1000,
      tookSeconds: tookMs / 1000,
      isInterrupted: this.#isInterrupted,
      packets,
      mpps: tookMs > 0 ? packets / tookMs / 1000 : 0,
      establishedPackets: attended,
      verdicts: (verdicts >>> 0).toString(16).padStart(8, '0'),
      stalls,
      stalledSeconds: stalledMs / 1000,
      created: counted.event('created'),
      refused: refusals.total,
      refusedBy: refusals.by,
      evicted: counted.evicted(),
      expired: counted.event('expired'),
      replaced: counted.event('replaced'),
      connections: this.#flooded.connectionCount(),
      reasons: counted.reasons(),
      established,
      establishedEvicted: judge.lost,
      establishedMisjudged: judge.misjudged,
      batchLatencyUs: this.#flooded.latency() ?? null,
      emergencies: { begun: counted.event('emergenciesBegun'), ended: counted.event('emergenciesEnded') },
      longestLockWaitUs: counters.events.longestLockWaitMs * 1000,
      sweepStepUs: stepUs,
      sweepLagMs: lagMs,
      expectations: counted.event('expectations'),
      top: tracksTop ? hittersOf(this.#flooded.top) : null,
      heapBytes: { start: start.heapBytes, end: end.heapBytes },
      rssBytes: { start: start.rssBytes, end: end.rssBytes },
      minutes: this.#minutes,
    };
  }
}

/**
 * Writes the packets of a flood, those of its sessions included, to a pcap capture, `-` for standard output.
 * @param isOver asked some twenty times a second whether to end it before its time
 * @returns how many
 */
export async function writeFlood(options: RunOptions, path: string, isOver: () => boolean): Promise<number> {
  const { family, established, seed, seconds, packets, rate } = options;
  const writer = CaptureWriter.create(path, { linkType: ETHERNET, nanoseconds: true });
  const sessions = new Sessions(established, family, seed);
  const generator = FLOODS[options.kind].create({ ...options, homeOf: undefined });
  const drive: Drive = new Drive(new CaptureTarget(writer), generator, sessions, {
    seconds,
    packets,
    rate,
    firstAction: 0,
    isVirtual: true,
    onTurn: () => {
      if (isOver()) drive.stop();
    },
  });
  try {
    await drive.open();
    await drive.run();
  } finally {
    writer.close();
  }
  return drive.flooded + drive.attended + 3 * established;
}
