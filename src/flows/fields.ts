/**
 * Frame and packet row to flow key: what rules can match of a packet, also of one that the tracker calls invalid.
 *
 * As in Open vSwitch's `flow_extract()`: lengths decide how far the headers are read, checksums are not looked at, and
 * what cannot be read is 0. Of a fragment, the first one too, rules do not see the ports, nor type and code of ICMP: as
 * in Open vSwitch, which has that for its default ("set-frags normal"), no rule tells parts of one packet apart by them.
 *
 * Imports key, ../wire/, ../engine/packet, ../reason. Imported by flows/run.
 */
import { PACKET } from '../engine/packet.js';
import { REASON } from '../reason.js';
import { i32be, u8, u16be, u32be } from '../wire/bytes.js';
import { ETHERNET_NO_TYPE, ETHERNET_TRUNCATED, ETHERTYPE, walkEthernet } from '../wire/ethernet.js';
import { FACT, FACT_WORDS, FAMILY_IPV6, IPPROTO, PROTOCOL_MASK } from '../wire/facts.js';
import { parseIpv4 } from '../wire/ipv4.js';
import { parseIpv6 } from '../wire/ipv6.js';
import { KNOWN } from '../wire/known.js';
import { tcpHeaderLength } from '../wire/ports.js';
import { CT_END, CT_FIRST, DL_TYPE, KEY, NO_ETHERTYPE, NW_FRAG, VLAN_PRESENT } from './key.js';

const { L3, L4, L4_END, PROTOCOL, SRC0, SRC, DST0, DST } = FACT;
const { L3_IPV4, L3_IPV6, L3_OTHER, NO_CHECKSUMS } = KNOWN;
const { ICMP, TCP, UDP, ICMPV6, SCTP } = IPPROTO;

const ETHERNET_BYTES = 14;
const TAG_BYTES = 4;
const IPV6_FRAGMENT_HEADER = 44;
const ARP_BYTES = 28;
/** Hardware type Ethernet, protocol type IPv4; then the lengths of their addresses, 6 and 4. */
const ARP_ETHERNET_IPV4 = 0x00010800;
const ARP_LENGTHS = 0x0604;
const MIN_UDP = 8;
const MIN_TCP = 20;
const MIN_SCTP = 12;
const MIN_ICMP = 8;

/** Of one packet at a time, between the headers; nothing here outlives a call. */
const $facts = new Int32Array(FACT_WORDS);

/**
 * Fills the words of `key` that come from the headers of the frame in [start, end), all but IN_PORT.
 *
 * @param known bits of KNOWN: of them only where the network layer is counts here
 * @param l3 offset of the network layer, read only when `known` names it
 */
export function gatherHeaders(
  frames: DataView,
  start: number,
  end: number,
  known: number,
  l3: number,
  key: Int32Array,
): void {
  key.fill(0, KEY.DL_TYPE, CT_FIRST);
  if ((known & (L3_IPV4 | L3_IPV6 | L3_OTHER)) === 0) {
    if (end - start < ETHERNET_BYTES) return;
    gatherEthernet(frames, start, end, key);
  } else {
    $facts[L3] = l3;
    if ((known & L3_IPV4) !== 0) key[KEY.DL_TYPE] = DL_TYPE.IP;
    else if ((known & L3_IPV6) !== 0) key[KEY.DL_TYPE] = DL_TYPE.IPV6;
  }
  const type = key[KEY.DL_TYPE];
  if (type === DL_TYPE.IP) gatherIpv4(frames, end, key);
  else if (type === DL_TYPE.IPV6) gatherIpv6(frames, end, key);
  else if (type === DL_TYPE.ARP || type === DL_TYPE.RARP) gatherArp(frames, $facts[L3], end, key);
}

function gatherEthernet(frames: DataView, start: number, end: number, key: Int32Array): void {
  key[KEY.DL_DST] = u16be(frames, start);
  key[KEY.DL_DST + 1] = i32be(frames, start + 2);
  key[KEY.DL_SRC] = u16be(frames, start + 6);
  key[KEY.DL_SRC + 1] = i32be(frames, start + 8);
  let typeAt = start + ETHERNET_BYTES - 2;
  const first = u16be(frames, typeAt);
  // A tag counts when the ethertype behind it is there too.
  if ((first === ETHERTYPE.VLAN || first === ETHERTYPE.QINQ) && typeAt + TAG_BYTES + 2 <= end) {
    key[KEY.VLAN_TCI] = u16be(frames, typeAt + 2) | VLAN_PRESENT;
    typeAt += TAG_BYTES;
  }
  const type = walkEthernet(frames, start, end, $facts, 0);
  if (type === ETHERNET_NO_TYPE) key[KEY.DL_TYPE] = NO_ETHERTYPE;
  else key[KEY.DL_TYPE] = type === ETHERNET_TRUNCATED ? u16be(frames, typeAt) : type;
}

