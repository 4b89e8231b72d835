/**
 * sharedarraybuffer-hashmap: a hash map in one SharedArrayBuffer, for several threads, made of numbers only.
 *
 * It knows words, not packets: a record is a row of 32-bit words, its key lies wherever the user likes, and the user
 * brings the hash and compares the keys. Nothing in it allocates after creation, and nothing waits without a bound.
 *
 * THE PARTS
 *
 * - **Regions.** The map is cut into regions, each with its own lock, buckets, records and counts. Which region a key
 *   belongs to is the user's choice, as long as it is a function of the key; flowshard takes the upper part of the
 *   hash, so that the keys one shard works on lie in one region.
 * - **Buckets.** One cache line of 64 bytes: a count and fifteen slots of one word each, which hold a record number and
 *   a tag made of further hash bits. Probing is open addressing from bucket to bucket. A key that misses touches one
 *   line; one that hits touches that line and its record.
 * - **Records.** 64-byte aligned rows in a slab, taken from a free list, last in first out. A record's GENERATION grows
 *   whenever it enters or leaves the map, so a record number together with a generation names one life of one record.
 * - **Annexes.** A second slab of smaller rows, for records that need more room than most (flowshard: IPv6 addresses).
 * - **Lists.** Any number of lists may run through the records, each through two words that the user sets aside.
 *
 * THE NUMBERS
 *
 * - The load is between 0.2 and 0.4 when the map is full, for the number of buckets is a power of two: 3 to 6 records
 *   in a bucket of fifteen slots, 11 to 21 bytes of index per record. By the Poisson distribution one bucket in two
 *   thousand overflows at the most.
 * - A lookup first looks at the two slots that the hash prefers, one of which was free when the record came in nineteen
 *   of twenty cases even if the table is full; so nearly all lookups take the same path, which the branch predictor
 *   learns.
 * - A tag has 32 - record bits bits: 12 for a million records, so that a lookup that misses compares one wrong record
 *   in four hundred. Tags are never 0, so that an empty slot matches nothing.
 * - An insert looks at MAX_PROBES buckets at the most and then refuses. With a good hash that takes a run of 120 slots
 *   without a gap, which at this load does not happen; with a bad one the cost stays bounded.
 * - Removing clears a slot and leaves no tombstone. Instead each bucket counts, in OVERFLOW, the records that went on
 *   past it, and a lookup stops at the first bucket in which that count is 0.
 *
 * WHO MAY DO WHAT
 *
 * Every function whose name ends in `Locked` needs the region's lock (lock.ts), held by the calling thread; everything
 * in a region is touched plainly under that one lock, and the release and acquire of the lock order those accesses
 * (ECMA-262 29.10: the store that frees the lock synchronises with the compare-exchange that takes it). A thread holds
 * **at most one** region lock at a time and never waits while it holds one. The lock is as coarse as it is so that a
 * worker whose packets lie in its own region pays for one lock per batch instead of one per packet: an uncontended
 * compare-exchange and store are 20 ns on Node 20, more than half of all that a packet takes.
 *
 * Reading a record without the lock is allowed as a hint only: the words may change meanwhile, and whatever is decided
 * on them must be decided again under the lock.
 *
 * FULL
 *
 * takeRecordLocked() and takeAnnexLocked() return 0 when the slab is used up, insertLocked() false when no slot is
 * within reach; the map is then as it was before the call.
 *
 * Imports layout. Imported by buckets.ts, slab.ts, lock.ts and through index.ts by engine/ and track/.
 */
import { BUCKET_WORDS, HEADER, HEADER_WORDS, LINE_WORDS, MAGIC, REGION, SLOTS_PER_BUCKET, VERSION } from './layout.js';

/** The one part of WebAssembly that is used here; Node's type declarations leave it to the browser's. */
declare const WebAssembly: {
  Memory: new (size: { initial: number; maximum: number; shared: true }) => { readonly buffer: SharedArrayBuffer };
};

export interface MapOptions {
  /** Parts with a lock of their own, 1 to 1024. */
  readonly regions: number;
  /** Records that fit into each region. */
  readonly recordsPerRegion: number;
  /** Words of a record, a multiple of 16; the first two are the map's. */
  readonly recordWords: number;
  /** Annexes that fit into each region; may be 0. */
  readonly annexesPerRegion: number;
  /** Words of an annex, a multiple of 8. */
  readonly annexWords: number;
  /** Words per region for the user's own counts, guarded by the region's lock. */
  readonly regionUserWords: number;
}

