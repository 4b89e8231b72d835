/** Frames whose headers in front of the transport layer are unusual, or whose network layer is not IP. */
import {
  type CraftedFrame,
  crafted,
  FLAG,
  hex,
  icmp,
  icmpv6,
  ipv4,
  ipv6,
  join,
  PROTOCOL,
  type Route,
  reverse,
  sctp,
  TYPE,
  tcp,
  u8,
  u16,
  u32,
  udp,
} from '../frames.js';
import { CLIENT, SERVER } from '../lab.js';
import { composed, type Scenario } from './scenario.js';

const V4: Route = { source: CLIENT.v4, destination: SERVER.v4 };
const V6: Route = { source: CLIENT.v6, destination: SERVER.v6 };

/** A way to wrap a transport payload into a packet of a certain look. */
type Wrap = (route: Route, protocol: number, payload: Buffer) => Buffer;

/** A handshake with data, a UDP exchange and an echo, each packet wrapped the same way. */
function conversation(wrap: Wrap, forward: Route, port: number): CraftedFrame[] {
  const v6 = forward.source.includes(':');
  const back = reverse(forward);
  const frame = (route: Route, protocol: number, payload: Buffer) =>
    crafted(route === forward ? 'client' : 'server', v6 ? TYPE.IPV6 : TYPE.IPV4, wrap(route, protocol, payload));
  const segment = (route: Route, flags: number, sequence: number, acknowledgment: number, text = '') => {
    const ports: [number, number] = route === forward ? [port, 80] : [80, port];
    return frame(route, PROTOCOL.TCP, tcp(route, { ports, flags, sequence, acknowledgment, data: Buffer.from(text) }));
  };
  const echo = (route: Route, reply: boolean) =>
    v6
      ? frame(route, PROTOCOL.ICMPV6, icmpv6(route, reply ? 129 : 128, 0, port << 16))
      : frame(route, PROTOCOL.ICMP, icmp(reply ? 0 : 8, 0, port << 16));
  return [
    segment(forward, FLAG.SYN, 1000, 0),
    segment(back, FLAG.SYN | FLAG.ACK, 5000, 1001),
    segment(forward, FLAG.ACK | FLAG.PSH, 1001, 5001, 'request'),
    segment(back, FLAG.ACK | FLAG.PSH, 5001, 1008, 'response'),
    segment(forward, FLAG.ACK | FLAG.FIN, 1008, 5009),
    frame(forward, PROTOCOL.UDP, udp(forward, port, 53)),
    frame(back, PROTOCOL.UDP, udp(back, 53, port)),
    echo(forward, false),
    echo(back, true),
    frame(forward, PROTOCOL.SCTP, sctp([port, 36412], 0, [{ type: 1, value: join(u32(1, 65536), u16(1, 1), u32(1)) }])),
  ];
}

