/**
 * Room for connections: how many there are in the table and in each zone, and how many there may be.
 *
 * A connection is counted in before it is made, so that no limit is ever exceeded, and counted out after it is gone.
 * All threads share the counts, and their cache lines go from processor to processor, so whoever makes or removes
 * several connections counts them together. Counting out late refuses nobody who came later than the removal: the lock
 * under which they were removed is still held.
 *
 * Near a limit connections are counted one by one: whoever counts in several and then makes fewer must not have had
 * others refused meanwhile. A thread may be stopped in the middle of a batch, so "near" is as far as the others get in
 * some ten milliseconds at the least. One thread alone may count up to its limit.
 *
 * Imports memory, ../reason. Imported by connections.ts, open-plain.ts and sweep.ts.
 */
import { REASON } from '../reason.js';
import { CONTROL, type EngineMemory } from './memory.js';

const NO_LIMIT = 0x7fffffff;

/** Connections that are made in some ten milliseconds. */
const LEAST_MARGIN = 1 << 18;

/** What must be free besides those that are counted in together. */
function marginOf(memory: EngineMemory, limit: number): number {
  return memory.control[CONTROL.THREADS] === 1 ? 0 : Math.max(limit >>> 1, LEAST_MARGIN);
}

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
 * Counts connections in, unless that would be too many, the zone's limit first as in OVS.
 * @param isFar only while the limits are far
 * @returns REASON.none, or why not
 */
function reserve(memory: EngineMemory, zone: number, count: number, isFar: boolean): number {
  const { control, zoneCounts } = memory;
  const limit = limitOf(memory, zone);
  const most = Atomics.load(control, CONTROL.MAX_CONNECTIONS); // a setting, orders nothing
  if (!countUpTo(zoneCounts, zone, isFar ? limit - marginOf(memory, limit) : limit, count)) return REASON['zone-full'];
  if (countUpTo(control, CONTROL.CONNECTIONS, isFar ? most - marginOf(memory, most) : most, count)) return REASON.none;
  Atomics.sub(zoneCounts, zone, count); // counts them out again
  return REASON['table-full'];
}

/** Counts a connection in, unless that would be one too many. @returns REASON.none, or why not */
export function reserveConnection(memory: EngineMemory, zone: number): number {
  return reserve(memory, zone, 1, false);
}

/** What reserveConnection() would say just now, without counting. */
export function refusalOf(memory: EngineMemory, zone: number): number {
  const { control, zoneCounts } = memory;
  if (Atomics.load(zoneCounts, zone) >= limitOf(memory, zone)) return REASON['zone-full']; // a count, orders nothing
  const most = Atomics.load(control, CONTROL.MAX_CONNECTIONS); // a setting, orders nothing
  return Atomics.load(control, CONTROL.CONNECTIONS) >= most ? REASON['table-full'] : REASON.none; // a count
}

/**
 * Counts in several connections of a zone that the caller is about to make. What it does not make it has to
 * give back with releaseConnections() before it goes on.
 * @returns false when a limit is near: then nothing is counted
 */
export function reserveConnections(memory: EngineMemory, zone: number, count: number): boolean {
  return reserve(memory, zone, count, true) === REASON.none;
}

/** Counts connections of a zone out. */
export function releaseConnections(memory: EngineMemory, zone: number, count: number): void {
  Atomics.sub(memory.zoneCounts, zone, count); // counts the connections out
  Atomics.sub(memory.control, CONTROL.CONNECTIONS, count); // counts the connections out
}
