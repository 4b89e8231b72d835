/**
 * Connections by class (half-open, one-way, closing, replied, established: track/protocol.ts), in the order in which
 * they came into it: a list and a count per class and region. When the table is full the cheapest class gives way, its
 * oldest connection first, and that is found in constant time.
 *
 * A connection is listed from its creation if the policy of its zone evicts, under the class in its STATUS. It is listed
 * anew when its class changes, and leaves the list when it is removed. One whose zone did not evict when it was made is
 * on no list, has class 0 and is never evicted.
 *
 * All functions but classCounts() need the lock of the record's region.
 *
 * Imports memory, region, tracker, sharedarraybuffer-hashmap, track/. Imported by engine/ and the public API.
 */
import {
  firstOfListLocked,
  joinListLocked,
  leaveListLocked,
  nextOfListLocked,
  recordAt,
  regionAt,
} from '../sharedarraybuffer-hashmap/index.js';
import { CONN, STATUS_CLASS_MASK, STATUS_CLASS_SHIFT } from '../track/connection.js';
import { CLASS_NAMES, type ClassName } from '../track/protocol.js';
import type { EngineMemory } from './memory.js';
import { REGION_WORD } from './region.js';
import type { Tracker } from './tracker.js';

const { STATUS, CLASS_LINK } = CONN;
const { CLASS_HEADS, CLASS_COUNTS } = REGION_WORD;

/** On no list. */
export const UNLISTED = 0;

/** The class that the connection at word `conn` is listed under, or UNLISTED. */
export function listedClass(words: Int32Array, conn: number): number {
  return (words[conn + STATUS] & STATUS_CLASS_MASK) >>> STATUS_CLASS_SHIFT;
}

/** Puts a connection at the end of the list of the class in its STATUS. */
export function joinClassLocked(tracker: Tracker, region: number, record: number): void {
  const { words, map } = tracker;
  const at = regionAt(map, region);
  const to = listedClass(words, recordAt(map, record));
  joinListLocked(map, at + CLASS_HEADS + to, record, CLASS_LINK);
  words[at + CLASS_COUNTS + to]++;
}

/** Takes a connection off the list of the class in its STATUS, which stays as it is. */
export function leaveClassLocked(tracker: Tracker, region: number, record: number): void {
  const { words, map } = tracker;
  const at = regionAt(map, region);
  const from = listedClass(words, recordAt(map, record));
  leaveListLocked(map, at + CLASS_HEADS + from, record, CLASS_LINK);
  words[at + CLASS_COUNTS + from]--;
}

/** The connection that has been in a class for longest, or NONE. */
export function oldestOfClassLocked(tracker: Tracker, region: number, ofClass: number): number {
  return firstOfListLocked(tracker.map, regionAt(tracker.map, region) + CLASS_HEADS + ofClass);
}

/** The one that came into the class after `record`, or NONE. */
export function nextOfClassLocked(tracker: Tracker, region: number, record: number, ofClass: number): number {
  const { map } = tracker;
  return nextOfListLocked(map, regionAt(map, region) + CLASS_HEADS + ofClass, record, CLASS_LINK);
}

/** How many connections of a region are listed under a class. */
export function classCountLocked(tracker: Tracker, region: number, ofClass: number): number {
  return tracker.words[regionAt(tracker.map, region) + CLASS_COUNTS + ofClass];
}

/** Connections by class in the whole table, without a scan and without a lock: exact while no packets flow. */
export function classCounts(memory: EngineMemory): Readonly<Record<ClassName, number>> {
  const { map } = memory;
  const total = (ofClass: number) => {
    let count = 0;
    for (let region = 0; region < map.regions; region++) {
      count += map.words[regionAt(map, region) + CLASS_COUNTS + ofClass];
    }
    return count;
  };
  return Object.fromEntries(CLASS_NAMES.map((name, index) => [name, total(index + 1)])) as Record<ClassName, number>;
}
