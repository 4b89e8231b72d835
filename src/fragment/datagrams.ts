/**
 * Datagrams that are not whole yet: found by their key, in order of age, and counted for each pair of addresses.
 *
 * Rules of OVS: one that has been there for 15 s has ended (`ipf_expiry_list_add()`); a part that begins or ends
 * within another one is refused and the datagram goes on waiting (`ipf_is_frag_duped()`); it is whole when the first
 * and the last fragment are there and each begins where the one before it ends (`ipf_list_complete()`).
 *
 * Imports layout, blocks, wire/facts, wire/fragment. Imported by engine/.
 */
import { FACT } from '../wire/facts.js';
import { FRAGMENT_FIRST, FRAGMENT_LAST } from '../wire/fragment.js';
import { giveBlocks } from './blocks.js';
import {
  bucketAt,
  DATAGRAM,
  type FragmentStore,
  giveItem,
  HEADER,
  HELD,
  itemAt,
  NONE,
  PAIR,
  STATE,
  takeItem,
} from './layout.js';

const { SRC0, PORTS, PROTOCOL, HASH } = FACT;

/** How long the fragments of a datagram wait for the rest. */
export const DATAGRAM_TIMEOUT_MS = 15_000;
/** How far the times of packets may go back, as where clocks differ, before what came earlier counts as left over. */
export const MAX_BACK_MS = 15_000;
const ADDRESS_WORDS = 8;

function hasKey(words: Int32Array, at: number, facts: Int32Array, base: number, zone: number, pass: number): boolean {
  for (let word = 0; word < ADDRESS_WORDS; word++) {
    if (words[at + DATAGRAM.KEY + word] !== facts[base + SRC0 + word]) return false;
  }
  return (
    words[at + DATAGRAM.ID] === facts[base + PORTS] &&
    words[at + DATAGRAM.PROTOCOL] === facts[base + PROTOCOL] &&
    words[at + DATAGRAM.ZONE] === zone &&
    words[at + DATAGRAM.PASS] === pass
  );
}

/** The datagram whose key is in the facts at `base`, which wire/fragment wrote and which is hashed. */
export function findDatagram(
  store: FragmentStore,
  facts: Int32Array,
  base: number,
  zone: number,
  pass: number,
): number {
  const { words, datagrams } = store;
  let datagram = words[bucketAt(store.datagramBuckets, facts[base + HASH])];
  while (datagram !== NONE && !hasKey(words, itemAt(datagrams, datagram), facts, base, zone, pass)) {
    datagram = words[itemAt(datagrams, datagram) + DATAGRAM.LINK];
  }
  return datagram;
}

/**
 * The pair of the addresses and the family in the facts at `base`.
 * @param pairHash keyed hash of these
 * @returns NONE when the pair holds nothing
 */
export function findPair(store: FragmentStore, facts: Int32Array, base: number, pairHash: number): number {
  const { words, pairs } = store;
  for (let pair = words[bucketAt(store.pairBuckets, pairHash)]; pair !== NONE; ) {
    const at = itemAt(pairs, pair);
    let isSame = words[at + PAIR.FAMILY] === (facts[base + PROTOCOL] & ~0xff);
    for (let word = 0; isSame && word < ADDRESS_WORDS; word++) {
      isSame = words[at + PAIR.KEY + word] === facts[base + SRC0 + word];
    }
    if (isSame) return pair;
    pair = words[at + PAIR.LINK];
  }
  return NONE;
}

/** Fragments that a pair holds. */
export function heldByPair(store: FragmentStore, pair: number): number {
  return pair === NONE ? 0 : store.words[itemAt(store.pairs, pair) + PAIR.FRAGMENTS];
}

/** The oldest datagram but `other`, of a pair or, with NONE, of all. NONE when there is no other. */
export function oldestDatagram(store: FragmentStore, pair: number, other: number): number {
  const { words } = store;
  const first = pair === NONE ? words[HEADER.OLDEST] : words[itemAt(store.pairs, pair) + PAIR.OLDEST];
  if (first === NONE || first !== other) return first;
  const newer = pair === NONE ? DATAGRAM.NEWER : DATAGRAM.PAIR_NEWER;
  return words[itemAt(store.datagrams, first) + newer];
}

/**
 * The oldest datagram if it has ended by the time in `now`, milliseconds in the first place, else NONE. Those behind it wait
 * for it to go, so one that would end later than any can has ended too: its packet's time was wrong, or the clock has gone
 * back since. By a time that is not finite nothing has ended.
 */
export function endedDatagram(store: FragmentStore, now: Float64Array): number {
  const oldest = store.words[HEADER.OLDEST];
  if (oldest === NONE || !Number.isFinite(now[0])) return NONE;
  const leftMs = store.doubles[(itemAt(store.datagrams, oldest) + DATAGRAM.EXPIRES) >>> 1] - now[0];
  return leftMs >= 0 && leftMs <= DATAGRAM_TIMEOUT_MS + MAX_BACK_MS ? NONE : oldest;
}

