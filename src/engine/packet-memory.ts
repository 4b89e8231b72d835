/**
 * Memory in which packets are judged: rows (packet.ts) and frames. A batch, a ring, or a stage has some.
 *
 * The packet loop's WebAssembly reaches the engine's own memory and no other, so packets to be judged lie there.
 *
 * Imports packet, wire/. Imported by engine/.
 */
import { SLACK_BYTES } from '../wire/rows.js';
import { growMemory, type WasmMemory } from '../wire/wasm.js';
import { PACKET_WORDS } from './packet.js';

export interface PacketMemory {
  /** Rows of PACKET_WORDS words. */
  readonly packets: Int32Array;
  /** The same memory as doubles. */
  readonly times: Float64Array;
  /** The frames. */
  readonly bytes: Uint8Array;
  readonly frames: DataView;
}

/** Packets in an engine's memory. */
export interface EnginePackets extends PacketMemory {
  readonly wasm: WasmMemory;
  readonly place: PacketPlace;
}

/** Where rows and frames lie in that memory: what the arrays know as well, but take 6 to 10 ns each to say. */
export interface PacketPlace {
  readonly packetsAt: number;
  readonly framesAt: number;
  readonly frameBytes: number;
}

const ROW_BYTES = PACKET_WORDS * Int32Array.BYTES_PER_ELEMENT;

/** Bytes that so many packets take, before the frames. */
export const packetBytes = (capacity: number): number => capacity * ROW_BYTES;

/**
 * Packets at byte `packetsAt` of a memory, with frames from byte `framesAt` on.
 * @param packetsAt a multiple of 8; SLACK_BYTES of the memory lie behind the packets, and behind the frames
 */
export function packetsIn(
  wasm: WasmMemory,
  packetsAt: number,
  capacity: number,
  framesAt: number,
  frameBytes: number,
): EnginePackets {
  const { buffer } = wasm;
  return {
    wasm,
    place: { packetsAt, framesAt, frameBytes },
    packets: new Int32Array(buffer, packetsAt, capacity * PACKET_WORDS),
    times: new Float64Array(buffer, packetsAt, (capacity * PACKET_WORDS) / 2),
    bytes: new Uint8Array(buffer, framesAt, frameBytes),
    frames: new DataView(buffer, framesAt, frameBytes),
  };
}

/**
 * Takes memory for packets, which is the engine's until it ends.
 * @throws RangeError when it is not to be had
 */
export function allocatePackets(wasm: WasmMemory, capacity: number, frameBytes: number): EnginePackets {
  const rows = packetBytes(capacity);
  const at = growMemory(wasm, rows + frameBytes + 2 * SLACK_BYTES);
  return packetsIn(wasm, at, capacity, at + rows, frameBytes);
}
