/**
 * The packet loop of a replay: from a capture into the engine, and verdicts out of it in the order of the capture.
 *
 * Runs on the main thread beside the shards. It reads a burst of packets, publishes it, and hands on the verdicts that
 * are there; while a ring is full it waits for verdicts, and while a pipe has nothing it hands on all of them before it
 * waits. Every wait has a limit, and now and then the event loop gets its turn, so that a signal or the failure of a
 * worker is noticed.
 *
 * The capture is read straight into the engine's arena, if it has one, and its frames are judged there; those that lie
 * elsewhere are copied: the ones that were read before the engine was there, and records longer than a block.
 *
 * Imports arena, capture-clock, frame, frame-writer, held, verdicts, engine/, pcap/. Imported by replay.
 */
import { setImmediate as eventLoop, setTimeout as sleep } from 'node:timers/promises';
import type { Engine } from '../engine/engine.js';
import { PACKET } from '../engine/packet.js';
import type { CaptureReader } from '../pcap/reader.js';
import { BlockLender } from './arena.js';
import type { CaptureClock } from './capture-clock.js';
import { FrameHints } from './frame.js';
import type { FrameWriter } from './frame-writer.js';
import type { HeldVerdicts } from './held.js';
import { isHeld } from './verdicts.js';

/** Packets that are pushed between two looks at the verdicts. Fewer wake the shards too often, more leave the cache. */
const BURST = 512;
/** Between two turns of the event loop, and the longest wait for a verdict. */
const TURN_MS = 50;
/** Longest pause between two looks at a pipe that has nothing: what a packet may be late for it. */
const LONGEST_PAUSE_MS = 10;

const NOT_IN_ARENA = -1;

/** Why pushing packets stopped. */
const PUSHED = { BURST: 0, FULL: 1, IDLE: 2, END: 3, ALONE: 4 } as const;
type Pushed = (typeof PUSHED)[keyof typeof PUSHED];

/** What the packets of a link type have in common, and how many there are. */
export interface LinkCount {
  readonly linkType: number;
  packets: number;
}

export interface FeedOptions {
  readonly clock: CaptureClock;
  /** Number of the ct() action for every packet; undefined with flow tables, where the packet's port counts. */
  readonly action: number | undefined;
  /** One packet at a time: what one does to a connection under NAT, another shard may need to find. */
  readonly isFenced: boolean;
  /** Where the frames go as they leave. */
  readonly frames: FrameWriter | undefined;
  /** Bits of KNOWN for every packet. */
  readonly known: number;
  /** Called at every turn of the event loop. */
  readonly onTurn: () => void;
}

export class Feed {
  /** Packets read and judged. */
  packets = 0;
  judged = 0;
  /** Bytes of frames in the capture, and on the wire. */
  capturedBytes = 0;
  wireBytes = 0;
  /** Earliest and latest capture time in milliseconds since 1970; NaN before the first packet. */
  earliestMs = Number.NaN;
  latestMs = Number.NaN;
  readonly linkTypes: LinkCount[] = [];
  /** What is wrong with the capture, or keeps it from being written, once that was met. */
  fault: Error | undefined;

  readonly #reader: CaptureReader;
  readonly #engine: Engine;
  readonly #sink: HeldVerdicts;
  readonly #options: FeedOptions;
  readonly #hints = new FrameHints();
  /** Lends the engine's arena to the reader, if it has one. */
  readonly #lender: BlockLender | undefined;
  #bytes: Uint8Array;
  #view: DataView;
  /** Where `#bytes` begins in the arena, or NOT_IN_ARENA: its frames are then copied. */
  #arenaOffset = NOT_IN_ARENA;
  #link: LinkCount = { linkType: -1, packets: 0 };
  /** The reader's packet was looked at, but no ring had room for it yet. */
  #holdsPacket = false;
  #isStopped = false;
  #turnedMs = 0;
  #idleRounds = 0;

  constructor(reader: CaptureReader, engine: Engine, sink: HeldVerdicts, options: FeedOptions) {
    this.#reader = reader;
    this.#engine = engine;
    this.#sink = sink;
    this.#options = options;
    this.#bytes = reader.bytes;
    this.#view = viewOf(reader.bytes);
    const { arena } = engine.producer;
    this.#lender = arena.length === 0 ? undefined : new BlockLender(arena, this);
    if (this.#lender !== undefined) reader.readInto(this.#lender);
  }

  /** Ends run() soon: no more packets are read, those under way are judged. */
  stop(): void {
    this.#isStopped = true;
  }

  /**
   * Replays to the end of the capture, to its fault or that of the frames' writer, or until stop(). The verdicts of all
   * packets read are then with the sink.
   * @throws Error when a worker fails or the sink throws
   */
  async run(): Promise<void> {
    const { producer } = this.#engine;
    this.#turnedMs = performance.now();
    for (;;) {
      const pushed = this.#push();
      producer.publish();
      if (pushed === PUSHED.END) break;
      if (pushed === PUSHED.IDLE) await this.#idle();
      else if (pushed === PUSHED.ALONE) await this.#settle();
      else if (!this.#takeVerdicts() && pushed === PUSHED.FULL) producer.waitForVerdict(TURN_MS);
      await this.#turnIfDue();
    }
    await this.#settle();
    await this.#takeLateReleased();
    this.#sink.end();
  }

  /** Pushes up to BURST packets. @returns why it stopped */
  #push(): Pushed {
    const reader = this.#reader;
    const { action, known, frames } = this.#options;
    const hints = this.#hints;
    for (let count = 0; count < BURST; count++) {
      if (!this.#holdsPacket) {
        const isThere = this.#isOver ? false : this.#read();
        if (isThere === undefined) return this.#lender?.isExhausted ? PUSHED.FULL : PUSHED.IDLE;
        if (!isThere) return PUSHED.END;
        this.#look();
      }
      const { frameStart, frameEnd } = reader;
      const bits = known | hints.known;
      const isTaken = this.#tryPush(frameStart, frameEnd, bits, hints.l3, action ?? reader.interfaceId + 1);
      this.#holdsPacket = !isTaken;
      if (!isTaken) return PUSHED.FULL;
      this.packets++;
      this.#sink.pushed(reader.timeMs);
      frames?.pushed(reader.timeMs, reader.originalLength - (frameEnd - frameStart));
      if (this.#options.isFenced) return PUSHED.ALONE;
    }
    return PUSHED.BURST;
  }

  /** Pushes the frame `[start, end)` of the chunk that the reader has, where it lies if it can stay there. */
  #tryPush(start: number, end: number, known: number, l3: number, action: number): boolean {
    const { producer } = this.#engine;
    const { nowMs } = this.#options.clock;
    const offset = this.#arenaOffset;
    if (offset === NOT_IN_ARENA) {
      return producer.tryPush(this.#bytes, this.#view, start, end, known, l3, nowMs, action, this.packets);
    }
    return producer.tryPushInPlace(offset + start, offset + end, known, offset + l3, nowMs, action, this.packets);
  }

  /** The reader has gone on to other memory. */
  #changeChunk(bytes: Uint8Array): void {
    const { arena } = this.#engine.producer;
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#arenaOffset = bytes.buffer === arena.buffer ? bytes.byteOffset - arena.byteOffset : NOT_IN_ARENA;
  }

  /** No more packets are to be read. */
  get #isOver(): boolean {
    return this.#isStopped || this.#options.frames?.fault !== undefined;
  }