/** The map as one thread sees it: views on the shared memory and the numbers that every access needs. */
export interface SharedMap extends MapOptions {
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array;
  /** The same memory, for records that hold 64-bit floating point numbers in aligned pairs of words. */
  readonly doubles: Float64Array;
  /** A power of two, and how far a hash of 32 bits is to be shifted to the right to name one. */
  readonly bucketsPerRegion: number;
  readonly bucketShift: number;
  /** Bits of a slot that hold the record number. */
  readonly recordBits: number;
  readonly recordMask: number;
  /** Words from one region's header to the next one's. */
  readonly regionStride: number;
  readonly regionsAt: number;
  readonly bucketsAt: number;
  /** Word of record 0, which is never used: number 0 means "none". */
  readonly recordsAt: number;
  readonly annexesAt: number;
}

const MAX_REGIONS = 1024;
const MAX_LOAD = 0.4;
/** Annexes are half lines at least. */
const ANNEX_UNIT = 8;
const WASM_PAGE_BYTES = 65536;
const MAX_BYTES = 65536 * WASM_PAGE_BYTES;
const PAGE_WORDS = 1024;

/** Bits that hold the numbers from 0 to `most`. */
function bitsFor(most: number): number {
  return 32 - Math.clz32(most);
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

function checkOptions(options: MapOptions): void {
  const wholeFrom = (name: keyof MapOptions, least: number, unit: number) => {
    const value = options[name];
    if (!Number.isSafeInteger(value) || value < least || value % unit !== 0) {
      throw new RangeError(`${name} must be a whole number of at least ${least} and a multiple of ${unit}: ${value}`);
    }
  };
  wholeFrom('regions', 1, 1);
  wholeFrom('recordsPerRegion', 1, 1);
  wholeFrom('recordWords', LINE_WORDS, LINE_WORDS);
  wholeFrom('annexesPerRegion', 0, 1);
  wholeFrom('annexWords', ANNEX_UNIT, ANNEX_UNIT);
  wholeFrom('regionUserWords', 0, 1);
  if (options.regions > MAX_REGIONS) throw new RangeError(`regions must be at most ${MAX_REGIONS}`);
}

/** Offsets of all parts, from the options alone: creator and attacher must agree. */
function plan(options: MapOptions) {
  const { regions, recordsPerRegion, annexesPerRegion, recordWords, annexWords } = options;
  const bucketBits = bitsFor(Math.ceil(recordsPerRegion / (SLOTS_PER_BUCKET * MAX_LOAD)) - 1);
  // A shift and not a power: 2 ** n is a floating point number to V8, and every bucket's place then a calculation with
  // such numbers (lookups at 1,000 connections: 14 ns instead of 8).
  const bucketsPerRegion = 1 << bucketBits;
  const regionStride = roundUp(REGION.USER + options.regionUserWords, LINE_WORDS);
  const regionsAt = HEADER_WORDS;
  const bucketsAt = regionsAt + regions * regionStride;
  // Records of two lines start on an even line, which the hardware fetches in pairs.
  const recordsAt = roundUp(bucketsAt + regions * bucketsPerRegion * BUCKET_WORDS, recordWords);
  const annexesAt = recordsAt + (regions * recordsPerRegion + 1) * recordWords;
  const totalWords = annexesAt + (regions * annexesPerRegion + 1) * annexWords;
  const recordBits = bitsFor(regions * recordsPerRegion);
  return {
    bucketBits,
    bucketsPerRegion,
    regionStride,
    regionsAt,
    bucketsAt,
    recordsAt,
    annexesAt,
    totalWords,
    recordBits,
  };
}

function viewOf(buffer: SharedArrayBuffer, options: MapOptions): SharedMap {
  const places = plan(options);
  return {
    regions: options.regions,
    recordsPerRegion: options.recordsPerRegion,
    recordWords: options.recordWords,
    annexesPerRegion: options.annexesPerRegion,
    annexWords: options.annexWords,
    regionUserWords: options.regionUserWords,
    buffer,
    words: new Int32Array(buffer, 0, places.totalWords),
    doubles: new Float64Array(buffer, 0, places.totalWords >>> 1),
    bucketsPerRegion: places.bucketsPerRegion,
    bucketShift: 32 - places.bucketBits,
    recordBits: places.recordBits,
    recordMask: (1 << places.recordBits) - 1,
    regionStride: places.regionStride,
    regionsAt: places.regionsAt,
    bucketsAt: places.bucketsAt,
    recordsAt: places.recordsAt,
    annexesAt: places.annexesAt,
  };
}

/** Bytes that a map takes, whole cache lines. @throws RangeError when an option is out of range */
export function mapBytes(options: MapOptions): number {
  checkOptions(options);
  return roundUp(plan(options).totalWords, LINE_WORDS) * 4;
}

/**
 * Memory that starts on a page: a WebAssembly.Memory, whose buffer is a SharedArrayBuffer. A plain one starts 16 bytes
 * into a cache line, and every "line" would be two.
 */
function createBuffer(bytes: number): SharedArrayBuffer {
  if (bytes > MAX_BYTES) throw new RangeError(`the table would take ${bytes} bytes, the most is ${MAX_BYTES}`);
  const pages = Math.ceil(bytes / WASM_PAGE_BYTES);
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer;
}

/**
 * Creates a map, whose pages touchMap() touches.
 *
 * @param buffer memory that is 0 and starts with the map; what lies behind its mapBytes() stays as it is. Default: its own
 * @throws RangeError when an option is out of range or the memory is not to be had
 */
export function createMap(options: MapOptions, buffer = createBuffer(mapBytes(options))): SharedMap {
  const bytes = mapBytes(options);
  if (bytes > buffer.byteLength) throw new RangeError(`the table takes ${bytes} bytes, not ${buffer.byteLength}`);
  const map = viewOf(buffer, options);
  const { words } = map;
  words[HEADER.REGIONS] = options.regions;
  words[HEADER.RECORDS_PER_REGION] = options.recordsPerRegion;
  words[HEADER.RECORD_WORDS] = options.recordWords;
  words[HEADER.ANNEXES_PER_REGION] = options.annexesPerRegion;
  words[HEADER.ANNEX_WORDS] = options.annexWords;
  words[HEADER.REGION_USER_WORDS] = options.regionUserWords;
  words[HEADER.VERSION] = VERSION;
  Atomics.store(words, HEADER.MAGIC, MAGIC); // publishes the header written above
  return map;
}

/**
 * Touches all memory of a map that nobody has used yet: an insert into a page that was never touched costs 300 to 500 ns
 * more. A million records take half a second on a machine that is slow to hand out pages, a tenth on others.
 */
export function touchMap({ words }: SharedMap): void {
  for (let at = PAGE_WORDS; at < words.length; at += PAGE_WORDS) words[at] = 0;
}

/**
 * Makes the view of another thread on a map created elsewhere.
 * @throws TypeError when the buffer holds no map of this version
 */
export function attachMap(buffer: SharedArrayBuffer): SharedMap {
  if (buffer.byteLength < HEADER_WORDS * 4) throw new TypeError('the buffer is too small for a map');
  const header = new Int32Array(buffer, 0, HEADER_WORDS);
  const magic = Atomics.load(header, HEADER.MAGIC); // acquires the header
  if (magic !== MAGIC) throw new TypeError('the buffer holds no map');
  if (header[HEADER.VERSION] !== VERSION) throw new TypeError(`map of version ${header[HEADER.VERSION]}`);
  const options: MapOptions = {
    regions: header[HEADER.REGIONS],
    recordsPerRegion: header[HEADER.RECORDS_PER_REGION],
    recordWords: header[HEADER.RECORD_WORDS],
    annexesPerRegion: header[HEADER.ANNEXES_PER_REGION],
    annexWords: header[HEADER.ANNEX_WORDS],
    regionUserWords: header[HEADER.REGION_USER_WORDS],
  };
  checkOptions(options);
  if (plan(options).totalWords * 4 > buffer.byteLength) throw new TypeError('the buffer is shorter than its map');
  return viewOf(buffer, options);
}

/** First word of a region's header. */
export function regionAt(map: SharedMap, region: number): number {
  return map.regionsAt + region * map.regionStride;
}

/** First word of a record. */
export function recordAt(map: SharedMap, record: number): number {
  return map.recordsAt + record * map.recordWords;
}

/** First word of an annex. */
export function annexAt(map: SharedMap, annex: number): number {
  return map.annexesAt + annex * map.annexWords;
}

/** The region in whose slab a record lies. */
export function regionOfRecord(map: SharedMap, record: number): number {
  return ((record - 1) / map.recordsPerRegion) | 0; // a division of whole numbers to V8, unlike Math.floor()
}
