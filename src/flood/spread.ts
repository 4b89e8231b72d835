/**
 * How the addresses and ports of a flood are spread.
 *
 * Imports random. Imported by the other files of flood/ and by cli/flood.
 */
import type { Random } from './random.js';

export const SPREADS = ['uniform', 'zipf', 'subnet', 'one'] as const;
export type SpreadKind = (typeof SPREADS)[number];

/** What each is, for people. */
export const SPREAD_NOTES: Readonly<Record<SpreadKind, string>> = {
  uniform: 'any of all 2^32 addresses or 65,535 ports, each as likely',
  zipf: 'the k-th of 1,048,576 addresses or 16,384 ports with a probability in proportion to 1/k',
  subnet: 'any of 65,536 addresses or 256 ports, each as likely',
  one: 'always the same',
};

const ZIPF_ADDRESSES = 2 ** 20;
const ZIPF_PORTS = 2 ** 14;
const SUBNET_ADDRESSES = 2 ** 16;
const SUBNET_PORTS = 2 ** 8;
const PORTS = 0xffff;
const U32 = 2 ** 32;

/** A rank from 0 to below e^`logRanks`: rank k with a probability of ln(1 + 1/(k + 1)) / `logRanks`, about 1/k. */
function zipfRank(random: Random, logRanks: number): number {
  return Math.floor(Math.exp((random.u32() / U32) * logRanks)) - 1;
}

/** Draws from one distribution. */
export class Spread {
  readonly #kind: SpreadKind;
  readonly #base: number;
  readonly #all: number;
  readonly #few: number;
  readonly #logRanks: number;

  private constructor(kind: SpreadKind, base: number, all: number, few: number, ranks: number) {
    this.#kind = kind;
    this.#base = base;
    this.#all = all;
    this.#few = few;
    this.#logRanks = Math.log(ranks);
  }

  /** Addresses from `base` on; uniform ones are anywhere. */
  static ofAddresses(kind: SpreadKind, base: number): Spread {
    return new Spread(kind, kind === 'uniform' ? 0 : base, U32, SUBNET_ADDRESSES, ZIPF_ADDRESSES);
  }

  /** Ports from `base` on, which is not 0 and leaves room for as many as there may be; uniform ones are anywhere. */
  static ofPorts(kind: SpreadKind, base: number): Spread {
    return new Spread(kind, kind === 'uniform' ? 1 : base, PORTS, SUBNET_PORTS, ZIPF_PORTS);
  }

  /** An address as a signed word, or a port. */
  next(random: Random): number {
    if (this.#kind === 'uniform') return (this.#base + random.below(this.#all)) | 0;
    if (this.#kind === 'one') return this.#base | 0;
    if (this.#kind === 'subnet') return (this.#base + random.below(this.#few)) | 0;
    return (this.#base + zipfRank(random, this.#logRanks)) | 0;
  }
}
