/**
 * Which tracker follows which IP protocol. As in OVS the number alone decides, not the family.
 *
 * Imports the trackers, wire/facts. Imported by engine/.
 */
import { IPPROTO, PROTOCOL_MASK } from '../wire/facts.js';
import { icmp, icmpv6 } from './icmp.js';
import { other } from './other.js';
import type { L4Protocol, TrackContext } from './protocol.js';
import { tcp } from './tcp.js';

export function trackerOf(protocol: number): L4Protocol {
  if (protocol === IPPROTO.TCP) return tcp;
  if (protocol === IPPROTO.ICMP) return icmp;
  return protocol === IPPROTO.ICMPV6 ? icmpv6 : other;
}

/**
 * L4Protocol.update() of the tracker that the key of the connection at word `conn` asks for. Spelled out rather than
 * looked up, so that each call has one target and can be inlined.
 */
export function updateConnection(
  context: TrackContext,
  conn: number,
  key: number,
  facts: number,
  isReply: boolean,
): number {
  const protocol = key & PROTOCOL_MASK;
  if (protocol === IPPROTO.TCP) return tcp.update(context, conn, facts, isReply);
  if (protocol === IPPROTO.ICMP) return icmp.update(context, conn, facts, isReply);
  if (protocol === IPPROTO.ICMPV6) return icmpv6.update(context, conn, facts, isReply);
  return other.update(context, conn, facts, isReply);
}
