/**
 * Frame templates: whole Ethernet frames in which only what tells one packet from another is rewritten, and the
 * checksums brought in line with that (RFC 1624), so that packets are built in a fraction of the time it takes to judge
 * them.
 *
 * Over IPv6 the addresses that are given are the last words of addresses in 2001:db8::/96.
 *
 * Imports nothing of the project: frames that the code under test had a hand in would prove little. Imported by the
 * other files of flood/ and by bench/.
 */
export type Family = 4 | 6;

export interface TemplateOptions {
  readonly family: Family;
  /** `error`: an ICMP or ICMPv6 "port unreachable" that quotes a UDP packet. */
  readonly protocol: 'udp' | 'tcp' | 'echo' | 'error';
  /** Bytes behind the L4 header; an error has none but the packet it quotes. */
  readonly payload: number;
  /** TCP flags, options (a multiple of four bytes). */
  readonly flags?: number;
  readonly options?: readonly number[];
  /** An 802.1Q tag. */
  readonly isTagged?: boolean;
  /** The packet is one fragment of several; its L4 checksum, which nobody can verify, is left alone. */
  readonly isFragment?: boolean;
}

export interface Template {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly length: number;
  readonly isIpv6: boolean;
  readonly isTcp: boolean;
  readonly l3: number;
  readonly l4: number;
  /** The last words of the addresses, and the two checksums; IPv6 has no header checksum. */
  readonly srcAt: number;
  readonly dstAt: number;
  readonly headerSumAt: number;
  readonly l4SumAt: number;
  /** Sums over what is not rewritten, folded to 16 bits. */
  readonly headerSum: number;
  readonly l4Sum: number;
  /** 1 when the L4 checksum covers the addresses, 0 for ICMP over IPv4. */
  readonly coversEnds: number;
}

/** 2001:db8:: and two more words of zeros, in front of the word that differs. */
const IPV6_PREFIX = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0];
const MACS = [0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1];
const VLAN_TAG = [0x81, 0x00, 0x00, 0x07];
const UDP = 17;
const ICMPV6 = 58;
const FRAGMENT_HEADER = 44;
const PROTOCOLS = {
  4: { udp: UDP, tcp: 6, echo: 1, error: 1 },
  6: { udp: UDP, tcp: 6, echo: ICMPV6, error: ICMPV6 },
} as const;
/** Type and code. */
const ECHO = { 4: [8, 0], 6: [128, 0] } as const;
const PORT_UNREACHABLE = { 4: [3, 3], 6: [1, 4] } as const;
const ACK = 0x10;
/** Without a scale: 65535 bytes, 44 full segments that nobody has acknowledged. */
const WINDOW = 0xffff;
const UDP_BYTES = 8;
const ICMP_BYTES = 8;

function u16(value: number): number[] {
  return [value >>> 8, value & 0xff];
}

function zeros(count: number): number[] {
  return new Array(count).fill(0);
}

