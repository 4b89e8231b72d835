/**
 * Expectations in the engine: what a control connection announces, and the data connection that comes of it.
 *
 * An announcement is drafted while the region of the control connection is held, and written into the table of
 * expectations once that is left, since a thread holds one lock at a time. The first packet of the data connection, in
 * whichever region, finds it without a lock: with no expectations at all a new connection pays for one word. The
 * connection takes mark, label and its parent's tuple from the expectation, and is translated as its parent is.
 *
 * Behaviour: OVS `expectation_create()`, `expectation_lookup()`, `conn_not_found()`, `write_ct_md()`.
 *
 * Imports alg/, clock, counters, hold, memory, packet, tracker, verdict, sharedarraybuffer-hashmap, track/, wire/.
 * Imported by judge.ts, translate.ts, payload.ts.
 */
import {
  ADDED,
  addExpectationLocked,
  EXPECTATION,
  EXPECTATION_TIMEOUT_MS,
  findExpectation,
  reapExpectationsLocked,
  TRANSLATES_DST,
  TRANSLATES_SRC,
} from '../alg/expectation.js';
import { CLIENT_PORT } from '../alg/helper.js';
import {
  annexAt,
  lockRegion,
  NONE,
  RECORD,
  recordAt,
  recordsUsedLocked,
  regionOfRecord,
  takeAnnexLocked,
  unlockRegion,
} from '../sharedarraybuffer-hashmap/index.js';
import {
  ANNEX,
  CONN,
  parentAnnexOfConn,
  STATUS_DNAT,
  STATUS_LABEL,
  STATUS_NAT,
  STATUS_RELATED,
  STATUS_SNAT,
} from '../track/connection.js';
import { FACT, FAMILY_IPV6, IPPROTO, PROTOCOL_MASK } from '../wire/facts.js';
import { hashKey, zoneHash } from '../wire/hash.js';
import { sweepTimeMs } from './clock.js';
import { EVENT } from './counters.js';
import { leaveRegion } from './hold.js';
import { CONTROL } from './memory.js';
import { PACKET } from './packet.js';
import type { Tracker } from './tracker.js';
import { writeTuple } from './verdict.js';

const { SRC0, DST0, PORTS, PORTS_REVERSED, PROTOCOL, HASH } = FACT;
const { TUPLE_SRC, TUPLE_DST, MARK: P_MARK, LABEL: P_LABEL } = PACKET;
const E = EXPECTATION;
const ADDRESS_WORDS = 4;
/** The table of expectations has one region. */
const EXPECTATIONS_REGION = 0;

/** Which tuple of a connection, and which end of it. */
export const TUPLE_END = { ORIGINAL_SRC: 0, ORIGINAL_DST: 1, REPLY_SRC: 2, REPLY_DST: 3 } as const;

/** Copies an address of the connection at word `at` to four words at word `to`. */
export function copyAddress(tracker: Tracker, at: number, end: number, into: Int32Array, to: number): void {
  const { words, map } = tracker;
  const isTranslated = (words[at + CONN.STATUS] & STATUS_NAT) !== 0;
  const isReply = (end & 2) !== 0;
  // Without NAT the reply direction is the original one turned round.
  const isDst = ((end & 1) !== 0) !== (isReply && !isTranslated);
  const src = isReply && isTranslated ? CONN.REPLY_SRC : CONN.SRC;
  if ((words[at + CONN.KEY] & FAMILY_IPV6) !== 0) {
    const from = annexAt(map, words[at + src]) + (isDst ? ANNEX.DST : ANNEX.SRC);
    for (let word = 0; word < ADDRESS_WORDS; word++) into[to + word] = words[from + word];
    return;
  }
  into.fill(0, to, to + 3);
  into[to + 3] = words[at + src + (isDst ? 1 : 0)];
}

/** Fills the spare row of facts with the key of an expectation and hashes it. @returns the hash in its zone */
function hashRow(tracker: Tracker, port: number, key: number): number {
  const { facts, replyRow: row } = tracker;
  const { control } = tracker.memory;
  facts[row + PORTS] = port;
  facts[row + PORTS_REVERSED] = port << 16;
  facts[row + PROTOCOL] = key & (FAMILY_IPV6 | PROTOCOL_MASK);
  hashKey(facts, row, control[CONTROL.KEY0], control[CONTROL.KEY1]);
  return zoneHash(facts[row + HASH], key >>> 16);
}

