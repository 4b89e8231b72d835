/**
 * Reads captures, classic pcap and pcapng, packet by packet from a file, a pipe or standard input.
 *
 * The face of pcap/ for reading: other folders import this file, linktype.ts and writer.ts, and cli/ descriptor.ts. The
 * bytes come from source.ts, their meaning from pcap-classic.ts and pcapng.ts.
 *
 * Everything is synchronous, because packet loops are: next() blocks its thread while a pipe is idle. A thread that has
 * something else to do meanwhile uses poll().
 *
 * Captures may be of any length, in constant memory; compressed ones are not read.
 */

import type { CaptureDecoder, CaptureInterface, PacketFields } from './capture.js';
import { ClassicDecoder, isClassic } from './pcap-classic.js';
import { isPcapng, PcapngDecoder } from './pcapng.js';
import { CaptureSource, type ChunkLender, NOTHING_YET } from './source.js';

export { CaptureError, type CaptureInterface } from './capture.js';
export type { ChunkLender } from './source.js';

/** Large enough that a system call costs little against the frames it brings. */
const DEFAULT_CHUNK_BYTES = 1024 * 1024;

const MAGIC_BYTES = 4;

/**
 * One capture being read. Fields describe the current packet and are valid after next() returned true, until the next
 * call of it; the reader owns them, callers only read. After a packet cut by the snap length `originalLength` exceeds
 * `frameEnd - frameStart`; it is what the capture says and may also be less.
 */
export class CaptureReader implements PacketFields {
  /** Range of the captured bytes in `bytes`. */
  frameStart = 0;
  frameEnd = 0;
  /** Length in bytes on the wire, without a frame check sequence that the capture declares. */
  originalLength = 0;
  /**
   * Capture time in milliseconds since the epoch with a fraction, good to about 0.25 microseconds: what a double holds
   * of present times. Packets without a time (pcapng simple packets) have that of the packet before them, or 0.
   */
  timeMs = 0;
  /** Index into `interfaces`. */
  interfaceId = 0;
  linkType = 0;
  /** Counts from 1; 0 before the first packet. */
  packetNumber = 0;

  readonly #source: CaptureSource;
  readonly #decoder: CaptureDecoder;

  private constructor(source: CaptureSource, decoder: CaptureDecoder) {
    this.#source = source;
    this.#decoder = decoder;
  }

  /**
   * Opens a capture; `-` is standard input. Waits for the head of a pipe. `chunkBytes` is the size of the buffer, which
   * grows only while a single record needs it; `polled` is for callers of poll().
   * @throws CaptureError when the file is empty, not a capture, or damaged within its header
   * @throws Error when it cannot be opened or read; all messages are one line and name the path
   */
  static open(path: string, options: { chunkBytes?: number; polled?: boolean } = {}): CaptureReader {
    const source = new CaptureSource(path, options.chunkBytes ?? DEFAULT_CHUNK_BYTES, options.polled);
    try {
      return new CaptureReader(source, decoderFor(source));
    } catch (error) {
      source.close();
      throw error;
    }
  }

  /** Chunk holding the current frame. Borrowed until the next call of next(), which may replace it. */
  get bytes(): Uint8Array {
    return this.#source.bytes;
  }

  /**
   * Reads into memory that is lent from now on, so that frames may stay where they are after the next call of poll(), which
   * also gives undefined while there is no chunk to be had.
   */
  readInto(lender: ChunkLender): void {
    this.#source.lender = lender;
  }

  /** Interfaces described so far; with pcapng those of the current section only, because ids start anew in each. */
  get interfaces(): readonly CaptureInterface[] {
    return this.#decoder.interfaces;
  }

  /** How many bytes of the capture have been consumed. */
  get bytesRead(): number {
    return this.#source.offset;
  }

  /** Size of the file when it was opened; undefined for standard input, pipes and devices. */
  get totalBytes(): number | undefined {
    return this.#source.totalBytes;
  }

  /**
   * Advances to the next packet, waiting for it on a pipe; false at a clean end. Allocates nothing while records fit
   * the chunk.
   * @throws CaptureError at damage or a record cut short; all packets before it have been delivered
   * @throws Error when reading fails or the reader is closed
   */
  next(): boolean {
    if (!this.#decoder.next(this)) return false;
    this.packetNumber += 1;
    return true;
  }

  /**
   * As next(), but undefined instead of waiting when a pipe has no whole packet at the moment. Only a reader opened with
   * `polled` never waits.
   */
  poll(): boolean | undefined {
    this.#source.mayWait = false;
    try {
      return this.next();
    } catch (error) {
      if (error === NOTHING_YET) return undefined;
      throw error;
    } finally {
      this.#source.mayWait = true;
    }
  }

  /** Idempotent. */
  close(): void {
    this.#source.close();
  }
}

function decoderFor(source: CaptureSource): CaptureDecoder {
  if (!source.ensure(MAGIC_BYTES)) {
    throw source.fault(source.available === 0 ? 'empty, expected a capture' : 'too short to be a capture');
  }
  if (isClassic(source)) return new ClassicDecoder(source);
  if (isPcapng(source)) return new PcapngDecoder(source);
  const magic = source.bytes.subarray(source.position, source.position + MAGIC_BYTES);
  if (magic[0] === 0x1f && magic[1] === 0x8b) throw source.fault('compressed with gzip, expected a plain capture');
  const shown = Buffer.from(magic).toString('hex').replace(/..\B/g, '$& ');
  throw source.fault(`neither a pcap nor a pcapng capture, it starts with ${shown}`);
}
