/**
 * What an engine counts: one list of events, and one row of counts per thread.
 *
 * A row is written by its thread alone, plainly; whoever reads the rows adds them up. A sum is exact whenever the
 * engine is idle, because the reader has then acquired what the workers published; while packets flow it is a
 * snapshot that may lag behind by a batch. Counts are doubles, exact up to 2^53.
 *
 * Imports ../reason. Imported by engine/ and the public API.
 */
import { REASON_COUNT, reasonName } from '../reason.js';

const EVENTS = [
  ['packets', 'packets judged'],
  ['created', 'connections created'],
  ['expired', 'connections removed because their time was up'],
  ['replaced', 'connections removed because a new one took their place'],
  ['deleted', 'connections removed by a flush or a deletion'],
  ['evictedHalfOpen', 'half-open connections evicted: a new connection took their place in a full table'],
  ['evictedOneWay', 'one-way connections evicted'],
  ['evictedClosing', 'closing connections evicted'],
  ['evictedReplied', 'replied connections evicted: none unless the policy says so'],
  ['evictedEstablished', 'established connections evicted: none unless the policy says so'],
  ['expectations', 'expectations that control connections announced'],
  ['expectationsRefused', 'expectations that found no room, or whose table stayed locked'],
  ['expectationsReplaced', 'expectations that made way for a newer one of their parent'],
  ['related', 'connections created that were expected'],
  ['edits', 'addresses rewritten in a payload'],
  ['emergenciesBegun', 'times the table became so full that an emergency began'],
  ['emergenciesEnded', 'times it ended'],
  ['workerDeaths', 'workers that died and were replaced'],
  ['lostInRepair', 'connections removed because a repair after such a death found no place for them'],
  ['fragmentsLost', 'fragments that were given up, since the shard that held them had died'],
  ['regionSwitches', 'times a batch had to change to the lock of another region'],
  ['portMapsMissing', 'crowded choices under NAT that got no map of used ports, and so no more than the tries of OVS'],
  ['lockWaits', 'times a thread had to wait for the lock of a region'],
  ['lockWaitMs', 'milliseconds that such waits took'],
  ['longestLockWaitMs', 'longest of them, in milliseconds'],
  ['sweepWakes', 'times the sweeper woke up'],
  ['sweepSteps', 'steps of the sweeper that looked at records'],
  ['sweepRecords', 'records that the sweeper looked at'],
  ['sweepLocks', 'times the sweeper took a lock'],
  ['sweepLockMs', 'milliseconds for which the sweeper held locks'],
  ['sweepLongestLockMs', 'longest time for which the sweeper held a lock, in milliseconds'],
  ['ipv4FragmentsAccepted', 'fragments of IPv4 that were held'],
  ['ipv4FragmentsCompleted', '… that came back with the verdict of their datagram'],
  ['ipv4FragmentsExpired', '… that were given up, since their datagram did not become whole in time'],
  ['ipv4FragmentsTooSmall', '… that were refused for their size'],
  ['ipv4FragmentsOverlapped', '… that were refused because they overlap another one'],
  ['ipv4FragmentsPurged', '… that were given up, since nobody took them when they came back'],
  ['ipv4FragmentsEvicted', '… that were given up, since younger ones needed their place'],
  ['ipv6FragmentsAccepted', 'fragments of IPv6 that were held'],
  ['ipv6FragmentsCompleted', '… that came back with the verdict of their datagram'],
  ['ipv6FragmentsExpired', '… that were given up, since their datagram did not become whole in time'],
  ['ipv6FragmentsTooSmall', '… that were refused for their size'],
  ['ipv6FragmentsOverlapped', '… that were refused because they overlap another one'],
  ['ipv6FragmentsPurged', '… that were given up, since nobody took them when they came back'],
  ['ipv6FragmentsEvicted', '… that were given up, since younger ones needed their place'],
] as const satisfies readonly (readonly [name: string, note: string])[];

export type EventName = (typeof EVENTS)[number][0];

/** Place of an event's count in a row. The counts of the reasons follow, in the order of their codes. */
export const EVENT = Object.fromEntries(EVENTS.map(([name], place) => [name, place])) as Readonly<
  Record<EventName, number>
>;
export const REASON_COUNTS_AT = EVENTS.length;

/** Doubles of a row: a multiple of a cache line, so that two threads never write to the same one. */
export const COUNTER_ROW = Math.ceil((EVENTS.length + REASON_COUNT) / 8) * 8;

/** Events that are a maximum rather than a sum. */
const MAXIMA: ReadonlySet<number> = new Set([EVENT.longestLockWaitMs, EVENT.sweepLongestLockMs]);

export interface Counters {
  readonly events: Readonly<Record<EventName, number>>;
  /** Packets by the name of their reason; reasons that never occurred are left out. */
  readonly reasons: Readonly<Record<string, number>>;
}

/** Adds up all rows. */
export function readCounters(rows: Float64Array): Counters {
  const total = new Float64Array(COUNTER_ROW);
  for (let at = 0; at < rows.length; at++) {
    const place = at % COUNTER_ROW;
    total[place] = MAXIMA.has(place) ? Math.max(total[place], rows[at]) : total[place] + rows[at];
  }
  const reasons: Record<string, number> = {};
  for (let code = 0; code < REASON_COUNT; code++) {
    const count = total[REASON_COUNTS_AT + code];
    if (count > 0) reasons[reasonName(code)] = count;
  }
  const events = Object.fromEntries(EVENTS.map(([name], place) => [name, total[place]])) as Record<EventName, number>;
  return { events, reasons };
}
