/**
 * Histograms of durations in shared memory: one row per thread, written by that thread alone, plainly; whoever reads the
 * rows adds them up, and sees a snapshot as with the counters.
 *
 * Buckets are log-linear: 16 to each power of two nanoseconds, so that a quantile is at most a sixteenth too high,
 * whatever its size. Durations below 16 ns are exact, those above 2 s are counted in the last bucket; the longest is
 * kept as it is.
 *
 * Imports nothing. Imported by engine/, flood/ and workers/.
 */

/** Buckets to a power of two: 2^4. */
const FINE_BITS = 4;
const FINE = 1 << FINE_BITS;
/** Bits of a duration in nanoseconds. */
const MOST_BITS = 31;
const MOST_NS = 2 ** MOST_BITS - 1;
const BUCKETS = (MOST_BITS - FINE_BITS + 1) * FINE;
/** Behind the buckets: the longest duration in milliseconds. */
const LONGEST = BUCKETS;
/** Doubles of a row: a multiple of a cache line. */
export const HISTOGRAM_ROW = BUCKETS + 8;

const NS_PER_MS = 1e6;

/** Memory for `rows` histograms. */
export function createHistograms(rows: number): SharedArrayBuffer {
  return new SharedArrayBuffer(rows * HISTOGRAM_ROW * Float64Array.BYTES_PER_ELEMENT);
}

/** The row of one thread. */
export function histogramRow(buffer: SharedArrayBuffer, row: number): Float64Array {
  return new Float64Array(buffer, row * HISTOGRAM_ROW * Float64Array.BYTES_PER_ELEMENT, HISTOGRAM_ROW);
}

function bucketOf(ns: number): number {
  if (ns < FINE) return ns;
  const power = 31 - Math.clz32(ns);
  return (power - FINE_BITS + 1) * FINE + ((ns >>> (power - FINE_BITS)) & (FINE - 1));
}

/** The first duration in nanoseconds that lies beyond a bucket. */
function bucketEnd(bucket: number): number {
  if (bucket < FINE) return bucket + 1;
  const power = Math.floor(bucket / FINE) - 1;
  return (FINE + (bucket % FINE) + 1) * 2 ** power;
}

/** Adds a duration to a row. */
export function recordDuration(row: Float64Array, ms: number): void {
  const ns = ms * NS_PER_MS;
  row[bucketOf(ns < MOST_NS ? ns | 0 : MOST_NS)]++;
  if (ms > row[LONGEST]) row[LONGEST] = ms;
}

/** What a histogram says, in microseconds; all 0 when nothing was recorded. */
export interface Quantiles {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** Adds up all rows of a buffer. */
export function readHistograms(buffer: SharedArrayBuffer): Quantiles {
  return sumHistograms(new Float64Array(buffer));
}

/** Counts of all rows that lie one behind the other. */
function totalOf(rows: Float64Array): Float64Array {
  const total = new Float64Array(BUCKETS);
  for (let at = 0; at < rows.length; at += HISTOGRAM_ROW) {
    for (let bucket = 0; bucket < BUCKETS; bucket++) total[bucket] += rows[at + bucket];
  }
  return total;
}

/** Adds up rows that lie one behind the other. */
export function sumHistograms(rows: Float64Array): Quantiles {
  const total = totalOf(rows);
  let longestMs = 0;
  for (let at = 0; at < rows.length; at += HISTOGRAM_ROW) longestMs = Math.max(longestMs, rows[at + LONGEST]);
  const count = total.reduce((sum, part) => sum + part, 0);
  const max = longestMs * 1000;
  const quantile = (share: number) => Math.min(max, quantileNs(total, count, share) / 1000);
  return { count, p50: quantile(0.5), p99: quantile(0.99), p999: quantile(0.999), max };
}

/** Durations from `from` on, and below `below`, in microseconds; the last bucket has no end but says one. */
export interface Bucket {
  readonly from: number;
  readonly below: number;
  readonly count: number;
}

/** The buckets of rows that lie one behind the other, the shortest durations first; empty ones are left out. */
export function bucketsOf(rows: Float64Array): Bucket[] {
  const buckets: Bucket[] = [];
  totalOf(rows).forEach((count, bucket) => {
    const from = bucket === 0 ? 0 : bucketEnd(bucket - 1) / 1000;
    if (count > 0) buckets.push({ from, below: bucketEnd(bucket) / 1000, count });
  });
  return buckets;
}

/** A duration that `share` of all do not exceed. */
function quantileNs(total: Float64Array, count: number, share: number): number {
  const wanted = Math.ceil(count * share);
  let seen = 0;
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    seen += total[bucket];
    if (seen >= wanted && seen > 0) return bucketEnd(bucket);
  }
  return 0;
}
