/**
 * What the choice of addresses and ports depends on: hashes of a packet's endpoints.
 *
 * Imports wire/. Imported by nat/choice.
 */

import { FACT, FAMILY_IPV6 } from '../wire/facts.js';
import { halfSipHash3 } from '../wire/hash.js';

const { SRC, DST, PORTS, PROTOCOL } = FACT;

/** Key of {@link hashSource}: any numbers that stay the same (the square roots of three and five). */
const FIXED_KEY0 = 0xbb67ae85 | 0;
const FIXED_KEY1 = 0x3c6ef372;

/** Scrambles 32 bits, each into all others (the finalizer of MurmurHash3). */
export function scramble(bits: number): number {
  let word = bits ^ (bits >>> 16);
  word = Math.imul(word, 0x85ebca6b);
  word ^= word >>> 13;
  word = Math.imul(word, 0xc2b2ae35);
  return word ^ (word >>> 16);
}

/** HalfSipHash-1-3 of the address whose last word is at `last`. */
function hashAddress(facts: Int32Array, last: number, isIpv6: boolean, key0: number, key1: number): number {
  // The upper words of an IPv4 address are not filled in.
  if (!isIpv6) return halfSipHash3(key0, key1, 0, 0, 0, facts[last]);
  return halfSipHash3(key0, key1, facts[last - 3], facts[last - 2], facts[last - 1], facts[last]);
}

/** Hash of both endpoints and the protocol of the facts at `base`, different for the two directions. */
export function hashEndpoints(facts: Int32Array, base: number, key0: number, key1: number): number {
  const protocol = facts[base + PROTOCOL];
  const isIpv6 = (protocol & FAMILY_IPV6) !== 0;
  const source = isIpv6 ? hashAddress(facts, base + SRC, isIpv6, key0, key1) : facts[base + SRC];
  const destination = isIpv6 ? hashAddress(facts, base + DST, isIpv6, key0, key1) : facts[base + DST];
  return halfSipHash3(key0, key1, source, destination, facts[base + PORTS], protocol);
}

/** Hash of the source address alone: the same for one client whatever it sends, and after every restart. */
export function hashSource(facts: Int32Array, base: number): number {
  return hashAddress(facts, base + SRC, (facts[base + PROTOCOL] & FAMILY_IPV6) !== 0, FIXED_KEY0, FIXED_KEY1);
}
