/**
 * Packet mixes: what opens the connections of a run, what brings them to where updates find them, and the updates.
 *
 * | mix  | opened by            | then                   | an update                                              |
 * |------|----------------------|------------------------|--------------------------------------------------------|
 * | udp4 | a frame of 64 bytes  |                        | the same, from the client                              |
 * | udp6 | a frame of 64 bytes  |                        | the same, from the client                              |
 * | tcp4 | SYN                  | SYN+ACK, ACK           | 1460 bytes with ACK, from either side, each in order   |
 *
 * Frame sizes are those of the memory they take, without the check sequence that a NIC removes.
 *
 * Imports chunk, flood/, track/tcp. Imported by the other files of bench/.
 */

import { mix32, Random } from '../src/flood/random.js';
import { createTemplate, type Template, type TemplateOptions } from '../src/flood/template.js';
import { TCP_FLAG } from '../src/track/tcp.js';
import { CHUNK_PACKETS, Chunk, STATE } from './chunk.js';

export const MIXES = ['udp4', 'tcp4', 'udp6'] as const;
export type Mix = (typeof MIXES)[number];

export const SEGMENT_BYTES = 1460;

/** What the packets of each mix are, for people. */
export const MIX_NOTES: Readonly<Record<Mix, string>> = {
  udp4: 'UDP over IPv4, frames of 64 bytes from the client',
  tcp4: `established TCP over IPv4, segments of ${SEGMENT_BYTES} bytes from either side; create: SYN`,
  udp6: 'UDP over IPv6, frames of 64 bytes from the client',
};

/** Payloads that make frames of 64 bytes: 14 of Ethernet, 20 or 40 of IP, 8 of UDP. */
export const UDP4: TemplateOptions = { family: 4, protocol: 'udp', payload: 22 };
export const UDP6: TemplateOptions = { family: 6, protocol: 'udp', payload: 2 };
export const SEGMENT: TemplateOptions = {
  family: 4,
  protocol: 'tcp',
  payload: SEGMENT_BYTES,
  flags: TCP_FLAG.ACK,
};

/** Chunks are the traffic's own: each is valid until the next call that returns it. */
export interface Traffic {
  /** The first packets of `count` flows from flow `first` on. */
  open(first: number, count: number): Chunk;
  /** What the same flows send next, in this order, before they can be updated. */
  settle(first: number, count: number): readonly Chunk[];
  /** `count` packets of flows that are picked at random, each flow as likely as the other. */
  pick(count: number): Chunk;
  /** Says of the packets that pick() builds what is known of them: bits of KNOWN. */
  declare(known: number): void;
}

/** @param known bits of KNOWN for all packets, until declare() says otherwise */
export function createTraffic(mix: Mix, connections: number, seed: number, known: number): Traffic {
  if (mix === 'tcp4') return new TcpTraffic(connections, seed, known);
  return new UdpTraffic(mix === 'udp4' ? UDP4 : UDP6, connections, seed, known);
}

class UdpTraffic implements Traffic {
  readonly #connections: number;
  readonly #random: Random;
  readonly #opening: Chunk;
  readonly #picked: Chunk;

  constructor(options: TemplateOptions, connections: number, seed: number, known: number) {
    const template = createTemplate(options);
    this.#connections = connections;
    this.#random = new Random(seed);
    this.#opening = new Chunk(template, known);
    this.#picked = new Chunk(template, known);
  }

  open(first: number, count: number): Chunk {
    for (let slot = 0; slot < count; slot++) this.#opening.write(slot, first + slot, STATE.NEW);
    return this.#opening;
  }

  settle(): readonly Chunk[] {
    return [];
  }

  pick(count: number): Chunk {
    // Nobody answers, so a connection stays new, as in the benchmark of Open vSwitch.
    for (let slot = 0; slot < count; slot++) {
      this.#picked.write(slot, this.#random.below(this.#connections), STATE.NEW);
    }
    return this.#picked;
  }

  declare(known: number): void {
    this.#picked.declare(known);
  }
}

const { SYN, ACK } = TCP_FLAG;

class TcpTraffic implements Traffic {
  readonly #connections: number;
  readonly #seed: number;
  readonly #random: Random;
  readonly #syn: Chunk;
  readonly #synAck: Chunk;
  readonly #ack: Chunk;
  readonly #segments: Chunk;
  /** Next sequence number of the client and of the server of each flow. */
  readonly #next: Int32Array;

  constructor(connections: number, seed: number, known: number) {
    const chunkOf = (template: Template) => new Chunk(template, known);
    const control = (flags: number) => createTemplate({ family: 4, protocol: 'tcp', payload: 0, flags });
    this.#connections = connections;
    this.#seed = seed;
    this.#random = new Random(seed);
    this.#syn = chunkOf(control(SYN));
    this.#synAck = chunkOf(control(SYN | ACK));
    this.#ack = chunkOf(control(ACK));
    this.#segments = chunkOf(createTemplate(SEGMENT));
    this.#next = new Int32Array(connections * 2);
  }

  /** First sequence number of the client (side 0) or the server (side 1) of a flow: anywhere, so that many wrap. */
  #initial(flow: number, side: number): number {
    return mix32(this.#seed + flow * 2 + side) | 0;
  }

  open(first: number, count: number): Chunk {
    for (let slot = 0; slot < count; slot++) {
      this.#syn.write(slot, first + slot, STATE.NEW, this.#initial(first + slot, 0));
    }
    return this.#syn;
  }

  settle(first: number, count: number): readonly Chunk[] {
    for (let slot = 0; slot < count; slot++) {
      const flow = first + slot;
      const client = (this.#initial(flow, 0) + 1) | 0;
      const server = (this.#initial(flow, 1) + 1) | 0;
      this.#synAck.write(slot, flow, STATE.REPLY, server - 1, client);
      this.#ack.write(slot, flow, STATE.ESTABLISHED, client, server);
      this.#next[flow * 2] = client;
      this.#next[flow * 2 + 1] = server;
    }
    return [this.#synAck, this.#ack];
  }

  pick(count: number): Chunk {
    const next = this.#next;
    for (let slot = 0; slot < count; slot++) {
      const flow = this.#random.below(this.#connections);
      const side = this.#random.u32() & 1;
      const from = flow * 2 + side;
      const state = side === 0 ? STATE.ESTABLISHED : STATE.REPLY;
      this.#segments.write(slot, flow, state, next[from], next[from ^ 1]);
      next[from] += SEGMENT_BYTES;
    }
    return this.#segments;
  }

  declare(known: number): void {
    this.#segments.declare(known);
  }
}

/** Packets of a chunk when batches are to be whole. */
export function chunkFor(batch: number): number {
  return Math.floor(CHUNK_PACKETS / batch) * batch;
}
