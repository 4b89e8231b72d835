/**
 * The engine with workers: opening, feeding, asking and closing. Shards and the sweeper are one long task each in a
 * Piscina pool; packets and verdicts travel through shared memory, the pool only starts, stops and reports failures.
 *
 * Imports the other files of engine/, piscina, sharedarraybuffer-hashmap. Imported by the public API and cli/.
 */
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { touchMap } from '../sharedarraybuffer-hashmap/index.js';
import { CT } from '../track/state.js';
import type { WasmMemory } from '../wire/wasm.js';
import type { CtAction } from './action.js';
import type { PacketBatch } from './batch.js';
import { type Counters, readCounters } from './counters.js';
import { createHistograms, type Quantiles, readHistograms } from './histogram.js';
import { CONTROL, type EngineMemory, handleOf, type MemoryHandle, reserveMemory } from './memory.js';
import {
  type EmergencyListener,
  type EngineOptions,
  memoryOptions,
  type ResolvedOptions,
  resolveOptions,
} from './options.js';
import { isEmergency } from './overload.js';
import { PACKET, PACKET_WORDS } from './packet.js';
import { allocatePackets } from './packet-memory.js';
import { type FlowRules, Pipeline } from './pipeline.js';
import { applyProfile } from './policy.js';
import { Producer } from './producer.js';
import { createReassemblyMemory, type ReassemblyHandle } from './reassembly.js';
import { ReleasedPackets } from './released.js';
import { allocateFrames, attachRing, createRing, PATIENCE, type Ring, type RingHandle, wakeAll } from './ring.js';
import { Settings } from './settings.js';
import { readStatistics, type Statistics } from './statistics.js';
import { readSweepHistograms, readSweepTimes, type SweepHistograms, type SweepTimes } from './sweep.js';
import { createTopMemory, readTop, type TopEntry, type TopQuery } from './top.js';
import { createTracker, defineAction, type Tracker } from './tracker.js';

/** Numbers of the threads that take locks: the control side, the sweeper, then the shards. */
const CONTROL_OWNER = 1;
const SWEEPER_OWNER = 2;
const FIRST_SHARD_OWNER = 3;

/** How long workers may take to start, and to stop after their last packet. */
const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 10_000;
/** Between two looks at whether all workers have started. */
const POLL_MS = 2;
/** Between two calls to shards that may just have been falling asleep. */
const WAKE_MS = 10;
/** A verdict is waited for in slices, so that the failure of a worker is noticed. */
const WAIT_MS = 100;
/** Calls of execute() that may wait for their turn. */
const MAX_WAITING = 1024;

/** A shard's part of a memory that all of them share. */
export interface Row {
  readonly buffer: SharedArrayBuffer;
  readonly row: number;
}

/** What a shard worker is started with. */
export interface ShardTask {
  readonly memory: MemoryHandle;
  readonly ring: RingHandle;
  readonly fragments: ReassemblyHandle;
  readonly owner: number;
  /** Where it records how long batches take, if that is asked for. */
  readonly latency: Row | undefined;
  /** Where it counts heavy hitters, if that is asked for. */
  readonly top: Row | undefined;
  /** Rules that packets run through, and the number of the first action that they define. */
  readonly flows: { readonly rules: FlowRules; readonly firstAction: number } | undefined;
}

/** What the sweeper is started with. */
export interface SweeperTask {
  readonly memory: MemoryHandle;
  readonly owner: number;
}

const WORKERS = new URL('../../workers/', import.meta.url);
const SHARD_FILE = fileURLToPath(new URL('shard.js', WORKERS));
const SWEEPER_FILE = fileURLToPath(new URL('sweeper.js', WORKERS));

const TRANSLATED = CT.SNAT | CT.DNAT;

