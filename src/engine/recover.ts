/**
 * Making an engine's memory whole again after a worker has died in the middle of something, while all others stand still.
 *
 * What survives is the connections that say of themselves that they live: see sharedarraybuffer-hashmap/repair. All that
 * is kept about them (entries of reply directions, lists, counts of zones, classes, protocols and half-open connections)
 * is made anew from them; what is a shortcut, or about connections that do not exist yet, is forgotten: maps of used
 * ports, and expectations if the dead worker was just writing there. Afterwards every lock is free.
 *
 * Imports classes, connections, counters, membership, memory, packet, region, ring, tracker, verdict, alg/, nat/, track/,
 * sharedarraybuffer-hashmap, ../reason. Imported by crew.ts.
 */
import { forgetExpectations } from '../alg/expectation.js';
import { forgetUsedPorts } from '../nat/used-ports.js';
import { REASON } from '../reason.js';
import {
  enterLocked,
  isLive,
  lockOwner,
  REGION,
  rebuildLocked,
  recordAt,
  recordsUsedLocked,
  regionAt,
  renewLocks,
} from '../sharedarraybuffer-hashmap/index.js';
import {
  annexOfConn,
  CONN,
  editsAnnexOfConn,
  parentAnnexOfConn,
  replyAnnexOfConn,
  STATUS_REVERSED,
  zoneOf,
} from '../track/connection.js';
import { expiryOf } from '../track/expiry.js';
import { CLASS_NAMES, UPDATE } from '../track/protocol.js';
import { listedClass, nextOfClassLocked, oldestOfClassLocked } from './classes.js';
import { removeConnectionLocked } from './connections.js';
import { EVENT, readCounters } from './counters.js';
import { enterListsLocked, noticeChangeLocked } from './membership.js';
import { CONTROL } from './memory.js';
import { PACKET, PACKET_WORDS } from './packet.js';
import { REGION_USER_WORDS, REGION_WORD } from './region.js';
import { processed, produced, publishProcessed, type Ring } from './ring.js';
import type { Tracker } from './tracker.js';
import { refusePacket } from './verdict.js';

const { STATE, OUTPUTS } = PACKET;
const { KEY, STATUS, REPLY_REGION, REPLY_HASH } = CONN;
const GONE = [
  EVENT.expired,
  EVENT.replaced,
  EVENT.deleted,
  EVENT.evictedHalfOpen,
  EVENT.evictedOneWay,
  EVENT.evictedClosing,
  EVENT.evictedReplied,
  EVENT.evictedEstablished,
  EVENT.lostInRepair,
];

/**
 * Makes the table whole again. Some 1 µs for each connection.
 * @param tracker the calling thread's own
 * @returns connections that found no place any more: 0 but for a bad hash
 */
export function repairTable(tracker: Tracker): number {
  const { memory, map, words, counts } = tracker;
  const order = Array.from({ length: map.regions }, (_, region) => orderOf(tracker, region));
  let lost = 0;
  for (let region = 0; region < map.regions; region++) {
    lost += rebuildLocked(map, region, at => [
      annexOfConn(words, at),
      replyAnnexOfConn(words, at),
      parentAnnexOfConn(words, at),
      editsAnnexOfConn(words, at),
    ]);
    const at = regionAt(map, region);
    // All but the clock, which comes first.
    words.fill(0, at + REGION_WORD.PROTOCOLS, at + REGION.USER + REGION_USER_WORDS);
  }
  forgetUsedPorts(memory.usedPorts);
  memory.zoneCounts.fill(0);
  memory.zoneHalfOpen.fill(0);
  memory.sourceHalfOpen.fill(0);
  Atomics.store(memory.control, CONTROL.CONNECTIONS, 0); // the count of those that follow
  counts[EVENT.lostInRepair] += lost;
  order.forEach((records, region) => {
    for (const record of records) if (isLive(map, record) && !enter(tracker, region, record)) lost++;
  });
  if (lockOwner(memory.expectations, 0) !== 0) {
    forgetExpectations(memory.expectations);
    Atomics.store(memory.control, CONTROL.EXPECTATIONS, 0); // lets new connections know that there are none
  }
  renewLocks(map);
  renewLocks(memory.expectations);
  balanceBooks(tracker);
  return lost;
}

