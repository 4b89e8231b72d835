/**
 * Packet mixes: what opens the connections of a run, what brings them to where updates find them, and the updates.
 *
 * | mix   | opened by            | then                   | an update                                              |
 * |-------|----------------------|------------------------|--------------------------------------------------------|
 * | udp4  | a frame of 64 bytes  |                        | the same, from the client                              |
 * | udp6  | a frame of 64 bytes  |                        | the same, from the client                              |
 * | mixed | udp4 and udp6 in turn|                        | the same, both in every batch                          |
 * | tcp4  | SYN                  | SYN+ACK, ACK           | 1460 bytes with ACK, from either side, each in order   |
 *
 * Frame sizes are those of the memory they take, without the check sequence that a NIC removes.
 *
 * Imports chunk, flood/, track/tcp. Imported by the other files of bench/.
 */

import { mix32, Random } from '../src/flood/random.js';
import { createTemplate, type Template, type TemplateOptions } from '../src/flood/template.js';
import { TCP_FLAG } from '../src/track/tcp.js';
import type { WasmMemory } from '../src/wire/wasm.js';
import { CHUNK_PACKETS, Chunk, STATE } from './chunk.js';

export const MIXES = ['udp4', 'tcp4', 'udp6', 'mixed'] as const;
export type Mix = (typeof MIXES)[number];

export const SEGMENT_BYTES = 1460;

/** What the packets of each mix are, for people. */
export const MIX_NOTES: Readonly<Record<Mix, string>> = {
  udp4: 'UDP over IPv4, frames of 64 bytes from the client',
  tcp4: `established TCP over IPv4, segments of ${SEGMENT_BYTES} bytes from either side; create: SYN`,
  udp6: 'UDP over IPv6, frames of 64 bytes from the client',
  mixed: 'udp4 and udp6 in turn, both in every batch',
};

/** Connections of a mix that are IPv6. */
export function ipv6Connections(mix: Mix, connections: number): number {
  if (mix === 'udp6') return connections;
  return mix === 'mixed' ? connections >>> 1 : 0;
}

/** Payloads that make frames of 64 bytes: 14 of Ethernet, 20 or 40 of IP, 8 of UDP. */
export const UDP4: TemplateOptions = { family: 4, protocol: 'udp', payload: 22 };
export const UDP6: TemplateOptions = { family: 6, protocol: 'udp', payload: 2 };
export const SEGMENT: TemplateOptions = {
  family: 4,
  protocol: 'tcp',
  payload: SEGMENT_BYTES,
  flags: TCP_FLAG.ACK,
};
const UDP_TEMPLATES: Readonly<Record<Exclude<Mix, 'tcp4'>, readonly TemplateOptions[]>> = {
  udp4: [UDP4],
  udp6: [UDP6],
  mixed: [UDP4, UDP6],
};

/** `zipf`: connection number k of n is picked in proportion to 1/k, the numbers being spread over the table. */
export type Popularity = 'uniform' | 'zipf';

export interface TrafficOptions {
  /** Memory of the engine that judges the packets. */
  readonly wasm: WasmMemory;
  readonly mix: Mix;
  readonly connections: number;
  readonly seed: number;
  /** Bits of KNOWN for all packets, until declare() says otherwise. */
  readonly known: number;
  readonly popularity?: Popularity;
  /** Share of the packets that pick() builds that open a connection; UDP only. Default 0. */
  readonly newShare?: number;
  /** ct_state of the UDP packets. Default new. */
  readonly state?: number;
  /** The flows that the connections are, by number; as many as connections. Default: the first ones. */
  readonly flows?: Int32Array;
  /** Packets of a chunk. Default CHUNK_PACKETS. */
  readonly chunkPackets?: number;
}

/** Chunks are the traffic's own: each is valid until the next call that returns it. */
export interface Traffic {
  /** The first packets of `count` connections from number `first` on. */
  open(first: number, count: number): Chunk;
  /** What the same connections send next, in this order, before they can be updated. */
  settle(first: number, count: number): readonly Chunk[];
  /** `count` packets of connections that are picked at random. */
  pick(count: number): Chunk;
  /** Says of the packets that pick() builds what is known of them: bits of KNOWN. */
  declare(known: number): void;
  /** Connections that packets built by pick() have opened so far. */
  readonly opened: number;
}

export function createTraffic(options: TrafficOptions): Traffic {
  return options.mix === 'tcp4' ? new TcpTraffic(options) : new UdpTraffic(options, UDP_TEMPLATES[options.mix]);
}

/** A prime larger than any table: multiplying by it modulo their number spreads neighbours over the connections. */
const SPREAD = 1_610_612_741;

/** Picks connections by their popularity. */
class Picker {
  readonly #random: Random;
  readonly #connections: number;
  readonly #logOfAll: number;
  readonly #isUniform: boolean;

  constructor(random: Random, connections: number, popularity: Popularity) {
    this.#random = random;
    this.#connections = connections;
    this.#logOfAll = Math.log(connections + 1);
    this.#isUniform = popularity === 'uniform';
  }

