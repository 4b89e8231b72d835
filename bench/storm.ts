/**
 * What packets feel of the sweeper.
 *
 * This thread is a shard and passes UDP packets of known connections in batches of 32 at a set rate; the sweeper has a
 * thread of its own, as in the engine. First nothing ends, for a few seconds; then a million connections end within one
 * second, and the batches are timed until all of them are gone. A batch's time holds whatever it waited for the lock.
 * Time is that of the packets, so that it waits for the connections to be made. Before, the cost of a pass over all of
 * them, when the sweeper knows nothing of them and when it does.
 *
 * All of it happens twice, and the second time counts: the first time V8 compiles the code of the sweeper, in threads that
 * take the processors from those that are measured, locks and all.
 *
 * Imports chunk, sweeper, traffic, engine/, flood/template. Imported by flood-points and sweep.
 */
import { COUNTER_ROW, EVENT } from '../src/engine/counters.js';
import {
  createHistograms,
  histogramRow,
  type Quantiles,
  readHistograms,
  recordDuration,
} from '../src/engine/histogram.js';
import { CONTROL, createMemory, type EngineMemory } from '../src/engine/memory.js';
import { PACKET, PACKET_WORDS } from '../src/engine/packet.js';
import { applyProfile, type ProfileName } from '../src/engine/policy.js';
import { processPackets } from '../src/engine/process.js';
import { createSweepCursor, readSweepTimes, type SweepTimes, sweepStep } from '../src/engine/sweep.js';
import { createTracker, defineAction, type Tracker } from '../src/engine/tracker.js';
import { createTemplate } from '../src/flood/template.js';
import { TIMEOUT } from '../src/track/timeouts.js';
import { KNOWN } from '../src/wire/known.js';
import { Chunk, STATE } from './chunk.js';
import { withSweeper } from './sweeper.js';
import { UDP4 } from './traffic.js';

/** Connections that end, and those whose packets are timed. */
export const ENDING = 1_000_000;
export const OTHERS = 100_000;
export const BATCH = 32;
const PACKETS_PER_SECOND = 1_000_000;
const QUIET_MS = 5000;
export const ENDS_WITHIN_MS = 1000;
const TIMEOUT_MS = 600_000;
/** From the first packet of one round to that of the next one. */
const ROUND_MS = TIMEOUT_MS + 60_000;
/** All should be gone long before. */
const GIVE_UP_MS = 20_000;
/** Time of the packets while nothing ends: well after the last creation. */
const LATER_MS = 10_000;
/** The second part begins so long before the first connection ends. */
const START_BEFORE_MS = 200;
const SPINS = 1000;
const SWEEPER = 2;
const SHARD = 1;

/** Packets that were passed for a while, in microseconds of a batch. */
export interface Passage extends Quantiles {
  readonly mpps: number;
  readonly seconds: number;
  /** Batches that took longer than a millisecond, for whatever reason. */
  readonly over1Ms: number;
  /** Times that a batch waited for the lock, and the longest of these waits in microseconds. */
  readonly waits: number;
  readonly longestWaitUs: number;
  /** Times that the system took the processor from a thread of this process: then a lock may be held for milliseconds. */
  readonly preemptions: number;
}

export interface Storm {
  readonly createNs: number;
  /** Milliseconds of a pass over all connections when the sweeper knows nothing of them, and when it does. */
  readonly passMs: readonly number[];
  /** While nothing ends, and while a million connections end. */
  readonly quiet: Passage;
  readonly storm: Passage;
  readonly sweep: SweepTimes;
  readonly longestLockUs: number;
}

/**
 * Passes some microsecond. Looking at the clock all the time would leave a number behind each time, and the collections
 * that follow, in threads of their own, would take the processors from those that are measured.
 */
function spin(control: Int32Array): void {
  for (let count = 0; count < SPINS; count++) Atomics.load(control, CONTROL.STOP); // a look that changes nothing
}

function createStormMemory(profile: ProfileName): EngineMemory {
  const memory = createMemory({
    regions: 1,
    threads: 2,
    maxConnections: ENDING + OTHERS,
    maxIpv6Connections: 0,
    maxExpectations: 16,
    hashKey: [1, 2],
    isWallClock: false,
    checksSequence: true,
    sweepIntervalMs: 1000,
  });
  applyProfile(memory, profile);
  // The table is to be nearly full without an emergency: it is the sweeper that is measured.
  memory.tablePolicy.fill(0, 2);
  memory.timeoutsMs[TIMEOUT.udp_first] = TIMEOUT_MS;
  memory.timeoutsMs[TIMEOUT.udp_single] = TIMEOUT_MS;
  defineAction(memory, {});
  return memory;
}

class Shard {
  readonly memory: EngineMemory;
  readonly tracker: Tracker;
  readonly #chunk: Chunk;

  constructor(memory: EngineMemory) {
    this.memory = memory;
    this.tracker = createTracker(memory, SHARD);
    this.#chunk = new Chunk(memory.wasm, [createTemplate(UDP4)], KNOWN.L4_CHECKSUM_GOOD | KNOWN.L3_IPV4);
  }

  get connections(): number {
    return Atomics.load(this.memory.control, CONTROL.CONNECTIONS); // a count
  }

