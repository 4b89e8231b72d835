/**
 * The bytes of a capture, seen through a chunk that slides over the stream, or through chunks that somebody lends.
 *
 *   stream    ----------------[======= chunk =======]------------->
 *                             ^base   ^position  ^end
 *   consumed <--------------------------->|<----->| read ahead
 *
 * Memory stays constant however long the stream is: the chunk grows only while a single record does not fit into it,
 * and the decoders bound records to MAX_RECORD_BYTES before they ask. It grows as bytes arrive, not as a header
 * promises them. A read never waits for more than the stream has at the moment, so records of a pipe are seen when they
 * are complete, not when the chunk is full.
 *
 * Used by reader.ts and the decoders; imports capture.ts and descriptor.ts.
 */

import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { isatty } from 'node:tty';
import { CaptureError } from './capture.js';
import { oneLine, readNow, readSome, systemReason } from './descriptor.js';

const STANDARD_INPUT = 0;

/** Thrown instead of waiting while `mayWait` is off. Nothing was consumed: the same call may be made again. */
export const NOTHING_YET = new Error('the stream has nothing at the moment');

/** Memory for chunks that somebody else lends: what was read into one stays there until they give it out again. */
export interface ChunkLender {
  /** Bytes of each. */
  readonly chunkBytes: number;
  /** The next one, or undefined while there is none: a read then throws NOTHING_YET. */
  nextChunk(): Uint8Array | undefined;
}

export class CaptureSource {
  /** The chunk. Replaced when it grows; `view` always covers the same memory. */
  bytes: Uint8Array;
  view: DataView;
  /** Index into the chunk of the next byte nobody has consumed. Decoders move it forward, up to `end`. */
  position = 0;
  /** Index after the last valid byte of the chunk. Only the source changes it. */
  end = 0;
  /** Whether ensure() waits for a pipe that has nothing at the moment, or throws NOTHING_YET. */
  mayWait = true;
  /** Where chunks come from, once this is set; until then there is one, which slides. */
  lender: ChunkLender | undefined;
  /** Size of a regular file when it was opened; undefined for everything else. */
  readonly totalBytes: number | undefined;

  /** Path as it appears in messages. */
  readonly #name: string;
  /** -1 once closed. */
  #fd: number;
  /** Stream offset of the first byte of the chunk; a Number, so exact far beyond 4 GiB. */
  #base = 0;
  #ended = false;
  /** The chunk is not lent. */
  #isOwn = true;

  /**
   * Opens `path` (`-` is standard input) with a chunk of `chunkBytes`. Opening a FIFO waits for its writer.
   * @param polled reads of a pipe do not block, so that `mayWait` can be turned off
   * @throws Error with a one-line message that names the path
   */
  constructor(path: string, chunkBytes: number, polled = false) {
    if (!Number.isSafeInteger(chunkBytes) || chunkBytes < 1) {
      throw new RangeError(`chunkBytes must be a positive integer, not ${chunkBytes}`);
    }
    this.#name = path === '-' ? 'standard input' : oneLine(path);
    this.#fd = path === '-' ? this.#openStandardInput() : this.#openFile(path);
    this.totalBytes = path === '-' ? undefined : this.#regularFileSize();
    if (polled) this.#stopBlocking(path);
    this.bytes = new Uint8Array(chunkBytes);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Stream offset of `position`. */
  get offset(): number {
    return this.#base + this.position;
  }

  /** How many bytes are read ahead of `position`. */
  get available(): number {
    return this.end - this.position;
  }

  /**
   * Makes at least `count` bytes available from `position` on, waiting for them where it must; false when the stream
   * ends before. May move the chunk's contents and `position` with them, and may replace `bytes` and `view`.
   */
  ensure(count: number): boolean {
    return this.end - this.position >= count || this.#fill(count);
  }

  /** The error for a fault in the record or block that starts at `position`. The caller throws it. */
  fault(what: string): CaptureError {
    return new CaptureError(`${this.#name}: ${what}`, this.offset);
  }

  /**
   * Idempotent. What is read ahead is forgotten, what was consumed stays in place. Standard input itself stays open: it
   * belongs to the process.
   */
  close(): void {
    if (this.#fd > STANDARD_INPUT) closeSync(this.#fd);
    this.#fd = -1;
    this.end = this.position;
  }

  #openStandardInput(): number {
    if (isatty(STANDARD_INPUT)) throw new Error('standard input is a terminal, expected a capture piped into it');
    return STANDARD_INPUT;
  }

  #openFile(path: string): number {
    try {
      return openSync(path, 'r');
    } catch (error) {
      throw new Error(`${this.#name}: cannot open: ${systemReason(error)}`);
    }
  }

