/**
 * Changes to a TCP segment in frame memory: a text of its payload replaced, its numbers moved, its checksum made anew.
 *
 * Nothing outside of the frame and the room behind it is read or written; that there is room is the caller's business.
 *
 * Imports edits, wire/. Imported by engine/.
 */
import { i32be, setI32be, setU8, setU16be, u8, u16be } from '../wire/bytes.js';
import { addSums, onesSum } from '../wire/checksum.js';
import { FACT, FAMILY_IPV6 } from '../wire/facts.js';
import { IPV4_ADDRESSES_AT } from '../wire/ipv4.js';
import { IPV6_ADDRESSES_AT } from '../wire/ipv6.js';
import { tcpHeaderLength } from '../wire/ports.js';
import { senderSequence } from './edits.js';

const { L3, L4, L4_END, PROTOCOL } = FACT;

const SEQUENCE_AT = 4;
const ACKNOWLEDGEMENT_AT = 8;
const FLAGS_AT = 13;
const FLAG_ACK = 0x10;
const CHECKSUM_AT = 16;
const HEADER_BYTES = 20;

const IPV4_LENGTH_AT = 2;
const IPV4_CHECKSUM_AT = 10;
const IPV6_LENGTH_AT = 4;
/** An IP packet is no longer than its 16-bit length can say. */
const MAX_IP_LENGTH = 0xffff;

const OPTION_END = 0;
const OPTION_NOP = 1;
/** Selective acknowledgements (RFC 2018): blocks of two sequence numbers. */
const OPTION_SACK = 5;
const BLOCK_BYTES = 8;

export function sequenceOf(view: DataView, l4: number): number {
  return i32be(view, l4 + SEQUENCE_AT);
}

/** Adds to the sequence number. */
export function shiftSequence(view: DataView, l4: number, by: number): void {
  setI32be(view, l4 + SEQUENCE_AT, (sequenceOf(view, l4) + by) | 0);
}

/** Acknowledges in the sender's count what the receiver counts otherwise: the number itself, and SACK blocks. */
export function restoreAcknowledgements(view: DataView, l4: number, words: Int32Array, edits: number): void {
  if ((u8(view, l4 + FLAGS_AT) & FLAG_ACK) === 0) return;
  const at = l4 + ACKNOWLEDGEMENT_AT;
  setI32be(view, at, senderSequence(words, edits, i32be(view, at), false));
  const end = l4 + tcpHeaderLength(view, l4);
  for (let option = l4 + HEADER_BYTES; option < end; ) {
    const kind = u8(view, option);
    if (kind === OPTION_END) return;
    if (kind === OPTION_NOP) {
      option++;
      continue;
    }
    const length = option + 1 < end ? u8(view, option + 1) : 0;
    if (length < 2 || option + length > end) return;
    if (kind === OPTION_SACK) restoreBlocks(view, option + 2, option + length, words, edits);
    option += length;
  }
}

function restoreBlocks(view: DataView, from: number, end: number, words: Int32Array, edits: number): void {
  for (let block = from; block + BLOCK_BYTES <= end; block += BLOCK_BYTES) {
    setI32be(view, block, senderSequence(words, edits, i32be(view, block), true));
    setI32be(view, block + 4, senderSequence(words, edits, i32be(view, block + 4), false));
  }
}

function ipLength(view: DataView, facts: Int32Array, base: number): number {
  const l3 = facts[base + L3];
  return u16be(view, l3 + ((facts[base + PROTOCOL] & FAMILY_IPV6) !== 0 ? IPV6_LENGTH_AT : IPV4_LENGTH_AT));
}

/** True when the packet may be `by` bytes longer as far as IP goes. */
export function canGrow(view: DataView, facts: Int32Array, base: number, by: number): boolean {
  return ipLength(view, facts, base) + by <= MAX_IP_LENGTH;
}

/**
 * Replaces `oldLength` bytes at `at` by the first `newLength` bytes of `text`. What lies behind them, up to the end of
 * the frame, moves; the lengths of the IP header and of the facts follow.
 * @param frameEnd end of the frame, padding of the link layer included
 */
export function replaceText(
  view: DataView,
  facts: Int32Array,
  base: number,
  at: number,
  oldLength: number,
  frameEnd: number,
  text: DataView,
  newLength: number,
): void {
  const growth = newLength - oldLength;
  if (growth > 0) {
    for (let from = frameEnd - 1; from >= at + oldLength; from--) setU8(view, from + growth, u8(view, from));
  } else if (growth < 0) {
    for (let from = at + oldLength; from < frameEnd; from++) setU8(view, from + growth, u8(view, from));
  }
  for (let byte = 0; byte < newLength; byte++) setU8(view, at + byte, u8(text, byte));
  if (growth === 0) return;
  facts[base + L4_END] += growth;
  setIpLength(view, facts, base, ipLength(view, facts, base) + growth);
}

function setIpLength(view: DataView, facts: Int32Array, base: number, length: number): void {
  const l3 = facts[base + L3];
  if ((facts[base + PROTOCOL] & FAMILY_IPV6) !== 0) {
    setU16be(view, l3 + IPV6_LENGTH_AT, length);
    return;
  }
  setU16be(view, l3 + IPV4_LENGTH_AT, length);
  setU16be(view, l3 + IPV4_CHECKSUM_AT, 0);
  const header = (u8(view, l3) & 0x0f) * 4;
  setU16be(view, l3 + IPV4_CHECKSUM_AT, ~onesSum(view, l3, l3 + header) & 0xffff);
}

/** Makes the TCP checksum anew. */
export function sealSegment(view: DataView, facts: Int32Array, base: number): void {
  const l4 = facts[base + L4];
  const end = facts[base + L4_END];
  const protocol = facts[base + PROTOCOL];
  const isIpv6 = (protocol & FAMILY_IPV6) !== 0;
  const addresses = facts[base + L3] + (isIpv6 ? IPV6_ADDRESSES_AT : IPV4_ADDRESSES_AT);
  setU16be(view, l4 + CHECKSUM_AT, 0);
  const pseudo = addSums(onesSum(view, addresses, addresses + (isIpv6 ? 32 : 8)), addSums(protocol & 0xff, end - l4));
  setU16be(view, l4 + CHECKSUM_AT, ~addSums(pseudo, onesSum(view, l4, end)) & 0xffff);
}
