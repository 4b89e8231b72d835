/**
 * From fragments to the datagram and back: the whole is put together in scratch, to be judged like any packet, and what
 * NAT made of it is written over its fragments.
 *
 * The whole is the first fragment's header and what all fragments carry; the extension headers of IPv6 are left out, as
 * the tracker has no use for them. A datagram longer than 65,535 bytes with its link-layer header is none (OVS
 * `ipf_reassemble_v4_frags()`, `ipf_reassemble_v6_frags()`).
 *
 * Imports blocks, layout, nat/, wire/. Imported by engine/.
 */
import { REWRITE_DST, REWRITE_SRC, rewriteAddresses } from '../nat/rewrite.js';
import { i32be } from '../wire/bytes.js';
import { FACT, FAMILY_IPV6 } from '../wire/facts.js';
import { IPV4_ADDRESSES_AT } from '../wire/ipv4.js';
import { IPV6_ADDRESSES_AT } from '../wire/ipv6.js';
import { copyIn, copyOut } from './blocks.js';
import { type FragmentStore, HELD, itemAt, NONE } from './layout.js';

const { SRC0, DST0, PORTS, PORTS_REVERSED, PROTOCOL, L3, L4, L4_END, FLAGS } = FACT;

const MAX_BYTES = 65_535;
const IPV6_HEADER_BYTES = 40;
/** Room that a whole takes at most. */
export const WHOLE_BYTES = 65_536;
const IPV4_HEADER_BYTES = 20;

/** The header of a fragment while its addresses are replaced. */
const $header = new DataView(new ArrayBuffer(IPV6_HEADER_BYTES));
/** New addresses, laid out as FACT.SRC0 … FACT.DST. */
const $addresses = new Int32Array(8);

/**
 * Whether the chain of a datagram without gaps, from its first fragment on, can be put together.
 * The part of a last fragment whose count has wrapped around ends before it begins.
 */
export function fits({ words, fragments }: FragmentStore, first: number): boolean {
  const firstAt = itemAt(fragments, first);
  let at = itemAt(fragments, words[firstAt + HELD.LINK]);
  const second = words[at + HELD.START];
  while (words[at + HELD.LINK] !== NONE) at = itemAt(fragments, words[at + HELD.LINK]);
  const end = words[at + HELD.END];
  if (end < words[at + HELD.START] - 1) return false;
  return words[firstAt + HELD.L4_END] + end - second + 1 <= MAX_BYTES;
}

/**
 * Puts the datagram together at the start of `whole`, and writes its facts at `base` but for what lies behind the
 * network layer; the addresses are there already.
 */
export function assemble(store: FragmentStore, first: number, whole: DataView, facts: Int32Array, base: number): void {
  const { words, fragments } = store;
  const firstAt = itemAt(fragments, first);
  const isIpv6 = (words[firstAt + HELD.PROTOCOL] & FAMILY_IPV6) !== 0;
  const l3 = words[firstAt + HELD.L3];
  const header = isIpv6 ? IPV6_HEADER_BYTES : words[firstAt + HELD.L4] - l3;
  copyOut(store, words[firstAt + HELD.BLOCK], l3, header, whole, 0);
  let end = header;
  for (let fragment = first; fragment !== NONE; ) {
    const at = itemAt(fragments, fragment);
    const l4 = words[at + HELD.L4];
    const bytes = words[at + HELD.L4_END] - l4;
    copyOut(store, words[at + HELD.BLOCK], l4, bytes, whole, end);
    end += bytes;
    fragment = words[at + HELD.LINK];
  }
  facts[base + PROTOCOL] = words[firstAt + HELD.PROTOCOL];
  facts[base + PORTS] = 0;
  facts[base + PORTS_REVERSED] = 0;
  facts[base + FLAGS] = 0;
  facts[base + L3] = 0;
  facts[base + L4] = header;
  facts[base + L4_END] = end;
}

/**
 * Writes what NAT made of the whole over its fragments: the addresses over all, what carries ports and checksum over
 * the first (OVS `ipf_post_execute_reass_pkts()`).
 */
export function rewriteFragments(store: FragmentStore, first: number, whole: DataView): void {
  const { words, fragments } = store;
  const firstAt = itemAt(fragments, first);
  const isIpv6 = (words[firstAt + HELD.PROTOCOL] & FAMILY_IPV6) !== 0;
  const header = isIpv6 ? IPV6_HEADER_BYTES : words[firstAt + HELD.L4] - words[firstAt + HELD.L3];
  const l4 = words[firstAt + HELD.L4];
  copyIn(store, words[firstAt + HELD.BLOCK], l4, whole, header, words[firstAt + HELD.L4_END] - l4);
  const addressesAt = isIpv6 ? IPV6_ADDRESSES_AT : IPV4_ADDRESSES_AT;
  const skipped = isIpv6 ? 0 : 3;
  const count = 4 - skipped;
  for (let word = 0; word < count; word++) {
    $addresses[SRC0 + skipped + word] = i32be(whole, addressesAt + word * 4);
    $addresses[DST0 + skipped + word] = i32be(whole, addressesAt + (count + word) * 4);
  }
  const bytes = isIpv6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES;
  for (let fragment = first; fragment !== NONE; ) {
    const at = itemAt(fragments, fragment);
    const block = words[at + HELD.BLOCK];
    copyOut(store, block, words[at + HELD.L3], bytes, $header, 0);
    rewriteAddresses($header, 0, isIpv6, $addresses, SRC0, DST0, REWRITE_SRC | REWRITE_DST);
    copyIn(store, block, words[at + HELD.L3], $header, 0, bytes);
    fragment = words[at + HELD.LINK];
  }
}
