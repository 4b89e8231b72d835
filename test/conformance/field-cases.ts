/**
 * Zones, marks and labels that come from fields of the packet, and registers, which a packet keeps through ct().
 *
 * Imports case, conversations, rules.
 */
import { type Case, now } from './case.js';
import { datagram, flow, path, pings, tcpConversation, tcpOpening, udpConversation } from './conversations.js';
import { everything, gateway } from './rules.js';

const TCP = path('10.1.0.2:40000>10.2.0.2:80', '10.2.0.2:80>10.1.0.2:40000');
const UDP = path('10.1.0.2:4000>10.2.0.2:53', '10.2.0.2:53>10.1.0.2:4000');
const UDP_V6 = path('2001:db8:1::2:4000>2001:db8:2::2:53', '2001:db8:2::2:53>2001:db8:1::2:4000');
const SNAT_TCP = path('10.1.0.2:40000>10.2.0.2:80', '10.2.0.2:80>10.9.9.9:40000');

const TALK = now(udpConversation(UDP), tcpConversation(TCP), udpConversation(UDP_V6), pings(UDP));

/** The same packets from the ports 1, 2 and 3. */
const BY_PORT = [1, 2, 3, 1].flatMap(port => udpConversation(UDP).map(frame => ({ frame, port })));

const ZONES: readonly Case[] = [
  {
    title: 'zone from a register',
    flows: everything('load:0x1001->NXM_NX_REG0[0..15],ct(commit,zone=NXM_NX_REG0[0..15],table=1)', 'goto_table:250'),
    steps: TALK,
  },
  {
    title: 'zone from the middle of a register, across words of a wide one, and from metadata',
    flows: everything(
      'set_field:0x00123456789abcde0fedcba987654321->xxreg1,ct(commit,zone=NXM_NX_REG5[8..23],table=1)',
      'ct(commit,zone=NXM_NX_XXREG1[24..39],table=2)',
      'set_field:0xabcd1234->metadata,ct(commit,zone=OXM_OF_METADATA[12..27],table=3)',
      'set_field:0x7f0080->xreg0,ct(commit,zone=OXM_OF_PKT_REG0[8..23],table=250)',
    ),
    steps: TALK,
  },
  {
    title: 'zone from in_port',
    flows: everything('ct(commit,zone=NXM_OF_IN_PORT[],table=1)', 'goto_table:250'),
    steps: BY_PORT,
  },
  {
    title: 'zone from ct_zone',
    flows: everything('ct(zone=5,table=1)', 'ct(commit,zone=NXM_NX_CT_ZONE[],table=2)', 'goto_table:250'),
    steps: TALK,
  },
  {
    title: 'zone from ct_mark and from ct_label',
    flows: everything(
      'ct(commit,zone=5,exec(set_field:0x70006->ct_mark,load:0xffff0007->NXM_NX_CT_LABEL[0..31]),table=1)',
      'ct(commit,zone=NXM_NX_CT_MARK[0..15],exec(load:8->NXM_NX_CT_LABEL[64..79]),table=2)',
      'ct(commit,zone=NXM_NX_CT_LABEL[64..79],table=3)',
      'goto_table:250',
    ),
    steps: TALK,
  },
  {
    title: 'zone from ports and addresses of the packet',
    flows: `
table=0,priority=100,tcp,actions=ct(commit,zone=NXM_OF_TCP_DST[],table=1)
table=0,priority=100,udp,actions=ct(commit,zone=NXM_OF_UDP_SRC[],table=1)
table=0,priority=100,udp6,actions=ct(commit,zone=NXM_NX_IPV6_DST[80..95],table=1)
table=0,priority=90,ip,actions=ct(commit,zone=NXM_OF_IP_SRC[0..15],table=1)
table=0,priority=0,actions=goto_table:250
table=1,actions=goto_table:250
`,
    steps: TALK,
  },
  {
    title: 'NAT in zones from a register: each has all ports to itself',
    flows: `
table=0,priority=100,ip,nw_dst=10.9.9.9,actions=move:NXM_OF_IN_PORT[]->NXM_NX_REG3[16..31],ct(nat,zone=NXM_NX_REG3[16..31],table=250)
table=0,priority=90,ip,actions=move:NXM_OF_IN_PORT[]->NXM_NX_REG3[16..31],ct(commit,nat(src=10.9.9.9),zone=NXM_NX_REG3[16..31],table=250)
table=0,priority=0,actions=goto_table:250
`,
    steps: [1, 2, 1, 2].flatMap(port => tcpOpening(SNAT_TCP).map(frame => ({ frame, port }))),
  },
];

