/**
 * `--write`: the frames as they leave the engine, as a capture.
 *
 * A frame keeps the time at which it was captured and the link type of the capture. With flow tables a packet that went
 * out by no port is left out, and one that went out by several is written as it left last. A fragment is written when its
 * datagram is whole, with the time of the fragment that made it so.
 *
 * Imports verdicts, engine/packet, pcap/writer. Imported by feed and replay.
 */
import { PACKET } from '../engine/packet.js';
import { CaptureWriter } from '../pcap/writer.js';
import { isHeld } from './verdicts.js';

export class FrameWriter {
  readonly #path: string;
  readonly #needsOutput: boolean;
  /** Capture times of the packets under way, and bytes that the capture has left out of them, as rings of a power of two. */
  readonly #times: Float64Array;
  readonly #missing: Float64Array;
  #writer: CaptureWriter | undefined;
  #linkType = 0;
  #pushed = 0;
  #left = 0;

  /** @param underWay packets that can be under way at once. @param needsOutput leave out what no port was named for */
  constructor(path: string, underWay: number, needsOutput: boolean) {
    this.#path = path;
    this.#needsOutput = needsOutput;
    const size = 2 ** Math.ceil(Math.log2(underWay));
    this.#times = new Float64Array(size);
    this.#missing = new Float64Array(size);
  }

  /**
   * A packet goes in.
   * @param missing bytes of it that are not in the capture
   * @throws Error when the capture changes its link type, which a classic pcap cannot say, or cannot be created
   */
  pushed(timeMs: number, missing: number, linkType: number): void {
    if (this.#writer === undefined) {
      this.#linkType = linkType;
      this.#writer = CaptureWriter.create(this.#path, { linkType, nanoseconds: false });
    }
    if (linkType !== this.#linkType) throw new Error(`${this.#path}: cannot hold packets of two link types`);
    const at = this.#pushed++ & (this.#times.length - 1);
    this.#times[at] = timeMs;
    this.#missing[at] = missing;
  }

  /** It comes out: the words of PACKET from `at` on, and the memory of its frame. */
  left(words: Int32Array, at: number, bytes: Uint8Array): void {
    const place = this.#left++ & (this.#times.length - 1);
    if ((this.#needsOutput || isHeld(words, at)) && words[at + PACKET.OUTPUTS] === 0) return;
    const start = words[at + PACKET.FRAME_OFFSET];
    const end = start + words[at + PACKET.FRAME_LENGTH];
    this.#writer?.write(this.#times[place], bytes, start, end, end - start + this.#missing[place]);
  }

  /** A fragment comes back, together with the packet that came out last: its time is when it leaves. */
  released(words: Int32Array, at: number, bytes: Uint8Array): void {
    if (this.#needsOutput && words[at + PACKET.OUTPUTS] === 0) return;
    const start = words[at + PACKET.FRAME_OFFSET];
    const length = words[at + PACKET.FRAME_LENGTH];
    const timeMs = this.#times[(this.#left - 1) & (this.#times.length - 1)];
    // A frame that was cut when it was captured is not held.
    this.#writer?.write(timeMs, bytes, start, start + length, length);
  }

  /** Writes what is left and closes the file; an empty capture when no packet came. */
  close(): void {
    this.#writer ??= CaptureWriter.create(this.#path, { linkType: 1, nanoseconds: false });
    this.#writer.close();
  }
}
