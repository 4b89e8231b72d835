/**
 * How many connections have not ended, by protocol and TCP state: a walk over the table as a dump is one, that only looks.
 * engine/statistics has counts that are kept, which cost less and count what has ended as well.
 *
 * Imports engine/, track/, sharedarraybuffer-hashmap. Imported by cli/.
 */
import type { Tracker } from '../engine/tracker.js';
import {
  isLive,
  lockRegion,
  NONE,
  nextRecordLocked,
  recordAt,
  unlockRegion,
} from '../sharedarraybuffer-hashmap/index.js';
import { CONN, protocolOf } from '../track/connection.js';
import { isExpired } from '../track/expiry.js';
import { laterTcpState, TCP_STATES } from '../track/tcp.js';
import { IPPROTO, PROTOCOL_MASK } from '../wire/facts.js';

/** Records looked at under one lock. */
const LOOK_RECORDS = 1024;

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
export function countLive({ map, words, doubles, owner }: Tracker, nowMs: number): LiveCounts {
  const protocols = new Float64Array(PROTOCOL_MASK + 1);
  const tcpStates = new Float64Array(TCP_STATES.length);
  for (let region = 0; region < map.regions; region++) {
    let last: number = NONE;
    do {
      if (!lockRegion(map, region, owner)) throw new Error(`region ${region} of the table stays locked`);
      const end = (last === NONE ? region * map.recordsPerRegion : last) + LOOK_RECORDS;
      do {
        last = nextRecordLocked(map, region, last, LOOK_RECORDS);
        if (last === NONE || !isLive(map, last)) continue;
        const at = recordAt(map, last);
        if (isExpired(doubles, at, nowMs)) continue;
        const protocol = protocolOf(words[at + CONN.KEY]);
        protocols[protocol]++;
        if (protocol === IPPROTO.TCP) tcpStates[laterTcpState(words, at)]++;
      } while (last !== NONE && last < end);
      unlockRegion(map, region);
    } while (last !== NONE);
  }
  return { protocols, tcpStates };
}
