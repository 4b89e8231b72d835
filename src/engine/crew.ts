/**
 * The workers of an engine: each a long task in a Piscina pool of one thread, watched, replaced when they die, and stopped.
 *
 * When a worker dies, the others are asked to stand still (park.ts), which takes them a batch; then the table is made whole
 * (recover.ts), another worker takes the place of the dead one, and all go on. Connections do not notice, but for packets
 * that needed a part of the table whose lock the dead worker held: they have the reason `table-locked`, and the packet at
 * which a shard died has `shard-died`. Workers that die again and again end the engine.
 *
 * Imports counters, memory, options, park, recover, tell, tracker, piscina, sharedarraybuffer-hashmap. Imported by engine.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Piscina } from 'piscina';
import { breakLocks } from '../sharedarraybuffer-hashmap/index.js';
import { EVENT } from './counters.js';
import { CONTROL } from './memory.js';
import type { WorkerDeathListener } from './options.js';
import { WISH } from './park.js';
import { repairTable } from './recover.js';
import { tell } from './tell.js';
import type { Tracker } from './tracker.js';

/** How long workers may take to start, to stand still, and to stop after their last packet. */
const START_TIMEOUT_MS = 30_000;
const PARK_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 10_000;
/** Between two looks at what all workers do. */
const POLL_MS = 2;
/** Between two calls to workers that may just have been falling asleep. */
const WAKE_MS = 10;
/** Deaths within so long that end the engine. */
const MOST_DEATHS = 8;
const DEATHS_MS = 60_000;

/** One worker, whoever does its work at the moment. */
export interface Member {
  readonly name: string;
  /** Its number among the threads that take locks. */
  readonly owner: number;
  readonly filename: string;
  readonly task: object;
  /** The word that says that it is parked, and where it is. */
  readonly parked: Int32Array;
  readonly parkedAt: number;
  /** Has it look for what is wished, if it waits for something. */
  readonly wake: () => void;
  /** The same for good: the engine closes. */
  readonly dismiss: () => void;
  /** Makes whole what it alone works on, while nobody does. @returns packets and fragments that were given up */
  readonly salvage: () => { packets: number; fragments: number };
}

function createPool({ filename }: Member): Piscina {
  return new Piscina({ minThreads: 1, maxThreads: 1, atomics: 'disabled', filename });
}

export class Crew {
  readonly #members: readonly Member[];
  /** The control side's own, for repairs. */
  readonly #tracker: Tracker;
  readonly #listener: WorkerDeathListener | undefined;
  /** A pool each: in one for all, a thread that dies while it starts would keep the others' from being replaced. */
  readonly #pools: Map<Member, Piscina>;
  readonly #ends = new Map<Member, Promise<void>>();
  /** Those that have died and are still to be replaced, and why. */
  readonly #dead = new Map<Member, string>();
  /** When the last ones died, by performance.now(). */
  readonly #deathsMs: number[] = [];
  #recovery: Promise<void> | undefined;
  #failure: Error | undefined;
  #isReady = false;
  #isClosing = false;

  /** Threads are there from now on, and load their modules. */
  constructor(tracker: Tracker, members: readonly Member[], listener: WorkerDeathListener | undefined) {
    this.#tracker = tracker;
    this.#members = members;
    this.#listener = listener;
    this.#pools = new Map(members.map(member => [member, createPool(member)]));
  }

  /** @throws Error when a worker has failed for good: the engine can then only be closed */
  checkFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  start(): void {
    for (const [member, pool] of this.#pools) this.#start(member, pool);
  }

  #start(member: Member, pool: Piscina): void {
    const run: Promise<void> = pool.run(member.task, { filename: member.filename });
    const end = run.then(
      () => this.#onEnd(member, 'ended although nobody stopped it'),
      (error: unknown) => this.#onEnd(member, error instanceof Error ? error.message : String(error)),
    );
    this.#ends.set(member, end);
  }

  /** @throws Error when a worker fails meanwhile, or they take too long */
  async waitUntilReady(): Promise<void> {
    const { control } = this.#tracker.memory;
    for (let waited = 0; waited < START_TIMEOUT_MS; waited += POLL_MS) {
      this.checkFailure();
      const ready = Atomics.load(control, CONTROL.READY); // acquires nothing that is read here
      if (ready === this.#members.length) {
        this.#isReady = true;
        return;
      }
      await sleep(POLL_MS);
    }
    throw new Error(`the workers did not start within ${START_TIMEOUT_MS} ms`);
  }

