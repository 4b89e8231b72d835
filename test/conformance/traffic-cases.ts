/**
 * Rules and traffic of the kinds that Open vSwitch's own tests use: firewalls, pipelines of several stages, packets
 * that nobody can track, errors from anywhere. See titles.ts for which is whose.
 *
 * Imports case, conversations, rules, support/frames.
 */
import { icmpv6, sctp, tcp } from '../support/frames.js';
import { type Case, now } from './case.js';
import {
  clientSegment,
  datagram,
  echo,
  flow,
  icmpError,
  path,
  pings,
  sent,
  serverSegment,
  tcpConversation,
  tcpOpening,
  udpConversation,
} from './conversations.js';
import { everything, FIREWALL, gateway } from './rules.js';

const TCP = path('10.1.0.2:40000>10.2.0.2:80', '10.2.0.2:80>10.1.0.2:40000');
const UDP = path('10.1.0.2:4000>10.2.0.2:53', '10.2.0.2:53>10.1.0.2:4000');
const UDP_V6 = path('2001:db8:1::2:4000>2001:db8:2::2:53', '2001:db8:2::2:53>2001:db8:1::2:4000');
const TCP_V6 = path('2001:db8:1::2:40000>2001:db8:2::2:80', '2001:db8:2::2:80>2001:db8:1::2:40000');
const PING_V6 = path('2001:db8:1::2:77>2001:db8:2::2:77', '2001:db8:2::2:77>2001:db8:1::2:77');

/** Commits what comes in at port 1; what comes in at port 2 is looked up. */
const ONE_WAY = `
table=0,priority=100,in_port=1,ip,actions=ct(commit,table=250)
table=0,priority=100,in_port=1,ipv6,actions=ct(commit,table=250)
table=0,priority=100,in_port=2,ip,actions=ct(table=1)
table=0,priority=100,in_port=2,ipv6,actions=ct(table=1)
table=0,priority=0,actions=drop
table=1,priority=100,ct_state=+trk+est,actions=goto_table:250
table=1,priority=100,ct_state=+trk+rel,actions=goto_table:250
table=1,priority=0,actions=drop
`;

/** Port 1 for the client's frames, port 2 for the server's, who take turns. */
function turns(frames: readonly Uint8Array[], ports = [1, 2]) {
  return frames.map((frame, index) => ({ frame, port: ports[index % ports.length] }));
}

