/**
 * Parsing one frame in a test: places it in the middle of a larger memory, of which nothing else may be read, compares
 * the fast path with parseFrame(), and makes the facts readable.
 *
 * Imports src/wire, src/reason.
 */
import assert from 'node:assert/strict';
import { REASON, type ReasonName, reasonName } from '../../src/reason.js';
import { FACT, FACT_RELATED, FACT_WORDS, FAMILY_IPV6, PROTOCOL_MASK } from '../../src/wire/facts.js';
import { hashKey } from '../../src/wire/hash.js';
import { parseFrame } from '../../src/wire/parse.js';
import { HASH_KEY, parsePlain } from '../support/plain.js';
import { GuardedView } from './guarded.js';

/** An odd place, so that nothing is aligned by luck. */
const START = 37;
const ROW = 3;
/** What is known of a packet whatever its family; over IPv4 only the last word of an address counts. */
const FACTS = ['SRC', 'DST', 'PORTS', 'PORTS_REVERSED', 'PROTOCOL', 'L3', 'L4', 'L4_END', 'FLAGS'] as const;
const IPV6_FACTS = [...FACTS, 'SRC0', 'SRC1', 'SRC2', 'DST0', 'DST1', 'DST2'] as const;
const UNTOUCHED = 0x5a5a5a5b;

export interface Parsed {
  readonly reason: ReasonName;
  readonly family: 4 | 6;
  readonly protocol: number;
  /** Four words, unsigned; over IPv4 only the last counts and the others are 0. */
  readonly src: readonly number[];
  readonly dst: readonly number[];
  /** The two halves of PORTS, and those of PORTS_REVERSED. */
  readonly ports: readonly [number, number];
  readonly reversed: readonly [number, number];
  /** Offsets in the frame. */
  readonly l3: number;
  readonly l4: number;
  readonly l4End: number;
  readonly related: boolean;
}

export interface Given {
  readonly known?: number;
  /** Offset in the frame. */
  readonly l3?: number;
}

function halves(word: number): readonly [number, number] {
  return [word >>> 16, word & 0xffff];
}

/**
 * Gives the same packet to the fast path, which may decline but not differ.
 * @returns whether it took the packet
 */
export function checkPlain(
  view: GuardedView,
  known: number,
  l3: number,
  expected: Int32Array,
  reason: number,
): boolean {
  const facts = new Int32Array(FACT_WORDS).fill(UNTOUCHED);
  if (!parsePlain(view, view.start, view.end, known, l3, facts, 0)) return false;
  assert.equal(reason, REASON.none, 'the fast path takes good packets only');
  const isIpv6 = (expected[FACT.PROTOCOL] & FAMILY_IPV6) !== 0;
  const hashed = Int32Array.from(expected);
  hashKey(hashed, 0, ...HASH_KEY);
  for (const name of [...(isIpv6 ? IPV6_FACTS : FACTS), 'HASH'] as const) {
    assert.equal(facts[FACT[name]], hashed[FACT[name]], `${name} of the fast path`);
  }
  return true;
}

export function parse(frame: Uint8Array, { known = 0, l3 = 0 }: Given = {}): Parsed {
  const view = new GuardedView(new ArrayBuffer(START + frame.length + 64));
  view.start = START;
  view.end = START + frame.length;
  new Uint8Array(view.buffer).fill(0xa5).set(frame, START);
  const facts = new Int32Array((ROW + 2) * FACT_WORDS).fill(UNTOUCHED);
  const base = ROW * FACT_WORDS;
  const reason = parseFrame(view, START, START + frame.length, known, START + l3, facts, base);

  checkPlain(view, known, START + l3, facts.slice(base, base + FACT_WORDS), reason);

  const around = [...facts.subarray(0, base), ...facts.subarray(base + FACT_WORDS)];
  assert.ok(
    around.every(word => word === UNTOUCHED),
    'words of other packets were written',
  );
  assert.equal(facts[base + FACT.FLAGS] & ~FACT_RELATED, 0, 'FLAGS holds nothing else');
  const word = (name: keyof typeof FACT) => facts[base + FACT[name]];
  const isIpv6 = (word('PROTOCOL') & FAMILY_IPV6) !== 0;
  const address = (first: number, last: number) =>
    isIpv6
      ? [...facts.subarray(base + first, base + last + 1)].map(part => part >>> 0)
      : [0, 0, 0, facts[base + last] >>> 0];
  return {
    reason: reasonName(reason),
    family: isIpv6 ? 6 : 4,
    protocol: word('PROTOCOL') & PROTOCOL_MASK,
    src: address(FACT.SRC0, FACT.SRC),
    dst: address(FACT.DST0, FACT.DST),
    ports: halves(word('PORTS')),
    reversed: halves(word('PORTS_REVERSED')),
    l3: word('L3') - START,
    l4: word('L4') - START,
    l4End: word('L4_END') - START,
    related: (word('FLAGS') & FACT_RELATED) !== 0,
  };
}

export function reasonOf(frame: Uint8Array, given: Given = {}): ReasonName {
  return parse(frame, given).reason;
}

/** The frame cut off behind `length` bytes; what is left out lies beyond its end. */
export function cut(frame: Uint8Array, length: number): Uint8Array {
  return frame.subarray(0, length);
}

/** The frame with one bit turned over. */
export function flip(frame: Uint8Array, bit: number): Uint8Array {
  const flipped = Uint8Array.from(frame);
  flipped[bit >>> 3] ^= 0x80 >>> (bit & 7);
  return flipped;
}
