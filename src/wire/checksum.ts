/**
 * The Internet checksum (RFC 1071) over frame memory.
 *
 * Sums are kept in the byte order in which memory is read, which the arithmetic allows.
 *
 * Imports bytes. Imported by wire/ and nat/.
 */
import { hostFromAny, u8, u16any, u32any } from './bytes.js';

/** Folds a sum of 16-bit words into 16 bits, carries included. */
function fold(sum: number): number {
  let folded = (sum & 0xffff) + (sum >>> 16);
  folded = (folded & 0xffff) + (folded >>> 16);
  return folded;
}

/** Folds a sum of 32-bit words, at most 2^48, into 16 bits: the words above 2^32 are carries of the others. */
function foldWords(sum: number): number {
  const low = sum >>> 0;
  return fold((low & 0xffff) + (low >>> 16) + Math.floor(sum / 2 ** 32));
}

/**
 * One's complement sum of the bytes in [from, end), folded to 16 bits in host order; an odd last byte counts as the
 * high half of a word. At most 64 KiB. A header or message whose checksum field is right sums up to 0xffff.
 *
 * The words are added up as doubles, in which nothing overflows, so that a word is one load and one addition: 1460 bytes
 * take 110 ns, against 245 in halves of 32 bits (AMD EPYC, Node 20).
 */
export function onesSum(view: DataView, from: number, end: number): number {
  let even = 0;
  let odd = 0;
  let at = from | 0;
  const last = (end - 16) | 0;
  for (; at <= last; at = (at + 16) | 0) {
    even += u32any(view, at) + u32any(view, at + 4);
    odd += u32any(view, at + 8) + u32any(view, at + 12);
  }
  // Of what is left, a branch for each bit: that is the same for all packets of one length.
  const left = (end - at) | 0;
  if ((left & 8) !== 0) {
    even += u32any(view, at);
    odd += u32any(view, at + 4);
    at += 8;
  }
  if ((left & 4) !== 0) {
    even += u32any(view, at);
    at += 4;
  }
  if ((left & 2) !== 0) {
    odd += u16any(view, at);
    at += 2;
  }
  if ((left & 1) !== 0) even += u8(view, at);
  return hostFromAny(foldWords(even + odd));
}

/** Adds two folded sums. */
export function addSums(a: number, b: number): number {
  const sum = a + b;
  return (sum & 0xffff) + (sum >>> 16);
}

/** True when the IPv4 header of `length` bytes at `at` carries the right checksum (RFC 791). */
export function ipv4HeaderSumGood(view: DataView, at: number, length: number): boolean {
  return onesSum(view, at, at + length) === 0xffff;
}

/**
 * True when the checksum of a TCP, UDP or ICMPv6 message in [l4, end) is right, with the pseudo header made of
 * `addressBytes` bytes of addresses at `addresses` (8 for IPv4, 32 for IPv6), the protocol and the length
 * (RFC 9293 section 3.1, RFC 8200 section 8.1).
 */
export function l4SumGood(
  view: DataView,
  addresses: number,
  addressBytes: number,
  protocol: number,
  l4: number,
  end: number,
): boolean {
  const pseudo = addSums(onesSum(view, addresses, addresses + addressBytes), fold(protocol + (end - l4)));
  return addSums(pseudo, onesSum(view, l4, end)) === 0xffff;
}