/**
 * Begins a datagram. There is room for as many as there is for fragments, so the caller knows that it fits.
 * @param now the time, milliseconds in the first place
 */
export function openDatagram(
  store: FragmentStore,
  facts: Int32Array,
  base: number,
  zone: number,
  pass: number,
  now: Float64Array,
  pairHash: number,
): number {
  const { words, doubles } = store;
  const datagram = takeItem(store, store.datagrams);
  const at = itemAt(store.datagrams, datagram);
  const bucket = bucketAt(store.datagramBuckets, facts[base + HASH]);
  words[at + DATAGRAM.LINK] = words[bucket];
  words[bucket] = datagram;
  words[at + DATAGRAM.HASH] = facts[base + HASH];
  for (let word = 0; word < ADDRESS_WORDS; word++) words[at + DATAGRAM.KEY + word] = facts[base + SRC0 + word];
  words[at + DATAGRAM.ID] = facts[base + PORTS];
  words[at + DATAGRAM.PROTOCOL] = facts[base + PROTOCOL];
  words[at + DATAGRAM.ZONE] = zone;
  words[at + DATAGRAM.PASS] = pass;
  words[at + DATAGRAM.COUNT] = 0;
  words[at + DATAGRAM.FIRST] = NONE;
  doubles[(at + DATAGRAM.EXPIRES) >>> 1] = now[0] + DATAGRAM_TIMEOUT_MS;
  joinAge(store, datagram);
  joinPair(store, facts, base, datagram, pairHash);
  words[at + DATAGRAM.STATE] = STATE.OTHER;
  return datagram;
}

function joinAge(store: FragmentStore, datagram: number): void {
  const { words, datagrams } = store;
  const at = itemAt(datagrams, datagram);
  const before = words[HEADER.NEWEST];
  words[at + DATAGRAM.OLDER] = before;
  words[at + DATAGRAM.NEWER] = NONE;
  words[HEADER.NEWEST] = datagram;
  if (before === NONE) words[HEADER.OLDEST] = datagram;
  else words[itemAt(datagrams, before) + DATAGRAM.NEWER] = datagram;
}

function joinPair(store: FragmentStore, facts: Int32Array, base: number, datagram: number, pairHash: number): void {
  const { words, datagrams, pairs } = store;
  let pair = findPair(store, facts, base, pairHash);
  if (pair === NONE) pair = openPair(store, facts, base, pairHash);
  const at = itemAt(datagrams, datagram);
  const pairAt = itemAt(pairs, pair);
  const before = words[pairAt + PAIR.NEWEST];
  words[at + DATAGRAM.PAIR] = pair;
  words[at + DATAGRAM.PAIR_OLDER] = before;
  words[at + DATAGRAM.PAIR_NEWER] = NONE;
  words[pairAt + PAIR.NEWEST] = datagram;
  if (before === NONE) words[pairAt + PAIR.OLDEST] = datagram;
  else words[itemAt(datagrams, before) + DATAGRAM.PAIR_NEWER] = datagram;
}

function openPair(store: FragmentStore, facts: Int32Array, base: number, pairHash: number): number {
  const { words } = store;
  const pair = takeItem(store, store.pairs);
  const at = itemAt(store.pairs, pair);
  const bucket = bucketAt(store.pairBuckets, pairHash);
  words[at + PAIR.LINK] = words[bucket];
  words[bucket] = pair;
  words[at + PAIR.HASH] = pairHash;
  for (let word = 0; word < ADDRESS_WORDS; word++) words[at + PAIR.KEY + word] = facts[base + SRC0 + word];
  words[at + PAIR.FAMILY] = facts[base + PROTOCOL] & ~0xff;
  words[at + PAIR.FRAGMENTS] = 0;
  words[at + PAIR.OLDEST] = NONE;
  words[at + PAIR.NEWEST] = NONE;
  return pair;
}

/** Whether a part begins or ends within one that is there. */
export function overlaps(store: FragmentStore, datagram: number, start: number, end: number): boolean {
  const { words, fragments } = store;
  let fragment = words[itemAt(store.datagrams, datagram) + DATAGRAM.FIRST];
  while (fragment !== NONE) {
    const at = itemAt(fragments, fragment);
    const from = words[at + HELD.START];
    const to = words[at + HELD.END];
    if ((start >= from && start <= to) || (end >= from && end <= to)) return true;
    fragment = words[at + HELD.LINK];
  }
  return false;
}

/**
 * Adds a fragment whose words are written, in its place.
 * @param flags of wire/fragment
 * @returns whether the datagram is whole with it
 */
