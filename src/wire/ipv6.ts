/**
 * IPv6 (RFC 8200): header checks, the extension headers that Open vSwitch walks, and the addresses of the key.
 *
 * Walked: hop-by-hop options, routing, destination options, authentication (RFC 4302) and fragment headers, in any
 * order and number. Any other next header ends the walk and is taken for the payload's protocol.
 *
 * Imports bytes, facts, ipv4, ../reason. Imported by wire/ (wire/icmp: the quoted header), nat/, fragment/, alg/ and flows/.
 */
import { REASON } from '../reason.js';
import { i32be, u8, u16be } from './bytes.js';
import { FACT, FAMILY_IPV6 } from './facts.js';
import { MAX_PADDING } from './ipv4.js';

const { SRC0, DST0, PORTS, PROTOCOL, L4, L4_END } = FACT;
const NONE = REASON.none;

export const IPV6_HEADER_BYTES = 40;
const PAYLOAD_LENGTH_AT = 4;
const NEXT_HEADER_AT = 6;
export const IPV6_ADDRESSES_AT = 8;

const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION_OPTIONS = 60;
const FRAGMENT_BYTES = 8;
/** OVS reads each extension header only when at least this much of it is there. */
const EXTENSION_MIN_BYTES = 8;
/** Bits of the fragment header's offset word that hold the offset. */
const FRAGMENT_OFFSET_MASK = 0xfff8;

function isExtension(protocol: number): boolean {
  return (
    protocol === HOP_BY_HOP ||
    protocol === ROUTING ||
    protocol === FRAGMENT ||
    protocol === AUTHENTICATION ||
    protocol === DESTINATION_OPTIONS
  );
}

/** Length in bytes of the extension header at `at`, from its second byte. */
function extensionLength(view: DataView, protocol: number, at: number): number {
  if (protocol === FRAGMENT) return FRAGMENT_BYTES;
  const length = u8(view, at + 1);
  return protocol === AUTHENTICATION ? (length + 2) * 4 : (length + 1) * 8;
}

/**
 * Walks the extension headers in [from, end), the first of which is of kind `first`. Writes PROTOCOL and L4.
 * A fragment header with offset 0 and no more to come is walked like any other. The walk ends behind the header of a
 * later fragment, of which PROTOCOL says no more than that. PORTS becomes the offset of the last fragment header.
 */
function walkExtensions(
  view: DataView,
  first: number,
  from: number,
  end: number,
  facts: Int32Array,
  base: number,
): number {
  let protocol = first;
  let at = from;
  let isFragment = false;
  let header = 0;
  while (isExtension(protocol)) {
    if (at + EXTENSION_MIN_BYTES > end) return REASON['ipv6-extension-header'];
    const length = extensionLength(view, protocol, at);
    if (at + length > end) return REASON['ipv6-extension-header'];
    if (protocol === FRAGMENT) {
      const offsetAndFlags = u16be(view, at + 2);
      isFragment ||= offsetAndFlags !== 0;
      header = at;
      if ((offsetAndFlags & FRAGMENT_OFFSET_MASK) !== 0) {
        facts[base + PROTOCOL] = FRAGMENT | FAMILY_IPV6;
        facts[base + PORTS] = at;
        facts[base + L4] = at + length;
        return REASON['ipv6-fragment'];
      }
    }
    protocol = u8(view, at);
    at += length;
  }
  facts[base + PROTOCOL] = protocol | FAMILY_IPV6;
  facts[base + L4] = at;
  if (!isFragment) return NONE;
  facts[base + PORTS] = header;
  return REASON['ipv6-fragment'];
}

function readAddresses(view: DataView, at: number, facts: Int32Array, base: number): void {
  for (let word = 0; word < 4; word++) {
    facts[base + SRC0 + word] = i32be(view, at + IPV6_ADDRESSES_AT + word * 4);
    facts[base + DST0 + word] = i32be(view, at + IPV6_ADDRESSES_AT + 16 + word * 4);
  }
}

/**
 * Checks the header at `at` of a frame that ends at `end` and writes L4, L4_END, the addresses and the protocol.
 * @returns a reason; all of that is also there when it is `ipv6-fragment`
 */
export function parseIpv6(view: DataView, at: number, end: number, facts: Int32Array, base: number): number {
  if (at + IPV6_HEADER_BYTES > end) return REASON['ipv6-truncated'];
  const payloadEnd = at + IPV6_HEADER_BYTES + u16be(view, at + PAYLOAD_LENGTH_AT);
  if (payloadEnd > end || end - payloadEnd > MAX_PADDING) return REASON['ipv6-payload-length'];
  facts[base + L4_END] = payloadEnd;
  readAddresses(view, at, facts, base);
  return walkExtensions(view, u8(view, at + NEXT_HEADER_AT), at + IPV6_HEADER_BYTES, payloadEnd, facts, base);
}

/** Reads the header that an ICMPv6 error quotes; its payload length is not relied on. */
export function parseQuotedIpv6(view: DataView, at: number, end: number, facts: Int32Array, base: number): number {
  if (at + IPV6_HEADER_BYTES > end) return REASON['icmp-error-payload'];
  readAddresses(view, at, facts, base);
  const reason = walkExtensions(view, u8(view, at + NEXT_HEADER_AT), at + IPV6_HEADER_BYTES, end, facts, base);
  return reason === NONE ? NONE : REASON['icmp-error-payload'];
}
