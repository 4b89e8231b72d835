/**
 * Which connections are meant: a filter as callers write it, compiled into words that are compared with a record's
 * under the lock of its region. No text is made per record.
 *
 * Imports engine/masked, nat/address, sharedarraybuffer-hashmap, track/, wire/, ../given. Imported by dump, filter-text,
 * flush and the public API.
 */
import { type Masked, readMark, readMaskedLabel, writeLabel } from '../engine/masked.js';
import { checkObject, checkSwitch, checkWhole, refuseOthers, shown } from '../given.js';
import { ADDRESS_WORDS, NO_FAMILY, parseAddress } from '../nat/address.js';
import { annexAt, type SharedMap } from '../sharedarraybuffer-hashmap/index.js';
import { ANNEX, CONN, isIpv6, protocolOf, STATUS_LABEL, STATUS_NAT } from '../track/connection.js';
import { shownTcpState, TCP_STATES, type TcpState } from '../track/tcp.js';
import { FAMILY_IPV6, IPPROTO, mirrorPorts, PROTOCOL_MASK } from '../wire/facts.js';

const { SRC, DST, PORTS, KEY, MARK, LABEL, STATUS, ORIG_PEER, REPLY_PEER, REPLY_SRC, REPLY_DST, REPLY_PORTS } = CONN;

/** What one direction of a connection must be. What is left out may be anything; 0 means 0. */
export interface TupleFilter {
  readonly src?: string;
  readonly dst?: string;
  /** Ports are those of every protocol but ICMP and ICMPv6. */
  readonly srcPort?: number;
  readonly dstPort?: number;
  /** Meets connections of ICMP and ICMPv6 only; excludes the ports. */
  readonly icmp?: { readonly id?: number; readonly type?: number; readonly code?: number };
}

/** A connection is meant when it meets all that is given. */
export interface ConnectionFilter {
  /** Conntrack zone, 0 to 65535. */
  readonly zone?: number;
  /** IP protocol number, 0 to 255. */
  readonly protocol?: number;
  readonly isIpv6?: boolean;
  /** The direction of the connection's first packet. */
  readonly original?: TupleFilter;
  /** The direction of the answers, as they arrive: before NAT is undone. */
  readonly reply?: TupleFilter;
  /** One of the two directions, no matter which. */
  readonly either?: TupleFilter;
  /** The bits of ct_mark that are set in `mask` (default all 32) are those of `value`. */
  readonly mark?: Masked<number>;
  /** The same for the 128 bits of ct_label. */
  readonly label?: Masked<bigint>;
  /** State of a TCP connection as a dump without `-m` shows it. Connections of other protocols have none. */
  readonly tcpState?: TcpState;
}

/** A compiled tuple: addresses of four words each, source first, and the ports word with the bits that count. */
interface TupleTest {
  readonly addresses: Int32Array;
  readonly hasSrc: boolean;
  readonly hasDst: boolean;
  readonly ports: number;
  readonly portsMask: number;
}

/** A filter made ready for many records; belongs to the thread that compiled it, and never changes. */
export interface CompiledFilter {
  /** Zone, family and protocol as in CONN.KEY, and the bits that count. */
  readonly key: number;
  readonly keyMask: number;
  /** Protocols that may be: all, those with ports, or those of ICMP. */
  readonly kind: Kind;
  readonly original: TupleTest | undefined;
  readonly reply: TupleTest | undefined;
  readonly either: TupleTest | undefined;
  readonly mark: number;
  readonly markMask: number;
  /** Value and mask, four words each, least significant first; undefined when no bit counts. */
  readonly label: Int32Array | undefined;
  /** A bit per state of TCP_STATES that the later of both peers may be in; 0: all, and other protocols as well. */
  readonly tcpStates: number;
}

type Kind = 'any' | 'ports' | 'icmp' | 'none';

/** Bits of an ICMP ports word: id, type, and the type of the reply, which follows from the type. */
const ICMP_ID_MASK = 0xffff0000 | 0;
const ICMP_TYPE_MASK = 0xff00;

/** What the tuples say of the whole connection; grows while they are compiled. */
interface Findings {
  family: number;
  kind: Kind;
}

function meetFamily(findings: Findings, family: number): void {
  if (findings.family !== NO_FAMILY && findings.family !== family) {
    throw new RangeError('a filter is for IPv4 or for IPv6, not for both');
  }
  findings.family = family;
}

function meetKind(findings: Findings, kind: Kind): void {
  const { kind: known } = findings;
  findings.kind = known === 'any' || known === kind ? kind : 'none';
}

function compileAddress(name: string, text: string, addresses: Int32Array, at: number, findings: Findings): void {
  const family = parseAddress(text, addresses, at);
  if (family === NO_FAMILY) throw new RangeError(`${name} is not an IP address: ${shown(text)}`);
  meetFamily(findings, family);
}