export function addFragment(store: FragmentStore, datagram: number, fragment: number, flags: number): boolean {
  const { words, fragments } = store;
  const at = itemAt(store.datagrams, datagram);
  const start = words[itemAt(fragments, fragment) + HELD.START];
  let link = at + DATAGRAM.FIRST;
  while (words[link] !== NONE && words[itemAt(fragments, words[link]) + HELD.START] <= start) {
    link = itemAt(fragments, words[link]) + HELD.LINK;
  }
  words[itemAt(fragments, fragment) + HELD.LINK] = words[link];
  words[link] = fragment;
  words[at + DATAGRAM.COUNT]++;
  words[itemAt(store.pairs, words[at + DATAGRAM.PAIR]) + PAIR.FRAGMENTS]++;
  words[at + DATAGRAM.STATE] = stateAfter(words[at + DATAGRAM.STATE], flags);
  return words[at + DATAGRAM.STATE] === STATE.FIRST_AND_LAST && isGapless(store, at);
}

function stateAfter(state: number, flags: number): number {
  const isFirst = (flags & FRAGMENT_FIRST) !== 0;
  const isLast = (flags & FRAGMENT_LAST) !== 0;
  if (state === STATE.FIRST) return isLast ? STATE.FIRST_AND_LAST : STATE.FIRST;
  if (state === STATE.LAST) return isFirst ? STATE.FIRST_AND_LAST : STATE.LAST;
  if (state === STATE.FIRST_AND_LAST) return state;
  if (isFirst) return STATE.FIRST;
  return isLast ? STATE.LAST : STATE.OTHER;
}

function isGapless({ words, fragments }: FragmentStore, datagramAt: number): boolean {
  let at = itemAt(fragments, words[datagramAt + DATAGRAM.FIRST]);
  while (words[at + HELD.LINK] !== NONE) {
    const next = itemAt(fragments, words[at + HELD.LINK]);
    if (words[at + HELD.END] + 1 !== words[next + HELD.START]) return false;
    at = next;
  }
  return true;
}

/**
 * Ends a datagram and leaves its fragments to the caller.
 * @returns the first one, which leads to the others
 */
export function closeDatagram(store: FragmentStore, datagram: number): number {
  const { words, datagrams } = store;
  const at = itemAt(datagrams, datagram);
  const first = words[at + DATAGRAM.FIRST];
  words[at + DATAGRAM.STATE] = STATE.UNUSED;
  leaveAge(store, at);
  leavePair(store, at);
  unlink(words, bucketAt(store.datagramBuckets, words[at + DATAGRAM.HASH]), datagrams, datagram);
  giveItem(store, datagrams, datagram);
  return first;
}

function leaveAge({ words, datagrams }: FragmentStore, at: number): void {
  const older = words[at + DATAGRAM.OLDER];
  const newer = words[at + DATAGRAM.NEWER];
  if (older === NONE) words[HEADER.OLDEST] = newer;
  else words[itemAt(datagrams, older) + DATAGRAM.NEWER] = newer;
  if (newer === NONE) words[HEADER.NEWEST] = older;
  else words[itemAt(datagrams, newer) + DATAGRAM.OLDER] = older;
}

function leavePair(store: FragmentStore, at: number): void {
  const { words, datagrams, pairs } = store;
  const pair = words[at + DATAGRAM.PAIR];
  const pairAt = itemAt(pairs, pair);
  const older = words[at + DATAGRAM.PAIR_OLDER];
  const newer = words[at + DATAGRAM.PAIR_NEWER];
  if (older === NONE) words[pairAt + PAIR.OLDEST] = newer;
  else words[itemAt(datagrams, older) + DATAGRAM.PAIR_NEWER] = newer;
  if (newer === NONE) words[pairAt + PAIR.NEWEST] = older;
  else words[itemAt(datagrams, newer) + DATAGRAM.PAIR_OLDER] = older;
  words[pairAt + PAIR.FRAGMENTS] -= words[at + DATAGRAM.COUNT];
  if (words[pairAt + PAIR.OLDEST] !== NONE) return;
  unlink(words, bucketAt(store.pairBuckets, words[pairAt + PAIR.HASH]), pairs, pair);
  giveItem(store, pairs, pair);
}

/** Takes an item out of the hash chain whose head is at word `head`; the links are the items' first words. */
function unlink(words: Int32Array, head: number, pool: FragmentStore['pairs'], item: number): void {
  let link = head;
  while (words[link] !== item) link = itemAt(pool, words[link]);
  words[link] = words[itemAt(pool, item)];
}

/** Gives a fragment and its blocks back. @returns the one behind it */
export function freeFragment(store: FragmentStore, fragment: number): number {
  const { words, fragments } = store;
  const at = itemAt(fragments, fragment);
  const next = words[at + HELD.LINK];
  giveBlocks(store, words[at + HELD.BLOCK]);
  giveItem(store, fragments, fragment);
  return next;
}

/** Forgets a datagram and its fragments. @returns how many they were */
export function dropDatagram(store: FragmentStore, datagram: number): number {
  let dropped = 0;
  for (let fragment = closeDatagram(store, datagram); fragment !== NONE; dropped++) {
    fragment = freeFragment(store, fragment);
  }
  return dropped;
}
