/**
 * The memory in which a shard holds fragments: what is in it and where, and taking and giving back its parts.
 *
 * ```
 * header │ datagrams by hash │ pairs by hash │ datagrams │ pairs │ fragments │ links of blocks │ blocks of frames
 * ```
 *
 * A DATAGRAM is what OVS calls a list: the fragments that have come of one datagram, in order. A PAIR counts what one
 * source holds for one destination. A FRAGMENT is a row of the engine's as it came, and the first of its BLOCKs, which
 * hold the frame. Items have numbers from 1 on; 0 is none. All of it is made at once and never grows: that is the bound.
 *
 * It is shared memory, but one thread works on it; others only look, for the status (list.ts).
 *
 * Imports wire/facts. Imported by fragment/ and engine/.
 */
import { FAMILY_IPV6 } from '../wire/facts.js';

/** Most fragments that may be held (OVS `ipf-set-max-nfrags` takes no more). */
export const MAX_FRAGMENTS = 5000;
/** Bytes of a block: an Ethernet frame of the usual size fits. */
export const BLOCK_BYTES = 2048;
/** Heads of hash chains, of each kind. A power of two. */
const BUCKETS = 8192;
const BUCKET_MASK = BUCKETS - 1;
export const NONE = 0;

/** Words of the header besides those of the pools. */
export const HEADER = { BLOCKS: 0, OLDEST: 1, NEWEST: 2, READY: 3, READY_LAST: 4 } as const;
const POOLS_AT = 16;
const HEADER_WORDS = 32;

/** Words of a datagram. LINK leads through a hash chain, or through the pool. */
export const DATAGRAM = {
  LINK: 0,
  HASH: 1,
  /** Eight words of addresses, then identification, protocol, zone and pass: together the key. */
  KEY: 2,
  ID: 10,
  PROTOCOL: 11,
  ZONE: 12,
  /** Which pass through flow tables; OVS has a recirculation number here. */
  PASS: 13,
  /** One of STATE. Written last when a datagram begins and first when it ends. */
  STATE: 14,
  /** Fragments, and the first of them. */
  COUNT: 15,
  FIRST: 16,
  PAIR: 17,
  /** Neighbours among all datagrams, and among those of the pair, by when they began. */
  OLDER: 18,
  NEWER: 19,
  PAIR_OLDER: 20,
  PAIR_NEWER: 21,
  /** A double: milliseconds. */
  EXPIRES: 22,
} as const;
export const DATAGRAM_WORDS = 24;

/** Words of a pair. */
export const PAIR = { LINK: 0, HASH: 1, KEY: 2, FAMILY: 10, FRAGMENTS: 11, OLDEST: 12, NEWEST: 13 } as const;
const PAIR_WORDS = 16;

/** Words of a fragment. Offsets are from the first byte of its frame. LINK leads to the next one of the datagram. */
export const HELD = {
  LINK: 0,
  START: 1,
  END: 2,
  PROTOCOL: 3,
  BLOCK: 4,
  BYTES: 5,
  L3: 6,
  L4: 7,
  L4_END: 8,
  /** The engine's row of the packet; at an even word, since it holds a double. */
  ROW: 10,
} as const;

/** How far a datagram has come, in OVS's words. */
export const STATE = { UNUSED: 0, FAILED: 1, OTHER: 2, FIRST: 3, LAST: 4, FIRST_AND_LAST: 5 } as const;

/** Items of one kind. Its first words in the header are: the first free one, how many were ever taken, how many are. */
export interface Pool {
  /** Words of the header. */
  readonly free: number;
  readonly at: number;
  readonly itemWords: number;
  readonly capacity: number;
}
const FREE = 0;
const FRESH = 1;
const USED = 2;
const POOL_WORDS = 4;

export interface FragmentStore {
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly doubles: Float64Array;
  /** The blocks. */
  readonly frames: DataView;
  readonly datagrams: Pool;
  readonly pairs: Pool;
  readonly fragments: Pool;
  readonly blocks: Pool;
  readonly datagramBuckets: number;
  readonly pairBuckets: number;
  /** Words of a row of the engine. */
  readonly rowWords: number;
}

