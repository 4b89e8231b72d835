/**
 * A fragment of an IPv4 (RFC 791) or IPv6 (RFC 8200, section 4.5) datagram: which datagram it is of, and which part.
 *
 * The part is counted as Open vSwitch counts it, in 16 bits: of an IPv4 datagram from its first byte behind the header;
 * of an IPv6 datagram from the fragment header on, and of the first fragment what lies behind all extension headers.
 *
 * Imports bytes, facts, ../reason. Imported by engine/.
 */
import { REASON } from '../reason.js';
import { u16be, u32be } from './bytes.js';
import { FACT, FAMILY_IPV6 } from './facts.js';

const { PORTS, PORTS_REVERSED, PROTOCOL, SRC0, DST0, L3, L4, L4_END } = FACT;

/** Words of what readFragment() says. */
export const FRAGMENT = {
  /** First and last byte of the part, in the datagram's own count, modulo 2^16. The last one is START - 1 of no bytes. */
  START: 0,
  END: 1,
  /** FRAGMENT_FIRST, FRAGMENT_LAST or neither; FRAGMENT_WHOLE. */
  FLAGS: 2,
  /** PROTOCOL as it was; the key says less. */
  PROTOCOL: 3,
} as const;
export const FRAGMENT_WORDS = 4;

/** It begins the datagram, and more follows. */
export const FRAGMENT_FIRST = 1 << 0;
/** It ends the datagram. */
export const FRAGMENT_LAST = 1 << 1;
/** Its last fragment header says that it is no fragment, though one before it says that it is. */
export const FRAGMENT_WHOLE = 1 << 2;

const IPV4_ID = 4;
const IPV4_OFFSET = 6;
const IPV4_MORE = 0x2000;
const IPV4_OFFSET_MASK = 0x1fff;
const IPV6_OFFSET = 2;
const IPV6_MORE = 1;
const IPV6_OFFSET_MASK = 0xfff8;
const IPV6_ID = 4;
const IPV6_HEADER_BYTES = 8;

/**
 * Reads a frame of which parseFrame() has said that it is a fragment, its facts at `base`. They become the key of the
 * datagram: the identification stands in for the ports. Over IPv6 the protocol is no part of it, since only the first
 * fragment knows it.
 * @param out FRAGMENT_WORDS words
 */
export function readFragment(view: DataView, facts: Int32Array, base: number, out: Int32Array): void {
  const protocol = facts[base + PROTOCOL];
  out[FRAGMENT.PROTOCOL] = protocol;
  const size = facts[base + L4_END] - facts[base + L4];
  if ((protocol & FAMILY_IPV6) === 0) {
    const l3 = facts[base + L3];
    const word = u16be(view, l3 + IPV4_OFFSET);
    writePart(out, (word & IPV4_OFFSET_MASK) * 8, size, (word & IPV4_MORE) !== 0, (word & IPV4_OFFSET_MASK) === 0);
    facts[base + PORTS] = u16be(view, l3 + IPV4_ID);
    // An IPv4 key has words that IPv6 alone fills: here they are compared as well.
    for (let word4 = 0; word4 < 3; word4++) {
      facts[base + SRC0 + word4] = 0;
      facts[base + DST0 + word4] = 0;
    }
  } else {
    const header = facts[base + PORTS];
    const word = u16be(view, header + IPV6_OFFSET);
    const offset = word & IPV6_OFFSET_MASK;
    writePart(out, offset + IPV6_HEADER_BYTES, size, (word & IPV6_MORE) !== 0, offset === 0);
    if ((word & (IPV6_OFFSET_MASK | IPV6_MORE)) === 0) out[FRAGMENT.FLAGS] = FRAGMENT_WHOLE;
    facts[base + PORTS] = u32be(view, header + IPV6_ID);
    facts[base + PROTOCOL] = FAMILY_IPV6;
  }
  facts[base + PORTS_REVERSED] = facts[base + PORTS];
}

function writePart(out: Int32Array, start: number, size: number, hasMore: boolean, isStart: boolean): void {
  out[FRAGMENT.START] = start & 0xffff;
  out[FRAGMENT.END] = (start + size - 1) & 0xffff;
  out[FRAGMENT.FLAGS] = (isStart && hasMore ? FRAGMENT_FIRST : 0) | (!isStart && !hasMore ? FRAGMENT_LAST : 0);
}

/** Whether the IPv4 header at `l3` is that of a datagram's first fragment, or of a whole datagram. */
export function isFirstFragment(view: DataView, l3: number): boolean {
  return (u16be(view, l3 + IPV4_OFFSET) & IPV4_OFFSET_MASK) === 0;
}

/** Whether a reason is that of a fragment. */
export function isFragmentReason(reason: number): boolean {
  return reason === REASON['ipv4-fragment'] || reason === REASON['ipv6-fragment'];
}
