/**
 * Byte order: the only file that says in which order the bytes of a number lie.
 *
 * Network order on the wire; everything that leaves these functions is a host number, unsigned unless its name says
 * otherwise. Offsets are absolute in the view, which holds a whole batch of frames: a view per packet would cost more
 * than the parse. Bounds are the caller's business, checked once per header before anything is read.
 *
 * Imports nothing. Imported by wire/, track/, nat/, engine/.
 */

export function u8(view: DataView, at: number): number {
  return view.getUint8(at);
}

export function u16be(view: DataView, at: number): number {
  return view.getUint16(at, false);
}

export function u32be(view: DataView, at: number): number {
  return view.getUint32(at, false);
}

/** 32 bits as a signed number: what the words of a key hold, since an Int32Array hands them back signed. */
export function i32be(view: DataView, at: number): number {
  return view.getInt32(at, false);
}

/** SCTP sends its CRC32c with the least significant byte first (RFC 9260, appendix A). */
export function u32le(view: DataView, at: number): number {
  return view.getUint32(at, true);
}

/** 32 bits in either order, for sums that come out the same whichever it is (RFC 1071, section 2 B). */
export function i32any(view: DataView, at: number): number {
  return view.getInt32(at, true);
}

/** Writes what {@link i32any} reads. */
export function setI32any(view: DataView, at: number, value: number): void {
  view.setInt32(at, value, true);
}

export function setU8(view: DataView, at: number, value: number): void {
  view.setUint8(at, value);
}

/** 16 bits in the order of {@link i32any}. */
export function u16any(view: DataView, at: number): number {
  return view.getUint16(at, true);
}

/** A 16-bit sum made with {@link i32any} and {@link u16any}, in host order. */
export function hostFromAny(sum: number): number {
  return ((sum & 0xff) << 8) | (sum >>> 8);
}

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
