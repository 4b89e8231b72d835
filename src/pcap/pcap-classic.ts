/**
 * The classic capture format: a 24-byte file header, then records of a header and a frame.
 *
 *   file header    magic 4 | version 2+2 | zone 4 | accuracy 4 | snap length 4 | link type and FCS 4
 *   record header  seconds 4 | fraction 4 | captured 4 | original 4 [| interface 4 | protocol 2 | type 1 | pad 1]
 *
 * The magic says the byte order, the unit of the fraction and whether records have the longer header of Kuznetzov's
 * patched libpcap. Zone and accuracy are zero in practice and ignored, as by libpcap; the snap length is ignored
 * because writers exceed it, the bound on a record is ours.
 *
 * Read first: draft-ietf-opsawg-pcap. Used by reader.ts; imports capture.ts and source.ts.
 */

import { type CaptureDecoder, type CaptureInterface, MAX_RECORD_BYTES, type PacketFields } from './capture.js';
import type { CaptureSource } from './source.js';

const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const PATCHED_RECORD_HEADER_BYTES = 24;

/** Magic, fraction units per millisecond, bytes of a record header. */
const VARIANTS = [
  { magic: 0xa1b2c3d4, unitsPerMs: 1e3, recordHeaderBytes: RECORD_HEADER_BYTES },
  { magic: 0xa1b23c4d, unitsPerMs: 1e6, recordHeaderBytes: RECORD_HEADER_BYTES },
  { magic: 0xa1b2cd34, unitsPerMs: 1e3, recordHeaderBytes: PATCHED_RECORD_HEADER_BYTES },
] as const;

/** Upper half of the link type field: FCS length in 16-bit units, valid when the bit says so. */
const FCS_LENGTH_PRESENT = 0x04000000;
const FCS_LENGTH_SHIFT = 28;

/** Whether the 4 bytes at the source's position, which must be available, are the magic of this format. */
export function isClassic(source: CaptureSource): boolean {
  return isMagic(source.view.getUint32(source.position, true)) || isMagic(source.view.getUint32(source.position));
}

function isMagic(word: number): boolean {
  return VARIANTS.some(variant => variant.magic === word);
}

export class ClassicDecoder implements CaptureDecoder {
  readonly interfaces: readonly CaptureInterface[];

  readonly #source: CaptureSource;
  readonly #littleEndian: boolean;
  readonly #unitsPerMs: number;
  readonly #recordHeaderBytes: number;
  readonly #linkType: number;
  readonly #fcsBytes: number;

  /** Consumes the file header. The source is borrowed, the caller closes it. @throws CaptureError */
  constructor(source: CaptureSource) {
    if (!source.ensure(FILE_HEADER_BYTES)) {
      throw source.fault(
        `the pcap file header is cut short, ${source.available} of ${FILE_HEADER_BYTES} bytes are there`,
      );
    }
    const { view, position } = source;
    const littleEndian = isMagic(view.getUint32(position, true));
    const magic = view.getUint32(position, littleEndian);
    const variant = VARIANTS.find(candidate => candidate.magic === magic);
    if (variant === undefined) throw source.fault('no pcap magic');
    const major = view.getUint16(position + 4, littleEndian);
    const minor = view.getUint16(position + 6, littleEndian);
    // Up to 2.3 some writers swapped the two lengths of a record; nothing has written those versions since 1997.
    if (major !== 2 || minor !== 4) throw source.fault(`pcap version ${major}.${minor} is not supported, only 2.4 is`);
    const link = view.getUint32(position + 20, littleEndian);

    this.#source = source;
    this.#littleEndian = littleEndian;
    this.#unitsPerMs = variant.unitsPerMs;
    this.#recordHeaderBytes = variant.recordHeaderBytes;
    this.#linkType = link & 0xffff;
    this.#fcsBytes = (link & FCS_LENGTH_PRESENT) === 0 ? 0 : (link >>> FCS_LENGTH_SHIFT) * 2;
    this.interfaces = [{ name: undefined, linkType: this.#linkType }];
    source.position += FILE_HEADER_BYTES;
  }

  next(packet: PacketFields): boolean {
    const source = this.#source;
    const headerBytes = this.#recordHeaderBytes;
    if (!source.ensure(headerBytes)) {
      if (source.available === 0) return false;
      throw source.fault(`the record header is cut short, ${source.available} of ${headerBytes} bytes are there`);
    }
    const littleEndian = this.#littleEndian;
    const captured = source.view.getUint32(source.position + 8, littleEndian);
    if (captured > MAX_RECORD_BYTES) {
      throw source.fault(`the record claims ${captured} captured bytes, more than the limit of ${MAX_RECORD_BYTES}`);
    }
    if (!source.ensure(headerBytes + captured)) {
      throw source.fault(`the record is cut short, ${source.available - headerBytes} of ${captured} bytes are there`);
    }
    // Only now: ensure() may have moved the record and replaced the view.
    const { view, position } = source;
    const original = view.getUint32(position + 12, littleEndian);
    const frameStart = position + headerBytes;
    packet.timeMs =
      view.getUint32(position, littleEndian) * 1000 + view.getUint32(position + 4, littleEndian) / this.#unitsPerMs;
    packet.frameStart = frameStart;
    packet.frameEnd = frameStart + captured;
    packet.originalLength = original;
    packet.interfaceId = 0;
    packet.linkType = this.#linkType;
    if (this.#fcsBytes > 0) stripFcs(packet, this.#fcsBytes);
    source.position = frameStart + captured;
    return true;
  }
}

/** Takes the frame check sequence, or as much of it as was captured, off the end of the frame. */
function stripFcs(packet: PacketFields, fcsBytes: number): void {
  const captured = packet.frameEnd - packet.frameStart;
  // A frame longer than it claims to be has no known end, and so no known FCS.
  if (captured > packet.originalLength) return;
  packet.originalLength = Math.max(0, packet.originalLength - fcsBytes);
  packet.frameEnd = packet.frameStart + Math.min(captured, packet.originalLength);
}
