/**
 * Everything of ct() besides the choice of addresses: zones, marks, labels, force, ct_clear, recirculation, the state
 * flags of NAT as matches, drops and ports.
 *
 * Imports case, conversations, rules.
 */
import { tcp } from '../support/frames.js';
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
  tcpConversation,
  tcpOpening,
  udpConversation,
} from './conversations.js';
import { everything, FIREWALL, gateway } from './rules.js';

const PLAIN_TCP = path('10.1.0.2:40000>10.2.0.2:80', '10.2.0.2:80>10.1.0.2:40000');
const PLAIN_UDP = path('10.1.0.2:4000>10.2.0.2:53', '10.2.0.2:53>10.1.0.2:4000');
const SNAT_TCP = path('10.1.0.2:40000>10.2.0.2:80', '10.2.0.2:80>10.9.9.9:40000');
const SNAT_UDP = path('10.1.0.2:4000>10.2.0.2:53', '10.2.0.2:53>10.9.9.9:4000');
const PLAIN_V6 = path('2001:db8:1::2:4000>2001:db8:2::2:53', '2001:db8:2::2:53>2001:db8:1::2:4000');
const BOTH_V4 = path('10.1.0.2:4000>10.8.8.8:53', '10.2.0.2:53>10.9.9.9:4000');

/** The client opens in one direction, the server answers, and then asks a question of its own on the same ports. */
const THERE_AND_BACK = now(udpConversation(PLAIN_UDP), datagram(PLAIN_UDP.out), tcpOpening(PLAIN_TCP));

const ZONES: readonly Case[] = [
  {
    title: 'one zone commits, the other one only looks',
    flows: everything('ct(commit,zone=1,table=1)', 'ct(zone=2,table=2)', 'goto_table:250'),
    steps: THERE_AND_BACK,
  },
  {
    title: 'two zones commit one after the other',
    flows: everything('ct(zone=1,commit,table=1)', 'ct(zone=2,commit,table=2)', 'goto_table:250'),
    steps: now(tcpConversation(PLAIN_TCP), udpConversation(PLAIN_V6), pings(PLAIN_UDP)),
  },
  {
    title: 'two zones and back to the first',
    flows: everything(
      'ct(zone=1,commit,table=1)',
      'ct(zone=2,commit,exec(set_field:2->ct_mark),table=2)',
      'ct(zone=1,table=3)',
      'goto_table:250',
    ),
    steps: THERE_AND_BACK,
  },
  {
    title: 'the same packets in a zone per port',
    flows: `
table=0,priority=100,in_port=1,ip,actions=ct(commit,zone=1,table=250)
table=0,priority=100,in_port=2,ip,actions=ct(commit,zone=65535,exec(set_field:2->ct_mark),table=250)
table=0,priority=100,in_port=3,ip,actions=ct(zone=1,table=250)
table=0,priority=0,actions=goto_table:250
`,
    steps: [1, 2, 3, 1].flatMap(port => udpConversation(PLAIN_UDP).map(frame => ({ frame, port }))),
  },
  {
    title: 'SNAT in both zones with one port: each zone has all ports to itself',
    flows: `
table=0,priority=100,ip,tp_src=0,actions=drop
table=0,priority=100,in_port=1,ip,actions=ct(commit,zone=1,nat(src=10.9.9.9),table=250)
table=0,priority=100,in_port=2,ip,actions=ct(commit,zone=2,nat(src=10.9.9.9),table=250)
table=0,priority=0,actions=goto_table:250
`.replace('table=0,priority=100,ip,tp_src=0,actions=drop\n', ''),
    steps: [1, 2, 1, 2].flatMap(port => udpConversation(SNAT_UDP).map(frame => ({ frame, port }))),
  },
  {
    title: 'DNAT in one zone, SNAT in the next; replies come back through both',
    flows: `
table=0,priority=100,ip,nw_dst=10.9.9.9,actions=ct(nat,zone=2,table=3)
table=0,priority=90,ip,actions=ct(nat,zone=1,table=1)
table=0,priority=0,actions=goto_table:250
table=1,priority=100,ct_state=+new+trk,ip,nw_dst=10.8.8.8,actions=ct(commit,zone=1,nat(dst=10.2.0.2),table=2)
table=1,priority=0,actions=goto_table:2
table=2,priority=100,ip,nw_src=10.1.0.0/16,actions=ct(commit,zone=2,nat(src=10.9.9.9),table=250)
table=2,priority=0,actions=goto_table:250
table=3,priority=100,ip,actions=ct(nat,zone=1,table=250)
`,
    steps: now(
      udpConversation(BOTH_V4),
      tcpConversation(path('10.1.0.2:40000>10.8.8.8:80', '10.2.0.2:80>10.9.9.9:40000')),
      pings(path('10.1.0.2:77>10.8.8.8:77', '10.2.0.2:77>10.9.9.9:77')),
    ),
  },
  {
    title: 'a zone whose connection has ended, and one whose has not',
    flows: everything('ct(zone=1,commit,table=1)', 'ct(zone=2,table=2)', 'goto_table:250'),
    steps: [
      ...at(0, datagram(PLAIN_UDP.out)),
      ...at(59_999, datagram(PLAIN_UDP.out)),
      ...at(119_999, datagram(PLAIN_UDP.back)),
    ],
  },
];

