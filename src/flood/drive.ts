/**
 * The loop of a flood: packets in, verdicts out, until time or packets are up.
 *
 * By the wall clock it sends as fast as it is let; in virtual time every packet has its time from its number and the
 * rate, and nothing depends on how long anything takes. Sessions' packets go between those of the flood when they are
 * due, and each of their verdicts is looked at.
 *
 * One thread makes the packets, beside the shards: it is several times as fast as a shard. Every wait has a limit, and
 * now and then the event loop gets its turn, so that a signal or the failure of a worker is noticed.
 *
 * Imports generator, sessions, target. Imported by run.
 */
import { setImmediate as eventLoop } from 'node:timers/promises';
import type { Generator } from './generator.js';
import { NO_SESSION, SessionJudge, type Sessions } from './sessions.js';
import { type Target, VERDICT } from './target.js';

const { COOKIE, STATE, REASON, CONNECTION } = VERDICT;

/** Packets between two looks at the clock and at the verdicts. Fewer wake the shards too often, more leave the cache. */
const BURST = 128;
/** Between two turns of the event loop. */
const TURN_MS = 50;
/** A shard that is alive answers in microseconds; one that shares its processor, in milliseconds. */
const WAIT_MS = 50;
const MOST_WAITS = 600;
/** How long to pause when nothing is due, at a rate that is below what can be made. */
const PAUSE_MS = 1;
/** More than there are reasons. */
const REASONS = 256;
/** Beginning of virtual time: some day in 2001, so that a capture can say it. */
const START_MS = 1_000_000_000_000;

export interface DriveOptions {
  /** Seconds to flood for, and packets of the flood. */
  readonly seconds: number;
  readonly packets: number;
  /** Packets of the flood per second; infinite: as fast as can be, which virtual time does not know. */
  readonly rate: number;
  readonly isVirtual: boolean;
  /** Number of the first ct() action of the generator; that of the sessions is 0. */
  readonly firstAction: number;
  /** Called at every turn of the event loop. @throws Error to end the flood */
  readonly onTurn: () => void;
}

export class Drive {
  /** Packets pushed, of the flood and of the sessions. */
  flooded = 0;
  attended = 0;
  /** Times that there was no room for a packet until the shards had judged some. */
  stalls = 0;
  /** Milliseconds of wall clock that it waited for that. */
  stalledMs = 0;
  /** A sum over the verdicts of all packets in their order, those of the sessions included. */
  verdicts = 0;
  /** Milliseconds of wall clock and of the packets' clock since the flood began. */
  tookMs = 0;
  clockMs = 0;
  readonly judge: SessionJudge;
  readonly #target: Target;
  readonly #generator: Generator;
  readonly #sessions: Sessions;
  readonly #options: DriveOptions;
  readonly #pause = new Int32Array(new SharedArrayBuffer(4));
  #isStopped = false;
  #turnedMs = performance.now();
  /** The packets' clock, and when the flood began by it and by performance.now(). */
  #nowMs: number;
  #beganMs = 0;
  #startedMs = 0;

  constructor(target: Target, generator: Generator, sessions: Sessions, options: DriveOptions) {
    this.#target = target;
    this.#generator = generator;
    this.#sessions = sessions;
    this.#options = options;
    this.judge = new SessionJudge(sessions.count);
    this.#nowMs = options.isVirtual ? START_MS : Date.now();
  }

  /** Ends run() soon. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Opens all sessions and waits for the verdicts. @throws Error when the shards do not answer or onTurn() throws */
  async open(): Promise<void> {
    const sessions = this.#sessions;
    while (!sessions.isOpen && !this.#isStopped) {
      this.#readClock();
      for (let count = 0; count < BURST && !sessions.isOpen; count++) this.#pushSession();
      this.#collect();
      await this.#turnIfDue();
    }
    await this.#settle();
    this.attended = 0;
    this.stalls = 0;
    this.stalledMs = 0;
    this.verdicts = 0;
  }

  /** Floods, then waits for the last verdicts. @throws as open() */
  async run(): Promise<void> {
    this.#readClock();
    this.#beganMs = this.#nowMs;
    this.#startedMs = performance.now();
    while (!this.#isOver()) {
      const isIdle = this.#options.isVirtual ? !this.#virtualBurst() : !this.#wallBurst();
      this.#collect();
      if (isIdle) Atomics.wait(this.#pause, 0, 0, PAUSE_MS); // a pause, nobody changes the word
      this.tookMs = performance.now() - this.#startedMs;
      this.clockMs = this.#nowMs - this.#beganMs;
      await this.#turnIfDue();
    }
    await this.#settle();
    this.tookMs = performance.now() - this.#startedMs;
  }

  #isOver(): boolean {
    const { seconds, packets } = this.#options;
    return this.#isStopped || this.flooded >= packets || this.#nowMs - this.#beganMs >= seconds * 1000;
  }

