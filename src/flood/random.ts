/**
 * Random numbers that come again, so that two runs with one seed see the same packets.
 *
 * Imports nothing. Imported by the other files of flood/ and by bench/.
 */

/** Mixes 32 bits so that neighbouring inputs give unrelated results. */
export function mix32(value: number): number {
  let bits = Math.imul(value ^ (value >>> 16), 0x21f0aaad);
  bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97);
  return (bits ^ (bits >>> 15)) >>> 0;
}

/** A splitmix generator on 32 bits: far cheaper than the packets that are built from its numbers. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  u32(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    return mix32(this.#state);
  }

  /** A whole number from 0 to limit - 1. */
  below(limit: number): number {
    return Math.floor((this.u32() / 0x1_0000_0000) * limit);
  }
}
