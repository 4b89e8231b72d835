/**
 * Fragments on their way out: into the ring of the released with their verdict, or nowhere because their time is up.
 *
 * The ring has the form of the one that packets come in by (ring.ts), with its sides exchanged: the thread that judges
 * fills it, and whoever feeds the thread reads it (released.ts). When it is full, fragments wait in the memory in which
 * they were held, in order, for 10 s of the packets' time; then they are given up and counted.
 *
 * Imports counters, lane, memory, packet, reassembly, ring, tracker, fragment/. Imported by fragments.ts, process.ts,
 * pipeline.ts, stage.ts and workers/.
 */
import { blocksFor, copyIn, copyOut, freeBlocks, takeBlocks } from '../fragment/blocks.js';
import { dropDatagram, endedDatagram, freeFragment, MAX_BACK_MS, oldestDatagram } from '../fragment/datagrams.js';
import { DATAGRAM, type FragmentStore, HEADER, HELD, itemAt, NONE, takeItem, usedItems } from '../fragment/layout.js';
import { FAMILY_IPV6 } from '../wire/facts.js';
import { EVENT } from './counters.js';
import { fillReserved, publishFilled, reserveFrame, takeBack } from './lane.js';
import { CONTROL } from './memory.js';
import { PACKET, PACKET_WORDS } from './packet.js';
import type { PacketMemory } from './packet-memory.js';
import type { Reassembly } from './reassembly.js';
import { processed } from './ring.js';
import type { Tracker } from './tracker.js';

const { FRAME_OFFSET, FRAME_LENGTH, L3_OFFSET, TIME } = PACKET;

/** How long fragments with a verdict wait for somebody to take them (OVS `IPF_FRAG_LIST_PURGE_TIME_ADJ`). */
const RELEASE_TIMEOUT_MS = 10_000;

/** What becomes of fragments, as the status counts them: see EVENT. */
export const FATE = {
  ACCEPTED: 0,
  COMPLETED: 1,
  EXPIRED: 2,
  TOO_SMALL: 3,
  OVERLAPPED: 4,
  PURGED: 5,
  EVICTED: 6,
} as const;
type Fate = (typeof FATE)[keyof typeof FATE];

const IPV4_EVENTS = [
  EVENT.ipv4FragmentsAccepted,
  EVENT.ipv4FragmentsCompleted,
  EVENT.ipv4FragmentsExpired,
  EVENT.ipv4FragmentsTooSmall,
  EVENT.ipv4FragmentsOverlapped,
  EVENT.ipv4FragmentsPurged,
  EVENT.ipv4FragmentsEvicted,
];
const IPV6_EVENTS = [
  EVENT.ipv6FragmentsAccepted,
  EVENT.ipv6FragmentsCompleted,
  EVENT.ipv6FragmentsExpired,
  EVENT.ipv6FragmentsTooSmall,
  EVENT.ipv6FragmentsOverlapped,
  EVENT.ipv6FragmentsPurged,
  EVENT.ipv6FragmentsEvicted,
];

/** @param protocol as in FACT.PROTOCOL; only its family counts */
export function countFragments(tracker: Tracker, protocol: number, fate: Fate, fragments: number): void {
  const events = (protocol & FAMILY_IPV6) === 0 ? IPV4_EVENTS : IPV6_EVENTS;
  tracker.counts[events[fate]] += fragments;
}

/** Gives up a datagram. */
export function dropFragments(tracker: Tracker, { store }: Reassembly, datagram: number, fate: Fate): void {
  const protocol = store.words[itemAt(store.datagrams, datagram) + DATAGRAM.PROTOCOL];
  const dropped = dropDatagram(store, datagram);
  Atomics.sub(tracker.memory.control, CONTROL.FRAGMENTS, dropped); // a count, orders nothing
  countFragments(tracker, protocol, fate, dropped);
}

/** Gives up datagrams that have not become whole in time, by the tracker's time. */
export function expireFragments(tracker: Tracker, reassembly: Reassembly): void {
  const { store } = reassembly;
  for (let ended = endedDatagram(store, tracker.now); ended !== NONE; ended = endedDatagram(store, tracker.now)) {
    dropFragments(tracker, reassembly, ended, FATE.EXPIRED);
  }
}

/**
 * Gives up fragments that nobody has taken in time, once the ring has had its chance to take them. What would wait longer than
 * any can is given up too, and by a time that is not finite nothing, as in endedDatagram().
 */
function purgeReady(tracker: Tracker, store: FragmentStore): void {
  const { words, doubles, fragments } = store;
  while (words[HEADER.READY] !== NONE && Number.isFinite(tracker.now[0])) {
    const at = itemAt(fragments, words[HEADER.READY]);
    const leftMs = doubles[(at + HELD.ROW + TIME) >>> 1] + RELEASE_TIMEOUT_MS - tracker.now[0];
    if (leftMs > 0 && leftMs <= RELEASE_TIMEOUT_MS + MAX_BACK_MS) return;
    dropReady(tracker, store, FATE.PURGED);
  }
}

