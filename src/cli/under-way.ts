/**
 * A number for each packet under way: it goes in with the packet and comes out with the verdict, in the same order.
 *
 * Imports nothing. Imported by frame-writer, held and verdicts.
 */
export class UnderWay {
  /** A ring of a power of two. */
  readonly #ring: Float64Array;
  #pushed = 0;
  #taken = 0;

  /** @param most packets that can be under way at once */
  constructor(most: number) {
    this.#ring = new Float64Array(2 ** Math.ceil(Math.log2(most)));
  }

  push(value: number): void {
    this.#ring[this.#pushed++ & (this.#ring.length - 1)] = value;
  }

  /** That of the packet that has been under way for longest. */
  take(): number {
    return this.#ring[this.#taken++ & (this.#ring.length - 1)];
  }
}
