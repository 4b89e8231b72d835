/**
 * Heavy hitters: the sources, destinations and zones with the most new connections and the most packets, in a fixed
 * amount of shared memory, readable at any time without a look at the table.
 *
 * Each shard keeps sketches of its own and writes them plainly, as its counters. A sketch is Space-Saving (Metwally,
 * Agrawal, El Abbadi, 2005) in sets of 8: a keyed hash of what is counted picks the set; what is not in it takes the
 * place of the least there, and inherits its count as a possible error. So an entry's true count lies between
 * `count - error` and `count`, and what is not there has at most the least count of its set. Of N counted, whatever has
 * more than about N / 512 is there; sources that are all different push nothing out for long.
 *
 * New connections are counted one by one, packets by samples: one of 64 on average, which counts for 64. Bounds of
 * packets are therefore those of the samples; for n samples expect sqrt(n) more or less.
 *
 * Counts are of the current minute of the packets' time and of the one before: they answer "now", not "ever".
 *
 * ```
 * row of a shard:  half │ half             the minutes take turns
 * half:            HEAD │ 6 sketches       by source, destination, zone; of new connections, of packets
 * sketch:          64 sets of 80 words:    8 tags │ 8 counts │ 8 errors │ 8 keys of 4 words │ 8 families
 * ```
 *
 * A reader may catch an entry that is being replaced: its key then does not fit its tag, and it is passed over.
 *
 * Imports memory, wire/. Imported by engine/ and control/top.
 */
import { FACT, FAMILY_IPV6 } from '../wire/facts.js';
import { halfSipHash3 } from '../wire/hash.js';
import { CONTROL, type EngineMemory } from './memory.js';

const { SRC0, SRC, DST0, DST, PROTOCOL } = FACT;

export const TOP_BY = ['source', 'destination', 'zone'] as const;
export type TopBy = (typeof TOP_BY)[number];
export const TOP_OF = ['new', 'packets'] as const;
export type TopOf = (typeof TOP_OF)[number];

/** What a source, destination or zone is counted under. */
export interface TopEntry {
  /** Of an address; 0 for a zone. */
  readonly family: 0 | 4 | 6;
  /** Four words of an address, an IPv4 one in the last; of a zone its number, in the last. */
  readonly words: readonly number[];
  /** The true count is at least and at most this. */
  readonly least: number;
  readonly most: number;
}

export interface TopQuery {
  readonly by: TopBy;
  readonly what: TopOf;
  /** Entries at the most. Default 10. */
  readonly count?: number;
}

const WAYS = 8;
const SETS = 64;
const SET_BITS = 6;
const KEY_WORDS = 4;
/** Words of a set, by part; counts and errors are doubles. */
const COUNTS = WAYS;
const ERRORS = COUNTS + 2 * WAYS;
const KEYS = ERRORS + 2 * WAYS;
const FAMILIES = KEYS + KEY_WORDS * WAYS;
const SET_WORDS = FAMILIES + WAYS;
const SKETCH_WORDS = SETS * SET_WORDS;
const SKETCHES = TOP_BY.length * TOP_OF.length;
/** Word 0 of a half: number of its minute, from 1 to MOST_MINUTES; 0 when it was never used. */
const HEAD_WORDS = 16;
const HALF_WORDS = HEAD_WORDS + SKETCHES * SKETCH_WORDS;
const ROW_WORDS = 2 * HALF_WORDS;

const WINDOW_MS = 60_000;
const MOST_MINUTES = 0x7fffffff;
/** Packets for which one sample counts: the gaps between samples are random, and so long on average. */
const SAMPLED = 64;

/** Families as they are stored: an empty way has none. */
const ZONE = 1;
const IPV4 = 4;
const IPV6 = 6;

/** Memory for the sketches of `rows` shards. */
export function createTopMemory(rows: number): SharedArrayBuffer {
  return new SharedArrayBuffer(rows * ROW_WORDS * 4);
}

function sketchOf(by: number, what: number): number {
  return HEAD_WORDS + (what * TOP_BY.length + by) * SKETCH_WORDS;
}

const NEW = 0;
const PACKETS = 1;

/** The sketches of one shard, as it writes them. Allocates nothing after its construction. */
export class TopSketches {
  readonly #words: Int32Array;
  readonly #doubles: Float64Array;
  readonly #key0: number;
  readonly #key1: number;
  /** First word of the half at hand, and when its minute is over. */
  #half = 0;
  readonly #endsMs = new Float64Array(1);
  /** Packets until the next sample. */
  #left = 1;
  #random: number;

