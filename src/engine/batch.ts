/**
 * A batch of packets: what callers hand to execute() and read the verdicts from.
 *
 * Imports packet, packet-memory, wire/, ../given. Imported by engine.ts, local.ts and the public API.
 */
import { checkTime, checkWhole, shown } from '../given.js';
import type { WasmMemory } from '../wire/wasm.js';
import { FRAME_TAIL, PACKET, PACKET_WORDS } from './packet.js';
import { allocatePackets, type EnginePackets, type PacketMemory } from './packet-memory.js';

const {
  FRAME_OFFSET,
  FRAME_LENGTH,
  FRAME_ROOM,
  INPUT,
  L3_OFFSET,
  TIME,
  ACTION,
  COOKIE,
  STATE,
  REASON,
  ZONE,
  MARK,
  LABEL,
} = PACKET;

/** What the caller may say of a packet. */
export interface PacketHints {
  /** Bits of KNOWN. */
  readonly known?: number;
  /** Offset of the network layer in the frame, together with KNOWN.L3_IPV4 or KNOWN.L3_IPV6. */
  readonly l3Offset?: number;
  /** Number of the ct() action. Default 0, the first one defined. */
  readonly action?: number;
  /** The caller's own word, which stays with the packet: 32 bits. Default 0. */
  readonly cookie?: number;
}

/** Rows and frames lie at offsets of 31 bits. */
const MAX_PACKETS = 2 ** 31 / (PACKET_WORDS * Int32Array.BYTES_PER_ELEMENT);

/** Packets in memory of their own. */
function createPackets(capacity: number, frameBytes: number): PacketMemory {
  const packets = new Int32Array(capacity * PACKET_WORDS);
  const bytes = new Uint8Array(frameBytes);
  return { packets, times: new Float64Array(packets.buffer), bytes, frames: new DataView(bytes.buffer) };
}

export class PacketBatch implements PacketMemory {
  /** Rows of PACKET_WORDS words. */
  readonly packets: Int32Array;
  /** The same memory as doubles. */
  readonly times: Float64Array;
  /** The frames, one after the other. */
  readonly bytes: Uint8Array;
  readonly frames: DataView;
  /** Packets that fit. */
  readonly capacity: number;
  /** The same as packets in an engine's memory, if that is where they lie. */
  readonly inEngine: EnginePackets | undefined;
  readonly #frameBytes: number;
  #length = 0;
  /** Bytes in use, the room behind each frame included. */
  #used = 0;

  /**
   * @param capacity packets that fit
   * @param frameBytes bytes of frames that fit; the room behind each comes on top
   * @param wasm memory of an engine: see LocalEngine.createBatch(). Default: its own
   * @throws RangeError when a number is out of range or the memory is not to be had
   */
  constructor(capacity: number, frameBytes: number = capacity * 2048, wasm?: WasmMemory) {
    checkWhole('capacity', capacity, 0, MAX_PACKETS);
    checkWhole('frameBytes', frameBytes, 0, Number.MAX_SAFE_INTEGER);
    this.capacity = capacity;
    const allBytes = frameBytes + capacity * FRAME_TAIL;
    this.inEngine = wasm && allocatePackets(wasm, capacity, allBytes);
    const memory = this.inEngine ?? createPackets(capacity, allBytes);
    this.packets = memory.packets;
    this.times = memory.times;
    this.bytes = memory.bytes;
    this.frames = memory.frames;
    this.#frameBytes = frameBytes;
  }