/** Sum of the 16-bit words in [from, end), folded; an odd last byte is the high half of a word (RFC 1071). */
export function sumOf(bytes: Uint8Array, from: number, end: number): number {
  let sum = 0;
  for (let at = from; at < end; at++) sum += (at - from) % 2 === 0 ? bytes[at] << 8 : bytes[at];
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

/** @param sum of 16-bit words, below 2^32 */
function checksumOf(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return ~((once & 0xffff) + (once >>> 16)) & 0xffff;
}

function halves(word: number): number {
  return (word >>> 16) + (word & 0xffff);
}

function l3Header(family: Family, protocol: number, length: number): number[] {
  if (family === 6) {
    const addresses = [...IPV6_PREFIX, ...zeros(4), ...IPV6_PREFIX, ...zeros(4)];
    return [0x60, 0, 0, 0, ...u16(length), protocol, 64, ...addresses];
  }
  return [0x45, 0, ...u16(20 + length), 0, 0, 0x40, 0, 64, protocol, 0, 0, ...zeros(8)];
}

function l4Header(options: TemplateOptions): number[] {
  const { family, protocol, payload, flags = ACK, options: tcpOptions = [] } = options;
  if (protocol === 'udp') return [...zeros(4), ...u16(UDP_BYTES + payload), 0, 0];
  if (protocol === 'echo') return [...ECHO[family], ...zeros(6)];
  if (protocol === 'error') {
    const quoted = [...l3Header(family, UDP, UDP_BYTES), ...zeros(4), ...u16(UDP_BYTES), 0, 0];
    return [...PORT_UNREACHABLE[family], ...zeros(6), ...quoted];
  }
  const words = 5 + tcpOptions.length / 4;
  return [...zeros(12), words << 4, flags, ...u16(WINDOW), 0, 0, 0, 0, ...tcpOptions];
}

/** The network header, behind it the fragment header of IPv6 if that is wanted. */
function networkHeader(options: TemplateOptions, length: number): number[] {
  const { family, isFragment = false } = options;
  const protocol = PROTOCOLS[family][options.protocol];
  if (!isFragment || family === 4) return l3Header(family, protocol, length);
  return [...l3Header(family, FRAGMENT_HEADER, length + 8), protocol, ...zeros(7)];
}

const SUM_AT = { udp: 6, tcp: 16, echo: 2, error: 2 } as const;

export function createTemplate(options: TemplateOptions): Template {
  const { family, protocol, payload, isTagged = false } = options;
  const isIpv6 = family === 6;
  const link = [...MACS, ...(isTagged ? VLAN_TAG : []), ...u16(isIpv6 ? 0x86dd : 0x0800)];
  const transport = l4Header(options);
  const length = transport.length + payload;
  const network = networkHeader(options, length);
  const l3 = link.length;
  const l4 = l3 + network.length;
  const bytes = new Uint8Array(l4 + length);
  bytes.set([...link, ...network, ...transport]);
  for (let at = l4 + transport.length; at < bytes.length; at++) bytes[at] = at * 7;
  const addressesAt = l3 + (isIpv6 ? 8 : 12);
  const hasPseudoHeader = isIpv6 || protocol === 'udp' || protocol === 'tcp';
  const ends = sumOf(bytes, addressesAt, addressesAt + (isIpv6 ? 32 : 8));
  const pseudoSum = hasPseudoHeader ? ends + PROTOCOLS[family][protocol] + length : 0;
  return {
    bytes,
    view: new DataView(bytes.buffer),
    length: bytes.length,
    isIpv6,
    isTcp: protocol === 'tcp',
    l3,
    l4,
    srcAt: l3 + (isIpv6 ? 20 : 12),
    dstAt: l3 + (isIpv6 ? 36 : 16),
    headerSumAt: l3 + 10,
    l4SumAt: l4 + SUM_AT[protocol],
    headerSum: isIpv6 ? 0 : sumOf(bytes, l3, l3 + 20),
    l4Sum: pseudoSum + sumOf(bytes, l4, bytes.length),
    coversEnds: hasPseudoHeader ? 1 : 0,
  };
}

/**
 * Copies the template to `at`, four words at a time: what it costs to make a subarray for set() is more than the copy, and
 * a loop over single words takes twice as long.
 */
export function copyTemplate(view: DataView, at: number, template: Template): void {
  const { view: from, length } = template;
  let offset = 0;
  for (; offset + 16 <= length; offset += 16) {
    view.setInt32(at + offset, from.getInt32(offset, true), true);
    view.setInt32(at + offset + 4, from.getInt32(offset + 4, true), true);
    view.setInt32(at + offset + 8, from.getInt32(offset + 8, true), true);
    view.setInt32(at + offset + 12, from.getInt32(offset + 12, true), true);
  }
  for (; offset + 4 <= length; offset += 4) view.setInt32(at + offset, from.getInt32(offset, true), true);
  for (; offset < length; offset++) view.setUint8(at + offset, from.getUint8(offset));
}

/**
 * Writes the addresses, and the header checksum of IPv4.
 * @param rest sum of the other words of the IPv4 header that were rewritten
 * @returns the sum over what the L4 checksum covers and is not rewritten, and the addresses
 */
function writeEnds(view: DataView, at: number, template: Template, src: number, dst: number, rest: number): number {
  const ends = halves(src) + halves(dst);
  view.setInt32(at + template.srcAt, src);
  view.setInt32(at + template.dstAt, dst);
  if (!template.isIpv6) view.setUint16(at + template.headerSumAt, checksumOf(template.headerSum + ends + rest));
  return template.l4Sum + ends * template.coversEnds;
}

/** Makes the copy of a template at `at` a UDP packet. @param ports source port << 16 | destination port */
export function writeUdp(
  view: DataView,
  at: number,
  template: Template,
  src: number,
  dst: number,
  ports: number,
): void {
  const sum = writeEnds(view, at, template, src, dst, 0) + halves(ports);
  view.setInt32(at + template.l4, ports);
  const checksum = checksumOf(sum);
  // 0 says that there is none (RFC 768).
  view.setUint16(at + template.l4SumAt, checksum === 0 ? 0xffff : checksum);
}

/** The same for a TCP segment. @param rest sum of what else was rewritten, and the complement of what stood there */
export function writeTcp(
  view: DataView,
  at: number,
  template: Template,
  src: number,
  dst: number,
  ports: number,
  seq: number,
  ack: number,
  rest = 0,
): void {
  const sum = writeEnds(view, at, template, src, dst, 0) + halves(ports) + halves(seq) + halves(ack) + rest;
  const { l4 } = template;
  view.setInt32(at + l4, ports);
  view.setInt32(at + l4 + 4, seq);
  view.setInt32(at + l4 + 8, ack);
  view.setUint16(at + template.l4SumAt, checksumOf(sum));
}

/** The same for an echo request. @param query identifier << 16 | sequence number */
export function writeEcho(
  view: DataView,
  at: number,
  template: Template,
  src: number,
  dst: number,
  query: number,
): void {
  const sum = writeEnds(view, at, template, src, dst, 0) + halves(query);
  view.setInt32(at + template.l4 + 4, query);
  view.setUint16(at + template.l4SumAt, checksumOf(sum));
}

/** The same for an error that `src` sends `dst` about a UDP packet that `dst` has sent to `peer`. */
export function writeError(
  view: DataView,
  at: number,
  template: Template,
  src: number,
  dst: number,
  peer: number,
  ports: number,
): void {
  let sum = writeEnds(view, at, template, src, dst, 0) + halves(ports);
  const quoted = at + template.l4 + ICMP_BYTES;
  const distance = quoted - (at + template.l3);
  view.setInt32(at + template.srcAt + distance, dst);
  view.setInt32(at + template.dstAt + distance, peer);
  if (template.isIpv6) {
    sum += halves(dst) + halves(peer);
    view.setInt32(quoted + 40, ports);
  } else {
    // The quoted header, once its own checksum is right, adds 0xffff to any sum: nothing.
    const headerSum = QUOTED_SUM + halves(dst) + halves(peer);
    view.setUint16(quoted + 10, checksumOf(headerSum));
    sum += headerSum - QUOTED_SUM + checksumOf(headerSum);
    view.setInt32(quoted + 20, ports);
  }
  view.setUint16(at + template.l4SumAt, checksumOf(sum));
}

/** Sum of the quoted IPv4 header without addresses and checksum. */
const QUOTED_SUM = sumOf(new Uint8Array(l3Header(4, UDP, UDP_BYTES)), 0, 20);

/**
 * The same for a fragment of a UDP datagram; the ports are only there in the first one.
 * @param offset of the fragment in units of 8 bytes; more fragments follow
 */
export function writeFragment(
  view: DataView,
  at: number,
  template: Template,
  src: number,
  dst: number,
  ports: number,
  id: number,
  offset: number,
): void {
  const { l3, l4, isIpv6 } = template;
  if (isIpv6) {
    view.setUint16(at + l4 - 6, (offset << 3) | 1);
    view.setInt32(at + l4 - 4, id);
  } else {
    view.setUint16(at + l3 + 4, id);
    view.setUint16(at + l3 + 6, MORE_FRAGMENTS | offset);
  }
  // The template says "don't fragment", which goes.
  const rest = isIpv6 ? 0 : (id & 0xffff) + (MORE_FRAGMENTS | offset) - DONT_FRAGMENT;
  writeEnds(view, at, template, src, dst, rest);
  if (offset === 0) view.setInt32(at + l4, ports);
}

const MORE_FRAGMENTS = 0x2000;
const DONT_FRAGMENT = 0x4000;
