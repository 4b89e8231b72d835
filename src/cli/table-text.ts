/**
 * The table at the end of a replay: as the lines of `ovs-appctl dpctl/dump-conntrack`, or counted.
 *
 * Imports line-writer, control/, engine/. Imported by replay and summary.
 */
import { dumpConnections } from '../control/dump.js';
import { type FormatOptions, formatConnection, protocolName, tcpStateOf } from '../control/format.js';
import type { Tracker } from '../engine/tracker.js';
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
  connections: number;
  /** TCP only: connections by state, in the words of the dump. */
  readonly tcpStates: Map<string, number>;
}

/** Counts the connections that have not ended by `nowMs`, the most frequent protocol first. */
export function countTable(tracker: Tracker, nowMs: number): ProtocolCount[] {
  const counts = new Map<string, ProtocolCount>();
  for (const entry of dumpConnections(tracker, nowMs)) {
    const protocol = protocolName(entry.protocol);
    const count = counts.get(protocol) ?? { protocol, connections: 0, tcpStates: new Map<string, number>() };
    counts.set(protocol, count);
    count.connections++;
    if (entry.tcp === undefined) continue;
    const state = tcpStateOf(entry.tcp);
    count.tcpStates.set(state, (count.tcpStates.get(state) ?? 0) + 1);
  }
  return [...counts.values()].sort((a, b) => b.connections - a.connections || (a.protocol < b.protocol ? -1 : 1));
}