  /** The next packet of the capture; undefined while a pipe has none. A fault ends the capture. */
  #read(): boolean | undefined {
    try {
      const isThere = this.#reader.poll();
      if (isThere) this.#options.frames?.expect(this.#reader.linkType);
      return isThere;
    } catch (error) {
      this.fault = error instanceof Error ? error : new Error(String(error));
      return false;
    }
  }

  /** Takes note of a packet that was just read. */
  #look(): void {
    const { bytes, frameStart, frameEnd, originalLength, linkType, timeMs } = this.#reader;
    if (bytes !== this.#bytes) this.#changeChunk(bytes);
    this.#options.clock.advance(timeMs);
    this.#hints.look(linkType, bytes, frameStart, frameEnd);
    if (linkType !== this.#link.linkType) this.#changeLink(linkType);
    this.#link.packets++;
    this.capturedBytes += frameEnd - frameStart;
    this.wireBytes += originalLength;
    // Negated for the first packet, whose time no comparison with NaN can beat.
    if (!(timeMs >= this.earliestMs)) this.earliestMs = timeMs;
    if (!(timeMs <= this.latestMs)) this.latestMs = timeMs;
    this.#idleRounds = 0;
  }

  #changeLink(linkType: number): void {
    const known = this.linkTypes.find(count => count.linkType === linkType);
    this.#link = known ?? { linkType, packets: 0 };
    if (known === undefined) this.linkTypes.push(this.#link);
  }

  /** Hands on the verdicts that are there. @returns whether there was any */
  #takeVerdicts(): boolean {
    const { producer } = this.#engine;
    const sink = this.#sink;
    const { frames } = this.#options;
    const before = this.judged;
    for (let at = producer.peek(); at >= 0; at = producer.peek()) {
      sink.verdict(producer.verdicts, at, producer.shard);
      frames?.left(producer.verdicts, at, producer.frameBytes);
      const wasHeld = isHeld(producer.verdicts, at);
      producer.release();
      if (wasHeld) this.#takeReleased(this.judged);
      this.judged++;
    }
    return this.judged !== before;
  }

  /** Hands on the fragments that came back with packet `number` of the capture, or before it. */
  #takeReleased(number: number): void {
    const { released } = this.#engine;
    const { frames } = this.#options;
    for (let at = released.peek(); at >= 0; at = released.peek()) {
      if (((released.packets[at + PACKET.COMPLETED_BY] - number) | 0) > 0) return;
      this.#sink.released(released.packets, at, released.shard);
      frames?.released(released.packets, at, released.frameBytes);
      released.release();
    }
  }

  /** Fragments whose ring was full come a little later. */
  async #takeLateReleased(): Promise<void> {
    this.#takeReleased(this.judged);
    while (this.#engine.released.isMoreToCome) {
      await sleep(1);
      this.#takeReleased(this.judged);
      await this.#turnIfDue();
    }
  }

  /** Waits for the verdicts of all packets and hands them on. */
  async #settle(): Promise<void> {
    const { producer } = this.#engine;
    while (producer.pending > 0) {
      if (!this.#takeVerdicts()) producer.waitForVerdict(TURN_MS);
      await this.#turnIfDue();
    }
  }

  /** A pipe has nothing: whoever reads the output has all of it before this thread pauses, longer each time. */
  async #idle(): Promise<void> {
    await this.#settle();
    this.#sink.flush();
    const pauseMs = Math.min(this.#idleRounds++, LONGEST_PAUSE_MS);
    if (pauseMs > 0) await sleep(pauseMs);
    await this.#turn();
  }

  async #turnIfDue(): Promise<void> {
    if (performance.now() - this.#turnedMs >= TURN_MS) await this.#turn();
  }

  async #turn(): Promise<void> {
    await eventLoop();
    this.#engine.checkFailure();
    this.#sink.flush();
    this.#options.onTurn();
    this.#turnedMs = performance.now();
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
