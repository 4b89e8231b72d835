/**
 * How many connections there are, by protocol, TCP state and zone. The counts are kept as connections come and go:
 * asking costs a lock per region and a look at each zone's count, however full the table is.
 *
 * Ended connections count until they are removed, as in `connectionCount`.
 *
 * Imports hold, region, tracker, sharedarraybuffer-hashmap, track/. Imported by engine.ts, local.ts, control/ and the
 * public API.
 */
import { regionAt } from '../sharedarraybuffer-hashmap/index.js';
import { shownTcpState, TCP_STATES, type TcpState } from '../track/tcp.js';
import { holdRegion, leaveRegion } from './hold.js';
import { PROTOCOL_KINDS, REGION_WORD } from './region.js';
import type { Tracker } from './tracker.js';

export type ProtocolKind = (typeof PROTOCOL_KINDS)[number];

export interface Statistics {
  readonly connections: number;
  /** Connections by the kinds of protocol of `dpctl/ct-stats-show`; all are there. */
  readonly protocols: Readonly<Record<ProtocolKind, number>>;
  /** TCP connections by the state that a dump shows; states of no connection are left out. */
  readonly tcpStates: Readonly<Partial<Record<TcpState, number>>>;
  /** Zones that have connections, in order. */
  readonly zones: readonly { readonly zone: number; readonly connections: number }[];
}

const TCP_AT = PROTOCOL_KINDS.length;
const COUNTS = TCP_AT + TCP_STATES.length;

/**
 * Adds up the counts of all regions, each as it is at one moment; exact while no packets are under way.
 * @param tracker the calling thread's own; no region is held afterwards
 * @throws Error when a region stays locked for two seconds
 */
export function readStatistics(tracker: Tracker): Statistics {
  const { map, memory } = tracker;
  const total = new Array<number>(COUNTS).fill(0);
  for (let region = 0; region < map.regions; region++) {
    if (!holdRegion(tracker, region)) throw new Error(`region ${region} of the table stays locked`);
    const at = regionAt(map, region);
    for (let kind = 0; kind < TCP_AT; kind++) total[kind] += map.words[at + REGION_WORD.PROTOCOLS + kind];
    TCP_STATES.forEach((_, state) => {
      total[TCP_AT + state] += map.words[at + REGION_WORD.TCP_STATES + state];
    });
    leaveRegion(tracker);
  }
  const tcpStates: Partial<Record<TcpState, number>> = {};
  TCP_STATES.forEach((_, state) => {
    const count = total[TCP_AT + state];
    const name = shownTcpState(state);
    if (count > 0) tcpStates[name] = (tcpStates[name] ?? 0) + count;
  });
  const zones: { zone: number; connections: number }[] = [];
  memory.zoneCounts.forEach((_, zone) => {
    const connections = Atomics.load(memory.zoneCounts, zone); // a count
    if (connections > 0) zones.push({ zone, connections });
  });
  const protocols = Object.fromEntries(PROTOCOL_KINDS.map((name, kind) => [name, total[kind]]));
  return {
    connections: total.slice(0, TCP_AT).reduce((sum, count) => sum + count),
    protocols: protocols as Record<ProtocolKind, number>,
    tcpStates,
    zones,
  };
}
