/**
 * The text form of a connection, as `ovs-appctl dpctl/dump-conntrack` prints it.
 *
 * Imports entry, track/tcp. Imported by expectations, json, the public API and cli/.
 */
import { shownTcpState, TCP_STATES, type TcpState } from '../track/tcp.js';
import type { ConnectionEntry, TcpPeer, Tuple } from './entry.js';

/** Protocols that OVS prints by name. */
const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
  1: 'icmp',
  2: 'igmp',
  6: 'tcp',
  17: 'udp',
  33: 'dccp',
  58: 'icmpv6',
  132: 'sctp',
  136: 'udplite',
};

/** Name of an IP protocol as OVS prints it; its number in decimals when it has none. */
export function protocolName(protocol: number): string {
  return PROTOCOL_NAMES[protocol] ?? String(protocol);
}

export interface FormatOptions {
  /** `-m`: the connection that announced this one, state, scale and flags of both TCP peers; id and status, which the userspace tracker never fills. */
  readonly more?: boolean;
  /** `-s`: seconds until the connection ends, from this time in milliseconds on. */
  readonly statisticsAtMs?: number;
}

/** One direction, without the brackets around it. */
export function formatTuple(tuple: Tuple): string {
  const { src, dst, icmp } = tuple;
  const ends = icmp
    ? `id=${icmp.id},type=${icmp.type},code=${icmp.code}`
    : `sport=${tuple.srcPort},dport=${tuple.dstPort}`;
  return `src=${src},dst=${dst},${ends}`;
}

/** One state for a connection: the later of the two. */
export function tcpStateOf(tcp: NonNullable<ConnectionEntry['tcp']>): TcpState {
  return shownTcpState(Math.max(TCP_STATES.indexOf(tcp.original.state), TCP_STATES.indexOf(tcp.reply.state)));
}

function formatFlags(peer: TcpPeer): string {
  return peer.flags.length === 0 ? '0' : peer.flags.join('|');
}

function formatTcp(tcp: NonNullable<ConnectionEntry['tcp']>, more: boolean): string {
  if (!more) return `state=${tcpStateOf(tcp)}`;
  const { original, reply } = tcp;
  const scales =
    original.windowScale !== 0 || reply.windowScale !== 0
      ? `,wscale_orig=${original.windowScale},wscale_reply=${reply.windowScale}`
      : '';
  const flags = `flags_orig=${formatFlags(original)},flags_reply=${formatFlags(reply)}`;
  return `state_orig=${original.state},state_reply=${reply.state}${scales},${flags}`;
}

/** The connection on one line, in OVS's order: what is 0 is left out. */
export function formatConnection(entry: ConnectionEntry, options: FormatOptions = {}): string {
  const { more = false, statisticsAtMs } = options;
  const parts = [
    protocolName(entry.protocol),
    `orig=(${formatTuple(entry.original)})`,
    `reply=(${formatTuple(entry.reply)})`,
  ];
  if (more) parts.push('id=0');
  if (entry.zone !== 0) parts.push(`zone=${entry.zone}`);
  if (more) parts.push('status=0');
  if (statisticsAtMs !== undefined) parts.push(`timeout=${Math.floor((entry.expiresMs - statisticsAtMs) / 1000)}`);
  if (entry.mark !== 0) parts.push(`mark=${entry.mark}`);
  if (entry.label !== 0n) parts.push(`labels=0x${entry.label.toString(16)}`);
  if (entry.tcp) parts.push(`protoinfo=(${formatTcp(entry.tcp, more)})`);
  if (entry.helper) parts.push(`helper=${entry.helper}`);
  if (more && entry.parent) parts.push(`parent=(${formatTuple(entry.parent)})`);
  return parts.join(',');
}
