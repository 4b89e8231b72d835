/**
 * Addresses and ports of a packet under NAT, written over in frame memory, with every checksum that covers them.
 *
 * Sums are updated by what changes in the words they cover (RFC 1624, equation 3), so a checksum that was wrong stays
 * wrong by as much, and nobody has to read the payload. The same holds for SCTP, whose CRC32c takes the difference
 * between what is right before and after. Only the checksum of an ICMP error is made anew, since its text changes.
 *
 * An ICMP error quotes the head of a packet that travelled the other way. So the end that is the source outside is the
 * destination inside: the quoted packet gets the same tuple turned round, as far as its bytes are there.
 *
 * An IPv6 packet whose routing header is not used up has its sum made over the final destination (RFC 8200, section
 * 8.1), which is not the one replaced here. Open vSwitch updates the sum all the same under NAT, and so do we.
 *
 * Imports wire/bytes, wire/checksum, wire/crc32c, wire/facts, wire/ipv4, wire/ipv6, reason.
 * Imported by fragment/ and engine/.
 */
import { REASON } from '../reason.js';
import { i32be, setI32be, setU16be, setU32le, u16be, u32le } from '../wire/bytes.js';
import { addSums, onesSum } from '../wire/checksum.js';
import { sctpChecksum } from '../wire/crc32c.js';
import { FACT, FACT_WORDS, FAMILY_IPV6, IPPROTO, PROTOCOL_MASK } from '../wire/facts.js';
import { IPV4_ADDRESSES_AT, parseQuotedIpv4 } from '../wire/ipv4.js';
import { IPV6_ADDRESSES_AT, parseQuotedIpv6 } from '../wire/ipv6.js';

const { SRC0, DST0, PORTS, PROTOCOL, L3, L4, L4_END } = FACT;

/** Bits of `end`: which address of the packet, outside, changes. */
export const REWRITE_SRC = 1 << 0;
export const REWRITE_DST = 1 << 1;

const IPV4_CHECKSUM = 10;
const TCP_CHECKSUM = 16;
const UDP_CHECKSUM = 6;
const SCTP_CHECKSUM = 8;
const SCTP_HEADER_BYTES = 12;
const ICMP_CHECKSUM = 2;
const ICMP_IDENTIFIER = 4;
/** An ICMP error's own header, behind which the quoted packet begins. */
const ICMP_HEADER_BYTES = 8;
const IPV6_ADDRESSES_BYTES = 32;

/** Facts of the quoted packet; valid from one call of parseQuoted…() to the next. */
const $quoted = new Int32Array(FACT_WORDS);

/**
 * Gives a packet the addresses and ports, or ICMP identifier, that it shall leave with.
 *
 * @param facts facts of the packet at word `base`, as wire/parse made them: L3, L4, L4_END and PROTOCOL are read.
 *   Nothing outside [L3, L4_END) of the frame is read or written.
 * @param tuple the new tuple at word `at`, laid out as FACT.SRC0 … FACT.PORTS. For an ICMP error it is the tuple of
 *   its key, which runs in the direction of the error.
 * @param end REWRITE_ bits: the addresses that are replaced; ports are always both taken from the tuple. 0 changes
 *   nothing at all.
 * @param isRelated the packet is an ICMP error, and PROTOCOL that of the packet it quotes
 */
export function rewritePacket(
  view: DataView,
  facts: Int32Array,
  base: number,
  tuple: Int32Array,
  at: number,
  end: number,
  isRelated: boolean,
): void {
  if (end === 0) return;
  const l3 = facts[base + L3];
  const l4 = facts[base + L4];
  const l4End = facts[base + L4_END];
  const protocol = facts[base + PROTOCOL];
  const isIpv6 = (protocol & FAMILY_IPV6) !== 0;
  const change = rewriteAddresses(view, l3, isIpv6, tuple, at + SRC0, at + DST0, end);
  if (!isRelated) {
    rewriteL4(view, protocol, l4, l4End, change, tuple[at + PORTS]);
    return;
  }
  if (l4 + ICMP_HEADER_BYTES > l4End) return;
  rewriteQuoted(view, isIpv6, l4 + ICMP_HEADER_BYTES, l4End, tuple, at, end);
  sealError(view, l3, isIpv6, l4, l4End);
}

/** Folds a sum of 16-bit words, below 2^32, into 16 bits. */
function fold(sum: number): number {
  const folded = (sum & 0xffff) + (sum >>> 16);
  return (folded & 0xffff) + (folded >>> 16);
}

/** Applies a change to the checksum at `at`: the change is a sum of words with those they replace complemented. */
function amend(view: DataView, at: number, change: number): void {
  if (change !== 0) setU16be(view, at, ~fold((~u16be(view, at) & 0xffff) + change) & 0xffff);
}

/** Writes 32 bits and returns the change to a sum over them. What is there already is no change. */
function replaceWord(view: DataView, at: number, after: number): number {
  const before = i32be(view, at);
  if (before === (after | 0)) return 0;
  setI32be(view, at, after);
  return (~before & 0xffff) + (~before >>> 16) + (after & 0xffff) + (after >>> 16);
}

function replaceWords(view: DataView, at: number, count: number, tuple: Int32Array, from: number): number {
  let change = 0;
  for (let word = 0; word < count; word++) change += replaceWord(view, at + word * 4, tuple[from + word]);
  return change;
}

/**
 * Replaces the addresses that `end` names in the header at `l3`, and amends its checksum.
 * @param source word of the new source address in `tuple`, four words long
 * @param destination word of the new destination address
 * @returns the change to a sum over the addresses
 */