  /** @param row number of the shard */
  constructor(buffer: SharedArrayBuffer, row: number, { control }: EngineMemory) {
    this.#words = new Int32Array(buffer, row * ROW_WORDS * 4, ROW_WORDS);
    this.#doubles = new Float64Array(buffer, row * ROW_WORDS * 4, ROW_WORDS / 2);
    this.#key0 = control[CONTROL.KEY0];
    this.#key1 = control[CONTROL.KEY1];
    this.#random = (this.#key0 ^ this.#key1) | 1;
  }

  /**
   * Counts a new connection, opened by the packet whose facts begin at `base`.
   * @param now milliseconds; in memory, because as an argument it would be a new object each time
   */
  countNew(facts: Int32Array, base: number, zone: number, now: Float64Array): void {
    if (now[0] >= this.#endsMs[0]) this.#turn(now[0]);
    this.#count(NEW, facts, base, zone, 1);
  }

  /**
   * The next sample of a batch of `count` packets, from packet `from` on.
   * @returns its place, -1 when there is none; then the next batch goes on
   */
  nextSample(from: number, count: number): number {
    const rest = count - from;
    if (this.#left > rest) {
      this.#left -= rest;
      return -1;
    }
    const sample = from + this.#left - 1;
    let bits = this.#random;
    bits ^= bits << 13;
    bits ^= bits >>> 17;
    bits ^= bits << 5;
    this.#random = bits;
    this.#left = 1 + ((bits >>> 1) % (2 * SAMPLED - 1));
    return sample;
  }

  /** Counts a sample, the packet whose facts begin at `base`. */
  countSample(facts: Int32Array, base: number, zone: number, now: Float64Array): void {
    if (now[0] >= this.#endsMs[0]) this.#turn(now[0]);
    this.#count(PACKETS, facts, base, zone, SAMPLED);
  }

  #count(what: number, facts: Int32Array, base: number, zone: number, weight: number): void {
    const half = this.#half;
    if ((facts[base + PROTOCOL] & FAMILY_IPV6) !== 0) {
      const src = base + SRC0;
      const dst = base + DST0;
      this.#add(half + sketchOf(0, what), IPV6, facts[src], facts[src + 1], facts[src + 2], facts[src + 3], weight);
      this.#add(half + sketchOf(1, what), IPV6, facts[dst], facts[dst + 1], facts[dst + 2], facts[dst + 3], weight);
    } else {
      this.#add(half + sketchOf(0, what), IPV4, 0, 0, 0, facts[base + SRC], weight);
      this.#add(half + sketchOf(1, what), IPV4, 0, 0, 0, facts[base + DST], weight);
    }
    this.#add(half + sketchOf(2, what), ZONE, 0, 0, 0, zone, weight);
  }

  #add(sketch: number, family: number, a: number, b: number, c: number, d: number, weight: number): void {
    const words = this.#words;
    const doubles = this.#doubles;
    const hash = tagOf(this.#key0, this.#key1, family, a, b, c, d);
    const set = sketch + (hash >>> (32 - SET_BITS)) * SET_WORDS;
    const counts = (set + COUNTS) >>> 1;
    let least = 0;
    for (let way = 0; way < WAYS; way++) {
      if (words[set + way] === hash && isKey(words, set, way, family, a, b, c, d)) {
        doubles[counts + way] += weight;
        return;
      }
      if (doubles[counts + way] < doubles[counts + least]) least = way;
    }
    const key = set + KEYS + least * KEY_WORDS;
    words[set + least] = hash;
    words[key] = a;
    words[key + 1] = b;
    words[key + 2] = c;
    words[key + 3] = d;
    words[set + FAMILIES + least] = family;
    doubles[((set + ERRORS) >>> 1) + least] = doubles[counts + least];
    doubles[counts + least] += weight;
  }

  /** Goes on to the half of the minute of `nowMs`, which begins empty. What has no number is no minute: it would never end. */
  #turn(nowMs: number): void {
    const minute = Math.floor(nowMs / WINDOW_MS);
    if (minute >= MOST_MINUTES) return;
    this.#half = (minute & 1) * HALF_WORDS;
    this.#endsMs[0] = (minute + 1) * WINDOW_MS;
    // A packet from an earlier minute is counted in the later one.
    this.#words.fill(0, this.#half, this.#half + HALF_WORDS);
    this.#words[this.#half] = minute + 1;
  }
}

