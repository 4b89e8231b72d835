/**
 * `--write`: the frames as they leave the engine, as a capture.
 *
 * A frame keeps the time at which it was captured and the link type of the capture. With flow tables a packet that went
 * out by no port is left out, and one that went out by several is written as it left last. A fragment is written when its
 * datagram is whole, with the time of the fragment that made it so.
 *
 * When writing fails, nothing more is written, and `fault` says why.
 *
 * Imports under-way, verdicts, engine/packet, pcap/writer. Imported by feed and replay.
 */
import { PACKET } from '../engine/packet.js';
import { CaptureWriter } from '../pcap/writer.js';
import { UnderWay } from './under-way.js';
import { isHeld } from './verdicts.js';

export class FrameWriter {
  /** Why not all frames are written, once a frame could not be. */
  fault: Error | undefined;
  readonly #path: string;
  readonly #needsOutput: boolean;
  /** Capture times, and bytes that the capture has left out. */
  readonly #times: UnderWay;
  readonly #missing: UnderWay;
  #writer: CaptureWriter | undefined;
  #linkType = 0;
  /** Capture time of the packet that came out last. */
  #leftMs = 0;

  /** @param underWay packets that can be under way at once. @param needsOutput leave out what no port was named for */
  constructor(path: string, underWay: number, needsOutput: boolean) {
    this.#path = path;
    this.#needsOutput = needsOutput;
    this.#times = new UnderWay(underWay);
    this.#missing = new UnderWay(underWay);
  }

  /**
   * Before a packet goes in.
   * @throws Error when the capture changes its link type, which a classic pcap cannot say, or cannot be created
   */
  expect(linkType: number): void {
    if (this.#writer === undefined) {
      this.#linkType = linkType;
      this.#writer = CaptureWriter.create(this.#path, { linkType, nanoseconds: false });
    }
    if (linkType !== this.#linkType) throw new Error(`${this.#writer.name}: cannot hold packets of two link types`);
  }

  /** A packet goes in. @param missing bytes of it that are not in the capture */
  pushed(timeMs: number, missing: number): void {
    this.#times.push(timeMs);
    this.#missing.push(missing);
  }

  /** It comes out: the words of PACKET from `at` on, and the memory of its frame. */
  left(words: Int32Array, at: number, bytes: Uint8Array): void {
    this.#leftMs = this.#times.take();
    const missing = this.#missing.take();
    if ((this.#needsOutput || isHeld(words, at)) && words[at + PACKET.OUTPUTS] === 0) return;
    const start = words[at + PACKET.FRAME_OFFSET];
    const end = start + words[at + PACKET.FRAME_LENGTH];
    this.#write(bytes, start, end, end - start + missing);
  }

  /** A fragment comes back, together with the packet that came out last: its time is when it leaves. */
  released(words: Int32Array, at: number, bytes: Uint8Array): void {
    if (this.#needsOutput && words[at + PACKET.OUTPUTS] === 0) return;
    const start = words[at + PACKET.FRAME_OFFSET];
    const length = words[at + PACKET.FRAME_LENGTH];
    // A frame that was cut when it was captured is not held.
    this.#write(bytes, start, start + length, length);
  }

  /** Writes what is left and closes the file; an empty capture when no packet came. */
  close(): void {
    try {
      this.#writer ??= CaptureWriter.create(this.#path, { linkType: 1, nanoseconds: false });
      this.#writer.close();
    } catch (error) {
      this.#fail(error);
    }
  }

  #write(bytes: Uint8Array, start: number, end: number, originalLength: number): void {
    if (this.fault !== undefined) return;
    try {
      this.#writer?.write(this.#leftMs, bytes, start, end, originalLength);
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.fault ??= error instanceof Error ? error : new Error(String(error));
  }
}