/** Takes the first fragment that goes on out of the line and frees it. */
function dropReady(tracker: Tracker, store: FragmentStore, fate: Fate): void {
  const { words } = store;
  const fragment = words[HEADER.READY];
  const protocol = words[itemAt(store.fragments, fragment) + HELD.PROTOCOL];
  words[HEADER.READY] = freeFragment(store, fragment);
  if (words[HEADER.READY] === NONE) words[HEADER.READY_LAST] = NONE;
  Atomics.sub(tracker.memory.control, CONTROL.FRAGMENTS, 1); // a count, orders nothing
  countFragments(tracker, protocol, fate, 1);
}

/** Lines up a chain of fragments that have their verdict. */
export function queueReleased({ words, fragments }: FragmentStore, first: number): void {
  if (words[HEADER.READY] === NONE) words[HEADER.READY] = first;
  else words[itemAt(fragments, words[HEADER.READY_LAST]) + HELD.LINK] = first;
  let last = first;
  while (words[itemAt(fragments, last) + HELD.LINK] !== NONE) last = words[itemAt(fragments, last) + HELD.LINK];
  words[HEADER.READY_LAST] = last;
}

/**
 * Once per batch: moves fragments that go on into their ring, as far as it has room, and gives up what is too old. Costs
 * two looks when no fragment is held.
 */
export function settleFragments(tracker: Tracker): void {
  const { reassembly } = tracker;
  if (reassembly === undefined || usedItems(reassembly.store, reassembly.store.fragments) === 0) return;
  const { store, released } = reassembly;
  const taken = processed(released.ring); // acquires that the reader is done with the slots below
  while (released.released !== taken) takeBack(released);
  while (store.words[HEADER.READY] !== NONE && moveReady(reassembly)) dropReady(tracker, store, FATE.COMPLETED);
  publishFilled(released);
  purgeReady(tracker, store);
  expireFragments(tracker, reassembly);
}

/**
 * Takes a fragment with its verdict out of what is held, into memory that holds one packet.
 * @returns the one behind it
 */
export function takeCompleted(
  tracker: Tracker,
  { store }: Reassembly,
  fragment: number,
  { packets, frames }: PacketMemory,
): number {
  const { words, fragments } = store;
  const at = itemAt(fragments, fragment);
  const bytes = words[at + HELD.BYTES];
  copyOut(store, words[at + HELD.BLOCK], 0, bytes, frames, 0);
  for (let word = 0; word < PACKET_WORDS; word++) packets[word] = words[at + HELD.ROW + word];
  packets[FRAME_OFFSET] = 0;
  packets[FRAME_LENGTH] = bytes;
  packets[L3_OFFSET] = words[at + HELD.L3];
  Atomics.sub(tracker.memory.control, CONTROL.FRAGMENTS, 1); // a count, orders nothing
  return freeFragment(store, fragment);
}

/**
 * Puts a packet that takeCompleted() has taken into the line of those that go on. There was room for it before; if it is
 * gone, since rules have sent a fragment out and held it again, the oldest datagrams give way.
 * @param family FAMILY_IPV6 or 0
 */
export function keepReleased(
  tracker: Tracker,
  reassembly: Reassembly,
  { packets, frames }: PacketMemory,
  family: number,
): void {
  const { store } = reassembly;
  const { words } = store;
  const bytes = packets[FRAME_LENGTH];
  while (freeBlocks(store) < blocksFor(bytes) || usedItems(store, store.fragments) === store.fragments.capacity) {
    const victim = oldestDatagram(store, NONE, NONE);
    if (victim === NONE) {
      countFragments(tracker, family, FATE.EVICTED, 1);
      return;
    }
    dropFragments(tracker, reassembly, victim, FATE.EVICTED);
  }
  const fragment = takeItem(store, store.fragments);
  const at = itemAt(store.fragments, fragment);
  words[at + HELD.PROTOCOL] = family;
  words[at + HELD.BYTES] = bytes;
  words[at + HELD.BLOCK] = takeBlocks(store, bytes);
  words[at + HELD.L3] = packets[L3_OFFSET];
  for (let word = 0; word < PACKET_WORDS; word++) words[at + HELD.ROW + word] = packets[word];
  copyIn(store, words[at + HELD.BLOCK], 0, frames, 0, bytes);
  Atomics.add(tracker.memory.control, CONTROL.FRAGMENTS, 1); // a count, orders nothing
  queueReleased(store, fragment);
}

/** Copies the first fragment that goes on into the ring. @returns false when the ring has no room */
function moveReady({ store, released }: Reassembly): boolean {
  const { words, fragments } = store;
  const at = itemAt(fragments, words[HEADER.READY]);
  const bytes = words[at + HELD.BYTES];
  const { ring } = released;
  const row = (released.filled & (ring.capacity - 1)) * PACKET_WORDS;
  const offset = reserveFrame(released, bytes);
  if (offset < 0) return false;
  copyOut(store, words[at + HELD.BLOCK], 0, bytes, ring.frames, offset);
  for (let word = 0; word < PACKET_WORDS; word++) ring.packets[row + word] = words[at + HELD.ROW + word];
  ring.packets[row + FRAME_OFFSET] = offset;
  ring.packets[row + FRAME_LENGTH] = bytes;
  ring.packets[row + L3_OFFSET] = offset + words[at + HELD.L3];
  fillReserved(released);
  return true;
}

/** Whether fragments wait for room in their ring. */
export function isReleasing({ reassembly }: Tracker): boolean {
  return reassembly !== undefined && reassembly.store.words[HEADER.READY] !== NONE;
}
