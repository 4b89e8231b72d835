/**
 * The Internet checksum (RFC 1071) over frame memory.
 *
 * Sums are kept in the byte order in which memory is read, which the arithmetic allows, and in two halves so that
 * nothing overflows: 64 KiB of words add up to less than 2^30 in each half.
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

/**
 * One's complement sum of the bytes in [from, end), folded to 16 bits in host order; an odd last byte counts as the
 * high half of a word. At most 64 KiB. A header or message whose checksum field is right sums up to 0xffff.
 */
export function onesSum(view: DataView, from: number, end: number): number {
  let low = 0;
  let high = 0;
  let at = from;
  for (const last = end - 16; at <= last; at += 16) {
    const a = i32any(view, at);
    const b = i32any(view, at + 4);
    const c = i32any(view, at + 8);
    const d = i32any(view, at + 12);
    low += (a & 0xffff) + (b & 0xffff) + (c & 0xffff) + (d & 0xffff);
    high += (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16);
  }
  for (; at + 2 <= end; at += 2) low += u16any(view, at);
  if (at < end) low += u8(view, at);
  return hostFromAny(fold(fold(low) + fold(high)));
}

/** Adds two folded sums. */
export function addSums(a: number, b: number): number {
  const sum = a + b;
  return (sum & 0xffff) + (sum >>> 16);
}

/** True when the IPv4 header of `length` bytes (a multiple of 4) at `at` carries the right checksum (RFC 791). */
export function ipv4HeaderSumGood(view: DataView, at: number, length: number): boolean {
  let low = 0;
  let high = 0;
  for (let word = at, end = at + length; word < end; word += 4) {
    const bits = i32any(view, word);
    low += bits & 0xffff;
    high += bits >>> 16;
  }
  return fold(low + high) === 0xffff;
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
