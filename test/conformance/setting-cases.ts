/**
 * Limits, timeout policies of zones, the check of sequence numbers and deletions, changed between packets.
 *
 * Imports case, conversations, rules, support/frames.
 */
import { raw, sctp, tcp } from '../support/frames.js';
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
  tcpOpening,
  udpConversation,
} from './conversations.js';
import { everything } from './rules.js';

const TCP = path('10.1.0.2:40000>10.2.0.2:80', '10.2.0.2:80>10.1.0.2:40000');
const UDP = path('10.1.0.2:4000>10.2.0.2:53', '10.2.0.2:53>10.1.0.2:4000');
const UDP_V6 = path('2001:db8:1::2:4000>2001:db8:2::2:53', '2001:db8:2::2:53>2001:db8:1::2:4000');

/** Datagrams from different ports. */
function clients(...ports: readonly number[]): Uint8Array[] {
  return ports.map(port => datagram(flow(`10.1.0.2:${port}>10.2.0.2:53`)));
}

const COMMIT = everything('ct(commit,table=250)');
const ZONE_5 = everything('ct(commit,zone=5,table=250)');
/** Zone 1 for what comes from port 1, zone 2 for port 2, none for port 3. */
const ZONE_BY_PORT = `
table=0,priority=100,in_port=1,ip,actions=ct(commit,zone=1,table=250)
table=0,priority=100,in_port=2,ip,actions=ct(commit,zone=2,table=250)
table=0,priority=100,in_port=3,ip,actions=ct(commit,table=250)
table=0,priority=0,actions=goto_table:250
`;

function fromPort(port: number, frames: readonly Uint8Array[]) {
  return frames.map(frame => ({ frame, port }));
}

const LIMITS: readonly Case[] = [
  {
    title: 'limit of a zone: the last place goes to the first who comes',
    flows: ZONE_BY_PORT,
    steps: [
      { zoneLimit: [1, 3] },
      ...fromPort(1, clients(1, 2, 3, 4, 5)),
      ...fromPort(2, clients(1, 2, 3, 4, 5)),
      ...fromPort(1, [...clients(4), ...udpConversation(UDP), ...clients(1)]),
      { counts: true },
    ],
  },
  {
    title: 'limit of a zone: lowered and raised while packets flow',
    flows: ZONE_5,
    steps: [
      { zoneLimit: [5, 2] },
      ...now(clients(1, 2, 3)),
      { zoneLimit: [5, 1] },
      ...now(clients(1, 2, 3)),
      { zoneLimit: [5, 3] },
      ...now(clients(3, 4)),
      { zoneLimit: [5, 0] },
      ...now(clients(1, 4, 5)),
      { zoneLimit: [5, undefined] },
      ...now(clients(4, 5)),
    ],
  },
  {
    title: 'default limit: each zone without one of its own has it, and zone 0 too',
    flows: ZONE_BY_PORT,
    steps: [
      { defaultZoneLimit: 2 },
      { zoneLimit: [2, 3] },
      ...fromPort(1, clients(1, 2, 3, 4)),
      ...fromPort(2, clients(1, 2, 3, 4)),
      ...fromPort(3, clients(1, 2, 3, 4)),
      { counts: true },
    ],
    since: { version: 3.5, before: 'all zones without a limit share one count' },
  },
  {
    title: 'limit of a zone: what is deleted and what has ended makes room',
    flows: ZONE_5,
    steps: [
      { zoneLimit: [5, 2] },
      ...at(0, ...clients(1, 2, 3)),
      { flush: ['zone=5', 'ct_nw_src=10.1.0.2,ct_nw_dst=10.2.0.2,ct_nw_proto=17,ct_tp_src=1,ct_tp_dst=53'] },
      ...at(1, ...clients(3)),
      { flush: ['zone=5'] },
      ...at(2, ...clients(3, 4, 5)),
      // Both have ended by then; the second may still be counted until it is swept, so the first to come is asked only.
      ...at(400_000, ...clients(3)),
    ],
  },
  {
    title: 'limit of a zone under NAT',
    flows: everything('ct(commit,zone=5,nat(src=10.9.9.9),table=250)'),
    steps: [
      { zoneLimit: [5, 1] },
      ...now(clients(1, 2), datagram(flow('10.2.0.2:53>10.9.9.9:1')), datagram(flow('10.2.0.2:53>10.9.9.9:2'))),
    ],
  },
  {
    title: 'maximum of connections, and their number',
    flows: COMMIT,
    steps: [
      { counts: true },
      { maxConnections: 3 },
      ...now(clients(1, 2), tcpOpening(TCP), clients(3), pings(UDP), udpConversation(UDP_V6)),
      { counts: true },
      { maxConnections: 5 },
      ...now(clients(3), pings(UDP), udpConversation(UDP_V6)),
      { counts: true },
      { flush: [] },
      { counts: true },
      ...now(clients(9)),
      { counts: true },
    ],
  },
];