const BIT_FIELDS =
  'set_field:0x5/0xf->ct_mark,load:0x3->NXM_NX_CT_MARK[28..31],set_field:0xabc0/0xfff0->ct_label,load:0x1->NXM_NX_CT_LABEL[127],load:0xbeef->NXM_NX_CT_LABEL[40..55]';

const MARKS: readonly Case[] = [
  {
    title: 'mark and label set at commit are seen by every later packet',
    flows: gateway('exec(set_field:0x123->ct_mark,set_field:0xdeadbeef0000000000000001->ct_label)', 'table=1'),
    steps: now(tcpConversation(PLAIN_TCP), udpConversation(PLAIN_V6)),
  },
  {
    title: 'mark and label under masks',
    flows: `
table=0,priority=100,ip,udp,tp_dst=53,actions=ct(commit,exec(set_field:0xffffffff->ct_mark,set_field:0x11112222333344445555666677778888->ct_label),table=1)
table=0,priority=90,ip,actions=ct(commit,exec(${BIT_FIELDS}),table=1)
table=0,priority=0,actions=goto_table:250
table=1,actions=goto_table:250
`,
    steps: now(udpConversation(PLAIN_UDP), datagram(PLAIN_UDP.back), tcpOpening(PLAIN_TCP)),
  },
  {
    title: 'bits are changed packet by packet',
    flows: `
table=0,priority=100,ip,nw_src=10.1.0.2,actions=ct(commit,exec(set_field:0x1/0x1->ct_mark,set_field:0x0/0x100->ct_mark),table=250)
table=0,priority=100,ip,nw_src=10.2.0.2,actions=ct(commit,exec(set_field:0x100/0x100->ct_mark,load:0xff->NXM_NX_CT_LABEL[64..71]),table=250)
table=0,priority=0,actions=goto_table:250
`,
    steps: now(udpConversation(PLAIN_UDP)),
  },
  {
    title: 'marks and labels decide',
    flows: `
table=0,priority=100,ip,actions=ct(table=1)
table=0,priority=0,actions=goto_table:250
table=1,priority=100,ct_state=+new,ip,tp_dst=53,udp,actions=ct(commit,exec(set_field:0xa0->ct_mark,set_field:0x1->ct_label),table=2)
table=1,priority=100,ct_state=+new,tcp,actions=ct(commit,exec(set_field:0xb0->ct_mark,set_field:0x2->ct_label),table=2)
table=1,priority=90,ct_mark=0xa0/0xf0,ip,actions=ct(exec(set_field:0x7/0xf->ct_mark),commit,table=2)
table=1,priority=80,ct_label=0x2/0x2,ip,actions=drop
table=1,priority=0,actions=goto_table:250
table=2,priority=100,ct_mark=0xa7,ct_label=0x1,ip,actions=ct(commit,exec(set_field:0x0->ct_label),table=250)
table=2,priority=0,actions=goto_table:250
`,
    steps: now(udpConversation(PLAIN_UDP), tcpOpening(PLAIN_TCP), pings(PLAIN_UDP)),
  },
  {
    title: 'what was not committed keeps no mark',
    flows: everything(
      'ct(table=1)',
      'ct(commit,exec(set_field:7->ct_mark),zone=3,table=2)',
      'ct(table=3)',
      'goto_table:250',
    ),
    steps: THERE_AND_BACK,
  },
  {
    title: 'a reply changes the mark under SNAT',
    flows: `
table=0,priority=100,ip,actions=ct(nat,table=1)
table=0,priority=0,actions=goto_table:250
table=1,priority=100,ct_state=+new+trk,ip,nw_src=10.1.0.0/16,actions=ct(commit,nat(src=10.9.9.9),exec(set_field:1->ct_mark),table=250)
table=1,priority=100,ct_state=+rpl+trk,ip,actions=ct(commit,exec(set_field:2->ct_mark,set_field:0x3->ct_label),table=250)
table=1,priority=0,actions=goto_table:250
`,
    steps: now(tcpConversation(SNAT_TCP), udpConversation(SNAT_UDP)),
  },
  {
    title: 'marks of connections differ by zone',
    flows: everything(
      'ct(commit,zone=1,exec(set_field:1->ct_mark),table=1)',
      'ct(commit,zone=2,exec(set_field:0x2->ct_label),table=2)',
      'ct(zone=1,table=3)',
      'ct(zone=2,table=4)',
      'goto_table:250',
    ),
    steps: now(udpConversation(PLAIN_UDP)),
  },
];