  next(): number {
    if (this.#isUniform) return this.#random.below(this.#connections);
    // The logarithm of a rank is uniform when ranks are picked in proportion to their inverse.
    const rank = Math.floor(Math.exp((this.#random.u32() / 0x1_0000_0000) * this.#logOfAll)) - 1;
    return (Math.min(rank, this.#connections - 1) * SPREAD) % this.#connections;
  }
}

class UdpTraffic implements Traffic {
  readonly #connections: number;
  readonly #random: Random;
  readonly #picker: Picker;
  readonly #opening: Chunk;
  readonly #picked: Chunk;
  readonly #kinds: number;
  readonly #newShare: number;
  readonly #state: number;
  readonly #flows: Int32Array | undefined;
  opened = 0;

  constructor(options: TrafficOptions, templates: readonly TemplateOptions[]) {
    const { wasm, connections, seed, known, popularity = 'uniform', newShare = 0, state = STATE.NEW, flows } = options;
    const made = templates.map(createTemplate);
    this.#connections = connections;
    this.#random = new Random(seed);
    this.#picker = new Picker(this.#random, connections, popularity);
    this.#opening = new Chunk(wasm, made, known, options.chunkPackets);
    this.#picked = new Chunk(wasm, made, known, options.chunkPackets);
    this.#kinds = templates.length;
    this.#newShare = newShare;
    this.#state = state;
    this.#flows = flows;
  }

  #flowOf(connection: number): number {
    return this.#flows === undefined ? connection : this.#flows[connection];
  }

  open(first: number, count: number): Chunk {
    for (let slot = 0; slot < count; slot++) this.#opening.write(slot, this.#flowOf(first + slot), this.#state);
    return this.#opening;
  }

  settle(): readonly Chunk[] {
    return [];
  }

  pick(count: number): Chunk {
    // Nobody answers, so a connection stays new, as in the benchmark of Open vSwitch.
    for (let slot = 0; slot < count; slot++) this.#picked.write(slot, this.#nextFlow(slot), this.#state);
    return this.#picked;
  }

  /** A flow for a slot: one of those that its kind of frame has opened, every second one if there are two kinds. */
  #nextFlow(slot: number): number {
    if (this.#newShare > 0 && this.#random.u32() < this.#newShare * 0x1_0000_0000) {
      return this.#connections + this.opened++;
    }
    const picked = this.#picker.next();
    return this.#flowOf(this.#kinds === 1 ? picked : (picked & ~1) | (slot & 1));
  }

  declare(known: number): void {
    this.#picked.declare(known);
  }
}

const { SYN, ACK } = TCP_FLAG;

class TcpTraffic implements Traffic {
  readonly #seed: number;
  readonly #random: Random;
  readonly #picker: Picker;
  readonly #syn: Chunk;
  readonly #synAck: Chunk;
  readonly #ack: Chunk;
  readonly #segments: Chunk;
  readonly #flows: Int32Array | undefined;
  /** Next sequence number of the client and of the server of each connection. */
  readonly #next: Int32Array;
  readonly opened = 0;

  constructor(options: TrafficOptions) {
    const { wasm, connections, seed, known, popularity = 'uniform', flows } = options;
    const chunkOf = (template: Template) => new Chunk(wasm, [template], known, options.chunkPackets);
    const control = (flags: number) => createTemplate({ family: 4, protocol: 'tcp', payload: 0, flags });
    this.#seed = seed;
    this.#random = new Random(seed);
    this.#picker = new Picker(this.#random, connections, popularity);
    this.#syn = chunkOf(control(SYN));
    this.#synAck = chunkOf(control(SYN | ACK));
    this.#ack = chunkOf(control(ACK));
    this.#segments = chunkOf(createTemplate(SEGMENT));
    this.#flows = flows;
    this.#next = new Int32Array(connections * 2);
  }

  #flowOf(connection: number): number {
    return this.#flows === undefined ? connection : this.#flows[connection];
  }

  /** First sequence number of the client (side 0) or the server (side 1) of a flow: anywhere, so that many wrap. */
  #initial(flow: number, side: number): number {
    return mix32(this.#seed + flow * 2 + side) | 0;
  }

  open(first: number, count: number): Chunk {
    for (let slot = 0; slot < count; slot++) {
      const flow = this.#flowOf(first + slot);
      this.#syn.write(slot, flow, STATE.NEW, this.#initial(flow, 0));
    }
    return this.#syn;
  }

  settle(first: number, count: number): readonly Chunk[] {
    for (let slot = 0; slot < count; slot++) {
      const connection = first + slot;
      const flow = this.#flowOf(connection);
      const client = (this.#initial(flow, 0) + 1) | 0;
      const server = (this.#initial(flow, 1) + 1) | 0;
      this.#synAck.write(slot, flow, STATE.REPLY, server - 1, client);
      this.#ack.write(slot, flow, STATE.ESTABLISHED, client, server);
      this.#next[connection * 2] = client;
      this.#next[connection * 2 + 1] = server;
    }
    return [this.#synAck, this.#ack];
  }

  pick(count: number): Chunk {
    const next = this.#next;
    for (let slot = 0; slot < count; slot++) {
      const connection = this.#picker.next();
      const side = this.#random.u32() & 1;
      const from = connection * 2 + side;
      const state = side === 0 ? STATE.ESTABLISHED : STATE.REPLY;
      this.#segments.write(slot, this.#flowOf(connection), state, next[from], next[from ^ 1]);
      next[from] += SEGMENT_BYTES;
    }
    return this.#segments;
  }

  declare(known: number): void {
    this.#segments.declare(known);
  }
}

/** Packets of a chunk when batches are to be whole and both kinds of a mix as many, if there is room for two. */
export function chunkFor(batch: number): number {
  const whole = Math.floor(CHUNK_PACKETS / batch);
  return (batch % 2 === 1 && whole > 1 ? whole & ~1 : whole) * batch;
}