/** Whether the packet at `base`, which no connection was found for, was announced: the answer is in `expected`. */
export function isExpected(tracker: Tracker, base: number, key: number): boolean {
  const { facts, replyRow: row, memory, map, expected, now } = tracker;
  const count = Atomics.load(memory.control, CONTROL.EXPECTATIONS); // acquires the expectations it counts
  if (count === 0) return false;
  const protocol = key & PROTOCOL_MASK;
  if (protocol !== IPPROTO.TCP && protocol !== IPPROTO.UDP) return false;
  const isIpv6 = (key & FAMILY_IPV6) !== 0;
  for (let word = 0; word < ADDRESS_WORDS; word++) {
    const isUsed = isIpv6 || word === 3;
    facts[row + SRC0 + word] = isUsed ? facts[base + SRC0 + word] : 0;
    facts[row + DST0 + word] = isUsed ? facts[base + DST0 + word] : 0;
  }
  const hash = hashRow(tracker, facts[base + PORTS] & 0xffff, key);
  const { words, doubles } = expected;
  return findExpectation(memory.expectations, map, facts, row, key, hash, now[0], words, doubles);
}

/**
 * Gives a new connection what its parent has left it. Needs the lock of its region. Without a free annex the parent's
 * tuple is not kept, and the connection counts as its own parent.
 */
export function adoptExpected(tracker: Tracker, record: number): void {
  const { words, map, counts } = tracker;
  const { words: from } = tracker.expected;
  const at = recordAt(map, record);
  words[at + CONN.MARK] = from[E.MARK];
  let label = 0;
  for (let word = 0; word < ADDRESS_WORDS; word++) {
    words[at + CONN.LABEL + word] = from[E.LABEL + word];
    label |= from[E.LABEL + word];
  }
  const annex = takeAnnexLocked(map, regionOfRecord(map, record));
  words[at + CONN.PARENT] = annex;
  words[at + CONN.PARENT_PORTS] = from[E.PARENT_PORTS];
  words[at + CONN.STATUS] |= STATUS_RELATED | (label === 0 ? 0 : STATUS_LABEL);
  counts[EVENT.related]++;
  if (annex === NONE) return;
  const to = annexAt(map, annex);
  for (let word = 0; word < ADDRESS_WORDS; word++) {
    words[to + ANNEX.SRC + word] = from[E.PARENT_SRC0 + word];
    words[to + ANNEX.DST + word] = from[E.PARENT_DST0 + word];
  }
}

/** How the connection that was expected is translated, as a bit of STATUS. */
export function expectedTranslation(tracker: Tracker): number {
  return tracker.expected.words[E.TRANSLATION] === TRANSLATES_SRC ? STATUS_SNAT : STATUS_DNAT;
}

/** Writes the reply direction of the connection that was expected to the spare row of facts: ports stay as they are. */
export function writeExpectedReply(tracker: Tracker, base: number): void {
  const { facts, replyRow: row } = tracker;
  const { words } = tracker.expected;
  const isSource = words[E.TRANSLATION] === TRANSLATES_SRC;
  const isIpv6 = (facts[base + PROTOCOL] & FAMILY_IPV6) !== 0;
  for (let word = 0; word < ADDRESS_WORDS; word++) {
    const isUsed = isIpv6 || word === 3;
    facts[row + SRC0 + word] = isSource && isUsed ? facts[base + DST0 + word] : 0;
    facts[row + DST0 + word] = !isSource && isUsed ? facts[base + SRC0 + word] : 0;
    facts[row + (isSource ? DST0 : SRC0) + word] = words[E.ADDRESS0 + word];
  }
  facts[row + PORTS] = facts[base + PORTS_REVERSED];
  facts[row + PORTS_REVERSED] = facts[base + PORTS];
}

/** The original tuple of a packet of a data connection is that of its parent. */
export function describeRelated(tracker: Tracker, packets: Int32Array, packet: number, record: number): void {
  const { words, map } = tracker;
  const at = recordAt(map, record);
  const annex = parentAnnexOfConn(words, at);
  if (annex === NONE) return;
  const from = annexAt(map, annex);
  writeTuple(packets, packet, words[at + CONN.KEY] & 0xffff, words[at + CONN.PARENT_PORTS]);
  for (let word = 0; word < ADDRESS_WORDS; word++) {
    packets[packet + TUPLE_SRC + word] = words[from + ANNEX.SRC + word];
    packets[packet + TUPLE_DST + word] = words[from + ANNEX.DST + word];
  }
}

/** Mark, label and tuple of a packet that was expected and whose connection is not committed. */
export function describeExpected(tracker: Tracker, packets: Int32Array, packet: number): void {
  const { words } = tracker.expected;
  packets[packet + P_MARK] = words[E.MARK];
  writeTuple(packets, packet, words[E.KEY] & 0xffff, words[E.PARENT_PORTS]);
  for (let word = 0; word < ADDRESS_WORDS; word++) {
    packets[packet + P_LABEL + word] = words[E.LABEL + word];
    packets[packet + TUPLE_SRC + word] = words[E.PARENT_SRC0 + word];
    packets[packet + TUPLE_DST + word] = words[E.PARENT_DST0 + word];
  }
}

