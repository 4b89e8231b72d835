/**
 * What OVS would make of a frame, the slow and plain way: the checks of `miniflow_extract()` and `conn_key_extract()`
 * written down once more, on slices of bytes, to compare with what src/wire says.
 *
 * Imports support/sums, src/wire/known. Shares no code with src/wire but the names of the bits.
 */
import { KNOWN } from '../../src/wire/known.js';
import { join, u16, u32 } from '../support/frames.js';
import { crc32c, internetSum } from '../support/sums.js';

/** The key of a tracked packet; addresses and ports as text, in the direction of the packet. */
export interface Key {
  readonly family: 4 | 6;
  readonly protocol: number;
  readonly src: string;
  readonly dst: string;
  /** Ports, or identifier and types of ICMP, of both ends: a packet from the other end has them exchanged. */
  readonly end: readonly [number, number];
  readonly otherEnd: readonly [number, number];
  readonly related: boolean;
}

type Bytes = Uint8Array;

function word(bytes: Bytes, at: number): number {
  return bytes[at] * 256 + bytes[at + 1];
}

function text(bytes: Bytes): string {
  return Buffer.from(bytes).toString('hex');
}

/** The ethertype and what follows it; undefined for a frame without either. */
function networkLayer(frame: Bytes): readonly [ethertype: number, packet: Bytes] | undefined {
  if (frame.length < 14) return undefined;
  let rest = frame.subarray(12);
  for (let tags = 0; tags < 2 && (word(rest, 0) === 0x8100 || word(rest, 0) === 0x88a8); tags++) {
    if (rest.length < 6) return undefined;
    rest = rest.subarray(4);
  }
  if (word(rest, 0) >= 0x600) return [word(rest, 0), rest.subarray(2)];
  if (rest.length < 10 || text(rest.subarray(2, 8)) !== 'aaaa03000000') return undefined;
  return [word(rest, 8), rest.subarray(10)];
}

/** An IP packet taken apart; the payload ends where the IP header says, if that is looked at. */
interface Network {
  readonly family: 4 | 6;
  readonly protocol: number;
  readonly src: Bytes;
  readonly dst: Bytes;
  readonly payload: Bytes;
}

function ipv4Network(packet: Bytes, known: number, isQuoted: boolean): Network | undefined {
  if (packet.length < 20) return undefined;
  const header = (packet[0] % 16) * 4;
  if (header < 20 || header > packet.length) return undefined;
  const total = isQuoted ? packet.length : word(packet, 2);
  if (total < header || total > packet.length || packet.length - total > 0xffff) return undefined;
  // A fragment is no packet to be judged; a quoted packet may have been a first one.
  if (word(packet, 6) % (isQuoted ? 0x2000 : 0x4000) !== 0) return undefined;
  if (!isQuoted) {
    if (known & KNOWN.L3_CHECKSUM_BAD) return undefined;
    const isVerified = known & (KNOWN.L3_CHECKSUM_GOOD | KNOWN.NO_CHECKSUMS);
    if (!isVerified && internetSum(packet.subarray(0, header)) !== 0xffff) return undefined;
  }
  const [src, dst] = [packet.subarray(12, 16), packet.subarray(16, 20)];
  return { family: 4, protocol: packet[9], src, dst, payload: packet.subarray(header, total) };
}

function ipv6Network(packet: Bytes, isQuoted: boolean): Network | undefined {
  if (packet.length < 40) return undefined;
  const end = isQuoted ? packet.length : 40 + word(packet, 4);
  if (end > packet.length || packet.length - end > 0xffff) return undefined;
  let payload = packet.subarray(40, end);
  let protocol = packet[6];
  while ([0, 43, 44, 51, 60].includes(protocol)) {
    if (payload.length < 8) return undefined;
    const sizes: Record<number, number> = { 44: 8, 51: (payload[1] + 2) * 4 };
    const size = sizes[protocol] ?? (payload[1] + 1) * 8;
    if (size > payload.length) return undefined;
    if (protocol === 44 && word(payload, 2) !== 0) return undefined;
    protocol = payload[0];
    payload = payload.subarray(size);
  }
  return { family: 6, protocol, src: packet.subarray(8, 24), dst: packet.subarray(24, 40), payload };
}

function sumGood({ family, protocol, src, dst, payload }: Network): boolean {
  const tail = family === 4 ? [[0, protocol], u16(payload.length)] : [u32(payload.length), [0, 0, 0, protocol]];
  return internetSum(join(src, dst, ...tail, payload)) === 0xffff;
}

