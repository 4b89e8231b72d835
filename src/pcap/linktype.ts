/**
 * Link types: their names, and where the network layer starts behind each link header.
 *
 * Ethernet is not taken apart here: wire/ethernet walks its header and the VLAN tags, which other link types may carry
 * as well. Imports nothing; callers outside the folder may import it.
 *
 * Read first: https://www.tcpdump.org/linktypes.html
 */

/** Number and name, as tcpdump spells it, of the link types that networkLayer() understands. */
const LINK_TYPES = [
  [0, 'NULL'],
  [1, 'EN10MB'],
  // 12 and 14 are what DLT_RAW is on some systems whose captures got away with it.
  [12, 'RAW'],
  [14, 'RAW'],
  [101, 'RAW'],
  [108, 'LOOP'],
  [113, 'LINUX_SLL'],
  [228, 'IPV4'],
  [229, 'IPV6'],
  [276, 'LINUX_SLL2'],
] as const satisfies readonly (readonly [number: number, name: string])[];

const NAMES: ReadonlyMap<number, string> = new Map(LINK_TYPES);

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;

/** What networkLayer() gives for a frame whose ethertype it cannot tell. */
const NO_ETHERTYPE = 0;
/** What networkLayer() gives for Ethernet: the caller walks the header from the given offset. */
const WALK_ETHERNET = -1;

/** Bytes before the payload, and where among them the protocol is. */
const LOOPBACK_BYTES = 4;
const SLL = { PROTOCOL: 14, BYTES: 16 } as const;
const SLL2 = { PROTOCOL: 0, BYTES: 20 } as const;

export function isSupportedLinkType(linkType: number): boolean {
  return NAMES.has(linkType);
}

/** Name for people: `LINUX_SLL`, or `DLT 147` when networkLayer() does not know the type. */
export function linkTypeName(linkType: number): string {
  return NAMES.get(linkType) ?? `DLT ${linkType}`;
}

/**
 * Finds the network layer of the frame `bytes[start, end)`.
 *
 * Writes to `out[0]` the ethertype, 0 when the frame has none or ends before its payload starts, -1 for Ethernet; and
 * to `out[1]` the absolute offset of what follows the ethertype: of the payload, for Ethernet of the header, and
 * `start` when there is no ethertype.
 */
export function networkLayer(linkType: number, bytes: Uint8Array, start: number, end: number, out: Int32Array): void {
  out[0] = NO_ETHERTYPE;
  out[1] = start;
  switch (linkType) {
    case 1:
      out[0] = WALK_ETHERNET;
      break;
    case 12:
    case 14:
    case 101:
      if (start < end) out[0] = ethertypeOfVersion(bytes[start] >>> 4);
      break;
    case 228:
      out[0] = ETHERTYPE_IPV4;
      break;
    case 229:
      out[0] = ETHERTYPE_IPV6;
      break;
    case 113:
      if (end - start >= SLL.BYTES) readCooked(bytes, start + SLL.PROTOCOL, start + SLL.BYTES, out);
      break;
    case 276:
      if (end - start >= SLL2.BYTES) readCooked(bytes, start + SLL2.PROTOCOL, start + SLL2.BYTES, out);
      break;
    case 0:
      if (end - start >= LOOPBACK_BYTES) readLoopback(bytes, start, true, out);
      break;
    case 108:
      if (end - start >= LOOPBACK_BYTES) readLoopback(bytes, start, false, out);
      break;
  }
}

function readCooked(bytes: Uint8Array, protocolAt: number, payload: number, out: Int32Array): void {
  out[0] = (bytes[protocolAt] << 8) | bytes[protocolAt + 1];
  out[1] = payload;
}

/** `eitherOrder`: the family is in the byte order of the machine that captured, which the capture does not tell. */
function readLoopback(bytes: Uint8Array, start: number, eitherOrder: boolean, out: Int32Array): void {
  // All families are below 256: one byte is the family, the other three are zero.
  if ((bytes[start + 1] | bytes[start + 2]) !== 0) return;
  let family = 0;
  if (bytes[start] === 0) family = bytes[start + 3];
  else if (bytes[start + 3] === 0 && eitherOrder) family = bytes[start];
  const ethertype = ethertypeOfFamily(family);
  if (ethertype === NO_ETHERTYPE) return;
  out[0] = ethertype;
  out[1] = start + LOOPBACK_BYTES;
}

function ethertypeOfVersion(version: number): number {
  if (version === 4) return ETHERTYPE_IPV4;
  return version === 6 ? ETHERTYPE_IPV6 : NO_ETHERTYPE;
}

/** IPv4 is 2 everywhere; IPv6 is 10 on Linux, 24 on NetBSD and OpenBSD, 28 on FreeBSD, 30 on macOS. */
function ethertypeOfFamily(family: number): number {
  switch (family) {
    case 2:
      return ETHERTYPE_IPV4;
    case 10:
    case 24:
    case 28:
    case 30:
      return ETHERTYPE_IPV6;
    default:
      return NO_ETHERTYPE;
  }
}
