/**
 * Expectations: data connections that a control connection has announced and that have not come, or may come again.
 *
 * A table of its own, a SharedMap of one region, bounded in number and per parent. An expectation is found by the
 * addresses and the destination port of the first packet; its source port may be any. As in Open vSwitch it is not used
 * up by the connection that it announced, and of two with the same key the first one counts. Unlike there it has an end
 * of its own, and is gone with its parent.
 *
 * WHO MAY DO WHAT
 *
 * Writers hold the lock of the table's one region, and no other lock: a shard leaves its own region first. Readers, who
 * come with the lock of their own region and must not wait, take no lock at all: STAMP is 0 while an expectation is being
 * written or is none, and otherwise a number that is never used twice. Whoever reads the same one before and after has
 * read one expectation, whole. All words between are stored and loaded with Atomics, which keeps them in order; the index
 * is read plainly, as a hint that every hit is checked against.
 *
 * What names the parent, its record and generation, tells a reader whether it still lives.
 *
 * Imports sharedarraybuffer-hashmap, track/expiry, wire/facts. Imported by engine/, control/.
 */
import {
  createMap,
  enterLocked,
  firstCandidateLocked,
  firstOfListLocked,
  giveRecordLocked,
  insertLocked,
  isLive,
  joinListLocked,
  leaveListLocked,
  leaveLocked,
  NO_SLOT,
  NONE,
  nextCandidateLocked,
  nextOfListLocked,
  RECORD,
  REGION,
  rebuildLocked,
  recordAt,
  recordInSlot,
  regionAt,
  removeLocked,
  type SharedMap,
  takeRecordLocked,
} from '../sharedarraybuffer-hashmap/index.js';
import { isExpired } from '../track/expiry.js';
import { FACT } from '../wire/facts.js';

const FIRST = RECORD.RECORD_USER;

const EXPECTATION_FIELDS = [
  ['STAMP', 0, '0, or the number of this writing'],
  ['KEY', 1, 'zone, family and protocol, as in CONN.KEY'],
  ['SRC0', 2, 'source address of the first packet, four words; an IPv4 address is in the last'],
  ['DST0', 6, 'destination address'],
  ['PORT', 10, 'destination port'],
  ['TRANSLATION', 11, 'which address of the reply direction NAT replaces: TRANSLATES_'],
  ['ADDRESS0', 12, 'by which address, four words'],
  ['MARK', 16, 'ct_mark of the parent'],
  ['LABEL', 17, 'ct_label of the parent, four words, least significant first'],
  ['PARENT', 21, 'record of the parent'],
  ['PARENT_GENERATION', 22, 'its generation'],
  ['PARENT_PORTS', 23, 'ports of its original direction, as in FACT.PORTS'],
  ['EXPIRES', 24, 'when it ends: milliseconds, a double in two words'],
  ['PARENT_SRC0', 26, 'source address of the parent’s original direction, four words'],
  ['PARENT_DST0', 30, 'destination address'],
  ['AGE', 34, 'list of all, the oldest first; two words'],
] as const satisfies readonly (readonly [name: string, word: number, note: string])[];

export const EXPECTATION = Object.fromEntries(
  EXPECTATION_FIELDS.map(([name, word]) => [name, FIRST + word]),
) as Readonly<Record<(typeof EXPECTATION_FIELDS)[number][0], number>>;
const { STAMP, KEY, SRC0, DST0, PORT, PARENT, PARENT_GENERATION, EXPIRES, AGE } = EXPECTATION;

/** Words of an expectation, and of a copy of one. */
export const EXPECTATION_WORDS = 48;

/** Values of TRANSLATION: the data connection’s source, or its destination, is translated. */
export const TRANSLATES_SRC = 1;
export const TRANSLATES_DST = 2;

/** How long an expectation lasts after it was announced last: as in Linux, whose FTP and TFTP helpers wait so long. */
export const EXPECTATION_TIMEOUT_MS = 300_000;
/** Expectations of one parent; a further one takes the place of the oldest. */
export const MAX_PER_PARENT = 8;

