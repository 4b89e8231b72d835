/**
 * A chunk: some thousand packets, frames and rows, that are built, then judged under the clock, then checked.
 *
 * Building and checking are never timed. A row carries in its COOKIE, which the engine does not look at, the ct_state
 * that its packet must get: a benchmark that measures how fast packets are refused is worthless, so every verdict is
 * looked at.
 *
 * Imports flow, flood/template, engine/, track/. Imported by the other files of bench/.
 */
import type { LocalEngine } from '../src/engine/local.js';
import { PACKET, PACKET_WORDS } from '../src/engine/packet.js';
import { allocatePackets, type EnginePackets } from '../src/engine/packet-memory.js';
import { processPackets } from '../src/engine/process.js';
import type { Template } from '../src/flood/template.js';
import { REASON, reasonName } from '../src/reason.js';
import { CT, formatCtState } from '../src/track/state.js';
import { KNOWN } from '../src/wire/known.js';
import type { WasmMemory } from '../src/wire/wasm.js';
import { writeFlow } from './flow.js';

/** Packets of a full chunk: rows and 64-byte frames take 384 KiB together and leave the table most of the cache. */
export const CHUNK_PACKETS = 2048;
/** The time of all packets. It stands still, so that no connection ends before it is meant to. */
export const PACKET_MS = 1_000_000;
/** By then every connection has ended, whatever its timeout. */
export const LATER_MS = PACKET_MS + 365 * 86_400_000;

export const STATE = {
  NEW: CT.NEW | CT.TRK,
  ESTABLISHED: CT.EST | CT.TRK,
  REPLY: CT.EST | CT.RPL | CT.TRK,
} as const;

const FRAME_ALIGN = 64;

export class Chunk {
  /** Rows and frames, in the memory of the engine that judges them. */
  readonly memory: EnginePackets;
  readonly packets: Int32Array;
  readonly times: Float64Array;
  readonly view: DataView;
  readonly capacity: number;
  readonly stride: number;
  readonly #templates: readonly Template[];

  /**
   * @param wasm the engine's memory
   * @param templates what the packets are made from, in turn: one or two
   * @param known bits of KNOWN, the same for all packets
   */
  constructor(wasm: WasmMemory, templates: readonly Template[], known: number, capacity: number = CHUNK_PACKETS) {
    this.#templates = templates;
    this.capacity = capacity;
    const longest = Math.max(...templates.map(template => template.bytes.length));
    this.stride = Math.ceil(longest / FRAME_ALIGN) * FRAME_ALIGN;
    this.memory = allocatePackets(wasm, capacity, capacity * this.stride);
    const { packets, times, frames, bytes } = this.memory;
    this.packets = packets;
    this.times = times;
    this.view = frames;
    for (let slot = 0; slot < capacity; slot++) {
      const row = slot * PACKET_WORDS;
      const template = this.template(slot);
      bytes.set(template.bytes, slot * this.stride);
      this.packets[row + PACKET.FRAME_OFFSET] = slot * this.stride;
      this.packets[row + PACKET.FRAME_LENGTH] = template.bytes.length;
      this.times[(row + PACKET.TIME) >>> 1] = PACKET_MS;
    }
    this.declare(known);
  }

  /** What packet `slot` is made from. */
  template(slot: number): Template {
    return this.#templates[slot % this.#templates.length];
  }

  /** Says of all packets what is known of them: bits of KNOWN. */
  declare(known: number): void {
    const names = (known & (KNOWN.L3_IPV4 | KNOWN.L3_IPV6)) !== 0;
    for (let slot = 0; slot < this.capacity; slot++) {
      const row = slot * PACKET_WORDS;
      this.packets[row + PACKET.INPUT] = known;
      this.packets[row + PACKET.L3_OFFSET] = names ? slot * this.stride + this.template(slot).l3 : 0;
    }
  }

  /** Makes packet `slot` one of flow `flow` that must get the ct_state `state`. */
  write(slot: number, flow: number, state: number, seq = 0, ack = 0): void {
    const row = slot * PACKET_WORDS;
    writeFlow(this.view, slot * this.stride, this.template(slot), flow, (state & CT.RPL) !== 0, seq, ack);
    this.packets[row + PACKET.STATE] = 0;
    this.packets[row + PACKET.REASON] = -1;
    this.packets[row + PACKET.ZONE] = 0;
    this.packets[row + PACKET.COOKIE] = state;
  }

  /** Gives packet `slot` an action and a time of its own. */
  address(slot: number, action: number, timeMs: number): void {
    const row = slot * PACKET_WORDS;
    this.packets[row + PACKET.ACTION] = action;
    this.times[(row + PACKET.TIME) >>> 1] = timeMs;
  }

  /**
   * Checks the first `count` verdicts.
   * @throws Error when a packet has another state than it must, a reason, or no connection
   */
  check(count: number): void {
    const { packets } = this;
    let wrong = 0;
    let sample = 0;
    for (let slot = 0; slot < count; slot++) {
      const row = slot * PACKET_WORDS;
      const isRight =
        packets[row + PACKET.STATE] === packets[row + PACKET.COOKIE] &&
        packets[row + PACKET.REASON] === REASON.none &&
        packets[row + PACKET.CONNECTION] > 0;
      if (isRight) continue;
      if (wrong++ === 0) sample = row;
    }
    if (wrong === 0) return;
    const state = formatCtState(packets[sample + PACKET.STATE]);
    const reason = packets[sample + PACKET.REASON];
    const wanted = formatCtState(packets[sample + PACKET.COOKIE]);
    throw new Error(
      `the benchmark is void: ${wrong} of ${count} packets were not judged ${wanted} without a reason, ` +
        `such as one with ${state} (${reason < 0 ? 'not judged' : reasonName(reason)})`,
    );
  }
}

/** Judges the first `count` packets of a chunk in batches and checks their verdicts. @returns milliseconds of judging */
export function judgeChunk(engine: LocalEngine, chunk: Chunk, count: number, batch: number): number {
  const { tracker } = engine;
  const { memory } = chunk;
  const startedMs = performance.now();
  for (let first = 0; first < count; first += batch) {
    processPackets(tracker, memory, first, Math.min(batch, count - first));
  }
  const tookMs = performance.now() - startedMs;
  chunk.check(count);
  return tookMs;
}
