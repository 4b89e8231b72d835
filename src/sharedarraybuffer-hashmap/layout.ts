/**
 * Where each word of the map's memory lies. See map.ts for what the parts are for.
 *
 * ```
 *   header │ region 0 │ region 1 │ … │ buckets of region 0 │ 1 │ … │ records, all regions │ annexes, all regions
 * ```
 *
 * Imports nothing. Imported by the other files of sharedarraybuffer-hashmap/.
 */

/** Words of a 64-byte cache line: the unit of alignment of everything below. */
export const LINE_WORDS = 16;

/** The header: written once by the creator, read-only from then on. */
const HEADER_FIELDS = [
  'MAGIC',
  'VERSION',
  'REGIONS',
  'RECORDS_PER_REGION',
  'RECORD_WORDS',
  'ANNEXES_PER_REGION',
  'ANNEX_WORDS',
  'REGION_USER_WORDS',
] as const;

/**
 * A region. `guard` says how a word may be touched: `atomic` only through Atomics; `lock` plainly, while the region's
 * lock is held. LOCK and WAITERS have a line each, so that a waiter does not slow the holder down.
 */
const REGION_FIELDS = [
  ['LOCK', 0, 'atomic', 'owner of the lock, 0 when free'],
  ['WAITERS', LINE_WORDS, 'atomic', 'threads that wait for the lock'],
  ['RECORDS_USED', 2 * LINE_WORDS, 'lock', 'records in use'],
  ['RECORD_FREE', 2 * LINE_WORDS + 1, 'lock', 'first record of the free list, 0 when it is empty'],
  ['RECORD_FRESH', 2 * LINE_WORDS + 2, 'lock', 'records that were ever used: those above are untouched'],
  ['ANNEXES_USED', 2 * LINE_WORDS + 3, 'lock', 'annexes in use'],
  ['ANNEX_FREE', 2 * LINE_WORDS + 4, 'lock', 'first annex of the free list, 0 when it is empty'],
  ['ANNEX_FRESH', 2 * LINE_WORDS + 5, 'lock', 'annexes that were ever used'],
  ['LONG_PROBES', 2 * LINE_WORDS + 6, 'lock', 'inserts that found their home bucket full'],
  ['USER', 3 * LINE_WORDS, 'lock', 'words of the map’s user, as many as it asked for'],
] as const satisfies readonly (readonly [name: string, word: number, guard: 'atomic' | 'lock', note: string])[];

/** A bucket is one cache line. All of it is guarded by the lock of its region. */
const BUCKET_FIELDS = [
  ['OVERFLOW', 0, 'records whose home is this bucket or an earlier one and that went on past it'],
  ['SLOTS', 1, 'fifteen slots: tag << record bits | record number, 0 when empty'],
] as const satisfies readonly (readonly [name: string, word: number, note: string])[];

/** The words of a record that belong to the map; the rest are its user's. Guarded by the lock of the region. */
const RECORD_FIELDS = [
  ['GENERATION', 0, 'odd while the record is in the map; grows by one with every insert and remove'],
  ['HASH', 1, 'hash of the key; in a free record the number of the next free one'],
  ['RECORD_USER', 2, 'first word of the map’s user'],
] as const satisfies readonly (readonly [name: string, word: number, note: string])[];

function offsets<Name extends string>(fields: readonly (readonly [Name, number, ...unknown[]])[]) {
  return Object.fromEntries(fields.map(([name, word]) => [name, word])) as Readonly<Record<Name, number>>;
}

export const HEADER = Object.fromEntries(HEADER_FIELDS.map((name, word) => [name, word])) as Readonly<
  Record<(typeof HEADER_FIELDS)[number], number>
>;
export const REGION = offsets(REGION_FIELDS);
export const BUCKET = offsets(BUCKET_FIELDS);
export const RECORD = offsets(RECORD_FIELDS);

export const HEADER_WORDS = LINE_WORDS;
export const BUCKET_WORDS = LINE_WORDS;
export const SLOTS_PER_BUCKET = BUCKET_WORDS - BUCKET.SLOTS;

/** "FSHM" */
export const MAGIC = 0x4653484d;
export const VERSION = 1;
