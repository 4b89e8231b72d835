/**
 * Where a flood goes: the rings of an engine, an engine in this thread, or a capture. One shape for all of them, so that
 * the same packets go everywhere.
 *
 * Frames are written where they are judged, with one exception: with several shards the frame decides on the ring, so
 * it is made first and then copied.
 *
 * Imports engine/, pcap/writer. Imported by drive and run.
 */
import { PacketBatch } from '../engine/batch.js';
import type { Engine } from '../engine/engine.js';
import { histogramRow, recordDuration } from '../engine/histogram.js';
import type { LocalEngine } from '../engine/local.js';
import { PACKET, PACKET_WORDS } from '../engine/packet.js';
import type { Producer } from '../engine/producer.js';
import type { CaptureWriter } from '../pcap/writer.js';

/** Largest frame of a flood. */
export const MAX_FRAME_BYTES = 9014;

/** Called for every verdict: words of PACKET from `at` on. */
export type OnVerdict = (words: Int32Array, at: number) => void;

export interface Target {
  /** Room for a frame, to be written at that byte of `frames`; -1 when there is none until verdicts are collected. */
  tryReserve(length: number): number;
  readonly frames: DataView;
  /** Makes the frame a packet. @returns false when there is no room for it until verdicts are collected: try again */
  tryPush(length: number, timeMs: number, action: number, cookie: number): boolean;
  /** Hands pushed packets over, and on the verdicts that are there. @returns how many */
  collect(onVerdict: OnVerdict): number;
  /** Packets whose verdicts are not collected yet. */
  readonly pending: number;
  /** Blocks until there may be a verdict to collect, for `ms` milliseconds at the most. */
  wait(ms: number): void;
  /** Tells the time to what has no clock of its own. */
  advance(nowMs: number): void;
}

/** The rings of an engine with workers. */
export class RingTarget implements Target {
  readonly #producer: Producer;
  readonly #isDirect: boolean;
  readonly #staging = new Uint8Array(MAX_FRAME_BYTES);
  readonly #stagingView = new DataView(this.#staging.buffer);

  constructor(engine: Engine) {
    this.#producer = engine.producer;
    this.#isDirect = engine.shards === 1;
  }

  tryReserve(length: number): number {
    return this.#isDirect ? this.#producer.tryReserve(0, length) : 0;
  }

  get frames(): DataView {
    return this.#isDirect ? this.#producer.reservedFrames : this.#stagingView;
  }

  tryPush(length: number, timeMs: number, action: number, cookie: number): boolean {
    if (!this.#isDirect) {
      return this.#producer.tryPush(this.#staging, this.#stagingView, 0, length, 0, 0, timeMs, action, cookie);
    }
    this.#producer.pushReserved(length, 0, 0, timeMs, action, cookie);
    return true;
  }

  collect(onVerdict: OnVerdict): number {
    const producer = this.#producer;
    producer.publish();
    let count = 0;
    for (let at = producer.peek(); at >= 0; at = producer.peek()) {
      onVerdict(producer.verdicts, at);
      producer.release();
      count++;
    }
    return count;
  }

  get pending(): number {
    return this.#producer.pending;
  }

  wait(ms: number): void {
    this.#producer.waitForVerdict(ms);
  }

  advance(): void {}
}

/** Batches as a shard takes them. */
const BATCH = 64;

/** An engine in this thread: the same packets at the same times give the same verdicts, sweeps included. */
export class LocalTarget implements Target {
  readonly #engine: LocalEngine;
  readonly #sweepIntervalMs: number;
  readonly #batch = new PacketBatch(BATCH, BATCH * MAX_FRAME_BYTES);
  readonly #latency: Float64Array;
  #sweptMs = 0;

  /** @param latency histogram of the time that batches take */
  constructor(engine: LocalEngine, latency: SharedArrayBuffer) {
    this.#engine = engine;
    this.#sweepIntervalMs = engine.settings.sweepIntervalMs;
    this.#latency = histogramRow(latency, 0);
  }

  tryReserve(length: number): number {
    return this.#batch.tryReserve(length);
  }

  get frames(): DataView {
    return this.#batch.frames;
  }

  tryPush(length: number, timeMs: number, action: number, cookie: number): boolean {
    this.#batch.addReserved(length, 0, 0, timeMs, action, cookie);
    return true;
  }

  collect(onVerdict: OnVerdict): number {
    const batch = this.#batch;
    const count = batch.length;
    if (count === 0) return 0;
    const startedMs = performance.now();
    this.#engine.execute(batch);
    recordDuration(this.#latency, performance.now() - startedMs);
    for (let index = 0; index < count; index++) onVerdict(batch.packets, index * PACKET_WORDS);
    batch.clear();
    return count;
  }

  get pending(): number {
    return this.#batch.length;
  }

  wait(): void {}

  advance(nowMs: number): void {
    if (nowMs - this.#sweptMs < this.#sweepIntervalMs) return;
    this.#sweptMs = nowMs;
    this.#engine.sweep(nowMs);
  }
}

/** A capture: nothing judges its packets, so there are no verdicts. */
export class CaptureTarget implements Target {
  readonly #writer: CaptureWriter;
  readonly #bytes = new Uint8Array(MAX_FRAME_BYTES);
  readonly frames = new DataView(this.#bytes.buffer);
  readonly pending = 0;

  constructor(writer: CaptureWriter) {
    this.#writer = writer;
  }

  tryReserve(): number {
    return 0;
  }

  /** @throws Error with a one-line message when the capture cannot be written */
  tryPush(length: number, timeMs: number): boolean {
    this.#writer.write(timeMs, this.#bytes, 0, length, length);
    return true;
  }

  collect(): number {
    return 0;
  }

  wait(): void {}

  advance(): void {}
}

/** What onVerdict() reads. */
export const VERDICT = {
  COOKIE: PACKET.COOKIE,
  STATE: PACKET.STATE,
  REASON: PACKET.REASON,
  CONNECTION: PACKET.CONNECTION,
} as const;