const POLICY = { udp_first: 3, udp_single: 5, udp_multiple: 7, icmp_first: 4, icmp_reply: 6 };
const TCP_POLICY = {
  tcp_syn_sent: 3,
  tcp_syn_recv: 5,
  tcp_established: 100,
  tcp_fin_wait: 11,
  tcp_time_wait: 9,
  tcp_close: 7,
};

const UNFOLLOWED = [sctp({ sport: 4000, dport: 3868 }), raw(47, 'tunnelled')].map(message =>
  sent({ src: '10.1.0.2', dst: '10.2.0.2' }, message),
);

const TIMEOUTS: readonly Case[] = [
  {
    title: 'timeout policy of a zone: first, single and multiple datagrams, requests and replies',
    flows: ZONE_5,
    steps: [
      { zoneTimeouts: [5, POLICY] },
      ...at(0, datagram(UDP.out), datagram(flow('10.1.0.3:1>10.2.0.2:53')), echo(UDP.out)),
      ...at(2_999, datagram(UDP.out)),
      ...at(3_000, datagram(flow('10.1.0.3:1>10.2.0.2:53'))),
      ...at(3_999, echo(UDP.back, true)),
      ...at(7_998, datagram(UDP.back), datagram(UDP.out)),
      ...at(9_998, echo(UDP.out, false, 2)),
      ...at(14_997, datagram(UDP.back)),
      ...at(15_998, echo(UDP.back, true, 2)),
      ...at(21_997, datagram(UDP.back)),
    ],
  },
  {
    title: 'timeout policy of a zone: the states of TCP',
    flows: ZONE_5,
    steps: [
      { zoneTimeouts: [5, TCP_POLICY] },
      ...at(0, clientSegment(TCP, { flags: 'S' })),
      ...at(2_999, serverSegment(TCP, { flags: 'SA', seen: 1 })),
      ...at(7_998, clientSegment(TCP, { flags: 'A', at: 1, seen: 1 })),
      ...at(107_997, clientSegment(TCP, { flags: 'FA', at: 1, seen: 1 })),
      ...at(118_996, serverSegment(TCP, { flags: 'FA', at: 1, seen: 2 })),
      ...at(127_995, clientSegment(TCP, { flags: 'A', at: 2, seen: 2 })),
      ...at(134_994, clientSegment(TCP, { flags: 'A', at: 2, seen: 2 })),
    ],
  },
  {
    title: 'timeout policies of two zones, one of them without',
    flows: ZONE_BY_PORT,
    steps: [
      { zoneTimeouts: [1, { udp_first: 3 }] },
      { zoneTimeouts: [2, { udp_first: 200 }] },
      ...[1, 2, 3].flatMap(port => fromPort(port, clients(7))),
      ...[1, 2, 3].flatMap(port => clients(7).map(frame => ({ frame, port, atMs: 59_999 }))),
      ...[1, 2, 3].flatMap(port => clients(8).map(frame => ({ frame, port, atMs: 60_000 }))),
    ],
  },
  {
    title: 'timeout policy of a zone: taken away, and what a connection was made with',
    flows: ZONE_5,
    steps: [
      { zoneTimeouts: [5, { udp_first: 3, udp_single: 4 }] },
      ...at(0, ...clients(1, 2)),
      { zoneTimeouts: [5, undefined] },
      ...at(1_000, ...clients(3)),
      ...at(2_999, ...clients(1)),
      ...at(3_000, ...clients(2)),
    ],
    since: { version: 4, before: 'a policy without a zone lives on for a while' },
  },
  {
    title: 'timeout policy of a zone: counts under NAT, and not for SCTP and protocols without ports',
    flows: `
table=0,priority=100,udp,actions=ct(commit,zone=5,nat(src=10.9.9.9),table=250)
table=0,priority=90,ip,actions=ct(commit,zone=5,table=250)
table=0,priority=0,actions=goto_table:250
`,
    steps: [
      { zoneTimeouts: [5, { udp_first: 3 }] },
      ...at(0, ...clients(1, 2), ...UNFOLLOWED),
      ...at(2_999, ...clients(1)),
      ...at(3_000, ...clients(2), ...UNFOLLOWED),
    ],
    since: { version: 3.2, before: 'SCTP has no ports' },
  },
];

/** Far outside any window. */
const FAR = 10_000_000;

