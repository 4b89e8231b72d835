/**
 * One connection as control tells it: a copy, made of plain values, of what its record says at a moment.
 *
 * Imports alg/helpers, engine/, track/, wire/, sharedarraybuffer-hashmap. Imported by the other files of control/ and the public API.
 */
import { HELPERS, NO_HELPER } from '../alg/helpers.js';
import { readLabel } from '../engine/batch.js';
import { annexAt, NONE, recordAt, type SharedMap } from '../sharedarraybuffer-hashmap/index.js';
import {
  ANNEX,
  CONN,
  isIpv6,
  parentAnnexOfConn,
  protocolOf,
  STATUS_HELPER,
  STATUS_HELPER_SHIFT,
  STATUS_LABEL,
  STATUS_NAT,
  zoneOf,
} from '../track/connection.js';
import { expiryOf } from '../track/expiry.js';
import { SCALE_MASK, SCALE_OFFERED, SCALE_UNKNOWN, TCP_STATES, type TcpState } from '../track/tcp.js';
import { IPPROTO, mirrorPorts } from '../wire/facts.js';
import { formatIpv4, formatIpv6 } from './address.js';

/** One direction of a connection. For ICMP and ICMPv6 the ports are 0 and `icmp` is there. */
export interface Tuple {
  readonly src: string;
  readonly dst: string;
  readonly srcPort: number;
  readonly dstPort: number;
  readonly icmp?: { readonly id: number; readonly type: number; readonly code: number };
}

/** What the TCP tracker knows of one side. */
export interface TcpPeer {
  readonly state: TcpState;
  /** Window scale factor, 0 to 14. */
  readonly windowScale: number;
  /** Names of flags as in `dpctl/dump-conntrack -m`. */
  readonly flags: readonly string[];
}

export interface ConnectionEntry {
  /** IP protocol number. */
  readonly protocol: number;
  readonly isIpv6: boolean;
  readonly zone: number;
  readonly original: Tuple;
  readonly reply: Tuple;
  readonly mark: number;
  readonly label: bigint;
  /** Name of the application helper that it was committed with. */
  readonly helper?: string;
  /** Original direction of the connection that announced this one. */
  readonly parent?: Tuple;
  /** When the connection ends unless a packet comes, in milliseconds. */
  readonly expiresMs: number;
  readonly tcp?: { readonly original: TcpPeer; readonly reply: TcpPeer };
}

/** Addresses that begin at word `from` of a record: two words, or the number of an annex. */
function addresses(map: SharedMap, key: number, from: number): { src: string; dst: string } {
  const { words } = map;
  if (!isIpv6(key)) return { src: formatIpv4(words[from]), dst: formatIpv4(words[from + 1]) };
  const annex = annexAt(map, words[from]);
  return { src: formatIpv6(words, annex + ANNEX.SRC), dst: formatIpv6(words, annex + ANNEX.DST) };
}

function replyTuple(map: SharedMap, at: number): Tuple {
  const { words } = map;
  const key = words[at + CONN.KEY];
  const protocol = protocolOf(key);
  if ((words[at + CONN.STATUS] & STATUS_NAT) !== 0) {
    return { ...addresses(map, key, at + CONN.REPLY_SRC), ...ends(protocol, words[at + CONN.REPLY_PORTS]) };
  }
  const { src, dst } = addresses(map, key, at + CONN.SRC);
  return { src: dst, dst: src, ...ends(protocol, mirrorPorts(protocol, words[at + CONN.PORTS])) };
}

/** OVS prints ICMP words for both protocols in both families; where the family does not fit they are all 0. */
function ends(protocol: number, ports: number): Pick<Tuple, 'srcPort' | 'dstPort' | 'icmp'> {
  if (protocol !== IPPROTO.ICMP && protocol !== IPPROTO.ICMPV6) {
    return { srcPort: ports >>> 16, dstPort: ports & 0xffff };
  }
  return { srcPort: 0, dstPort: 0, icmp: { id: ports >>> 16, type: (ports >>> 8) & 0xff, code: 0 } };
}

function peer(word: number): TcpPeer {
  const scale = (word >>> 8) & 0xff;
  const flags: string[] = [];
  if ((scale & SCALE_OFFERED) !== 0) flags.push('WINDOW_SCALE');
  if ((scale & SCALE_UNKNOWN) !== 0) flags.push('BE_LIBERAL');
  return { state: TCP_STATES[word & 0xff], windowScale: scale & SCALE_MASK, flags };
}

function helperOf(status: number): { helper: string } | undefined {
  const number = (status & STATUS_HELPER) >>> STATUS_HELPER_SHIFT;
  return number === NO_HELPER ? undefined : { helper: HELPERS[number - 1].name };
}

function parentOf(map: SharedMap, at: number): { parent: Tuple } | undefined {
  const { words } = map;
  const annex = parentAnnexOfConn(words, at);
  if (annex === NONE) return undefined;
  const from = annexAt(map, annex);
  const address = (word: number) =>
    isIpv6(words[at + CONN.KEY]) ? formatIpv6(words, from + word) : formatIpv4(words[from + word + 3]);
  const ports = words[at + CONN.PARENT_PORTS];
  const tuple = { src: address(ANNEX.SRC), dst: address(ANNEX.DST), srcPort: ports >>> 16, dstPort: ports & 0xffff };
  return { parent: tuple };
}

/** Copies the live record out. Needs the lock of its region. */
export function readEntryLocked(map: SharedMap, record: number): ConnectionEntry {
  const { words, doubles } = map;
  const at = recordAt(map, record);
  const key = words[at + CONN.KEY];
  const protocol = protocolOf(key);
  const ports = words[at + CONN.PORTS];
  const hasLabel = (words[at + CONN.STATUS] & STATUS_LABEL) !== 0;
  return {
    protocol,
    isIpv6: isIpv6(key),
    zone: zoneOf(key),
    original: { ...addresses(map, key, at + CONN.SRC), ...ends(protocol, ports) },
    reply: replyTuple(map, at),
    mark: words[at + CONN.MARK] >>> 0,
    label: hasLabel ? readLabel(words, at + CONN.LABEL) : 0n,
    ...helperOf(words[at + CONN.STATUS]),
    ...parentOf(map, at),
    expiresMs: expiryOf(doubles, at),
    ...(protocol === IPPROTO.TCP
      ? { tcp: { original: peer(words[at + CONN.ORIG_PEER]), reply: peer(words[at + CONN.REPLY_PEER]) } }
      : {}),
  };
}