/**
 * Drafts the expectation that a packet of a control connection announces: a connection in the direction against the
 * packet, to the end that the packet came from. Needs the lock of the connection's region.
 * @param port as in MESSAGE.PORT
 */
export function draftExpectation(tracker: Tracker, record: number, isReply: boolean, port: number): void {
  const { words, map, now } = tracker;
  const { words: draft, doubles } = tracker.announced;
  const at = recordAt(map, record);
  const isDnat = (words[at + CONN.STATUS] & STATUS_DNAT) !== 0;
  const hasLabel = (words[at + CONN.STATUS] & STATUS_LABEL) !== 0;
  draft[E.KEY] = words[at + CONN.KEY];
  draft[E.PORT] = port === CLIENT_PORT ? words[at + CONN.PORTS] >>> 16 : port;
  copyAddress(tracker, at, isReply ? TUPLE_END.ORIGINAL_SRC : TUPLE_END.REPLY_SRC, draft, E.SRC0);
  copyAddress(tracker, at, isReply ? TUPLE_END.ORIGINAL_DST : TUPLE_END.REPLY_DST, draft, E.DST0);
  // The one address that NAT changes for the parent it changes for the data connection, seen from where that begins.
  draft[E.TRANSLATION] = isReply === isDnat ? TRANSLATES_DST : TRANSLATES_SRC;
  const outside = isDnat ? TUPLE_END.REPLY_SRC : TUPLE_END.REPLY_DST;
  const inside = isDnat ? TUPLE_END.ORIGINAL_DST : TUPLE_END.ORIGINAL_SRC;
  copyAddress(tracker, at, isReply ? outside : inside, draft, E.ADDRESS0);
  draft[E.MARK] = words[at + CONN.MARK];
  for (let word = 0; word < ADDRESS_WORDS; word++) {
    draft[E.LABEL + word] = hasLabel ? words[at + CONN.LABEL + word] : 0;
  }
  draft[E.PARENT] = record;
  draft[E.PARENT_GENERATION] = words[at + RECORD.GENERATION];
  draft[E.PARENT_PORTS] = words[at + CONN.PORTS];
  copyAddress(tracker, at, TUPLE_END.ORIGINAL_SRC, draft, E.PARENT_SRC0);
  copyAddress(tracker, at, TUPLE_END.ORIGINAL_DST, draft, E.PARENT_DST0);
  doubles[E.EXPIRES >>> 1] = now[0] + EXPECTATION_TIMEOUT_MS;
  tracker.isAnnounced = true;
}

/** Writes the drafted expectation into their table. Leaves the region that is held. */
export function publishExpectation(tracker: Tracker): void {
  const { facts, replyRow: row, memory, map, now, counts, owner } = tracker;
  const { words: draft } = tracker.announced;
  const { expectations, control } = memory;
  tracker.isAnnounced = false;
  leaveRegion(tracker);
  for (let word = 0; word < ADDRESS_WORDS; word++) {
    facts[row + SRC0 + word] = draft[E.SRC0 + word];
    facts[row + DST0 + word] = draft[E.DST0 + word];
  }
  const hash = hashRow(tracker, draft[E.PORT], draft[E.KEY]);
  if (!lockRegion(expectations, EXPECTATIONS_REGION, owner)) {
    counts[EVENT.expectationsRefused]++;
    return;
  }
  const added = addExpectationLocked(expectations, map, draft, hash, now[0]);
  const count = recordsUsedLocked(expectations, EXPECTATIONS_REGION);
  Atomics.store(control, CONTROL.EXPECTATIONS, count); // publishes the expectation to whoever looks at the count
  unlockRegion(expectations, EXPECTATIONS_REGION);
  if (added === ADDED.CREATED || added === ADDED.REPLACED) counts[EVENT.expectations]++;
  if (added === ADDED.REPLACED) counts[EVENT.expectationsReplaced]++;
  if (added === ADDED.FULL) counts[EVENT.expectationsRefused]++;
}

/** Removes the expectations that have ended or lost their parent. For the sweeper; no region is held. @param wallMs as there */
export function sweepExpectations(tracker: Tracker, wallMs: number): void {
  const { memory, map, owner } = tracker;
  const { expectations, control } = memory;
  const before = Atomics.load(control, CONTROL.EXPECTATIONS); // a count, orders nothing
  if (before === 0 || !lockRegion(expectations, EXPECTATIONS_REGION, owner)) return;
  reapExpectationsLocked(expectations, map, parent => sweepTimeMs(map, regionOfRecord(map, parent), wallMs));
  const count = recordsUsedLocked(expectations, EXPECTATIONS_REGION);
  Atomics.store(control, CONTROL.EXPECTATIONS, count); // lets new connections know when there are none
  unlockRegion(expectations, EXPECTATIONS_REGION);
}
