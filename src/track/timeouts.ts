/**
 * How long a connection may stay silent: the eleven timeouts of Open vSwitch's userspace tracker, one list for their
 * names, their numbers and their defaults (OVS `conntrack-tp.c`; the keys are those of `CT_Timeout_Policy`).
 *
 * Imports nothing. Imported by track/, engine/ and the public API.
 */
const SECOND_MS = 1000;

const TIMEOUTS = [
  ['tcp_syn_sent', 30 * SECOND_MS, 'a first segment was seen, nothing came back'],
  ['tcp_syn_recv', 30 * SECOND_MS, 'one of the two sides is not established yet'],
  ['tcp_established', 24 * 3600 * SECOND_MS, 'both sides are established'],
  ['tcp_fin_wait', 15 * 60 * SECOND_MS, 'one side has sent its FIN'],
  ['tcp_time_wait', 45 * SECOND_MS, 'both sides have sent their FIN'],
  ['tcp_close', 30 * SECOND_MS, 'both FINs are acknowledged, or a RST was seen'],
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

/** A new table of all timeouts in milliseconds, indexed by TIMEOUT, with OVS's defaults. */
export function defaultTimeoutsMs(): Float64Array {
  return Float64Array.from(TIMEOUTS, ([, defaultMs]) => defaultMs);
}