/** The rings, whose frames lie in one memory with the arena if there is one; and where that begins. */
function createRings(memory: WasmMemory, { shards, ringPackets, ringBytes, arenaBytes }: ResolvedOptions) {
  const arenaAt = arenaBytes === 0 ? ringBytes : shards * ringBytes;
  const bytes = arenaAt + arenaBytes;
  const at = arenaBytes === 0 ? 0 : allocateFrames(memory, bytes);
  // The producer wants a processor too.
  const patience = shards < availableParallelism() ? PATIENCE : 0;
  const rings = Array.from({ length: shards }, (_, shard) => {
    const shared = { at, bytes, ownAt: shard * ringBytes, ownBytes: ringBytes };
    return createRing(memory, ringPackets, arenaBytes === 0 ? ringBytes : shared, patience);
  });
  return { rings, arenaAt };
}

function sleep(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}

export class Engine {
  readonly memory: EngineMemory;
  /** What can be changed while packets flow. */
  readonly settings: Settings;
  readonly shards: number;
  /** The control side's own hold on the table: for dumps and deletions. */
  readonly tracker: Tracker;
  /** Feeds the shards directly. Not to be mixed with execute() calls that are under way. */
  readonly producer: Producer;
  /** Fragments that come back with the verdict of their datagram. */
  readonly released: ReleasedPackets;
  /** Where the shards hold fragments. */
  readonly fragmentMemory: readonly ReassemblyHandle[];
  readonly #rings: readonly Ring[];
  readonly #pool: Piscina;
  readonly #latency: SharedArrayBuffer | undefined;
  readonly #top: SharedArrayBuffer | undefined;
  readonly #tasks: Promise<void>[] = [];
  #failure: Error | undefined;
  #isClosing = false;
  #closed: Promise<void> | undefined;
  #turn: Promise<void> = Promise.resolve();
  #waiting = 0;

  private constructor(options: ResolvedOptions) {
    this.shards = options.shards;
    this.memory = reserveMemory(memoryOptions(options, FIRST_SHARD_OWNER - 1));
    applyProfile(this.memory, options.profile);
    this.settings = new Settings(this.memory);
    this.tracker = createTracker(this.memory, CONTROL_OWNER);
    const { rings, arenaAt } = createRings(this.memory.wasm, options);
    this.#rings = rings.map(attachRing);
    const { control } = this.memory;
    this.producer = new Producer(rings, control[CONTROL.KEY0], control[CONTROL.KEY1], arenaAt);
    this.fragmentMemory = rings.map(() => createReassemblyMemory(this.memory.wasm, options.fragmentBytes));
    this.released = new ReleasedPackets(this.fragmentMemory);
    const flows = this.#defineFlows(options.flows);
    this.#latency = options.measuresLatency ? createHistograms(options.shards) : undefined;
    this.#top = options.tracksTop ? createTopMemory(options.shards) : undefined;
    // From here on nothing throws that would leave threads behind. They load their modules while pages are touched.
    const threads = options.shards + 1;
    this.#pool = new Piscina({ minThreads: threads, maxThreads: threads, atomics: 'disabled', filename: SHARD_FILE });
    touchMap(this.memory.map);
    const memory = handleOf(this.memory);
    rings.forEach((ring, shard) => {
      const latency = this.#latency && { buffer: this.#latency, row: shard };
      const top = this.#top && { buffer: this.#top, row: shard };
      const owner = FIRST_SHARD_OWNER + shard;
      const task: ShardTask = { memory, ring, fragments: this.fragmentMemory[shard], owner, latency, top, flows };
      this.#start(`shard ${shard}`, task, SHARD_FILE);
    });
    const sweeper: SweeperTask = { memory, owner: SWEEPER_OWNER };
    this.#start('sweeper', sweeper, SWEEPER_FILE);
    if (options.onEmergency !== undefined) void this.#watchEmergencies(options.onEmergency);
  }

  /**
   * Opens an engine and waits until its workers run.
   * @throws RangeError when an option is out of range; FlowError for a wrong rule; Error when a worker fails to start
   */
  static async open(options: EngineOptions = {}): Promise<Engine> {
    const engine = new Engine(resolveOptions(options));
    try {
      await engine.#waitUntilReady();
    } catch (error) {
      // Not at once: Node.js aborts the process when a thread is ended while it loads its first module.
      await engine.close();
      throw error;
    }
    return engine;
  }

