/**
 * Packets that Open vSwitch and the engine are known to judge differently, and which are therefore left out: the README's
 * list, as far as traffic meets it, and what old versions of Open vSwitch did otherwise.
 *
 * Imports anatomy, traffic, writer.
 */
import { type Anatomy, anatomyOf, datagramKey, isFragment, quotedAnatomy, u16 } from './anatomy.js';
import type { Traffic } from './traffic.js';
import { PROTOCOL } from './writer.js';

/** ICMP of the other family without a byte of payload: OVS reads its type from behind the packet's end. */
function isEmptyForeignIcmp({ isIpv6, protocol, l4, end }: Anatomy): boolean {
  return protocol === (isIpv6 ? PROTOCOL.ICMP : PROTOCOL.ICMPV6) && l4 >= end;
}

const MAX_DATAGRAM = 65_535;
/** With the longest headers it still fits. */
const SURE_DATAGRAM = 65_300;

/** Where the part of a fragment ends in its datagram, as OVS counts; 0 of what is no fragment. */
function fragmentEnd(frame: Uint8Array, { isIpv6, isFragment: is, l3, l4, end }: Anatomy): number {
  if (!is) return 0;
  const offset = isIpv6 ? (u16(frame, l4 - 6) & 0xfff8) + 8 : (u16(frame, l3 + 6) & 0x1fff) * 8;
  return offset + Math.max(0, end - l4);
}

/** A fragment that reaches beyond the longest datagram: OVS reckons its end in 16 bits, and may not survive it. */
function isBeyond(frame: Uint8Array, anatomy: Anatomy): boolean {
  return fragmentEnd(frame, anatomy) > MAX_DATAGRAM;
}

const FTP_PORT = 21;
const TFTP_PORT = 69;

/**
 * FTP control and TFTP by their ports: OVS judges them once more at every ct(), and leaves their checksums to whoever
 * sends them on, whether a helper was committed or not. Conversations of these protocols are compared in conformance/.
 */
function isHelped(frame: Uint8Array, { protocol, l4, end }: Anatomy): boolean {
  if (l4 + 4 > end) return false;
  const source = u16(frame, l4);
  const destination = u16(frame, l4 + 2);
  if (protocol === PROTOCOL.TCP) return source === FTP_PORT || destination === FTP_PORT;
  return protocol === PROTOCOL.UDP && destination === TFTP_PORT;
}

/** Bytes of a segment of FTP's that Open vSwitch looks at. */
const FTP_BYTES = 128;

function ftpText(frame: Uint8Array, { protocol, l4, end }: Anatomy): string {
  if (protocol !== PROTOCOL.TCP || l4 + 20 > end) return '';
  const payload = frame.subarray(l4 + (frame[l4 + 12] >> 4) * 4, end);
  return Buffer.from(payload.subarray(0, FTP_BYTES)).toString('latin1');
}

/**
 * An announcement with a number that Open vSwitch takes for whole: what is looked at ends within it, or it has more digits
 * than are looked at.
 */
function hasCutNumber(frame: Uint8Array, anatomy: Anatomy): boolean {
  const text = ftpText(frame, anatomy);
  return /(^(port|eprt|227|229)|extended passive).*([0-9]$|[0-9]{7})/is.test(text);
}

/** Over IPv4 old versions do not know the extended commands, and want a comma behind the address of the others. */
function isUnknownTo31(frame: Uint8Array, anatomy: Anatomy): boolean {
  return !anatomy.isIpv6 && /^(eprt|229|(port|227)\D*(\d+[,.]){3}\d+[^,\d])/i.test(ftpText(frame, anatomy));
}

function without(traffic: Traffic, isLeftOut: (frame: Uint8Array, anatomy: Anatomy) => boolean): Traffic {
  const packets = traffic.packets.filter(({ frame }) => {
    const anatomy = anatomyOf(frame);
    return anatomy === undefined || !isLeftOut(frame, anatomy);
  });
  return { ...traffic, packets };
}

/** How long fragments wait for the rest of their datagram. */
const FRAGMENT_WAIT_MS = 15_000;

/**
 * Leaves out fragments of a datagram that may be there although its time is up: OVS gives up one such datagram with each
 * packet. Every fragment is taken for the first one of a datagram, the oldest of which goes first.
 */
function withoutLateFragments(traffic: Traffic): Traffic {
  if (!traffic.packets.some(({ frame }) => isFragment(frame))) return traffic;
  const waiting: { readonly key: string; readonly timeMs: number }[] = [];
  const packets = traffic.packets.filter(({ frame, timeMs }) => {
    const isEnded = (one: { readonly timeMs: number }) => timeMs - one.timeMs > FRAGMENT_WAIT_MS;
    const key = datagramKey(frame);
    if (key !== undefined) {
      if (waiting.some(one => one.key === key && isEnded(one))) return false;
      waiting.push({ key, timeMs });
    }
    if (anatomyOf(frame) !== undefined && isEnded(waiting[0] ?? { timeMs })) waiting.shift();
    return true;
  });
  return { ...traffic, packets };
}

/** What the reference is asked. */
export function comparable(traffic: Traffic): Traffic {
  const { hasHelpers = false } = traffic;
  const known = without(
    traffic,
    (frame, anatomy) =>
      isEmptyForeignIcmp(anatomy) ||
      isBeyond(frame, anatomy) ||
      (hasHelpers ? hasCutNumber(frame, anatomy) : isHelped(frame, anatomy)),
  );
  return withoutLateFragments(known);
}

/**
 * What Open vSwitch 3.1 is asked: it does not know SCTP, reads some of FTP otherwise, refuses an error that quotes a
 * first fragment, and sends on as invalid what fragments it gives up, for which reason none gets too old and no datagram
 * too long.
 */
export function comparableWith31(traffic: Traffic): Traffic {
  const asked = without(comparable(traffic), (frame, anatomy) => {
    const quoted = quotedAnatomy(frame, anatomy);
    if (fragmentEnd(frame, anatomy) > SURE_DATAGRAM || isUnknownTo31(frame, anatomy)) return true;
    return anatomy.protocol === PROTOCOL.SCTP || quoted?.protocol === PROTOCOL.SCTP || quoted?.isFragment === true;
  });
  return asked.packets.some(({ frame }) => isFragment(frame)) ? stopped(asked) : asked;
}

/** The same packets, all at one moment. */
function stopped(traffic: Traffic): Traffic {
  return { ...traffic, packets: traffic.packets.map(packet => ({ ...packet, timeMs: 0 })) };
}
