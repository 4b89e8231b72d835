/**
 * The pcapng format: a sequence of blocks, each framed by its length at both ends.
 *
 *   block    type 4 | total length 4 | body | total length 4        all lengths in bytes, multiples of 4
 *
 * A section header starts a section: it sets the byte order and empties the list of interfaces; interface blocks add to
 * the list; packet blocks refer to it by number. Every other block is skipped. Section lengths are ignored: blocks are
 * read in sequence anyway, and live captures leave the length open.
 *
 * Read first: draft-ietf-opsawg-pcapng. Used by reader.ts; imports capture.ts and source.ts.
 */

import { type CaptureDecoder, type CaptureInterface, MAX_RECORD_BYTES, type PacketFields } from './capture.js';
import type { CaptureSource } from './source.js';

const BLOCK = {
  /** Reads the same in both byte orders, so it is recognised before the order is known. */
  SECTION_HEADER: 0x0a0d0d0a,
  INTERFACE: 1,
  OBSOLETE_PACKET: 2,
  SIMPLE_PACKET: 3,
  ENHANCED_PACKET: 6,
} as const;

/** Type and both lengths. */
const FRAMING_BYTES = 12;
const TRAILER_BYTES = 4;
/** Least total lengths of the blocks that are read: framing and fixed fields. */
const SECTION_HEADER_BYTES = 28;
const INTERFACE_BYTES = 20;
const SIMPLE_PACKET_BYTES = 16;
const PACKET_BYTES = 32;

const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

const OPTION = { END: 0, NAME: 2, TIME_RESOLUTION: 9, TIME_OFFSET: 14 } as const;
const OPTION_HEADER_BYTES = 4;

/** Bounds on what a section may make the reader remember; far above mergecap over thousands of files. */
const MAX_INTERFACES = 65536;
const MAX_NAME_BYTES = 256;

const MICROSECONDS = 1e6;
/** Finest unit for which readTime() is exact before its last rounding: twice this still fits 31 bits. */
const FINEST_EXACT_UNITS = 1e9;

interface SectionInterface extends CaptureInterface {
  name: string | undefined;
  linkType: number;
  /** Longest capture in bytes, 0 for no limit. */
  snapLength: number;
  /** Time stamp units per second. */
  unitsPerSecond: number;
  /** Added to every time stamp, in milliseconds. */
  offsetMs: number;
}

/** Whether the 4 bytes at the source's position, which must be available, begin a section header. */
export function isPcapng(source: CaptureSource): boolean {
  return source.view.getUint32(source.position) === BLOCK.SECTION_HEADER;
}

export class PcapngDecoder implements CaptureDecoder {
  readonly #source: CaptureSource;
  #littleEndian = true;
  /** Interfaces of the current section, by number. */
  #interfaces: SectionInterface[] = [];

  /** Consumes the first section header. The source is borrowed, the caller closes it. @throws CaptureError */
  constructor(source: CaptureSource) {
    this.#source = source;
    const length = this.#frameBlock();
    this.#startSection(length);
    source.position += length;
  }

  get interfaces(): readonly CaptureInterface[] {
    return this.#interfaces;
  }