  #regularFileSize(): number | undefined {
    const status = fstatSync(this.#fd);
    if (status.isDirectory()) {
      this.close();
      throw new Error(`${this.#name}: is a directory, expected a capture file`);
    }
    return status.isFile() ? status.size : undefined;
  }

  /** The slow half of ensure(). */
  #fill(count: number): boolean {
    if (this.#fd < 0) throw new Error(`${this.#name}: the capture is closed`);
    while (this.end - this.position < count) {
      if (this.#ended) return false;
      this.#makeRoom(count);
      const got = this.#read();
      if (got < 0) throw NOTHING_YET;
      if (got === 0) this.#ended = true;
      this.end += got;
    }
    return true;
  }

  /**
   * Leaves at least one free byte at the end of the chunk, which holds fewer than `count` bytes. Moving what is left to
   * the front costs at most one record, since fill() is only called when less than a record is there.
   */
  #makeRoom(count: number): void {
    if (this.lender !== undefined) {
      if (this.position + count <= this.bytes.length) return;
      // A record that is longer than the chunks that are lent gets one of its own.
      if (count <= this.lender.chunkBytes || !this.#isOwn) {
        this.#changeChunk(this.lender, count);
        return;
      }
    }
    if (this.position > 0) {
      this.bytes.copyWithin(0, this.position, this.end);
      this.#base += this.position;
      this.end -= this.position;
      this.position = 0;
    }
    if (this.end < this.bytes.length) return;
    const grown = new Uint8Array(Math.min(count, this.bytes.length * 2));
    grown.set(this.bytes);
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }

  /** Leaves what was consumed where it is, and goes on with what is left in another chunk. */
  #changeChunk(lender: ChunkLender, count: number): void {
    const isLent = count <= lender.chunkBytes;
    const chunk = isLent ? lender.nextChunk() : new Uint8Array(this.bytes.length * 2);
    if (chunk === undefined) throw NOTHING_YET;
    chunk.set(this.bytes.subarray(this.position, this.end));
    this.#base += this.position;
    this.end -= this.position;
    this.position = 0;
    this.bytes = chunk;
    this.view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length);
    this.#isOwn = !isLent;
  }

  /** Makes reads of a pipe or a socket report that there is nothing, where they would have waited. */
  #stopBlocking(path: string): void {
    const status = fstatSync(this.#fd);
    if (!status.isFIFO() && !status.isSocket()) return;
    if (this.#fd === STANDARD_INPUT) {
      // Node's stream switches the descriptor on being made, reads nothing unless asked, and the switch is undone at exit.
      void process.stdin;
      return;
    }
    const blocking = this.#fd;
    try {
      // Opened beside the first, which so keeps what its writer has written.
      this.#fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
      closeSync(blocking);
    } catch {
      // The name is gone by now: the pipe is read all the same, only that reading it blocks.
      this.#fd = blocking;
    }
  }

  #read(): number {
    try {
      if (!this.mayWait) return readNow(this.#fd, this.bytes, this.end, this.bytes.length - this.end);
      return readSome(this.#fd, this.bytes, this.end, this.bytes.length - this.end);
    } catch (error) {
      throw new Error(`${this.#name}: cannot read: ${systemReason(error)}`);
    }
  }
}
