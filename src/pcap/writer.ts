/**
 * Writes classic pcap captures, little-endian, with microsecond or nanosecond time stamps, to a file or to standard
 * output.
 *
 * Other folders may import it; it imports descriptor.ts. The format is drawn in pcap-classic.ts.
 */

import { closeSync, openSync } from 'node:fs';
import { oneLine, systemReason, writeAll } from './descriptor.js';

const STANDARD_OUTPUT = 1;

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
const RECORD_HEADER_BYTES = 16;

/** What tcpdump takes by default, and the most captured bytes that libpcap accepts in a record. */
const DEFAULT_SNAP_LENGTH = 262144;
const LARGEST_WORD = 0xffffffff;

/** Records are gathered up to this size; a record that does not fit is written on its own. */
const BUFFER_BYTES = 256 * 1024;

export interface CaptureWriterOptions {
  linkType: number;
  /** Time stamps in nanoseconds instead of microseconds. */
  nanoseconds?: boolean;
  /** Most bytes kept of a frame, from 1 to 262144, the default. */
  snapLength?: number;
}

/** One capture being written. Nothing may be relied on to be in the file before close(). */
export class CaptureWriter {
  /** Path as it appears in messages. */
  readonly name: string;
  readonly #snapLength: number;
  /** Units of the fraction field in a second. */
  readonly #unitsPerSecond: number;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  readonly #view = new DataView(this.#buffer.buffer);
  #used = 0;
  #packets = 0;
  /** -1 once closed. */
  #fd: number;

  private constructor(path: string, options: CaptureWriterOptions) {
    const { linkType, nanoseconds = false, snapLength = DEFAULT_SNAP_LENGTH } = options;
    if (!Number.isInteger(linkType) || linkType < 0 || linkType > 0xffff) {
      throw new RangeError(`linkType must be an integer from 0 to 65535, not ${linkType}`);
    }
    if (!Number.isInteger(snapLength) || snapLength < 1 || snapLength > DEFAULT_SNAP_LENGTH) {
      throw new RangeError(`snapLength must be an integer from 1 to ${DEFAULT_SNAP_LENGTH}, not ${snapLength}`);
    }
    this.name = path === '-' ? 'standard output' : oneLine(path);
    this.#snapLength = snapLength;
    this.#unitsPerSecond = nanoseconds ? 1e9 : 1e6;
    this.#fd = path === '-' ? STANDARD_OUTPUT : this.#openFile(path);
    this.#putFileHeader(nanoseconds ? MAGIC_NANOSECONDS : MAGIC_MICROSECONDS, linkType);
  }

  /**
   * Creates or empties the file at `path`; `-` is standard output.
   * @throws Error with a one-line message that names the path
   */
  static create(path: string, options: CaptureWriterOptions): CaptureWriter {
    return new CaptureWriter(path, options);
  }

  /**
   * Adds the frame `bytes[start, end)`, cut to the snap length, captured `timeMs` milliseconds after the epoch, which
   * is rounded to the nearest unit. `originalLength` is its length in bytes on the wire. Allocates one view.
   * @throws RangeError for a time before 1970 or after 2106, or an original length above 32 bits; nothing is written, and
   *     the message is one line that names the path and the packet, counted from 1
   * @throws Error when writing fails; the capture is then incomplete
   */
  write(timeMs: number, bytes: Uint8Array, start: number, end: number, originalLength: number): void {
    if (this.#fd < 0) throw new Error(`${this.name}: the capture is closed`);
    if (!Number.isInteger(originalLength) || originalLength < 0 || originalLength > LARGEST_WORD) {
      throw this.#refusal('original length', 'a 32-bit number', `${originalLength}`);
    }
    let seconds = Math.floor(timeMs / 1000);
    let fraction = Math.round(((timeMs - seconds * 1000) * this.#unitsPerSecond) / 1000);
    if (fraction === this.#unitsPerSecond) {
      seconds += 1;
      fraction = 0;
    }
    // Negated so that NaN does not pass.
    if (!(seconds >= 0 && seconds <= LARGEST_WORD)) {
      throw this.#refusal('time', 'from 1970 to 2106', `${timeMs} ms since 1970`);
    }
    this.#packets++;
    const captured = Math.min(end - start, this.#snapLength);
    if (this.#used + RECORD_HEADER_BYTES + captured > BUFFER_BYTES) this.#flush();
    this.#putWord(seconds);
    this.#putWord(fraction);
    this.#putWord(captured);
    this.#putWord(originalLength);
    this.#putFrame(bytes, start, start + captured);
  }

  /** Writes what is buffered and closes the file, also when writing fails. Idempotent. @throws Error as write() does */
  close(): void {
    if (this.#fd < 0) return;
    try {
      this.#flush();
    } finally {
      if (this.#fd !== STANDARD_OUTPUT) closeSync(this.#fd);
      this.#fd = -1;
    }
  }

  /** The error for the packet that is to be written. */
  #refusal(what: string, allowed: string, found: string): RangeError {
    return new RangeError(`${this.name}: the ${what} of packet ${this.#packets + 1} must be ${allowed}, not ${found}`);
  }

  #openFile(path: string): number {
    try {
      return openSync(path, 'w');
    } catch (error) {
      throw new Error(`${this.name}: cannot create: ${systemReason(error)}`);
    }
  }

  #putFileHeader(magic: number, linkType: number): void {
    this.#putWord(magic);
    this.#view.setUint16(this.#used, 2, true);
    this.#view.setUint16(this.#used + 2, 4, true);
    // Version is followed by time zone and accuracy, both unused.
    this.#used += 12;
    this.#putWord(this.#snapLength);
    this.#putWord(linkType);
  }

  /** The caller has made sure that the buffer has room. */
  #putWord(word: number): void {
    this.#view.setUint32(this.#used, word, true);
    this.#used += 4;
  }

  #putFrame(bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (length > BUFFER_BYTES - this.#used) {
      this.#flush();
      this.#writeOut(bytes, start, end);
      return;
    }
    this.#buffer.set(bytes.subarray(start, end), this.#used);
    this.#used += length;
  }

  #flush(): void {
    const length = this.#used;
    // First, so that close() after a failure does not write the same bytes again.
    this.#used = 0;
    this.#writeOut(this.#buffer, 0, length);
  }

  #writeOut(bytes: Uint8Array, start: number, end: number): void {
    try {
      writeAll(this.#fd, bytes, start, end);
    } catch (error) {
      throw new Error(`${this.name}: cannot write: ${systemReason(error)}`, { cause: error });
    }
  }
}
