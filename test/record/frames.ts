/** Builds frames byte by byte, with right checksums. The recorder's own, so that it judges nothing by src/. */

/** Addresses of one packet, IPv4 or IPv6. */
export interface Route {
  readonly source: string;
  readonly destination: string;
}

/** A frame and the end of the wire that sends it. */
export interface CraftedFrame {
  readonly from: 'client' | 'server';
  readonly data: Buffer;
}

export const TYPE = { IPV4: 0x0800, IPV6: 0x86dd, ARP: 0x0806, VLAN: 0x8100, QINQ: 0x88a8 } as const;
export const PROTOCOL = { ICMP: 1, TCP: 6, UDP: 17, ICMPV6: 58, SCTP: 132 } as const;
export const FLAG = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16, URG: 32, ECE: 64, CWR: 128 } as const;

const CLIENT_MAC = '020000000001';
const SERVER_MAC = '020000000002';

/** A file of bytes: numbers are written as many bytes wide as the name says. */
export function u8(...values: readonly number[]): Buffer {
  return Buffer.from(values);
}
export function u16(...values: readonly number[]): Buffer {
  return Buffer.concat(values.map(value => Buffer.from([value >> 8, value])));
}
export function u32(...values: readonly number[]): Buffer {
  return Buffer.concat(values.map(value => u16(value >>> 16, value & 0xffff)));
}
export function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex');
}
export function join(...parts: readonly Buffer[]): Buffer {
  return Buffer.concat(parts);
}

export function crafted(from: 'client' | 'server', type: number, payload: Buffer): CraftedFrame {
  const macs = from === 'client' ? SERVER_MAC + CLIENT_MAC : CLIENT_MAC + SERVER_MAC;
  return { from, data: join(hex(macs), u16(type), payload) };
}

/** The Internet checksum of the parts, each but the last of even length. */
export function checksum(...parts: readonly Buffer[]): number {
  const bytes = join(...parts);
  let sum = 0;
  for (let at = 0; at < bytes.length; at++) sum += at % 2 === 0 ? bytes[at] << 8 : bytes[at];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum ^ 0xffff;
}

const CRC32C_POLYNOMIAL = 0x82f63b78;

export function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? CRC32C_POLYNOMIAL : 0);
  }
  return ~crc >>> 0;
}

function address(text: string): Buffer {
  if (!text.includes(':')) return Buffer.from(text.split('.').map(Number));
  const [head, tail = ''] = text.split('::');
  const groups = (part: string) => (part === '' ? [] : part.split(':').map(group => Number.parseInt(group, 16)));
  const front = groups(head);
  const back = groups(tail);
  return u16(...front, ...new Array(8 - front.length - back.length).fill(0), ...back);
}

function pseudoHeader({ source, destination }: Route, protocol: number, length: number): Buffer {
  const tail = source.includes(':') ? u32(length, protocol) : u16(protocol, length);
  return join(address(source), address(destination), tail);
}

/** The same bytes with the checksum of the message put in at an offset. */
function withChecksum(message: Buffer, at: number, ...before: readonly Buffer[]): Buffer {
  const copy = Buffer.from(message);
  copy.writeUInt16BE(0, at);
  copy.writeUInt16BE(checksum(...before, copy), at);
  return copy;
}

let identification = 1;

export function ipv4(
  route: Route,
  protocol: number,
  payload: Buffer,
  options: Buffer = Buffer.alloc(0),
  ttl = 64,
): Buffer {
  const words = 5 + options.length / 4;
  const first = u16(0x4000 | (words << 8), words * 4 + payload.length, identification++, 0x4000);
  const header = join(first, u8(ttl, protocol), u16(0), address(route.source), address(route.destination), options);
  return join(withChecksum(header, 10), payload);
}

export function ipv6(route: Route, nextHeader: number, payload: Buffer, hopLimit = 64): Buffer {
  const head = join(u32(0x60000000), u16(payload.length), u8(nextHeader, hopLimit));
  return join(head, address(route.source), address(route.destination), payload);
}

/** IPv4 or IPv6, as the addresses are. */
export function ip(route: Route, protocol: number, payload: Buffer): Buffer {
  return route.source.includes(':') ? ipv6(route, protocol, payload) : ipv4(route, protocol, payload);
}

export interface Segment {
  readonly ports: readonly [source: number, destination: number];
  readonly flags: number;
  readonly sequence?: number;
  readonly acknowledgment?: number;
  readonly window?: number;
  readonly options?: Buffer;
  readonly data?: Buffer;
}

export function tcp(route: Route, segment: Segment): Buffer {
  const { ports, flags, sequence = 1000, acknowledgment = 0, window = 64000 } = segment;
  const { options = Buffer.alloc(0), data = Buffer.alloc(0) } = segment;
  const head = join(
    u16(...ports),
    u32(sequence, acknowledgment),
    u8((5 + options.length / 4) << 4, flags),
    u16(window, 0, 0),
  );
  const message = join(head, options, data);
  return withChecksum(message, 16, pseudoHeader(route, PROTOCOL.TCP, message.length));
}

export function udp(route: Route, source: number, destination: number, data: Buffer = Buffer.from('data')): Buffer {
  const message = join(u16(source, destination, 8 + data.length, 0), data);
  return withChecksum(message, 6, pseudoHeader(route, PROTOCOL.UDP, message.length));
}

/** ICMP; the second word is identifier and sequence number, or what the type makes of it. */
export function icmp(type: number, code: number, word: number, data: Buffer = Buffer.alloc(0)): Buffer {
  return withChecksum(join(u8(type, code), u16(0), u32(word), data), 2);
}

export function icmpv6(route: Route, type: number, code: number, word: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const message = join(u8(type, code), u16(0), u32(word), data);
  return withChecksum(message, 2, pseudoHeader(route, PROTOCOL.ICMPV6, message.length));
}

export interface Chunk {
  readonly type: number;
  readonly flags?: number;
  readonly value: Buffer;
}

export function sctp(ports: readonly [number, number], tag: number, chunks: readonly Chunk[]): Buffer {
  const body = chunks.map(({ type, flags = 0, value }) =>
    join(u8(type, flags), u16(4 + value.length), value, Buffer.alloc(-value.length & 3)),
  );
  return withCrc(join(u16(...ports), u32(tag, 0), ...body));
}

/** The same packet with its CRC32c, which SCTP writes least significant byte first. */
export function withCrc(packet: Buffer): Buffer {
  const copy = Buffer.from(packet);
  copy.writeUInt32LE(0, 8);
  copy.writeUInt32LE(crc32c(copy), 8);
  return copy;
}

export function reverse({ source, destination }: Route): Route {
  return { source: destination, destination: source };
}