interface Sizes {
  readonly blocks: number;
  readonly rowWords: number;
}

/** Words that lie in front of the blocks' memory. */
function wordsOf({ blocks, rowWords }: Sizes): number {
  const items = DATAGRAM_WORDS + PAIR_WORDS + HELD.ROW + rowWords;
  return HEADER_WORDS + 2 * BUCKETS + MAX_FRAGMENTS * items + blocks + (blocks & 1);
}

/**
 * @param frameBytes memory for frames; rounded down to blocks
 * @param rowWords words of a row of the engine; even
 */
export function createFragmentStore(frameBytes: number, rowWords: number): FragmentStore {
  const blocks = Math.floor(frameBytes / BLOCK_BYTES);
  const buffer = new SharedArrayBuffer(wordsOf({ blocks, rowWords }) * 4 + blocks * BLOCK_BYTES);
  new Int32Array(buffer, 0, HEADER_WORDS)[HEADER.BLOCKS] = blocks;
  return attachFragmentStore(buffer, rowWords);
}

export function attachFragmentStore(buffer: SharedArrayBuffer, rowWords: number): FragmentStore {
  const blocks = new Int32Array(buffer, 0, HEADER_WORDS)[HEADER.BLOCKS];
  const sizes = { blocks, rowWords };
  const total = wordsOf(sizes);
  let at = HEADER_WORDS + 2 * BUCKETS;
  let pools = POOLS_AT;
  const pool = (itemWords: number, capacity: number): Pool => {
    const made = { free: pools, at: at - itemWords, itemWords, capacity };
    at += itemWords * capacity;
    pools += POOL_WORDS;
    return made;
  };
  return {
    buffer,
    words: new Int32Array(buffer, 0, total),
    doubles: new Float64Array(buffer, 0, total >> 1),
    frames: new DataView(buffer, total * 4, blocks * BLOCK_BYTES),
    datagrams: pool(DATAGRAM_WORDS, MAX_FRAGMENTS),
    fragments: pool(HELD.ROW + rowWords, MAX_FRAGMENTS),
    pairs: pool(PAIR_WORDS, MAX_FRAGMENTS),
    blocks: pool(1, blocks),
    datagramBuckets: HEADER_WORDS,
    pairBuckets: HEADER_WORDS + BUCKETS,
    rowWords,
  };
}

/** Forgets all that is held, after the thread that works on it has died. @returns how many fragments that were */
export function forgetFragments(store: FragmentStore): number {
  const count = usedItems(store, store.fragments);
  store.words.fill(0, HEADER.OLDEST, HEADER_WORDS + 2 * BUCKETS);
  return count;
}

/** First word of an item. */
export function itemAt(pool: Pool, item: number): number {
  return pool.at + item * pool.itemWords;
}

/** Takes an item out of its pool; the caller knows that there is one. */
export function takeItem({ words }: FragmentStore, pool: Pool): number {
  let item = words[pool.free + FREE];
  if (item !== NONE) words[pool.free + FREE] = words[itemAt(pool, item)];
  else item = ++words[pool.free + FRESH];
  words[pool.free + USED]++;
  words[itemAt(pool, item)] = NONE;
  return item;
}

/** Gives an item back. Its first word is the pool's from then on. */
export function giveItem({ words }: FragmentStore, pool: Pool, item: number): void {
  words[itemAt(pool, item)] = words[pool.free + FREE];
  words[pool.free + FREE] = item;
  words[pool.free + USED]--;
}

/** Items of a kind in use. */
export function usedItems({ words }: FragmentStore, pool: Pool): number {
  return words[pool.free + USED];
}

/** FAMILY_IPV6 or 0: what a fragment's datagram is of. */
export function familyOf({ words, fragments }: FragmentStore, fragment: number): number {
  return words[itemAt(fragments, fragment) + HELD.PROTOCOL] & FAMILY_IPV6;
}

/** The word that holds the head of a hash chain. @param buckets `datagramBuckets` or `pairBuckets` */
export function bucketAt(buckets: number, hash: number): number {
  return buckets + (hash & BUCKET_MASK);
}
