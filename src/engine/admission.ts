/**
 * Whether a new connection is let in: rates of new connections per zone and per source, and caps of half-open ones.
 *
 * Sources are counted in a fixed number of cells, however many there are: each source has one cell in each of two rows,
 * which a keyed hash of its address and zone picks, and is judged by the better one of the two (as in a count-min
 * sketch). Sources that share a cell share its limit; that two share both cells is one chance in 2^30 for a pair, and
 * nobody can choose addresses that do. A flood from everywhere at once spreads over all cells: with 32,768 in a row a
 * million connections per second are 30 for each.
 *
 * Imports memory, policy, rate, tracker, track/, wire/, ../reason. Imported by connections.ts.
 */
import { REASON } from '../reason.js';
import { annexAt, recordAt } from '../sharedarraybuffer-hashmap/index.js';
import { ANNEX, CONN, isIpv6, protocolOf, zoneOf } from '../track/connection.js';
import { FACT, FAMILY_IPV6, IPPROTO } from '../wire/facts.js';
import { hashKey, zoneHash } from '../wire/hash.js';
import { CONTROL, SOURCE_CELLS } from './memory.js';
import { POLICY_HALF_OPEN, POLICY_RATES, ZONE_POLICY } from './policy.js';
import { BUCKET_WORDS, takeToken } from './rate.js';
import type { Tracker } from './tracker.js';

const { SRC0, SRC, DST0, DST, PORTS, PORTS_REVERSED, PROTOCOL, HASH } = FACT;
const { FLAGS, RATE, BURST, SOURCE_RATE, SOURCE_BURST, HALF_OPEN, SOURCE_HALF_OPEN } = ZONE_POLICY;
const { KEY, SRC: C_SRC } = CONN;

/** Bits of a hash that pick a cell: the upper ones in the first row, the lower ones in the second. */
const CELL_BITS = 31 - Math.clz32(SOURCE_CELLS);

function firstCell(hash: number): number {
  return hash >>> (32 - CELL_BITS);
}

function secondCell(hash: number): number {
  return SOURCE_CELLS + (hash & (SOURCE_CELLS - 1));
}

/** The keyed hash of a source whose address words begin at `at`: that of a key with nothing else in it. */
function sourceHash(tracker: Tracker, words: Int32Array, at: number, isWide: boolean, zone: number): number {
  const { facts, replyRow: row, memory } = tracker;
  for (let word = 0; word < 3; word++) {
    facts[row + SRC0 + word] = isWide ? words[at + word] : 0;
    facts[row + DST0 + word] = 0;
  }
  facts[row + SRC] = words[isWide ? at + 3 : at];
  facts[row + DST] = 0;
  facts[row + PORTS] = 0;
  facts[row + PORTS_REVERSED] = 0;
  facts[row + PROTOCOL] = isWide ? FAMILY_IPV6 : 0;
  hashKey(facts, row, memory.control[CONTROL.KEY0], memory.control[CONTROL.KEY1]);
  return zoneHash(facts[row + HASH], zone);
}

/** The same for the source of a packet, by its facts. */
function sourceOfPacket(tracker: Tracker, base: number, key: number): number {
  const isWide = isIpv6(key);
  return sourceHash(tracker, tracker.facts, base + (isWide ? SRC0 : SRC), isWide, zoneOf(key));
}

/** … and for the one that opened the connection at word `conn`. */
function sourceOfConnection(tracker: Tracker, conn: number): number {
  const { words, map } = tracker;
  const key = words[conn + KEY];
  const isWide = isIpv6(key);
  const at = isWide ? annexAt(map, words[conn + C_SRC]) + ANNEX.SRC : conn + C_SRC;
  return sourceHash(tracker, words, at, isWide, zoneOf(key));
}

/**
 * Asks the policy that begins at `policy` about a new connection, and spends what it spends of the rates: an attempt
 * that is refused later, because there is no room, has still been one.
 * @returns REASON.none, or why not
 */
export function admit(tracker: Tracker, policy: number, base: number, key: number): number {
  const { floodPolicies, zoneHalfOpen, sourceHalfOpen, zoneRates } = tracker.memory;
  const flags = floodPolicies[policy + FLAGS];
  if ((flags & (POLICY_RATES | POLICY_HALF_OPEN)) === 0) return REASON.none;
  const sourceLimit = protocolOf(key) === IPPROTO.TCP ? floodPolicies[policy + SOURCE_HALF_OPEN] : 0;
  const sourceRate = floodPolicies[policy + SOURCE_RATE];
  const hash = sourceLimit + sourceRate > 0 ? sourceOfPacket(tracker, base, key) : 0;
  if ((flags & POLICY_HALF_OPEN) !== 0 && protocolOf(key) === IPPROTO.TCP) {
    const limit = floodPolicies[policy + HALF_OPEN];
    const count = Atomics.load(zoneHalfOpen, zoneOf(key)); // a count, orders nothing
    if (limit > 0 && count >= limit) return REASON['half-open-limit'];
    const first = Atomics.load(sourceHalfOpen, firstCell(hash)); // a count, orders nothing
    const second = Atomics.load(sourceHalfOpen, secondCell(hash)); // a count, orders nothing
    if (sourceLimit > 0 && Math.min(first, second) >= sourceLimit) return REASON['half-open-limit'];
  }
  if (sourceRate > 0 && !takeSourceToken(tracker, policy, hash)) return REASON['source-rate'];
  const rate = floodPolicies[policy + RATE];
  const nowMs = tracker.now[0];
  if (rate > 0 && !takeToken(zoneRates, zoneOf(key) * BUCKET_WORDS, rate, floodPolicies[policy + BURST], nowMs)) {
    return REASON['zone-rate'];
  }
  return REASON.none;
}

/** Spends in both cells of a source. True when one of them had something left. */
function takeSourceToken(tracker: Tracker, policy: number, hash: number): boolean {
  const { floodPolicies, sourceRates } = tracker.memory;
  const rate = floodPolicies[policy + SOURCE_RATE];
  const burst = floodPolicies[policy + SOURCE_BURST];
  const nowMs = tracker.now[0];
  const first = takeToken(sourceRates, firstCell(hash) * BUCKET_WORDS, rate, burst, nowMs);
  const second = takeToken(sourceRates, secondCell(hash) * BUCKET_WORDS, rate, burst, nowMs);
  return first || second;
}

/** Counts a connection among the half-open ones of its zone and of its source. */
export function countHalfOpen(tracker: Tracker, record: number): void {
  addHalfOpen(tracker, recordAt(tracker.map, record), 1);
}

/** Counts out one that is counted. */
export function uncountHalfOpen(tracker: Tracker, record: number): void {
  addHalfOpen(tracker, recordAt(tracker.map, record), -1);
}

function addHalfOpen(tracker: Tracker, conn: number, by: number): void {
  const { zoneHalfOpen, sourceHalfOpen } = tracker.memory;
  const hash = sourceOfConnection(tracker, conn);
  Atomics.add(zoneHalfOpen, zoneOf(tracker.words[conn + KEY]), by); // counts the connection
  Atomics.add(sourceHalfOpen, firstCell(hash), by); // counts the connection
  Atomics.add(sourceHalfOpen, secondCell(hash), by); // counts the connection
}
