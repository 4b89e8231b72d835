/**
 * Builders for what travels in IP: TCP, UDP, SCTP, ICMP, ICMPv6 and raw bytes. See frames.ts for how to use them.
 *
 * A builder takes the fields that matter to the test and fills in the rest, checksum included.
 *
 * Imports support/sums.
 */
import { crc32c, internetChecksum } from './sums.js';

/** The pseudo header that a checksum covers, for a message of the given protocol and length. */
export type PseudoHeader = (protocol: number, length: number) => Uint8Array;

/** A message to be put into an IP packet, which knows the addresses that the checksum covers. */
export interface Transport {
  readonly protocol: number;
  readonly bytes: (pseudoHeader: PseudoHeader) => Uint8Array;
}

/** The value to put there, whatever is right, or `wrong` for one that is off by a bit. */
export type Checksum = number | 'wrong';

export type Content = Uint8Array | readonly number[] | string;

export function contentBytes(content: Content): Uint8Array {
  return typeof content === 'string' ? new TextEncoder().encode(content) : Uint8Array.from(content);
}

export function u16(value: number): number[] {
  return [(value >>> 8) & 0xff, value & 0xff];
}

export function u32(value: number): number[] {
  return [...u16(value >>> 16), ...u16(value)];
}

export function join(...parts: readonly (readonly number[] | Uint8Array)[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** The asked-for value of a checksum, given the right one. Never turns into 0, which UDP takes for "none". */
export function chosenChecksum(asked: Checksum | undefined, right: number): number {
  if (asked === undefined) return right;
  if (asked !== 'wrong') return asked;
  return right === 1 ? 2 : right ^ 1;
}

/** Writes a checksum of 16 bits at `at`, where there are zeros, computed over `before` and the message. */
function sealed(message: Uint8Array, at: number, before: Uint8Array, asked: Checksum | undefined): Uint8Array {
  const right = internetChecksum(join(before, message));
  message.set(u16(chosenChecksum(asked, right)), at);
  return message;
}

/** A message as it is: a protocol without a builder, or one that is broken beyond what the builders offer. */
export function raw(protocol: number, content: Content = []): Transport {
  return { protocol, bytes: () => contentBytes(content) };
}

/** Bits of the TCP flags by letter: FIN, SYN, RST, PSH, ACK, URG, ECE, CWR. */
const TCP_FLAG_LETTERS = 'FSRPAUEC';

export interface TcpFields {
  readonly sport?: number;
  readonly dport?: number;
  readonly seq?: number;
  readonly ack?: number;
  /** Letters of FSRPAUEC: `SA` is a SYN+ACK. */
  readonly flags?: string;
  readonly window?: number;
  /** Padded with zeros to a multiple of four bytes. */
  readonly options?: readonly number[];
  readonly payload?: Content;
  /** In words of four bytes. */
  readonly dataOffset?: number;
  readonly checksum?: Checksum;
}

export function tcp(fields: TcpFields = {}): Transport {
  const { sport = 40000, dport = 80, seq = 0xffff_fff0, ack = 0, flags = 'S', window = 65535, options = [] } = fields;
  const padding = new Uint8Array((4 - (options.length % 4)) % 4);
  const offset = fields.dataOffset ?? 5 + (options.length + padding.length) / 4;
  const bits = [...flags].reduce((sum, letter) => sum | (1 << TCP_FLAG_LETTERS.indexOf(letter)), 0);
  return {
    protocol: 6,
    bytes: pseudoHeader => {
      const ports = [...u16(sport), ...u16(dport)];
      const header = [...ports, ...u32(seq), ...u32(ack), offset << 4, bits, ...u16(window), 0, 0, 0, 0];
      const segment = join(header, options, padding, contentBytes(fields.payload ?? []));
      return sealed(segment, 16, pseudoHeader(6, segment.length), fields.checksum);
    },
  };
}

export interface UdpFields {
  readonly sport?: number;
  readonly dport?: number;
  readonly payload?: Content;
  readonly length?: number;
  /** Bytes that the IP packet holds behind the datagram; the checksum does not cover them. */
  readonly surplus?: Content;
  readonly checksum?: Checksum;
}

export function udp(fields: UdpFields = {}): Transport {
  const { sport = 40000, dport = 53, payload = [], surplus = [] } = fields;
  return {
    protocol: 17,
    bytes: pseudoHeader => {
      const content = contentBytes(payload);
      const length = fields.length ?? 8 + content.length;
      const datagram = join([...u16(sport), ...u16(dport), ...u16(length), 0, 0], content);
      const sum = internetChecksum(join(pseudoHeader(17, datagram.length), datagram));
      // A sum of zero goes out as all ones, since zero means "none" (RFC 768).
      datagram.set(u16(chosenChecksum(fields.checksum, sum || 0xffff)), 6);
      return join(datagram, contentBytes(surplus));
    },
  };
}

export interface SctpChunk {
  readonly type?: number;
  readonly flags?: number;
  readonly value?: Content;
  /** The length field; the value is padded to four bytes whatever it says. */
  readonly length?: number;
}

export interface SctpFields {
  readonly sport?: number;
  readonly dport?: number;
  readonly tag?: number;
  readonly chunks?: readonly SctpChunk[];
  /** Bytes behind the last chunk, under the checksum. */
  readonly surplus?: Content;
  readonly checksum?: Checksum;
}

function sctpChunk({ type = 1, flags = 0, value = [], length }: SctpChunk): Uint8Array {
  const content = contentBytes(value);
  const padding = new Uint8Array((4 - (content.length % 4)) % 4);
  return join([type, flags, ...u16(length ?? 4 + content.length)], content, padding);
}

export function sctp(fields: SctpFields = {}): Transport {
  const { sport = 40000, dport = 3868, tag = 0, chunks = [{ value: new Uint8Array(16) }], surplus = [] } = fields;
  return {
    protocol: 132,
    bytes: () => {
      const header = [...u16(sport), ...u16(dport), ...u32(tag), 0, 0, 0, 0];
      const packet = join(header, ...chunks.map(sctpChunk), contentBytes(surplus));
      const sum = chosenChecksum(fields.checksum, crc32c(packet));
      // The least significant byte goes first (RFC 9260, appendix A).
      packet.set(u32(sum).reverse(), 8);
      return packet;
    },
  };
}

export interface IcmpFields {
  readonly type?: number;
  readonly code?: number;
  readonly id?: number;
  readonly sequence?: number;
  /** The data of a query, or the packet that an error quotes. */
  readonly payload?: Content;
  readonly checksum?: Checksum;
}

function icmpMessage(type: number, { code = 0, id = 0x1234, sequence = 1, payload = [] }: IcmpFields): Uint8Array {
  return join([type, code, 0, 0, ...u16(id), ...u16(sequence)], contentBytes(payload));
}

/** An echo request unless `type` says otherwise. In an error `id` and `sequence` are the second four bytes. */
export function icmp(fields: IcmpFields = {}): Transport {
  return {
    protocol: 1,
    bytes: () => sealed(icmpMessage(fields.type ?? 8, fields), 2, new Uint8Array(0), fields.checksum),
  };
}

/** The same for ICMPv6, whose checksum covers a pseudo header (RFC 4443, section 2.3). */
export function icmpv6(fields: IcmpFields = {}): Transport {
  return {
    protocol: 58,
    bytes: pseudoHeader => {
      const message = icmpMessage(fields.type ?? 128, fields);
      return sealed(message, 2, pseudoHeader(58, message.length), fields.checksum);
    },
  };
}
