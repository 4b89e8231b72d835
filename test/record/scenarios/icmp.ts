/** ICMP and ICMPv6 messages that no everyday program sends: odd types and codes, errors that quote this and that. */
import {
  type CraftedFrame,
  crafted,
  FLAG,
  icmp,
  icmpv6,
  ip,
  ipv4,
  ipv6,
  join,
  PROTOCOL,
  type Route,
  reverse,
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
const THIRD = { v4: '10.9.9.9', v6: 'fd00:9::9' };
const PAYLOAD = Buffer.from('abcdefghijklmnop');

const UNREACHABLE = 3;
const QUENCH = 4;
const REDIRECT = 5;
const EXCEEDED = 11;
const PARAMETER = 12;

function to(route: Route, packet: Buffer): CraftedFrame {
  const from = route.source === CLIENT.v4 || route.source === CLIENT.v6 ? 'client' : 'server';
  return crafted(from, route.source.includes(':') ? TYPE.IPV6 : TYPE.IPV4, packet);
}

function icmp4(route: Route, type: number, code: number, word: number, data: Buffer = PAYLOAD): CraftedFrame {
  return to(route, ipv4(route, PROTOCOL.ICMP, icmp(type, code, word, data)));
}

function icmp6(route: Route, type: number, code: number, word: number, data: Buffer = PAYLOAD): CraftedFrame {
  return to(route, ipv6(route, PROTOCOL.ICMPV6, icmpv6(route, type, code, word, data)));
}

/** Queries with their answers, answers nobody asked for, codes and types that mean nothing. */
function queries(): CraftedFrame[] {
  const back = reverse(V4);
  const pairs = [
    [8, 0],
    [13, 14],
    [15, 16],
    [17, 18],
    [10, 9],
    [37, 38],
  ].flatMap(([ask, reply], index) => [
    icmp4(V4, ask, 0, (100 + index) << 16),
    icmp4(back, reply, 0, (100 + index) << 16),
    icmp4(V4, ask, 0, ((100 + index) << 16) | 1),
    icmp4(back, reply, 0, (200 + index) << 16),
  ]);
  const codes = [8, 0, 13, 14, 15, 16].map(type => icmp4(V4, type, 5, 300 << 16));
  const types = [1, 2, 6, 7, 19, 30, 33, 40, 41, 127, 128, 200, 255].map(type => icmp4(V4, type, 0, 400 << 16));
  const replyCode = [icmp4(V4, 8, 0, 500 << 16), icmp4(back, 0, 1, 500 << 16), icmp4(back, 0, 0, 500 << 16)];
  const sameId = [icmp4(back, 8, 0, 500 << 16), icmp4(V4, 0, 0, 500 << 16), icmp4(back, 13, 0, 500 << 16)];
  return [...pairs, ...codes, ...types, ...replyCode, ...sameId];
}

function queries6(): CraftedFrame[] {
  const back = reverse(V6);
  const echo = [128, 129, 128].map((type, index) => icmp6(index === 1 ? back : V6, type, 0, (600 << 16) | index));
  const codes = [icmp6(V6, 128, 1, 601 << 16), icmp6(back, 129, 1, 600 << 16), icmp6(back, 129, 0, 602 << 16)];
  const types = [0, 5, 99, 100, 127, 130, 131, 132, 133, 134, 135, 136, 137, 139, 140, 141, 143, 151, 200, 255];
  return [...echo, ...codes, ...types.map(type => icmp6(V6, type, 0, 0))];
}

/** Connections for the errors to quote: UDP, TCP and echo, the last two in both directions. */
function connections(route: Route): CraftedFrame[] {
  const v6 = route.source.includes(':');
  const back = reverse(route);
  const echo = (from: Route, reply: boolean) =>
    v6 ? icmp6(from, reply ? 129 : 128, 0, 700 << 16) : icmp4(from, reply ? 0 : 8, 0, 700 << 16);
  const segment = (from: Route, ports: [number, number], flags: number, sequence: number, acknowledgment: number) =>
    to(from, ip(from, PROTOCOL.TCP, tcp(from, { ports, flags, sequence, acknowledgment })));
  return [
    to(route, ip(route, PROTOCOL.UDP, udp(route, 5000, 53))),
    segment(route, [5001, 80], FLAG.SYN, 1000, 0),
    segment(back, [80, 5001], FLAG.SYN | FLAG.ACK, 9000, 1001),
    segment(route, [5001, 80], FLAG.ACK, 1001, 9001),
    echo(route, false),
    echo(back, true),
  ];
}

/** Packets of those connections, as an error quotes them: what the receiver of the error once sent. */
function quotes(route: Route): Record<'udp' | 'tcp' | 'tcpBack' | 'echo' | 'unknown' | 'other', Buffer> {
  const back = reverse(route);
  const v6 = route.source.includes(':');
  const echo = v6 ? icmpv6(route, 128, 0, 700 << 16, PAYLOAD) : icmp(8, 0, 700 << 16, PAYLOAD);
  return {
    udp: ip(route, PROTOCOL.UDP, udp(route, 5000, 53)),
    tcp: ip(
      route,
      PROTOCOL.TCP,
      tcp(route, { ports: [5001, 80], flags: FLAG.ACK, sequence: 1001, acknowledgment: 9001 }),
    ),
    tcpBack: ip(
      back,
      PROTOCOL.TCP,
      tcp(back, { ports: [80, 5001], flags: FLAG.ACK, sequence: 9001, acknowledgment: 1001 }),
    ),
    echo: ip(route, v6 ? PROTOCOL.ICMPV6 : PROTOCOL.ICMP, echo),
    unknown: ip(route, PROTOCOL.UDP, udp(route, 5999, 53)),
    other: ip(route, 47, Buffer.alloc(16)),
  };
}

function errors(): CraftedFrame[] {
  const back = reverse(V4);
  const third = { source: THIRD.v4, destination: CLIENT.v4 };
  const quoted = quotes(V4);
  const codes = Array.from({ length: 16 }, (_, code) =>
    icmp4(back, UNREACHABLE, code, code === 4 ? 1400 : 0, quoted.udp),
  );
  const kinds = [QUENCH, REDIRECT, EXCEEDED, PARAMETER].flatMap(type => [
    icmp4(back, type, 0, 0, quoted.udp),
    icmp4(third, type, 1, 0, quoted.tcp),
  ]);
  const whose = [quoted.tcp, quoted.echo, quoted.unknown, quoted.other].map(data =>
    icmp4(third, UNREACHABLE, 1, 0, data),
  );
  const foreign = { source: THIRD.v4, destination: SERVER.v4 };
  return [
    ...codes,
    ...kinds,
    ...whose,
    icmp4(V4, UNREACHABLE, 3, 0, quoted.tcpBack),
    icmp4(V4, UNREACHABLE, 3, 0, quoted.udp),
    icmp4(back, UNREACHABLE, 3, 0, quoted.tcpBack),
    icmp4(foreign, UNREACHABLE, 3, 0, quoted.udp),
    icmp4(back, UNREACHABLE, 99, 0, quoted.udp),
    ...oddQuotes(quoted),
  ];
}

/** Quotes cut short, changed, fragments, errors themselves. */
function oddQuotes(quoted: ReturnType<typeof quotes>): CraftedFrame[] {
  const back = reverse(V4);
  const cut = [0, 4, 19, 20, 23, 24, 27, 28].map(bytes =>
    icmp4(back, UNREACHABLE, 3, 0, quoted.udp.subarray(0, bytes)),
  );
  const cutTcp = [27, 28, 32, 39, 40].map(bytes => icmp4(back, UNREACHABLE, 3, 0, quoted.tcp.subarray(0, bytes)));
  const change = (at: number, ...bytes: number[]) => {
    const copy = Buffer.from(quoted.udp);
    copy.set(bytes, at);
    return icmp4(back, UNREACHABLE, 3, 0, copy);
  };
  const changes = [
    change(0, 0x44),
    change(0, 0x4f),
    change(0, 0x65),
    change(2, 0xff, 0xff),
    change(2, 0, 10),
    change(10, 1, 2),
  ];
  const fragments = [change(6, 0x20, 0), change(6, 0, 100)];
  const ports = [change(20, 0, 0), change(22, 0, 0), change(26, 9, 9)];
  const error = ipv4(V4, PROTOCOL.ICMP, icmp(UNREACHABLE, 3, 0, quoted.tcpBack));
  const withOptions = ipv4(V4, PROTOCOL.UDP, udp(V4, 5000, 53), u8(1, 1, 1, 0));
  const echoReply = ipv4(V4, PROTOCOL.ICMP, icmp(0, 0, 700 << 16, PAYLOAD));
  const inner = [error, withOptions, echoReply, ipv6(V6, PROTOCOL.UDP, udp(V6, 5000, 53))];
  return [
    ...cut,
    ...cutTcp,
    ...changes,
    ...fragments,
    ...ports,
    ...inner.map(data => icmp4(back, UNREACHABLE, 3, 0, data)),
  ];
}

function errors6(): CraftedFrame[] {
  const back = reverse(V6);
  const third = { source: THIRD.v6, destination: CLIENT.v6 };
  const quoted = quotes(V6);
  const kinds = [1, 2, 3, 4].flatMap(type =>
    [0, 1, 3, 7].map(code => icmp6(code === 1 ? third : back, type, code, 1280, quoted.udp)),
  );
  const whose = [quoted.tcp, quoted.echo, quoted.unknown, quoted.other].map(data => icmp6(third, 1, 0, 0, data));
  const cut = [0, 20, 39, 40, 44, 47, 48].map(bytes => icmp6(back, 1, 4, 0, quoted.udp.subarray(0, bytes)));
  const hopByHop = ipv6(V6, 0, join(u8(PROTOCOL.UDP, 0, 1, 4, 0, 0, 0, 0), udp(V6, 5000, 53)));
  const fragment = ipv6(V6, 44, join(u8(PROTOCOL.UDP, 0), u16(8 << 3), u32(7), udp(V6, 5000, 53)));
  const error = ipv6(V6, PROTOCOL.ICMPV6, icmpv6(V6, 1, 4, 0, quoted.tcpBack));
  const inner = [hopByHop, fragment, error, quotes(V4).udp].map(data => icmp6(back, 1, 4, 0, data));
  const wrong = [
    icmp6(V6, 1, 4, 0, quoted.tcpBack),
    icmp6(V6, 1, 4, 0, quoted.udp),
    icmp6(back, 1, 4, 0, quoted.tcpBack),
  ];
  return [...kinds, ...whose, ...cut, ...inner, ...wrong];
}

/** Wrong checksums, too few bytes, and each protocol inside the other IP version. */
function broken(): CraftedFrame[] {
  const echo = icmp(8, 0, 800 << 16, PAYLOAD);
  const echo6 = icmpv6(V6, 128, 0, 800 << 16, PAYLOAD);
  const flipped = Buffer.from(echo);
  flipped[2] ^= 0xff;
  const flipped6 = Buffer.from(echo6);
  flipped6[3] ^= 1;
  const short = [0, 1, 3, 4, 7, 8].flatMap(bytes => [
    to(V4, ipv4(V4, PROTOCOL.ICMP, echo.subarray(0, bytes))),
    to(V6, ipv6(V6, PROTOCOL.ICMPV6, echo6.subarray(0, bytes))),
  ]);
  return [
    to(V4, ipv4(V4, PROTOCOL.ICMP, flipped)),
    to(V6, ipv6(V6, PROTOCOL.ICMPV6, flipped6)),
    ...short,
    to(V4, ipv4(V4, PROTOCOL.ICMPV6, icmpv6(V4, 128, 0, 801 << 16, PAYLOAD))),
    to(V6, ipv6(V6, PROTOCOL.ICMP, icmp(8, 0, 801 << 16, PAYLOAD))),
  ];
}

export const ICMP: readonly Scenario[] = [
  composed(
    'icmp-misc',
    'ICMP queries of all kinds, unasked replies, unknown types and codes; errors quoting tracked, unknown, short and odd packets',
    () => [...queries(), ...queries6(), ...connections(V4), ...errors(), ...connections(V6), ...errors6(), ...broken()],
  ),
];
