/**
 * The region lock: a word that holds 0 or the number of the thread that owns it.
 *
 * | LOCK  | meaning                                  | left by                                 |
 * |-------|------------------------------------------|-----------------------------------------|
 * | 0     | free                                     | compare-exchange 0 → owner              |
 * | n > 0 | held by the thread whose number is n     | store of 0 by n; breakLock() if n died  |
 * | -1    | broken: its holder died, nobody gets it  | renewLocks(), once the map is repaired  |
 *
 * WAITERS counts the threads that found the lock held. The holder notifies only when it is not 0, since a notify costs
 * more than the lock, and lets waiters go first before it takes the lock again, so that a busy worker, which frees the
 * lock for a few nanoseconds between batches, does not starve the sweeper.
 *
 * All waits are bounded: a thread that does not get the lock within about WAIT_ROUNDS × WAIT_MS is told so. Being woken
 * and finding the lock taken again is no such round: it takes microseconds, and its holder lives. Who is woken looks for
 * a while before it sleeps again, since the holder may take the lock and free it many times until the next wake arrives.
 *
 * Imports layout, map. Imported by engine/ through index.ts.
 */
import { REGION } from './layout.js';
import { regionAt, type SharedMap } from './map.js';

const { LOCK, WAITERS } = REGION;

const FREE = 0;
const BROKEN = -1;
/** Looks at the lock before going to sleep: some 20 µs, several batches of a worker that runs on another core. */
const SPINS = 2000;
/** How long a thread sleeps at a time; a holder wakes it sooner. */
const WAIT_MS = 10;
const WAIT_ROUNDS = 200;
/** How often a thread may be woken and come too late: two seconds of a holder that takes the lock every 20 µs. */
const MAX_WAKES = 100_000;
/** How often a thread that comes back looks whether the waiters have had their turn: some 5 µs. */
const COURTESY_SPINS = 500;

/**
 * Takes the lock of a region for the thread numbered `owner` (1 or more, one number per thread).
 * @returns false when it stayed with others for two seconds: its holder is stuck, or has died and nobody has noticed yet;
 *   false at once when the lock is broken
 */
export function lockRegion(map: SharedMap, region: number, owner: number): boolean {
  return lockFreeRegion(map, region, owner) || waitForLock(map.words, regionAt(map, region), owner);
}

/** The same without a wait: takes the lock if it is free once those who wait for it have had some 5 µs to take it. */
export function lockFreeRegion(map: SharedMap, region: number, owner: number): boolean {
  const { words } = map;
  const at = regionAt(map, region);
  const waiting = Atomics.load(words, at + WAITERS); // orders nothing: courtesy only
  if (waiting !== 0) letWaitersPass(words, at);
  const seen = Atomics.compareExchange(words, at + LOCK, FREE, owner); // acquires the region
  return seen === FREE;
}

/** Takes the lock if it is free now. */
export function tryLockRegion(map: SharedMap, region: number, owner: number): boolean {
  const seen = Atomics.compareExchange(map.words, regionAt(map, region) + LOCK, FREE, owner); // acquires the region
  return seen === FREE;
}

/** Frees the lock, which the calling thread must hold. */
export function unlockRegion(map: SharedMap, region: number): void {
  const { words } = map;
  const at = regionAt(map, region);
  Atomics.store(words, at + LOCK, FREE); // publishes everything written to the region
  // A waiter counts itself before it looks at LOCK: either we see its count, or it sees the lock free.
  const waiting = Atomics.load(words, at + WAITERS); // orders the look at WAITERS after the store
  if (waiting !== 0) Atomics.notify(words, at + LOCK, 1);
}

/** The thread that holds the lock, 0 when it is free. May be out of date when it is returned. */
export function lockOwner(map: SharedMap, region: number): number {
  return Atomics.load(map.words, regionAt(map, region) + LOCK); // a snapshot, orders nothing for the caller
}

/**
 * Breaks the locks that a thread held which is known to have ended: whoever wants one of them is refused at once, those
 * who wait included, until the map is repaired.
 */
export function breakLocks(map: SharedMap, dead: number): void {
  const { words } = map;
  for (let region = 0; region < map.regions; region++) {
    const at = regionAt(map, region);
    const seen = Atomics.compareExchange(words, at + LOCK, dead, BROKEN); // acquires what the dead thread has published
    if (seen === dead) Atomics.notify(words, at + LOCK);
  }
}

/** Makes all locks free and forgets who waits for them. For repair: no other thread works on the map. */
export function renewLocks(map: SharedMap): void {
  for (let region = 0; region < map.regions; region++) {
    const at = regionAt(map, region);
    Atomics.store(map.words, at + WAITERS, 0); // a thread that died while it waited is still counted
    Atomics.store(map.words, at + LOCK, FREE); // publishes the repaired region
  }
}

function letWaitersPass(words: Int32Array, at: number): void {
  for (let spin = 0; spin < COURTESY_SPINS; spin++) {
    const holder = Atomics.load(words, at + LOCK); // orders nothing: courtesy only
    if (holder !== FREE) return;
    const waiting = Atomics.load(words, at + WAITERS); // orders nothing: courtesy only
    if (waiting === 0) return;
  }
}

function waitForLock(words: Int32Array, at: number, owner: number): boolean {
  Atomics.add(words, at + WAITERS, 1); // publishes that somebody waits, before the lock is looked at again
  const got = spinForLock(words, at, owner) || sleepForLock(words, at, owner);
  Atomics.sub(words, at + WAITERS, 1); // counts this thread out
  return got;
}

function spinForLock(words: Int32Array, at: number, owner: number): boolean {
  for (let spin = 0; spin < SPINS; spin++) {
    const holder = Atomics.load(words, at + LOCK); // spares the line the compare-exchange while it is held
    if (holder === BROKEN) return false;
    if (holder !== FREE) continue;
    const seen = Atomics.compareExchange(words, at + LOCK, FREE, owner); // acquires the region
    if (seen === FREE) return true;
  }
  return false;
}

function sleepForLock(words: Int32Array, at: number, owner: number): boolean {
  let rounds = 0;
  for (let wakes = 0; wakes < MAX_WAKES && rounds < WAIT_ROUNDS; wakes++) {
    const seen = Atomics.compareExchange(words, at + LOCK, FREE, owner); // acquires the region
    if (seen === FREE) return true;
    if (seen === BROKEN) return false;
    if (Atomics.wait(words, at + LOCK, seen, WAIT_MS) === 'timed-out') rounds++;
    else if (spinForLock(words, at, owner)) return true;
  }
  return false;
}
