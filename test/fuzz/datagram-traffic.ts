/**
 * UDP, TCP segments without much of a plan, ICMP and protocols without ports, over both families, from a script; and ICMP errors that quote a packet
 * sent before, one that never was, or one that is cut short or has a byte changed.
 *
 * Imports script, traffic, writer.
 */
import { type Script, STEP_WORDS, stepsOf } from './script.js';
import { COMMIT_PASS, type Traffic, type TrafficPacket } from './traffic.js';
import {
  address,
  datagramBytes,
  type Ends,
  ETHERNET_BYTES,
  icmpBytes,
  PROTOCOL,
  packet,
  segmentBytes,
  swapped,
} from './writer.js';

const HOSTS = [1, 2, 3];
const SOME_PORTS = [1000, 53, 1000, 1000, 53, 69, 0, 65535];
const SOME_LENGTHS = [0, 1, 7, 100];
const SOME_IDS = [0x1234, 0x1235, 0];
const QUERIES = [8, 0, 13, 14, 15, 16, 17, 18, 9, 10];
const QUERIES6 = [128, 129, 133, 134, 135, 136, 130, 131];
const ERRORS = [3, 4, 5, 11, 12];
const ERRORS6 = [1, 2, 3, 4];
/** Pauses around which timeouts end, in milliseconds. */
const SOME_PAUSES = [1, 1000, 29_999, 30_000, 59_999, 60_000, 120_000];
/** How much of a packet an error quotes: the lengths at which something is whole, and one byte less. */
const SOME_CUTS = [2000, 28, 27, 20, 19, 24, 40, 39, 48, 47, 60, 59, 8, 0];
const SOME_PROTOCOLS = [PROTOCOL.GRE, 50, 2, 0, 255, 89];
const SYN = 0x02;
/** SYN, SYN+ACK, ACK, FIN+ACK, RST. */
const SOME_FLAGS = [SYN, 0x12, 0x10, 0x10, 0x11, 0x04];
const SOME_SEQUENCES = [1000, 1001, 1002];
const MAX_SENT = 24;

function pick<T>(list: readonly T[], word: number): T {
  return list[word % list.length];
}

interface Sent {
  readonly ends: Ends;
  /** The packet without its Ethernet header. */
  readonly bytes: Uint8Array;
}

/** Who takes part: hosts by the last byte of their address, ports, and what packets pass. Words are random. */
export interface Cast {
  hosts(word: number): { readonly src: number; readonly dst: number };
  ports(word: number, src: number): { readonly sport: number; readonly dport: number };
  passes(word: number, isIpv6: boolean, protocol: number, src: number): readonly number[];
}

/** Everybody sends to everybody, by any port. */
export const EVERYBODY: Omit<Cast, 'passes'> = {
  hosts: word => ({ src: pick(HOSTS, word), dst: pick(HOSTS, word >>> 4) }),
  ports: word => ({ sport: pick(SOME_PORTS, word), dport: pick(SOME_PORTS, word >>> 8) }),
};

class Play {
  readonly packets: TrafficPacket[] = [];
  readonly #sent: Sent[] = [];
  readonly #cast: Cast;
  #passWord = 0;
  #nowMs = 0;

  constructor(cast: Cast) {
    this.#cast = cast;
  }

  step(row: Uint32Array): void {
    const [kind, who, a, b, c, time] = row;
    if (time % 12 === 11) this.#nowMs += pick(SOME_PAUSES, time >>> 4);
    else this.#nowMs += (time >>> 4) % 3;
    this.#passWord = time >>> 8;
    const isIpv6 = who % 2 === 1;
    const { src, dst } = this.#cast.hosts(who >>> 1);
    const one = { src: address(isIpv6, src), dst: address(isIpv6, dst) };
    const ports = this.#cast.ports(a, src);
    // biome-ignore format: a table
    switch (kind % 16) {
      case 0: case 1: this.#send(one, PROTOCOL.UDP, datagramBytes(ports.sport, ports.dport, pick(SOME_LENGTHS, c)), c); break;
      case 2: case 3: this.#send(one, isIpv6 ? PROTOCOL.ICMPV6 : PROTOCOL.ICMP, query(isIpv6, a, b), c); break;
      case 4: case 12: case 13: this.#answer(a, b); break;
      case 5: case 6: case 7: this.#error(one, a, b, c); break;
      case 8: this.#send(one, pick(SOME_PROTOCOLS, a), new Uint8Array(pick(SOME_LENGTHS, b)), 0); break;
      case 9: this.#send(one, isIpv6 ? PROTOCOL.ICMP : PROTOCOL.ICMPV6, query(!isIpv6, a, b), c); break;
      case 10: this.#again(a); break;
      case 14: case 15: this.#send(one, PROTOCOL.TCP, segment(ports, b, c), c >>> 4); break;
      default: this.#foreignError(one, a, b, c);
    }
  }