  #readClock(): void {
    if (!this.#options.isVirtual) this.#nowMs = Math.max(this.#nowMs, Date.now());
  }

  /** When packet `number` of the flood goes out in virtual time. */
  #virtualMs(number: number): number {
    return this.#beganMs + (number * 1000) / this.#options.rate;
  }

  /** In order of time, whatever is due first. @returns true: there is always something */
  #virtualBurst(): boolean {
    const { seconds, packets } = this.#options;
    const endMs = this.#beganMs + seconds * 1000;
    for (let count = 0; count < BURST; count++) {
      const floodMs = this.flooded < packets ? this.#virtualMs(this.flooded) : Number.POSITIVE_INFINITY;
      const sessionMs = this.#beganMs + this.#sessions.dueMs;
      this.#nowMs = Math.min(floodMs, sessionMs, endMs);
      if (this.#nowMs === endMs) break;
      this.#target.advance(this.#nowMs);
      if (sessionMs <= floodMs) this.#pushSession();
      else this.#pushFlood();
      if (this.flooded >= packets) break;
    }
    return true;
  }

  /** @returns false when nothing was due */
  #wallBurst(): boolean {
    const { packets, rate } = this.#options;
    this.#readClock();
    const passedMs = this.#nowMs - this.#beganMs;
    const allowed = rate === Number.POSITIVE_INFINITY ? packets : Math.min(packets, (passedMs * rate) / 1000);
    let count = 0;
    while (count < BURST && this.#sessions.dueMs <= passedMs) {
      this.#pushSession();
      count++;
    }
    while (count < BURST && this.flooded < allowed) {
      this.#pushFlood();
      count++;
    }
    return count > 0;
  }

  #pushFlood(): void {
    const generator = this.#generator;
    const { length } = generator;
    const action = this.#options.firstAction + generator.action;
    const at = this.#reserve(length);
    generator.write(this.#target.frames, at);
    this.#push(length, action, NO_SESSION);
    this.flooded++;
  }

  #pushSession(): void {
    const { length } = this.#sessions;
    const at = this.#reserve(length);
    const cookie = this.#sessions.write(this.#target.frames, at);
    this.#push(length, 0, cookie);
    this.attended++;
  }

  #reserve(length: number): number {
    let at = this.#target.tryReserve(length);
    while (at < 0) {
      this.#makeRoom();
      at = this.#target.tryReserve(length);
    }
    return at;
  }

  #push(length: number, action: number, cookie: number): void {
    while (!this.#target.tryPush(length, this.#nowMs, action, cookie)) this.#makeRoom();
  }

  #makeRoom(): void {
    const sinceMs = performance.now();
    this.#awaitVerdict();
    this.stalls++;
    this.stalledMs += performance.now() - sinceMs;
  }

  /** Waits until at least one verdict is collected. */
  #awaitVerdict(): void {
    for (let waits = 0; waits < MOST_WAITS; waits++) {
      if (this.#collect() > 0) return;
      this.#target.wait(WAIT_MS);
    }
    throw new Error('the shards do not answer');
  }

  #collect(): number {
    return this.#target.collect(this.#onVerdict);
  }

  readonly #onVerdict = (words: Int32Array, at: number): void => {
    this.verdicts = (Math.imul(this.verdicts, 31) + words[at + STATE] * REASONS + words[at + REASON]) | 0;
    const cookie = words[at + COOKIE];
    if (cookie === NO_SESSION) return;
    this.judge.check(cookie, words[at + STATE], words[at + REASON], words[at + CONNECTION]);
  };

  async #settle(): Promise<void> {
    while (this.#target.pending > 0) {
      this.#awaitVerdict();
      await this.#turnIfDue();
    }
  }

  async #turnIfDue(): Promise<void> {
    const nowMs = performance.now();
    if (nowMs - this.#turnedMs < TURN_MS) return;
    await eventLoop();
    this.#options.onTurn();
    this.#turnedMs = nowMs;
  }
}
