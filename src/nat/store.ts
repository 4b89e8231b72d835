/**
 * Numbers into frame memory: the writing side of wire/bytes, with the same offsets and the same byte orders.
 *
 * Imports nothing. Imported by nat/rewrite.
 */

export function setU16be(view: DataView, at: number, value: number): void {
  view.setUint16(at, value, false);
}

/** 32 bits, signed or not. */
export function setI32be(view: DataView, at: number, value: number): void {
  view.setInt32(at, value, false);
}

/** SCTP sends its CRC32c with the least significant byte first (RFC 9260, appendix A). */
export function setU32le(view: DataView, at: number, value: number): void {
  view.setUint32(at, value, true);
}