function chunksFill(packet: Bytes): boolean {
  let rest = packet.subarray(12);
  while (rest.length >= 4) {
    const length = word(rest, 2);
    const padded = Math.ceil(length / 4) * 4;
    if (length < 4 || padded > rest.length) return false;
    rest = rest.subarray(padded);
  }
  return rest.length === 0;
}

function transportGood(network: Network, known: number): boolean {
  const { family, protocol, payload } = network;
  const isVerified = (known & (KNOWN.L4_CHECKSUM_GOOD | KNOWN.NO_CHECKSUMS)) !== 0;
  if (protocol === 6) {
    const header = (payload[12] >> 4) * 4;
    return payload.length >= 20 && header >= 20 && header <= payload.length && (isVerified || sumGood(network));
  }
  if (protocol === 17) {
    const length = payload.length < 8 ? 0 : word(payload, 4);
    if (length < 8 || length > payload.length) return false;
    return isVerified || (family === 4 && word(payload, 6) === 0) || sumGood(network);
  }
  if (protocol === 132) {
    if (payload.length < 12 || !chunksFill(payload)) return false;
    const sum = u32(crc32c(Uint8Array.from(payload).fill(0, 8, 12))).reverse();
    return isVerified || text(payload.subarray(8, 12)) === text(Uint8Array.from(sum));
  }
  if (known & KNOWN.NO_CHECKSUMS) return true;
  if (protocol === 1 && family === 4) return internetSum(payload) === 0xffff;
  return protocol !== 58 || family !== 6 || sumGood(network);
}

const ANSWERS: Record<4 | 6, Record<number, number>> = {
  4: { 8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15 },
  6: { 128: 129, 129: 128 },
};
const ERRORS = { 4: [3, 4, 5, 11, 12], 6: [1, 2, 3, 4] };

/** How much of a quoted message OVS wants to see. */
function leastBytes({ family, protocol }: Network, isQuoted: boolean): number {
  if (protocol === 1 || protocol === 17 || protocol === 58 || (isQuoted && family === 4)) return 8;
  return protocol === 6 ? 20 : 12;
}

function keyOf(network: Network, isQuoted: boolean): Key | undefined {
  const { family, protocol, payload } = network;
  const base = { family, protocol, src: text(network.src), dst: text(network.dst), related: false };
  const isIcmp = protocol === (family === 4 ? 1 : 58);
  if (!isIcmp && ![6, 17, 132].includes(protocol)) return { ...base, end: [0, 0], otherEnd: [0, 0] };
  if (payload.length < leastBytes(network, isQuoted)) return undefined;
  if (!isIcmp) {
    const [sport, dport] = [word(payload, 0), word(payload, 2)];
    return sport && dport ? { ...base, end: [sport, dport], otherEnd: [dport, sport] } : undefined;
  }
  const type = payload[0];
  const answer = ANSWERS[family][type];
  if (answer !== undefined) {
    const id = word(payload, 4);
    return payload[1] === 0
      ? { ...base, end: [id, type * 256 + answer], otherEnd: [id, answer * 256 + type] }
      : undefined;
  }
  if (isQuoted || !ERRORS[family].includes(type)) return undefined;
  const quoted = payload.subarray(8);
  const inner = family === 4 ? ipv4Network(quoted, 0, true) : ipv6Network(quoted, true);
  if (inner === undefined || text(inner.src) !== base.dst) return undefined;
  const key = keyOf(inner, true);
  return key && { ...key, src: key.dst, dst: key.src, end: key.otherEnd, otherEnd: key.end, related: true };
}

/** The key that OVS gives the frame, or undefined when it calls the packet invalid. */
export function referenceKey(frame: Bytes, known: number, l3: number): Key | undefined {
  const declared = known & KNOWN.L3_IPV4 ? 0x0800 : known & KNOWN.L3_IPV6 ? 0x86dd : 0;
  const isDeclared = (known & (KNOWN.L3_IPV4 | KNOWN.L3_IPV6 | KNOWN.L3_OTHER)) !== 0;
  const layer = isDeclared ? ([declared, frame.subarray(l3)] as const) : networkLayer(frame);
  if (layer === undefined) return undefined;
  const [ethertype, packet] = layer;
  if (ethertype !== 0x0800 && ethertype !== 0x86dd) return undefined;
  const network = ethertype === 0x0800 ? ipv4Network(packet, known, false) : ipv6Network(packet, false);
  if (network === undefined || known & KNOWN.L4_CHECKSUM_BAD || !transportGood(network, known)) return undefined;
  return keyOf(network, false);
}