  /**
   * Creates flows whose last packet was seen at times spread from `firstMs` over a span.
   * @returns how many milliseconds it took
   */
  create(first: number, count: number, firstMs: number, spanMs: number): number {
    const chunk = this.#chunk;
    const startMs = performance.now();
    for (let done = 0; done < count; done += chunk.capacity) {
      const size = Math.min(chunk.capacity, count - done);
      for (let slot = 0; slot < size; slot++) {
        chunk.write(slot, first + done + slot, STATE.NEW);
        chunk.address(slot, 0, firstMs + ((done + slot) * spanMs) / count);
      }
      processPackets(this.tracker, chunk.memory, 0, size);
      chunk.check(size);
    }
    return performance.now() - startMs;
  }

  /**
   * Passes packets of the other connections at the set rate until it is over, and times the batches.
   * @param fromMs the time of the first packet; then it goes on as the clock does
   * @throws Error when a packet is misjudged
   */
  pass(fromMs: number, isOver: (passedMs: number) => boolean): Passage {
    const chunk = this.#chunk;
    const { counts } = this.tracker;
    const buffer = createHistograms(1);
    const row = histogramRow(buffer, 0);
    const slots = Math.floor(chunk.capacity / BATCH) * BATCH;
    const waitsBefore = counts[EVENT.lockWaits];
    counts[EVENT.longestLockWaitMs] = 0;
    const preemptionsBefore = process.resourceUsage().involuntaryContextSwitches;
    const startMs = performance.now();
    let flow = 0;
    let batches = 0;
    let over1Ms = 0;
    for (let slot = 0; slot < slots; slot++) chunk.write(slot, ENDING + ((slot * 7919) % OTHERS), STATE.NEW);
    for (; !isOver(performance.now() - startMs); batches++) {
      const first = (batches * BATCH) % slots;
      const nowMs = fromMs + performance.now() - startMs;
      for (let slot = first; slot < first + BATCH; slot++) {
        flow = (flow + 7919) % OTHERS;
        chunk.write(slot, ENDING + flow, STATE.NEW);
        chunk.address(slot, 0, nowMs);
      }
      // A batch is due every 32 µs at a million per second; late ones follow at once.
      const dueMs = startMs + (batches * BATCH * 1000) / PACKETS_PER_SECOND;
      let beganMs = performance.now();
      while (beganMs < dueMs) {
        spin(this.memory.control);
        beganMs = performance.now();
      }
      processPackets(this.tracker, chunk.memory, first, BATCH);
      const tookMs = performance.now() - beganMs;
      recordDuration(row, tookMs);
      if (tookMs > 1) over1Ms++;
      if (chunk.packets[first * PACKET_WORDS + PACKET.STATE] !== STATE.NEW) throw new Error('the benchmark is void');
    }
    const seconds = (performance.now() - startMs) / 1000;
    return {
      mpps: (batches * BATCH) / seconds / 1e6,
      seconds,
      over1Ms,
      waits: counts[EVENT.lockWaits] - waitsBefore,
      longestWaitUs: counts[EVENT.longestLockWaitMs] * 1000,
      preemptions: process.resourceUsage().involuntaryContextSwitches - preemptionsBefore,
      ...readHistograms(buffer),
    };
  }

  /** @returns milliseconds of a pass of the sweeper in this thread, and of another one after it */
  sweepTwice(): number[] {
    const cursor = createSweepCursor(this.memory.map);
    return [0, 1].map(() => {
      const startMs = performance.now();
      while (sweepStep(this.tracker, cursor, 0)) {}
      return performance.now() - startMs;
    });
  }
}

/** Begins the sweeper's histograms and maxima anew, while it sleeps. */
function forgetSweeps({ counters, sweepStepTimes, sweepLags }: EngineMemory): void {
  sweepStepTimes.fill(0);
  sweepLags.fill(0);
  for (let at = EVENT.sweepLongestLockMs; at < counters.length; at += COUNTER_ROW) counters[at] = 0;
}

function longestLockMs({ counters }: EngineMemory): number {
  let most = 0;
  for (let at = EVENT.sweepLongestLockMs; at < counters.length; at += COUNTER_ROW) most = Math.max(most, counters[at]);
  return most;
}

/** @throws Error when packets are misjudged, or not all connections end that should */
export async function measureStorm(profile: ProfileName): Promise<Storm> {
  const memory = createStormMemory(profile);
  const shard = new Shard(memory);
  shard.create(ENDING, OTHERS, LATER_MS, 0);
  return withSweeper(memory, SWEEPER, async () => {
    while (Atomics.load(memory.control, CONTROL.READY) === 0) await new Promise(resolve => setTimeout(resolve, 5));
    measureRound(shard, 0);
    return measureRound(shard, ROUND_MS);
  });
}

/** @param fromMs time of the first packet */
function measureRound(shard: Shard, fromMs: number): Storm {
  const { memory } = shard;
  const createMs = shard.create(0, ENDING, fromMs, ENDS_WITHIN_MS);
  const passMs = shard.sweepTwice();
  forgetSweeps(memory);
  const quiet = shard.pass(fromMs + LATER_MS, passedMs => passedMs >= QUIET_MS);
  const stormMs = fromMs + TIMEOUT_MS - START_BEFORE_MS;
  const storm = shard.pass(stormMs, passedMs => shard.connections <= OTHERS || passedMs > GIVE_UP_MS);
  if (shard.connections > OTHERS) throw new Error('the benchmark is void: not all of the million are gone');
  return {
    createNs: (createMs * 1e6) / ENDING,
    passMs,
    quiet,
    storm,
    sweep: readSweepTimes(memory),
    longestLockUs: longestLockMs(memory) * 1000,
  };
}
