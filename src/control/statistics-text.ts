/**
 * The text form of the kept counts, as `ovs-appctl dpctl/ct-stats-show` prints them.
 *
 * Imports engine/statistics, track/tcp. Imported by the public API.
 */
import type { ProtocolKind, Statistics } from '../engine/statistics.js';
import { TCP_STATES } from '../track/tcp.js';

/** The lines in OVS's order. It counts ICMPv6 and prints no line for it. */
const LINES: readonly (readonly [kind: ProtocolKind, name: string])[] = [
  ['tcp', 'TCP'],
  ['udp', 'UDP'],
  ['udplite', 'UDPLITE'],
  ['sctp', 'SCTP'],
  ['icmp', 'ICMP'],
  ['dccp', 'DCCP'],
  ['igmp', 'IGMP'],
  ['other', 'Other'],
];

export interface StatisticsFormat {
  /** `-m`: TCP connections by state as well. */
  readonly more?: boolean;
}

/** Several lines; what is 0 is left out. */
export function formatStatistics(statistics: Statistics, { more = false }: StatisticsFormat = {}): string {
  const lines = ['Connections Stats:', `    Total: ${statistics.connections}`];
  for (const [kind, name] of LINES) {
    const count = statistics.protocols[kind];
    if (count === 0) continue;
    lines.push(`  ${name}: ${count}`);
    if (kind !== 'tcp' || !more) continue;
    lines.push('    Conn per TCP states:');
    for (const state of TCP_STATES) {
      const ofState = statistics.tcpStates[state] ?? 0;
      if (ofState > 0) lines.push(`\t  [${state}]=${ofState}`);
    }
  }
  return lines.join('\n');
}
