/**
 * What has given way to the connections that open-plain opens one behind the other and counts in together afterwards.
 *
 * A connection that was there before has its place in the table's count, which goes to its successor. One that was opened
 * in the same run, because there was no other to give way, has not been counted in yet and leaves no place.
 *
 * Imports classes, tracker, track/. Imported by connections.ts, open-plain.ts and tracker.ts.
 */
import { CLASS_NAMES } from '../track/protocol.js';
import { classCountLocked } from './classes.js';
import type { Tracker } from './tracker.js';

export interface Succession {
  /** By class: connections that were there before the run, and still are. They go before those that came later. */
  readonly older: Int32Array;
  /** How many of those have given way. */
  inherited: number;
  /** How many of the run's own have. */
  own: number;
}

export function createSuccession(): Succession {
  return { older: new Int32Array(CLASS_NAMES.length + 1), inherited: 0, own: 0 };
}

/** Of a run for which nothing gives way. */
export const NO_SUCCESSION: Pick<Succession, 'inherited' | 'own'> = { inherited: 0, own: 0 };

/** A run begins, whose region is held. */
export function beginSuccessionLocked(tracker: Tracker, region: number): void {
  const { succession } = tracker;
  succession.inherited = 0;
  succession.own = 0;
  for (let ofClass = 1; ofClass <= CLASS_NAMES.length; ofClass++) {
    succession.older[ofClass] = classCountLocked(tracker, region, ofClass);
  }
}

/** Notes that the oldest of a class has given way. @returns whether it has left its place in the table's count */
export function noteSuccession(succession: Succession, ofClass: number): boolean {
  if (succession.older[ofClass] === 0) {
    succession.own++;
    return false;
  }
  succession.older[ofClass]--;
  succession.inherited++;
  return true;
}