const FORCE = `
table=0,priority=100,ip,nw_src=10.1.0.2,actions=ct(commit,exec(set_field:1->ct_mark),table=250)
table=0,priority=100,ip,nw_src=10.2.0.2,udp,actions=ct(commit,force,table=250)
table=0,priority=100,ip,nw_src=10.2.0.2,tcp,actions=ct(table=1)
table=0,priority=0,actions=goto_table:250
table=1,priority=100,ip,actions=ct(commit,force,exec(set_field:2->ct_mark),table=250)
`;

const FORCED: readonly Case[] = [
  {
    title: 'a forced commit in the reply direction turns the connection round',
    flows: FORCE,
    steps: now(udpConversation(PLAIN_UDP), tcpOpening(PLAIN_TCP), datagram(PLAIN_UDP.back), datagram(PLAIN_UDP.out)),
  },
  {
    title: 'a forced commit in the original direction changes nothing',
    flows: everything('ct(commit,force,table=250)'),
    steps: now(datagram(PLAIN_UDP.out), datagram(PLAIN_UDP.out), tcpConversation(PLAIN_TCP)),
  },
  {
    title: 'a forced commit of a reply under SNAT',
    differs: 'the new connection is that of the packet as it is; Open vSwitch goes back to its addresses before NAT',
    flows: `
table=0,priority=110,ip,nw_src=10.1.0.0/16,actions=ct(commit,nat(src=10.9.9.9),table=250)
table=0,priority=100,ip,actions=ct(nat,table=1)
table=0,priority=0,actions=goto_table:250
table=1,priority=100,ip,actions=ct(commit,force,nat,table=250)
`,
    steps: now(udpConversation(SNAT_UDP), datagram(SNAT_UDP.out), datagram(SNAT_UDP.back)),
  },
  {
    title: 'a forced commit of a reply that is not translated back',
    since: { version: 4, before: 'the connection under NAT stays' },
    flows: `
table=0,priority=110,ip,nw_src=10.1.0.0/16,actions=ct(commit,nat(src=10.9.9.9),table=250)
table=0,priority=100,ip,actions=ct(commit,force,table=250)
table=0,priority=0,actions=goto_table:250
`,
    steps: now(udpConversation(SNAT_UDP), datagram(SNAT_UDP.out), datagram(SNAT_UDP.back)),
  },
];

