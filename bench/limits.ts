/**
 * What the machine itself allows, measured in the same run as everything else: a figure means more beside the limit
 * that governs it, and a ratio to that limit can be compared between machines.
 *
 * | limit        | what is measured                                                                        |
 * |--------------|-----------------------------------------------------------------------------------------|
 * | `touch`      | reading one word of a random cache line in a region of a given size, 32 at a time        |
 * | `multiply`   | a multiplication and an addition that wait for the ones before them: pure computing      |
 * | `stream`     | reading a region in order, one 32-bit word of each after the other                       |
 * | `lock`       | a compare-exchange that finds the lock free, and the store that frees it                 |
 *
 * Imports statistics. Imported by run, result.
 */
import { figureOf } from './statistics.js';

const ROUNDS = 7;
const NS_PER_MS = 1e6;
const LINE_BYTES = 64;
const LINE_WORDS = 16;
const TOUCHES = 1 << 18;
const TOUCH_BATCH = 32;
const MULTIPLICATIONS = 1 << 20;
const STREAM_BYTES = 64 << 20;
const LOCKS = 1 << 16;

/** Multiplier and increment of a linear congruential generator (Knuth, MMIX, lower half). */
const STEP_FACTOR = 0x4c957f2d;
const STEP = 0x14057b7f;

export interface TouchLimit {
  readonly connections: number;
  /** Bytes of the region, those of a table for so many IPv4 connections. */
  readonly bytes: number;
  readonly nsPerTouch: number;
}

/** All times are medians, in nanoseconds. */
export interface Limits {
  readonly touches: readonly TouchLimit[];
  readonly nsPerMultiply: number;
  readonly streamGigabytesPerSecond: number;
  readonly nsPerLock: number;
}

/** Takes what the loops compute: a loop whose result nobody takes would be compiled to nothing. */
const sink = new Int32Array(1);

/** Nanoseconds for each of the `count` operations of a call, median of some rounds after one that warms up. */
function timeOf(count: number, call: () => number): number {
  const times: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const startedMs = performance.now();
    sink[0] ^= call();
    if (round > 0) times.push(((performance.now() - startedMs) * NS_PER_MS) / count);
  }
  return figureOf(times).median;
}

/** Lines that a batch needs, one word of each: their misses overlap, as those of the packets of a batch do. */
function touchLines(words: Int32Array, lines: number, state: number): number {
  const scale = lines / 0x1_0000_0000;
  let place = state;
  let sum = 0;
  for (let done = 0; done < TOUCHES; done += TOUCH_BATCH) {
    let batch = 0;
    for (let touch = 0; touch < TOUCH_BATCH; touch++) {
      place = (Math.imul(place, STEP_FACTOR) + STEP) | 0;
      batch += words[Math.floor((place >>> 0) * scale) * LINE_WORDS];
    }
    sum = (sum + batch) | 0;
  }
  return sum + place;
}

function measureTouch(connections: number, bytes: number): TouchLimit {
  const lines = Math.max(1, Math.floor(bytes / LINE_BYTES));
  const words = new Int32Array(new SharedArrayBuffer(lines * LINE_BYTES));
  for (let line = 0; line < lines; line++) words[line * LINE_WORDS] = line;
  let state = 1;
  const nsPerTouch = timeOf(TOUCHES, () => {
    state = touchLines(words, lines, state);
    return state;
  });
  return { connections, bytes, nsPerTouch };
}

function multiply(): number {
  let value = 1;
  for (let step = 0; step < MULTIPLICATIONS; step++) value = (Math.imul(value, STEP_FACTOR) + STEP) | 0;
  return value;
}

function readAll(words: Int32Array): number {
  // Four sums, so that additions do not wait for one another.
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  for (let at = 0; at < words.length; at += 4) {
    a = (a + words[at]) | 0;
    b = (b + words[at + 1]) | 0;
    c = (c + words[at + 2]) | 0;
    d = (d + words[at + 3]) | 0;
  }
  return a ^ b ^ c ^ d;
}

function lockAndFree(words: Int32Array): number {
  for (let turn = 0; turn < LOCKS; turn++) {
    Atomics.compareExchange(words, 0, 0, 1); // acquires nothing: the cost is what is wanted
    Atomics.store(words, 0, 0); // publishes nothing
  }
  return words[0];
}

/** @param tables connections and the bytes of a table for so many */
export function measureLimits(tables: readonly (readonly [connections: number, bytes: number])[]): Limits {
  const touches = tables.map(([connections, bytes]) => measureTouch(connections, bytes));
  const stream = new Int32Array(new SharedArrayBuffer(STREAM_BYTES)).fill(1);
  const lock = new Int32Array(new SharedArrayBuffer(LINE_BYTES));
  return {
    touches,
    nsPerMultiply: timeOf(MULTIPLICATIONS, multiply),
    streamGigabytesPerSecond: 1 / timeOf(STREAM_BYTES, () => readAll(stream)),
    nsPerLock: timeOf(LOCKS, () => lockAndFree(lock)),
  };
}

/**
 * A limit in the terms of a figure: nanoseconds, and what they are made of. `read`: reading a file from the page cache;
 * `in-thread`: the same work on one thread, for work that goes through rings or is shared by threads.
 */
export interface GoverningLimit {
  readonly name: 'touch' | 'multiply' | 'stream' | 'lock' | 'read' | 'in-thread';
  readonly ns: number;
}

/** What a packet cannot do without: a line of the index and one of the record … */
const LINES_PER_PACKET = 2;
/** … and about so much computing that waits for itself, most of it the keyed hash: 8 rounds of 4 steps. */
const STEPS_PER_PACKET = 32;

/** The limit that governs a packet in a table for so many connections: memory, or computing while the table is small. */
export function packetLimit(limits: Limits, connections: number): GoverningLimit {
  const known = limits.touches.filter(touch => touch.connections <= connections);
  const touch = known.length > 0 ? known[known.length - 1] : limits.touches[0];
  const memory = LINES_PER_PACKET * touch.nsPerTouch;
  const computing = STEPS_PER_PACKET * limits.nsPerMultiply;
  return memory > computing ? { name: 'touch', ns: memory } : { name: 'multiply', ns: computing };
}

/** The limit that governs reading so many bytes once. */
export function streamLimit(limits: Limits, bytes: number): GoverningLimit {
  return { name: 'stream', ns: bytes / limits.streamGigabytesPerSecond };
}
