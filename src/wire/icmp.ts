/**
 * ICMP (RFC 792) and ICMPv6 (RFC 4443): queries named by their identifier, errors by the packet they quote.
 *
 * Tracked queries are echo, timestamp and information over IPv4, echo over IPv6, with code 0. Errors that belong to a
 * connection are destination unreachable, source quench, redirect, time exceeded and parameter problem; over IPv6
 * destination unreachable, packet too big, time exceeded and parameter problem. An error is believed only if the packet
 * it quotes was sent by the host that the error is sent to. All of this is Open vSwitch's choice.
 *
 * Imports bytes, checksum, facts, ipv4, ipv6, known, ports, ../reason. Imported by wire/parse.
 */
import { REASON } from '../reason.js';
import { u8, u16be } from './bytes.js';
import { onesSum } from './checksum.js';
import { FACT, FACT_RELATED, FAMILY_IPV6, IPPROTO } from './facts.js';
import { parseQuotedIpv4 } from './ipv4.js';
import { parseQuotedIpv6 } from './ipv6.js';
import { KNOWN } from './known.js';
import { parseQuotedPorts, pseudoSumGood } from './ports.js';

const { SRC0, SRC, DST0, DST, PORTS, PORTS_REVERSED, PROTOCOL, L4, L4_END, FLAGS } = FACT;
const NONE = REASON.none;

/** Both headers are 8 bytes, and an error quotes its packet right behind. */
const HEADER_BYTES = 8;
const IDENTIFIER = 4;

export const ICMP = {
  ECHO_REPLY: 0,
  DESTINATION_UNREACHABLE: 3,
  SOURCE_QUENCH: 4,
  REDIRECT: 5,
  ECHO_REQUEST: 8,
  TIME_EXCEEDED: 11,
  PARAMETER_PROBLEM: 12,
  TIMESTAMP_REQUEST: 13,
  TIMESTAMP_REPLY: 14,
  INFORMATION_REQUEST: 15,
  INFORMATION_REPLY: 16,
} as const;

export const ICMPV6 = {
  DESTINATION_UNREACHABLE: 1,
  PACKET_TOO_BIG: 2,
  TIME_EXCEEDED: 3,
  PARAMETER_PROBLEM: 4,
  ECHO_REQUEST: 128,
  ECHO_REPLY: 129,
} as const;

/** What a type is to the tracker, by type: the type of the answer for a query, or one of these. */
const UNTRACKED = -1;
const ERROR = -2;

function roles(queries: readonly (readonly [number, number])[], errors: readonly number[]): Int16Array {
  const table = new Int16Array(256).fill(UNTRACKED);
  for (const [request, reply] of queries) {
    table[request] = reply;
    table[reply] = request;
  }
  for (const type of errors) table[type] = ERROR;
  return table;
}

const ICMP_ROLES = roles(
  [
    [ICMP.ECHO_REQUEST, ICMP.ECHO_REPLY],
    [ICMP.TIMESTAMP_REQUEST, ICMP.TIMESTAMP_REPLY],
    [ICMP.INFORMATION_REQUEST, ICMP.INFORMATION_REPLY],
  ],
  [ICMP.DESTINATION_UNREACHABLE, ICMP.SOURCE_QUENCH, ICMP.REDIRECT, ICMP.TIME_EXCEEDED, ICMP.PARAMETER_PROBLEM],
);

const ICMPV6_ROLES = roles(
  [[ICMPV6.ECHO_REQUEST, ICMPV6.ECHO_REPLY]],
  [ICMPV6.DESTINATION_UNREACHABLE, ICMPV6.PACKET_TOO_BIG, ICMPV6.TIME_EXCEEDED, ICMPV6.PARAMETER_PROBLEM],
);

/** Writes the key words of a query: PORTS is id << 16 | type << 8 | type of the answer. */
function readQuery(view: DataView, l4: number, answer: number, facts: Int32Array, base: number): number {
  if (u8(view, l4 + 1) !== 0) return REASON['icmp-code'];
  const id = u16be(view, l4 + IDENTIFIER) << 16;
  const type = u8(view, l4);
  facts[base + PORTS] = id | (type << 8) | answer;
  facts[base + PORTS_REVERSED] = id | (answer << 8) | type;
  return NONE;
}