type Icmp = NonNullable<TupleFilter['icmp']>;

function readIcmp(name: string, icmp: Icmp, findings: Findings): Icmp {
  checkObject(name, icmp);
  const { id, type, code, ...others } = icmp;
  refuseOthers(name, others);
  if (code !== undefined) checkWhole(`${name}.code`, code, 0, 0xff);
  // No ICMP message with another code opens a connection, so the table holds code 0 only and has no bits for it.
  meetKind(findings, code === undefined || code === 0 ? 'icmp' : 'none');
  return icmp;
}

/** The ports word of a tuple and the bits that count. */
function compileEnds(name: string, tuple: TupleFilter, findings: Findings): { ports: number; portsMask: number } {
  const { srcPort, dstPort, icmp } = tuple;
  let ports = 0;
  let portsMask = 0;
  const add = (part: string, value: number | undefined, most: number, shift: number, mask: number) => {
    if (value === undefined) return;
    checkWhole(`${name}.${part}`, value, 0, most);
    ports |= value << shift;
    portsMask |= mask;
  };
  if (srcPort !== undefined || dstPort !== undefined) {
    if (icmp !== undefined) throw new RangeError(`${name} has ports or ICMP fields, not both`);
    meetKind(findings, 'ports');
    add('srcPort', srcPort, 0xffff, 16, 0xffff0000 | 0);
    add('dstPort', dstPort, 0xffff, 0, 0xffff);
  }
  if (icmp !== undefined) {
    const { id, type } = readIcmp(`${name}.icmp`, icmp, findings);
    add('icmp.id', id, 0xffff, 16, ICMP_ID_MASK);
    add('icmp.type', type, 0xff, 8, ICMP_TYPE_MASK);
  }
  return { ports, portsMask };
}

function compileTuple(name: string, tuple: TupleFilter | undefined, findings: Findings): TupleTest | undefined {
  if (tuple === undefined) return undefined;
  checkObject(name, tuple);
  const { src, dst, srcPort, dstPort, icmp, ...others } = tuple;
  refuseOthers(name, others);
  const addresses = new Int32Array(2 * ADDRESS_WORDS);
  if (src !== undefined) compileAddress(`${name}.src`, src, addresses, 0, findings);
  if (dst !== undefined) compileAddress(`${name}.dst`, dst, addresses, ADDRESS_WORDS, findings);
  const ends = compileEnds(name, tuple, findings);
  return { addresses, hasSrc: src !== undefined, hasDst: dst !== undefined, ...ends };
}

/** Words of value and mask; undefined when no bit counts. */
function compileLabel(label: ConnectionFilter['label']): Int32Array | undefined {
  if (label === undefined) return undefined;
  const { value, mask } = readMaskedLabel(label);
  if (mask === 0n) return undefined;
  const words = new Int32Array(8);
  writeLabel(words, 0, value & mask);
  writeLabel(words, 4, mask);
  return words;
}

function compileTcpState(state: TcpState | undefined): number {
  if (state === undefined) return 0;
  const states = TCP_STATES.reduce(
    (bits, _, index) => (shownTcpState(index) === state ? bits | (1 << index) : bits),
    0,
  );
  if (states === 0) throw new RangeError(`no connection is shown in TCP state ${shown(state)}`);
  return states;
}

/**
 * Makes a filter ready for records. Ports and ICMP fields in two tuples are met by no connection.
 * @throws RangeError when a value is out of range or is no address, the families contradict one another, or there is a
 *   field that no filter has; TypeError when a value is of another type
 */
export function compileFilter(filter: ConnectionFilter): CompiledFilter {
  checkObject('filter', filter);
  const { zone, protocol, isIpv6: wantsIpv6, original, reply, either, mark, label, tcpState, ...others } = filter;
  refuseOthers('filter', others);
  const findings: Findings = { family: NO_FAMILY, kind: 'any' };
  if (wantsIpv6 !== undefined) {
    checkSwitch('isIpv6', wantsIpv6);
    findings.family = wantsIpv6 ? FAMILY_IPV6 : 0;
  }
  const tuples = {
    original: compileTuple('original', original, findings),
    reply: compileTuple('reply', reply, findings),
    either: compileTuple('either', either, findings),
  };
  let key = 0;
  let keyMask = 0;
  const add = (bits: number, mask: number) => {
    key |= bits;
    keyMask |= mask;
  };
  if (zone !== undefined) {
    checkWhole('zone', zone, 0, 0xffff);
    add(zone << 16, 0xffff0000 | 0);
  }
  if (protocol !== undefined) {
    checkWhole('protocol', protocol, 0, 0xff);
    add(protocol, PROTOCOL_MASK);
  }
  if (findings.family !== NO_FAMILY) add(findings.family, FAMILY_IPV6);
  const markBits = mark === undefined ? { value: 0, mask: 0 } : readMark(mark);
  return {
    key,
    keyMask,
    kind: findings.kind,
    ...tuples,
    mark: markBits.value & markBits.mask,
    markMask: markBits.mask | 0,
    label: compileLabel(label),
    tcpStates: compileTcpState(tcpState),
  };
}

