/**
 * The rules of one table, arranged for lookup: tuple space search. Rules with the same mask form a subtable, in which
 * the masked key is looked up by hash, so that a table of thousands of rules costs as many probes as it has different
 * masks. Subtables are tried best rule first, and the search ends when none of those left can do better.
 *
 * A rule's rank is its place in the order of priority, the earlier line first among equals: 0 is the best.
 *
 * Imports match (types). Imported by flows/compile and tests.
 */
import type { Match } from './match.js';

/** No rule matches. */
export const NO_RULE = -1;

const EMPTY = -1;

interface Subtable {
  /** The words of the key in which the mask has bits, and those bits. */
  readonly words: Int32Array;
  readonly masks: Int32Array;
  /** Rank of the best rule in it. */
  readonly best: number;
  /** A power of two slots of {rank or EMPTY, value of each word}; half of them stay empty. */
  readonly slots: Int32Array;
  readonly slotMask: number;
}

export interface Classifier {
  readonly subtables: readonly Subtable[];
}

/** One step of a multiply-rotate hash; rules come from the operator, so it need not withstand anybody. */
function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x9e3779b1);
  return (mixed << 15) | (mixed >>> 17);
}

function finish(hash: number): number {
  return hash ^ (hash >>> 15);
}

function hashMasked(key: Int32Array, words: Int32Array, masks: Int32Array): number {
  let hash = 0;
  for (let index = 0; index < words.length; index++) hash = mix(hash, key[words[index]] & masks[index]);
  return finish(hash);
}

/** First word of the slot that holds `key`, or of the empty one in which it belongs. */
function slotOf(subtable: Subtable, key: Int32Array): number {
  const { words, masks, slots, slotMask } = subtable;
  const width = words.length + 1;
  for (let slot = hashMasked(key, words, masks) & slotMask; ; slot = (slot + 1) & slotMask) {
    const at = slot * width;
    if (slots[at] === EMPTY) return at;
    let index = 0;
    while (index < words.length && slots[at + 1 + index] === (key[words[index]] & masks[index])) index++;
    if (index === words.length) return at;
  }
}

/** @param ranked the matches of one mask with their ranks, best first */
function makeSubtable(ranked: readonly { readonly match: Match; readonly rank: number }[]): Subtable {
  const { mask } = ranked[0].match;
  const used = Array.from(mask.keys()).filter(word => mask[word] !== 0);
  const words = Int32Array.from(used);
  const capacity = 2 ** Math.ceil(Math.log2(ranked.length * 2));
  const width = words.length + 1;
  const slots = new Int32Array(capacity * width).fill(EMPTY);
  const masks = words.map(word => mask[word]);
  const subtable = { words, masks, best: ranked[0].rank, slots, slotMask: capacity - 1 };
  for (const { match, rank } of ranked) {
    const at = slotOf(subtable, match.value);
    // A better rule with the same match is there already: this one can never be found.
    if (slots[at] !== EMPTY) continue;
    slots[at] = rank;
    for (const [index, word] of words.entries()) slots[at + 1 + index] = match.value[word];
  }
  return subtable;
}

/** @param matches those of a table's rules, in the order of their ranks */
export function makeClassifier(matches: readonly Match[]): Classifier {
  const groups = new Map<string, { match: Match; rank: number }[]>();
  for (const [rank, match] of matches.entries()) {
    const name = match.mask.join();
    const group = groups.get(name) ?? [];
    group.push({ match, rank });
    groups.set(name, group);
  }
  // A Map keeps the order of insertion, which is that of the best ranks.
  return { subtables: [...groups.values()].map(makeSubtable) };
}

/** Rank of the best rule that matches `key`, or NO_RULE. */
export function lookup(classifier: Classifier, key: Int32Array): number {
  const { subtables } = classifier;
  let found = NO_RULE;
  for (let index = 0; index < subtables.length; index++) {
    const subtable = subtables[index];
    if (found !== NO_RULE && subtable.best > found) return found;
    const rank = subtable.slots[slotOf(subtable, key)];
    if (rank !== EMPTY && (found === NO_RULE || rank < found)) found = rank;
  }
  return found;
}
