/**
 * The second entry in the index that a translated connection has, under its reply direction; and with it the ports that
 * are noted as used (nat/used-ports).
 *
 * Imports hold, tracker, nat/, sharedarraybuffer-hashmap, track/, wire/. Imported by connections.ts and
 * translate.ts.
 */
import { CHOICE, walksSourcePort } from '../nat/choice.js';
import { claimMap, clearUsedLocked, findMap, isUsed, NO_MAP, setUsedLocked } from '../nat/used-ports.js';
import { annexAt, enterLocked, leaveLocked } from '../sharedarraybuffer-hashmap/index.js';
import { ANNEX, CONN, isIpv6, protocolOf, STATUS_REVERSED } from '../track/connection.js';
import { IPPROTO } from '../wire/facts.js';
import { halfSipHash3 } from '../wire/hash.js';
import { EVENT } from './counters.js';
import { noteLeaving } from './hold.js';
import { CONTROL } from './memory.js';
import type { Tracker } from './tracker.js';

const { KEY, STATUS, REPLY_SRC, REPLY_DST, REPLY_PORTS, REPLY_HASH, REPLY_REGION } = CONN;
const { MAP, TAKEN, SPORT } = CHOICE;

/** Taken source ports of one address after which a choice claims a map: fewer cost less than the map's 8 KiB. */
const CLAIM_AFTER = 16;
/** Makes another key of the hash's, for the second half of a name (from the fraction of pi). */
const OTHER_KEY = 0x13198a2e;

/** Words of Tracker.ports: the name of a map, and the port of a tuple in it. */
const NAME0 = 0;
const NAME1 = 1;
const PORT = 2;

function hashAddresses(words: Int32Array, from: number, key0: number, key1: number): number {
  return halfSipHash3(key0, key1, words[from], words[from + 1], words[from + 2], words[from + 3]);
}

function nameHalf(tracker: Tracker, at: number, ports: number, key0: number, key1: number): number {
  const { words, map } = tracker;
  const key = words[at + KEY];
  if (!isIpv6(key)) return halfSipHash3(key0, key1, words[at + REPLY_SRC], words[at + REPLY_DST], ports, key);
  const annex = annexAt(map, words[at + REPLY_SRC]);
  const src = hashAddresses(words, annex + ANNEX.SRC, key0, key1);
  const dst = hashAddresses(words, annex + ANNEX.DST, key0, key1);
  return halfSipHash3(key0, key1, src, dst, ports, key);
}

/** Writes the name of the map that the reply tuple of the connection at word `at` belongs to, and its port there. */
function namePorts(tracker: Tracker, at: number): void {
  const { words, ports } = tracker;
  const { control } = tracker.memory;
  const protocol = protocolOf(words[at + KEY]);
  const both = words[at + REPLY_PORTS];
  // The translated port, or identifier, is where replies go to; of ICMP the upper half, of all others the lower.
  const isIcmp = protocol === IPPROTO.ICMP || protocol === IPPROTO.ICMPV6;
  const rest = isIcmp ? both & 0xffff : both >>> 16;
  ports[PORT] = isIcmp ? both >>> 16 : both & 0xffff;
  ports[NAME0] = nameHalf(tracker, at, rest, control[CONTROL.KEY0], control[CONTROL.KEY1]);
  // Never 0, which means that the map has no name yet.
  ports[NAME1] = nameHalf(tracker, at, rest, control[CONTROL.KEY1], control[CONTROL.KEY0] ^ OTHER_KEY) | 1;
}

/**
 * Enters the reply direction that stands in the record. The region of the tuple, which is in the record, is held.
 * @returns false when the index has no room
 */
export function enterReplyLocked(tracker: Tracker, at: number, record: number): boolean {
  const { words, map, choice, ports } = tracker;
  words[at + STATUS] |= STATUS_REVERSED;
  if (!enterLocked(map, words[at + REPLY_REGION], words[at + REPLY_HASH], record)) {
    words[at + STATUS] &= ~STATUS_REVERSED;
    return false;
  }
  if (choice[MAP] !== NO_MAP) {
    setUsedLocked(tracker.memory.usedPorts, choice[MAP], ports[NAME0], ports[NAME1], choice[SPORT]);
  }
  return true;
}

/**
 * Takes note that the candidate which stands in the record is taken; its region is held.
 * @param isTranslated by the reply direction of a translated connection, which will clear the port's bit when it ends
 */
export function noteTakenLocked(tracker: Tracker, at: number, isTranslated: boolean): void {
  const { choice, ports, owner, counts } = tracker;
  const { usedPorts } = tracker.memory;
  if (!walksSourcePort(choice)) return;
  const taken = ++choice[TAKEN];
  if (choice[MAP] === NO_MAP && (taken === 1 || taken === CLAIM_AFTER)) {
    namePorts(tracker, at);
    choice[MAP] =
      taken === 1
        ? findMap(usedPorts, ports[NAME0], ports[NAME1])
        : claimMap(usedPorts, owner, ports[NAME0], ports[NAME1]);
    if (taken === CLAIM_AFTER && choice[MAP] === NO_MAP) counts[EVENT.portMapsMissing]++;
  }
  if (isTranslated && choice[MAP] !== NO_MAP && !isUsed(usedPorts, choice[MAP], choice[SPORT])) {
    setUsedLocked(usedPorts, choice[MAP], ports[NAME0], ports[NAME1], choice[SPORT]);
  }
}

/** Removes the entry of the reply direction: now if its region is held, otherwise when none is. */
export function leaveReply(tracker: Tracker, at: number, record: number): void {
  const { words, map, ports } = tracker;
  const region = words[at + REPLY_REGION];
  const hash = words[at + REPLY_HASH];
  namePorts(tracker, at);
  if (region === tracker.held) {
    leaveLocked(map, region, hash, record);
    clearUsedLocked(tracker.memory.usedPorts, ports[NAME0], ports[NAME1], ports[PORT]);
  } else noteLeaving(tracker, region, hash, record);
}