const FIREWALLS: readonly Case[] = [
  {
    title: 'what one side opens the other may answer',
    flows: ONE_WAY,
    steps: [
      ...turns([datagram(UDP.back)], [2]),
      ...turns(udpConversation(UDP)),
      ...turns(udpConversation(UDP_V6)),
      ...turns(pings(UDP)),
      ...turns(pings(PING_V6)),
      ...turns(tcpOpening(TCP), [1, 2, 1]),
      ...turns(tcpOpening(TCP_V6), [1, 2, 1]),
    ],
  },
  {
    title: 'IPv6 through the firewall: TCP, UDP, echo, and what the server asks for',
    flows: FIREWALL,
    steps: now(
      datagram(UDP_V6.back),
      echo(PING_V6.back),
      tcpConversation(TCP_V6),
      udpConversation(UDP_V6),
      pings(PING_V6),
      serverSegment(TCP_V6, { flags: 'S' }),
    ),
  },
  {
    title: 'committed, but not sent anywhere',
    flows: 'table=0,priority=100,ip,actions=ct(commit)\ntable=0,priority=0,actions=drop\n',
    steps: now(tcpOpening(TCP), udpConversation(UDP)),
  },
  {
    title: 'the answer to what was never committed',
    flows: `
table=0,priority=100,in_port=1,ip,actions=ct(table=250)
table=0,priority=100,in_port=2,ip,actions=ct(table=1)
table=0,priority=0,actions=drop
table=1,priority=100,ct_state=+trk+new,ip,actions=load:1->NXM_NX_REG0[],ct(commit,exec(move:NXM_NX_REG0[]->NXM_NX_CT_MARK[]),table=250)
table=1,priority=100,ct_state=+trk+inv,ip,actions=goto_table:250
table=1,priority=0,actions=drop
`,
    steps: [
      ...turns(tcpConversation(TCP), [1, 2, 1, 1, 2, 1, 2, 1]),
      ...turns(udpConversation(UDP)),
      ...turns(pings(UDP)),
    ],
  },
  {
    title: 'datagrams and echo requests stay new until somebody answers',
    flows: gateway('zone=3', 'zone=3,table=1'),
    steps: now(
      [1, 2, 3].map(() => datagram(UDP.out)),
      [1, 2, 3].map(sequence => echo(UDP.out, false, sequence)),
      datagram(UDP.back),
      echo(UDP.back, true),
      datagram(UDP.out),
      echo(UDP.out, false, 9),
    ),
  },
  {
    title: 'a request goes through two zones, the second time as new as the first',
    flows: `
table=0,priority=100,icmp,ct_state=-trk,actions=ct(zone=1,table=1)
table=0,priority=0,actions=drop
table=1,priority=100,ct_state=+trk+new-est,ct_zone=1,ip,actions=ct(commit,table=2)
table=1,priority=100,ct_state=+trk+est-new,ct_zone=1,actions=goto_table:2
table=1,priority=0,actions=drop
table=2,priority=100,ct_state=+trk+new,actions=goto_table:250
table=2,priority=100,ct_state=+trk+est,actions=drop
`,
    steps: now(echo(UDP.out), echo(UDP.out), echo(UDP.back, true), echo(UDP.out, false, 2)),
  },
  {
    title: 'neighbour discovery cannot be tracked',
    flows: everything('ct(commit,table=250)'),
    steps: now(
      ...[133, 134, 135, 136].map(type =>
        sent(
          { src: '2001:db8:1::2', dst: '2001:db8:1::1' },
          icmpv6({ type, id: 0, sequence: 0, payload: new Uint8Array(16) }),
        ),
      ),
      sent({ src: '2001:db8:1::2', dst: '2001:db8:1::1' }, icmpv6({ type: 143, id: 0, sequence: 0 })),
    ),
  },
  {
    title: 'picked up in the middle, from either side',
    flows: everything('ct(table=1)', 'ct(commit,table=250)'),
    steps: now(
      serverSegment(TCP, { flags: 'PA', at: 9000, seen: 5000, payload: 'the server first' }),
      clientSegment(TCP, { flags: 'A', at: 5000, seen: 9016 }),
      clientSegment(TCP_V6, { flags: 'PA', at: 5000, seen: 9000, payload: 'the client first' }),
      serverSegment(TCP_V6, { flags: 'PA', at: 9000, seen: 5016, payload: 'and its server' }),
      clientSegment(TCP, { flags: 'A', at: 5000, seen: 9016 }),
    ),
  },
];

