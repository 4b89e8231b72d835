/**
 * Which source ports of a translated address are in use towards one peer: maps of 65,536 bits in shared memory, for the
 * few addresses that are crowded, so that the last free port is found as fast as the first.
 *
 * A map belongs to all reply tuples that differ in the translated source port (or ICMP identifier) alone. It is a
 * shortcut, not the truth, which is the entry in the index: a bit that is not set says nothing and the port is looked
 * up; a bit that is set says that a translated connection has the port. So that this holds, a thread sets and clears
 * the bit of a tuple only while it holds the lock of the region where the tuple is, or would be, entered.
 *
 * - **Who has a map.** A choice that meets some taken ports in a row claims one. There is a fixed number of them; a
 *   choice that gets none stays with the tries of Open vSwitch. A map none of whose bits is set is free for others.
 * - **Names.** A map is named by a keyed hash of 64 bits of what its tuples have in common. Two names that are equal by
 *   accident would take each other's ports for used; without the key nobody finds such a pair.
 * - **COUNT** holds the bits that are set and those about to be: a map is taken from its owner only at 0, by replacing
 *   that with CLAIMED, and whoever counts himself in afterwards sees a negative number and leaves the map alone. One
 *   thread claims at a time, so that no name has two maps; the others do without rather than wait.
 *
 * - **FULL** has a bit for every word of bits that are all set, so that an exhausted address costs 64 looks, not 2048.
 *
 * ```
 *   CLAIMER, TAKEN │ map 0: HASH0, HASH1, COUNT, 64 words FULL, 2048 words of bits │ map 1 │ …
 * ```
 *
 * All words are touched only through Atomics. Imports nothing. Imported by nat/choice and engine/.
 */

const CLAIMER = 0;
/** 1 once a map was claimed; 0 lets everybody skip the search. */
const TAKEN = 1;
const HEADER_WORDS = 16;

const HASH0 = 0;
const HASH1 = 1;
const COUNT = 2;
const FULL = 16;
const BITS = 80;
const WORDS_OF_BITS = 2048;
const MAP_WORDS = BITS + WORDS_OF_BITS;
const ALL_SET = -1;
const CLAIMED = -(2 ** 30);

/** Maps that a name may be in, from the one that its hash picks on. */
const PROBES = 8;
const LEAST_MAPS = PROBES;
const MOST_MAPS = 1024;
/** One map for so many connections: 2 bytes for each. */
const CONNECTIONS_PER_MAP = 4096;

/** No map. */
export const NO_MAP = 0;

/** Memory for the maps of a table of `maxConnections`. */
export function createUsedPorts(maxConnections: number): Int32Array {
  const wanted = Math.min(Math.max(maxConnections / CONNECTIONS_PER_MAP, LEAST_MAPS), MOST_MAPS);
  const maps = 2 ** Math.ceil(Math.log2(wanted));
  return new Int32Array(new SharedArrayBuffer((HEADER_WORDS + maps * MAP_WORDS) * 4));
}

/** Word of the `probe`-th map that a name may have. */
function mapAt(words: Int32Array, hash0: number, probe: number): number {
  const maps = (words.length - HEADER_WORDS) / MAP_WORDS;
  return HEADER_WORDS + ((hash0 + probe) & (maps - 1)) * MAP_WORDS;
}

function isNamed(words: Int32Array, at: number, hash0: number, hash1: number): boolean {
  const first = Atomics.load(words, at + HASH0); // a look; whoever sets a bit looks again once it is counted
  return first === hash0 && Atomics.load(words, at + HASH1) === hash1;
}

/** Word of the map with a name, or NO_MAP. `hash1` must not be 0. */
export function findMap(words: Int32Array, hash0: number, hash1: number): number {
  if (Atomics.load(words, TAKEN) === 0) return NO_MAP; // orders nothing: the region's lock orders maps and entries
  for (let probe = 0; probe < PROBES; probe++) {
    const at = mapAt(words, hash0, probe);
    if (isNamed(words, at, hash0, hash1)) return at;
  }
  return NO_MAP;
}

/**
 * The map with a name, a free one made that if there is none yet.
 * @param owner number of the calling thread
 * @returns NO_MAP when all that the name may have are in use, or another thread is claiming one
 */
