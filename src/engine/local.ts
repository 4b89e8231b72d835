/**
 * The engine without workers: the same tracker on the calling thread. For tests, for benchmarks, and for a gateway
 * that has threads of its own.
 *
 * Imports batch, memory, options, process, reassembly, released, sweep, top, tracker, ../given. Imported by the public API.
 */
import { checkTime } from '../given.js';
import type { CtAction } from './action.js';
import { PacketBatch } from './batch.js';
import { type Counters, readCounters } from './counters.js';
import { CONTROL, createMemory, type EngineMemory } from './memory.js';
import { memoryOptions, resolveOptions, type TableOptions } from './options.js';
import { allocatePackets, type EnginePackets, packetsIn } from './packet-memory.js';
import { Pipeline } from './pipeline.js';
import { applyProfile } from './policy.js';
import { processPackets } from './process.js';
import { attachReassembly, createReassemblyMemory, type ReassemblyHandle } from './reassembly.js';
import { ReleasedPackets } from './released.js';
import { Settings } from './settings.js';
import { readStatistics, type Statistics } from './statistics.js';
import {
  createSweepCursor,
  readSweepHistograms,
  readSweepTimes,
  type SweepCursor,
  type SweepHistograms,
  type SweepTimes,
  sweepAll,
} from './sweep.js';
import { createTopMemory, readTop, type TopEntry, type TopQuery, TopSketches } from './top.js';
import { createTracker, defineAction, type Tracker } from './tracker.js';

export class LocalEngine {
  readonly memory: EngineMemory;
  /** What can be changed while packets flow. */
  readonly settings: Settings;
  readonly tracker: Tracker;
  /** Fragments that come back with the verdict of their datagram. */
  readonly released: ReleasedPackets;
  /** Where fragments are held. */
  readonly fragmentMemory: readonly ReassemblyHandle[];
  readonly #cursor: SweepCursor;
  readonly #pipeline: Pipeline | undefined;
  /** Where packets are copied to that lie elsewhere. */
  #batch: PacketBatch | undefined;
  readonly #top: SharedArrayBuffer | undefined;

  /**
   * @throws RangeError when an option is out of range or unknown or the memory is not to be had, TypeError for one of
   *   another type, FlowError for a wrong rule
   */
  constructor(options: TableOptions = {}) {
    const resolved = resolveOptions(options, { shards: 1, clock: 'packets' });
    this.memory = createMemory(memoryOptions(resolved, 0));
    applyProfile(this.memory, resolved.profile);
    this.settings = new Settings(this.memory);
    const fragments = createReassemblyMemory(this.memory.wasm, resolved.fragmentBytes);
    this.fragmentMemory = [fragments];
    this.released = new ReleasedPackets(this.fragmentMemory);
    this.#top = resolved.tracksTop ? createTopMemory(1) : undefined;
    const top = this.#top && new TopSketches(this.#top, 0, this.memory);
    this.tracker = createTracker(this.memory, 1, attachReassembly(fragments), top);
    this.#cursor = createSweepCursor(this.memory.map);
    if (resolved.flows !== undefined) {
      const memory = allocatePackets(this.memory.wasm, 1, 0);
      this.#pipeline = new Pipeline(this.tracker, memory, resolved.flows, action => this.defineAction(action));
    }
  }

  /**
   * A batch in the engine's memory, which stays taken until the engine ends: use it again and again. Its packets are judged
   * where they lie; those of any other batch are copied there and back.
   * @param capacity packets that fit
   * @param frameBytes bytes of frames that fit. Default: 2048 for each packet
   * @throws RangeError when a number is out of range or the memory is not to be had
   */
  createBatch(capacity: number, frameBytes?: number): PacketBatch {
    return new PacketBatch(capacity, frameBytes, this.memory.wasm);
  }

  /** Defines a ct() action. @returns its number. @throws TypeError or RangeError for a value that none can have */
  defineAction(action: CtAction): number {
    return defineAction(this.memory, action);
  }

  /** Judges all packets of the batch, in order. */
  execute(batch: PacketBatch): void {
    const { inEngine } = batch;
    if (inEngine?.wasm === this.memory.wasm) {
      this.#judge(inEngine, batch.length);
      return;
    }
    const own = this.#batchLike(batch);
    own.copyFrom(batch);
    // Not more frame memory than the batch has: what lies outside of it is refused.
    const { wasm } = this.memory;
    const { packets, bytes } = own;
    this.#judge(
      packetsIn(wasm, packets.byteOffset, batch.capacity, bytes.byteOffset, batch.bytes.length),
      batch.length,
    );
    batch.copyFrom(own);
  }

  #judge(packets: EnginePackets, count: number): void {
    if (this.#pipeline === undefined) {
      processPackets(this.tracker, packets, 0, count);
      return;
    }
    this.#pipeline.use(packets);
    this.#pipeline.run(0, count);
  }

  /** A batch in the engine's memory with as much room: the one of last time if it has that. */
  #batchLike({ capacity, bytes }: PacketBatch): PacketBatch {
    const last = this.#batch;
    if (last !== undefined && last.capacity >= capacity && last.bytes.length >= bytes.length) return last;
    // At least twice as much, so that all that are given up take no more than the last.
    const packets = Math.max(capacity, 2 * (last?.capacity ?? 0));
    this.#batch = this.createBatch(packets, Math.max(bytes.length, 2 * (last?.bytes.length ?? 0)));
    return this.#batch;
  }

  /**
   * Removes every connection that has ended.
   * @param nowMs by then; or 0, by the time of the latest packet
   * @throws RangeError, and removes none, when that is no number
   */
  sweep(nowMs: number): void {
    checkTime('nowMs', nowMs); // every connection has ended by a time that is none
    sweepAll(this.tracker, this.#cursor, nowMs);
  }

  /** How long the steps of sweeps took, and how late they freed what had ended. */
  sweepTimes(): SweepTimes {
    return readSweepTimes(this.memory);
  }

  /** The same as histograms. */
  sweepHistograms(): SweepHistograms {
    return readSweepHistograms(this.memory);
  }

  /** Connections in the table, ended ones that no sweep has removed included. */
  get connectionCount(): number {
    return Atomics.load(this.memory.control, CONTROL.CONNECTIONS); // a count, orders nothing
  }

  /** Connections by protocol, TCP state and zone; kept, not counted. @throws Error when a region stays locked */
  statistics(): Statistics {
    return readStatistics(this.tracker);
  }

  /**
   * Who has the most packets or new connections, the most first: see top.ts.
   * @throws Error unless `tracksTop` was set; RangeError for a query that is out of range
   */
  top(query: TopQuery): TopEntry[] {
    return readTop(this.#top, this.memory, query);
  }

  counters(): Counters {
    return readCounters(this.memory.counters);
  }
}
