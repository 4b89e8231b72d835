/**
 * How long a connection may stay silent: the eleven timeouts of Open vSwitch's userspace tracker, one list for their
 * names, their numbers and their defaults (OVS `conntrack-tp.c`; the keys are those of `CT_Timeout_Policy`).
 *
 * Imports ../given. Imported by track/, engine/ and the public API.
 */
import { checkObject, checkText, checkWhole } from '../given.js';

const SECOND_MS = 1000;

const TIMEOUTS = [
  ['tcp_syn_sent', 30 * SECOND_MS, 'a first segment was seen, nothing came back'],
  ['tcp_syn_recv', 30 * SECOND_MS, 'one of the two sides is not established yet'],
  ['tcp_established', 24 * 3600 * SECOND_MS, 'both sides are established'],
  ['tcp_fin_wait', 15 * 60 * SECOND_MS, 'one side has sent its FIN'],
  ['tcp_time_wait', 45 * SECOND_MS, 'both sides have sent their FIN'],
  ['tcp_close', 30 * SECOND_MS, 'both FINs are acknowledged, or a RST was seen'],
  // These three in the order of the states of other.ts.
  ['udp_first', 60 * SECOND_MS, 'one packet, of UDP or of any protocol without rules of its own'],
  ['udp_single', 60 * SECOND_MS, 'several packets, one direction'],
  ['udp_multiple', 30 * SECOND_MS, 'packets in both directions'],
  ['icmp_first', 60 * SECOND_MS, 'a request'],
  ['icmp_reply', 30 * SECOND_MS, 'a request and an answer'],
] as const satisfies readonly (readonly [key: string, defaultMs: number, when: string])[];

export type TimeoutKey = (typeof TIMEOUTS)[number][0];

/** Number of a timeout in a table of them, by key. */
export const TIMEOUT = Object.fromEntries(TIMEOUTS.map(([key], id) => [key, id])) as Readonly<
  Record<TimeoutKey, number>
>;

function isTimeoutKey(key: string): key is TimeoutKey {
  return Object.hasOwn(TIMEOUT, key);
}

/** A new table of all timeouts in milliseconds, indexed by TIMEOUT, with OVS's defaults. */
export function defaultTimeoutsMs(): Float64Array {
  return Float64Array.from(TIMEOUTS, ([, defaultMs]) => defaultMs);
}

/**
 * Timeout policies are tables of all timeouts, one behind the other and each with room for TIMEOUT_POLICY_SIZE. Policy
 * 0 is the default; a connection keeps the number of the one that it was created under.
 */
export const MAX_TIMEOUT_POLICIES = 256;
export const TIMEOUT_POLICY_SIZE = 16;

/** Longest timeout that OVS's 32-bit seconds can say. */
const MAX_TIMEOUT_MS = 0xffffffff * SECOND_MS;

/**
 * Sets a policy: what is not named gets its default, as in OVS when a policy is replaced.
 * @param table the policies, milliseconds
 * @param policy 0 to 255
 * @throws RangeError when a number is out of range or a key unknown, TypeError for what holds no timeouts; nothing is
 *   changed then
 */
export function writeTimeoutPolicy(
  table: Float64Array,
  policy: number,
  timeoutsMs: Partial<Record<TimeoutKey, number>>,
): void {
  checkWhole('policy', policy, 0, MAX_TIMEOUT_POLICIES - 1);
  checkObject('timeoutsMs', timeoutsMs);
  const made = defaultTimeoutsMs();
  for (const [key, ms] of Object.entries(timeoutsMs)) {
    if (!isTimeoutKey(key)) throw new RangeError(`no such timeout: ${key}`);
    checkWhole(`${key} in milliseconds`, ms, 0, MAX_TIMEOUT_MS);
    made[TIMEOUT[key]] = ms;
  }
  table.set(made, policy * TIMEOUT_POLICY_SIZE);
}

/** The shortest timeout of all policies in a table, milliseconds. */
export function shortestTimeoutMs(table: Float64Array): number {
  let shortest = Number.POSITIVE_INFINITY;
  for (let policy = 0; policy < MAX_TIMEOUT_POLICIES; policy++) {
    for (let id = 0; id < TIMEOUTS.length; id++)
      shortest = Math.min(shortest, table[policy * TIMEOUT_POLICY_SIZE + id]);
  }
  return shortest;
}

/**
 * Reads a policy in OVS's text form, `udp_first=3,udp_single=5`: seconds.
 * @returns milliseconds
 * @throws RangeError that names the part at fault, TypeError for what is no text
 */
export function parseTimeouts(text: string): Partial<Record<TimeoutKey, number>> {
  checkText('timeouts', text);
  const timeoutsMs: Partial<Record<TimeoutKey, number>> = {};
  for (const part of text.split(',').filter(word => word.trim() !== '')) {
    const [, key, seconds] = /^\s*([a-z_0-9]+)\s*=\s*([0-9]{1,10})\s*$/.exec(part) ?? [];
    if (key === undefined || !isTimeoutKey(key) || Number(seconds) > 0xffffffff) {
      throw new RangeError(`not a timeout: ${part.trim()}`);
    }
    timeoutsMs[key] = Number(seconds) * SECOND_MS;
  }
  return timeoutsMs;
}