const SEQUENCES: readonly Case[] = [
  {
    title: 'sequence numbers are not checked, then they are',
    flows: COMMIT,
    steps: [
      { checksSequence: false },
      ...now(
        tcpOpening(TCP),
        clientSegment(TCP, { flags: 'PA', at: FAR, seen: 1, payload: 'from afar' }),
        serverSegment(TCP, { flags: 'A', at: 1, seen: FAR + 9 }),
        serverSegment(TCP, { flags: 'A', at: 2 * FAR, seen: 3 * FAR }),
      ),
      { checksSequence: true },
      ...now(
        clientSegment(TCP, { flags: 'PA', at: 5 * FAR, seen: 1, payload: 'from further' }),
        serverSegment(TCP, { flags: 'A', at: 7 * FAR, seen: 1 }),
        serverSegment(TCP, { flags: 'R', at: 9 * FAR, seen: 1 }),
      ),
      { checksSequence: false },
      ...now(clientSegment(TCP, { flags: 'R', at: 6 * FAR, seen: 1 }), clientSegment(TCP, { flags: 'S', at: 99 })),
    ],
  },
];

/** Connections of two clients in two zones, with marks and labels. */
const FLUSH_RULES = `
table=0,priority=100,in_port=1,ip,actions=ct(commit,zone=1,exec(set_field:0x11->ct_mark,set_field:0x100000000000000001->ct_label),table=250)
table=0,priority=100,in_port=2,ip,actions=ct(commit,zone=2,exec(set_field:0x21->ct_mark),table=250)
table=0,priority=100,ipv6,actions=ct(commit,zone=2,table=250)
table=0,priority=100,in_port=3,ip,actions=ct(commit,nat(src=10.9.9.9),table=250)
table=0,priority=0,actions=goto_table:250
`;

const POPULATION = [
  ...[1, 2, 3].flatMap(port => fromPort(port, [...clients(1, 2), ...tcpOpening(TCP).slice(0, 1), echo(UDP.out)])),
  ...fromPort(2, [datagram(UDP_V6.out), datagram(flow('10.3.0.3:9>10.2.0.3:53'))]),
];

function flushCase(title: string, words: readonly string[], since?: Case['since']): Case {
  return {
    title: `deleted: ${title}`,
    flows: FLUSH_RULES,
    steps: [...POPULATION, { flush: words }, { counts: true }, ...fromPort(1, clients(1)), ...fromPort(3, clients(2))],
    ...(since === undefined ? {} : { since }),
  };
}

const MARKS_SINCE = { version: 3.3, before: 'connections cannot be deleted by mark or label' };

const DELETIONS: readonly Case[] = [
  flushCase('everything', []),
  flushCase('a zone', ['zone=2']),
  flushCase('a zone without connections', ['zone=77']),
  flushCase('one connection of a zone', [
    'zone=1',
    'ct_nw_src=10.1.0.2,ct_nw_dst=10.2.0.2,ct_nw_proto=17,ct_tp_src=1,ct_tp_dst=53',
  ]),
  flushCase(
    'one connection of zone 0, by what the server answers to',
    ['ct_nw_src=10.2.0.2,ct_nw_dst=10.9.9.9,ct_nw_proto=17,ct_tp_src=53,ct_tp_dst=1'],
    { version: 4, before: 'a connection under NAT is found by its original tuple only' },
  ),
  flushCase('by protocol', ['ct_nw_proto=6']),
  flushCase('by port of the client', ['zone=1', 'ct_nw_proto=17,ct_tp_src=1']),
  flushCase('by address', ['ct_nw_dst=10.2.0.3']),
  flushCase('by IPv6 address', ['ct_ipv6_src=2001:db8:1::2']),
  flushCase('by the reply direction', ['ct_nw_src=10.1.0.2', 'ct_nw_dst=10.9.9.9']),
  flushCase('by type of ICMP', ['ct_nw_proto=1,icmp_type=8,icmp_code=0']),
  flushCase('by identifier of ICMP', ['ct_nw_proto=1,icmp_id=4000']),
  flushCase('by mark', ['mark=0x11'], MARKS_SINCE),
  flushCase('by mark under a mask', ['mark=0x1/0x1'], MARKS_SINCE),
  flushCase('by label under a mask', ['labels=0x1/0x1'], MARKS_SINCE),
  flushCase('by label in a zone', ['zone=1', 'labels=0x100000000000000000/0x100000000000000000'], MARKS_SINCE),
  {
    title: 'deleted in the middle: what comes next opens anew, or is invalid',
    flows: COMMIT,
    steps: [
      ...now(tcpOpening(TCP), udpConversation(UDP)),
      { flush: [] },
      ...now(
        serverSegment(TCP, { flags: 'SA', seen: 1 }),
        clientSegment(TCP, { flags: 'A', at: 1, seen: 1 }),
        datagram(UDP.back),
        datagram(UDP.out),
        tcpClosing(TCP),
        sent({ src: '10.1.0.2', dst: '10.2.0.2' }, tcp({ sport: 7, dport: 8, flags: 'SA' })),
      ),
    ],
  },
];

export const SETTING_CASES: readonly Case[] = [...LIMITS, ...TIMEOUTS, ...SEQUENCES, ...DELETIONS];