/** Keyed hash of what is counted; never 0, the tag of an empty way. */
function tagOf(key0: number, key1: number, family: number, a: number, b: number, c: number, d: number): number {
  const tail = family === IPV6 ? halfSipHash3(key0, key1, a, b, c, family) : 0;
  const hash = halfSipHash3(key0, key1, tail, d, 0, family);
  return hash === 0 ? 1 : hash;
}

function isKey(
  words: Int32Array,
  set: number,
  way: number,
  family: number,
  a: number,
  b: number,
  c: number,
  d: number,
): boolean {
  const key = set + KEYS + way * KEY_WORDS;
  return (
    words[key + 3] === d &&
    words[key] === a &&
    words[key + 1] === b &&
    words[key + 2] === c &&
    words[set + FAMILIES + way] === family
  );
}

/** A sketch of one shard and minute, for reading. */
interface Sketch {
  readonly words: Int32Array;
  readonly doubles: Float64Array;
  readonly at: number;
}

interface Key {
  readonly family: number;
  readonly words: readonly number[];
  readonly tag: number;
}

/**
 * The entries with the highest least counts, the highest first.
 * @param buffer that of createTopMemory(), if heavy hitters are counted
 * @throws Error when they are not; RangeError for a query that is out of range
 */
export function readTop(buffer: SharedArrayBuffer | undefined, memory: EngineMemory, query: TopQuery): TopEntry[] {
  if (buffer === undefined) throw new Error('the engine was opened without tracksTop');
  const { by, what, count = 10 } = query;
  if (!TOP_BY.includes(by)) throw new RangeError(`by must be source, destination or zone: ${String(by)}`);
  if (!TOP_OF.includes(what)) throw new RangeError(`what must be new or packets: ${String(what)}`);
  if (!Number.isInteger(count) || count < 1) throw new RangeError(`count must be a whole number from 1 on: ${count}`);
  const { control } = memory;
  const sketches = sketchesOf(buffer, sketchOf(TOP_BY.indexOf(by), TOP_OF.indexOf(what)));
  const keys = new Map<string, Key>();
  for (const sketch of sketches) collectKeys(sketch, control[CONTROL.KEY0], control[CONTROL.KEY1], keys);
  return [...keys.values()]
    .map(key => entryOf(key, sketches))
    .sort((a, b) => b.least - a.least || b.most - a.most)
    .slice(0, count);
}

/** The sketches of the latest minute of any shard and of the one before. */
function sketchesOf(buffer: SharedArrayBuffer, sketch: number): Sketch[] {
  const words = new Int32Array(buffer);
  const doubles = new Float64Array(buffer);
  const halves = Array.from({ length: words.length / HALF_WORDS }, (_, half) => half * HALF_WORDS);
  const latest = Math.max(...halves.map(half => words[half]));
  const isRecent = (minute: number) => minute > 0 && minute >= latest - 1;
  return halves.filter(half => isRecent(words[half])).map(half => ({ words, doubles, at: half + sketch }));
}

function collectKeys({ words, at }: Sketch, key0: number, key1: number, keys: Map<string, Key>): void {
  for (let set = at; set < at + SKETCH_WORDS; set += SET_WORDS) {
    for (let way = 0; way < WAYS; way++) {
      const tag = words[set + way];
      const family = words[set + FAMILIES + way];
      const key = set + KEYS + way * KEY_WORDS;
      const [a, b, c, d] = words.subarray(key, key + KEY_WORDS);
      if (tag === 0 || tag !== tagOf(key0, key1, family, a, b, c, d)) continue;
      keys.set(`${family} ${a} ${b} ${c} ${d}`, { family, words: [a, b, c, d], tag });
    }
  }
}

function entryOf(key: Key, sketches: readonly Sketch[]): TopEntry {
  const [a, b, c, d] = key.words;
  let least = 0;
  let most = 0;
  for (const { words, doubles, at } of sketches) {
    const set = at + (key.tag >>> (32 - SET_BITS)) * SET_WORDS;
    const counts = (set + COUNTS) >>> 1;
    let way = 0;
    while (way < WAYS && !isKey(words, set, way, key.family, a, b, c, d)) way++;
    if (way < WAYS) {
      least += doubles[counts + way] - doubles[((set + ERRORS) >>> 1) + way];
      most += doubles[counts + way];
    } else {
      // It may have been pushed out: then it had no more than what is least now.
      most += Math.min(...doubles.subarray(counts, counts + WAYS));
    }
  }
  return { family: key.family === ZONE ? 0 : key.family === IPV6 ? 6 : 4, words: key.words, least, most };
}