const MARKS: readonly Case[] = [
  {
    title: 'mark from a register',
    flows: everything(
      'load:0x89abcdef->NXM_NX_REG0[],ct(commit,exec(move:NXM_NX_REG0[]->NXM_NX_CT_MARK[]),table=1)',
      'goto_table:250',
    ),
    steps: TALK,
  },
  {
    title: 'mark and label from the packet: who opened the connection',
    flows: `
table=0,priority=100,tcp,actions=ct(commit,exec(move:NXM_OF_TCP_SRC[]->NXM_NX_CT_MARK[0..15],move:NXM_OF_IP_SRC[]->NXM_NX_CT_LABEL[90..121]),table=1)
table=0,priority=100,udp,actions=ct(commit,exec(move:NXM_OF_IN_PORT[]->NXM_NX_CT_MARK[16..31],move:NXM_OF_ETH_DST[]->NXM_NX_CT_LABEL[3..50]),table=1)
table=0,priority=100,ipv6,actions=ct(commit,exec(move:NXM_NX_IPV6_SRC[]->NXM_NX_CT_LABEL[]),table=1)
table=0,priority=0,actions=goto_table:250
table=1,actions=goto_table:250
`,
    steps: TALK,
  },
  {
    title: 'what load, set_field and move write counts in their order',
    flows: everything(
      'set_field:0xaabbccdd->reg1,ct(commit,exec(load:0x11->NXM_NX_CT_MARK[0..7],move:NXM_NX_REG1[0..15]->NXM_NX_CT_MARK[4..19],set_field:0x5000/0xf000->ct_mark),table=1)',
      'ct(commit,zone=1,exec(set_field:0xffffffff->ct_mark,move:NXM_NX_REG1[24..31]->NXM_NX_CT_MARK[8..15],load:0->NXM_NX_CT_MARK[12]),table=2)',
      'goto_table:250',
    ),
    steps: TALK,
  },
  {
    title: 'bits of a mark are moved within it, packet by packet',
    // The last rule matches nothing that comes here. It makes Open vSwitch look at ct_mark: its flow cache would
    // otherwise give all packets of a connection what the first one got.
    flows: everything(
      'ct(table=1)',
      'ct(commit,exec(move:NXM_NX_CT_MARK[0..27]->NXM_NX_CT_MARK[4..31],load:0x9->NXM_NX_CT_MARK[0..3]),table=2)',
      'goto_table:250',
    ).concat('table=1,priority=200,ct_mark=0xffffffff,actions=drop\n'),
    steps: TALK,
  },
  {
    title: 'bits that a move reads are set as the packet has them: a mark goes along to the next zone',
    flows: everything(
      'ct(commit,zone=1,exec(set_field:0x1234567->ct_mark,set_field:0xfeed->ct_label),table=1)',
      'ct(commit,zone=2,exec(move:NXM_NX_CT_MARK[0..7]->NXM_NX_CT_LABEL[32..39],move:NXM_NX_CT_LABEL[8..15]->NXM_NX_CT_MARK[24..31]),table=2)',
      'goto_table:250',
    ),
    steps: TALK,
  },
  {
    title: 'label from registers: all of it, half of it, and one bit',
    flows: `
table=0,priority=100,tcp,actions=set_field:0x00112233445566778899aabbccddeeff->xxreg2,ct(commit,exec(move:NXM_NX_XXREG2[]->NXM_NX_CT_LABEL[]),table=1)
table=0,priority=100,udp,actions=set_field:0x0123456789abcdef->xreg6,ct(commit,exec(move:OXM_OF_PKT_REG6[]->NXM_NX_CT_LABEL[32..95]),table=1)
table=0,priority=90,ip,actions=set_field:0x8->reg15,ct(commit,exec(move:NXM_NX_REG15[3]->NXM_NX_CT_LABEL[127]),table=1)
table=0,priority=90,ipv6,actions=ct(commit,exec(load:0xffff->NXM_NX_CT_LABEL[0..15],move:NXM_NX_REG15[]->NXM_NX_CT_LABEL[8..39]),table=1)
table=0,priority=0,actions=goto_table:250
table=1,actions=goto_table:250
`,
    steps: TALK,
  },
  {
    title: 'the mark of a register changes with the packet, and a reply writes its own',
    flows: `
table=0,priority=100,in_port=1,ip,actions=load:1->NXM_NX_REG0[],ct(commit,exec(move:NXM_NX_REG0[0..3]->NXM_NX_CT_MARK[0..3]),table=250)
table=0,priority=100,in_port=2,ip,actions=load:2->NXM_NX_REG0[],ct(commit,exec(move:NXM_NX_REG0[0..3]->NXM_NX_CT_MARK[4..7]),table=250)
table=0,priority=100,in_port=3,ip,actions=ct(commit,force,exec(move:NXM_OF_IN_PORT[0..7]->NXM_NX_CT_MARK[8..15]),table=250)
table=0,priority=0,actions=goto_table:250
`,
    steps: [
      { frame: datagram(UDP.out), port: 1 },
      { frame: datagram(UDP.back), port: 2 },
      { frame: datagram(UDP.back), port: 3 },
      { frame: datagram(UDP.out), port: 1 },
    ],
  },
  {
    title: 'NAT, zone, mark and label from registers at once',
    flows: gateway(
      'zone=NXM_NX_REG0[0..15],nat(src=10.9.9.9),exec(move:NXM_NX_REG1[]->NXM_NX_CT_MARK[],move:NXM_NX_REG2[]->NXM_NX_CT_LABEL[96..127])',
      'zone=7,nat,table=1',
    ).replaceAll(
      'actions=ct(zone=7',
      'actions=load:7->NXM_NX_REG0[],set_field:0xdead->reg1,set_field:0xbeef->reg2,ct(zone=7',
    ),
    steps: now(tcpConversation(SNAT_TCP), datagram(flow('10.1.0.2:4000>10.2.0.2:53'))),
  },
];

