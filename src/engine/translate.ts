/**
 * NAT in the engine: connections that are translated, and packets that are rewritten for them.
 *
 * A translated connection has a reply direction of its own, with an entry of its own in the index, as a rule in another
 * region than its record. Creating it is a sequence of steps that each hold one lock:
 *
 * 1. in the region of the packet: count the connection in and fill a record that nobody can find yet;
 * 2. in the region of each tuple that NAT may choose, until one is free: enter the record there. The entry reserves the
 *    tuple; a reply that comes before step 3 finds a record that does not live, and is as good as a stranger;
 * 3. in the region of the packet again: enter the record under the original direction and make it live.
 *
 * Two shards that choose the same tuple at the same moment meet in its region, and the second one sees the first one's
 * entry. Behaviour: OVS `nat_get_unique_tuple()`, `nat_packet()`; what is better here is listed in the README.
 *
 * Imports connections, expected, reply, hold, memory, action, row, tracker, nat/, track/, wire/. Imported by
 * judge.ts.
 */
import { nextCandidate, startChoice } from '../nat/choice.js';
import { REWRITE_DST, REWRITE_SRC, rewritePacket } from '../nat/rewrite.js';
import { isNatFamily, NAT, NAT_SRC } from '../nat/spec.js';
import { REASON } from '../reason.js';
import { annexAt, NONE, recordAt, takeAnnexLocked } from '../sharedarraybuffer-hashmap/index.js';
import { ANNEX, CONN, protocolOf, STATUS_DNAT, STATUS_NAT, STATUS_SNAT } from '../track/connection.js';
import type { L4Protocol } from '../track/protocol.js';
import { CT } from '../track/state.js';
import { FACT, FAMILY_IPV6, mirrorPorts } from '../wire/facts.js';
import { hashKey, partOf, zoneHash } from '../wire/hash.js';
import { ACTION } from './action.js';
import {
  abandonConnectionLocked,
  findConnectionLocked,
  goLiveLocked,
  NOT_FOUND,
  prepareConnectionLocked,
  TUPLE,
  tupleUseLocked,
} from './connections.js';
import { expectedTranslation, writeExpectedReply } from './expected.js';
import { holdRegion } from './hold.js';
import { CONTROL } from './memory.js';
import { enterReplyLocked, noteTakenLocked } from './reply.js';
import { NO_REGION } from './row.js';
import type { Tracker } from './tracker.js';

const { SRC0, SRC, DST0, DST, PORTS, PORTS_REVERSED, PROTOCOL, HASH } = FACT;
const { KEY, SRC: C_SRC, DST: C_DST, PORTS: C_PORTS, STATUS } = CONN;
const { REPLY_SRC, REPLY_DST, REPLY_PORTS, REPLY_HASH, REPLY_REGION } = CONN;
const IPV6 = FAMILY_IPV6;

/**
 * Creates the translated connection that the facts at `base` open. Holds the region of its key afterwards, unless a
 * lock was not to be had.
 * @param isExpected it was announced: it is translated as its parent is, whatever the action says
 * @returns its record, or minus the reason why there is none
 */
export function createTranslated(
  tracker: Tracker,
  region: number,
  base: number,
  key: number,
  hash: number,
  action: number,
  protocol: L4Protocol,
  isExpected: boolean,
): number {
  if (!isExpected && !isNatFamily(tracker.actions, action + ACTION.NAT, key)) return -REASON['nat-family'];
  const policy = tracker.actions[action + ACTION.TIMEOUT_POLICY];
  const record = prepareConnectionLocked(tracker, region, base, key, protocol, policy);
  if (record < 0) return record;
  const at = recordAt(tracker.map, record);
  const translation = isExpected ? expectedTranslation(tracker) : translationOf(tracker, action);
  let reason: number = prepareReply(tracker, region, at, translation) ? REASON.none : REASON['table-memory'];
  const hasReply =
    reason === REASON.none &&
    (isExpected ? reserveExpected(tracker, base, at, record) : reserveReply(tracker, base, at, record, action));
  if (reason === REASON.none && !hasReply) {
    reason = tracker.held === NO_REGION ? REASON['table-locked'] : REASON['nat-exhausted'];
  }
  // Without the lock the record cannot even be given back: it stays taken, which the repair after its holder's death mends.
  if (!holdRegion(tracker, region)) return -REASON['table-locked'];
  // Meanwhile another thread may have created the connection from a packet that did not come to its own shard.
  if (reason === REASON.none && findConnectionLocked(tracker, region, base, key, hash) > NOT_FOUND) {
    reason = REASON['table-locked'];
  }
  if (!holdRegion(tracker, region)) return -REASON['table-locked'];
  if (reason === REASON.none && goLiveLocked(tracker, region, hash, record)) return record;
  abandonConnectionLocked(tracker, region, record);
  return reason === REASON.none ? -REASON['table-memory'] : -reason;
}

/** How an action translates a new connection, as a bit of STATUS. */
function translationOf(tracker: Tracker, action: number): number {
  return (tracker.actions[action + ACTION.NAT + NAT.FLAGS] & NAT_SRC) !== 0 ? STATUS_SNAT : STATUS_DNAT;
}

/** Notes the kind of translation, and takes the annex for the addresses of the reply direction. */
function prepareReply(tracker: Tracker, region: number, at: number, translation: number): boolean {
  const { words, map } = tracker;
  let annex: number = NONE;
  if ((words[at + KEY] & IPV6) !== 0) {
    annex = takeAnnexLocked(map, region);
    if (annex === NONE) return false;
  }
  words[at + REPLY_SRC] = annex;
  words[at + REPLY_DST] = 0;
  words[at + STATUS] |= translation;
  return true;
}

