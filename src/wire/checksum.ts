/**
 * The Internet checksum (RFC 1071) over frame memory.
 *
 * Sums are kept in the byte order in which memory is read, which the arithmetic allows.
 *
 * Imports bytes. Imported by wire/ and nat/.
 */
import { hostFromAny, i32any, u8, u16any } from './bytes.js';

/** Folds a sum of 16-bit words into 16 bits, carries included. */
function fold(sum: number): number {
  let folded = (sum & 0xffff) + (sum >>> 16);
  folded = (folded & 0xffff) + (folded >>> 16);
  return folded;
}

/** Sum of the two halves of a word. */
function halves(word: number): number {
  return (word & 0xffff) + (word >>> 16);
}

/**
 * One's complement sum of the bytes in [from, end), folded to 16 bits in host order; an odd last byte counts as the
 * high half of a word. At most 64 KiB. A header or message whose checksum field is right sums up to 0xffff.
 *
 * Plain and without vectors: most packets are summed up by scan-kernel.
 */
export function onesSum(view: DataView, from: number, end: number): number {
  let sum = 0;
  let at = from;
  for (; at + 4 <= end; at += 4) sum += halves(i32any(view, at));
  if (at + 2 <= end) {
    sum += u16any(view, at);
    at += 2;
  }
  if (at < end) sum += u8(view, at);
  return hostFromAny(fold(sum));
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
