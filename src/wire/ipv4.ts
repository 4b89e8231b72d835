/**
 * IPv4 (RFC 791): header checks and the addresses of the key.
 *
 * Imports bytes, checksum, facts, known, ../reason. Imported by wire/ (wire/icmp: the quoted header), nat/, fragment/, alg/,
 * engine/ and flows/.
 */
import { REASON } from '../reason.js';
import { i32be, u8, u16be } from './bytes.js';
import { ipv4HeaderSumGood } from './checksum.js';
import { FACT } from './facts.js';
import { KNOWN } from './known.js';

const { SRC, DST, PROTOCOL, L4, L4_END } = FACT;
const { L3_CHECKSUM_GOOD, L3_CHECKSUM_BAD, NO_CHECKSUMS } = KNOWN;
const NONE = REASON.none;

/** Of a header without options. */
export const IPV4_HEADER_BYTES = 20;
/** OVS keeps the length of the padding behind a packet in 16 bits and refuses more. */
export const MAX_PADDING = 0xffff;
const TOTAL_LENGTH = 2;
const FRAGMENT = 6;
const FRAGMENT_OFFSET_MASK = 0x1fff;
/** "More fragments", and the offset: neither is set in a whole datagram. */
const FRAGMENT_MASK = 0x3fff;
const PROTOCOL_AT = 9;
export const IPV4_ADDRESSES_AT = 12;

/** Header length in bytes; 0 when it is below 20 or beyond `end`. */
function headerLength(view: DataView, at: number, end: number): number {
  const length = (u8(view, at) & 0x0f) * 4;
  return length >= IPV4_HEADER_BYTES && at + length <= end ? length : 0;
}

function readKey(view: DataView, at: number, facts: Int32Array, base: number): void {
  facts[base + SRC] = i32be(view, at + IPV4_ADDRESSES_AT);
  facts[base + DST] = i32be(view, at + IPV4_ADDRESSES_AT + 4);
  facts[base + PROTOCOL] = u8(view, at + PROTOCOL_AT);
}

/**
 * Checks the header at `at` of a frame that ends at `end` and writes L4, L4_END, the addresses and the protocol.
 * The version nibble is not looked at: the ethertype has decided, as in OVS.
 * @returns a reason; all of that is also there when it is `ipv4-fragment`, which a first fragment is too
 */
export function parseIpv4(
  view: DataView,
  at: number,
  end: number,
  known: number,
  facts: Int32Array,
  base: number,
): number {
  if (at + IPV4_HEADER_BYTES > end) return REASON['ipv4-truncated'];
  const length = headerLength(view, at, end);
  if (length === 0) return REASON['ipv4-header-length'];
  const total = u16be(view, at + TOTAL_LENGTH);
  if (total < length || at + total > end || end - at - total > MAX_PADDING) return REASON['ipv4-total-length'];

  facts[base + L4] = at + length;
  facts[base + L4_END] = at + total;
  readKey(view, at, facts, base);
  if ((u16be(view, at + FRAGMENT) & FRAGMENT_MASK) !== 0) return REASON['ipv4-fragment'];
  return checkIpv4Sum(view, at, at + length, known);
}

/** Verifies the checksum of the header in [at, end), whose length was checked, unless the caller has. */
export function checkIpv4Sum(view: DataView, at: number, end: number, known: number): number {
  if ((known & L3_CHECKSUM_BAD) !== 0) return REASON['checksum-declared-bad'];
  if ((known & (L3_CHECKSUM_GOOD | NO_CHECKSUMS)) !== 0) return NONE;
  return ipv4HeaderSumGood(view, at, end - at) ? NONE : REASON['ipv4-checksum'];
}

/**
 * Reads the header that an ICMP error quotes: cut short as a rule, its lengths and checksum not to be relied on.
 * Writes addresses, protocol and L4.
 */
export function parseQuotedIpv4(view: DataView, at: number, end: number, facts: Int32Array, base: number): number {
  if (at + IPV4_HEADER_BYTES > end) return REASON['icmp-error-payload'];
  const length = headerLength(view, at, end);
  if (length === 0) return REASON['icmp-error-payload'];
  if ((u16be(view, at + FRAGMENT) & FRAGMENT_OFFSET_MASK) !== 0) return REASON['icmp-error-payload'];
  readKey(view, at, facts, base);
  facts[base + L4] = at + length;
  return NONE;
}
