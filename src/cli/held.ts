/**
 * Verdicts in the order of the capture, although those of fragments come late: what comes behind a fragment whose
 * datagram is not whole waits for it.
 *
 * It waits until the fragment has come back, or cannot any more because its datagram has ended, or the capture has; or
 * until so many packets wait that the fragment is given up. A fragment that has not come back has the reason
 * `fragment-held` in the end.
 *
 * Imports under-way, verdicts, engine/packet, fragment/. Imported by feed and replay.
 */
import { PACKET, PACKET_WORDS } from '../engine/packet.js';
import { DATAGRAM_TIMEOUT_MS } from '../fragment/datagrams.js';
import { UnderWay } from './under-way.js';
import { isHeld, type VerdictSink } from './verdicts.js';

/** Packets that may wait: 40 MB of memory. */
const MOST = 1 << 18;
const FIRST = 1 << 10;

/** What packets wait in: a ring of a power of two. */
interface Window {
  readonly words: Int32Array;
  /** The same memory, for the packets' times. */
  readonly times: Float64Array;
  readonly shards: Int32Array;
  /** Capture times. */
  readonly captured: Float64Array;
}

function createWindow(packets: number): Window {
  const words = new Int32Array(packets * PACKET_WORDS);
  const times = new Float64Array(words.buffer);
  return { words, times, shards: new Int32Array(packets), captured: new Float64Array(packets) };
}

export class HeldVerdicts implements VerdictSink {
  readonly #sink: VerdictSink;
  /** Capture times. */
  readonly #captured: UnderWay;
  #judged = 0;
  #window = createWindow(FIRST);
  /** Packets that wait: they are the last so many that were judged. */
  #waiting = 0;

  /** @param underWay packets that can be under way at once */
  constructor(sink: VerdictSink, underWay: number) {
    this.#sink = sink;
    this.#captured = new UnderWay(underWay);
  }

  pushed(captureMs: number): void {
    this.#captured.push(captureMs);
  }

  verdict(words: Int32Array, at: number, shard: number): void {
    const captureMs = this.#captured.take();
    if (this.#waiting === 0 && !isHeld(words, at)) {
      this.#judged++;
      this.#sink.pushed(captureMs);
      this.#sink.verdict(words, at, shard);
      return;
    }
    if (this.#waiting === this.#window.shards.length) this.#makeRoom();
    const place = this.#judged++ & (this.#window.shards.length - 1);
    this.#window.words.set(words.subarray(at, at + PACKET_WORDS), place * PACKET_WORDS);
    this.#window.shards[place] = shard;
    this.#window.captured[place] = captureMs;
    this.#waiting++;
    this.#handOn(this.#timeOf(place) - DATAGRAM_TIMEOUT_MS);
  }

  /** A fragment has come back: the words of PACKET from `at` on. Its COOKIE is its number in the capture, from 0. */
  released(words: Int32Array, at: number, shard: number): void {
    const behind = (this.#judged - words[at + PACKET.COOKIE]) | 0;
    if (behind < 1 || behind > this.#waiting) return;
    const place = words[at + PACKET.COOKIE] & (this.#window.shards.length - 1);
    this.#window.words.set(words.subarray(at, at + PACKET_WORDS), place * PACKET_WORDS);
    this.#window.shards[place] = shard;
    this.#handOn(Number.NEGATIVE_INFINITY);
  }

  flush(): void {
    this.#sink.flush();
  }

  /** No fragment will come back any more. */
  end(): void {
    this.#handOn(Number.POSITIVE_INFINITY);
  }

  #timeOf(place: number): number {
    return this.#window.times[(place * PACKET_WORDS + PACKET.TIME) >>> 1];
  }

  /** Hands on the packets in front of the first fragment that may still come back: one judged after `sinceMs`. */
  #handOn(sinceMs: number): void {
    for (; this.#waiting > 0; this.#waiting--) {
      const place = (this.#judged - this.#waiting) & (this.#window.shards.length - 1);
      const isLeft = isHeld(this.#window.words, place * PACKET_WORDS);
      if (isLeft && this.#timeOf(place) >= sinceMs) return;
      this.#emit(place);
    }
  }

  #emit(place: number): void {
    this.#sink.pushed(this.#window.captured[place]);
    this.#sink.verdict(this.#window.words, place * PACKET_WORDS, this.#window.shards[place]);
  }

  /** Makes the window larger, or gives up the fragment that all wait for. */
  #makeRoom(): void {
    const { shards, words, captured } = this.#window;
    const size = shards.length;
    if (size === MOST) {
      this.#emit((this.#judged - this.#waiting--) & (size - 1));
      this.#handOn(Number.NEGATIVE_INFINITY);
      return;
    }
    const larger = createWindow(2 * size);
    for (let number = this.#judged - this.#waiting; number < this.#judged; number++) {
      const from = number & (size - 1);
      const to = number & (2 * size - 1);
      larger.words.set(words.subarray(from * PACKET_WORDS, (from + 1) * PACKET_WORDS), to * PACKET_WORDS);
      larger.shards[to] = shards[from];
      larger.captured[to] = captured[from];
    }
    this.#window = larger;
  }
}