const IPV4_OPTIONS = {
  nops: u8(1, 1, 1, 1),
  end: u8(0, 0, 0, 0),
  recordRoute: u8(7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0),
  timestamp: u8(0x44, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0),
  looseRoute: u8(0x83, 7, 4, 10, 9, 9, 9, 0),
  strictRoute: u8(0x89, 7, 4, 10, 9, 9, 9, 0),
  routerAlert: u8(0x94, 4, 0, 0),
  security: u8(0x82, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
  streamId: u8(0x88, 4, 0, 1),
  longest: Buffer.alloc(40, 1),
  lengthZero: u8(7, 0, 4, 0),
  lengthTooLong: u8(7, 200, 4, 0),
};

function ipv4Options(): CraftedFrame[] {
  return Object.values(IPV4_OPTIONS).flatMap((options, index) =>
    conversation((route, protocol, payload) => ipv4(route, protocol, payload, options), V4, 2000 + index),
  );
}

/** An extension header: its number, and its bytes without the leading next-header byte. */
type Extension = readonly [number: number, rest: Buffer];

const HOP_BY_HOP: Extension = [0, hex('00 0104 00000000')];
const DESTINATION: Extension = [60, hex('00 0104 00000000')];
const LONG_DESTINATION: Extension = [60, join(u8(4, 1, 36), Buffer.alloc(37))];
const ROUTING: Extension = [43, hex('02 0000 00000000 fd000009000000000000000000000009')];
const ROUTING_DONE: Extension = [43, hex('00 0400 00000000')];
const AUTHENTICATION: Extension = [51, hex('04 0000 00001001 00000001 000000000000000000000000')];
const ATOMIC_FRAGMENT: Extension = [44, hex('00 0000 12345678')];
const MOBILITY: Extension = [135, hex('00 0000 00000000')];
const HOST_IDENTITY: Extension = [139, hex('00 0000 00000000')];
const SHIM6: Extension = [140, hex('00 0000 00000000')];

function withExtensions(extensions: readonly Extension[]): Wrap {
  return (route, protocol, payload) => {
    const numbers = [...extensions.map(([number]) => number), protocol];
    const headers = extensions.map(([, rest], index) => join(u8(numbers[index + 1]), rest));
    return ipv6(route, numbers[0], join(...headers, payload));
  };
}

const EXTENSION_CHAINS: readonly (readonly Extension[])[] = [
  [HOP_BY_HOP],
  [DESTINATION],
  [LONG_DESTINATION],
  [ROUTING],
  [ROUTING_DONE],
  [AUTHENTICATION],
  [ATOMIC_FRAGMENT],
  [HOP_BY_HOP, DESTINATION, ROUTING, ATOMIC_FRAGMENT, AUTHENTICATION, DESTINATION],
  [DESTINATION, HOP_BY_HOP],
  [HOP_BY_HOP, HOP_BY_HOP],
  [ATOMIC_FRAGMENT, ATOMIC_FRAGMENT],
  [MOBILITY],
  [HOST_IDENTITY],
  [SHIM6],
];

/** Extension headers that lie about their length or lead nowhere, and a flow label beside. */
function oddExtensions(): CraftedFrame[] {
  const payload = udp(V6, 3500, 53);
  const packets = [
    ipv6(V6, 0, join(u8(PROTOCOL.UDP, 200, 1, 4, 0, 0, 0, 0), payload)),
    ipv6(V6, 0, u8(PROTOCOL.UDP)),
    ipv6(V6, 60, u8(PROTOCOL.UDP, 0, 1, 4)),
    ipv6(V6, 44, u8(PROTOCOL.UDP, 0, 0, 0)),
    ipv6(V6, 51, join(u8(PROTOCOL.UDP, 255), Buffer.alloc(22), payload)),
    ipv6(V6, 59, payload),
    ipv6(V6, 59, Buffer.alloc(0)),
    ipv6(V6, 0, u8(59, 0, 1, 4, 0, 0, 0, 0)),
    ipv6(V6, 50, join(u32(4097, 1), Buffer.alloc(24))),
    ipv6(V6, 4, ipv4(V4, PROTOCOL.UDP, udp(V4, 3501, 53))),
    ipv6(V6, 41, ipv6(V6, PROTOCOL.UDP, payload)),
  ];
  return packets.map(packet => crafted('client', TYPE.IPV6, packet));
}

function ipv6Extensions(): CraftedFrame[] {
  const chains = EXTENSION_CHAINS.flatMap((chain, index) => conversation(withExtensions(chain), V6, 3000 + index));
  return [...chains, ...oddExtensions()];
}

/** The length field of IEEE 802.3 in place of a type, and what comes behind. */
function llc(from: 'client' | 'server', payload: Buffer): CraftedFrame {
  return crafted(from, payload.length, payload);
}

function snap(type: number, payload: Buffer, organisation = '000000'): CraftedFrame {
  return llc('client', join(hex('aaaa03'), hex(organisation), u16(type), payload));
}

const ARP_REQUEST = hex('0001 0800 06 04 0001 020000000001 0a010002 000000000000 0a010001');
const ARP_REPLY = hex('0001 0800 06 04 0002 020000000002 0a010001 020000000001 0a010002');

function notIp(): CraftedFrame[] {
  const datagram = ipv4(V4, PROTOCOL.UDP, udp(V4, 4000, 53));
  const datagram6 = ipv6(V6, PROTOCOL.UDP, udp(V6, 4000, 53));
  const padding = Buffer.alloc(30);
  const tag = u16(5);
  return [
    crafted('client', TYPE.ARP, ARP_REQUEST),
    crafted('server', TYPE.ARP, join(ARP_REPLY, Buffer.alloc(18))),
    crafted('client', 0x8035, ARP_REQUEST),
    crafted('client', 0x88cc, hex('0207 04 020000000001 0403 05 7031 0602 0078 0000')),
    llc('client', hex('424203 0000 00 00 00 8000020000000001 00000000 8000020000000001 8001 0000 1400 0200 0f00')),
    llc('client', hex('f0f003')),
    llc('client', join(hex('e0e003 ffff'), padding)),
    snap(TYPE.ARP, ARP_REQUEST),
    snap(TYPE.IPV4, datagram),
    snap(TYPE.IPV6, datagram6),
    snap(TYPE.IPV4, datagram, '00000c'),
    snap(0x2000, padding, '00000c'),
    snap(0x0100, datagram),
    crafted('client', TYPE.VLAN, join(tag, u16(8 + datagram.length), hex('aaaa03 000000'), u16(TYPE.IPV4), datagram)),
    crafted('client', 0x8847, join(u32(0x00064140), datagram)),
    crafted('client', 0x8848, join(u32(0x00064040, 0x00065140), datagram)),
    crafted('client', 0x8863, join(u8(0x11, 9), u16(0, 4), hex('01010000'))),
    crafted('client', 0x8864, join(u8(0x11, 0), u16(1, 2 + datagram.length), u16(0x21), datagram)),
    crafted('client', 0x88e5, join(u8(0x0c, 0), u32(1), padding)),
    crafted('client', 0x894f, join(hex('00300 01100040200'.replaceAll(' ', '').padEnd(16, '0')), padding)),
    crafted('client', 0x9000, join(hex('0000 0100 0000'), padding)),
    crafted('client', 0x05ff, datagram),
    crafted('client', 0x0600, datagram),
    crafted('client', TYPE.VLAN, join(tag, u16(TYPE.ARP), ARP_REQUEST)),
    crafted('client', TYPE.QINQ, join(tag, u16(TYPE.VLAN), tag, u16(TYPE.ARP), ARP_REQUEST)),
    crafted('client', TYPE.VLAN, tag),
    crafted('client', TYPE.VLAN, join(tag, u16(TYPE.VLAN), tag)),
    crafted('client', 0x9100, join(tag, u16(TYPE.IPV4), datagram)),
    crafted('client', TYPE.IPV4, Buffer.alloc(1)),
    crafted('client', TYPE.IPV6, Buffer.alloc(1)),
    crafted('client', TYPE.IPV4, datagram6),
    crafted('client', TYPE.IPV6, datagram),
  ];
}

export const HEADERS: readonly Scenario[] = [
  composed(
    'ipv4-options',
    'IPv4 options of every kind in front of TCP, UDP, ICMP and SCTP, both directions',
    ipv4Options,
  ),
  composed(
    'ipv6-extensions',
    'IPv6 extension headers and chains of them in front of TCP, UDP, ICMPv6 and SCTP; some that run beyond the packet',
    ipv6Extensions,
  ),
  composed(
    'non-ip',
    'ARP, RARP, LLDP, STP, IPX, SNAP with IP inside, MPLS, PPPoE, MACsec and others, tags with nothing behind',
    notIp,
  ),
];
