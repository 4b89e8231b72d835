/**
 * Frames for tests: typed plain objects with a default for every field, so that a test names only what differs.
 *
 * ```ts
 * frame(ipv4({ src: '10.0.0.9' }, tcp({ flags: 'SA' })))
 * frame(ipv6({ extensions: [{ kind: 'routing' }] }, udp({ dport: 0 })), { tags: [{ id: 7 }] })
 * frame(ipv4({}, icmp({ type: 3, code: 1, payload: ipv4({ … }, udp()).bytes })))
 * ```
 *
 * Imports support/sums, support/transport. Re-exports the builders of support/transport.
 */
import { internetChecksum } from './sums.js';
import {
  type Checksum,
  type Content,
  chosenChecksum,
  contentBytes,
  join,
  type PseudoHeader,
  type Transport,
  u16,
  u32,
} from './transport.js';

export {
  type Content,
  type IcmpFields,
  icmp,
  icmpv6,
  join,
  raw,
  sctp,
  type Transport,
  tcp,
  u16,
  u32,
  udp,
} from './transport.js';

/** A packet of the network layer with the ethertype that announces it. */
export interface Packet {
  readonly ethertype: number;
  readonly bytes: Uint8Array;
}

export interface Ipv4Fields {
  readonly src?: string;
  readonly dst?: string;
  readonly version?: number;
  readonly id?: number;
  readonly reservedFlag?: boolean;
  readonly dontFragment?: boolean;
  readonly moreFragments?: boolean;
  /** In units of eight bytes. */
  readonly fragmentOffset?: number;
  readonly ttl?: number;
  readonly protocol?: number;
  /** Padded with zeros to a multiple of four bytes. */
  readonly options?: readonly number[];
  /** In words of four bytes. */
  readonly headerLength?: number;
  readonly totalLength?: number;
  readonly checksum?: Checksum;
}

export function ipv4Bytes(address: string): number[] {
  return address.split('.').map(Number);
}

export function ipv4(fields: Ipv4Fields, transport: Transport): Packet {
  const { src = '10.0.0.1', dst = '10.0.0.2', version = 4, id = 0x1234, ttl = 64, options = [] } = fields;
  const { protocol = transport.protocol, fragmentOffset = 0 } = fields;
  const addresses = [...ipv4Bytes(src), ...ipv4Bytes(dst)];
  const pseudoHeader: PseudoHeader = (number, length) => join(addresses, [0, number], u16(length));
  const payload = transport.bytes(pseudoHeader);
  const padding = new Uint8Array((4 - (options.length % 4)) % 4);
  const headerBytes = 20 + options.length + padding.length;
  const { headerLength = headerBytes / 4, totalLength = headerBytes + payload.length } = fields;
  const { reservedFlag = false, dontFragment = false, moreFragments = false } = fields;
  const flags = (Number(reservedFlag) << 15) | (Number(dontFragment) << 14) | (Number(moreFragments) << 13);
  const start = [(version << 4) | headerLength, 0, ...u16(totalLength), ...u16(id), ...u16(flags | fragmentOffset)];
  const header = join(start, [ttl, protocol, 0, 0], addresses, options, padding);
  header.set(u16(chosenChecksum(fields.checksum, internetChecksum(header))), 10);
  return { ethertype: 0x0800, bytes: join(header, payload) };
}

const EXTENSION_KINDS = { 'hop-by-hop': 0, routing: 43, fragment: 44, authentication: 51, destination: 60 } as const;

/** An IPv6 extension header. Only fragment headers have the last three fields. */
export interface Extension {
  readonly kind: keyof typeof EXTENSION_KINDS;
  /** Bytes that are there; a multiple of eight, of four for authentication. */
  readonly size?: number;
  /** The length field, in the units of the kind. */
  readonly length?: number;
  readonly offset?: number;
  readonly more?: boolean;
  readonly reserved?: number;
}

export interface Ipv6Fields {
  readonly src?: string;
  readonly dst?: string;
  readonly hopLimit?: number;
  readonly extensions?: readonly Extension[];
  /** The first next header; with extensions the one of the first extension. */
  readonly nextHeader?: number;
  readonly payloadLength?: number;
}

/** Sixteen bytes of an address in text form, with or without `::`. */
export function ipv6Bytes(address: string): number[] {
  const [head, tail] = address.split('::');
  const groups = (text: string | undefined) => (text ? text.split(':').map(group => Number.parseInt(group, 16)) : []);
  const first = groups(head);
  const last = groups(tail);
  const zeros = new Array<number>(8 - first.length - last.length).fill(0);
  return [...first, ...zeros, ...last].flatMap(u16);
}

function extensionBytes(extension: Extension, nextHeader: number): Uint8Array {
  const { kind, size = 8, offset = 0, more = false, reserved = 0 } = extension;
  if (kind === 'fragment') {
    return join([nextHeader, 0], u16((offset << 3) | (reserved << 1) | Number(more)), u32(0x89ab_cdef));
  }
  const length = extension.length ?? (kind === 'authentication' ? size / 4 - 2 : size / 8 - 1);
  return join([nextHeader, length], new Uint8Array(size - 2));
}

export function ipv6(fields: Ipv6Fields, transport: Transport): Packet {
  const { src = '2001:db8::1', dst = '2001:db8::2', hopLimit = 64, extensions = [] } = fields;
  const addresses = [...ipv6Bytes(src), ...ipv6Bytes(dst)];
  const pseudoHeader: PseudoHeader = (number, length) => join(addresses, u32(length), [0, 0, 0, number]);
  const kinds = [...extensions.map(({ kind }) => EXTENSION_KINDS[kind]), transport.protocol];
  const chain = extensions.map((extension, index) => extensionBytes(extension, kinds[index + 1]));
  const payload = join(...chain, transport.bytes(pseudoHeader));
  const { nextHeader = kinds[0], payloadLength = payload.length } = fields;
  const start = [0x60, 0, 0, 0, ...u16(payloadLength), nextHeader, hopLimit];
  return { ethertype: 0x86dd, bytes: join(start, addresses, payload) };
}

/** A packet of any other kind. */
export function other(ethertype: number, content: Content = []): Packet {
  return { ethertype, bytes: contentBytes(content) };
}

export interface Tag {
  readonly type?: number;
  readonly id?: number;
}

export interface EthernetFields {
  /** VLAN tags, outermost first. */
  readonly tags?: readonly Tag[];
  /** What stands in place of the packet's ethertype. */
  readonly ethertype?: number;
  /** IEEE 802.3: a length instead of the ethertype, then these bytes, then the packet. */
  readonly llc?: readonly number[];
  /** Bytes behind the packet, as padding to the shortest frame. */
  readonly trailer?: Content;
}

/** The LLC and SNAP headers that carry an ethertype (RFC 1042). */
export function snap(ethertype: number, organisation: readonly number[] = [0, 0, 0]): number[] {
  return [0xaa, 0xaa, 0x03, ...organisation, ...u16(ethertype)];
}

/** A whole Ethernet frame, without its check sequence. */
export function frame(packet: Packet, fields: EthernetFields = {}): Uint8Array {
  const { tags = [], llc, trailer = [] } = fields;
  const macs = [0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1];
  const tagBytes = tags.flatMap(({ type = 0x8100, id = 1 }) => [...u16(type), ...u16(id)]);
  const behind = join(llc ?? [], packet.bytes);
  const type = fields.ethertype ?? (llc === undefined ? packet.ethertype : behind.length);
  return join(macs, tagBytes, u16(type), behind, contentBytes(trailer));
}
