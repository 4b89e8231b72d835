/**
 * The kept counts and the lists of zones against a walk over all connections.
 *
 * Imports src/.
 */
import assert from 'node:assert/strict';
import { dumpConnections } from '../../src/control/dump.js';
import { formatConnection, protocolName, tcpStateOf } from '../../src/control/format.js';
import { PROTOCOL_KINDS } from '../../src/engine/region.js';
import { readStatistics, type Statistics } from '../../src/engine/statistics.js';
import type { Tracker } from '../../src/engine/tracker.js';

const ALWAYS = Number.NEGATIVE_INFINITY;

/** What readStatistics() should say, counted one by one. */
export function recount(tracker: Tracker): Statistics {
  const protocols = Object.fromEntries(PROTOCOL_KINDS.map(kind => [kind, 0]));
  const tcpStates: Record<string, number> = {};
  const zones: number[] = [];
  let connections = 0;
  for (const { protocol, tcp, zone } of dumpConnections(tracker, ALWAYS)) {
    const name = protocolName(protocol);
    protocols[name in protocols ? name : 'other']++;
    if (tcp !== undefined) tcpStates[tcpStateOf(tcp)] = (tcpStates[tcpStateOf(tcp)] ?? 0) + 1;
    zones[zone] = (zones[zone] ?? 0) + 1;
    connections++;
  }
  return {
    connections,
    protocols: protocols as Statistics['protocols'],
    tcpStates,
    zones: Object.entries(zones).map(([zone, count]) => ({ zone: Number(zone), connections: count })),
  };
}

/** Call it while no other thread is at work. */
export function assertCountsAndLists(tracker: Tracker): void {
  const counted = recount(tracker);
  assert.deepEqual(readStatistics(tracker), counted);
  const all = [...dumpConnections(tracker, ALWAYS)];
  for (const { zone } of counted.zones) {
    const listed = [...dumpConnections(tracker, ALWAYS, { zone })].map(entry => formatConnection(entry)).sort();
    const scanned = all.filter(entry => entry.zone === zone).map(entry => formatConnection(entry));
    assert.deepEqual(listed, scanned.sort(), `zone ${zone}`);
  }
}
