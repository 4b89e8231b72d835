/**
 * Ethernet II, 802.1Q and 802.1ad tags, and 802.3 with LLC and SNAP: where the network layer starts.
 *
 * As in Open vSwitch's `flow_extract()`: two tags at the most are looked through, a third makes the frame "not IP";
 * SNAP with the organisation code 00-00-00 carries an ethertype; any other LLC frame does not.
 *
 * Imports bytes, facts. Imported by wire/parse.
 */
import { u16be, u32be } from './bytes.js';
import { FACT } from './facts.js';

const { L3 } = FACT;

export const ETHERTYPE = { IPV4: 0x0800, IPV6: 0x86dd, VLAN: 0x8100, QINQ: 0x88a8 } as const;

/** Bytes of the two MAC addresses, in front of the first ethertype. */
const ADDRESS_BYTES = 12;
const TAG_BYTES = 4;
const MAX_TAGS = 2;
/** A smaller value is a length in the manner of IEEE 802.3. */
const ETHERTYPE_MIN = 0x600;
const LLC_SNAP_BYTES = 8;
/** Both service access points AA, control 03, and the first byte of an organisation code 00-00-00. */
const SNAP_START = 0xaaaa0300;

/** The header runs beyond the frame. */
export const ETHERNET_TRUNCATED = -1;
/** The frame has no ethertype: plain LLC. */
export const ETHERNET_NO_TYPE = -2;

/**
 * Finds the network layer of the frame in [start, end).
 * @returns the ethertype, with the offset of what follows it in `facts[base + FACT.L3]`; or ETHERNET_TRUNCATED or
 *   ETHERNET_NO_TYPE
 */
export function walkEthernet(view: DataView, start: number, end: number, facts: Int32Array, base: number): number {
  return walkEthertype(view, start + ADDRESS_BYTES, end, facts, base);
}

/** The same, from the first ethertype on: what link types without MAC addresses begin with. */
function walkEthertype(view: DataView, typeAt: number, end: number, facts: Int32Array, base: number): number {
  let at = typeAt;
  if (at + 2 > end) return ETHERNET_TRUNCATED;
  let type = u16be(view, at);
  for (let tags = 0; tags < MAX_TAGS && (type === ETHERTYPE.VLAN || type === ETHERTYPE.QINQ); tags++) {
    if (at + TAG_BYTES + 2 > end) return ETHERNET_TRUNCATED;
    at += TAG_BYTES;
    type = u16be(view, at);
  }
  at += 2;
  if (type < ETHERTYPE_MIN) {
    type = snapType(view, at, end);
    at += LLC_SNAP_BYTES;
  }
  facts[base + L3] = at;
  return type;
}

/** The ethertype in the LLC and SNAP headers at `at`, or ETHERNET_NO_TYPE. */
function snapType(view: DataView, at: number, end: number): number {
  if (at + LLC_SNAP_BYTES > end) return ETHERNET_NO_TYPE;
  const isSnap = u32be(view, at) === SNAP_START && u16be(view, at + 4) === 0;
  if (!isSnap) return ETHERNET_NO_TYPE;
  const type = u16be(view, at + 6);
  return type >= ETHERTYPE_MIN ? type : ETHERNET_NO_TYPE;
}