  /** Takes all packets of another batch, which has no more room than this one. */
  copyFrom(batch: PacketBatch): void {
    this.#length = batch.#length;
    this.#used = batch.#used;
    this.packets.set(batch.packets.subarray(0, batch.#length * PACKET_WORDS));
    this.bytes.set(batch.bytes.subarray(0, batch.#used));
  }

  /** Packets in the batch. */
  get length(): number {
    return this.#length;
  }

  /** Forgets all packets; their memory is used again. */
  clear(): void {
    this.#length = 0;
    this.#used = 0;
  }

  /**
   * Adds a packet; the frame is copied, and has room for a payload that becomes longer behind it.
   * @param timeMs when it was received, in milliseconds
   * @returns false when the batch has no room for it
   * @throws TypeError when the frame is no Uint8Array, RangeError when the time is no number; nothing is added then
   */
  add(frame: Uint8Array, timeMs: number, hints: PacketHints = {}): boolean {
    // Another view or buffer has no length, or another one: it would seem not to fit, for ever.
    if (!(frame instanceof Uint8Array)) throw new TypeError(`frame must be a Uint8Array: ${shown(frame)}`);
    const start = this.tryReserve(frame.length);
    if (start < 0) return false;
    this.bytes.set(frame, start);
    this.addReserved(
      frame.length,
      hints.known ?? 0,
      start + (hints.l3Offset ?? 0),
      timeMs,
      hints.action ?? 0,
      hints.cookie ?? 0,
    );
    return true;
  }

  /**
   * Room for a frame of `length` bytes, to be written in place: in `frames` from the byte on that is returned. Then
   * addReserved() makes it a packet.
   * @returns -1 when the batch has no room for it
   */
  tryReserve(length: number): number {
    return this.#hasRoom(length) ? this.#used : -1;
  }

  #hasRoom(length: number): boolean {
    return this.#length < this.capacity && this.#used - this.#length * FRAME_TAIL + length <= this.#frameBytes;
  }

  /**
   * Makes the reserved room a packet.
   * @param l3 offset of the network layer in `frames`, read only when `known` names it
   * @throws RangeError when the time is no number; nothing is added then
   */
  addReserved(length: number, known: number, l3: number, timeMs: number, action: number, cookie: number): void {
    checkTime('timeMs', timeMs); // to a packet without one, every connection has ended
    const at = this.#length++ * PACKET_WORDS;
    this.packets[at + FRAME_OFFSET] = this.#used;
    this.packets[at + FRAME_LENGTH] = length;
    this.packets[at + INPUT] = known;
    this.packets[at + L3_OFFSET] = l3;
    this.times[(at + TIME) >>> 1] = timeMs;
    this.packets[at + ACTION] = action;
    this.packets[at + COOKIE] = cookie;
    this.packets[at + STATE] = 0;
    this.packets[at + ZONE] = 0;
    this.packets[at + FRAME_ROOM] = FRAME_TAIL;
    this.#used += length + FRAME_TAIL;
  }

  /**
   * Adds a packet that is in a row already, with all that the row says; the frame is copied.
   * @param at first word of the row in `packets`
   * @param bytes memory that its frame is in
   * @returns false when the batch has no room for it
   */
  addPacket(packets: Int32Array, at: number, bytes: Uint8Array): boolean {
    const start = packets[at + FRAME_OFFSET];
    const length = packets[at + FRAME_LENGTH];
    if (!this.#hasRoom(length)) return false;
    const row = this.#length++ * PACKET_WORDS;
    this.packets.set(packets.subarray(at, at + PACKET_WORDS), row);
    this.bytes.set(bytes.subarray(start, start + length), this.#used);
    this.packets[row + FRAME_OFFSET] = this.#used;
    this.packets[row + L3_OFFSET] += this.#used - start;
    this.packets[row + FRAME_ROOM] = FRAME_TAIL;
    this.#used += length + FRAME_TAIL;
    return true;
  }

  /** ct_state of packet `index`: bits of CT. */
  state(index: number): number {
    return this.packets[index * PACKET_WORDS + STATE];
  }

  /** Reason code of packet `index`: see reasonName(). */
  reason(index: number): number {
    return this.packets[index * PACKET_WORDS + REASON];
  }

  /** The caller's word of packet `index`. */
  cookie(index: number): number {
    return this.packets[index * PACKET_WORDS + COOKIE];
  }

  zone(index: number): number {
    return this.packets[index * PACKET_WORDS + ZONE];
  }

  /** ct_mark of packet `index`, unsigned. */
  mark(index: number): number {
    return this.packets[index * PACKET_WORDS + MARK] >>> 0;
  }

  /** ct_label of packet `index`. */
  label(index: number): bigint {
    return readLabel(this.packets, index * PACKET_WORDS + LABEL);
  }
}

/** The 128-bit label whose four words begin at `at`, least significant first. */
export function readLabel(words: Int32Array, at: number): bigint {
  let label = 0n;
  for (let word = 3; word >= 0; word--) label = (label << 32n) | BigInt(words[at + word] >>> 0);
  return label;
}
