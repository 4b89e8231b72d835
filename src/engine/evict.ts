/**
 * Room for a new connection in a full table: the oldest connection of the cheapest class gives way, found in constant
 * time whatever the size of the table.
 *
 * A thread evicts from the region that the new connection goes to, whose lock it holds: what is full may be the region's
 * own part of the memory, or the table as a whole. So a shard that runs ahead of the others makes room in its own part.
 * If that part has nothing to give, the new connection is refused although another part might. Nothing gives way to one that
 * does not fit even then.
 *
 * An eviction is a removal like any other: the entry of a translated connection in another region goes too, and packets
 * that name the connection find it gone by its generation.
 *
 * Imports classes, memory, policy, tracker, track/, sharedarraybuffer-hashmap. Imported by connections.ts.
 */
import { NONE, recordAt } from '../sharedarraybuffer-hashmap/index.js';
import { annexOfConn, CONN, zoneOf } from '../track/connection.js';
import { CLASS_NAMES } from '../track/protocol.js';
import { classCountLocked, nextOfClassLocked, oldestOfClassLocked } from './classes.js';
import { CONTROL } from './memory.js';
import { TABLE_POLICY } from './policy.js';
import type { Tracker } from './tracker.js';

const { KEY } = CONN;

/** Connections of a class that are looked at for one that will do, when not any one will. */
const MOST_LOOKS = 16;
/** Any zone will do. */
const ANY_ZONE = -1;

/** Connections of each class that one region keeps while another class can give way. */
function reserveOf(tracker: Tracker): number {
  const { control, tablePolicy } = tracker.memory;
  const most = Atomics.load(control, CONTROL.MAX_CONNECTIONS); // a setting, orders nothing
  return Math.floor((most * tablePolicy[TABLE_POLICY.RESERVE]) / 100 / tracker.map.regions);
}

/**
 * The connection of a region that is to make room, or NONE when no class that may be evicted has one.
 * @param needsAnnex it must be one that has an annex; then a bounded number is looked at
 * @param keepsReserve each class keeps its reserve while another one can give way
 */
export function victimLocked(tracker: Tracker, region: number, needsAnnex: boolean, keepsReserve: boolean): number {
  const evictable = tracker.memory.tablePolicy[TABLE_POLICY.EVICTABLE];
  const reserve = keepsReserve ? reserveOf(tracker) : 0;
  let spare = NONE;
  for (let ofClass = 1; ofClass <= CLASS_NAMES.length; ofClass++) {
    const count = (evictable & (1 << ofClass)) === 0 ? 0 : classCountLocked(tracker, region, ofClass);
    if (count === 0 || (count <= reserve && spare !== NONE)) continue;
    const victim = needsAnnex
      ? oldestThatFits(tracker, region, ofClass, ANY_ZONE)
      : oldestOfClassLocked(tracker, region, ofClass);
    if (victim !== NONE && count > reserve) return victim;
    if (spare === NONE) spare = victim;
  }
  return spare;
}

/**
 * The same for a zone that is at its limit: one of its own, of the cheapest class that has one among its oldest, of which
 * a bounded number is looked at. While the zone is flooded the oldest are its own.
 */
export function zoneVictimLocked(tracker: Tracker, region: number, zone: number): number {
  const evictable = tracker.memory.tablePolicy[TABLE_POLICY.EVICTABLE];
  for (let ofClass = 1; ofClass <= CLASS_NAMES.length; ofClass++) {
    if ((evictable & (1 << ofClass)) === 0) continue;
    const victim = oldestThatFits(tracker, region, ofClass, zone);
    if (victim !== NONE) return victim;
  }
  return NONE;
}

/** The oldest of a class that is in the zone, or that has an annex where any zone will do. */
function oldestThatFits(tracker: Tracker, region: number, ofClass: number, zone: number): number {
  const { words, map } = tracker;
  let record = oldestOfClassLocked(tracker, region, ofClass);
  for (let looked = 0; record !== NONE && looked < MOST_LOOKS; looked++) {
    const conn = recordAt(map, record);
    if (zone === ANY_ZONE ? annexOfConn(words, conn) !== NONE : zoneOf(words[conn + KEY]) === zone) return record;
    record = nextOfClassLocked(tracker, region, record, ofClass);
  }
  return NONE;
}
