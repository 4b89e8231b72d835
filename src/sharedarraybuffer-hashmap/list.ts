/**
 * Lists of records that run through the records themselves: joining, leaving and walking in constant time per step,
 * first in first out.
 *
 * A list is one word that names its first record, anywhere in the map's memory, 0 while it is empty; the user keeps it,
 * as a rule among the USER words of a region. The records are its members in a ring through two words of each, the next
 * and the previous one, so that the last record is the one before the first. A record may be on several lists at once,
 * each through two words of its own, but on one list per pair of words.
 *
 * ```
 *   head ──► A ⇄ B ⇄ C        next of C is A, previous of A is C: C joined last
 *            └───────┘
 * ```
 *
 * All functions need the lock that guards the head and all members, as a rule that of their region. Imports map, slab.
 * Imported by engine/ through index.ts.
 */
import { recordAt, type SharedMap } from './map.js';
import { NONE } from './slab.js';

/** Of the two words of a list in a record, the one behind that which names the next record. */
const PREVIOUS = 1;

/**
 * Puts a record at the end of a list.
 * @param head word of the list
 * @param link word within the record of its two words for this list; whatever they hold is overwritten
 */
export function joinListLocked(map: SharedMap, head: number, record: number, link: number): void {
  const { words } = map;
  const at = recordAt(map, record) + link;
  const first = words[head];
  if (first === NONE) {
    words[at] = record;
    words[at + PREVIOUS] = record;
    words[head] = record;
    return;
  }
  const firstAt = recordAt(map, first) + link;
  const last = words[firstAt + PREVIOUS];
  words[at] = first;
  words[at + PREVIOUS] = last;
  words[recordAt(map, last) + link] = record;
  words[firstAt + PREVIOUS] = record;
}

/** Takes a record, which must be on it, off a list. */
export function leaveListLocked(map: SharedMap, head: number, record: number, link: number): void {
  const { words } = map;
  const at = recordAt(map, record) + link;
  const next = words[at];
  const previous = words[at + PREVIOUS];
  words[recordAt(map, previous) + link] = next;
  words[recordAt(map, next) + link + PREVIOUS] = previous;
  if (words[head] === record) words[head] = next === record ? NONE : next;
}

/** The record that joined the list first, NONE when it is empty. */
export function firstOfListLocked(map: SharedMap, head: number): number {
  return map.words[head];
}

/** The record that joined the list after `record`, NONE behind the last one. */
export function nextOfListLocked(map: SharedMap, head: number, record: number, link: number): number {
  const { words } = map;
  const next = words[recordAt(map, record) + link];
  return next === words[head] ? NONE : next;
}
