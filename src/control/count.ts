/**
 * How many connections have not ended, by protocol and TCP state: a walk over the table as a dump is one, that only looks.
 * engine/statistics has counts that are kept, which cost less and count what has ended as well.
 *
 * Imports dump, engine/, track/, wire/facts, sharedarraybuffer-hashmap. Imported by cli/.
 */
import type { Tracker } from '../engine/tracker.js';
import { NONE, recordAt } from '../sharedarraybuffer-hashmap/index.js';
import { CONN, protocolOf } from '../track/connection.js';
import { isExpired } from '../track/expiry.js';
import { laterTcpState, TCP_STATES } from '../track/tcp.js';
import { IPPROTO, PROTOCOL_MASK } from '../wire/facts.js';
import { lookAtSome } from './dump.js';

export interface LiveCounts {
  /** Connections by the number of their IP protocol. */
  readonly protocols: Float64Array;
  /** TCP connections by the number of the later state of their two sides: see shownTcpState(). */
  readonly tcpStates: Float64Array;
}

/**
 * Counts the connections that have not ended by `nowMs`.
 * @param tracker the calling thread's own
 * @throws Error when a region stays locked for two seconds
 */
export function countLive(tracker: Tracker, nowMs: number): LiveCounts {
  const { map, words, doubles } = tracker;
  const protocols = new Float64Array(PROTOCOL_MASK + 1);
  const tcpStates = new Float64Array(TCP_STATES.length);
  const count = (record: number): boolean => {
    const at = recordAt(map, record);
    if (isExpired(doubles, at, nowMs)) return true;
    const protocol = protocolOf(words[at + CONN.KEY]);
    protocols[protocol]++;
    if (protocol === IPPROTO.TCP) tcpStates[laterTcpState(words, at)]++;
    return true;
  };
  for (let region = 0; region < map.regions; region++) {
    let last: number = NONE;
    do {
      last = lookAtSome(tracker, region, last, count);
    } while (last !== NONE);
  }
  return { protocols, tcpStates };
}