  next(packet: PacketFields): boolean {
    const source = this.#source;
    for (let found = false; !found; ) {
      const length = this.#frameBlock();
      if (length === 0) return false;
      const at = source.position;
      switch (source.view.getUint32(at, this.#littleEndian)) {
        case BLOCK.ENHANCED_PACKET:
          this.#checkLength('enhanced packet', length, PACKET_BYTES);
          this.#readPacket(packet, length, source.view.getUint32(at + 8, this.#littleEndian));
          found = true;
          break;
        case BLOCK.OBSOLETE_PACKET:
          // The same layout, but for a shorter interface number followed by a count of drops.
          this.#checkLength('packet', length, PACKET_BYTES);
          this.#readPacket(packet, length, source.view.getUint16(at + 8, this.#littleEndian));
          found = true;
          break;
        case BLOCK.SIMPLE_PACKET:
          this.#checkLength('simple packet', length, SIMPLE_PACKET_BYTES);
          this.#readSimplePacket(packet, length);
          found = true;
          break;
        case BLOCK.INTERFACE:
          this.#addInterface(length);
          break;
        case BLOCK.SECTION_HEADER:
          this.#startSection(length);
          break;
      }
      source.position = at + length;
    }
    return true;
  }

  /**
   * Checks the framing of the block at the source's position and makes all of it available. Returns its total length,
   * 0 at a clean end.
   */
  #frameBlock(): number {
    const source = this.#source;
    if (!source.ensure(FRAMING_BYTES)) {
      if (source.available === 0) return 0;
      throw source.fault(`the block is cut short, ${source.available} of at least ${FRAMING_BYTES} bytes are there`);
    }
    if (source.view.getUint32(source.position) === BLOCK.SECTION_HEADER) this.#readByteOrder();
    const length = source.view.getUint32(source.position + 4, this.#littleEndian);
    if (length < FRAMING_BYTES || length % 4 !== 0 || length > MAX_RECORD_BYTES) throw this.#impossibleLength(length);
    if (!source.ensure(length)) {
      throw source.fault(`the block is cut short, ${source.available} of ${length} bytes are there`);
    }
    const trailer = source.view.getUint32(source.position + length - TRAILER_BYTES, this.#littleEndian);
    if (trailer !== length) {
      throw source.fault(`the block starts with a length of ${length} bytes and ends with one of ${trailer}`);
    }
    return length;
  }

  #impossibleLength(length: number): Error {
    if (length > MAX_RECORD_BYTES) {
      return this.#source.fault(`the block claims ${length} bytes, more than the limit of ${MAX_RECORD_BYTES}`);
    }
    const rule = length < FRAMING_BYTES ? `fewer than ${FRAMING_BYTES}` : 'not a multiple of 4';
    return this.#source.fault(`the block has an impossible length of ${length} bytes, ${rule},`);
  }

  /** Sets the byte order from the section header at the source's position, of which 12 bytes must be available. */
  #readByteOrder(): void {
    const { view, position } = this.#source;
    const magic = view.getUint32(position + 8);
    this.#littleEndian = view.getUint32(position + 8, true) === BYTE_ORDER_MAGIC;
    if (!this.#littleEndian && magic !== BYTE_ORDER_MAGIC) {
      throw this.#source.fault(`the section header has no byte-order magic but 0x${magic.toString(16)}`);
    }
  }

