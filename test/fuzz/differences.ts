/**
 * Packets that Open vSwitch and the engine are known to judge differently, and which are therefore left out: the README's
 * list, as far as traffic meets it, and what old versions of Open vSwitch did otherwise.
 *
 * Imports anatomy, traffic, writer.
 */
import { type Anatomy, anatomyOf, isFragment, quotedAnatomy, u16 } from './anatomy.js';
import type { Traffic } from './traffic.js';
import { PROTOCOL } from './writer.js';

/** ICMP of the other family without a byte of payload: OVS reads its type from behind the packet's end. */
function isEmptyForeignIcmp({ isIpv6, protocol, l4, end }: Anatomy): boolean {
  return protocol === (isIpv6 ? PROTOCOL.ICMP : PROTOCOL.ICMPV6) && l4 >= end;
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

function without(traffic: Traffic, isLeftOut: (frame: Uint8Array, anatomy: Anatomy) => boolean): Traffic {
  const packets = traffic.packets.filter(({ frame }) => {
    const anatomy = anatomyOf(frame);
    return anatomy === undefined || !isLeftOut(frame, anatomy);
  });
  return { ...traffic, packets };
}

/** What the reference is asked. */
export function comparable(traffic: Traffic): Traffic {
  return without(traffic, (frame, anatomy) => isEmptyForeignIcmp(anatomy) || isHelped(frame, anatomy));
}

/**
 * What Open vSwitch 3.1 is asked: it does not know SCTP, refuses an error that quotes a first fragment, and sends on as
 * invalid what fragments it gives up, for which reason none gets too old.
 */
export function comparableWith31(traffic: Traffic): Traffic {
  const asked = without(comparable(traffic), (frame, anatomy) => {
    const quoted = quotedAnatomy(frame, anatomy);
    return anatomy.protocol === PROTOCOL.SCTP || quoted?.protocol === PROTOCOL.SCTP || quoted?.isFragment === true;
  });
  return asked.packets.some(({ frame }) => isFragment(frame)) ? stopped(asked) : asked;
}

/** The same packets, all at one moment. */
function stopped(traffic: Traffic): Traffic {
  return { ...traffic, packets: traffic.packets.map(packet => ({ ...packet, timeMs: 0 })) };
}
