/**
 * Empty UDP datagrams from 10.1.1.1 to 10.1.1.2, as OVS's own benchmark sends them, and the rows that name them.
 *
 * Imports chunk, engine/, wire/. Imported by ovs, ovs-thread.
 */
import { PACKET, PACKET_WORDS } from '../src/engine/packet.js';
import { allocatePackets, type EnginePackets } from '../src/engine/packet-memory.js';
import { KNOWN } from '../src/wire/known.js';
import type { WasmMemory } from '../src/wire/wasm.js';
import { PACKET_MS } from './chunk.js';

const ETHERNET_BYTES = 14;
const FRAME_BYTES = 42;
const STRIDE = 64;
/** Ethernet, IPv4 with its checksum, and UDP whose ports are written later and whose checksum is left out. */
const FRAME = [
  ...[0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00],
  ...[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0x64, 0xcb, 10, 1, 1, 1, 10, 1, 1, 2],
  ...[0, 0, 0, 0, 0, 8, 0, 0],
];
/** OVS looks at a packet's checksums once, and has parsed it before. */
const KNOWN_BITS = KNOWN.L3_CHECKSUM_GOOD | KNOWN.L4_CHECKSUM_GOOD | KNOWN.L3_IPV4;

export class Datagrams {
  readonly count: number;
  readonly memory: EnginePackets;
  readonly packets: Int32Array;
  readonly view: DataView;

  /** @param wasm memory of the engine that judges them */
  constructor(wasm: WasmMemory, count: number) {
    this.count = count;
    this.memory = allocatePackets(wasm, count, count * STRIDE);
    const { packets, times, frames, bytes } = this.memory;
    this.packets = packets;
    this.view = frames;
    for (let packet = 0; packet < count; packet++) {
      const row = packet * PACKET_WORDS;
      bytes.set(FRAME, packet * STRIDE);
      this.packets[row + PACKET.FRAME_OFFSET] = packet * STRIDE;
      this.packets[row + PACKET.FRAME_LENGTH] = FRAME_BYTES;
      this.packets[row + PACKET.INPUT] = KNOWN_BITS;
      this.packets[row + PACKET.L3_OFFSET] = packet * STRIDE + ETHERNET_BYTES;
      times[(row + PACKET.TIME) >>> 1] = PACKET_MS;
    }
  }

  /** Sets the ports of a datagram. */
  write(packet: number, source: number, destination: number): void {
    const at = packet * STRIDE + FRAME_BYTES - 8;
    this.view.setUint16(at, source);
    this.view.setUint16(at + 2, destination);
  }
}