export function rewriteAddresses(
  view: DataView,
  l3: number,
  isIpv6: boolean,
  tuple: Int32Array,
  source: number,
  destination: number,
  end: number,
): number {
  const count = isIpv6 ? 4 : 1;
  const unused = 4 - count;
  const at = l3 + (isIpv6 ? IPV6_ADDRESSES_AT : IPV4_ADDRESSES_AT);
  let change = 0;
  if ((end & REWRITE_SRC) !== 0) change += replaceWords(view, at, count, tuple, source + unused);
  if ((end & REWRITE_DST) !== 0) change += replaceWords(view, at + count * 4, count, tuple, destination + unused);
  if (!isIpv6) amend(view, l3 + IPV4_CHECKSUM, change);
  return change;
}

/**
 * Replaces ports or identifier in what lies in [l4, end), which may be cut short, and amends the checksum there.
 * @param protocol as in FACT.PROTOCOL
 * @param change the change to a sum over the addresses
 * @param ports as in FACT.PORTS
 */
function rewriteL4(view: DataView, protocol: number, l4: number, end: number, change: number, ports: number): void {
  switch (protocol & PROTOCOL_MASK) {
    case IPPROTO.TCP: {
      const all = change + replacePorts(view, l4, end, ports);
      if (l4 + TCP_CHECKSUM + 2 <= end) amend(view, l4 + TCP_CHECKSUM, all);
      return;
    }
    case IPPROTO.UDP: {
      const all = change + replacePorts(view, l4, end, ports);
      if (l4 + UDP_CHECKSUM + 2 <= end) amendUdp(view, l4 + UDP_CHECKSUM, all);
      return;
    }
    case IPPROTO.SCTP:
      rewriteSctp(view, l4, end, ports);
      return;
    case IPPROTO.ICMP:
      // The checksum of ICMP covers no addresses, that of ICMPv6 does (RFC 4443, section 2.3).
      if ((protocol & FAMILY_IPV6) === 0) rewriteIcmp(view, l4, end, 0, ports);
      return;
    case IPPROTO.ICMPV6:
      if ((protocol & FAMILY_IPV6) !== 0) rewriteIcmp(view, l4, end, change, ports);
      return;
    default:
  }
}

function replacePorts(view: DataView, l4: number, end: number, ports: number): number {
  return l4 + 4 <= end ? replaceWord(view, l4, ports) : 0;
}

/** A UDP checksum of zero means none and stays; one that comes out as zero is sent as all ones (RFC 768). */
function amendUdp(view: DataView, at: number, change: number): void {
  if (u16be(view, at) === 0) return;
  amend(view, at, change);
  if (u16be(view, at) === 0) setU16be(view, at, 0xffff);
}

function rewriteSctp(view: DataView, l4: number, end: number, ports: number): void {
  if (l4 + SCTP_HEADER_BYTES > end) {
    replacePorts(view, l4, end, ports);
    return;
  }
  if (i32be(view, l4) === (ports | 0)) return;
  const before = sctpChecksum(view, l4, end);
  replaceWord(view, l4, ports);
  const error = u32le(view, l4 + SCTP_CHECKSUM) ^ before;
  setU32le(view, l4 + SCTP_CHECKSUM, error ^ sctpChecksum(view, l4, end));
}

/** The identifier is the upper half of `ports`; type and code stay. */
function rewriteIcmp(view: DataView, l4: number, end: number, addressChange: number, ports: number): void {
  let change = addressChange;
  const at = l4 + ICMP_IDENTIFIER;
  if (at + 4 <= end) change += replaceWord(view, at, (ports & 0xffff0000) | (i32be(view, at) & 0xffff));
  if (l4 + ICMP_CHECKSUM + 2 <= end) amend(view, l4 + ICMP_CHECKSUM, change);
}

/** Gives the packet quoted at `l3` the tuple turned round. A header that is not there as a whole stays as it is. */
function rewriteQuoted(
  view: DataView,
  isIpv6: boolean,
  l3: number,
  l4End: number,
  tuple: Int32Array,
  at: number,
  end: number,
): void {
  const reason = isIpv6 ? parseQuotedIpv6(view, l3, l4End, $quoted, 0) : parseQuotedIpv4(view, l3, l4End, $quoted, 0);
  if (reason !== REASON.none) return;
  const otherEnd = ((end & REWRITE_SRC) !== 0 ? REWRITE_DST : 0) | ((end & REWRITE_DST) !== 0 ? REWRITE_SRC : 0);
  const change = rewriteAddresses(view, l3, isIpv6, tuple, at + DST0, at + SRC0, otherEnd);
  const protocol = $quoted[PROTOCOL];
  const ports = tuple[at + PORTS];
  const isIcmp = (protocol & PROTOCOL_MASK) === (isIpv6 ? IPPROTO.ICMPV6 : IPPROTO.ICMP);
  const turned = isIcmp ? ports : (ports << 16) | (ports >>> 16);
  rewriteL4(view, protocol, $quoted[L4], l4End, change, turned);
}

/** Makes the checksum of the ICMP or ICMPv6 error in [l4, end) anew. */
function sealError(view: DataView, l3: number, isIpv6: boolean, l4: number, end: number): void {
  setU16be(view, l4 + ICMP_CHECKSUM, 0);
  let sum = onesSum(view, l4, end);
  if (isIpv6) {
    const addresses = l3 + IPV6_ADDRESSES_AT;
    sum = addSums(sum, onesSum(view, addresses, addresses + IPV6_ADDRESSES_BYTES));
    sum = addSums(addSums(sum, end - l4), IPPROTO.ICMPV6);
  }
  setU16be(view, l4 + ICMP_CHECKSUM, ~sum & 0xffff);
}
