/**
 * The index: finding the records whose tag fits a hash, and entering and leaving them. See map.ts for the design.
 *
 * A lookup walks candidates and compares the keys itself:
 *
 * ```ts
 * for (let slot = firstCandidateLocked(map, region, hash); slot !== NO_SLOT;
 *      slot = nextCandidateLocked(map, region, hash, slot)) {
 *   const record = recordInSlot(map, slot);
 *   …
 * }
 * ```
 *
 * All functions need the region's lock. Imports layout, map. Imported by engine/ and track/ through index.ts.
 */
import { BUCKET, BUCKET_WORDS as LINE_WORDS, RECORD, REGION, SLOTS_PER_BUCKET as SLOT_COUNT } from './layout.js';
import { recordAt, regionAt, type SharedMap } from './map.js';

const { OVERFLOW, SLOTS } = BUCKET;
const { GENERATION, HASH } = RECORD;
const { LONG_PROBES } = REGION;
// Bound again: a constant of this module is folded into the code, an imported one is read each time.
const BUCKET_WORDS = LINE_WORDS;
const SLOTS_PER_BUCKET = SLOT_COUNT;

export const NO_SLOT = -1;

/** Buckets an insert looks at, its home included. */
export const MAX_PROBES = 8;

/** Odd multipliers that give bucket and tag each their own mix of the hash (from the golden ratio and from pi). */
export const BUCKET_MIX = 0x9e3779b1 | 0;
export const TAG_MIX = 0x243f6a89;

/** First word of the bucket where records with this hash belong. */
export function homeBucketAt(map: SharedMap, region: number, hash: number): number {
  const { bucketsAt, bucketsPerRegion, bucketShift } = map;
  // Two shifts, since one by 32, for a single bucket, would shift by 0.
  const bucket = (Math.imul(hash, BUCKET_MIX) >>> 1) >>> (bucketShift - 1);
  return bucketsAt + (region * bucketsPerRegion + bucket) * BUCKET_WORDS;
}

/** The tag of a hash in its place in a slot: never 0, so that it differs from every empty slot's. */
const tagIn = (recordBits: number, hash: number): number => {
  const tag = Math.imul(hash ^ (hash >>> 15), TAG_MIX) & (-1 << recordBits);
  return tag === 0 ? 1 << recordBits : tag;
};

function tagOf(map: SharedMap, hash: number): number {
  return tagIn(map.recordBits, hash);
}

/**
 * The two slots of its bucket where a record with this hash goes if one is free. A lookup looks there first: where a
 * record sits is then no surprise to the branch predictor, which a walk from the first slot on is every time.
 */
const firstChoice = (hash: number): number => SLOTS + (((hash & 0xff) * SLOTS_PER_BUCKET) >>> 8);
const secondChoice = (hash: number): number => SLOTS + ((((hash >>> 8) & 0xff) * SLOTS_PER_BUCKET) >>> 8);
/** The first slot that may be chosen, and how many there are. */
export const CHOICES = { FIRST: SLOTS, COUNT: SLOTS_PER_BUCKET } as const;

/** The bucket after `at` in the region, which begins at `first`. */
function nextBucketAt(map: SharedMap, first: number, at: number): number {
  const next = at + BUCKET_WORDS;
  return next === first + map.bucketsPerRegion * BUCKET_WORDS ? first : next;
}

function firstBucketAt(map: SharedMap, region: number): number {
  return map.bucketsAt + region * map.bucketsPerRegion * BUCKET_WORDS;
}

/** First slot from `from` on in the bucket at `at` whose tag is `tag`, or NO_SLOT. */
function slotInBucket(words: Int32Array, at: number, from: number, tag: number, recordBits: number): number {
  for (let slot = from; slot < at + BUCKET_WORDS; slot++) {
    if ((words[slot] ^ tag) >>> recordBits === 0) return slot;
  }
  return NO_SLOT;
}

/**
 * The slot of its home bucket at word `home` that a new record with this hash goes to, or NO_SLOT when anything there is
 * out of the ordinary: a tag that fits, a record that went on past the bucket, no free slot. So it says as well that the
 * map has no record with this hash. One look, with one branch for all slots (11 ns).
 */