function gatherIpv4(frames: DataView, end: number, key: Int32Array): void {
  const at = $facts[L3];
  const reason = parseIpv4(frames, at, end, NO_CHECKSUMS, $facts, 0);
  if (reason !== REASON.none && reason !== REASON['ipv4-fragment']) return;
  key[KEY.SRC + 3] = $facts[SRC];
  key[KEY.DST + 3] = $facts[DST];
  key[KEY.NW_PROTO] = $facts[PROTOCOL] & PROTOCOL_MASK;
  const fragment = u16be(frames, at + 6);
  if ((fragment & 0x3fff) !== 0) key[KEY.NW_FRAG] = NW_FRAG.ANY;
  if ((fragment & 0x1fff) !== 0) key[KEY.NW_FRAG] |= NW_FRAG.LATER;
  else gatherTransport(frames, ICMP, key);
}

function gatherIpv6(frames: DataView, end: number, key: Int32Array): void {
  const reason = parseIpv6(frames, $facts[L3], end, $facts, 0);
  if (reason === REASON['ipv6-truncated'] || reason === REASON['ipv6-payload-length']) return;
  for (let word = 0; word < 4; word++) {
    key[KEY.SRC + word] = $facts[SRC0 + word];
    key[KEY.DST + word] = $facts[DST0 + word];
  }
  if (reason === REASON['ipv6-extension-header']) return;
  const protocol = $facts[PROTOCOL] & PROTOCOL_MASK;
  key[KEY.NW_PROTO] = protocol;
  if (reason === REASON['ipv6-fragment']) key[KEY.NW_FRAG] = NW_FRAG.ANY;
  // The walk ends in front of what a later fragment carries.
  if (protocol === IPV6_FRAGMENT_HEADER) key[KEY.NW_FRAG] |= NW_FRAG.LATER;
  else gatherTransport(frames, ICMPV6, key);
}

/** TCP flags and ports, or type and code of the family's ICMP, when a whole header is there. */
function gatherTransport(frames: DataView, icmp: number, key: Int32Array): void {
  const at = $facts[L4];
  const size = $facts[L4_END] - at;
  const protocol = key[KEY.NW_PROTO];
  if (protocol === TCP) {
    if (size < MIN_TCP) return;
    const header = tcpHeaderLength(frames, at);
    if (header < MIN_TCP || header > size) return;
    key[KEY.TCP_FLAGS] = u16be(frames, at + 12) & 0xfff;
  } else if (protocol === icmp) {
    if (size < MIN_ICMP || key[KEY.NW_FRAG] !== 0) return;
    key[KEY.TP_SRC] = u8(frames, at);
    key[KEY.TP_DST] = u8(frames, at + 1);
    return;
  } else if (protocol === UDP ? size < MIN_UDP : protocol !== SCTP || size < MIN_SCTP) {
    return;
  }
  if (key[KEY.NW_FRAG] !== 0) return;
  key[KEY.TP_SRC] = u16be(frames, at);
  key[KEY.TP_DST] = u16be(frames, at + 2);
}

function gatherArp(frames: DataView, at: number, end: number, key: Int32Array): void {
  if (at + ARP_BYTES > end) return;
  if (u32be(frames, at) !== ARP_ETHERNET_IPV4 || u16be(frames, at + 4) !== ARP_LENGTHS) return;
  key[KEY.SRC + 3] = i32be(frames, at + 14);
  key[KEY.DST + 3] = i32be(frames, at + 24);
  const operation = u16be(frames, at + 6);
  if (operation <= 0xff) key[KEY.NW_PROTO] = operation;
}

/** Fills the words of `key` that come from the tracker, from the packet's row; after gatherHeaders(). */
export function gatherTracking(packets: Int32Array, packet: number, key: Int32Array): void {
  key.fill(0, CT_FIRST, CT_END);
  const state = packets[packet + PACKET.STATE];
  if (state === 0) return;
  key[KEY.CT_STATE] = state;
  key[KEY.CT_ZONE] = packets[packet + PACKET.ZONE];
  key[KEY.CT_MARK] = packets[packet + PACKET.MARK];
  for (let word = 0; word < 4; word++) key[KEY.CT_LABEL + 3 - word] = packets[packet + PACKET.LABEL + word];
  const protocol = packets[packet + PACKET.TUPLE_PROTOCOL];
  const isIpv6 = (protocol & FAMILY_IPV6) !== 0;
  if (protocol === 0 || key[KEY.DL_TYPE] !== (isIpv6 ? DL_TYPE.IPV6 : DL_TYPE.IP)) return;
  key[KEY.CT_NW_PROTO] = protocol & PROTOCOL_MASK;
  for (let word = isIpv6 ? 0 : 3; word < 4; word++) {
    key[KEY.CT_SRC + word] = packets[packet + PACKET.TUPLE_SRC + word];
    key[KEY.CT_DST + word] = packets[packet + PACKET.TUPLE_DST + word];
  }
  const ports = packets[packet + PACKET.TUPLE_PORTS];
  key[KEY.CT_TP_SRC] = ports >>> 16;
  key[KEY.CT_TP_DST] = ports & 0xffff;
}
