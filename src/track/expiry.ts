/**
 * When a connection ends. Times are milliseconds as doubles, which are exact for longer than 200,000 years.
 *
 * Imports connection, timeouts. Imported by the trackers of track/ and by engine/.
 */
import { CONN, STATUS_POLICY_SHIFT } from './connection.js';
import type { TrackContext } from './protocol.js';

import { TIMEOUT_POLICY_SIZE } from './timeouts.js';

const { EXPIRES, STATUS } = CONN;
const POLICY_SHIFT = STATUS_POLICY_SHIFT;
const POLICY_SIZE = TIMEOUT_POLICY_SIZE;

/** Lets the connection at word `conn` live for the timeout numbered `timeout` (TIMEOUT) of its policy from now on. */
export function restartTimeout(context: TrackContext, conn: number, timeout: number): void {
  const policy = context.words[conn + STATUS] >>> POLICY_SHIFT;
  context.doubles[(conn + EXPIRES) >>> 1] = context.now[0] + context.timeoutsMs[policy * POLICY_SIZE + timeout];
}

/** When the connection at word `conn` ends, in milliseconds. */
export function expiryOf(doubles: Float64Array, conn: number): number {
  return doubles[(conn + EXPIRES) >>> 1];
}

/**
 * True when the connection at word `conn` is over: at its very millisecond, as in OVS. Asked the other way round, so
 * that an end that is no number, from a packet whose time was none, has come.
 */
export function isExpired(doubles: Float64Array, conn: number, nowMs: number): boolean {
  return !(nowMs < doubles[(conn + EXPIRES) >>> 1]);
}

/** The same at the time of the packet at hand. */
export function hasEnded(context: TrackContext, conn: number): boolean {
  return isExpired(context.doubles, conn, context.now[0]);
}