/** The one region of the table. */
const REGION_0 = 0;
/** Words of the region for this file: the list by age, and the last stamp given. */
const USER = { OLDEST: REGION.USER, STAMP: REGION.USER + 1 } as const;
const USER_WORDS = 2;
/** Ended expectations that a new one clears away, and those that it looks at when there is no room. */
const CLEARED = 8;
const LOOKED_AT = 64;
/** An odd number (from the square root of three) that keeps entries by parent apart from those by key. */
const PARENT_MIX = 0xbb67ae85 | 0;

const { SRC0: F_SRC0, DST0: F_DST0, PORTS } = FACT;

/** What add() did. */
export const ADDED = { CREATED: 0, RENEWED: 1, TAKEN: 2, REPLACED: 3, FULL: 4 } as const;

/** @param most expectations that the table holds. @throws RangeError when the memory is not to be had */
export function createExpectations(most: number): SharedMap {
  return createMap({
    regions: 1,
    recordsPerRegion: most,
    recordWords: EXPECTATION_WORDS,
    annexesPerRegion: 0,
    annexWords: 8,
    regionUserWords: USER_WORDS,
  });
}

/** True while the parent named by the expectation at `at` of `words` lives and its time is not up. Without its lock. */
export function hasParent(connections: SharedMap, words: Int32Array, at: number, nowMs: number): boolean {
  const parent = recordAt(connections, words[at + PARENT]);
  const generation = Atomics.load(connections.words, parent + RECORD.GENERATION); // a look; it changes when the parent goes
  return generation === words[at + PARENT_GENERATION] && !isExpired(connections.doubles, parent, nowMs);
}

function hashOfParent(parent: number): number {
  return Math.imul(parent, PARENT_MIX);
}

/** The double in the two words EXPIRES of an expectation, or of a copy in memory of its own. */
function hasEnded(doubles: Float64Array, at: number, nowMs: number): boolean {
  return !(nowMs < doubles[(at + EXPIRES) >>> 1]);
}

/**
 * Finds the expectation that the packet with the key at `base` of `facts` meets; its source port has to be 0 there.
 * Takes no lock.
 * @param hash of that key, in its zone
 * @param into EXPECTATION_WORDS words of the caller's for a copy, whose memory begins with it
 * @param intoDoubles the same memory as doubles
 */
export function findExpectation(
  map: SharedMap,
  connections: SharedMap,
  facts: Int32Array,
  base: number,
  key: number,
  hash: number,
  nowMs: number,
  into: Int32Array,
  intoDoubles: Float64Array,
): boolean {
  let slot = firstCandidateLocked(map, REGION_0, hash);
  while (slot !== NO_SLOT) {
    const isCopied = copyExpectation(map, recordInSlot(map, slot), into);
    if (isCopied && keyEquals(into, 0, facts, base, key)) {
      return !hasEnded(intoDoubles, 0, nowMs) && hasParent(connections, into, 0, nowMs);
    }
    slot = nextCandidateLocked(map, REGION_0, hash, slot);
  }
  return false;
}

/** @returns false when there is none, or when it was written meanwhile */
function copyExpectation(map: SharedMap, record: number, into: Int32Array): boolean {
  const { words } = map;
  // What is no record's number comes of a damaged slot; NONE has words of its own, which nobody stamps.
  if (record > map.recordsPerRegion) return false;
  const at = recordAt(map, record);
  const stamp = Atomics.load(words, at + STAMP); // acquires what was written before it was set
  if (stamp === 0) return false;
  for (let word = KEY; word < AGE; word++) {
    into[word] = Atomics.load(words, at + word); // keeps the reads between those of STAMP
  }
  const again = Atomics.load(words, at + STAMP); // the same: nobody has begun to write since
  return again === stamp;
}

function keyEquals(words: Int32Array, at: number, facts: Int32Array, base: number, key: number): boolean {
  if (words[at + KEY] !== key || words[at + PORT] !== (facts[base + PORTS] & 0xffff)) return false;
  for (let word = 0; word < 4; word++) {
    if (words[at + SRC0 + word] !== facts[base + F_SRC0 + word]) return false;
    if (words[at + DST0 + word] !== facts[base + F_DST0 + word]) return false;
  }
  return true;
}