/** Chooses a reply direction that no other connection has and reserves it. Holds another region afterwards. */
function reserveReply(tracker: Tracker, base: number, at: number, record: number, action: number): boolean {
  const { facts, actions, choice, replyRow } = tracker;
  const { control, usedPorts } = tracker.memory;
  const key0 = control[CONTROL.KEY0];
  const key1 = control[CONTROL.KEY1];
  startChoice(choice, facts, base, actions, key0, key1, randomWord(tracker), action + ACTION.NAT);
  while (nextCandidate(choice, facts, base, actions, facts, replyRow, usedPorts)) {
    if (reserveCandidate(tracker, base, at, record)) return true;
  }
  return false;
}

/** Reserves the one reply direction that a connection which was expected can have. */
function reserveExpected(tracker: Tracker, base: number, at: number, record: number): boolean {
  writeExpectedReply(tracker, base);
  return reserveCandidate(tracker, base, at, record);
}

/** Reserves the reply direction in the reply row, if no other connection has it. */
function reserveCandidate(tracker: Tracker, base: number, at: number, record: number): boolean {
  const { facts, replyRow, words, map } = tracker;
  const { control } = tracker.memory;
  const key = words[at + KEY];
  facts[replyRow + PROTOCOL] = facts[base + PROTOCOL];
  hashKey(facts, replyRow, control[CONTROL.KEY0], control[CONTROL.KEY1]);
  const region = partOf(facts[replyRow + HASH], map.regions);
  const hash = zoneHash(facts[replyRow + HASH], key >>> 16);
  if (!holdRegion(tracker, region)) return false;
  const use = tupleUseLocked(tracker, region, replyRow, key, hash);
  writeReply(tracker, at, region, hash);
  if (use === TUPLE.FREE) return isMirror(tracker, base) || enterReplyLocked(tracker, at, record);
  noteTakenLocked(tracker, at, use === TUPLE.TRANSLATED);
  return false;
}

/** The reply direction is the original one turned round: nothing was translated, and no entry is needed. */
function isMirror(tracker: Tracker, base: number): boolean {
  const { facts, replyRow } = tracker;
  let isSame = facts[replyRow + PORTS] === facts[base + PORTS_REVERSED];
  for (let word = (facts[base + PROTOCOL] & IPV6) !== 0 ? 0 : 3; word < 4; word++) {
    isSame &&= facts[replyRow + SRC0 + word] === facts[base + DST0 + word];
    isSame &&= facts[replyRow + DST0 + word] === facts[base + SRC0 + word];
  }
  return isSame;
}

/** Copies the tuple in the reply row into the record. */
function writeReply(tracker: Tracker, at: number, region: number, hash: number): void {
  const { facts, replyRow, words, map } = tracker;
  if ((words[at + KEY] & IPV6) !== 0) {
    const annex = annexAt(map, words[at + REPLY_SRC]);
    for (let word = 0; word < 4; word++) {
      words[annex + ANNEX.SRC + word] = facts[replyRow + SRC0 + word];
      words[annex + ANNEX.DST + word] = facts[replyRow + DST0 + word];
    }
  } else {
    words[at + REPLY_SRC] = facts[replyRow + SRC];
    words[at + REPLY_DST] = facts[replyRow + DST];
  }
  words[at + REPLY_PORTS] = facts[replyRow + PORTS];
  words[at + REPLY_HASH] = hash;
  words[at + REPLY_REGION] = region;
}

/** A word from the thread's own generator (xorshift), which a seed makes repeatable. */
function randomWord(tracker: Tracker): number {
  let word = tracker.random;
  word ^= word << 13;
  word ^= word >>> 17;
  word ^= word << 5;
  tracker.random = word;
  return word;
}

/**
 * Rewrites a packet of a translated connection: its addresses and ports become those that the other direction is
 * addressed to. Needs the lock of the connection's region.
 * @returns the bits of ct_state that say so
 */
export function translatePacket(
  tracker: Tracker,
  base: number,
  record: number,
  isReply: boolean,
  isRelated: boolean,
): number {
  const { words, map, tuple } = tracker;
  const at = recordAt(map, record);
  const status = words[at + STATUS] & STATUS_NAT;
  if (status === 0) return 0;
  // The packet leaves as the mirror of what the other direction looks like.
  const ports = words[at + (isReply ? C_PORTS : REPLY_PORTS)];
  const src = words[at + (isReply ? C_SRC : REPLY_SRC)];
  const dst = words[at + (isReply ? C_DST : REPLY_DST)];
  if ((words[at + KEY] & IPV6) !== 0) {
    const annex = annexAt(map, src);
    for (let word = 0; word < 4; word++) {
      tuple[SRC0 + word] = words[annex + ANNEX.DST + word];
      tuple[DST0 + word] = words[annex + ANNEX.SRC + word];
    }
  } else {
    tuple[SRC] = dst;
    tuple[DST] = src;
  }
  tuple[PORTS] = mirrorPorts(protocolOf(words[at + KEY]), ports);
  const isSource = (status === STATUS_SNAT) !== isReply;
  rewritePacket(tracker.frames, tracker.facts, base, tuple, 0, isSource ? REWRITE_SRC : REWRITE_DST, isRelated);
  return isSource ? CT.SNAT : CT.DNAT;
}
