/**
 * Frames in a hurry: what support/frames builds, for fuzzers that need millions. Checksums are right; whoever wants
 * them wrong breaks them afterwards.
 *
 * Imports support/sums.
 */
import { internetSum } from '../support/sums.js';

export const PROTOCOL = { ICMP: 1, TCP: 6, UDP: 17, GRE: 47, ICMPV6: 58, SCTP: 132 } as const;

export const ETHERNET_BYTES = 14;
const MACS = [0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1];

/** Addresses are four bytes long, or sixteen. */
export interface Ends {
  readonly src: Uint8Array;
  readonly dst: Uint8Array;
}

export function swapped({ src, dst }: Ends): Ends {
  return { src: dst, dst: src };
}

/** An address of the tests' networks. @param host 0 to 255 */
export function address(isIpv6: boolean, host: number): Uint8Array {
  return isIpv6
    ? Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host)
    : Uint8Array.of(10, 0, 0, host);
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

function put32(bytes: Uint8Array, at: number, value: number): void {
  put16(bytes, at, value >>> 16);
  put16(bytes, at + 2, value & 0xffff);
}

/** The complement of a sum of sums. */
function checksum(...sums: readonly number[]): number {
  let sum = sums.reduce((all, one) => all + one, 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return 0xffff - sum;
}

/** Where the checksum lies in a message of the protocol; undefined without one that is the Internet's. */
const CHECKSUM_AT: Readonly<Record<number, number>> = {
  [PROTOCOL.ICMP]: 2,
  [PROTOCOL.TCP]: 16,
  [PROTOCOL.UDP]: 6,
  [PROTOCOL.ICMPV6]: 2,
};

/**
 * Makes the checksum of the message in [l4, end) right.
 * @param ends addresses of the pseudo header
 */
export function sealMessage(frame: Uint8Array, ends: Ends, protocol: number, l4: number, end: number): void {
  const at = CHECKSUM_AT[protocol];
  if (at === undefined || l4 + at + 2 > end) return;
  put16(frame, l4 + at, 0);
  const message = internetSum(frame.subarray(l4, end));
  const isPlain = protocol === PROTOCOL.ICMP && ends.src.length === 4;
  const pseudo = isPlain ? [] : [internetSum(ends.src), internetSum(ends.dst), protocol, end - l4];
  const sum = checksum(message, ...pseudo);
  put16(frame, l4 + at, sum === 0 && protocol === PROTOCOL.UDP ? 0xffff : sum);
}

/** Makes the checksum of the IPv4 header at `l3` right. */
export function sealHeader(frame: Uint8Array, l3: number, length: number): void {
  put16(frame, l3 + 10, 0);
  put16(frame, l3 + 10, checksum(internetSum(frame.subarray(l3, l3 + length))));
}

/** An Ethernet frame around a message, whose checksum is made right. */
export function packet(ends: Ends, protocol: number, message: Uint8Array): Uint8Array {
  const isIpv6 = ends.src.length === 16;
  const l4 = ETHERNET_BYTES + (isIpv6 ? 40 : 20);
  const frame = new Uint8Array(l4 + message.length);
  frame.set(MACS);
  put16(frame, 12, isIpv6 ? 0x86dd : 0x0800);
  frame[14] = isIpv6 ? 0x60 : 0x45;
  if (isIpv6) {
    put16(frame, 18, message.length);
    frame[20] = protocol;
    frame[21] = 64;
    frame.set(ends.src, 22);
    frame.set(ends.dst, 38);
  } else {
    put16(frame, 16, 20 + message.length);
    frame[22] = 64;
    frame[23] = protocol;
    frame.set(ends.src, 26);
    frame.set(ends.dst, 30);
    sealHeader(frame, ETHERNET_BYTES, 20);
  }
  frame.set(message, l4);
  sealMessage(frame, ends, protocol, l4, frame.length);
  return frame;
}

export interface Segment {
  readonly sport: number;
  readonly dport: number;
  readonly seq: number;
  readonly ack: number;
  readonly flags: number;
  readonly window: number;
  readonly options: readonly number[];
  /** Bytes of payload, all zero. */
  readonly length: number;
}

export function segmentBytes({ sport, dport, seq, ack, flags, window, options, length }: Segment): Uint8Array {
  const header = 20 + ((options.length + 3) & ~3);
  const bytes = new Uint8Array(header + length);
  put16(bytes, 0, sport);
  put16(bytes, 2, dport);
  put32(bytes, 4, seq);
  put32(bytes, 8, ack);
  bytes[12] = header << 2;
  bytes[13] = flags;
  put16(bytes, 14, window);
  bytes.set(options, 20);
  return bytes;
}

export function datagramBytes(sport: number, dport: number, length: number): Uint8Array {
  const bytes = new Uint8Array(8 + length);
  put16(bytes, 0, sport);
  put16(bytes, 2, dport);
  put16(bytes, 4, bytes.length);
  return bytes;
}

/** An ICMP or ICMPv6 message: type, code, the four bytes behind the checksum, the rest. */
export function icmpBytes(type: number, code: number, word: number, rest: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = new Uint8Array(8 + rest.length);
  bytes[0] = type;
  bytes[1] = code;
  put32(bytes, 4, word);
  bytes.set(rest, 8);
  return bytes;
}
