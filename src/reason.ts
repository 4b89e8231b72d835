/**
 * Why a packet got the verdict it got: the one list of reason names, of their codes and of what they mean.
 *
 * Every verdict carries a reason, and every reason has a counter. The order of the list decides the codes; a code is
 * only meaningful within one version of the program, the name is what other programs may rely on.
 *
 * Imports nothing; every other file may import it. The conditions are those under which Open vSwitch's userspace
 * tracker (`conn_key_extract()`, `process_one()` and the L4 trackers) gives the same answer.
 */

/** Pairs of name and meaning. A group is named after the file that decides it. */
const REASONS = [
  // Nothing to explain.
  ['none', 'tracked'],

  // wire/ethernet
  ['not-ip', 'the frame carries neither IPv4 nor IPv6'],
  ['ethernet-truncated', 'the frame ends within its Ethernet or VLAN headers'],

  ['checksum-declared-bad', 'the caller says that a checksum of the packet is wrong'],

  // wire/ipv4
  ['ipv4-truncated', 'the frame ends within the IPv4 header'],
  ['ipv4-header-length', 'the IPv4 header length is below 20 bytes or beyond the frame'],
  [
    'ipv4-total-length',
    'the IPv4 total length is shorter than the header, longer than the frame, or 64 KiB short of it',
  ],
  ['ipv4-checksum', 'the IPv4 header checksum is wrong'],
  ['ipv4-fragment', 'a fragment of an IPv4 datagram, and reassembly is switched off'],

  // wire/ipv6
  ['ipv6-truncated', 'the frame ends within the IPv6 header'],
  ['ipv6-payload-length', 'the IPv6 payload length is longer than the frame, or 64 KiB short of it'],
  ['ipv6-extension-header', 'an IPv6 extension header runs beyond the packet'],
  ['ipv6-fragment', 'a fragment of an IPv6 datagram, and reassembly is switched off'],

  // wire/tcp, udp, sctp
  ['tcp-truncated', 'fewer than 20 bytes of TCP header'],
  ['tcp-data-offset', 'the TCP data offset is below 20 bytes or beyond the packet'],
  ['tcp-checksum', 'the TCP checksum is wrong'],
  ['udp-truncated', 'fewer than 8 bytes of UDP header'],
  ['udp-length', 'the UDP length is below 8 bytes or beyond the packet'],
  ['udp-checksum', 'the UDP checksum is wrong; over IPv6 it cannot be left out'],
  ['sctp-truncated', 'fewer than 12 bytes of SCTP header'],
  ['sctp-chunk', 'the SCTP chunks do not add up to the packet'],
  ['sctp-checksum', 'the SCTP CRC32c is wrong'],
  ['port-zero', 'a port of TCP, UDP or SCTP is zero'],

  // wire/icmp, icmpv6
  ['icmp-truncated', 'fewer than 8 bytes of ICMP or ICMPv6 header'],
  ['icmp-checksum', 'the ICMP or ICMPv6 checksum is wrong'],
  ['icmp-type', 'an ICMP or ICMPv6 type that is not tracked'],
  ['icmp-code', 'an ICMP or ICMPv6 query with a code other than zero'],
  ['icmp-error-payload', 'the packet quoted by an ICMP error is cut short, a later fragment, or itself an error'],
  ['icmp-error-address', 'the packet quoted by an ICMP error was not sent by the receiver of the error'],

  // track
  ['icmp-error-unrelated', 'an ICMP error about a connection that is not tracked'],
  ['icmp-not-request', 'an ICMP or ICMPv6 message that cannot open a connection'],
  ['tcp-flags', 'a combination of TCP flags that no sender may use'],
  ['tcp-syn-ack', 'a SYN+ACK cannot open a connection'],
  ['tcp-window', 'a TCP segment outside the window of its connection'],

  // engine/fragments
  ['fragment-held', 'a fragment that waits for the rest of its datagram and comes back with its verdict'],
  ['fragment-too-small', 'a fragment below the minimum size that is not the last of its datagram'],
  ['fragment-overlap', 'a fragment that begins or ends within another one of its datagram'],
  ['fragment-oversize', 'a fragment of a datagram that is longer than 64 KiB'],
  ['fragment-count', 'a fragment of a datagram that has come in more fragments than the minimum size allows'],
  ['fragment-limit', 'a fragment, and as many are held as may be'],
  ['fragment-pair-limit', 'a fragment, and its source and destination have as many held as a pair may'],
  ['fragment-memory', 'a fragment, and the memory for fragments is full'],

  // engine
  ['not-committed', 'a new connection, and the action does not commit'],
  ['zone-rate', 'a new connection, and its zone opens more of them per second than its policy allows'],
  ['source-rate', 'a new connection, and its source opens more of them per second than its zone’s policy allows'],
  ['half-open-limit', 'a new TCP connection, and its zone or its source has as many half-open ones as it may'],
  ['zone-full', 'a new connection, and the limit of its zone is reached'],
  ['table-full', 'a new connection, and the configured maximum of connections is reached'],
  ['table-memory', 'a new connection, and its part of the table has no free record or no slot within reach'],
  ['nat-family', 'a new connection, and the addresses of the NAT range are of the other family'],
  ['nat-exhausted', 'a new connection, and no address and port of the NAT range is free'],
  ['alg-malformed', 'a packet of a control connection that cannot be read, or that announces somebody else’s address'],
  ['alg-room', 'an address in the payload would become longer than the room behind the frame'],
  [
    'alg-partial',
    'a segment with a part of an address that was rewritten, or one that would be rewritten out of order',
  ],
  ['alg-memory', 'no memory left to note what is rewritten in the payload of a control connection'],
  ['flow-limit', 'the packet went through more flow tables or actions than a packet may'],
  ['frame-range', 'the frame lies outside the frame memory'],
  ['table-locked', 'the part of the table that holds the connection stayed locked for too long'],
  ['shard-died', 'the shard died at this packet; another one goes on with the next'],
] as const satisfies readonly (readonly [name: string, meaning: string])[];

export type ReasonName = (typeof REASONS)[number][0];

/** Reason code by name. Codes are small non-negative integers; `none` is 0. */
export const REASON = Object.fromEntries(REASONS.map(([name], code) => [name, code])) as Readonly<
  Record<ReasonName, number>
>;

export const REASON_COUNT = REASONS.length;

/** Name of a reason code. @throws RangeError for a code that is not in the list. */
export function reasonName(code: number): ReasonName {
  const entry = REASONS[code];
  if (entry === undefined) throw new RangeError(`no such reason code: ${code}`);
  return entry[0];
}

/** One sentence fragment for people, without a full stop. @throws RangeError for a code that is not in the list. */
export function reasonMeaning(code: number): string {
  const entry = REASONS[code];
  if (entry === undefined) throw new RangeError(`no such reason code: ${code}`);
  return entry[1];
}