const REGISTERS: readonly Case[] = [
  {
    title: 'registers and metadata live on through ct(table=)',
    flows: everything(
      'load:1->NXM_NX_REG0[],load:15->NXM_NX_REG15[],set_field:0x123456789abcdef0->xreg3,set_field:0x77->metadata,ct(commit,table=1)',
      'load:2->NXM_NX_REG0[4..7],ct(commit,zone=1,exec(move:NXM_NX_REG0[]->NXM_NX_CT_MARK[]),table=2)',
      'ct(commit,zone=2,exec(move:NXM_NX_REG6[]->NXM_NX_CT_MARK[],move:NXM_NX_REG15[]->NXM_NX_CT_LABEL[0..31],move:OXM_OF_METADATA[0..15]->NXM_NX_CT_LABEL[64..79]),table=3)',
      'goto_table:250',
    ),
    steps: TALK,
  },
  {
    title: 'the same table again and again, told apart by a register',
    flows: `
table=0,priority=100,ip,reg0=0,actions=load:1->NXM_NX_REG0[],ct(zone=1,table=0)
table=0,priority=100,ip,reg0=1,actions=load:2->NXM_NX_REG0[],ct(commit,zone=2,table=0)
table=0,priority=100,ip,reg0=2,ct_zone=2,actions=load:3->NXM_NX_REG0[],ct(commit,zone=3,exec(move:NXM_NX_REG0[]->NXM_NX_CT_MARK[]),table=0)
table=0,priority=0,actions=goto_table:250
`,
    steps: TALK,
  },
  {
    title: 'what a copy of the packet writes to registers stays with the copy',
    flows: `
table=0,priority=100,ip,actions=load:1->NXM_NX_REG0[],ct(zone=1,table=1),ct(commit,zone=2,exec(move:NXM_NX_REG0[]->NXM_NX_CT_MARK[]),table=250)
table=0,priority=0,actions=goto_table:250
table=1,ip,actions=load:9->NXM_NX_REG0[],ct(commit,zone=3,exec(move:NXM_NX_REG0[]->NXM_NX_CT_MARK[]))
`,
    steps: now(udpConversation(UDP), tcpConversation(TCP)),
  },
];

export const FIELD_CASES: readonly Case[] = [...ZONES, ...MARKS, ...REGISTERS];
