/**
 * The fast path of creation: TCP and UDP packets that were not judged before and that open a connection, under an action
 * that only commits, in a zone whose flood policy does not ask about each, while nothing is expected. It leaves the same
 * words in rows and table as judgePacket(); what is left out are the questions whose answers are known here.
 *
 * One loop for all that come in a row under one action: what depends on the action is asked once, the connections are
 * counted in together (room.ts), and for IPv4 there is no call in the loop that is not inlined. A creation takes
 * half as long as one by one, or less, parsing and hashing included.
 *
 * Whatever is not as simple as that ends the loop, and judgePacket() goes on: a flow that may have a connection already,
 * perhaps from a packet just before; a segment that may open none; no room in the bucket, in the slab, or below a limit.
 *
 * Imports action, classes, connections, counters, membership, memory, overload, packet, policy, room, succession,
 * top, tracker, alg/helpers, track/, wire/, sharedarraybuffer-hashmap, ../reason. Imported by process.ts.
 */
import { NO_HELPER } from '../alg/helpers.js';
import { REASON } from '../reason.js';
import {
  giveRecordLocked,
  insertInSlotLocked,
  joinListLocked,
  NO_SLOT as NO_FREE_SLOT,
  NONE as NO_RECORD,
  newSlotLocked,
  RECORD,
  recordAt,
  takeRecordLocked,
} from '../sharedarraybuffer-hashmap/index.js';
import { CONN, STATUS_POLICY_SHIFT } from '../track/connection.js';
import { CT } from '../track/state.js';
import { openPeers as openTcpPeers, tcpRefusal as refusalOfTcp } from '../track/tcp.js';
import { TIMEOUT, TIMEOUT_POLICY_SIZE } from '../track/timeouts.js';
import { trackerOf } from '../track/trackers.js';
import { FACT, FAMILY_IPV6, IPPROTO, PROTOCOL_MASK as MASK_OF_PROTOCOL } from '../wire/facts.js';
import { ROW_WORDS as WORDS_OF_ROW } from '../wire/rows.js';
import { ACTION, ACTION_COMMIT, ACTION_TRANSLATE } from './action.js';
import { joinClassLocked } from './classes.js';
import { listsOf, succeedLocked, takeAddressesLocked, takeOutLocked, timeoutPolicyOf } from './connections.js';
import { EVENT, REASON_COUNTS_AT as REASONS_AT } from './counters.js';
import { countOpenedLocked, zoneHead } from './membership.js';
import { CONTROL } from './memory.js';
import { noticeFill } from './overload.js';
import { PACKET, PACKET_WORDS as WORDS_OF_PACKET } from './packet.js';
import { flagsOf, floodPolicyOf, NO_POLICY, POLICY_EVICTS, POLICY_HALF_OPEN, POLICY_RATES } from './policy.js';
import { freeInTable, freeInZone, reserveConnections } from './room.js';
import { NO_KEY as NOT_PLAIN_KEY, ROW } from './row.js';
import { beginSuccessionLocked, NO_SUCCESSION } from './succession.js';
import type { TopSketches } from './top.js';
import type { Tracker } from './tracker.js';

// Bound again: what this module defines is folded into the code, what it imports is looked up at each use, and an
// imported function compared with the one that was inlined.
const { TIME, STATE, REASON: P_REASON, ZONE, MARK, LABEL, TUPLE_SRC, TUPLE_DST, CONNECTION } = PACKET;
const { GENERATION: P_GENERATION, TUPLE_PROTOCOL, TUPLE_PORTS } = PACKET;
const { HASH: F_HASH, PORTS, SRC, SRC0, DST, DST0, L4, L4_END } = FACT;
const { KEY, SRC: C_SRC, DST: C_DST, PORTS: C_PORTS, MARK: C_MARK, LABEL: C_LABEL, STATUS, EXPIRES, ZONE_NEXT } = CONN;
const { FLAGS: A_FLAGS, ZONE: A_ZONE, TIMEOUT_POLICY: A_POLICY, HELPER: A_HELPER } = ACTION;
const { CANDIDATE, KEY: ROW_KEY, ACTION: ROW_ACTION, REGION: ROW_REGION, HOME } = ROW;
const PACKET_WORDS = WORDS_OF_PACKET;
const ROW_WORDS = WORDS_OF_ROW;
const REASON_COUNTS_AT = REASONS_AT;
const NEW_AND_TRACKED = CT.NEW | CT.TRK;
const { TCP } = IPPROTO;
const PROTOCOL_MASK = MASK_OF_PROTOCOL;
const FAMILY_AND_PROTOCOL = 0xffff;
const NONE = NO_RECORD;
const NO_REASON = REASON.none;
const NO_SLOT = NO_FREE_SLOT;
const NO_KEY = NOT_PLAIN_KEY;
const IPV6 = FAMILY_IPV6;
const POLICY_SHIFT = STATUS_POLICY_SHIFT;
const POLICY_SIZE = TIMEOUT_POLICY_SIZE;
const SYN_SENT_TIMEOUT = TIMEOUT.tcp_syn_sent;
const FIRST_TIMEOUT = TIMEOUT.udp_first;
const COMMITS_AND_TRANSLATES = ACTION_COMMIT | ACTION_TRANSLATE;
/** Flood policies that decide on each connection. */
const ASKS_EACH = POLICY_RATES | POLICY_HALF_OPEN;
const { GENERATION } = RECORD;
const newSlot = newSlotLocked;
const insertInSlot = insertInSlotLocked;
const takeRecord = takeRecordLocked;
const joinList = joinListLocked;
const openPeers = openTcpPeers;
const tcpRefusal = refusalOfTcp;
/** Changes no word of a packet or of the table, but says that it is not negative. */
const WORD_MASK = 0x3fffffff;