/** True when two expectations, at `a` and in `draft`, are met by the same packets. */
function isSame(words: Int32Array, a: number, draft: Int32Array): boolean {
  for (let word = KEY; word <= PORT; word++) if (words[a + word] !== draft[word]) return false;
  return true;
}

function isOfParent(words: Int32Array, a: number, draft: Int32Array): boolean {
  return words[a + PARENT] === draft[PARENT] && words[a + PARENT_GENERATION] === draft[PARENT_GENERATION];
}

/**
 * Adds an expectation, or lets one that is there last longer.
 * @param draft EXPECTATION_WORDS words with all but STAMP and AGE
 * @param hash of its key with source port 0, in its zone
 * @returns one of ADDED
 */
export function addExpectationLocked(
  map: SharedMap,
  connections: SharedMap,
  draft: Int32Array,
  hash: number,
  nowMs: number,
): number {
  const { words, doubles } = map;
  for (let slot = firstCandidateLocked(map, REGION_0, hash); slot !== NO_SLOT; ) {
    const record = recordInSlot(map, slot);
    const at = recordAt(map, record);
    slot = nextCandidateLocked(map, REGION_0, hash, slot);
    if (!isSame(words, at, draft)) continue;
    if (isOfParent(words, at, draft)) return renew(map, record, draft);
    if (!hasEnded(doubles, at, nowMs) && hasParent(connections, words, at, nowMs)) return ADDED.TAKEN;
    removeExpectationLocked(map, record);
    break;
  }
  clearEnded(map, nowMs);
  const oldest = surplusOf(map, draft);
  if (oldest !== NONE) removeExpectationLocked(map, oldest);
  let record = takeRecordLocked(map, REGION_0);
  if (record === NONE && clearOrphans(map, connections, nowMs)) record = takeRecordLocked(map, REGION_0);
  if (record === NONE) return ADDED.FULL;
  if (!insertExpectation(map, record, draft, hash)) return ADDED.FULL;
  return oldest === NONE ? ADDED.CREATED : ADDED.REPLACED;
}

function insertExpectation(map: SharedMap, record: number, draft: Int32Array, hash: number): boolean {
  const { words } = map;
  const at = recordAt(map, record);
  for (let word = KEY; word < AGE; word++) {
    Atomics.store(words, at + word, draft[word]); // after the STAMP of 0, for a reader that comes late
  }
  if (!insertLocked(map, REGION_0, hash, record)) {
    giveRecordLocked(map, REGION_0, record);
    return false;
  }
  if (!enterLocked(map, REGION_0, hashOfParent(draft[PARENT]), record)) {
    removeLocked(map, REGION_0, record);
    giveRecordLocked(map, REGION_0, record);
    return false;
  }
  joinListLocked(map, regionAt(map, REGION_0) + USER.OLDEST, record, AGE);
  publish(map, at);
  return true;
}

/** Gives the expectation at `at` a stamp of its own. */
function publish(map: SharedMap, at: number): void {
  const counter = regionAt(map, REGION_0) + USER.STAMP;
  const stamp = map.words[counter] + 1 === 0 ? 1 : map.words[counter] + 1;
  map.words[counter] = stamp;
  Atomics.store(map.words, at + STAMP, stamp); // publishes the expectation
}

/** What is announced again lasts longer; mark and label stay, as in OVS. */
function renew(map: SharedMap, record: number, draft: Int32Array): number {
  const { words } = map;
  const at = recordAt(map, record);
  Atomics.store(words, at + STAMP, 0); // readers keep off
  Atomics.store(words, at + EXPIRES, draft[EXPIRES]); // after the STAMP of 0
  Atomics.store(words, at + EXPIRES + 1, draft[EXPIRES + 1]); // after the STAMP of 0
  const oldest = regionAt(map, REGION_0) + USER.OLDEST;
  leaveListLocked(map, oldest, record, AGE);
  joinListLocked(map, oldest, record, AGE);
  publish(map, at);
  return ADDED.RENEWED;
}