  #checkLength(kind: string, length: number, least: number): void {
    if (length < least) {
      throw this.#source.fault(`the ${kind} block has ${length} bytes, fewer than the ${least} of its fixed fields`);
    }
  }

  #startSection(length: number): void {
    this.#checkLength('section header', length, SECTION_HEADER_BYTES);
    const { view, position } = this.#source;
    const major = view.getUint16(position + 12, this.#littleEndian);
    // Minor versions are compatible by definition.
    if (major !== 1) throw this.#source.fault(`pcapng version ${major} is not supported, only 1 is`);
    this.#interfaces = [];
  }

  #addInterface(length: number): void {
    this.#checkLength('interface', length, INTERFACE_BYTES);
    if (this.#interfaces.length === MAX_INTERFACES) {
      throw this.#source.fault(`the section has more than ${MAX_INTERFACES} interfaces`);
    }
    const { view, position } = this.#source;
    const added: SectionInterface = {
      name: undefined,
      linkType: view.getUint16(position + 8, this.#littleEndian),
      snapLength: view.getUint32(position + 12, this.#littleEndian),
      unitsPerSecond: MICROSECONDS,
      offsetMs: 0,
    };
    const end = position + length - TRAILER_BYTES;
    for (let at = position + INTERFACE_BYTES - TRAILER_BYTES; at + OPTION_HEADER_BYTES <= end; ) {
      const code = view.getUint16(at, this.#littleEndian);
      if (code === OPTION.END) break;
      const size = view.getUint16(at + 2, this.#littleEndian);
      const value = at + OPTION_HEADER_BYTES;
      if (value + size > end) throw this.#source.fault(`option ${code} runs beyond the end of its interface block`);
      this.#readOption(added, code, value, size);
      at = value + padded(size);
    }
    this.#interfaces.push(added);
  }

  #readOption(target: SectionInterface, code: number, at: number, size: number): void {
    const { bytes, view } = this.#source;
    if (code === OPTION.NAME) {
      const name = Buffer.from(bytes.subarray(at, at + Math.min(size, MAX_NAME_BYTES))).toString('utf8');
      target.name = name.replace(/\0+$/, '');
    } else if (code === OPTION.TIME_RESOLUTION) {
      if (size !== 1) throw this.#source.fault(`the time resolution of the interface has ${size} bytes instead of 1`);
      const exponent = view.getUint8(at) & 0x7f;
      target.unitsPerSecond = (view.getUint8(at) & 0x80) === 0 ? 10 ** exponent : 2 ** exponent;
    } else if (code === OPTION.TIME_OFFSET) {
      if (size !== 8) throw this.#source.fault(`the time offset of the interface has ${size} bytes instead of 8`);
      target.offsetMs = Number(view.getBigInt64(at, this.#littleEndian)) * 1000;
    }
  }

  /** An enhanced or an obsolete packet block: all that differs between them is how the interface is numbered. */
  #readPacket(packet: PacketFields, length: number, interfaceId: number): void {
    const { view, position } = this.#source;
    const littleEndian = this.#littleEndian;
    const origin = this.#interfaceOf(interfaceId);
    const captured = view.getUint32(position + 20, littleEndian);
    if (captured > length - PACKET_BYTES) {
      throw this.#source.fault(`the packet block of ${length} bytes claims ${captured} captured bytes`);
    }
    const frameStart = position + PACKET_BYTES - TRAILER_BYTES;
    this.#readTime(packet, position + 12, origin);
    packet.frameStart = frameStart;
    packet.frameEnd = frameStart + captured;
    packet.originalLength = view.getUint32(position + 24, littleEndian);
    packet.interfaceId = interfaceId;
    packet.linkType = origin.linkType;
  }

  /** Simple packets belong to the first interface and carry no time: that of the packet before stays in place. */
  #readSimplePacket(packet: PacketFields, length: number): void {
    const { view, position } = this.#source;
    const origin = this.#interfaceOf(0);
    const original = view.getUint32(position + 8, this.#littleEndian);
    // The captured length is not stored. What is left of the block may be padding, so the other two bounds come first.
    const limit = origin.snapLength === 0 ? original : Math.min(original, origin.snapLength);
    const frameStart = position + SIMPLE_PACKET_BYTES - TRAILER_BYTES;
    packet.frameStart = frameStart;
    packet.frameEnd = frameStart + Math.min(limit, length - SIMPLE_PACKET_BYTES);
    packet.originalLength = original;
    packet.interfaceId = 0;
    packet.linkType = origin.linkType;
  }

  /**
   * Gives `packet` the 64-bit time stamp at `at`, rounded once to the nearest double.
   *
   * A nanosecond time stamp of today has 61 bits, more than a Number holds, so dividing it directly would round twice
   * and give another time than the same instant in a classic capture. The seconds only need the leading bits; the
   * remainder is small and is computed modulo 2^32, where nothing is lost. Units finer than nanoseconds are divided
   * directly, at the cost of that second rounding.
   *
   * Stores the result instead of returning it: a double returned by a call that is not inlined is allocated.
   */
  #readTime(packet: PacketFields, at: number, origin: SectionInterface): void {
    const { view } = this.#source;
    const units = origin.unitsPerSecond;
    const low = view.getUint32(at + 4, this.#littleEndian);
    const ticks = view.getUint32(at, this.#littleEndian) * 2 ** 32 + low;
    if (units > FINEST_EXACT_UNITS) {
      packet.timeMs = origin.offsetMs + (ticks / units) * 1000;
      return;
    }
    const seconds = Math.floor(ticks / units);
    // Below zero when `ticks` was rounded up to the next full second, and right all the same.
    const rest = (low - Math.imul(seconds, units)) | 0;
    packet.timeMs = origin.offsetMs + seconds * 1000 + (rest * 1000) / units;
  }

  #interfaceOf(id: number): SectionInterface {
    const found = this.#interfaces[id];
    if (found !== undefined) return found;
    throw this.#source.fault(`the packet names interface ${id}, the section has ${this.#interfaces.length} so far,`);
  }
}

/** Option values are padded to 32 bits, which their size does not count. */
function padded(size: number): number {
  return (size + 3) & ~3;
}
