/**
 * NAT whose outcome is determined: one address, ports kept or the next ones of their group.
 *
 * Imports case, conversations, rules.
 */
import { icmpv6, raw, sctp, u16 } from '../support/frames.js';
import { at, type Case, now } from './case.js';
import {
  clientSegment,
  datagram,
  echo,
  flow,
  path,
  pings,
  sent,
  serverSegment,
  tcpClosing,
  tcpConversation,
  tcpOpening,
  udpConversation,
} from './conversations.js';
import { everything, gateway } from './rules.js';

const SINGLE = [
  {
    what: 'SNAT, IPv4',
    nat: 'nat(src=10.9.9.9)',
    tcp: path('10.1.0.2:40000>10.2.0.2:80', '10.2.0.2:80>10.9.9.9:40000'),
    udp: path('10.1.0.2:53000>10.2.0.2:53', '10.2.0.2:53>10.9.9.9:53000'),
    icmp: path('10.1.0.2:77>10.2.0.2:77', '10.2.0.2:77>10.9.9.9:77'),
  },
  {
    what: 'SNAT, IPv6',
    nat: 'nat(src=2001:db8:9::9)',
    tcp: path('2001:db8:1::2:40000>2001:db8:2::2:80', '2001:db8:2::2:80>2001:db8:9::9:40000'),
    udp: path('2001:db8:1::2:53000>2001:db8:2::2:53', '2001:db8:2::2:53>2001:db8:9::9:53000'),
    icmp: path('2001:db8:1::2:77>2001:db8:2::2:77', '2001:db8:2::2:77>2001:db8:9::9:77'),
  },
  {
    what: 'DNAT, IPv4',
    nat: 'nat(dst=10.2.0.2)',
    tcp: path('10.1.0.2:40000>10.8.8.8:80', '10.2.0.2:80>10.1.0.2:40000'),
    udp: path('10.1.0.2:53000>10.8.8.8:53', '10.2.0.2:53>10.1.0.2:53000'),
    icmp: path('10.1.0.2:77>10.8.8.8:77', '10.2.0.2:77>10.1.0.2:77'),
  },
  {
    what: 'DNAT, IPv6',
    nat: 'nat(dst=2001:db8:2::2)',
    tcp: path('2001:db8:1::2:40000>2001:db8:8::8:80', '2001:db8:2::2:80>2001:db8:1::2:40000'),
    udp: path('2001:db8:1::2:53000>2001:db8:8::8:53', '2001:db8:2::2:53>2001:db8:1::2:53000'),
    icmp: path('2001:db8:1::2:77>2001:db8:8::8:77', '2001:db8:2::2:77>2001:db8:1::2:77'),
  },
] as const;

const SINGLE_CASES: Case[] = SINGLE.flatMap(({ what, nat, tcp, udp, icmp }) => [
  { title: `${what}: TCP`, flows: gateway(nat), steps: now(tcpConversation(tcp)) },
  { title: `${what}: UDP`, flows: gateway(nat), steps: now(udpConversation(udp)) },
  { title: `${what}: ICMP echo`, flows: gateway(nat), steps: now(pings(icmp)) },
  {
    title: `${what}: all of them under one rule that looks up and commits`,
    flows: everything(`ct(commit,${nat},table=250)`),
    steps: now(tcpConversation(tcp), udpConversation(udp), pings(icmp)),
  },
]);

/** A source port that three clients use at once, and the ones that the second and the third get. */
const CONFLICTS = [
  [1, 2, 3],
  [100, 101, 102],
  [510, 511, 1],
  [511, 1, 2],
  [512, 600, 601],
  [599, 600, 601],
  [600, 601, 602],
  [1022, 1023, 600],
  [1023, 600, 601],
  [1024, 1025, 1026],
  [40000, 40001, 40002],
  [65534, 65535, 1024],
  [65535, 1024, 1025],
] as const;

/** The conversations of three clients with one source port, opened first, then answered. */
function conflict(ports: readonly [number, number, number], host: (number: number) => string, nat: string, to: string) {
  const paths = ports.map((port, index) => path(`${host(index + 2)}:${ports[0]}>${to}:53`, `${to}:53>${nat}:${port}`));
  return [
    ...now(paths.map(({ out }) => datagram(out, 'question'))),
    ...now(paths.map(({ back }) => datagram(back, 'answer'))),
    ...now(paths.map(({ out }) => datagram(out, 'thanks'))),
  ];
}