/** The oldest expectation of the draft's parent if it has as many as it may, else NONE. */
function surplusOf(map: SharedMap, draft: Int32Array): number {
  const { words } = map;
  const hash = hashOfParent(draft[PARENT]);
  let count = 0;
  let oldest: number = NONE;
  for (let slot = firstCandidateLocked(map, REGION_0, hash); slot !== NO_SLOT; ) {
    const record = recordInSlot(map, slot);
    const at = recordAt(map, record);
    slot = nextCandidateLocked(map, REGION_0, hash, slot);
    if (!isOfParent(words, at, draft)) continue;
    count++;
    const isOlder =
      oldest === NONE || map.doubles[(at + EXPIRES) >>> 1] < map.doubles[(recordAt(map, oldest) + EXPIRES) >>> 1];
    if (isOlder) oldest = record;
  }
  return count < MAX_PER_PARENT ? NONE : oldest;
}

function removeExpectationLocked(map: SharedMap, record: number): void {
  const { words } = map;
  const at = recordAt(map, record);
  Atomics.store(words, at + STAMP, 0); // readers keep off
  removeLocked(map, REGION_0, record);
  leaveLocked(map, REGION_0, hashOfParent(words[at + PARENT]), record);
  leaveListLocked(map, regionAt(map, REGION_0) + USER.OLDEST, record, AGE);
  giveRecordLocked(map, REGION_0, record);
}

/** Removes some of those whose time is up: they are the oldest. */
function clearEnded(map: SharedMap, nowMs: number): void {
  for (let left = CLEARED; left > 0; left--) {
    const record = firstOfListLocked(map, regionAt(map, REGION_0) + USER.OLDEST);
    if (record === NONE || !hasEnded(map.doubles, recordAt(map, record), nowMs)) return;
    removeExpectationLocked(map, record);
  }
}

/** Looks at some of the oldest and removes one whose parent is gone. @returns whether there was one */
function clearOrphans(map: SharedMap, connections: SharedMap, nowMs: number): boolean {
  const oldest = regionAt(map, REGION_0) + USER.OLDEST;
  let record = firstOfListLocked(map, oldest);
  for (let left = LOOKED_AT; left > 0 && record !== NONE; left--) {
    if (!hasParent(connections, map.words, recordAt(map, record), nowMs)) {
      removeExpectationLocked(map, record);
      return true;
    }
    record = nextOfListLocked(map, oldest, record, AGE);
  }
  return false;
}

/**
 * Removes all that have ended or lost their parent.
 * @param nowMs tells the time that counts for a connection, by its record
 */
export function reapExpectationsLocked(
  map: SharedMap,
  connections: SharedMap,
  nowMs: (parent: number) => number,
): void {
  const oldest = regionAt(map, REGION_0) + USER.OLDEST;
  let record = firstOfListLocked(map, oldest);
  while (record !== NONE) {
    const at = recordAt(map, record);
    const next = nextOfListLocked(map, oldest, record, AGE);
    const time = nowMs(map.words[at + PARENT]);
    if (hasEnded(map.doubles, at, time) || !hasParent(connections, map.words, at, time)) {
      removeExpectationLocked(map, record);
    }
    record = next;
  }
}

/**
 * Forgets all of them, after a thread has died while it wrote here. For repair: no other thread works on the map.
 * Connections that are announced come again as strangers, unless their announcement is sent again.
 */
export function forgetExpectations(map: SharedMap): void {
  const { words } = map;
  const region = regionAt(map, REGION_0);
  for (let record = 1; record <= words[region + REGION.RECORD_FRESH]; record++) {
    const at = recordAt(map, record);
    Atomics.store(words, at + STAMP, 0); // readers keep off
    if (isLive(map, record)) words[at + RECORD.GENERATION]++;
  }
  rebuildLocked(map, REGION_0, () => []);
  words[region + USER.OLDEST] = NONE;
}
