/**
 * CRC32c (Castagnoli) of an SCTP packet (RFC 9260, appendix A), four bytes a step from four tables.
 *
 * Imports bytes. Imported by wire/ports and nat/rewrite.
 */
import { u8, u32le } from './bytes.js';

/** The reflected generator polynomial 0x1EDC6F41. */
const POLYNOMIAL = 0x82f63b78;

/** TABLES[k * 256 + b] advances byte b through k further zero bytes. */
const TABLES = (() => {
  const tables = new Int32Array(4 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    tables[byte] = crc;
  }
  for (let at = 256; at < tables.length; at++) {
    const previous = tables[at - 256];
    tables[at] = (previous >>> 8) ^ tables[previous & 0xff];
  }
  return tables;
})();

function advanceWord(crc: number, word: number): number {
  const bits = crc ^ word;
  return (
    TABLES[768 + (bits & 0xff)] ^
    TABLES[512 + ((bits >>> 8) & 0xff)] ^
    TABLES[256 + ((bits >>> 16) & 0xff)] ^
    TABLES[bits >>> 24]
  );
}

/**
 * CRC32c of the SCTP packet in [from, end), its checksum field (bytes 8 to 11) taken as zero, in the order in
 * which {@link u32le} reads the field, but signed: an unsigned number that a function returns may take memory. The
 * packet must hold the 12 bytes of the common header.
 */
export function sctpChecksum(view: DataView, from: number, end: number): number {
  let crc = advanceWord(-1, u32le(view, from));
  crc = advanceWord(crc, u32le(view, from + 4));
  crc = advanceWord(crc, 0);
  let at = from + 12;
  for (; at + 4 <= end; at += 4) crc = advanceWord(crc, u32le(view, at));
  for (; at < end; at++) crc = (crc >>> 8) ^ TABLES[(crc ^ u8(view, at)) & 0xff];
  return ~crc;
}