/** A message of the family of the packet it travels in: type and code in the first two bytes at L4. */
export function parseIcmp(view: DataView, known: number, facts: Int32Array, base: number): number {
  const l4 = facts[base + L4];
  const end = facts[base + L4_END];
  const isIpv6 = (facts[base + PROTOCOL] & FAMILY_IPV6) !== 0;
  if (end - l4 < HEADER_BYTES) return REASON['icmp-truncated'];
  if ((known & KNOWN.NO_CHECKSUMS) === 0) {
    const good = isIpv6 ? pseudoSumGood(view, facts, base) : onesSum(view, l4, end) === 0xffff;
    if (!good) return REASON['icmp-checksum'];
  }
  const role = (isIpv6 ? ICMPV6_ROLES : ICMP_ROLES)[u8(view, l4)];
  if (role === UNTRACKED) return REASON['icmp-type'];
  return role === ERROR ? parseError(view, isIpv6, facts, base) : readQuery(view, l4, role, facts, base);
}

/**
 * Replaces the key by that of the quoted packet, turned round, and sets FACT_RELATED. L4 and L4_END still bound the
 * error itself afterwards.
 */
function parseError(view: DataView, isIpv6: boolean, facts: Int32Array, base: number): number {
  const l4 = facts[base + L4];
  const end = facts[base + L4_END];
  const receiver0 = facts[base + DST0];
  const receiver1 = facts[base + DST0 + 1];
  const receiver2 = facts[base + DST0 + 2];
  const receiver = facts[base + DST];

  const quoted = l4 + HEADER_BYTES;
  const reason = isIpv6
    ? parseQuotedIpv6(view, quoted, end, facts, base)
    : parseQuotedIpv4(view, quoted, end, facts, base);
  if (reason !== NONE) return reason;
  const isFromReceiver =
    facts[base + SRC] === receiver &&
    (!isIpv6 ||
      (facts[base + SRC0] === receiver0 &&
        facts[base + SRC0 + 1] === receiver1 &&
        facts[base + SRC0 + 2] === receiver2));
  if (!isFromReceiver) return REASON['icmp-error-address'];

  const inner = parseQuotedL4(view, isIpv6, end, facts, base);
  facts[base + L4] = l4;
  if (inner !== NONE) return inner;
  turnRound(isIpv6, facts, base);
  facts[base + FLAGS] = FACT_RELATED;
  return NONE;
}

function parseQuotedL4(view: DataView, isIpv6: boolean, end: number, facts: Int32Array, base: number): number {
  const protocol = facts[base + PROTOCOL] & 0xff;
  if (protocol === IPPROTO.TCP || protocol === IPPROTO.UDP || protocol === IPPROTO.SCTP) {
    return parseQuotedPorts(view, end, facts, base);
  }
  if (protocol !== (isIpv6 ? IPPROTO.ICMPV6 : IPPROTO.ICMP)) return NONE;

  const l4 = facts[base + L4];
  if (l4 + HEADER_BYTES > end) return REASON['icmp-error-payload'];
  const role = (isIpv6 ? ICMPV6_ROLES : ICMP_ROLES)[u8(view, l4)];
  if (role < 0) return REASON['icmp-error-payload'];
  return readQuery(view, l4, role, facts, base) === NONE ? NONE : REASON['icmp-error-payload'];
}

/** Swaps the two ends of the key. */
export function turnRound(isIpv6: boolean, facts: Int32Array, base: number): void {
  for (let word = isIpv6 ? 0 : 3; word < 4; word++) {
    const source = facts[base + SRC0 + word];
    facts[base + SRC0 + word] = facts[base + DST0 + word];
    facts[base + DST0 + word] = source;
  }
  const ports = facts[base + PORTS];
  facts[base + PORTS] = facts[base + PORTS_REVERSED];
  facts[base + PORTS_REVERSED] = ports;
}