  /** @param spoil its low bits decide whether, and how, a checksum goes wrong or missing */
  #send(ends: Ends, protocol: number, message: Uint8Array, spoil: number): void {
    const frame = packet(ends, protocol, message);
    const l4 = frame.length - message.length;
    if (spoil % 16 === 15 && message.length > 2)
      frame[l4 + ((spoil >>> 4) % message.length)] ^= 1 << ((spoil >>> 12) % 8);
    if (spoil % 16 === 14 && protocol === PROTOCOL.UDP) frame.fill(0, l4 + 6, l4 + 8);
    const passes = this.#cast.passes(this.#passWord, ends.src.length === 16, protocol, ends.src[ends.src.length - 1]);
    this.packets.push({ frame, timeMs: this.#nowMs, passes });
    this.#sent.push({ ends, bytes: frame.subarray(ETHERNET_BYTES) });
    if (this.#sent.length > MAX_SENT) this.#sent.shift();
  }

  /** The other side answers a packet: ports turned round, or the reply of a query. */
  #answer(a: number, b: number): void {
    if (this.#sent.length === 0) return;
    const { ends, bytes } = pick(this.#sent, a);
    const isIpv6 = ends.src.length === 16;
    const protocol = bytes[isIpv6 ? 6 : 9];
    const message = bytes.slice(isIpv6 ? 40 : 20);
    if (protocol === PROTOCOL.UDP || protocol === PROTOCOL.SCTP || protocol === PROTOCOL.TCP) {
      message.set(bytes.subarray(isIpv6 ? 42 : 22, isIpv6 ? 44 : 24), 0);
      message.set(bytes.subarray(isIpv6 ? 40 : 20, isIpv6 ? 42 : 22), 2);
    } else if (protocol === PROTOCOL.ICMP && message[0] >= 8) {
      message[0] = message[0] === 8 ? 0 : message[0] + 1;
    } else if (protocol === PROTOCOL.ICMPV6 && message[0] === 128) {
      message[0] = 129;
    }
    this.#send(swapped(ends), protocol, message, b);
  }

  #again(a: number): void {
    if (this.#sent.length === 0) return;
    const { ends, bytes } = pick(this.#sent, a);
    const isIpv6 = ends.src.length === 16;
    this.#send(ends, bytes[isIpv6 ? 6 : 9], bytes.slice(isIpv6 ? 40 : 20), 0);
  }

  /** An error about a packet sent before, from its receiver or a third host, to its sender or another one. */
  #error(one: Ends, a: number, b: number, c: number): void {
    if (this.#sent.length === 0) return;
    const { ends, bytes } = pick(this.#sent, a);
    const isIpv6 = ends.src.length === 16;
    const isKin = one.src.length === ends.src.length;
    const to = a % 7 === 6 && isKin ? one.dst : ends.src;
    const from = b % 3 === 2 && isKin ? one.src : ends.dst;
    const quoted = bytes.slice(0, c % 3 === 2 ? pick(SOME_CUTS, c >>> 2) : undefined);
    if (c % 5 === 4 && quoted.length > 0) quoted[(c >>> 8) % Math.min(quoted.length, 64)] ^= 1 << ((c >>> 16) % 8);
    this.#send({ src: from, dst: to }, isIpv6 ? PROTOCOL.ICMPV6 : PROTOCOL.ICMP, error(isIpv6, b, quoted), b >>> 8);
  }

  /** An error about a packet that was never sent. */
  #foreignError(one: Ends, a: number, b: number, c: number): void {
    const isIpv6 = one.src.length === 16;
    const protocol = pick([PROTOCOL.UDP, PROTOCOL.TCP, PROTOCOL.SCTP, PROTOCOL.ICMP, PROTOCOL.ICMPV6, PROTOCOL.GRE], a);
    const quoted = packet(one, protocol, datagramBytes(pick(SOME_PORTS, b), pick(SOME_PORTS, c), 20));
    const back = swapped(one);
    const message = error(isIpv6, a >>> 8, quoted.subarray(ETHERNET_BYTES));
    this.#send(back, isIpv6 ? PROTOCOL.ICMPV6 : PROTOCOL.ICMP, message, 0);
  }
}

function segment(ports: { readonly sport: number; readonly dport: number }, b: number, c: number): Uint8Array {
  const sequence = { seq: pick(SOME_SEQUENCES, b), ack: pick(SOME_SEQUENCES, b >>> 8) };
  const flags = pick(SOME_FLAGS, c);
  return segmentBytes({ ...ports, ...sequence, flags, window: 1000, options: [], length: flags === SYN ? 0 : c % 3 });
}

function query(isIpv6: boolean, a: number, b: number): Uint8Array {
  const list = isIpv6 ? QUERIES6 : QUERIES;
  // Half of them are what everybody sends.
  const type = a % 2 === 0 ? list[0] : pick(list, a >>> 1);
  const code = b % 16 === 15 ? (b >>> 4) % 4 : 0;
  return icmpBytes(type, code, (pick(SOME_IDS, b >>> 8) << 16) | 1, new Uint8Array(pick(SOME_LENGTHS, b >>> 12)));
}

function error(isIpv6: boolean, word: number, quoted: Uint8Array): Uint8Array {
  const type = word % 32 === 31 ? (word >>> 5) & 0xff : pick(isIpv6 ? ERRORS6 : ERRORS, word >>> 2);
  return icmpBytes(type, (word >>> 6) % 16, 0, quoted);
}

/** What the members of a cast send each other. */
export function playOf(script: Script, cast: Cast): Traffic {
  const play = new Play(cast);
  for (let step = 1; step < stepsOf(script); step++) {
    play.step(script.subarray(step * STEP_WORDS, (step + 1) * STEP_WORDS));
  }
  return { packets: play.packets, checksSequence: true };
}

export function datagramTraffic(script: Script): Traffic {
  return playOf(script, { ...EVERYBODY, passes: () => COMMIT_PASS });
}