/**
 * The live records of a region in the order in which they came into their class, as far as the lists still tell; the
 * others behind them, those that end first in front.
 */
function orderOf(tracker: Tracker, region: number): Int32Array {
  const { map, doubles } = tracker;
  const first = region * map.recordsPerRegion + 1;
  const fresh = map.words[regionAt(map, region) + REGION.RECORD_FRESH];
  const isListed = new Uint8Array(fresh);
  const order = new Int32Array(fresh);
  let count = 0;
  const take = (record: number) => {
    isListed[record - first] = 1;
    order[count++] = record;
  };
  const isOpen = (record: number) =>
    record >= first && record < first + fresh && isLive(map, record) && isListed[record - first] === 0;
  for (let ofClass = 1; ofClass <= CLASS_NAMES.length; ofClass++) {
    let record = oldestOfClassLocked(tracker, region, ofClass);
    while (isOpen(record) && listedClass(map.words, recordAt(map, record)) === ofClass) {
      take(record);
      record = nextOfClassLocked(tracker, region, record, ofClass);
    }
  }
  const listed = count;
  for (let record = first; record < first + fresh; record++) if (isOpen(record)) take(record);
  const ends = (record: number) => expiryOf(doubles, recordAt(map, record));
  const rest = order.subarray(listed, count);
  if (rest.some(record => listedClass(map.words, recordAt(map, record)) !== 0)) rest.sort((a, b) => ends(a) - ends(b));
  return order.subarray(0, count);
}

/** Enters a connection everywhere but under its key, where it is. @returns false when it had to go */
function enter(tracker: Tracker, region: number, record: number): boolean {
  const { memory, map, words } = tracker;
  const at = recordAt(map, record);
  enterListsLocked(tracker, region, record);
  // A packet may have changed its state without anybody having noticed since.
  noticeChangeLocked(tracker, record, UPDATE.CHANGED);
  Atomics.add(memory.zoneCounts, zoneOf(words[at + KEY]), 1); // counts the connection
  Atomics.add(memory.control, CONTROL.CONNECTIONS, 1); // counts the connection
  if ((words[at + STATUS] & STATUS_REVERSED) === 0) return true;
  if (enterLocked(map, words[at + REPLY_REGION], words[at + REPLY_HASH], record)) return true;
  words[at + STATUS] &= ~STATUS_REVERSED;
  removeConnectionLocked(tracker, record, EVENT.lostInRepair);
  return false;
}

/** A worker that dies between doing and counting leaves a difference: what was created is what is there and what is gone. */
function balanceBooks({ memory, map, counts }: Tracker): void {
  const { events } = readCounters(memory.counters);
  let there = 0;
  for (let region = 0; region < map.regions; region++) there += recordsUsedLocked(map, region);
  const row = Object.values(events);
  const gone = GONE.reduce((sum, event) => sum + row[event], 0);
  counts[EVENT.created] += there + gone - events.created;
}

/**
 * Gives the packet at which a shard died a verdict, and counts that, so that its successor does not die of it as well, and hands back those
 * that were judged before it. Rules may have been running for the last of those, so with rules that one is given up.
 * @returns how many packets were given up: 0 when there was none left to judge
 */
export function refusePacketOfDeath(tracker: Tracker, ring: Ring, hasRules: boolean): number {
  const { packets, capacity } = ring;
  const from = processed(ring);
  const end = produced(ring);
  let next = from;
  while (next !== end && packets[(next & (capacity - 1)) * PACKET_WORDS + STATE] !== 0) next = (next + 1) | 0;
  if (hasRules && next !== from) next = (next - 1) | 0;
  if (next === end) {
    publishProcessed(ring, end);
    return 0;
  }
  const at = (next & (capacity - 1)) * PACKET_WORDS;
  refusePacket(tracker, packets, at, REASON['shard-died'], 0);
  packets[at + OUTPUTS] = 0;
  publishProcessed(ring, (next + 1) | 0);
  return 1;
}
