/**
 * Writing a verdict into the packet: state, reason, zone, mark, label, original tuple, connection.
 * Behaviour: OVS `write_ct_md()`, `set_mark()`, `set_label()`.
 *
 * Imports action, counters, packet, tracker, track/, wire/facts. Imported by judge.ts, process.ts,
 * recover.ts and expected.ts.
 */
import { annexAt, NONE as NO_RECORD, RECORD, recordAt } from '../sharedarraybuffer-hashmap/index.js';
import { ANNEX, CONN, STATUS_LABEL as LABELLED } from '../track/connection.js';
import { CT } from '../track/state.js';
import { FACT, FAMILY_IPV6, IPPROTO } from '../wire/facts.js';
import { ROW_REASON, ROW_WORDS } from '../wire/rows.js';
import { ACTION, ACTION_LABEL as SETS_LABEL, ACTION_MARK as SETS_MARK } from './action.js';
import { REASON_COUNTS_AT as REASONS_AT } from './counters.js';
import { PACKET } from './packet.js';
import { ROW } from './row.js';
import type { Tracker } from './tracker.js';

// Bound again: a constant of this module is folded into the code, an imported one is read each time.
const { STATE, REASON, ZONE, MARK, LABEL, TUPLE_PROTOCOL, TUPLE_PORTS, TUPLE_SRC, TUPLE_DST } = PACKET;
const { CONNECTION, GENERATION: P_GENERATION } = PACKET;
const { PROTOCOL, PORTS: F_PORTS, SRC0: F_SRC0, SRC: F_SRC, DST0: F_DST0, DST: F_DST } = FACT;
const { KEY, SRC: C_SRC, DST: C_DST, PORTS: C_PORTS, MARK: C_MARK, LABEL: C_LABEL, STATUS } = CONN;
const { GENERATION } = RECORD;
const { FLAGS: A_FLAGS, ZONE: A_ZONE } = ACTION;
const { ACTION: ROW_ACTION } = ROW;
const { INV, TRK } = CT;
const ACTION_LABEL = SETS_LABEL;
const ACTION_MARK = SETS_MARK;
const REASON_COUNTS_AT = REASONS_AT;
const STATUS_LABEL = LABELLED;
const IPV6 = FAMILY_IPV6;
const ICMP = IPPROTO.ICMP;
const ICMPV6 = IPPROTO.ICMPV6 | FAMILY_IPV6;
const NONE = NO_RECORD;

/** Verdict of a packet that does not get as far as the table. */
export function rejectPacket(tracker: Tracker, packets: Int32Array, packet: number, index: number): void {
  const { facts, actions } = tracker;
  const base = index * ROW_WORDS;
  refusePacket(tracker, packets, packet, facts[base + ROW_REASON], actions[facts[base + ROW_ACTION] + A_ZONE]);
}

/** Verdict of a packet of which nothing is known but why. */
export function refusePacket(
  tracker: Tracker,
  packets: Int32Array,
  packet: number,
  reason: number,
  zone: number,
): void {
  packets[packet + TUPLE_PROTOCOL] = 0;
  packets[packet + MARK] = 0;
  clearLabel(packets, packet);
  finishPacket(tracker, packets, packet, INV, reason, zone, NONE);
}

/** The words that every verdict has. @param record the packet’s connection, or NONE */
export function finishPacket(
  tracker: Tracker,
  packets: Int32Array,
  packet: number,
  state: number,
  reason: number,
  zone: number,
  record: number,
): void {
  packets[packet + STATE] = state | TRK;
  packets[packet + REASON] = reason;
  packets[packet + ZONE] = zone;
  packets[packet + CONNECTION] = record;
  packets[packet + P_GENERATION] = tracker.words[recordAt(tracker.map, record) + GENERATION];
  tracker.counts[REASON_COUNTS_AT + reason]++;
}

function clearLabel(packets: Int32Array, packet: number): void {
  packets[packet + LABEL] = 0;
  packets[packet + LABEL + 1] = 0;
  packets[packet + LABEL + 2] = 0;
  packets[packet + LABEL + 3] = 0;
}

/** Writes mark, label and original tuple: those of the connection, or of the packet itself when it has none. */
export function describePacket(
  tracker: Tracker,
  packets: Int32Array,
  packet: number,
  base: number,
  record: number,
): void {
  const { words, facts, map } = tracker;
  if (record === NONE) {
    packets[packet + MARK] = 0;
    clearLabel(packets, packet);
    writeTuple(packets, packet, facts[base + PROTOCOL], facts[base + F_PORTS]);
    if ((facts[base + PROTOCOL] & IPV6) !== 0) {
      writeAddresses(packets, packet, facts, base + F_SRC0, base + F_DST0);
    } else {
      packets[packet + TUPLE_SRC + 3] = facts[base + F_SRC];
      packets[packet + TUPLE_DST + 3] = facts[base + F_DST];
    }
    return;
  }
  const at = recordAt(map, record);
  packets[packet + MARK] = words[at + C_MARK];
  if ((words[at + STATUS] & STATUS_LABEL) !== 0) {
    for (let word = 0; word < 4; word++) packets[packet + LABEL + word] = words[at + C_LABEL + word];
  } else {
    clearLabel(packets, packet);
  }
  const key = words[at + KEY];
  writeTuple(packets, packet, key & 0xffff, words[at + C_PORTS]);
  if ((key & IPV6) !== 0) {
    const annex = annexAt(map, words[at + C_SRC]);
    writeAddresses(packets, packet, words, annex + ANNEX.SRC, annex + ANNEX.DST);
  } else {
    packets[packet + TUPLE_SRC + 3] = words[at + C_SRC];
    packets[packet + TUPLE_DST + 3] = words[at + C_DST];
  }
}

/** Protocol and ports of the original tuple; for ICMP OVS puts type and code where the ports are. */
export function writeTuple(packets: Int32Array, packet: number, protocol: number, ports: number): void {
  const isIcmp = protocol === ICMP || protocol === ICMPV6;
  packets[packet + TUPLE_PROTOCOL] = protocol;
  packets[packet + TUPLE_PORTS] = isIcmp ? ((ports >>> 8) & 0xff) << 16 : ports;
}

function writeAddresses(packets: Int32Array, packet: number, from: Int32Array, src: number, dst: number): void {
  for (let word = 0; word < 4; word++) {
    packets[packet + TUPLE_SRC + word] = from[src + word];
    packets[packet + TUPLE_DST + word] = from[dst + word];
  }
}

/** Sets mark and label of the connection as the action says, and tells the packet. */
export function setMarks(tracker: Tracker, packets: Int32Array, packet: number, record: number, action: number): void {
  const { words, actions } = tracker;
  const at = recordAt(tracker.map, record);
  const flags = actions[action + A_FLAGS];
  if ((flags & ACTION_MARK) !== 0) {
    const mark = actions[action + ACTION.MARK] | (words[at + C_MARK] & ~actions[action + ACTION.MARK_MASK]);
    words[at + C_MARK] = mark;
    packets[packet + MARK] = mark;
  }
  if ((flags & ACTION_LABEL) === 0) return;
  let any = 0;
  for (let word = 0; word < 4; word++) {
    const kept = words[at + C_LABEL + word] & ~actions[action + ACTION.LABEL_MASK + word];
    const label = actions[action + ACTION.LABEL + word] | kept;
    words[at + C_LABEL + word] = label;
    packets[packet + LABEL + word] = label;
    any |= label;
  }
  words[at + STATUS] = any === 0 ? words[at + STATUS] & ~STATUS_LABEL : words[at + STATUS] | STATUS_LABEL;
}
