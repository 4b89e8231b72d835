/**
 * The engine with workers: opening, feeding, asking and closing. Packets and verdicts travel through shared memory; who
 * the workers are, and what happens when one dies, is in crew.ts.
 *
 * Imports the other files of engine/, fragment/layout, sharedarraybuffer-hashmap. Imported by the public API and cli/.
 */
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { attachFragmentStore, forgetFragments } from '../fragment/layout.js';
import { touchMap } from '../sharedarraybuffer-hashmap/index.js';
import { CT } from '../track/state.js';
import type { WasmMemory } from '../wire/wasm.js';
import type { CtAction } from './action.js';
import type { PacketBatch } from './batch.js';
import { type Counters, EVENT, readCounters } from './counters.js';
import { Crew, type Member } from './crew.js';
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
import { refusePacketOfDeath } from './recover.js';
import { ReleasedPackets } from './released.js';
import {
  allocateFrames,
  attachRing,
  createRing,
  PARKED,
  PATIENCE,
  type RingHandle,
  wakeAll,
  wakeShard,
} from './ring.js';
import { Settings } from './settings.js';
import { readStatistics, type Statistics } from './statistics.js';
import { readSweepHistograms, readSweepTimes, type SweepHistograms, type SweepTimes } from './sweep.js';
import { tell } from './tell.js';
import { createTopMemory, readTop, type TopEntry, type TopQuery } from './top.js';
import { createTracker, defineAction, type Tracker } from './tracker.js';

/** Numbers of the threads that take locks: the control side, the sweeper, then the shards. */
const CONTROL_OWNER = 1;
const SWEEPER_OWNER = 2;
const FIRST_SHARD_OWNER = 3;

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
  readonly #crew: Crew;
  readonly #latency: SharedArrayBuffer | undefined;
  readonly #top: SharedArrayBuffer | undefined;
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
    const { control } = this.memory;
    this.producer = new Producer(rings, control[CONTROL.KEY0], control[CONTROL.KEY1], arenaAt);
    this.fragmentMemory = rings.map(() => createReassemblyMemory(this.memory.wasm, options.fragmentBytes));
    this.released = new ReleasedPackets(this.fragmentMemory);
    const flows = this.#defineFlows(options.flows);
    this.#latency = options.measuresLatency ? createHistograms(options.shards) : undefined;
    this.#top = options.tracksTop ? createTopMemory(options.shards) : undefined;
    const shards = rings.map((ring, shard) => this.#shard(shard, ring, flows));
    // From here on nothing throws that would leave threads behind. They load their modules while pages are touched.
    this.#crew = new Crew(this.tracker, [...shards, this.#sweeper()], options.onWorkerDeath);
    touchMap(this.memory.map);
    this.#crew.start();
    if (options.onEmergency !== undefined) void this.#watchEmergencies(options.onEmergency);
  }

  /**
   * Opens an engine and waits until its workers run.
   * @throws RangeError when an option is out of range; FlowError for a wrong rule; Error when a worker fails to start
   */
  static async open(options: EngineOptions = {}): Promise<Engine> {
    const engine = new Engine(resolveOptions(options));
    try {
      await engine.#crew.waitUntilReady();
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

  #shard(shard: number, handle: RingHandle, flows: ShardTask['flows']): Member {
    const ring = attachRing(handle);
    const fragments = this.fragmentMemory[shard];
    const owner = FIRST_SHARD_OWNER + shard;
    const latency = this.#latency && { buffer: this.#latency, row: shard };
    const top = this.#top && { buffer: this.#top, row: shard };
    const task: ShardTask = { memory: handleOf(this.memory), ring: handle, fragments, owner, latency, top, flows };
    return {
      name: `shard ${shard}`,
      owner,
      filename: SHARD_FILE,
      task,
      parked: ring.control,
      parkedAt: PARKED,
      wake: () => wakeShard(ring),
      dismiss: () => wakeAll(ring),
      salvage: () => ({
        packets: refusePacketOfDeath(this.tracker, ring, flows !== undefined),
        fragments: this.#forgetFragments(fragments),
      }),
    };
  }

  #sweeper(): Member {
    const { control } = this.memory;
    const wake = () => {
      Atomics.add(control, CONTROL.SWEEP_WAKE, 1); // changes the word that the sweeper sleeps on
      Atomics.notify(control, CONTROL.SWEEP_WAKE);
    };
    return {
      name: 'sweeper',
      owner: SWEEPER_OWNER,
      filename: SWEEPER_FILE,
      task: { memory: handleOf(this.memory), owner: SWEEPER_OWNER } satisfies SweeperTask,
      parked: control,
      parkedAt: CONTROL.SWEEPER_PARKED,
      wake,
      dismiss: wake,
      salvage: () => ({ packets: 0, fragments: 0 }),
    };
  }

  /** Gives up what a shard that has died was holding. @returns how many fragments */
  #forgetFragments({ store }: ReassemblyHandle): number {
    const count = forgetFragments(attachFragmentStore(store, PACKET_WORDS));
    Atomics.sub(this.memory.control, CONTROL.FRAGMENTS, count); // a count, orders nothing
    this.tracker.counts[EVENT.fragmentsLost] += count;
    return count;
  }

  /** @throws Error when workers have died again and again: the engine can then only be closed */
  checkFailure(): void {
    this.#crew.checkFailure();
  }

  /** Defines a ct() action. @returns its number. @throws RangeError for a value that is out of range */
  defineAction(action: CtAction): number {
    return defineAction(this.memory, action);
  }

  /**
   * Judges all packets of the batch: each in its shard, the packets of a connection in their order. Resolves when the
   * verdicts are in the batch, which is the engine's until then. Calls that overlap take turns.
   * @throws Error when workers have died again and again, the engine is closed, too many calls wait for their turn, or
   *   packets of `producer` are under way
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
    this.checkFailure();
    // Their verdicts would be taken for this call's.
    if (this.producer.pending > 0) throw new Error('packets of engine.producer are under way: release their verdicts');
    const { length } = batch;
    let pushed = 0;
    for (let read = 0; read < length; ) {
      while (pushed < length && this.#push(batch, pushed)) pushed++;
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
      while (told !== seen) tell(listener, { isOn: isEmergency(++told), connections: this.connectionCount });
      const waiting = Atomics.waitAsync(control, CONTROL.EMERGENCY, seen); // orders nothing: the word is looked at again
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
    Atomics.notify(this.memory.control, CONTROL.EMERGENCY); // ends #watchEmergencies()
    await this.#crew.stop();
  }
}
