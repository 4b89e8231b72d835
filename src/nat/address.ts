/**
 * IP addresses from text to the words of a key, and the arithmetic that ranges of them need.
 *
 * An address is four words of an Int32Array, most significant first, as in FACT.SRC0 … FACT.SRC; an IPv4 address is
 * the last of them and the others are zero.
 *
 * Imports wire/facts. Imported by nat/spec and nat/choice.
 */
import { isIP } from 'node:net';
import { FAMILY_IPV6 } from '../wire/facts.js';

/** Words of an address. */
export const ADDRESS_WORDS = 4;
/** Family of what is no address; the families are 0 for IPv4 and FAMILY_IPV6. */
export const NO_FAMILY = -1;

function ipv4Word(text: string): number {
  return text.split('.').reduce((word, part) => (word << 8) | Number(part), 0);
}

/** The groups of 16 bits of one side of `::`; dots stand for the last two. */
function groupsOf(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap(part => {
    if (!part.includes('.')) return [Number.parseInt(part, 16)];
    const word = ipv4Word(part);
    return [word >>> 16, word & 0xffff];
  });
}

/**
 * Writes the four words of an address from word `at` on.
 * @returns the family, as in FACT.PROTOCOL, or NO_FAMILY for what is no address or no text; nothing is written then. An
 *   address with a scope, as in `fe80::1%eth0`, is none here.
 */
export function parseAddress(text: string, words: Int32Array, at: number): number {
  const version = typeof text !== 'string' || text.includes('%') ? 0 : isIP(text);
  if (version === 0) return NO_FAMILY;
  words.fill(0, at, at + ADDRESS_WORDS);
  if (version === 4) {
    words[at + 3] = ipv4Word(text);
    return 0;
  }
  const [head, tail = ''] = text.split('::');
  const first = groupsOf(head);
  const last = groupsOf(tail);
  const groups = [...first, ...new Array<number>(8 - first.length - last.length).fill(0), ...last];
  for (let word = 0; word < ADDRESS_WORDS; word++) words[at + word] = (groups[word * 2] << 16) | groups[word * 2 + 1];
  return FAMILY_IPV6;
}

/** True when all words of the address at `at` are zero. */
export function isZeroAddress(words: Int32Array, at: number): boolean {
  return (words[at] | words[at + 1] | words[at + 2] | words[at + 3]) === 0;
}

/** Most addresses of a range that are told apart: the choice among them has 32 bits. */
const MAX_COUNT = 0xffff_ffff;

/**
 * How many addresses there are from the one at `from` to the one at `to`, both included: at most 2^32 - 1.
 * 0 when `to` comes before `from`.
 */
export function countAddresses(words: Int32Array, from: number, to: number): number {
  let borrow = 0;
  let isLarge = false;
  let low = 0;
  for (let word = ADDRESS_WORDS - 1; word >= 0; word--) {
    const difference = (words[to + word] >>> 0) - (words[from + word] >>> 0) - borrow;
    borrow = difference < 0 ? 1 : 0;
    if (word === ADDRESS_WORDS - 1) low = difference >>> 0;
    else isLarge ||= difference >>> 0 !== 0;
  }
  if (borrow !== 0) return 0;
  return isLarge ? MAX_COUNT : Math.min(low + 1, MAX_COUNT);
}

/** Writes the address at `from` plus `offset`, a whole number below 2^32, to word `at` of `into`. */
export function offsetAddress(words: Int32Array, from: number, offset: number, into: Int32Array, at: number): void {
  let carry = offset;
  for (let word = ADDRESS_WORDS - 1; word >= 0; word--) {
    const sum = (words[from + word] >>> 0) + carry;
    into[at + word] = sum | 0;
    carry = sum > 0xffff_ffff ? 1 : 0;
  }
}
