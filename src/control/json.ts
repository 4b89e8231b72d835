/**
 * A connection as JSON, one object per connection and line (NDJSON). Names and types of the fields are the same for
 * every connection; `tcp` is there for TCP alone, `helper` for
 * control connections and `parent` for what they announced.
 *
 * Imports entry, format. Imported by expectations and the public API.
 */
import type { TcpState } from '../track/tcp.js';
import type { ConnectionEntry, TcpPeer, Tuple } from './entry.js';
import { protocolName, tcpStateOf } from './format.js';

/** One direction. Ports are 0 for protocols without; ICMP and ICMPv6 have `icmp` instead of them. */
export type JsonTuple =
  | { readonly src: string; readonly dst: string; readonly srcPort: number; readonly dstPort: number }
  | {
      readonly src: string;
      readonly dst: string;
      readonly icmp: { readonly id: number; readonly type: number; readonly code: number };
    };

export interface JsonConnection {
  /** Name of the IP protocol as in the text form, or its number in decimals. */
  readonly protocol: string;
  readonly protocolNumber: number;
  readonly family: 'ipv4' | 'ipv6';
  readonly zone: number;
  readonly original: JsonTuple;
  readonly reply: JsonTuple;
  readonly mark: number;
  /** `0x` and hexadecimal digits without leading zeros: a label does not fit into a number. */
  readonly label: string;
  /** Name of the application helper. */
  readonly helper?: string;
  /** Original direction of the connection that announced this one. */
  readonly parent?: JsonTuple;
  /** When the connection ends unless a packet comes, in milliseconds of the engine's clock. */
  readonly expiresMs: number;
  /** Milliseconds until then, when the time of the dump is known. */
  readonly remainingMs?: number;
  /** `state` is the one of a dump without `-m`; the peers have those of `-m`. */
  readonly tcp?: { readonly state: TcpState; readonly original: TcpPeer; readonly reply: TcpPeer };
}

/** One direction as plain values. */
export function jsonTuple({ src, dst, srcPort, dstPort, icmp }: Tuple): JsonTuple {
  return icmp ? { src, dst, icmp } : { src, dst, srcPort, dstPort };
}

/** The connection as plain values that JSON can hold. @param nowMs time of the dump in milliseconds, for remainingMs */
export function jsonConnection(entry: ConnectionEntry, nowMs?: number): JsonConnection {
  const { tcp } = entry;
  return {
    protocol: protocolName(entry.protocol),
    protocolNumber: entry.protocol,
    family: entry.isIpv6 ? 'ipv6' : 'ipv4',
    zone: entry.zone,
    original: jsonTuple(entry.original),
    reply: jsonTuple(entry.reply),
    mark: entry.mark,
    label: `0x${entry.label.toString(16)}`,
    ...(entry.helper === undefined ? {} : { helper: entry.helper }),
    ...(entry.parent === undefined ? {} : { parent: jsonTuple(entry.parent) }),
    expiresMs: entry.expiresMs,
    ...(nowMs === undefined ? {} : { remainingMs: entry.expiresMs - nowMs }),
    ...(tcp ? { tcp: { state: tcpStateOf(tcp), original: tcp.original, reply: tcp.reply } } : {}),
  };
}

/** One line of NDJSON, without the line feed. @param nowMs as for jsonConnection() */
export function formatConnectionJson(entry: ConnectionEntry, nowMs?: number): string {
  return JSON.stringify(jsonConnection(entry, nowMs));
}
