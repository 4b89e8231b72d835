/**
 * What a connection belongs to while it lives: the list of its zone, and the counts of its protocol and TCP state.
 *
 * Entered when the connection goes live and left before it is removed, under the lock of its region; between the two
 * only its TCP state changes, which the TCP tracker counts itself. So a flush of a zone walks that zone's connections
 * and no others, and nobody ever counts by walking.
 *
 * Imports region, sharedarraybuffer-hashmap, track/, wire/facts. Imported by connections.ts.
 */
import {
  joinListLocked,
  leaveListLocked,
  recordAt,
  regionAt,
  type SharedMap,
} from '../sharedarraybuffer-hashmap/index.js';
import { CONN, protocolOf, zoneOf } from '../track/connection.js';
import { laterTcpState } from '../track/tcp.js';
import { IPPROTO } from '../wire/facts.js';
import { PROTOCOL_KINDS, REGION_WORD } from './region.js';

const { KEY, ZONE_NEXT } = CONN;
const { PROTOCOLS, TCP_STATES, ZONES } = REGION_WORD;

const NUMBERS: Readonly<Record<number, (typeof PROTOCOL_KINDS)[number]>> = {
  [IPPROTO.ICMP]: 'icmp',
  2: 'igmp',
  [IPPROTO.TCP]: 'tcp',
  [IPPROTO.UDP]: 'udp',
  33: 'dccp',
  [IPPROTO.ICMPV6]: 'icmpv6',
  [IPPROTO.SCTP]: 'sctp',
  136: 'udplite',
};
/** Place in PROTOCOL_KINDS by IP protocol number. */
const KIND_OF = Uint8Array.from({ length: 256 }, (_, number) => PROTOCOL_KINDS.indexOf(NUMBERS[number] ?? 'other'));

/** Word of the head of a zone's list in a region. */
export function zoneHead(map: SharedMap, region: number, zone: number): number {
  return regionAt(map, region) + ZONES + zone;
}

/** Enters a connection that has just gone live. */
export function enterListsLocked(map: SharedMap, region: number, record: number): void {
  const key = map.words[recordAt(map, record) + KEY];
  joinListLocked(map, zoneHead(map, region, zoneOf(key)), record, ZONE_NEXT);
  countLocked(map, region, record, key, 1);
}

/** Takes out a connection that is about to be removed. */
export function leaveListsLocked(map: SharedMap, region: number, record: number): void {
  const key = map.words[recordAt(map, record) + KEY];
  leaveListLocked(map, zoneHead(map, region, zoneOf(key)), record, ZONE_NEXT);
  countLocked(map, region, record, key, -1);
}

function countLocked(map: SharedMap, region: number, record: number, key: number, by: number): void {
  const { words } = map;
  const counts = regionAt(map, region);
  const protocol = protocolOf(key);
  words[counts + PROTOCOLS + KIND_OF[protocol]] += by;
  if (protocol === IPPROTO.TCP) words[counts + TCP_STATES + laterTcpState(words, recordAt(map, record))] += by;
}