const CONFLICT_CASES: Case[] = CONFLICTS.flatMap(ports => [
  {
    title: `SNAT conflict: source ports ${ports.join(', ')}`,
    flows: gateway('nat(src=10.9.9.9)'),
    steps: conflict(ports, number => `10.1.0.${number}`, '10.9.9.9', '10.2.0.2'),
  },
]);

const V4_TCP = SINGLE[0].tcp;

export const TRANSLATION_CASES: readonly Case[] = [
  ...SINGLE_CASES,
  ...CONFLICT_CASES,
  {
    title: 'SNAT conflict, IPv6',
    flows: gateway('nat(src=2001:db8:9::9)'),
    steps: conflict([40000, 40001, 40002], number => `2001:db8:1::${number}`, '2001:db8:9::9', '2001:db8:2::2'),
  },
  {
    title: 'SNAT conflict, TCP: the ports are free again for another server',
    flows: gateway('nat(src=10.9.9.9)'),
    steps: now(
      tcpConversation(V4_TCP),
      tcpConversation(path('10.1.0.3:40000>10.2.0.2:80', '10.2.0.2:80>10.9.9.9:40001')),
      tcpConversation(path('10.1.0.4:40000>10.2.0.3:80', '10.2.0.3:80>10.9.9.9:40000')),
      tcpConversation(path('10.1.0.4:40000>10.2.0.2:81', '10.2.0.2:81>10.9.9.9:40000')),
    ),
  },
  {
    title: 'SNAT conflict of ICMP identifiers',
    flows: gateway('nat(src=10.9.9.9)'),
    steps: now(
      pings(path('10.1.0.2:2000>10.2.0.2:2000', '10.2.0.2:2000>10.9.9.9:2000')),
      pings(path('10.1.0.3:2000>10.2.0.2:2000', '10.2.0.2:2001>10.9.9.9:2001')),
      pings(path('10.1.0.4:2000>10.2.0.2:2000', '10.2.0.2:2002>10.9.9.9:2002')),
    ),
    since: { version: 4, before: 'a second client with the identifier is not translated' },
  },
  {
    title: 'SNAT conflict of ICMPv6 identifiers',
    flows: gateway('nat(src=2001:db8:9::9)'),
    steps: now(
      echo(flow('2001:db8:1::2:2000>2001:db8:2::2:2000')),
      echo(flow('2001:db8:1::3:2000>2001:db8:2::2:2000')),
      pings(path('2001:db8:1::3:2000>2001:db8:2::2:2000', '2001:db8:2::2:2001>2001:db8:9::9:2001')),
    ),
    differs: 'the next identifier, where Open vSwitch does not translate the second client',
  },
  {
    title: 'DNAT conflict: one client port to two addresses of one server',
    flows: gateway('nat(dst=10.2.0.2)'),
    steps: now(
      udpConversation(path('10.1.0.2:4000>10.8.8.8:53', '10.2.0.2:53>10.1.0.2:4000')),
      udpConversation(path('10.1.0.2:4000>10.8.8.9:53', '10.2.0.2:53>10.1.0.2:4001')),
      tcpConversation(path('10.1.0.2:65535>10.8.8.8:80', '10.2.0.2:80>10.1.0.2:65535')),
      tcpConversation(path('10.1.0.2:65535>10.8.8.9:80', '10.2.0.2:80>10.1.0.2:1024')),
    ),
  },
  {
    title: 'DNAT conflict, IPv6',
    flows: gateway('nat(dst=2001:db8:2::2)'),
    steps: now(
      udpConversation(path('2001:db8:1::2:4000>2001:db8:8::8:53', '2001:db8:2::2:53>2001:db8:1::2:4000')),
      udpConversation(path('2001:db8:1::2:4000>2001:db8:8::9:53', '2001:db8:2::2:53>2001:db8:1::2:4001')),
    ),
  },
  {
    title: 'DNAT with a port',
    flows: gateway('nat(dst=10.2.0.2:8080)'),
    steps: now(
      tcpConversation(path('10.1.0.2:40000>10.8.8.8:80', '10.2.0.2:8080>10.1.0.2:40000')),
      udpConversation(path('10.1.0.2:40000>10.8.8.8:80', '10.2.0.2:8080>10.1.0.2:40000')),
      udpConversation(path('10.1.0.2:40000>10.8.8.8:81', '10.2.0.2:8080>10.1.0.2:40001')),
    ),
  },
  {
    title: 'DNAT with a port, IPv6',
    flows: gateway('nat(dst=[2001:db8:2::2]:8080)'),
    steps: now(
      tcpConversation(path('2001:db8:1::2:40000>2001:db8:8::8:80', '2001:db8:2::2:8080>2001:db8:1::2:40000')),
      udpConversation(path('2001:db8:1::2:40000>2001:db8:8::8:80', '2001:db8:2::2:8080>2001:db8:1::2:40000')),
    ),
  },
  {
    title: 'SNAT with one port: the second client finds it taken, another server is free',
    flows: gateway('nat(src=10.9.9.9:5000)'),
    steps: now(
      udpConversation(path('10.1.0.2:4000>10.2.0.2:53', '10.2.0.2:53>10.9.9.9:5000')),
      datagram(flow('10.1.0.3:4000>10.2.0.2:53')),
      datagram(flow('10.1.0.3:4000>10.2.0.2:53')),
      udpConversation(path('10.1.0.3:4000>10.2.0.3:53', '10.2.0.3:53>10.9.9.9:5000')),
    ),
  },
  {
    title: 'SNAT with one port, TCP, IPv6',
    flows: gateway('nat(src=[2001:db8:9::9]:5000)'),
    steps: now(
      tcpConversation(path('2001:db8:1::2:40000>2001:db8:2::2:80', '2001:db8:2::2:80>2001:db8:9::9:5000')),
      clientSegment(path('2001:db8:1::3:40000>2001:db8:2::2:80', '2001:db8:2::2:80>2001:db8:9::9:5000'), {
        flags: 'S',
      }),
    ),
  },
  {
    title: 'SNAT with one port, ICMP: the identifier',
    flows: gateway('nat(src=10.9.9.9:5000)'),
    steps: now(pings(path('10.1.0.2:77>10.2.0.2:77', '10.2.0.2:5000>10.9.9.9:5000'))),
    since: { version: 4, before: 'the identifier is kept' },
  },
  {
    title: 'SNAT to all zeros: the address stays, and the port unless it is taken',
    flows: gateway('nat(src=0.0.0.0)'),
    steps: now(
      tcpConversation(path('10.1.0.2:40000>10.2.0.2:80', '10.2.0.2:80>10.1.0.2:40000')),
      udpConversation(path('10.1.0.2:40000>10.2.0.2:53', '10.2.0.2:53>10.1.0.2:40000')),
      pings(path('10.1.0.2:77>10.2.0.2:77', '10.2.0.2:77>10.1.0.2:77')),
    ),
  },
  {
    title: 'SNAT to all zeros, IPv6',
    flows: gateway('nat(src=::)'),
    steps: now(udpConversation(path('2001:db8:1::2:40000>2001:db8:2::2:53', '2001:db8:2::2:53>2001:db8:1::2:40000'))),
  },
  {
    title: 'SNAT to all zeros makes way for a connection under DNAT',
    flows: `
table=0,priority=100,ip,actions=ct(nat,table=1)
table=0,priority=0,actions=goto_table:250
table=1,priority=100,ct_state=+new+trk,ip,nw_dst=10.8.8.8,actions=ct(commit,nat(dst=10.2.0.2),table=250)
table=1,priority=90,ct_state=+new+trk,ip,nw_src=10.1.0.0/16,actions=ct(commit,nat(src=0.0.0.0),table=250)
table=1,priority=0,actions=goto_table:250
`,
    steps: now(
      udpConversation(path('10.1.0.2:4000>10.8.8.8:53', '10.2.0.2:53>10.1.0.2:4000')),
      udpConversation(path('10.1.0.2:4000>10.2.0.2:53', '10.2.0.2:53>10.1.0.2:4001')),
    ),
  },
  {
    title: 'UDP checksum zero stays zero',
    flows: gateway('nat(src=10.9.9.9)'),
    steps: now(
      datagram(flow('10.1.0.2:4000>10.2.0.2:53'), 'question', 0),
      datagram(flow('10.2.0.2:53>10.9.9.9:4000'), 'answer', 0),
      datagram(flow('10.1.0.3:4000>10.2.0.2:53'), 'question', 0),
      datagram(flow('10.2.0.2:53>10.9.9.9:4001'), 'answer', 0),
    ),
  },
  {
    title: 'UDP checksum zero under DNAT with a port',
    flows: gateway('nat(dst=10.2.0.2:5353)'),
    steps: now(
      datagram(flow('10.1.0.2:4000>10.8.8.8:53'), 'question', 0),
      datagram(flow('10.2.0.2:5353>10.1.0.2:4000'), 'answer', 0),
    ),
  },
  {
    title: 'UDP checksum zero over IPv6 is invalid and stays as it is',
    flows: gateway('nat(src=2001:db8:9::9)'),
    steps: now(datagram(flow('2001:db8:1::2:4000>2001:db8:2::2:53'), 'question', 0)),
    isSpoiled: true,
  },
  {
    title: 'a UDP checksum that translation turns into zero is written as all ones',
    flows: gateway('nat(src=10.9.9.9)'),
    steps: now([4000, 4001, 50000].map(port => datagram(flow(`10.1.0.2:${port}>10.2.0.2:53`), zeroSumPayload(port)))),
  },
  {
    title: 'a protocol without ports: the first client is translated, the second finds the address taken',
    flows: gateway('nat(src=10.9.9.9)'),
    steps: now(
      sent({ src: '10.1.0.2', dst: '10.2.0.2' }, raw(47, 'tunnelled')),
      sent({ src: '10.2.0.2', dst: '10.9.9.9' }, raw(47, 'answer')),
      sent({ src: '10.1.0.3', dst: '10.2.0.2' }, raw(47, 'tunnelled')),
      sent({ src: '10.1.0.3', dst: '10.2.0.3' }, raw(47, 'tunnelled')),
    ),
  },
  {
    title: 'a protocol without ports, DNAT, IPv6',
    flows: gateway('nat(dst=2001:db8:2::2)'),
    steps: now(
      sent({ src: '2001:db8:1::2', dst: '2001:db8:8::8' }, raw(47, 'tunnelled')),
      sent({ src: '2001:db8:2::2', dst: '2001:db8:1::2' }, raw(47, 'answer')),
    ),
  },
  {
    title: 'ICMPv6 in IPv4: addresses alone are translated',
    flows: gateway('nat(src=10.9.9.9)'),
    steps: now(
      sent({ src: '10.1.0.2', dst: '10.2.0.2' }, icmpv6({ type: 128, id: 77, payload: 'echo' })),
      sent({ src: '10.2.0.2', dst: '10.9.9.9' }, icmpv6({ type: 129, id: 77, payload: 'echo' })),
    ),
  },
  {
    title: 'SCTP: SNAT with a conflict',
    flows: gateway('nat(src=10.9.9.9)'),
    steps: now(
      sent({ src: '10.1.0.2', dst: '10.2.0.2' }, sctp({ sport: 4000, dport: 3868 })),
      sent({ src: '10.2.0.2', dst: '10.9.9.9' }, sctp({ sport: 3868, dport: 4000, tag: 7 })),
      sent({ src: '10.1.0.3', dst: '10.2.0.2' }, sctp({ sport: 4000, dport: 3868 })),
      sent({ src: '10.2.0.2', dst: '10.9.9.9' }, sctp({ sport: 3868, dport: 4001, tag: 7 })),
    ),
    since: { version: 3.2, before: 'SCTP has no ports' },
  },
  {
    title: 'a nat() of the other family changes nothing',
    flows: everything('ct(commit,nat(src=2001:db8:9::9),table=250)'),
    steps: now(
      udpConversation(path('2001:db8:1::2:4000>2001:db8:2::2:53', '2001:db8:2::2:53>2001:db8:9::9:4000')),
      udpConversation(path('10.1.0.2:4000>10.2.0.2:53', '10.2.0.2:53>10.1.0.2:4000')),
    ),
  },
  {
    title: 'the port is used again after its connection was closed',
    since: { version: 4, before: 'the port of a replaced connection stays taken' },
    flows: gateway('nat(src=10.9.9.9)'),
    steps: [
      ...at(0, ...tcpOpening(V4_TCP), ...tcpClosing(V4_TCP)),
      // The same client again while the old connection is there, then another one while the port is taken.
      ...at(1_000, clientSegment(V4_TCP, { flags: 'S', at: 1000 }), serverSegment(V4_TCP, { flags: 'SA', seen: 1001 })),
      ...at(2_000, clientSegment(path('10.1.0.3:40000>10.2.0.2:80', '10.2.0.2:80>10.9.9.9:40001'), { flags: 'S' })),
      // Long after both have ended, the second client comes first.
      ...at(200_000, ...tcpOpening(path('10.1.0.3:40000>10.2.0.2:80', '10.2.0.2:80>10.9.9.9:40000'))),
      ...at(200_001, ...tcpOpening(path('10.1.0.2:40000>10.2.0.2:80', '10.2.0.2:80>10.9.9.9:40001'))),
    ],
  },
  {
    title: 'an ended connection gives its port back to the millisecond',
    flows: gateway('nat(src=10.9.9.9)'),
    steps: [
      ...at(0, datagram(flow('10.1.0.2:4000>10.2.0.2:53'))),
      ...at(59_999, datagram(flow('10.1.0.3:4000>10.2.0.2:53'))),
      ...at(60_000, datagram(flow('10.1.0.4:4000>10.2.0.2:53'))),
      ...at(60_000, datagram(flow('10.2.0.2:53>10.9.9.9:4000')), datagram(flow('10.2.0.2:53>10.9.9.9:4001'))),
    ],
  },
  {
    title: 'a reply that comes after its connection has ended is a stranger',
    flows: gateway('nat(src=10.9.9.9)'),
    steps: [
      ...at(0, datagram(flow('10.1.0.2:4000>10.2.0.2:53')), datagram(flow('10.2.0.2:53>10.9.9.9:4000'))),
      ...at(29_999, datagram(flow('10.2.0.2:53>10.9.9.9:4000'))),
      ...at(59_999, datagram(flow('10.2.0.2:53>10.9.9.9:4000'))),
      ...at(60_000, datagram(flow('10.2.0.2:53>10.9.9.9:4000')), datagram(flow('10.1.0.2:4000>10.2.0.2:53'))),
    ],
  },
  {
    title: 'a stranger under the address of NAT, and a reply that goes past it',
    flows: gateway('nat(src=10.9.9.9)'),
    steps: now(
      datagram(flow('10.1.0.2:4000>10.2.0.2:53')),
      datagram(flow('10.2.0.9:53>10.9.9.9:4000')),
      datagram(flow('10.2.0.2:54>10.9.9.9:4000')),
      datagram(flow('10.2.0.2:53>10.9.9.9:4001')),
      // Not translated, from the server to the client: as a mirror of what the client sent it would be the reply.
      datagram(flow('10.2.0.2:53>10.1.0.2:4000')),
      // From the address of NAT itself: the other end of what the server sees.
      datagram(flow('10.9.9.9:4000>10.2.0.2:53')),
      serverSegment(V4_TCP, { flags: 'A', seen: 1 }),
      echo(flow('10.2.0.2:7>10.9.9.9:7'), true),
    ),
  },
  {
    title: 'a stranger opens what NAT would choose',
    flows: everything('ct(nat,table=1)', 'ct(commit,table=2)', 'goto_table:250').replace(
      'table=1,priority=100,ip,actions=ct(commit,table=2)',
      'table=1,priority=100,ip,nw_src=10.1.0.0/16,actions=ct(commit,nat(src=10.9.9.9),table=2)\ntable=1,priority=90,ip,actions=ct(commit,table=2)',
    ),
    steps: now(
      datagram(flow('10.2.0.2:53>10.9.9.9:4000')),
      datagram(flow('10.1.0.2:4000>10.2.0.2:53')),
      datagram(flow('10.2.0.2:53>10.9.9.9:4001')),
      datagram(flow('10.9.9.9:4000>10.2.0.2:53')),
      datagram(flow('10.9.9.9:4002>10.2.0.2:53')),
      datagram(flow('10.1.0.3:4002>10.2.0.2:53')),
    ),
  },
];

/** Two bytes that make the UDP checksum zero once the source address is 10.9.9.9; the datagram goes to 10.2.0.2:53. */
function zeroSumPayload(sport: number): number[] {
  const length = 10;
  const words = [0x0a09, 0x0909, 0x0a02, 0x0002, 17, length, sport, 53, length];
  let sum = words.reduce((total, word) => total + word, 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return u16(0xffff - sum);
}