  #onEnd(member: Member, why: string): void {
    if (this.#isClosing) return;
    if (!this.#isReady || this.#isTooOften()) {
      this.#fail(`${member.name} failed: ${why}`);
      return;
    }
    this.#dead.set(member, why);
    this.#recovery ??= this.#recoverAll();
  }

  async #recoverAll(): Promise<void> {
    try {
      while (this.#dead.size > 0) await this.#recover();
    } catch (error) {
      const [{ name }, why] = [...this.#dead][0];
      this.#fail(`${name} failed: ${why}; ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      this.#recovery = undefined;
    }
  }

  #fail(message: string): void {
    this.#failure ??= new Error(message);
  }

  #isTooOften(): boolean {
    const nowMs = performance.now();
    this.#deathsMs.push(nowMs);
    while (nowMs - this.#deathsMs[0] > DEATHS_MS) this.#deathsMs.shift();
    return this.#failure !== undefined || this.#deathsMs.length > MOST_DEATHS;
  }

  /** Replaces all that have died by the time that the others stand still. */
  async #recover(): Promise<void> {
    const startedMs = performance.now();
    const { control } = this.#tracker.memory;
    Atomics.store(control, CONTROL.STOP, WISH.PARK); // publishes the wish, before anybody is looked at
    await this.#parkOthers();
    const lost = repairTable(this.#tracker);
    const dead = new Map(this.#dead);
    const given = [...dead.keys()].map(member => member.salvage());
    this.#dead.clear();
    for (const { parked, parkedAt } of dead.keys()) Atomics.store(parked, parkedAt, 0); // its successor moves
    this.#tracker.counts[EVENT.workerDeaths] += dead.size;
    Atomics.store(control, CONTROL.STOP, WISH.RUN); // publishes the repaired table
    Atomics.notify(control, CONTROL.STOP);
    for (const member of dead.keys()) this.#replace(member);
    const tookMs = performance.now() - startedMs;
    [...dead].forEach(([{ name }, why], index) => {
      const { packets, fragments } = given[index];
      tell(this.#listener, {
        worker: name,
        why,
        tookMs,
        connectionsLost: lost,
        packetsRefused: packets,
        fragmentsLost: fragments,
      });
    });
  }

  /** Another thread takes the place of the one in which a worker has died, in whatever state that is. */
  #replace(member: Member): void {
    void this.#pools.get(member)?.destroy();
    const pool = createPool(member);
    this.#pools.set(member, pool);
    this.#start(member, pool);
  }

  /** Waits until all that live stand still. @throws Error when somebody goes on */
  async #parkOthers(): Promise<void> {
    const { map, memory } = this.#tracker;
    for (let waited = 0; waited < PARK_TIMEOUT_MS; waited += POLL_MS) {
      for (const { owner } of this.#dead.keys()) {
        breakLocks(map, owner);
        breakLocks(memory.expectations, owner);
      }
      const living = this.#members.filter(member => !this.#dead.has(member));
      // Acquires what each has written.
      if (living.every(({ parked, parkedAt }) => Atomics.load(parked, parkedAt) === 1)) return;
      for (const { wake } of living) wake();
      await sleep(POLL_MS);
    }
    throw new Error(`the other workers did not stand still within ${PARK_TIMEOUT_MS} ms`);
  }

  /** Waits for the packets under way, stops the workers and frees their threads; at the latest after STOP_TIMEOUT_MS. */
  async stop(): Promise<void> {
    await this.#recovery;
    this.#isClosing = true;
    const { control } = this.#tracker.memory;
    Atomics.store(control, CONTROL.STOP, WISH.STOP); // publishes the wish; workers finish their rings first
    const dismissAll = () => {
      for (const { dismiss } of this.#members) dismiss();
    };
    dismissAll();
    const waking = setInterval(dismissAll, WAKE_MS);
    const timeout = new AbortController();
    const late = sleep(STOP_TIMEOUT_MS, undefined, { signal: timeout.signal }).catch(() => undefined);
    await Promise.race([Promise.all(this.#ends.values()), late]);
    clearInterval(waking);
    timeout.abort();
    await Promise.all([...this.#pools.values()].map(pool => pool.destroy()));
  }
}
