/**
 * How full the table is, and what follows from it: timeouts that shrink with the fill, and the emergency, which begins
 * at one fill and ends at a lower one so that it does not come and go with every connection.
 *
 * The beginning is seen by whoever counts a connection in, the end by the sweeper, each once: of all threads that see it
 * one wins. CONTROL.EMERGENCY counts both, so it is odd while there is one, and whoever waits on the word is woken.
 *
 * Timeouts shrink in the sweeper alone: it removes a connection that is not replied or established when so much of its
 * timeout has passed. Until it comes by, a packet finds the connection and its time starts anew. Which of the two counts
 * for a connection is a matter of its zone's policy at that moment.
 *
 * Imports classes, counters, memory, policy, tracker, track/. Imported by connections.ts, sweep.ts and engine.ts.
 */
import { CONN, protocolOf, STATUS_POLICY_SHIFT, zoneOf } from '../track/connection.js';
import { CLASS } from '../track/protocol.js';
import { TIMEOUT_POLICY_SIZE } from '../track/timeouts.js';
import { trackerOf } from '../track/trackers.js';
import { listedClass, UNLISTED } from './classes.js';
import { EVENT } from './counters.js';
import { CONTROL, type EngineMemory } from './memory.js';
import { POLICY_ADAPTS, POLICY_EMERGENCY, policyFlagsOf, TABLE_POLICY } from './policy.js';
import type { Tracker } from './tracker.js';

const { ADAPTIVE_START, ADAPTIVE_END, EMERGENCY_BEGIN, EMERGENCY_END } = TABLE_POLICY;
const { KEY, STATUS } = CONN;

/** What is left of a timeout in an emergency. */
const EMERGENCY_FACTOR = 0.1;

/** True while there is an emergency, by the word that counts beginnings and ends. */
export function isEmergency(changes: number): boolean {
  return (changes & 1) === 1;
}

/** Connections in percent of their maximum. */
function fillPercent(memory: EngineMemory): number {
  const count = Atomics.load(memory.control, CONTROL.CONNECTIONS); // a count, orders nothing
  const most = Atomics.load(memory.control, CONTROL.MAX_CONNECTIONS); // a setting, orders nothing
  return most === 0 ? 100 : (count * 100) / most;
}

/** Changes the word from `seen`, once among all threads, and wakes who waits for it, the sweeper among them. */
function change(tracker: Tracker, seen: number, event: number): void {
  const { control } = tracker.memory;
  const found = Atomics.compareExchange(control, CONTROL.EMERGENCY, seen, seen + 1); // one thread alone wins
  if (found !== seen) return;
  tracker.counts[event]++;
  Atomics.notify(control, CONTROL.EMERGENCY);
  Atomics.add(control, CONTROL.SWEEP_WAKE, 1); // changes the word that the sweeper sleeps on
  Atomics.notify(control, CONTROL.SWEEP_WAKE);
}

/** Begins an emergency if the table is so full. To be called when a connection was counted in, or refused. */
export function noticeFill(tracker: Tracker): void {
  const { control, tablePolicy } = tracker.memory;
  const begin = tablePolicy[EMERGENCY_BEGIN];
  if (begin === 0) return;
  const seen = Atomics.load(control, CONTROL.EMERGENCY); // orders nothing: the compare-exchange decides
  if (!isEmergency(seen) && fillPercent(tracker.memory) >= begin) change(tracker, seen, EVENT.emergenciesBegun);
}

/** Ends an emergency if the table is empty enough again, or the policy knows none any more. */
export function noticeRoom(tracker: Tracker): void {
  const { control, tablePolicy } = tracker.memory;
  const seen = Atomics.load(control, CONTROL.EMERGENCY); // orders nothing: the compare-exchange decides
  if (!isEmergency(seen)) return;
  const isOver = tablePolicy[EMERGENCY_BEGIN] === 0 || fillPercent(tracker.memory) < tablePolicy[EMERGENCY_END];
  if (isOver) change(tracker, seen, EVENT.emergenciesEnded);
}

/** What is left of timeouts, 1 to 0: whatever is not 1 counts for zones whose policy takes part in it. */
export interface TimeoutFactors {
  /** By the fill that there is: pf's (end - n) / (end - start). */
  adaptive: number;
  /** By whether there is an emergency. */
  emergency: number;
  /** The zone that was asked last, and FLAGS of its policy then: most connections are in the zone of the one before. */
  zone: number;
  flags: number;
}

/** No zone's number. */
const NO_ZONE = -1;

export function createTimeoutFactors(): TimeoutFactors {
  return { adaptive: 1, emergency: 1, zone: NO_ZONE, flags: 0 };
}

/** To be called now and then, so that what is changed in a policy counts. */
export function forgetZone(factors: TimeoutFactors): void {
  factors.zone = NO_ZONE;
}

/** Whether timeouts of any zone may be shrunk. */
export function isShrinking({ adaptive, emergency }: TimeoutFactors): boolean {
  return adaptive !== 1 || emergency !== 1;
}

/** Writes the factors of this moment. */
export function readTimeoutFactors(memory: EngineMemory, factors: TimeoutFactors): void {
  const { control, tablePolicy } = memory;
  const start = tablePolicy[ADAPTIVE_START];
  const end = tablePolicy[ADAPTIVE_END];
  const changes = Atomics.load(control, CONTROL.EMERGENCY); // orders nothing
  factors.adaptive = start === 0 ? 1 : Math.min(1, Math.max(0, (end - fillPercent(memory)) / (end - start)));
  factors.emergency = isEmergency(changes) ? EMERGENCY_FACTOR : 1;
}

/**
 * By how much the end of the connection at word `conn` comes sooner, in milliseconds. Read without its lock it is a hint.
 * @param factors what is left of timeouts: see readTimeoutFactors()
 */
export function shortenedMs(tracker: Tracker, conn: number, factors: TimeoutFactors): number {
  const { words, timeoutsMs } = tracker;
  const key = words[conn + KEY];
  if (zoneOf(key) !== factors.zone) {
    factors.zone = zoneOf(key);
    factors.flags = policyFlagsOf(tracker.memory, factors.zone);
  }
  const { flags } = factors;
  if ((flags & (POLICY_ADAPTS | POLICY_EMERGENCY)) === 0) return 0;
  const protocol = trackerOf(protocolOf(key));
  const itsClass = listedClass(words, conn);
  // A connection is on no list if its zone did not evict when it was made.
  if ((itsClass === UNLISTED ? protocol.classOf(words, conn) : itsClass) >= CLASS.replied) return 0;
  const adaptive = (flags & POLICY_ADAPTS) === 0 ? 1 : factors.adaptive;
  const emergency = (flags & POLICY_EMERGENCY) === 0 ? 1 : factors.emergency;
  const policy = words[conn + STATUS] >>> STATUS_POLICY_SHIFT;
  return (
    (1 - Math.min(adaptive, emergency)) * timeoutsMs[policy * TIMEOUT_POLICY_SIZE + protocol.timeoutOf(words, conn)]
  );
}