const CLEARED: readonly Case[] = [
  {
    title: 'ct_clear forgets what conntrack said, not the connection',
    flows: everything(
      'ct(commit,zone=5,exec(set_field:9->ct_mark),table=1)',
      'ct_clear,goto_table:2',
      'goto_table:250',
    ),
    steps: THERE_AND_BACK,
  },
  {
    title: 'after ct_clear a packet is judged anew',
    flows: everything(
      'ct(commit,exec(set_field:9->ct_mark),table=1)',
      'ct_clear,goto_table:2',
      'ct(exec(set_field:8->ct_mark),commit,table=3)',
      'goto_table:250',
    ),
    steps: THERE_AND_BACK,
  },
  {
    title: 'ct_clear after NAT: the frame stays translated',
    flows: everything('ct(commit,nat(src=10.9.9.9),table=1)', 'ct_clear,goto_table:2', 'goto_table:250'),
    steps: now(udpConversation(SNAT_UDP)),
  },
  {
    title: 'ct_clear after NAT, then looked up as it is now',
    flows: everything('ct(commit,nat(src=10.9.9.9),table=1)', 'ct_clear,ct(table=2)', 'goto_table:250'),
    steps: now(udpConversation(SNAT_UDP)),
  },
];

const RECIRCULATED: readonly Case[] = [
  {
    title: 'looked up, committed with NAT, looked up again in the same zone',
    flows: everything('ct(nat,table=1)', 'ct(commit,nat(src=10.9.9.9),table=2)', 'ct(table=3)', 'goto_table:250'),
    steps: now(udpConversation(SNAT_UDP), tcpConversation(SNAT_TCP)),
  },
  {
    title: 'the same with nat the third time, and a mark',
    flows: everything(
      'ct(nat,table=1)',
      'ct(commit,nat(src=10.9.9.9),exec(set_field:3->ct_mark),table=2)',
      'ct(nat,table=3)',
      'ct(commit,exec(set_field:0x4->ct_label),table=4)',
      'goto_table:250',
    ),
    steps: now(udpConversation(SNAT_UDP), tcpConversation(SNAT_TCP)),
  },
  {
    title: 'the same with DNAT and a port',
    flows: everything('ct(nat,table=1)', 'ct(commit,nat(dst=10.2.0.2:5353),table=2)', 'ct(table=3)', 'goto_table:250'),
    steps: now(udpConversation(path('10.1.0.2:4000>10.8.8.8:53', '10.2.0.2:5353>10.1.0.2:4000'))),
  },
  {
    title: 'the same over IPv6',
    flows: everything('ct(nat,table=1)', 'ct(commit,nat(src=2001:db8:9::9),table=2)', 'ct(table=3)', 'goto_table:250'),
    steps: now(udpConversation(path('2001:db8:1::2:4000>2001:db8:2::2:53', '2001:db8:2::2:53>2001:db8:9::9:4000'))),
  },
  {
    title: 'committed twice: the second commit finds the first one',
    flows: everything(
      'ct(commit,exec(set_field:1->ct_mark),table=1)',
      'ct(commit,exec(set_field:2->ct_mark),table=2)',
      'goto_table:250',
    ),
    steps: THERE_AND_BACK,
  },
  {
    title: 'looked up many times',
    flows: everything(
      ...Array.from({ length: 5 }, (_, table) => `ct(table=${table + 1})`),
      'ct(commit,table=6)',
      'goto_table:250',
    ),
    steps: now(tcpConversation(PLAIN_TCP)),
  },
  {
    title: 'an invalid packet stays invalid, and marks its connection',
    flows: everything('ct(commit,table=1)', 'ct(commit,exec(set_field:6->ct_mark),table=2)', 'goto_table:250'),
    steps: now(
      serverSegment(PLAIN_TCP, { flags: 'SA', seen: 1 }),
      tcpOpening(PLAIN_TCP),
      clientSegment(PLAIN_TCP, { flags: 'PA', at: 0x4000_0000, seen: 1, payload: 'far' }),
      serverSegment(PLAIN_TCP, { flags: 'SF', at: 1, seen: 1 }),
      clientSegment(PLAIN_TCP, { flags: 'A', at: 1, seen: 1 }),
    ),
  },
  {
    title: 'two commits with different NAT: the first one counts',
    flows: everything('ct(commit,nat(src=10.9.9.9),table=1)', 'ct(commit,nat(dst=10.7.7.7),table=2)', 'goto_table:250'),
    steps: now(udpConversation(SNAT_UDP)),
  },
  {
    title: 'a connection that was committed without NAT gets none later',
    flows: everything('ct(commit,table=1)', 'ct(commit,nat(src=10.9.9.9),table=2)', 'goto_table:250'),
    steps: now(udpConversation(PLAIN_UDP)),
  },
  {
    title: 'ct() without a table goes on with the packet as it was',
    differs:
      'the row of a packet that leaves says what ct() found, although rules match it as untracked, as in Open vSwitch',
    flows: everything('ct(commit,exec(set_field:1->ct_mark)),goto_table:1', 'goto_table:250'),
    steps: THERE_AND_BACK,
  },
  {
    title: 'plain nat with commit: nothing to translate',
    differs: 'replies are found; Open vSwitch enters a reply direction of zeros',
    flows: everything('ct(commit,nat,table=250)'),
    steps: now(tcpConversation(PLAIN_TCP), udpConversation(PLAIN_UDP), pings(PLAIN_UDP)),
  },
  {
    title: 'plain nat with commit, then nat(src) with commit',
    differs: 'replies are found; Open vSwitch enters a reply direction of zeros',
    flows: everything('ct(commit,nat,table=1)', 'ct(commit,nat(src=10.9.9.9),table=250)'),
    steps: now(udpConversation(PLAIN_UDP), datagram(SNAT_UDP.back)),
  },
  {
    title: 'replies are looked up without nat: seen, not translated',
    flows: `
table=0,priority=110,ip,nw_src=10.1.0.0/16,actions=ct(commit,nat(src=10.9.9.9),table=250)
table=0,priority=90,ip,actions=ct(table=250)
table=0,priority=0,actions=goto_table:250
`,
    steps: now(udpConversation(SNAT_UDP), tcpConversation(SNAT_TCP)),
  },
  {
    title: 'the client is looked up without nat: the packet keeps its address',
    flows: `
table=0,priority=100,ip,nw_src=10.1.0.0/16,actions=ct(table=1)
table=0,priority=90,ip,actions=ct(nat,table=250)
table=0,priority=0,actions=goto_table:250
table=1,priority=100,ct_state=+new+trk,ip,actions=ct(commit,nat(src=10.9.9.9),table=250)
table=1,priority=0,actions=goto_table:250
`,
    steps: now(udpConversation(SNAT_UDP), tcpConversation(SNAT_TCP)),
  },
];

