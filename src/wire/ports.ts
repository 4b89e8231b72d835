/**
 * TCP (RFC 9293), UDP (RFC 768) and SCTP (RFC 9260): lengths, checksums and the ports of the key.
 *
 * Each check comes in Open vSwitch's order: lengths, checksum, then ports, of which none may be zero.
 *
 * Imports bytes, checksum, crc32c, facts, ipv4, ipv6, known, ../reason. Imported by wire/, track/tcp, alg/, engine/payload
 * and flows/fields.
 */
import { REASON } from '../reason.js';
import { u8, u16be, u32be, u32le } from './bytes.js';
import { l4SumGood } from './checksum.js';
import { sctpChecksum } from './crc32c.js';
import { FACT, FAMILY_IPV6, IPPROTO } from './facts.js';
import { IPV4_ADDRESSES_AT } from './ipv4.js';
import { IPV6_ADDRESSES_AT } from './ipv6.js';
import { KNOWN } from './known.js';

const { PORTS, PORTS_REVERSED, PROTOCOL, L3, L4, L4_END } = FACT;
const { L4_CHECKSUM_GOOD, NO_CHECKSUMS } = KNOWN;
const NONE = REASON.none;

export const TCP_HEADER_BYTES = 20;
const TCP_DATA_OFFSET = 12;
export const UDP_HEADER_BYTES = 8;
const UDP_LENGTH = 4;
const UDP_CHECKSUM = 6;
const SCTP_HEADER_BYTES = 12;
const SCTP_CHECKSUM = 8;
const SCTP_CHUNK_HEADER_BYTES = 4;

/** Length in bytes of the TCP header at `l4`, options included. */
export function tcpHeaderLength(view: DataView, l4: number): number {
  return (u8(view, l4 + TCP_DATA_OFFSET) >>> 4) * 4;
}

/** Reads the ports at L4, of which the caller knows that they are there. */
function readPorts(view: DataView, facts: Int32Array, base: number): number {
  const ports = u32be(view, facts[base + L4]);
  facts[base + PORTS] = ports;
  facts[base + PORTS_REVERSED] = (ports << 16) | (ports >>> 16);
  return ports >>> 16 === 0 || (ports & 0xffff) === 0 ? REASON['port-zero'] : NONE;
}

/** Verifies TCP, UDP and ICMPv6 checksums unless the caller has. */
export function pseudoSumGood(view: DataView, facts: Int32Array, base: number): boolean {
  const l3 = facts[base + L3];
  const protocol = facts[base + PROTOCOL];
  const isIpv6 = (protocol & FAMILY_IPV6) !== 0;
  const addresses = l3 + (isIpv6 ? IPV6_ADDRESSES_AT : IPV4_ADDRESSES_AT);
  return l4SumGood(view, addresses, isIpv6 ? 32 : 8, protocol & 0xff, facts[base + L4], facts[base + L4_END]);
}

export function parseTcp(view: DataView, known: number, facts: Int32Array, base: number): number {
  const l4 = facts[base + L4];
  const size = facts[base + L4_END] - l4;
  if (size < TCP_HEADER_BYTES) return REASON['tcp-truncated'];
  const header = tcpHeaderLength(view, l4);
  if (header < TCP_HEADER_BYTES || header > size) return REASON['tcp-data-offset'];
  if ((known & (L4_CHECKSUM_GOOD | NO_CHECKSUMS)) === 0 && !pseudoSumGood(view, facts, base)) {
    return REASON['tcp-checksum'];
  }
  return readPorts(view, facts, base);
}

export function parseUdp(view: DataView, known: number, facts: Int32Array, base: number): number {
  const l4 = facts[base + L4];
  const size = facts[base + L4_END] - l4;
  if (size < UDP_HEADER_BYTES) return REASON['udp-truncated'];
  const length = u16be(view, l4 + UDP_LENGTH);
  if (length < UDP_HEADER_BYTES || length > size) return REASON['udp-length'];
  if ((known & (L4_CHECKSUM_GOOD | NO_CHECKSUMS)) === 0) {
    // "No checksum" exists over IPv4 only (RFC 768, RFC 8200 section 8.1).
    const isAbsent = u16be(view, l4 + UDP_CHECKSUM) === 0 && (facts[base + PROTOCOL] & FAMILY_IPV6) === 0;
    if (!isAbsent && !pseudoSumGood(view, facts, base)) return REASON['udp-checksum'];
  }
  return readPorts(view, facts, base);
}

/** True when the chunks, each padded to four bytes, fill [l4 + 12, end) exactly; no chunk at all will do. */
function sctpChunksFill(view: DataView, l4: number, end: number): boolean {
  let at = l4 + SCTP_HEADER_BYTES;
  while (at + SCTP_CHUNK_HEADER_BYTES <= end) {
    const length = u16be(view, at + 2);
    if (length < SCTP_CHUNK_HEADER_BYTES) return false;
    at += (length + 3) & ~3;
  }
  return at === end;
}

export function parseSctp(view: DataView, known: number, facts: Int32Array, base: number): number {
  const l4 = facts[base + L4];
  const end = facts[base + L4_END];
  if (end - l4 < SCTP_HEADER_BYTES) return REASON['sctp-truncated'];
  if (!sctpChunksFill(view, l4, end)) return REASON['sctp-chunk'];
  if ((known & (L4_CHECKSUM_GOOD | NO_CHECKSUMS)) === 0) {
    if (sctpChecksum(view, l4, end) !== (u32le(view, l4 + SCTP_CHECKSUM) | 0)) return REASON['sctp-checksum'];
  }
  return readPorts(view, facts, base);
}

/** Bytes of the quoted L4 header that an ICMP error over IPv4 must hold: what RFC 792 asks of the sender. */
const QUOTED_BYTES_IPV4 = 8;

/**
 * Reads the ports of the packet that an ICMP error quotes, at L4, with `end` the end of the error. OVS asks for 8
 * bytes of it over IPv4 and for a whole header without options over IPv6; lengths and sums are not looked at.
 */
export function parseQuotedPorts(view: DataView, end: number, facts: Int32Array, base: number): number {
  const protocol = facts[base + PROTOCOL];
  const wanted = (protocol & FAMILY_IPV6) === 0 ? QUOTED_BYTES_IPV4 : headerBytes(protocol & 0xff);
  if (facts[base + L4] + wanted > end) return REASON['icmp-error-payload'];
  return readPorts(view, facts, base);
}

function headerBytes(protocol: number): number {
  if (protocol === IPPROTO.TCP) return TCP_HEADER_BYTES;
  return protocol === IPPROTO.UDP ? UDP_HEADER_BYTES : SCTP_HEADER_BYTES;
}
