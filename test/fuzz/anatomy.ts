/**
 * Where things lie in a frame that may be damaged: enough to repair checksums and to tell what a witness is not to be
 * asked. Written apart from src/wire, on purpose.
 *
 * Imports writer.
 */
import { PROTOCOL } from './writer.js';

export const ETHERTYPE = { IPV4: 0x0800, IPV6: 0x86dd, VLAN: 0x8100, QINQ: 0x88a8 } as const;
/** A smaller ethertype is a length in the manner of IEEE 802.3. */
const LONGEST_LENGTH = 0x5ff;
const SNAP_BYTES = 8;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
/** Hop-by-hop, routing, fragment, authentication and destination options. */
const EXTENSIONS = [0, 43, FRAGMENT, AUTHENTICATION, 60];

export interface Anatomy {
  readonly isIpv6: boolean;
  /** Where the IP header begins. */
  readonly l3: number;
  /** The protocol, and where its message lies: within the frame, whatever lengths say. */
  readonly protocol: number;
  readonly l4: number;
  readonly end: number;
  readonly isFragment: boolean;
}

export function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}

/** Undefined without a whole IP header. */
export function anatomyOf(frame: Uint8Array): Anatomy | undefined {
  let at = 12;
  while (at + 2 <= frame.length && (u16(frame, at) === ETHERTYPE.VLAN || u16(frame, at) === ETHERTYPE.QINQ)) at += 4;
  let type = u16(frame, at);
  if (type <= LONGEST_LENGTH) {
    at += SNAP_BYTES; // whether it is SNAP, and whose, does not matter here
    type = u16(frame, at);
  }
  if (type === ETHERTYPE.IPV4) return packetAnatomy(frame, at + 2, false);
  return type === ETHERTYPE.IPV6 ? packetAnatomy(frame, at + 2, true) : undefined;
}

export function isFragment(frame: Uint8Array): boolean {
  return anatomyOf(frame)?.isFragment === true;
}

/** Addresses and identification of the datagram that a fragment is of; undefined when the frame is none. */
export function datagramKey(frame: Uint8Array): string | undefined {
  const found = anatomyOf(frame);
  if (found === undefined || !found.isFragment) return undefined;
  const { isIpv6, l3, l4 } = found;
  const addresses = isIpv6 ? frame.subarray(l3 + 8, l3 + 40) : frame.subarray(l3 + 12, l3 + 20);
  const id = isIpv6 ? frame.subarray(l4 - 4, l4) : frame.subarray(l3 + 4, l3 + 6);
  return Buffer.concat([addresses, id]).toString('hex');
}

/** The same for an IP packet within a frame. */
function packetAnatomy(frame: Uint8Array, l3: number, isIpv6: boolean): Anatomy | undefined {
  if (isIpv6) return ipv6Anatomy(frame, l3);
  const header = (frame[l3] & 0x0f) * 4;
  if (header < 20 || l3 + header > frame.length) return undefined;
  const end = Math.min(l3 + u16(frame, l3 + 2), frame.length);
  const isFragment = (u16(frame, l3 + 6) & 0x3fff) !== 0;
  return { isIpv6, l3, protocol: frame[l3 + 9], l4: l3 + header, end, isFragment };
}

function ipv6Anatomy(frame: Uint8Array, l3: number): Anatomy | undefined {
  if (l3 + 40 > frame.length) return undefined;
  let l4 = l3 + 40;
  let protocol = frame[l3 + 6];
  let isFragment = false;
  while (EXTENSIONS.includes(protocol) && l4 + 4 <= frame.length && !isFragment) {
    // A fragment header that is the whole packet's is one like the others.
    if (protocol === FRAGMENT) isFragment = u16(frame, l4 + 2) !== 0;
    const length = extensionLength(protocol, frame[l4 + 1]);
    protocol = frame[l4];
    l4 += length;
  }
  const end = Math.min(l3 + 40 + u16(frame, l3 + 4), frame.length);
  return { isIpv6: true, l3, protocol, l4, end, isFragment };
}

function extensionLength(protocol: number, length: number): number {
  if (protocol === FRAGMENT) return 8;
  return protocol === AUTHENTICATION ? (length + 2) * 4 : (length + 1) * 8;
}

/** The packet that an ICMP error quotes, if there is one. */
export function quotedAnatomy(frame: Uint8Array, outer: Anatomy): Anatomy | undefined {
  if (outer.protocol !== (outer.isIpv6 ? PROTOCOL.ICMPV6 : PROTOCOL.ICMP)) return undefined;
  return packetAnatomy(frame, outer.l4 + 8, outer.isIpv6);
}