const FLAGS: readonly Case[] = [
  {
    title: 'the flags of NAT are matched',
    flows: `
table=0,priority=100,ip,actions=ct(nat,table=1)
table=0,priority=0,actions=goto_table:250
table=1,priority=100,ct_state=+new+trk,udp,actions=ct(commit,nat(src=10.9.9.9),table=2)
table=1,priority=100,ct_state=+new+trk,tcp,actions=ct(commit,nat(dst=10.2.0.2),table=2)
table=1,priority=50,actions=goto_table:2
table=2,priority=100,ct_state=+snat-rpl,ip,actions=ct(commit,exec(set_field:1->ct_mark),table=250)
table=2,priority=100,ct_state=+dnat+rpl,ip,actions=ct(commit,exec(set_field:2->ct_mark),table=250)
table=2,priority=100,ct_state=+dnat-rpl,ip,actions=ct(commit,exec(set_field:3->ct_mark),table=250)
table=2,priority=100,ct_state=+snat+rpl,ip,actions=ct(commit,exec(set_field:4->ct_mark),table=250)
table=2,priority=0,actions=goto_table:250
`,
    steps: now(
      udpConversation(SNAT_UDP),
      tcpConversation(path('10.1.0.2:40000>10.8.8.8:80', '10.2.0.2:80>10.1.0.2:40000')),
      pings(PLAIN_UDP),
    ),
  },
  {
    title: 'the firewall without NAT drops what no client opened',
    flows: FIREWALL,
    steps: now(
      datagram(PLAIN_UDP.back),
      udpConversation(PLAIN_UDP),
      udpConversation(PLAIN_V6),
      serverSegment(PLAIN_TCP, { flags: 'SA', seen: 1 }),
      tcpConversation(PLAIN_TCP),
      echo(flow('10.2.0.2:9>10.1.0.2:9')),
      pings(PLAIN_UDP),
      clientSegment(PLAIN_TCP, { flags: 'A', at: 1_000_000, seen: 1 }),
    ),
  },
  {
    title: 'the firewall tells ports apart',
    flows: `
table=0,priority=100,in_port=1,ip,actions=ct(commit,zone=9,table=250)
table=0,priority=100,in_port=2,ip,actions=ct(zone=9,table=1)
table=0,priority=0,actions=drop
table=1,priority=100,ct_state=+est+trk,ct_zone=9,ip,actions=goto_table:250
table=1,priority=0,actions=drop
`,
    steps: [
      { frame: datagram(PLAIN_UDP.back), port: 2 },
      { frame: datagram(PLAIN_UDP.out), port: 1 },
      { frame: datagram(PLAIN_UDP.back), port: 2 },
      { frame: datagram(PLAIN_UDP.back), port: 3 },
      ...tcpConversation(PLAIN_TCP).map((frame, index) => ({ frame, port: [1, 2, 1, 1, 2, 1, 2, 1][index] })),
    ],
  },
  {
    title: 'invalid packets under NAT keep their addresses',
    flows: gateway('nat(src=10.9.9.9)'),
    steps: now(
      tcpOpening(SNAT_TCP),
      clientSegment(SNAT_TCP, { flags: 'A', at: 1_000_000, seen: 1 }),
      serverSegment(SNAT_TCP, { flags: 'A', at: 1_000_000, seen: 1 }),
      clientSegment(SNAT_TCP, { flags: 'SR', at: 1 }),
      serverSegment(SNAT_TCP, { flags: 'R', at: 1, seen: 1 }),
      clientSegment(SNAT_TCP, { flags: 'A', at: 1, seen: 1 }),
    ),
  },
  {
    title: 'a connection picked up in its middle is translated',
    flows: gateway('nat(src=10.9.9.9)'),
    steps: now(
      clientSegment(SNAT_TCP, { flags: 'PA', at: 5000, seen: 9000, payload: 'in the middle' }),
      serverSegment(SNAT_TCP, { flags: 'PA', at: 9000, seen: 5013, payload: 'of it' }),
      clientSegment(SNAT_TCP, { flags: 'A', at: 5013, seen: 9005 }),
    ),
  },
  {
    title: 'a SYN from the other side, looked up first and translated later, goes back to the client',
    flows: `
table=0,priority=100,ip,nw_src=10.1.0.2,actions=ct(commit,nat(src=10.9.9.9),table=250)
table=0,priority=90,ip,actions=ct(table=1)
table=0,priority=0,actions=goto_table:250
table=1,ip,actions=ct(nat,table=250)
`,
    steps: now(
      clientSegment(SNAT_TCP, { flags: 'S' }),
      serverSegment(SNAT_TCP, { flags: 'S' }),
      serverSegment(SNAT_TCP, { flags: 'SR' }),
    ),
  },
  {
    title: 'simultaneous open, and a connection to oneself',
    flows: gateway('nat(src=10.9.9.9)'),
    steps: now(
      clientSegment(SNAT_TCP, { flags: 'S' }),
      serverSegment(SNAT_TCP, { flags: 'S' }),
      sent({ src: '10.1.0.5', dst: '10.1.0.5' }, tcp({ sport: 7, dport: 7 })),
      datagram(flow('10.1.0.5:4000>10.9.9.9:4000')),
      datagram(flow('10.9.9.9:4000>10.9.9.9:4000')),
    ),
  },
];

export const STATE_CASES: readonly Case[] = [...ZONES, ...MARKS, ...FORCED, ...CLEARED, ...RECIRCULATED, ...FLAGS];