export function newSlotLocked(words: Int32Array, recordBits: number, home: number, hash: number): number {
  const tag = tagIn(recordBits, hash);
  // Negative from the first tag that fits on.
  let fits = 0;
  for (let slot = home + SLOTS; slot < home + BUCKET_WORDS; slot++) fits |= ((words[slot] ^ tag) >>> recordBits) - 1;
  if (fits < 0 || words[home + OVERFLOW] !== 0) return NO_SLOT;
  if (words[home + firstChoice(hash)] === 0) return home + firstChoice(hash);
  if (words[home + secondChoice(hash)] === 0) return home + secondChoice(hash);
  return slotInBucket(words, home, home + SLOTS, 0, 0);
}

/**
 * Enters a record into the slot that newSlotLocked() has named, and makes it live; as insertLocked().
 * @param at first word of the record
 * @returns its new generation
 */
export function insertInSlotLocked(
  words: Int32Array,
  recordBits: number,
  slot: number,
  hash: number,
  record: number,
  at: number,
): number {
  const generation = words[at + GENERATION] + 1;
  words[slot] = tagIn(recordBits, hash) | record;
  words[at + HASH] = hash;
  words[at + GENERATION] = generation;
  return generation;
}

/** The first slot that may hold a record with this hash, or NO_SLOT. */
export function firstCandidateLocked(map: SharedMap, region: number, hash: number): number {
  const { words, recordBits } = map;
  const at = homeBucketAt(map, region, hash);
  const tag = tagOf(map, hash);
  const slot = slotInBucket(words, at, at + SLOTS, tag, recordBits);
  if (slot !== NO_SLOT || words[at + OVERFLOW] === 0) return slot;
  return candidateBeyond(map, region, hash, at);
}

/** The slot after `slot` that may hold a record with this hash, or NO_SLOT. */
export function nextCandidateLocked(map: SharedMap, region: number, hash: number, slot: number): number {
  const { words, recordBits } = map;
  const at = slot - ((slot - map.bucketsAt) & (BUCKET_WORDS - 1));
  const next = slotInBucket(words, at, slot + 1, tagOf(map, hash), recordBits);
  return next !== NO_SLOT ? next : candidateBeyond(map, region, hash, at);
}

/** Goes on behind the bucket at `at`, as long as records went on past each bucket and the home is within reach. */
function candidateBeyond(map: SharedMap, region: number, hash: number, at: number): number {
  const { words, recordBits } = map;
  const tag = tagOf(map, hash);
  const first = firstBucketAt(map, region);
  const last = lastProbeAt(map, first, homeBucketAt(map, region, hash));
  let bucket = at;
  while (bucket !== last && words[bucket + OVERFLOW] !== 0) {
    bucket = nextBucketAt(map, first, bucket);
    const slot = slotInBucket(words, bucket, bucket + SLOTS, tag, recordBits);
    if (slot !== NO_SLOT) return slot;
  }
  return NO_SLOT;
}

/** The last bucket that an insert with this home may look at. */
function lastProbeAt(map: SharedMap, first: number, home: number): number {
  const { bucketsPerRegion } = map;
  const steps = Math.min(MAX_PROBES, bucketsPerRegion) - 1;
  const bucket = (home - first) / BUCKET_WORDS + steps;
  return first + (bucket < bucketsPerRegion ? bucket : bucket - bucketsPerRegion) * BUCKET_WORDS;
}

export function recordInSlot(map: SharedMap, slot: number): number {
  return map.words[slot] & map.recordMask;
}

/**
 * Enters a record taken with takeRecordLocked() and filled by the caller, and makes it live.
 * @returns false when no slot is within reach; the record is then still the caller's
 */
export function insertLocked(map: SharedMap, region: number, hash: number, record: number): boolean {
  const { words } = map;
  const at = recordAt(map, record);
  if (!enterLocked(map, region, hash, record)) return false;
  words[at + HASH] = hash;
  // Last: a record that a dying thread leaves half-written is still even, and repair takes it for free.
  words[at + GENERATION]++;
  return true;
}

