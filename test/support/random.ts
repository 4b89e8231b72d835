/**
 * Random numbers that come again: every random test names its seed when it fails, and FLOWSHARD_TEST_SEED replaces the
 * seeds that the tests bring.
 *
 * Imports nothing.
 */

/** A splitmix generator on 32 bits: small, fast, and good enough to wander through cases. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  u32(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let bits = this.#state;
    bits = Math.imul(bits ^ (bits >>> 16), 0x21f0aaad);
    bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97);
    return (bits ^ (bits >>> 15)) >>> 0;
  }

  /** A whole number from 0 to limit - 1. */
  below(limit: number): number {
    return Math.floor((this.u32() / 0x1_0000_0000) * limit);
  }

  /** A whole number from `least` to `most`, both included. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  chance(probability: number): boolean {
    return this.u32() < probability * 0x1_0000_0000;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  fill(bytes: Uint8Array): Uint8Array {
    for (let at = 0; at < bytes.length; at++) bytes[at] = this.u32();
    return bytes;
  }

  bytes(length: number): Uint8Array {
    return this.fill(new Uint8Array(length));
  }
}

/** The seed that a test brings, unless the environment names another. */
export function seedFor(usual: number): number {
  const { FLOWSHARD_TEST_SEED: wanted } = process.env;
  return wanted === undefined ? usual : Number(wanted);
}

/** Runs a random test; what it throws says which seed to use to see it again. */
export function withSeed(usual: number, run: (random: Random) => void): void {
  const seed = seedFor(usual);
  try {
    run(new Random(seed));
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    throw new Error(`FLOWSHARD_TEST_SEED=${seed}: ${what}`, { cause: error });
  }
}
