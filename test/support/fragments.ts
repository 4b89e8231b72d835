/**
 * Datagrams cut into fragments, from the bytes up (RFC 791, RFC 8200 section 4.5).
 *
 * Imports support/frames, support/sums.
 */
import { type EthernetFields, frame, type Packet } from './frames.js';
import { internetChecksum } from './sums.js';

export interface CutFields extends EthernetFields {
  /** Identification, the same in all fragments. */
  readonly id?: number;
  /** Bytes of extension headers of IPv6 in front of the fragment header; the header's chain must begin with them. */
  readonly unfragmentable?: number;
}

/** A fragment: what a datagram carries from `from` to `to`, in bytes behind the header. */
export interface Part {
  readonly from: number;
  readonly to: number;
  /** Default: whether it ends before the datagram. */
  readonly more?: boolean;
}

const IPV6_BYTES = 40;

/** Bytes that the datagram carries. */
export function carried(packet: Packet, fields: CutFields = {}): number {
  return packet.bytes.length - headerBytes(packet, fields);
}

function headerBytes(packet: Packet, { unfragmentable = 0 }: CutFields): number {
  return packet.ethertype === 0x0800 ? (packet.bytes[0] & 15) * 4 : IPV6_BYTES + unfragmentable;
}

/** One part of the datagram, as a frame. */
export function fragment(packet: Packet, part: Part, fields: CutFields = {}): Uint8Array {
  const { id = 0x4321 } = fields;
  const { from, to, more = to < carried(packet, fields) } = part;
  const header = Buffer.from(packet.bytes.subarray(0, headerBytes(packet, fields)));
  const content = Buffer.from(packet.bytes.subarray(header.length + from, header.length + to));
  if (packet.ethertype === 0x0800) {
    header.writeUInt16BE(header.length + content.length, 2);
    header.writeUInt16BE(id & 0xffff, 4);
    header.writeUInt16BE((from >> 3) | (more ? 0x2000 : 0), 6);
    header.writeUInt16BE(0, 10);
    header.writeUInt16BE(internetChecksum(header), 10);
    return frame({ ethertype: 0x0800, bytes: Buffer.concat([header, content]) }, fields);
  }
  const own = Buffer.alloc(8);
  // The next header that names what is fragmented is the last one of those in front.
  const link = header.length === IPV6_BYTES ? 6 : lastExtension(header);
  own[0] = header[link];
  header[link] = 44;
  own.writeUInt16BE(from | (more ? 1 : 0), 2);
  own.writeUInt32BE(id >>> 0, 4);
  header.writeUInt16BE(header.length - IPV6_BYTES + own.length + content.length, 4);
  return frame({ ethertype: 0x86dd, bytes: Buffer.concat([header, own, content]) }, fields);
}

/** Where the last extension header of an unfragmentable part begins: all are of the usual form. */
function lastExtension(header: Buffer): number {
  let at = IPV6_BYTES;
  while (at + (header[at + 1] + 1) * 8 < header.length) at += (header[at + 1] + 1) * 8;
  return at;
}

/** The whole datagram in fragments that carry `size` bytes each, a multiple of eight. */
export function cut(packet: Packet, size: number, fields: CutFields = {}): Uint8Array[] {
  const all = carried(packet, fields);
  return Array.from({ length: Math.ceil(all / size) }, (_, index) =>
    fragment(packet, { from: index * size, to: Math.min((index + 1) * size, all) }, fields),
  );
}
