/**
 * What a connection belongs to while it lives: the list of its zone, the counts of its protocol and TCP state, and where
 * its STATUS says so the list of its class and the counts of half-open connections.
 *
 * Entered when the connection goes live and left before it is removed, under the lock of its region; between the two
 * its TCP state changes, which the TCP tracker counts itself, and its class, which noticeChangeLocked() sees. So a flush
 * of a zone walks that zone's connections and no others, and nobody ever counts by walking.
 *
 * Imports admission, classes, region, tracker, sharedarraybuffer-hashmap, track/, wire/facts. Imported by connections.ts,
 * judge.ts and open-plain.ts.
 */
import {
  joinListLocked,
  leaveListLocked,
  recordAt,
  regionAt,
  regionOfRecord,
  type SharedMap,
} from '../sharedarraybuffer-hashmap/index.js';
import {
  CONN,
  protocolOf,
  STATUS_CLASS_MASK,
  STATUS_CLASS_SHIFT,
  STATUS_COUNTED,
  zoneOf,
} from '../track/connection.js';
import { CLASS, UPDATE } from '../track/protocol.js';
import { laterTcpState, SYN_SENT } from '../track/tcp.js';
import { trackerOf } from '../track/trackers.js';
import { IPPROTO } from '../wire/facts.js';
import { countHalfOpen, uncountHalfOpen } from './admission.js';
import { joinClassLocked, leaveClassLocked, listedClass, UNLISTED } from './classes.js';
import { PROTOCOL_KINDS, REGION_WORD } from './region.js';
import type { Tracker } from './tracker.js';

const { KEY, STATUS, ZONE_NEXT } = CONN;
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
export function enterListsLocked(tracker: Tracker, region: number, record: number): void {
  const { map } = tracker;
  const key = map.words[recordAt(map, record) + KEY];
  joinListLocked(map, zoneHead(map, region, zoneOf(key)), record, ZONE_NEXT);
  countLocked(map, region, record, key, 1);
  const status = map.words[recordAt(map, record) + STATUS];
  if ((status & STATUS_CLASS_MASK) !== 0) joinClassLocked(tracker, region, record);
  if ((status & STATUS_COUNTED) !== 0) countHalfOpen(tracker, record);
}

/** Takes out a connection that is about to be removed. */
export function leaveListsLocked(tracker: Tracker, region: number, record: number): void {
  const { map } = tracker;
  const key = map.words[recordAt(map, record) + KEY];
  leaveListLocked(map, zoneHead(map, region, zoneOf(key)), record, ZONE_NEXT);
  countLocked(map, region, record, key, -1);
  const status = map.words[recordAt(map, record) + STATUS];
  if ((status & STATUS_CLASS_MASK) !== 0) leaveClassLocked(tracker, region, record);
  if ((status & STATUS_COUNTED) !== 0) uncountHalfOpen(tracker, record);
}

/**
 * Takes note that a packet may have changed what a connection is, and moves it from list to list. The one place where
 * that is noticed; packets that change nothing do not come here.
 * @param result what update() said: with CHANGED, or a refusal
 * @returns the same without CHANGED
 */
export function noticeChangeLocked(tracker: Tracker, record: number, result: number): number {
  const { map, words } = tracker;
  const conn = recordAt(map, record);
  const status = words[conn + STATUS];
  if ((status & (STATUS_CLASS_MASK | STATUS_COUNTED)) !== 0) {
    const before = listedClass(words, conn);
    const now = trackerOf(protocolOf(words[conn + KEY])).classOf(words, conn);
    if ((status & STATUS_COUNTED) !== 0 && now !== CLASS['half-open']) {
      uncountHalfOpen(tracker, record);
      words[conn + STATUS] &= ~STATUS_COUNTED;
    }
    if (before !== UNLISTED && before !== now) {
      const region = regionOfRecord(map, record);
      leaveClassLocked(tracker, region, record);
      words[conn + STATUS] = (words[conn + STATUS] & ~STATUS_CLASS_MASK) | (now << STATUS_CLASS_SHIFT);
      joinClassLocked(tracker, region, record);
    }
  }
  return result < 0 ? result : result & ~UPDATE.CHANGED;
}

/** Counts TCP connections that have just been opened, and UDP ones, whose records are on the list of their zone. */
export function countOpenedLocked(map: SharedMap, region: number, tcp: number, udp: number): void {
  const { words } = map;
  const counts = regionAt(map, region);
  words[counts + PROTOCOLS + KIND_OF[IPPROTO.TCP]] += tcp;
  words[counts + TCP_STATES + SYN_SENT] += tcp;
  words[counts + PROTOCOLS + KIND_OF[IPPROTO.UDP]] += udp;
}

function countLocked(map: SharedMap, region: number, record: number, key: number, by: number): void {
  const { words } = map;
  const counts = regionAt(map, region);
  const protocol = protocolOf(key);
  words[counts + PROTOCOLS + KIND_OF[protocol]] += by;
  if (protocol === IPPROTO.TCP) words[counts + TCP_STATES + laterTcpState(words, recordAt(map, record))] += by;
}
