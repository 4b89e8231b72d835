/**
 * Frame to facts: the one entry of wire/. Every length is checked here or below before anything is read; whatever the
 * bytes, the answer is a reason and never an exception.
 *
 * Follows Open vSwitch's `flow_extract()` and `conn_key_extract()`. Nothing here knows of connections or of time.
 *
 * Imports the other files of wire/ and ../reason. Imported by engine/.
 */
import { REASON } from '../reason.js';
import { ETHERNET_TRUNCATED, ETHERTYPE, walkEthernet } from './ethernet.js';
import { FACT, FAMILY_IPV6, IPPROTO, PROTOCOL_MASK } from './facts.js';
import { parseIcmp } from './icmp.js';
import { parseIpv4 } from './ipv4.js';
import { parseIpv6 } from './ipv6.js';
import { KNOWN } from './known.js';
import { parseSctp, parseTcp, parseUdp } from './ports.js';

const { PORTS, PORTS_REVERSED, PROTOCOL, L3, FLAGS } = FACT;
const { L3_IPV4, L3_IPV6, L3_OTHER, L4_CHECKSUM_BAD } = KNOWN;
const NONE = REASON.none;

const { IPV4, IPV6 } = ETHERTYPE;
const { ICMP, TCP, UDP, ICMPV6, SCTP } = IPPROTO;

/**
 * Parses the frame in [start, end) of `view` into the FACT_WORDS words of `facts` from `base` on.
 *
 * @param known bits of KNOWN: what the caller has found out already
 * @param l3 offset of the network layer; only read when `known` names the network layer
 * @returns REASON.none, or why the packet is invalid. The facts are complete only with REASON.none; with a fragment's
 *   reason what the network layer says is there as well: see wire/fragment.
 */
export function parseFrame(
  view: DataView,
  start: number,
  end: number,
  known: number,
  l3: number,
  facts: Int32Array,
  base: number,
): number {
  facts[base + FLAGS] = 0;
  facts[base + PORTS] = 0;
  facts[base + PORTS_REVERSED] = 0;
  const type = networkLayer(view, start, end, known, l3, facts, base);
  if (type === IPV4) {
    const reason = parseIpv4(view, facts[base + L3], end, known, facts, base);
    return reason === NONE ? parseL4(view, known, facts, base) : reason;
  }
  if (type === IPV6) {
    const reason = parseIpv6(view, facts[base + L3], end, facts, base);
    return reason === NONE ? parseL4(view, known, facts, base) : reason;
  }
  return type === ETHERNET_TRUNCATED ? REASON['ethernet-truncated'] : REASON['not-ip'];
}

/** Ethertype of the network layer, its offset in FACT.L3. */
function networkLayer(
  view: DataView,
  start: number,
  end: number,
  known: number,
  l3: number,
  facts: Int32Array,
  base: number,
): number {
  if ((known & (L3_IPV4 | L3_IPV6 | L3_OTHER)) === 0) return walkEthernet(view, start, end, facts, base);
  facts[base + L3] = l3;
  if ((known & L3_IPV4) !== 0) return IPV4;
  return (known & L3_IPV6) !== 0 ? IPV6 : 0;
}

/**
 * Continues behind the network layer, whose part of the facts is there: checks what lies in [L4, L4_END) and completes
 * the key. For those who have put a datagram together, or take a first fragment for one.
 */
export function parseL4(view: DataView, known: number, facts: Int32Array, base: number): number {
  if ((known & L4_CHECKSUM_BAD) !== 0) return REASON['checksum-declared-bad'];
  const familyAndProtocol = facts[base + PROTOCOL];
  const protocol = familyAndProtocol & PROTOCOL_MASK;
  if (protocol === TCP) return parseTcp(view, known, facts, base);
  if (protocol === UDP) return parseUdp(view, known, facts, base);
  if (familyAndProtocol === ICMP || familyAndProtocol === (ICMPV6 | FAMILY_IPV6)) {
    return parseIcmp(view, known, facts, base);
  }
  if (protocol === SCTP) return parseSctp(view, known, facts, base);
  return NONE;
}
