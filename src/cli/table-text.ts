/**
 * The table at the end of a replay: as the lines of `ovs-appctl dpctl/dump-conntrack`, or counted.
 *
 * Imports line-writer, control/, engine/, track/tcp, wire/facts. Imported by replay and replay-summary.
 */
import { countLive } from '../control/count.js';
import { dumpConnections } from '../control/dump.js';
import { type FormatOptions, formatConnection, protocolName } from '../control/format.js';
import type { Tracker } from '../engine/tracker.js';
import { shownTcpState } from '../track/tcp.js';
import { IPPROTO } from '../wire/facts.js';
import type { LineWriter } from './line-writer.js';

/**
 * Prints a line per connection that has not ended by `nowMs`, sorted by the codes of their characters: the same table
 * gives the same text, however many shards filled it. Holds all lines in memory, about 200 bytes each.
 */
export function printTable(writer: LineWriter, tracker: Tracker, nowMs: number, options: FormatOptions): void {
  const lines: string[] = [];
  for (const entry of dumpConnections(tracker, nowMs)) lines.push(formatConnection(entry, options));
  lines.sort();
  for (const line of lines) {
    writer.text(line);
    writer.text('\n');
  }
}

/** Connections of a protocol. */
export interface ProtocolCount {
  readonly protocol: string;
  readonly connections: number;
  /** TCP only: connections by state, in the words of the dump. */
  readonly tcpStates: ReadonlyMap<string, number>;
}

/** Counts the connections that have not ended by `nowMs`, the most frequent protocol first. */
export function countTable(tracker: Tracker, nowMs: number): ProtocolCount[] {
  const live = countLive(tracker, nowMs);
  const tcpStates = new Map<string, number>();
  live.tcpStates.forEach((count, state) => {
    const name = shownTcpState(state);
    if (count > 0) tcpStates.set(name, (tcpStates.get(name) ?? 0) + count);
  });
  const counts: ProtocolCount[] = [];
  live.protocols.forEach((connections, number) => {
    const states = number === IPPROTO.TCP ? tcpStates : new Map<string, number>();
    if (connections > 0) counts.push({ protocol: protocolName(number), connections, tcpStates: states });
  });
  return counts.sort((a, b) => b.connections - a.connections || (a.protocol < b.protocol ? -1 : 1));
}
