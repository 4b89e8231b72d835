/**
 * A barrier for a few threads that are to begin at the same moment: they spin, since waking up takes longer than what
 * is measured may vary by.
 *
 * Imports nothing. Imported by thread, threads.
 */
const ARRIVED = 0;
const TURN = 1;
const MOST_MS = 60_000;
/** Looks between two looks at the clock. */
const SPINS = 10_000;

/** Memory for one barrier, to be handed to every thread. */
export function newBarrier(): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(8));
}

/**
 * Waits until `count` threads have come here; can be used again and again.
 * @throws Error when they do not all come within a minute
 */
export function meet(barrier: Int32Array<SharedArrayBuffer>, count: number): void {
  const turn = Atomics.load(barrier, TURN); // read before this thread arrives, so it cannot have changed for this turn
  if (Atomics.add(barrier, ARRIVED, 1) + 1 === count) {
    Atomics.store(barrier, ARRIVED, 0); // for the next turn, before anybody can come to it
    Atomics.add(barrier, TURN, 1); // publishes that all have come
    return;
  }
  const startedMs = performance.now();
  for (let spin = 1; Atomics.load(barrier, TURN) === turn; spin++) {
    if (spin % SPINS === 0 && performance.now() - startedMs > MOST_MS) throw new Error('not all threads came');
  }
}
