/**
 * A bit of everything at once.
 *
 * Imports generator, random. Imported by kinds.
 */
import type { CtAction } from '../engine/action.js';
import type { Generator } from './generator.js';
import { Random } from './random.js';

export class Mixed implements Generator {
  readonly actions: readonly CtAction[] = [{}];
  readonly action = 0;
  readonly #random: Random;
  /** Each generator as often as its share says. */
  readonly #parts: readonly Generator[];
  #next: Generator;

  /** @param parts generators whose packets go through ct(commit), and their shares in whole numbers */
  constructor(seed: number, parts: readonly (readonly [generator: Generator, share: number])[]) {
    this.#random = new Random(seed);
    this.#parts = parts.flatMap(([generator, share]) => new Array<Generator>(share).fill(generator));
    this.#next = this.#pick();
  }

  get length(): number {
    return this.#next.length;
  }

  write(view: DataView, at: number): void {
    this.#next.write(view, at);
    this.#next = this.#pick();
  }

  #pick(): Generator {
    return this.#parts[this.#random.below(this.#parts.length)];
  }
}