/** Whether connections under the action that begins at word `action` may be opened here, if its zone's policy agrees. */
function isPlainOpening(tracker: Tracker, action: number): boolean {
  const { actions, memory } = tracker;
  if ((actions[action + A_FLAGS] & COMMITS_AND_TRANSLATES) !== ACTION_COMMIT) return false;
  if (actions[action + A_HELPER] !== NO_HELPER) return false;
  const expectations = Atomics.load(memory.control, CONTROL.EXPECTATIONS); // acquires the expectations it counts
  return expectations === 0;
}

/** How many packets in a row, from place `from` in the batch on and before `end`, may open a connection under that action. */
function countOpening(tracker: Tracker, action: number, from: number, end: number): number {
  const { facts, held } = tracker;
  let index = from;
  for (; index < end; index++) {
    const base = index * ROW_WORDS;
    if (facts[base + CANDIDATE] !== NONE || facts[base + ROW_KEY] === NO_KEY) break;
    if (facts[base + ROW_REGION] !== held || facts[base + ROW_ACTION] !== action) break;
  }
  return index - from;
}

/**
 * Opens the connections of packets that come in a row.
 *
 * @param first number of the batch's first packet in `packets`
 * @param from place in the batch of the packet to begin with; its region is held
 * @returns the place of the first packet that is judgePacket()'s, or another region's
 */
export function openPlainRows(
  tracker: Tracker,
  packets: Int32Array,
  times: Float64Array,
  first: number,
  from: number,
  count: number,
): number {
  const { memory, actions, facts } = tracker;
  const action = facts[from * ROW_WORDS + ROW_ACTION];
  if (countOpening(tracker, action, from, from + 1) === 0 || !isPlainOpening(tracker, action)) return from;
  const zone = actions[action + A_ZONE];
  const flood = floodPolicyOf(memory, zone);
  const flags = flagsOf(memory, flood);
  if ((flags & ASKS_EACH) !== 0) return from;
  const evicts = (flags & POLICY_EVICTS) !== 0;
  if (evicts) beginSuccessionLocked(tracker, tracker.held);
  const room = freeInTable(memory);
  // Nobody gives way to one that does not fit even then: see isBeyondLimit().
  const most = Math.min(count - from, freeInZone(memory, zone), evicts && room >= 0 ? count : room);
  if (most <= 0) return from;
  const wanted = countOpening(tracker, action, from, from + most);
  const places = evicts ? room : wanted;
  const evictor = evicts ? flood : NO_POLICY;
  const named = actions[action + A_POLICY];
  const next = openRows(tracker, packets, times, first, from, wanted, zone, named, places, evictor);
  const { inherited, own } = evicts ? tracker.succession : NO_SUCCESSION;
  const opened = next - from;
  // Others may have been faster: judgePacket() takes the packets one by one then.
  if (opened + inherited > 0 && reserveConnections(memory, zone, opened - own, inherited) !== NO_REASON) {
    takeBackLocked(tracker, packets, first, from, next);
    // These were made and have given way, which is counted already.
    tracker.counts[EVENT.created] += own;
    return from;
  }
  if (flood !== NO_POLICY) noticeFill(tracker);
  tracker.counts[EVENT.created] += opened;
  tracker.counts[REASON_COUNTS_AT + NO_REASON] += opened;
  // For what goes by the time of the packet at hand when the batch is over: fragments that wait.
  if (opened > 0) tracker.now[0] = times[((first + next - 1) * PACKET_WORDS + TIME) >>> 1];
  if (tracker.top !== undefined) countOpened(tracker, tracker.top, times, first, from, next, zone);
  return next;
}

/**
 * Takes out the connections that openRows() has opened; nobody has seen them. Where there were few to evict, one of them
 * may have given way to another already.
 */
function takeBackLocked(tracker: Tracker, packets: Int32Array, first: number, from: number, next: number): void {
  const { map, words, held } = tracker;
  for (let index = next - 1; index >= from; index--) {
    const packet = (first + index) * PACKET_WORDS;
    const record = packets[packet + CONNECTION];
    const isThere = words[recordAt(map, record) + GENERATION] === packets[packet + P_GENERATION];
    if (isThere) takeOutLocked(tracker, held, record);
    packets[packet + STATE] = 0;
  }
}