const MATCHES: readonly Case[] = [
  {
    title: 'the original direction is matched, under masks',
    flows: `
table=0,priority=100,in_port=1,ip,actions=ct(commit,table=250)
table=0,priority=100,in_port=1,ipv6,actions=ct(commit,table=250)
table=0,priority=100,in_port=2,ip,actions=ct(table=1)
table=0,priority=100,in_port=2,ipv6,actions=ct(table=1)
table=0,priority=0,actions=drop
table=1,priority=100,ct_state=+trk+rpl,ip,ct_nw_src=10.1.2.0/24,actions=goto_table:250
table=1,priority=100,ct_state=+trk+rpl,ipv6,ct_ipv6_dst=2001:db8:7::/48,actions=goto_table:250
table=1,priority=100,ct_state=+trk+rpl,ip,ct_nw_proto=17,ct_tp_src=0x1/0x1,actions=goto_table:250
table=1,priority=100,ct_state=+trk+rpl,ip,ct_nw_proto=6,ct_tp_dst=80,ct_nw_dst=10.2.0.2,actions=goto_table:250
table=1,priority=0,actions=drop
`,
    steps: [
      ['10.1.2.100:6>10.2.0.2:6', '10.2.0.2:6>10.1.2.100:6'],
      ['10.1.0.2:7>10.2.0.2:6', '10.2.0.2:6>10.1.0.2:7'],
      ['10.1.0.2:8>10.2.0.2:6', '10.2.0.2:6>10.1.0.2:8'],
      ['2001:db8:1::2:1>2001:db8:7::2:2', '2001:db8:7::2:2>2001:db8:1::2:1'],
      ['2001:db8:1::2:1>2001:db8:8::2:2', '2001:db8:8::2:2>2001:db8:1::2:1'],
    ]
      .flatMap(([out, back]) => turns([datagram(flow(out)), datagram(flow(back))]))
      .concat(turns(tcpOpening(TCP), [1, 2, 1])),
  },
  {
    title: 'marks, labels, zones and states are matched under masks',
    flows: `
table=0,priority=100,in_port=1,udp,actions=ct(commit,zone=9,exec(set_field:0xa5->ct_mark,set_field:0xf000000000000000000000000000000a->ct_label),table=250)
table=0,priority=100,in_port=1,tcp,actions=ct(commit,zone=9,exec(set_field:0x5a->ct_mark,set_field:0x5->ct_label),table=250)
table=0,priority=100,in_port=1,icmp,actions=ct(commit,zone=8,table=250)
table=0,priority=100,in_port=2,icmp,actions=ct(zone=8,table=1)
table=0,priority=90,in_port=2,ip,actions=ct(zone=9,table=1)
table=0,priority=0,actions=drop
table=1,priority=100,ct_mark=0xa0/0xf0,ct_label=0x80000000000000000000000000000000/0x80000000000000000000000000000000,actions=goto_table:250
table=1,priority=90,ct_state=+est-new+rpl-inv,ct_zone=9,ct_mark=0x0a/0x0f,ct_label=0x1/0x3,actions=goto_table:250
table=1,priority=80,ct_state=+rpl,ct_zone=8,actions=goto_table:250
table=1,priority=0,actions=drop
`,
    steps: [
      ...turns(udpConversation(UDP)),
      ...turns(tcpOpening(TCP), [1, 2, 1]),
      ...turns(pings(UDP)),
      ...turns([datagram(flow('10.2.0.9:1>10.1.0.9:1'))], [2]),
    ],
  },
];

/** Of an instance: in-zone by register, like the logical switches of a virtual network. */
const PIPELINE = `
table=0,priority=100,in_port=1,ip,actions=load:11->NXM_NX_REG13[0..15],load:12->NXM_NX_REG12[0..15],load:2->NXM_NX_REG15[],goto_table:1
table=0,priority=100,in_port=2,ip,actions=load:12->NXM_NX_REG13[0..15],load:11->NXM_NX_REG12[0..15],load:1->NXM_NX_REG15[],goto_table:1
table=0,priority=0,actions=drop
table=1,ip,actions=ct(table=2,zone=NXM_NX_REG13[0..15])
table=2,priority=200,ct_state=+inv+trk,actions=drop
table=2,priority=100,ct_state=-new+est+trk,ct_mark=0/0x1,ip,actions=resubmit(,3)
table=2,priority=100,ct_state=+new+trk,ip,in_port=1,actions=load:1->NXM_NX_REG0[1],resubmit(,3)
table=2,priority=90,ct_state=+new+trk,tcp,tp_dst=80,actions=load:1->NXM_NX_REG0[1],resubmit(,3)
table=2,priority=0,actions=drop
table=3,priority=100,reg0=0x2/0x2,ip,actions=ct(commit,zone=NXM_NX_REG13[0..15],exec(move:NXM_NX_REG15[]->NXM_NX_CT_LABEL[0..31])),resubmit(,4)
table=3,priority=50,ip,actions=resubmit(,4)
table=4,ip,actions=ct_clear,load:0->NXM_NX_REG0[],ct(table=5,zone=NXM_NX_REG12[0..15])
table=5,priority=100,ct_state=+new+trk,ip,actions=ct(commit,zone=NXM_NX_REG12[0..15],exec(set_field:0x8/0x8->ct_mark),table=6)
table=5,priority=90,ct_state=+est+trk,actions=goto_table:6
table=5,priority=0,actions=drop
table=6,actions=goto_table:250
`;

