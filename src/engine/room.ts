/**
 * Room for connections: how many there are in the table and in each zone, and how many there may be.
 *
 * No limit is ever exceeded, and nobody is refused for a connection that is not there in the end. A connection is counted
 * in before others can see it, so either first, when it is sure to be made, or afterwards, under the same lock, and taken
 * out again when it was one too many. It is counted out after it is gone. All threads share the counts, and their cache
 * lines go from processor to processor, so whoever makes or removes several connections counts them together. Counting
 * out late refuses nobody who came later than the removal: the lock under which they were removed is still held.
 *
 * Imports memory, ../reason. Imported by connections.ts, open-plain.ts and sweep.ts.
 */
import { REASON } from '../reason.js';
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
 * Counts connections in, all of them unless that would be too many, the zone's limit first as in OVS.
 * @param inherited places in the table that are the caller's already: see succession.ts; they are used or given back
 * @returns REASON.none, or why not
 */
export function reserveConnections(memory: EngineMemory, zone: number, count: number, inherited = 0): number {
  const { control, zoneCounts } = memory;
  const more = count - inherited;
  let refusal: number = REASON['zone-full'];
  if (countUpTo(zoneCounts, zone, limitOf(memory, zone), count)) {
    if (more <= 0) {
      Atomics.sub(control, CONTROL.CONNECTIONS, -more); // counts places out that were not needed
      return REASON.none;
    }
    const most = Atomics.load(control, CONTROL.MAX_CONNECTIONS); // a setting, orders nothing
    if (countUpTo(control, CONTROL.CONNECTIONS, most, more)) return REASON.none;
    Atomics.sub(zoneCounts, zone, count); // counts them out again
    refusal = REASON['table-full'];
  }
  if (inherited > 0) Atomics.sub(control, CONTROL.CONNECTIONS, inherited); // counts the places out
  return refusal;
}

/** What reserveConnections() would say of one just now, without counting. */
export function refusalOf(memory: EngineMemory, zone: number): number {
  if (freeInZone(memory, zone) <= 0) return REASON['zone-full'];
  return freeInTable(memory) <= 0 ? REASON['table-full'] : REASON.none;
}

/** How many connections of a zone would not be too many for the zone. */
export function freeInZone(memory: EngineMemory, zone: number): number {
  return limitOf(memory, zone) - Atomics.load(memory.zoneCounts, zone); // a count, orders nothing
}

/** How many connections would not be too many for the table. */
export function freeInTable({ control }: EngineMemory): number {
  const most = Atomics.load(control, CONTROL.MAX_CONNECTIONS); // a setting, orders nothing
  return most - Atomics.load(control, CONTROL.CONNECTIONS); // a count, orders nothing
}

/**
 * Whether there are more connections than may be, in a zone or in the table, because a limit was lowered: then there is no
 * room for another one although one gives way.
 */
export function isBeyondLimit(memory: EngineMemory, zone: number): boolean {
  return freeInZone(memory, zone) < 0 || freeInTable(memory) < 0;
}

/** Counts a connection out of its zone. Its place in the table is the caller's, for a connection that takes it. */
export function leaveZone(memory: EngineMemory, zone: number): void {
  Atomics.sub(memory.zoneCounts, zone, 1); // counts the connection out
}

/** Counts connections of a zone out. */
export function releaseConnections(memory: EngineMemory, zone: number, count: number): void {
  Atomics.sub(memory.zoneCounts, zone, count); // counts the connections out
  Atomics.sub(memory.control, CONTROL.CONNECTIONS, count); // counts the connections out
}
