/**
 * What reassembly does and holds, and its text form, as `ovs-appctl dpctl/ipf-get-status` prints it.
 *
 * The datagrams are read while their threads work on them: one that changes while it is read is read again, and left out
 * if it goes on changing.
 *
 * Imports address, engine/, fragment/, wire/facts. Imported by the public API.
 */
import type { Counters } from '../engine/counters.js';
import type { Family } from '../engine/fragment-settings.js';
import { PACKET_WORDS } from '../engine/packet.js';
import type { ReassemblyHandle } from '../engine/reassembly.js';
import type { Settings } from '../engine/settings.js';
import {
  attachFragmentStore,
  DATAGRAM,
  DATAGRAM_WORDS,
  type FragmentStore,
  itemAt,
  STATE,
} from '../fragment/layout.js';
import { FAMILY_IPV6, PROTOCOL_MASK } from '../wire/facts.js';
import { formatIpv4, formatIpv6 } from './address.js';

/** Looks at a datagram that is being changed. */
const LOOKS = 4;

const STATE_NAMES: Readonly<Record<number, string>> = {
  [STATE.FAILED]: 'reassemble fail',
  [STATE.OTHER]: 'other frag',
  [STATE.FIRST]: 'first frag',
  [STATE.LAST]: 'last frag',
  [STATE.FIRST_AND_LAST]: 'first/last frag',
};

/** Counts of one family since the engine was opened, in fragments. */
export interface FamilyStatus {
  readonly isEnabled: boolean;
  readonly minSize: number;
  readonly accepted: number;
  readonly completed: number;
  readonly expired: number;
  readonly tooSmall: number;
  readonly overlapped: number;
  readonly purged: number;
  readonly evicted: number;
}

export interface FragmentStatus {
  readonly ipv4: FamilyStatus;
  readonly ipv6: FamilyStatus;
  /** Fragments that may be held, and that are. */
  readonly max: number;
  readonly count: number;
}

/** A datagram that is not whole yet. */
export interface HeldDatagram {
  readonly src: string;
  readonly dst: string;
  readonly isIpv6: boolean;
  readonly id: number;
  /** 0 for IPv6, whose key has none. */
  readonly protocol: number;
  readonly zone: number;
  /** Number of the pass through flow tables. */
  readonly pass: number;
  readonly fragments: number;
  /** As OVS calls it. */
  readonly state: string;
}

/** An engine, of either kind. */
export interface FragmentHolder {
  readonly settings: Settings;
  readonly fragmentMemory: readonly ReassemblyHandle[];
  counters(): Counters;
}

function familyStatus({ settings }: FragmentHolder, { events }: Counters, family: Family): FamilyStatus {
  return {
    isEnabled: settings.fragments.isEnabled(family),
    minSize: settings.fragments.minSize(family),
    accepted: events[`${family}FragmentsAccepted`],
    completed: events[`${family}FragmentsCompleted`],
    expired: events[`${family}FragmentsExpired`],
    tooSmall: events[`${family}FragmentsTooSmall`],
    overlapped: events[`${family}FragmentsOverlapped`],
    purged: events[`${family}FragmentsPurged`],
    evicted: events[`${family}FragmentsEvicted`],
  };
}

export function fragmentStatus(engine: FragmentHolder): FragmentStatus {
  const counters = engine.counters();
  const { max, count } = engine.settings.fragments;
  return { ipv4: familyStatus(engine, counters, 'ipv4'), ipv6: familyStatus(engine, counters, 'ipv6'), max, count };
}

/** The datagrams that are not whole yet, shard by shard. */
export function* heldDatagrams(engine: FragmentHolder): Generator<HeldDatagram> {
  for (const { store: buffer } of engine.fragmentMemory) {
    const store = attachFragmentStore(buffer, PACKET_WORDS);
    for (let datagram = 1; datagram <= store.datagrams.capacity; datagram++) {
      const held = readDatagram(store, itemAt(store.datagrams, datagram));
      if (held !== undefined) yield held;
    }
  }
}

function readDatagram({ words }: FragmentStore, at: number): HeldDatagram | undefined {
  if (words[at + DATAGRAM.STATE] === STATE.UNUSED) return undefined;
  let copy = words.slice(at, at + DATAGRAM_WORDS);
  for (let look = 0; look < LOOKS; look++) {
    const again = words.slice(at, at + DATAGRAM_WORDS);
    if (copy.every((word, place) => word === again[place])) return describe(copy);
    copy = again;
  }
  return undefined;
}

function describe(words: Int32Array): HeldDatagram | undefined {
  const state = STATE_NAMES[words[DATAGRAM.STATE]];
  if (state === undefined) return undefined;
  const isIpv6 = (words[DATAGRAM.PROTOCOL] & FAMILY_IPV6) !== 0;
  const address = (at: number) => (isIpv6 ? formatIpv6(words, at) : formatIpv4(words[at + 3]));
  return {
    src: address(DATAGRAM.KEY),
    dst: address(DATAGRAM.KEY + 4),
    isIpv6,
    id: words[DATAGRAM.ID] >>> 0,
    protocol: words[DATAGRAM.PROTOCOL] & PROTOCOL_MASK,
    zone: words[DATAGRAM.ZONE],
    pass: words[DATAGRAM.PASS],
    fragments: words[DATAGRAM.COUNT],
    state,
  };
}

function familyLines(name: string, status: FamilyStatus): string[] {
  return [
    `min ${name} frag size: ${status.minSize}`,
    `${name} frags accepted: ${status.accepted}`,
    `${name} frags completed: ${status.completed}`,
    `${name} frags expired: ${status.expired}`,
    `${name} frags too small: ${status.tooSmall}`,
    `${name} frags overlapped: ${status.overlapped}`,
    `${name} frags purged: ${status.purged}`,
  ];
}

function datagramLine(datagram: HeldDatagram): string {
  const { src, dst, pass, id, isIpv6, zone, protocol, fragments, state } = datagram;
  const key = `recirc_id=${pass},ip_id=${id},dl_type=0x${isIpv6 ? '86dd' : '800'},zone=${zone},nw_proto=${protocol}`;
  return `(src=${src},dst=${dst},${key},num_fragments=${fragments},state=${state})`;
}

/**
 * The text of `dpctl/ipf-get-status`, line by line; with datagrams that of `-m`. What OVS has no line for is left out:
 * it evicts nothing.
 */
export function formatFragmentStatus(status: FragmentStatus, datagrams?: Iterable<HeldDatagram>): string[] {
  const lines = [
    'Fragmentation Module Status',
    '---------------------------',
    `v4 enabled: ${Number(status.ipv4.isEnabled)}`,
    `v6 enabled: ${Number(status.ipv6.isEnabled)}`,
    `max num frags (v4/v6): ${status.max}`,
    `num frag: ${status.count}`,
    ...familyLines('v4', status.ipv4),
    ...familyLines('v6', status.ipv6),
  ].map(line => `        ${line}`);
  if (datagrams === undefined) return lines;
  return [...lines, '', '        Fragment Lists:', '', ...Array.from(datagrams, datagramLine)];
}