const PIPELINES: readonly Case[] = [
  {
    title: 'a pipeline of stages, a zone for each end, chosen by registers',
    flows: PIPELINE,
    steps: [
      ...turns([datagram(UDP.back)], [2]),
      ...turns(udpConversation(UDP)),
      ...turns(tcpConversation(TCP), [1, 2, 1, 1, 2, 1, 2, 1]),
      ...turns([clientSegment(path('10.2.0.2:5000>10.1.0.2:80', '10.1.0.2:80>10.2.0.2:5000'), { flags: 'S' })], [2]),
    ],
  },
  {
    title: 'two resubmissions, a ct() in each',
    flows: `
table=0,priority=100,ip,actions=resubmit(,1),resubmit(,2)
table=0,priority=0,actions=drop
table=1,ip,actions=ct(commit,zone=1,table=3)
table=2,ip,actions=ct(commit,zone=2,table=4)
table=3,actions=drop
table=4,actions=goto_table:250
`,
    steps: now(udpConversation(UDP), pings(UDP)),
  },
  {
    title: 'DNAT, then SNAT of the same connection: the first one counts, mark and label are set',
    flows: `
table=0,priority=30,in_port=1,ip,nw_dst=10.8.8.8,actions=ct(commit,nat(dst=10.2.0.2:80),table=1)
table=0,priority=20,in_port=2,ip,actions=ct(nat,table=250)
table=0,priority=0,actions=drop
table=1,ip,actions=ct(commit,nat(src=10.9.9.9),exec(set_field:0xac->ct_mark,set_field:0xac->ct_label),table=2)
table=2,priority=100,in_port=1,ip,ct_mark=0xac,ct_label=0xac,actions=goto_table:250
table=2,priority=0,actions=drop
`,
    steps: turns(
      tcpConversation(path('10.1.0.2:40000>10.8.8.8:8080', '10.2.0.2:80>10.1.0.2:40000')),
      [1, 2, 1, 1, 2, 1, 2, 1],
    ),
  },
  {
    title: 'DNAT to one of three servers by the port of the client',
    flows: `
table=0,priority=100,tcp,nw_dst=10.8.8.8,tp_src=0/0x3,actions=ct(nat(dst=10.2.0.2),commit,table=250)
table=0,priority=100,tcp,nw_dst=10.8.8.8,tp_src=1/0x3,actions=ct(nat(dst=10.2.0.3),commit,table=250)
table=0,priority=90,tcp,nw_dst=10.8.8.8,actions=ct(nat(dst=10.2.0.4),commit,table=250)
table=0,priority=80,ip,actions=ct(nat,table=250)
table=0,priority=0,actions=drop
`,
    steps: now(
      ...['10.1.0.2', '10.1.0.5'].flatMap(client =>
        [41000, 41001, 41002, 41003].map(port =>
          tcpOpening(
            path(`${client}:${port}>10.8.8.8:80`, `10.2.0.${Math.min(2 + (port % 4), 4)}:80>${client}:${port}`),
          ),
        ),
      ),
    ),
  },
];

/** Both ends use the same port, so that either may have been first. */
const THERE = datagram(flow('10.1.0.8:53>10.1.0.5:53'));
const BACK = datagram(flow('10.1.0.5:53>10.1.0.8:53'));

const CHUNK = { INIT: 1, INIT_ACK: 2, SACK: 3, ABORT: 6, COOKIE_ECHO: 10, COOKIE_ACK: 11, DATA: 0 } as const;

/** An association under SNAT, chunk by chunk. */
function association(client: string, nat: string, server: string, port: number): Uint8Array[] {
  const out = (type: number, tag: number, bytes: number) =>
    sent(
      { src: client, dst: server },
      sctp({ sport: 54969, dport: 12345, tag, chunks: [{ type, value: new Uint8Array(bytes).fill(type) }] }),
    );
  const back = (type: number, bytes: number) =>
    sent(
      { src: server, dst: nat },
      sctp({ sport: 12345, dport: port, tag: 0x70e18ccc, chunks: [{ type, value: new Uint8Array(bytes).fill(type) }] }),
    );
  return [
    out(CHUNK.INIT, 0, 32),
    back(CHUNK.INIT_ACK, 256),
    out(CHUNK.COOKIE_ECHO, 7, 200),
    back(CHUNK.COOKIE_ACK, 0),
    out(CHUNK.DATA, 7, 17),
    back(CHUNK.SACK, 12),
    out(CHUNK.ABORT, 7, 0),
  ];
}

