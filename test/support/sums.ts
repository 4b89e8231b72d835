/**
 * Checksums the slow way, word by word and bit by bit as the RFCs tell it, for building frames and for comparing.
 *
 * Imports nothing, least of all from src/: an error there must not hide itself here.
 */

/** One's complement sum of 16-bit words in network order, an odd last byte padded with zero (RFC 1071, section 1). */
export function internetSum(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at++) {
    sum += at % 2 === 0 ? bytes[at] * 256 : bytes[at];
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}

/** What goes into a checksum field: the complement of the sum. */
export function internetChecksum(bytes: Uint8Array): number {
  return 0xffff - internetSum(bytes);
}

/** The generator of CRC32c, reflected (RFC 9260, appendix A). */
const CASTAGNOLI = 0x82f63b78;

/** One byte through the shift register of CRC32c. */
export function crc32cByte(register: number, byte: number): number {
  let bits = register ^ byte;
  for (let bit = 0; bit < 8; bit++) bits = bits & 1 ? (bits >>> 1) ^ CASTAGNOLI : bits >>> 1;
  return bits;
}

/** CRC32c as the usual check value defines it: 0xE3069283 for "123456789". */
export function crc32c(bytes: Uint8Array): number {
  let register = -1;
  for (const byte of bytes) register = crc32cByte(register, byte);
  return ~register >>> 0;
}
