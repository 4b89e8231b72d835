/**
 * The datagrams, segments and errors of datagram-traffic through random ct() actions, up to three in a row: zones, commit
 * and mere lookup, force, masked marks and labels, ct_clear; and source and destination NAT.
 *
 * NAT is to one address and one port at the most, since which of several is chosen follows from a random key on both
 * sides. Clients open connections and servers answer: were both to open them, NAT could leave a packet that two
 * connections claim. What else the README lists as different is not asked either.
 *
 * Imports anatomy, datagram-traffic, traffic, writer.
 */
import { type Anatomy, anatomyOf, quotedAnatomy, u16 } from './anatomy.js';
import { type Cast, EVERYBODY, playOf } from './datagram-traffic.js';
import type { Script } from './script.js';
import { type Actions, CLEAR, COMMIT_PASS, type Traffic } from './traffic.js';
import { PROTOCOL } from './writer.js';

const LABEL = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210n;
const MAX_PASSES = 3;

export const PLAIN_ACTIONS: Actions = [
  { commit: true },
  { commit: false },
  { zone: 1, commit: true },
  { zone: 1, commit: false },
  { zone: 65535, commit: true, mark: { value: 0xdead_beef } },
  { commit: true, mark: { value: 0x1200, mask: 0xff00 } },
  { commit: false, mark: { value: 7, mask: 0xf } },
  { commit: true, label: { value: LABEL } },
  { commit: true, mark: { value: 0 }, label: { value: LABEL >> 8n, mask: 0xff00n | (0xffn << 96n) } },
  { force: true },
  { force: true, mark: { value: 5 } },
  { zone: 1, force: true, label: { value: 1n } },
];

/** Between one and three passes. */
function passes(word: number, one: (word: number) => number): readonly number[] {
  const count = 1 + (word % 4 === 3 ? (word >>> 2) % MAX_PASSES : 0);
  return Array.from({ length: count }, (_, index) => one(word >>> (4 + index * 6)));
}

export function actionTraffic(script: Script): Traffic {
  const one = (word: number) => (word % 16 === 15 ? CLEAR : (word >>> 4) % PLAIN_ACTIONS.length);
  return playOf(script, { ...EVERYBODY, passes: word => passes(word, one) });
}

/** Hosts by what they are. NAT calls sources 9, and makes of the destination 8 a 3. */
const CLIENTS = [1, 2];
const SERVERS = [4, 8];
const SEEN_CLIENTS = [1, 2, 9];
const SEEN_SERVERS = [4, 8, 3];
const CLIENT_PORTS = [1000, 1001, 40000, 300];
const SERVER_PORTS = [53, 80];

/** For anybody: they look up, and translate what is known. */
const LOOKUPS: Actions = [
  { commit: false, nat: { kind: 'restore' } },
  { commit: false, nat: { kind: 'restore' } },
  { zone: 1, commit: false, nat: { kind: 'restore' } },
  { commit: false },
  { commit: false, nat: { kind: 'restore' }, mark: { value: 3, mask: 3 } },
];

function openings(network: string): Actions {
  const source = { kind: 'src', minAddress: `${network}9` } as const;
  const destination = { kind: 'dst', minAddress: `${network}3` } as const;
  return [
    { nat: source },
    { nat: source, mark: { value: 9 } },
    { zone: 1, nat: source },
    { nat: { ...source, minPort: 2000, maxPort: 2000 } },
    { nat: destination },
    { zone: 1, nat: { ...destination, minPort: 53, maxPort: 53 } },
    { nat: { kind: 'src' } },
    { nat: { kind: 'src', minAddress: network === '10.0.0.' ? '0.0.0.0' : '::' } },
    { nat: { kind: 'dst' } },
    { commit: true },
  ];
}

const OPENINGS = [openings('10.0.0.'), openings('2001:db8::')];
export const NAT_ACTIONS: Actions = [...LOOKUPS, ...OPENINGS.flat()];

