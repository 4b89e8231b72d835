/**
 * Token buckets in shared memory, for any number of threads: rates of new connections.
 *
 * A bucket is two words that are zero while it was never used, which is a full one: what was spent and has not been
 * earned back yet, in thousandths of a connection, and the time up to which it was earned back. A connection spends a
 * thousand, a millisecond earns `perSecond` of them. Time is that of the packets; where it jumps back by more than
 * MAX_BACK_MS, as between captures, the bucket is full again.
 *
 * Imports nothing. Imported by admission.ts.
 */
const SPENT = 0;
const TIME = 1;
export const BUCKET_WORDS = 2;

const UNIT = 1000;
const MAX_BACK_MS = 60_000;

/** TIME of a bucket that was never used. */
const UNUSED = 0;

/**
 * Milliseconds of 32 bits: differences are right for 24 days, and a bucket of such age is full. The millisecond that would
 * be UNUSED counts as the one before.
 */
function timeWord(nowMs: number): number {
  const word = (nowMs % 2 ** 32) | 0;
  return word === UNUSED ? UNUSED - 1 : word;
}

function earn(buckets: Int32Array, at: number, perSecond: number, now: number): void {
  const before = Atomics.load(buckets, at + TIME); // orders nothing: the compare-exchange decides
  const elapsedMs = (now - before) | 0;
  if (before !== UNUSED && elapsedMs <= 0 && elapsedMs > -MAX_BACK_MS) return;
  const seen = Atomics.compareExchange(buckets, at + TIME, before, now); // one thread alone earns this span of time
  // One that was never used is full: there is nothing to earn back.
  if (seen !== before || before === UNUSED) return;
  let spent = Atomics.load(buckets, at + SPENT); // orders nothing: the compare-exchange decides
  for (;;) {
    const left = elapsedMs < 0 ? 0 : Math.max(0, spent - elapsedMs * perSecond);
    const found = Atomics.compareExchange(buckets, at + SPENT, spent, left); // counts what was earned
    if (found === spent) return;
    spent = found;
  }
}

/**
 * Spends one connection of the bucket at word `at`, if there is one left. Exact among all threads.
 * @param perSecond connections earned per second, and `burst` that a full bucket holds
 * @returns false when there is none
 */
export function takeToken(buckets: Int32Array, at: number, perSecond: number, burst: number, nowMs: number): boolean {
  earn(buckets, at, perSecond, timeWord(nowMs));
  let spent = Atomics.load(buckets, at + SPENT); // orders nothing: the compare-exchange decides
  while (spent + UNIT <= burst * UNIT) {
    const found = Atomics.compareExchange(buckets, at + SPENT, spent, spent + UNIT); // counts what is spent
    if (found === spent) return true;
    spent = found;
  }
  return false;
}