/** Puts a record number into the index; the record itself is not touched. For insertLocked(), for
 * further keys of a record, which may be in other regions, and for repair. */
export function enterLocked(map: SharedMap, region: number, hash: number, record: number): boolean {
  const { words } = map;
  const first = firstBucketAt(map, region);
  const home = homeBucketAt(map, region, hash);
  const slot = freeSlot(map, first, home, hash);
  if (slot === NO_SLOT) return false;
  const bucket = slot - ((slot - map.bucketsAt) & (BUCKET_WORDS - 1));
  if (bucket !== home) {
    countPassing(map, first, home, bucket, 1);
    words[regionAt(map, region) + LONG_PROBES]++;
  }
  words[slot] = tagOf(map, hash) | record;
  return true;
}

/** Empties every bucket of a region. For repair. */
export function clearBucketsLocked(map: SharedMap, region: number): void {
  const first = firstBucketAt(map, region);
  map.words.fill(0, first, first + map.bucketsPerRegion * BUCKET_WORDS);
}

function freeSlot(map: SharedMap, first: number, home: number, hash: number): number {
  const { words } = map;
  if (words[home + firstChoice(hash)] === 0) return home + firstChoice(hash);
  if (words[home + secondChoice(hash)] === 0) return home + secondChoice(hash);
  const last = lastProbeAt(map, first, home);
  for (let bucket = home; ; bucket = nextBucketAt(map, first, bucket)) {
    for (let slot = bucket + SLOTS; slot < bucket + BUCKET_WORDS; slot++) {
      if (words[slot] === 0) return slot;
    }
    if (bucket === last) return NO_SLOT;
  }
}

/** Adds `by` to OVERFLOW of every bucket from `home` to the one before `bucket`. */
function countPassing(map: SharedMap, first: number, home: number, bucket: number, by: number): void {
  for (let at = home; at !== bucket; at = nextBucketAt(map, first, at)) map.words[at + OVERFLOW] += by;
}

/**
 * Takes a record number out of the index; the record itself is not touched. Where two slots are equal to the bit, it
 * does not matter which one goes.
 * @returns false when the index does not hold it under this hash
 */
export function leaveLocked(map: SharedMap, region: number, hash: number, record: number): boolean {
  const { words } = map;
  const home = homeBucketAt(map, region, hash);
  const entry = tagOf(map, hash) | record;
  let slot = home + firstChoice(hash);
  if (words[slot] !== entry) slot = home + secondChoice(hash);
  if (words[slot] !== entry) return leaveOtherSlot(map, region, hash, record);
  words[slot] = 0;
  return true;
}

/** The same where the record is in neither of the slots that its hash prefers. */
function leaveOtherSlot(map: SharedMap, region: number, hash: number, record: number): boolean {
  let slot = firstCandidateLocked(map, region, hash);
  while (slot !== NO_SLOT && recordInSlot(map, slot) !== record) slot = nextCandidateLocked(map, region, hash, slot);
  if (slot === NO_SLOT) return false;
  map.words[slot] = 0;
  const bucket = slot - ((slot - map.bucketsAt) & (BUCKET_WORDS - 1));
  countPassing(map, firstBucketAt(map, region), homeBucketAt(map, region, hash), bucket, -1);
  return true;
}

/**
 * Takes a live record out of the index and makes it dead; giveRecordLocked() then frees it.
 * @throws Error when the index does not hold the record: the map is damaged
 */
export function removeLocked(map: SharedMap, region: number, record: number): void {
  const { words } = map;
  const at = recordAt(map, record);
  const hash = words[at + HASH];
  // First: from here on a repair takes the record for free, whatever else is left to do.
  words[at + GENERATION]++;
  if (!leaveLocked(map, region, hash, record)) {
    throw new Error(`record ${record} is not in the index`);
  }
}

/** True while the record is in the map. */
export function isLive(map: SharedMap, record: number): boolean {
  return (map.words[recordAt(map, record) + GENERATION] & 1) === 1;
}