const ERRORS: readonly Case[] = [
  {
    title: 'ICMP errors from the server and from a router, without NAT',
    flows: ONE_WAY,
    steps: [
      // Before anything was sent: about a stranger.
      ...turns([icmpError('10.2.0.2', '10.1.0.2', datagram(UDP.out))], [2]),
      ...turns([datagram(UDP.out), icmpError('10.2.0.2', '10.1.0.2', datagram(UDP.out))]),
      ...turns([icmpError('10.2.0.1', '10.1.0.2', datagram(UDP.out), { type: 11, code: 0 })], [2]),
      ...turns([
        datagram(UDP_V6.out),
        icmpError('2001:db8:2::1', '2001:db8:1::2', datagram(UDP_V6.out), { type: 3, code: 0 }),
      ]),
      ...turns([
        clientSegment(TCP, { flags: 'S' }),
        icmpError('10.2.0.1', '10.1.0.2', clientSegment(TCP, { flags: 'S' })),
      ]),
    ],
  },
  {
    title: 'an ICMP error about a packet of the reply direction, on equal ports',
    flows: everything('ct(zone=34673,table=1)', 'ct(commit,zone=34673,table=250)'),
    steps: now(
      THERE,
      BACK,
      icmpError('10.1.0.8', '10.1.0.5', BACK),
      icmpError('10.1.0.8', '10.1.0.5', BACK),
      icmpError('10.1.0.5', '10.1.0.8', THERE),
    ),
  },
  {
    title: 'ICMP errors that are committed with nat once more, both ways, and after a deletion',
    flows: `
table=0,priority=100,ip,actions=ct(zone=42,nat,table=1)
table=0,priority=0,actions=drop
table=1,priority=100,in_port=1,ip,ct_state=+trk+new,actions=ct(commit,zone=42,nat(dst=10.2.0.2),table=250)
table=1,priority=90,icmp,ct_state=+trk+rel-rpl,actions=ct(commit,zone=42,nat,table=250)
table=1,priority=80,icmp,ct_state=+trk+rel+rpl,actions=ct(commit,zone=42,nat,table=250)
table=1,priority=0,actions=goto_table:250
`,
    steps: [0, 1].flatMap(() => [
      ...turns([datagram(flow('10.1.0.2:1>10.8.8.8:2')), datagram(flow('10.2.0.2:2>10.1.0.2:1'))]),
      // A router near the client could not pass on what the server answered.
      ...turns([icmpError('10.1.0.1', '10.8.8.8', datagram(flow('10.8.8.8:2>10.1.0.2:1')), { type: 3, code: 4 })], [1]),
      // One near the server could not pass on what the client asked.
      ...turns([icmpError('10.2.0.1', '10.1.0.2', datagram(flow('10.1.0.2:1>10.2.0.2:2')), { type: 3, code: 4 })], [2]),
      { flush: ['zone=42'] },
    ]),
  },
  {
    title: 'SCTP: an association under SNAT with one port',
    flows: gateway('zone=1,nat(src=10.9.9.9:34567)', 'zone=1,nat,table=1'),
    steps: now(
      association('10.1.0.2', '10.9.9.9', '10.2.0.2', 34567),
      sent({ src: '10.1.0.3', dst: '10.2.0.2' }, sctp({ sport: 54969, dport: 12345 })),
    ),
    since: { version: 3.2, before: 'SCTP has no ports' },
  },
  {
    title: 'TCP SYN+ACK and RST open nothing that NAT would choose for',
    flows: gateway('nat(src=10.9.9.9)'),
    steps: now(
      sent({ src: '10.1.0.2', dst: '10.2.0.2' }, tcp({ sport: 7, dport: 8, flags: 'SA' })),
      sent({ src: '10.1.0.2', dst: '10.2.0.2' }, tcp({ sport: 7, dport: 8, flags: 'R' })),
      sent({ src: '10.1.0.2', dst: '10.2.0.2' }, tcp({ sport: 7, dport: 8, flags: 'SF' })),
    ),
  },
];

export const TRAFFIC_CASES: readonly Case[] = [...FIREWALLS, ...MATCHES, ...PIPELINES, ...ERRORS];