  /** Checks the rules and defines their actions; the shards read them again and count along. */
  #defineFlows(rules: FlowRules | undefined): ShardTask['flows'] {
    if (rules === undefined) return undefined;
    const firstAction = Atomics.load(this.memory.control, CONTROL.ACTIONS); // orders nothing: only this thread writes it
    new Pipeline(this.tracker, allocatePackets(this.memory.wasm, 1, 0), rules, action => this.defineAction(action));
    return { rules, firstAction };
  }

  #start(name: string, task: ShardTask | SweeperTask, filename: string): void {
    const run: Promise<void> = this.#pool.run(task, { filename });
    const ended = run.then(
      () => {
        if (!this.#isClosing) this.#fail(name, 'ended although nobody stopped it');
      },
      (error: unknown) => this.#fail(name, error instanceof Error ? error.message : String(error)),
    );
    this.#tasks.push(ended);
  }

  #fail(name: string, why: string): void {
    this.#failure ??= new Error(`${name} failed: ${why}`);
  }

  async #waitUntilReady(): Promise<void> {
    for (let waited = 0; waited < START_TIMEOUT_MS; waited += POLL_MS) {
      this.checkFailure();
      const ready = Atomics.load(this.memory.control, CONTROL.READY); // acquires nothing that is read here
      if (ready === this.shards + 1) return;
      await sleep(POLL_MS);
    }
    throw new Error(`the workers did not start within ${START_TIMEOUT_MS} ms`);
  }

  /** @throws Error when a worker has failed: the engine can then only be closed */
  checkFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Defines a ct() action. @returns its number. @throws RangeError for a value that is out of range */
  defineAction(action: CtAction): number {
    return defineAction(this.memory, action);
  }

  /**
   * Judges all packets of the batch: each in its shard, the packets of a connection in their order. Resolves when the
   * verdicts are in the batch. Calls that overlap take turns.
   * @throws Error when a worker has failed, the engine is closed, or too many calls wait for their turn
   */
  async execute(batch: PacketBatch): Promise<void> {
    if (this.#closed !== undefined) throw new Error('the engine is closed');
    if (this.#waiting === MAX_WAITING) throw new Error(`${MAX_WAITING} batches are waiting already`);
    this.#waiting++;
    const mine = this.#turn.then(() => this.#run(batch));
    this.#turn = mine.catch(() => undefined);
    try {
      await mine;
    } finally {
      this.#waiting--;
    }
  }

  async #run(batch: PacketBatch): Promise<void> {
    // What a failed call has left in the rings would be taken for this one's.
    this.checkFailure();
    let pushed = 0;
    for (let read = 0; read < batch.length; ) {
      while (pushed < batch.length && this.#push(batch, pushed)) pushed++;
      this.producer.publish();
      const ready = this.#collect(batch, read);
      read += ready;
      if (ready > 0) continue;
      this.checkFailure();
      await this.producer.verdictArrival(WAIT_MS);
    }
  }

  #push(batch: PacketBatch, index: number): boolean {
    const { packets, times, bytes, frames } = batch;
    const at = index * PACKET_WORDS;
    const start = packets[at + PACKET.FRAME_OFFSET];
    const end = start + packets[at + PACKET.FRAME_LENGTH];
    const timeMs = times[(at + PACKET.TIME) >>> 1];
    const known = packets[at + PACKET.INPUT];
    const l3 = packets[at + PACKET.L3_OFFSET];
    return this.producer.tryPush(
      bytes,
      frames,
      start,
      end,
      known,
      l3,
      timeMs,
      packets[at + PACKET.ACTION],
      packets[at + PACKET.COOKIE],
      packets[at + PACKET.FRAME_ROOM],
    );
  }

  /** Copies the verdicts that are there into the batch, from packet `read` on. @returns how many */
  #collect(batch: PacketBatch, read: number): number {
    let count = 0;
    for (let at = this.producer.peek(); at >= 0; at = this.producer.peek()) {
      const row = (read + count++) * PACKET_WORDS;
      const verdict = this.producer.verdicts.subarray(at + PACKET.STATE, at + PACKET_WORDS);
      batch.packets.set(verdict, row + PACKET.STATE);
      if ((batch.packets[row + PACKET.STATE] & TRANSLATED) !== 0) this.#copyFrameBack(batch, row, at);
      this.producer.release();
    }
    return count;
  }

  /** NAT has rewritten the frame in the ring, perhaps to another length: the caller's has to follow. */
  #copyFrameBack(batch: PacketBatch, row: number, at: number): void {
    const { verdicts, frameBytes } = this.producer;
    const from = verdicts[at + PACKET.FRAME_OFFSET];
    const length = verdicts[at + PACKET.FRAME_LENGTH];
    batch.packets[row + PACKET.FRAME_LENGTH] = length;
    batch.bytes.set(frameBytes.subarray(from, from + length), batch.packets[row + PACKET.FRAME_OFFSET]);
  }

  /** Connections in the table, ended ones that the sweeper has not removed included. */
  get connectionCount(): number {
    return Atomics.load(this.memory.control, CONTROL.CONNECTIONS); // a count, orders nothing
  }

  /** Connections by protocol, TCP state and zone; kept, not counted. @throws Error when a region stays locked */
  statistics(): Statistics {
    return readStatistics(this.tracker);
  }

  /** What was counted so far; exact while no packets are under way. */
  counters(): Counters {
    return readCounters(this.memory.counters);
  }

  /**
   * Who has the most packets or new connections, the most first: see top.ts.
   * @throws Error unless `tracksTop` was set; RangeError for a query that is out of range
   */
  top(query: TopQuery): TopEntry[] {
    return readTop(this.#top, this.memory, query);
  }

  /** How long the shards took for their batches of up to 64 packets; undefined unless `measuresLatency` was set. */
  batchLatency(): Quantiles | undefined {
    return this.#latency && readHistograms(this.#latency);
  }

  /** How long the sweeper's steps took, and how late it freed what had ended. */
  sweepTimes(): SweepTimes {
    return readSweepTimes(this.memory);
  }

  /** The same as histograms. */
  sweepHistograms(): SweepHistograms {
    return readSweepHistograms(this.memory);
  }

  /** Tells the caller of the beginning and the end of each emergency, until the engine is closed. */
  async #watchEmergencies(listener: EmergencyListener): Promise<void> {
    const { control } = this.memory;
    let told = 0;
    while (!this.#isClosing) {
      const seen = Atomics.load(control, CONTROL.EMERGENCY); // acquires nothing that is read here
      while (told !== seen) listener({ isOn: isEmergency(++told), connections: this.connectionCount });
      const waiting = Atomics.waitAsync(control, CONTROL.EMERGENCY, seen);
      if (waiting.async) await waiting.value;
    }
  }

  /**
   * Waits for the packets under way, stops the workers and frees their threads. Calls after the first return the same
   * promise. Does not throw for a worker that has failed earlier.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await this.#turn;
    this.#isClosing = true;
    const { control } = this.memory;
    Atomics.store(control, CONTROL.STOP, 1); // publishes the wish; workers finish their rings first
    Atomics.add(control, CONTROL.SWEEP_WAKE, 1); // changes the word that the sweeper sleeps on
    Atomics.notify(control, CONTROL.SWEEP_WAKE);
    Atomics.notify(control, CONTROL.EMERGENCY); // ends #watchEmergencies()
    const wakeRings = () => {
      for (const ring of this.#rings) wakeAll(ring);
    };
    wakeRings();
    const waking = setInterval(wakeRings, WAKE_MS);
    const timeout = new AbortController();
    const late = new Promise<void>(resolve => {
      const timer = setTimeout(resolve, STOP_TIMEOUT_MS);
      timeout.signal.addEventListener('abort', () => clearTimeout(timer));
    });
    await Promise.race([Promise.all(this.#tasks), late]);
    clearInterval(waking);
    timeout.abort();
    await this.#pool.destroy();
  }
}