/** Counts connections that were opened for the heavy hitters. */
function countOpened(
  { facts, now }: Tracker,
  top: TopSketches,
  times: Float64Array,
  first: number,
  from: number,
  next: number,
  zone: number,
): void {
  for (let index = from; index < next; index++) {
    now[0] = times[((first + index) * PACKET_WORDS + TIME) >>> 1];
    top.countNew(facts, index * ROW_WORDS, zone, now);
  }
}

/**
 * The loop. What it opens is still to be counted in.
 * @param namedPolicy number of the timeout policy that the action names, or 0
 * @param places how many of them there is room for in the table; the others take the places of connections that are
 *   evicted: see tracker.succession
 * @param evictor first word of the zone's flood policy if that evicts, or NO_POLICY
 * @returns the place of the first packet for which no connection was opened
 */
function openRows(
  tracker: Tracker,
  packets: Int32Array,
  times: Float64Array,
  first: number,
  from: number,
  wanted: number,
  zone: number,
  namedPolicy: number,
  places: number,
  evictor: number,
): number {
  const { words, doubles, map, held, timeoutsMs, frames, memory, facts } = tracker;
  const { recordBits, recordsAt, recordWords } = map;
  const head = zoneHead(map, held, zone);
  const policy = timeoutPolicyOf(memory, (zone << 16) | TCP, namedPolicy);
  const isListed = evictor !== NO_POLICY;
  let left = places;
  let latestMs = tracker.latestMs[0];
  let opened = 0;
  let openedTcp = 0;
  for (; opened < wanted; opened++) {
    const index = from + opened;
    const base = index * ROW_WORDS;
    const packet = ((first + index) * PACKET_WORDS) & WORD_MASK;
    const key = facts[base + ROW_KEY];
    const isTcp = (key & PROTOCOL_MASK) === TCP;
    const l4 = facts[base + L4] & WORD_MASK;
    if (isTcp && tcpRefusal(frames, l4) !== NO_REASON) break;
    const hash = facts[base + F_HASH];
    let slot = newSlot(words, recordBits, facts[base + HOME] & WORD_MASK, hash);
    if (slot === NO_SLOT) break;
    if (left === 0) {
      if (!succeedLocked(tracker, held, evictor, key)) break;
      left++;
      // As judgePacket() does: what has left may have been in a slot that this one prefers.
      slot = newSlot(words, recordBits, facts[base + HOME] & WORD_MASK, hash);
    }
    const record = takeRecord(map, held);
    if (record === NONE) break;
    const at = (recordsAt + record * recordWords) & WORD_MASK;
    const isWide = (key & IPV6) !== 0;
    const src = isWide ? takeAddressesLocked(tracker, held, base) : facts[base + SRC];
    const dst = isWide ? 0 : facts[base + DST];
    if (isWide && src === NONE) {
      giveRecordLocked(map, held, record);
      break;
    }
    const ports = facts[base + PORTS];
    const nowMs = times[(packet + TIME) >>> 1];
    words[at + C_SRC] = src;
    words[at + C_DST] = dst;
    words[at + C_PORTS] = ports;
    words[at + KEY] = key;
    words[at + C_MARK] = 0;
    words[at + STATUS] = policy << POLICY_SHIFT;
    doubles[(at + C_LABEL) >>> 1] = 0;
    doubles[(at + C_LABEL + 2) >>> 1] = 0;
    let timeout = FIRST_TIMEOUT;
    if (isTcp) {
      timeout = SYN_SENT_TIMEOUT;
      openPeers(words, frames, at, l4, facts[base + L4_END]);
      openedTcp++;
    }
    doubles[(at + EXPIRES) >>> 1] = nowMs + timeoutsMs[policy * POLICY_SIZE + timeout];
    if (isListed) words[at + STATUS] |= listsOf(tracker, evictor, trackerOf(key & PROTOCOL_MASK).classOf(words, at));
    // Last: see insertLocked().
    const generation = insertInSlot(words, recordBits, slot & WORD_MASK, hash, record, at);
    left--;
    joinList(map, head, record, ZONE_NEXT);
    if (isListed) joinClassLocked(tracker, held, record);
    if (nowMs > latestMs) latestMs = nowMs;

    packets[packet + STATE] = NEW_AND_TRACKED;
    packets[packet + P_REASON] = NO_REASON;
    packets[packet + ZONE] = zone;
    packets[packet + MARK] = 0;
    // Two words at a time.
    times[(packet + LABEL) >>> 1] = 0;
    times[(packet + LABEL + 2) >>> 1] = 0;
    packets[packet + TUPLE_PROTOCOL] = key & FAMILY_AND_PROTOCOL;
    packets[packet + TUPLE_PORTS] = ports;
    if (isWide) {
      for (let word = 0; word < 4; word++) {
        packets[packet + TUPLE_SRC + word] = facts[base + SRC0 + word];
        packets[packet + TUPLE_DST + word] = facts[base + DST0 + word];
      }
    } else {
      packets[packet + TUPLE_SRC + 3] = src;
      packets[packet + TUPLE_DST + 3] = dst;
    }
    packets[packet + CONNECTION] = record;
    packets[packet + P_GENERATION] = generation;
  }
  tracker.latestMs[0] = latestMs;
  countOpenedLocked(map, held, openedTcp, opened - openedTcp);
  return from + opened;
}