/**
 * True when zone, family and protocol are right. These words do not change while a connection lives, so they can be
 * looked at without the lock by a thread that has acquired it since the connection was made.
 */
export function matchesKey(filter: CompiledFilter, words: Int32Array, at: number): boolean {
  return ((words[at + KEY] ^ filter.key) & filter.keyMask) === 0;
}

/** True when the record at word `at` is what the filter means. Needs the lock of its region; the record is live. */
export function matchesLocked(filter: CompiledFilter, map: SharedMap, at: number): boolean {
  const { words } = map;
  if (!matchesKey(filter, words, at) || ((words[at + MARK] ^ filter.mark) & filter.markMask) !== 0) return false;
  const { kind, original, reply, either, label, tcpStates } = filter;
  if (kind !== 'any' && kind !== kindOf(protocolOf(words[at + KEY]))) return false;
  if (original !== undefined && !originalMatches(original, map, at)) return false;
  if (reply !== undefined && !replyMatches(reply, map, at)) return false;
  if (either !== undefined && !originalMatches(either, map, at) && !replyMatches(either, map, at)) return false;
  return (
    (label === undefined || labelMatches(label, words, at)) && (tcpStates === 0 || tcpMatches(tcpStates, words, at))
  );
}

function kindOf(protocol: number): Kind {
  return protocol === IPPROTO.ICMP || protocol === IPPROTO.ICMPV6 ? 'icmp' : 'ports';
}

function originalMatches(test: TupleTest, map: SharedMap, at: number): boolean {
  const { words } = map;
  if (((words[at + PORTS] ^ test.ports) & test.portsMask) !== 0) return false;
  return addressesMatch(test, map, words[at + KEY], at + SRC, at + DST, false);
}

/** The reply direction is the mirror of the original one, except under NAT, where the record spells it out. */
function replyMatches(test: TupleTest, map: SharedMap, at: number): boolean {
  const { words } = map;
  const key = words[at + KEY];
  const isTranslated = (words[at + STATUS] & STATUS_NAT) !== 0;
  const ports = isTranslated ? words[at + REPLY_PORTS] : mirrorPorts(protocolOf(key), words[at + PORTS]);
  if (((ports ^ test.ports) & test.portsMask) !== 0) return false;
  return isTranslated
    ? addressesMatch(test, map, key, at + REPLY_SRC, at + REPLY_DST, false)
    : addressesMatch(test, map, key, at + SRC, at + DST, true);
}

/** @param src word of the source address, or of the number of the annex with both; with `isMirrored` they swap roles */
function addressesMatch(
  test: TupleTest,
  map: SharedMap,
  key: number,
  src: number,
  dst: number,
  isMirrored: boolean,
): boolean {
  const { words } = map;
  const { addresses, hasSrc, hasDst } = test;
  if (!isIpv6(key)) {
    const last = ADDRESS_WORDS - 1;
    if (hasSrc && words[isMirrored ? dst : src] !== addresses[last]) return false;
    return !hasDst || words[isMirrored ? src : dst] === addresses[ADDRESS_WORDS + last];
  }
  const annex = annexAt(map, words[src]);
  if (hasSrc && !addressEquals(words, annex + (isMirrored ? ANNEX.DST : ANNEX.SRC), addresses, 0)) return false;
  return !hasDst || addressEquals(words, annex + (isMirrored ? ANNEX.SRC : ANNEX.DST), addresses, ADDRESS_WORDS);
}

function addressEquals(words: Int32Array, at: number, addresses: Int32Array, from: number): boolean {
  for (let word = 0; word < ADDRESS_WORDS; word++) {
    if (words[at + word] !== addresses[from + word]) return false;
  }
  return true;
}

function labelMatches(label: Int32Array, words: Int32Array, at: number): boolean {
  // A record without STATUS_LABEL has the label 0 whatever its words say.
  const hasLabel = (words[at + STATUS] & STATUS_LABEL) !== 0;
  for (let word = 0; word < 4; word++) {
    const bits = hasLabel ? words[at + LABEL + word] : 0;
    if (((bits ^ label[word]) & label[4 + word]) !== 0) return false;
  }
  return true;
}

function tcpMatches(states: number, words: Int32Array, at: number): boolean {
  if (protocolOf(words[at + KEY]) !== IPPROTO.TCP) return false;
  const later = Math.max(words[at + ORIG_PEER] & 0xff, words[at + REPLY_PEER] & 0xff);
  return (states & (1 << later)) !== 0;
}