export function claimMap(words: Int32Array, owner: number, hash0: number, hash1: number): number {
  if (Atomics.compareExchange(words, CLAIMER, 0, owner) !== 0) return NO_MAP; // acquires the right to name maps
  let at = findMap(words, hash0, hash1);
  for (let probe = 0; probe < PROBES && at === NO_MAP; probe++) at = takeMap(words, mapAt(words, hash0, probe));
  if (at !== NO_MAP && !isNamed(words, at, hash0, hash1)) {
    Atomics.store(words, at + HASH0, hash0); // publishes the name, one half at a time
    Atomics.store(words, at + HASH1, hash1); // publishes the name
    Atomics.sub(words, at + COUNT, CLAIMED); // publishes that bits may be set
  }
  Atomics.store(words, CLAIMER, 0); // publishes the name to the next claimer
  return at;
}

/** Takes a map without bits from whomever it belonged to. */
function takeMap(words: Int32Array, at: number): number {
  if (Atomics.compareExchange(words, at + COUNT, 0, CLAIMED) !== 0) return NO_MAP; // keeps bits from being set
  Atomics.store(words, TAKEN, 1); // publishes that there is a map to look for
  return at;
}

/** Forgets all maps, after a thread has died while it wrote here. For repair: no other thread works on them. */
export function forgetUsedPorts(words: Int32Array): void {
  words.fill(0);
}

function wordOf(at: number, port: number): number {
  return at + BITS + (port >>> 5);
}

/** Needs the lock of the region of the tuple with this port, where a translated connection has it. */
export function setUsedLocked(words: Int32Array, at: number, hash0: number, hash1: number, port: number): void {
  const count = Atomics.add(words, at + COUNT, 1); // keeps the map from being claimed
  const isOurs = count >= 0 && isNamed(words, at, hash0, hash1);
  const bit = 1 << (port & 31);
  const before = isOurs ? Atomics.or(words, wordOf(at, port), bit) : bit; // publishes that the port is used
  // Counted once: by whoever finds the bit clear.
  if ((before & bit) !== 0) Atomics.sub(words, at + COUNT, 1);
  else if ((before | bit) === ALL_SET) setFull(words, at, port >>> 5);
}

function setFull(words: Int32Array, at: number, word: number): void {
  Atomics.or(words, at + FULL + (word >>> 5), 1 << (word & 31)); // publishes that no port is to be looked for here
  // A bit may have been cleared in between: whoever clears one clears FULL after it, before this or after this.
  if (Atomics.load(words, at + BITS + word) !== ALL_SET) clearFull(words, at, word);
}

function clearFull(words: Int32Array, at: number, word: number): void {
  Atomics.and(words, at + FULL + (word >>> 5), ~(1 << (word & 31))); // publishes that a port may be free here
}

/** Needs the same lock; the connection that had the port leaves the index. */
export function clearUsedLocked(words: Int32Array, hash0: number, hash1: number, port: number): void {
  const at = findMap(words, hash0, hash1);
  if (at === NO_MAP) return;
  const bit = 1 << (port & 31);
  const before = Atomics.and(words, wordOf(at, port), ~bit); // publishes that the port is to be looked up again
  if ((before & bit) === 0) return;
  clearFull(words, at, port >>> 5);
  Atomics.sub(words, at + COUNT, 1); // counts the bit out
}

export function isUsed(words: Int32Array, at: number, port: number): boolean {
  return (Atomics.load(words, wordOf(at, port)) & (1 << (port & 31))) !== 0; // a hint
}

/** The lowest bit that is not set, of those from number `from` modulo 32 on; 32 when all are. */
function lowestClear(word: number, from: number): number {
  const clear = ~word & (-1 << (from & 31));
  return clear === 0 ? 32 : 31 - Math.clz32(clear & -clear);
}

/** The first word of bits from `from` on that is not full. */
function nextWord(words: Int32Array, at: number, from: number): number {
  for (let word = from; word < WORDS_OF_BITS; word = (word | 31) + 1) {
    const full = Atomics.load(words, at + FULL + (word >>> 5)); // a hint
    const place = lowestClear(full, word);
    if (place < 32) return (word & ~31) + place;
  }
  return WORDS_OF_BITS;
}

/** The first port from `from` on and below `end` whose bit is not set; `end` when there is none. */
export function nextUnused(words: Int32Array, at: number, from: number, end: number): number {
  for (let port = from; port < end; port = nextWord(words, at, (port >>> 5) + 1) << 5) {
    const bits = Atomics.load(words, wordOf(at, port)); // a hint
    const place = lowestClear(bits, port);
    if (place < 32) return Math.min((port & ~31) + place, end);
  }
  return end;
}
