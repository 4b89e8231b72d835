/**
 * Room for connections: how many there are in the table and in each zone, and how many there may be.
 *
 * A connection is counted in before it is made, so that no limit is ever exceeded, and counted out after it is gone.
 * All threads share the counts, and their cache lines go from processor to processor, so whoever makes or removes
 * several connections counts them together. Counting out late refuses nobody who came later than the removal: the lock
 * under which they were removed is still held.
 *
 * Near a limit connections are counted one by one. reserveConnections() leaves as many places as the other threads may
 * have counted in and not used yet, so nobody is refused because of them; only if a thread is stopped in the middle of a
 * batch, and others fill the table meanwhile, it is full a batch too early.
 *
 * Imports memory, ../reason, wire/rows. Imported by connections.ts, open-plain.ts and sweep.ts.
 */
import { REASON } from '../reason.js';
import { MAX_BATCH } from '../wire/rows.js';
import { CONTROL, type EngineMemory } from './memory.js';

const NO_LIMIT = 0x7fffffff;

/** Adds `by` to a count, unless it would be above its limit then. Exact among all threads. */
function countUpTo(counts: Int32Array, at: number, limit: number, by: number): boolean {
  let count = Atomics.load(counts, at); // orders nothing: the compare-exchange decides
  while (count <= limit - by) {
    const seen = Atomics.compareExchange(counts, at, count, count + by); // counts the connections
    if (seen === count) return true;
    count = seen;
  }
  return false;
}

/** Connections that a zone may have: its own limit, which may be 0, or the default, of which 0 is none. */
function limitOf(memory: EngineMemory, zone: number): number {
  const own = Atomics.load(memory.zoneLimits, zone); // a setting, orders nothing
  if (own !== 0) return own - 1;
  const usual = Atomics.load(memory.control, CONTROL.DEFAULT_ZONE_LIMIT); // a setting, orders nothing
  return usual === 0 ? NO_LIMIT : usual;
}

/**
 * Counts a connection in, unless that would be one too many, the zone's limit first as in OVS.
 * @returns REASON.none, or why not
 */
export function reserveConnection(memory: EngineMemory, zone: number): number {
  if (!countUpTo(memory.zoneCounts, zone, limitOf(memory, zone), 1)) return REASON['zone-full'];
  const most = Atomics.load(memory.control, CONTROL.MAX_CONNECTIONS); // a setting, orders nothing
  if (countUpTo(memory.control, CONTROL.CONNECTIONS, most, 1)) return REASON.none;
  Atomics.sub(memory.zoneCounts, zone, 1); // counts the connection out again
  return REASON['table-full'];
}

/**
 * Counts in up to MAX_BATCH connections of a zone that the caller is about to make. What it does not make it has to
 * give back with releaseConnections() before it goes on.
 * @returns false when a limit is near: then nothing is counted
 */
export function reserveConnections(memory: EngineMemory, zone: number, count: number): boolean {
  const { control, zoneCounts } = memory;
  const margin = (control[CONTROL.THREADS] - 1) * MAX_BATCH;
  if (!countUpTo(zoneCounts, zone, limitOf(memory, zone) - margin, count)) return false;
  const most = Atomics.load(control, CONTROL.MAX_CONNECTIONS); // a setting, orders nothing
  if (countUpTo(control, CONTROL.CONNECTIONS, most - margin, count)) return true;
  Atomics.sub(zoneCounts, zone, count); // counts them out again
  return false;
}

/** Counts connections of a zone out. */
export function releaseConnections(memory: EngineMemory, zone: number, count: number): void {
  Atomics.sub(memory.zoneCounts, zone, count); // counts the connections out
  Atomics.sub(memory.control, CONTROL.CONNECTIONS, count); // counts the connections out
}
