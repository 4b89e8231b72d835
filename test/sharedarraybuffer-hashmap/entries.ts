/**
 * The entries that the tests keep in a map: a key and a version, and all other words derived from the two, so that a
 * torn or misplaced record shows. Every seventh key has an annex.
 *
 * Imports src/sharedarraybuffer-hashmap.
 */
import {
  annexAt,
  createMap,
  firstCandidateLocked,
  giveAnnexLocked,
  giveRecordLocked,
  insertLocked,
  type MapOptions,
  NO_SLOT,
  NONE,
  nextCandidateLocked,
  RECORD,
  recordAt,
  recordInSlot,
  regionOfRecord,
  removeLocked,
  type SharedMap,
  takeAnnexLocked,
  takeRecordLocked,
} from '../../src/sharedarraybuffer-hashmap/index.js';

const KEY = RECORD.RECORD_USER;
const VERSION = KEY + 1;
const ANNEX = KEY + 2;
const PATTERN = KEY + 3;

const USUAL: MapOptions = {
  regions: 1,
  recordsPerRegion: 100,
  recordWords: 32,
  annexesPerRegion: 100,
  annexWords: 16,
  regionUserWords: 0,
};

export function newMap(options: Partial<MapOptions> = {}): SharedMap {
  return createMap({ ...USUAL, ...options });
}

export type Hash = (key: number) => number;

/** A hash good enough for tests: the finaliser of MurmurHash3. */
export const goodHash: Hash = key => {
  let bits = Math.imul(key ^ (key >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return bits ^ (bits >>> 16);
};
export const identityHash: Hash = key => key;
export const constantHash: Hash = () => 0x1357_9bdf;

export function hasAnnex(key: number): boolean {
  return key % 7 === 0;
}

function pattern(key: number, version: number, index: number): number {
  return goodHash(Math.imul(key, 0x9e3779b1) ^ goodHash(version) ^ (index << 20));
}

export function annexOf(map: SharedMap, at: number): number {
  return map.words[at + ANNEX];
}

export function keyOf(map: SharedMap, record: number): number {
  return map.words[recordAt(map, record) + KEY];
}

export function versionOf(map: SharedMap, record: number): number {
  return map.words[recordAt(map, record) + VERSION];
}

function fillRow(map: SharedMap, from: number, end: number, key: number, version: number): void {
  for (let at = from; at < end; at++) map.words[at] = pattern(key, version, end - at);
}

function isRowRight(map: SharedMap, from: number, end: number, key: number, version: number): boolean {
  for (let at = from; at < end; at++) if (map.words[at] !== pattern(key, version, end - at)) return false;
  return true;
}

/** Writes the words of a version into a record and its annex. */
export function fillLocked(map: SharedMap, record: number, key: number, version: number, annex: number): void {
  const at = recordAt(map, record);
  const { words } = map;
  words[at + KEY] = key;
  words[at + VERSION] = version;
  words[at + ANNEX] = annex;
  fillRow(map, at + PATTERN, at + map.recordWords, key, version);
  if (annex !== NONE) fillRow(map, annexAt(map, annex), annexAt(map, annex) + map.annexWords, key, version);
}

/** True when every word of the record and its annex belongs to one version of the key. */
export function isWhole(map: SharedMap, record: number, key: number): boolean {
  const at = recordAt(map, record);
  const version = versionOf(map, record);
  const annex = annexOf(map, at);
  if (keyOf(map, record) !== key || (annex !== NONE) !== hasAnnex(key)) return false;
  if (!isRowRight(map, at + PATTERN, at + map.recordWords, key, version)) return false;
  const annexStart = annexAt(map, annex);
  return annex === NONE || isRowRight(map, annexStart, annexStart + map.annexWords, key, version);
}

export function findLocked(map: SharedMap, region: number, hash: number, key: number): number {
  for (
    let slot = firstCandidateLocked(map, region, hash);
    slot !== NO_SLOT;
    slot = nextCandidateLocked(map, region, hash, slot)
  ) {
    const record = recordInSlot(map, slot);
    if (keyOf(map, record) === key) return record;
  }
  return NONE;
}

/** Enters a key that is not in the map. Returns its record, or NONE, with everything as before, when there is no room. */
export function addLocked(map: SharedMap, region: number, hash: number, key: number, version: number): number {
  const record = takeRecordLocked(map, region);
  if (record === NONE) return NONE;
  const annex = hasAnnex(key) ? takeAnnexLocked(map, region) : NONE;
  const isComplete = annex !== NONE || !hasAnnex(key);
  if (isComplete) {
    fillLocked(map, record, key, version, annex);
    if (insertLocked(map, region, hash, record)) return record;
  }
  if (annex !== NONE) giveAnnexLocked(map, annex);
  giveRecordLocked(map, regionOfRecord(map, record), record);
  return NONE;
}

export function dropLocked(map: SharedMap, record: number): void {
  const annex = annexOf(map, recordAt(map, record));
  removeLocked(map, regionOfRecord(map, record), record);
  if (annex !== NONE) giveAnnexLocked(map, annex);
  giveRecordLocked(map, regionOfRecord(map, record), record);
}
