/**
 * What an engine asks of all its workers, and how they stand still while the table is repaired.
 *
 * A worker looks for the wish between two pieces of work, when it holds no lock and nothing of it is half done. The engine
 * wishes before it looks who is parked, and a worker that goes on takes its word back before it looks for the wish once
 * more: so nobody who is seen parked touches the table.
 *
 * Imports memory. Imported by crew.ts and workers/.
 */
import { CONTROL } from './memory.js';

/** Values of CONTROL.STOP. STOP: workers finish what is in their rings and end; PARK: they stand still. */
export const WISH = { RUN: 0, STOP: 1, PARK: 2 } as const;

/** Between two looks of a worker that is parked; whoever ends that wakes it sooner. */
const LOOK_MS = 1000;

/**
 * Stands still as long as that is wished.
 * @param parked memory with the word, at `at`, that says that this worker does
 */
export function parkIfAsked(control: Int32Array, parked: Int32Array, at: number): void {
  while (Atomics.load(control, CONTROL.STOP) === WISH.PARK) {
    // acquires the repaired table when it is no longer wished
    Atomics.store(parked, at, 1); // publishes what this worker has written, and that it stands still
    Atomics.wait(control, CONTROL.STOP, WISH.PARK, LOOK_MS);
    if (Atomics.load(control, CONTROL.STOP) === WISH.PARK) continue; // a look: it is still wished
    Atomics.store(parked, at, 0); // before the next look at the wish
  }
}
