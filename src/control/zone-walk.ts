/**
 * Walking the connections of one zone in one region, some under each hold of the lock, while others come and go.
 *
 * The list of a zone has its connections in the order in which they were made, so that all that follow one which was
 * met have not been met. The walk notes whom it has met and left alive; it goes on behind the latest of them that still
 * lives, or from the first of the list when none does. So whoever lives throughout comes exactly once, at a constant
 * cost per connection of the zone. Those made meanwhile join at the end; the walk takes no more steps than the zone had
 * connections when it began, and is then past all that were there.
 *
 * Imports engine/, sharedarraybuffer-hashmap, track/. Imported by dump and flush.
 */
import { zoneHead } from '../engine/membership.js';
import type { Tracker } from '../engine/tracker.js';
import { firstOfListLocked, NONE, nextOfListLocked, RECORD, recordAt } from '../sharedarraybuffer-hashmap/index.js';
import { CONN } from '../track/connection.js';

const { GENERATION } = RECORD;
const { ZONE_NEXT } = CONN;

export class ZoneWalk {
  readonly #tracker: Tracker;
  readonly #head: number;
  #stepsLeft: number;
  /** Records met, each followed by its generation, which tells whether it still is the same connection. */
  readonly #met: number[] = [];

  /** Begins a walk. Needs the lock of the region, as every step does. */
  constructor(tracker: Tracker, region: number, zone: number) {
    this.#tracker = tracker;
    this.#head = zoneHead(tracker.map, region, zone);
    // At least as many as are on the list: a connection is counted before it joins and until after it has left.
    this.#stepsLeft = Atomics.load(tracker.memory.zoneCounts, zone); // orders nothing: the lock does
  }

  /** The next connection, or NONE at the end. Unless it is removed now, it is to be handed to keepLocked(). */
  nextLocked(): number {
    if (this.#stepsLeft-- <= 0) return NONE;
    const { map } = this.#tracker;
    const met = this.#met;
    for (let top = met.length - 2; top >= 0; top -= 2) {
      const record = met[top];
      if (map.words[recordAt(map, record) + GENERATION] === met[top + 1]) {
        return nextOfListLocked(map, this.#head, record, ZONE_NEXT);
      }
      met.length = top;
    }
    return firstOfListLocked(map, this.#head);
  }

  /** Goes on behind a connection that nextLocked() has named and that stays. */
  keepLocked(record: number): void {
    const { map } = this.#tracker;
    this.#met.push(record, map.words[recordAt(map, record) + GENERATION]);
  }
}