export const GATEWAY: Cast = {
  hosts(word) {
    const [src, dst] = word % 2 === 0 ? [CLIENTS, SERVERS] : [SEEN_SERVERS, SEEN_CLIENTS];
    return { src: src[(word >>> 1) % src.length], dst: dst[(word >>> 4) % dst.length] };
  },
  ports(word, src) {
    const client = CLIENT_PORTS[word % CLIENT_PORTS.length];
    const server = SERVER_PORTS[(word >>> 4) % SERVER_PORTS.length];
    return CLIENTS.includes(src) ? { sport: client, dport: server } : { sport: server, dport: client };
  },
  passes(word, isIpv6, protocol, src) {
    const isIcmpv6 = protocol === PROTOCOL.ICMPV6 || (isIpv6 && protocol === PROTOCOL.ICMP);
    const opens = CLIENTS.includes(src) && !isIcmpv6;
    return passes(word, choice => {
      if (choice % 32 === 31) return CLEAR;
      if (choice % 2 === 0 || !opens) return (choice >>> 1) % LOOKUPS.length;
      const [own] = OPENINGS;
      const opening = (choice >>> 1) % own.length;
      if (protocol === PROTOCOL.ICMP && own[opening].nat?.kind === 'dst') return LOOKUPS.length;
      return LOOKUPS.length + (isIpv6 ? own.length : 0) + opening;
    });
  },
};

/** Over IPv6, in a packet that is whole. */
function hasChecksumBehindExtensions(frame: Uint8Array, { isIpv6, l3, protocol, isFragment }: Anatomy): boolean {
  const isSummed = protocol === PROTOCOL.TCP || protocol === PROTOCOL.UDP;
  return isIpv6 && isSummed && !isFragment && frame[l3 + 6] !== protocol;
}

/**
 * Not for what Open vSwitch rewrites wrongly: the header checksum of a packet without payload, whatever names a version
 * of IP that it is not, errors over IPv6 that
 * quote TCP, or UDP if they tell an MTU, those over IPv4 that quote less than a TCP header, and checksums of TCP and UDP behind extension headers.
 */
function isRewrittenWell(frame: Uint8Array): boolean {
  const anatomy = anatomyOf(frame);
  if (anatomy === undefined || anatomy.end <= anatomy.l4) return false;
  if (frame[anatomy.l3] >>> 4 !== (anatomy.isIpv6 ? 6 : 4)) return false;
  if (hasChecksumBehindExtensions(frame, anatomy)) return false;
  const quoted = quotedAnatomy(frame, anatomy);
  if (quoted?.protocol === PROTOCOL.UDP) return !quoted.isIpv6 || u16(frame, anatomy.l4 + 6) === 0;
  if (quoted?.protocol !== PROTOCOL.TCP) return true;
  return !quoted.isIpv6 && quoted.l4 + 20 <= anatomy.end;
}

export function rewrittenWell(traffic: Traffic): Traffic {
  return { ...traffic, packets: traffic.packets.filter(({ frame }) => isRewrittenWell(frame)) };
}

export function natTraffic(script: Script): Traffic {
  return rewrittenWell(playOf(script, GATEWAY));
}

/** Identifiers in messages over IPv6, which are treated otherwise under NAT. */
function hasIpv6Identifier(frame: Uint8Array): boolean {
  const anatomy = anatomyOf(frame);
  if (!anatomy?.isIpv6) return false;
  return anatomy.protocol === PROTOCOL.ICMP || (anatomy.protocol === PROTOCOL.ICMPV6 && frame[anatomy.l4] >= 128);
}

/** The same hosts and packets for rules, which decide by themselves what packets pass. */
export function gatewayTraffic(script: Script): Traffic {
  const traffic = rewrittenWell(playOf(script, { ...GATEWAY, passes: () => COMMIT_PASS }));
  return { ...traffic, packets: traffic.packets.filter(({ frame }) => !hasIpv6Identifier(frame)) };
}
