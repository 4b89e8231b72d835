/**
 * UDP packets whose tuples collide: a table that hashes them without a secret has all of them in one place.
 *
 * | family    | what collides                                                                                       |
 * |-----------|-----------------------------------------------------------------------------------------------------|
 * | equal     | both ends are the same, which cancels out where a hash XORs the hashes of the ends, keyed or not    |
 * | xor       | the ends' addresses and ports XOR to the same, as in a hash that folds the words of a tuple         |
 * | murmur    | MurmurHash3 (Appleby) of addresses, ports and protocol, seed 0: the ports are solved for one result |
 * | timing    | tuples that begin in neighbouring buckets of the very table under flood: see below                  |
 *
 * Nobody can compute the engine's keyed hash, but whoever watches how long packets take may find out which of those he
 * has sent lie in the same bucket or near it, and send these again and again. At his best he is never wrong: he is given
 * the buckets of 2^20 tuples that he has tried, and keeps a thousand that begin in the shortest run of neighbours. There
 * every bucket is full, and so is the one that a lookup goes on to, up to the last that is probed: 200 ns per packet of
 * known connections, where tuples that are as many in one bucket each, but far from one another, take 100 (AMD EPYC,
 * Node 20, 200,000 connections).
 *
 * Imports generator, random, template. Imported by kinds.
 */
import type { CtAction } from '../engine/action.js';
import type { FloodOptions, Generator } from './generator.js';
import { VICTIM } from './generator.js';
import { Random } from './random.js';
import { copyTemplate, createTemplate, type Template, writeUdp } from './template.js';

export const COLLISIONS = ['equal', 'xor', 'murmur', 'timing'] as const;
export type Collision = (typeof COLLISIONS)[number];

/** Tuples that an attacker tries, and how many of them he keeps. */
const TRIED = 2 ** 20;
const KEPT = 2 ** 10;
/** What all XORed addresses and ports come to. */
const XOR_ADDRESSES = 0x0a5b_3c7d;
const XOR_PORTS = 0x1d35;

const C1 = 0xcc9e2d51 | 0;
const C2 = 0x1b873593;
const STEP = 0xe6546b64 | 0;
/** The state that all tuples of the murmur family have before the protocol is hashed. */
const TARGET = 0x2545f491;

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

/** The inverse of an odd number modulo 2^32, by Newton's method: each round doubles the bits that are right. */
function inverse(odd: number): number {
  let result = odd;
  for (let round = 0; round < 4; round++) result = Math.imul(result, 2 - Math.imul(odd, result));
  return result;
}

const INVERSE_C1 = inverse(C1);
const INVERSE_C2 = inverse(C2);
const INVERSE_5 = inverse(5);

/** One word of MurmurHash3 (x86, 32 bits). */
function murmurStep(state: number, word: number): number {
  const mixed = Math.imul(rotate(Math.imul(word, C1), 15), C2);
  return (Math.imul(rotate(state ^ mixed, 13), 5) + STEP) | 0;
}

/** The word that takes MurmurHash3 from one state to another: every step of it can be undone. */
export function solveMurmurStep(state: number, wanted: number): number {
  const mixed = rotate(Math.imul(wanted - STEP, INVERSE_5), 19) ^ state;
  return Math.imul(rotate(Math.imul(mixed, INVERSE_C2), 17), INVERSE_C1);
}

function hasZeroPort(ports: number): boolean {
  return ports >>> 16 === 0 || (ports & 0xffff) === 0;
}

export class Collide implements Generator {
  readonly actions: readonly CtAction[] = [{}];
  readonly action = 0;
  readonly #random: Random;
  readonly #templates: readonly Template[];
  #template: Template;
  readonly #families: readonly Collision[];
  readonly #kept: Int32Array;
  #turn = 0;
  #src = 0;
  #dst = 0;
  #ports = 0;

  /** @param families those that take turns; `timing` is left out where there is no engine to watch */
  constructor(options: FloodOptions, families: readonly Collision[] = COLLISIONS) {
    const { homeOf } = options;
    this.#random = new Random(options.seed);
    const bare = createTemplate({ family: options.family, protocol: 'udp', payload: 0 }).length;
    const sizes = options.sizes.length === 0 ? [bare] : options.sizes;
    this.#templates = sizes.map(size =>
      createTemplate({ family: options.family, protocol: 'udp', payload: Math.max(0, size - bare) }),
    );
    this.#template = this.#templates[0];
    this.#families = homeOf === undefined ? families.filter(family => family !== 'timing') : families;
    const watches = homeOf !== undefined && families.includes('timing');
    this.#kept = watches ? this.#watch(homeOf) : new Int32Array(0);
  }

  get length(): number {
    return this.#template.length;
  }

  write(view: DataView, at: number): void {
    const template = this.#template;
    this.#draw(this.#families[this.#turn]);
    this.#turn = (this.#turn + 1) % this.#families.length;
    copyTemplate(view, at, template);
    writeUdp(view, at, template, this.#src, this.#dst, this.#ports);
    if (this.#templates.length > 1) this.#template = this.#templates[this.#random.below(this.#templates.length)];
  }

  #draw(family: Collision): void {
    const random = this.#random;
    if (family === 'timing') {
      const at = random.below(this.#kept.length / 2) * 2;
      this.#src = this.#kept[at];
      this.#dst = VICTIM;
      this.#ports = this.#kept[at + 1];
      return;
    }
    this.#src = random.u32() | 0;
    this.#ports = this.#anyPorts();
    if (family === 'equal') {
      this.#dst = this.#src;
      this.#ports = (this.#ports & ~0xffff) | (this.#ports >>> 16);
    } else if (family === 'xor') {
      this.#dst = this.#src ^ XOR_ADDRESSES;
      const port = this.#ports >>> 16 === XOR_PORTS ? 1 : this.#ports >>> 16;
      this.#ports = (port << 16) | (port ^ XOR_PORTS);
    } else {
      do {
        this.#dst = random.u32() | 0;
        this.#ports = solveMurmurStep(murmurStep(murmurStep(0, this.#src), this.#dst), TARGET);
      } while (hasZeroPort(this.#ports));
    }
  }

  #anyPorts(): number {
    let ports = this.#random.u32() | 0;
    while (hasZeroPort(ports)) ports = this.#random.u32() | 0;
    return ports;
  }

  /** Tries tuples and keeps those in the shortest run of neighbouring buckets. @returns source and ports of each */
  #watch(homeOf: (src: number, dst: number, ports: number) => number): Int32Array {
    const tried = new Int32Array(TRIED * 2);
    const homes = new Float64Array(TRIED);
    for (let index = 0; index < TRIED; index++) {
      tried[index * 2] = this.#random.u32();
      tried[index * 2 + 1] = this.#anyPorts();
      homes[index] = homeOf(tried[index * 2], VICTIM, tried[index * 2 + 1]);
    }
    const sorted = homes.toSorted();
    let from = 0;
    for (let first = 0; first + KEPT <= TRIED; first++) {
      if (sorted[first + KEPT - 1] - sorted[first] < sorted[from + KEPT - 1] - sorted[from]) from = first;
    }
    const kept: number[] = [];
    for (let index = 0; index < TRIED; index++) {
      const isNear = homes[index] >= sorted[from] && homes[index] <= sorted[from + KEPT - 1];
      if (isNear) kept.push(tried[index * 2], tried[index * 2 + 1]);
    }
    return Int32Array.from(kept);
  }
}
