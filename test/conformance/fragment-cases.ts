/**
 * Fragments: held, judged with their datagram, translated with it, and sent on in order.
 *
 * Imports case, conversations, judges, rules, support/fragments.
 */

import { type CutFields, cut, fragment } from '../support/fragments.js';
import { icmp, icmpv6, ipv6, type Packet, sctp, tcp, udp } from '../support/frames.js';
import { apart, type Case } from './case.js';
import { datagram, echo, type Flow, packet, path } from './conversations.js';
import { LEAVE } from './judges.js';
import { everything, gateway } from './rules.js';

const LARGE = Uint8Array.from({ length: 4000 }, (_, index) => index * 31);

const large = (flow: Flow): Packet => packet(flow, udp({ sport: flow.sport, dport: flow.dport, payload: LARGE }));
const parts = (flow: Flow, fields: CutFields = {}): Uint8Array[] => cut(large(flow), 1448, fields);
const reversed = (frames: readonly Uint8Array[]): Uint8Array[] => [...frames].reverse();

const COMMIT = everything(`ct(commit,table=${LEAVE})`);
/** Through ct() of one zone twice. */
const TWICE = everything('ct(commit,table=1)', `ct(table=${LEAVE})`);
const OUT = path('10.1.0.2:4000>10.2.0.2:53', '10.2.0.2:53>10.1.0.2:4000');
const OUT6 = path('2001:db8:1::2:4000>2001:db8:2::2:53', '2001:db8:2::2:53>2001:db8:1::2:4000');
const SNAT = path('10.1.0.2:4000>10.2.0.2:53', '10.2.0.2:53>10.9.9.9:4000');
const SNAT6 = path('2001:db8:1::2:4000>2001:db8:2::2:53', '2001:db8:2::2:53>2001:db8:9::9:4000');
const DNAT = path('10.1.0.2:4000>10.2.0.2:53', '10.2.0.9:5300>10.1.0.2:4000');
const DNAT6 = path('2001:db8:1::2:4000>2001:db8:2::2:53', '2001:db8:2::9:5300>2001:db8:1::2:4000');

const ECHO = (flow: Flow, isReply: boolean): Packet => {
  const payload = LARGE;
  const isIpv6 = flow.src.includes(':');
  const fields = { id: flow.sport, sequence: 1, payload };
  return packet(
    flow,
    isIpv6 ? icmpv6({ type: isReply ? 129 : 128, ...fields }) : icmp({ type: isReply ? 0 : 8, ...fields }),
  );
};

/** A datagram with hop-by-hop and destination options, either of which can be in the part that is fragmented. */
const EXTENDED = ipv6(
  { src: OUT6.out.src, dst: OUT6.out.dst, extensions: [{ kind: 'hop-by-hop' }, { kind: 'destination' }] },
  udp({ sport: 4000, dport: 53, payload: LARGE }),
);

function ordered(title: string, flows: string, ...frames: readonly (Uint8Array | readonly Uint8Array[])[]): Case {
  return { title: `fragments: ${title}`, flows, steps: apart(...frames), isOrdered: true };
}

function unordered({ title, flows, steps }: Case): Case {
  return { title, flows, steps };
}

const both = (name: string, four: Flow, six: Flow, make: (flow: Flow) => readonly Uint8Array[]): Case[] => [
  ordered(`${name}, IPv4`, COMMIT, make(four)),
  ordered(`${name}, IPv6`, COMMIT, make(six)),
];

const STATES: readonly Case[] = [
  ...both('a datagram in order', OUT.out, OUT6.out, flow => parts(flow)),
  ...both('a datagram reversed', OUT.out, OUT6.out, flow => reversed(parts(flow))),
  ...both('two datagrams mixed', OUT.out, OUT6.out, flow => {
    const [a, b] = [parts(flow, { id: 1 }), parts(flow, { id: 2 })];
    return a.flatMap((bytes, index) => [bytes, b[index]]);
  }),
  // Not ordered: the invalid one has left rules in OVS's cache, and what hits them overtakes the rest of its batch.
  ...both('a part twice', OUT.out, OUT6.out, flow => [parts(flow)[0], ...parts(flow)]).map(unordered),
  ...both('one that is missing', OUT.out, OUT6.out, flow => parts(flow).filter((_, index) => index !== 1)),
  ...both('overlapping by eight octets', OUT.out, OUT6.out, flow => [
    fragment(large(flow), { from: 0, to: 1448 }),
    fragment(large(flow), { from: 1440, to: 2888 }),
    fragment(large(flow), { from: 2888, to: 4008 }),
  ]),
  ...both('a part that surrounds another', OUT.out, OUT6.out, flow => [
    fragment(large(flow), { from: 1448, to: 2888 }),
    fragment(large(flow), { from: 0, to: 2896 }),
    fragment(large(flow), { from: 2888, to: 4008 }),
  ]),
  ...both('too small', OUT.out, OUT6.out, flow => cut(large(flow), 1000)),
  ...both('the smallest', OUT.out, OUT6.out, flow => cut(large(flow), flow.src.includes(':') ? 1232 : 1184)),
  ...both('in two tags', OUT.out, OUT6.out, flow => parts(flow, { tags: [{ type: 0x88a8, id: 3 }, { id: 4 }] })),
  ...both('padded', OUT.out, OUT6.out, flow => parts(flow, { trailer: [1, 2, 3, 4, 5] })),
  ...both('a wrong checksum of the whole', OUT.out, OUT6.out, flow =>
    cut(packet(flow, udp({ sport: flow.sport, dport: flow.dport, payload: LARGE, checksum: 'wrong' })), 1448),
  ),
  ...both('a TCP segment', OUT.out, OUT6.out, flow =>
    cut(packet(flow, tcp({ sport: flow.sport, dport: flow.dport, flags: 'S', payload: LARGE })), 1448),
  ),
  ...both('overlapping by eight octets, the last first', OUT.out, OUT6.out, flow => [
    fragment(large(flow), { from: 2888, to: 4008 }),
    fragment(large(flow), { from: 1440, to: 2888 }),
    fragment(large(flow), { from: 0, to: 1448 }),
  ]),
  ...both('in one tag', OUT.out, OUT6.out, flow => parts(flow, { tags: [{ id: 5 }] })),
  ordered('with extension headers in front', COMMIT, cut(EXTENDED, 1448, { unfragmentable: 16 })),
  ordered('with extension headers in front, reversed', COMMIT, reversed(cut(EXTENDED, 1448, { unfragmentable: 16 }))),
  ordered('with extension headers behind', COMMIT, cut(EXTENDED, 1448)),
  ordered(
    'with extension headers on both sides, reversed',
    COMMIT,
    reversed(cut(EXTENDED, 1448, { unfragmentable: 8 })),
  ),
  ordered('a request and its answer', COMMIT, parts(OUT.out), parts(OUT.back), datagram(OUT.out), parts(OUT.back)),
  ordered('a request and its answer, IPv6', COMMIT, parts(OUT6.out), parts(OUT6.back), datagram(OUT6.out)),
  ordered('echo', COMMIT, cut(ECHO(OUT.out, false), 1448), cut(ECHO({ ...OUT.back, sport: 4000 }, true), 1448)),
  ordered(
    'of a protocol that is new by its first fragment when they are too few',
    COMMIT,
    cut(packet(OUT.out, sctp({ sport: 4000, dport: 80 })), 8),
  ),
];

/** What clients send, and servers answer, is fragmented; some is not. */
const NAT: readonly Case[] = [
  ordered('SNAT', gateway('nat(src=10.9.9.9)'), parts(SNAT.out), parts(SNAT.back), parts(SNAT.out)),
  ordered('SNAT, reversed', gateway('nat(src=10.9.9.9)'), reversed(parts(SNAT.out)), reversed(parts(SNAT.back))),
  ordered('SNAT with a port', gateway('nat(src=10.9.9.9:5000)'), parts(SNAT.out), datagram(SNAT.out)),
  ordered('SNAT, IPv6', gateway('nat(src=2001:db8:9::9)'), parts(SNAT6.out), parts(SNAT6.back)),
  ordered('DNAT', gateway('nat(dst=10.2.0.9:5300)'), parts(DNAT.out), parts(DNAT.back), datagram(DNAT.out)),
  ordered('DNAT, IPv6', gateway('nat(dst=[2001:db8:2::9]:5300)'), parts(DNAT6.out), parts(DNAT6.back)),
  ordered('SNAT of an echo', gateway('nat(src=10.9.9.9)'), cut(ECHO(SNAT.out, false), 1448), [
    echo({ ...SNAT.back, sport: 4000 }, true),
  ]),
  ordered('SNAT of an echo, IPv6', gateway('nat(src=2001:db8:9::9)'), cut(ECHO(SNAT6.out, false), 1448)),
  ordered('SNAT in tags', gateway('nat(src=10.9.9.9)'), parts(SNAT.out, { tags: [{ id: 9 }] }), parts(SNAT.back)),
  ordered(
    'SNAT without a checksum',
    gateway('nat(src=10.9.9.9)'),
    cut(packet(SNAT.out, udp({ sport: 4000, dport: 53, payload: LARGE, checksum: 0 })), 1448),
  ),
];

const RULES: readonly Case[] = [
  ordered(
    'zones one after the other, each with its own datagrams',
    everything('ct(commit,zone=1,table=1)', `ct(commit,zone=2,exec(set_field:7->ct_mark),table=${LEAVE})`),
    parts(OUT.out),
    reversed(parts(OUT.back)),
  ),
  ordered(
    'first and later ones by other rules',
    `table=0,priority=100,ip,nw_frag=first,actions=ct(commit,exec(set_field:1->ct_mark),table=${LEAVE})
table=0,priority=100,ip,nw_frag=later,actions=ct(commit,exec(set_field:2->ct_mark),table=${LEAVE})
table=0,priority=0,actions=goto_table:${LEAVE}
`,
    parts(OUT.out),
    reversed(parts(OUT.back)),
  ),
  ordered(
    'rules that drop one kind behind ct()',
    `table=0,priority=100,ip,actions=ct(commit,table=1)
table=1,priority=100,ip,nw_frag=later,actions=drop
table=1,priority=0,actions=goto_table:${LEAVE}
`,
    parts(OUT.out),
  ),
  {
    ...ordered(
      'the original direction is matched behind ct()',
      `table=0,priority=100,ip,actions=ct(table=1)
table=0,priority=100,ipv6,actions=ct(table=1)
table=1,priority=100,ct_state=+new+trk,ip,ct_nw_proto=17,ct_tp_src=4000,ct_tp_dst=53,actions=ct(commit,table=${LEAVE})
table=1,priority=100,ct_state=+new+trk,ipv6,ct_nw_proto=17,ct_ipv6_src=2001:db8:1::/48,ct_tp_dst=53,actions=ct(commit,table=${LEAVE})
table=1,priority=90,ct_state=+rpl+trk,ip,ct_nw_src=10.1.0.2,ct_nw_proto=17,ct_tp_src=4000,actions=goto_table:${LEAVE}
table=1,priority=90,ct_state=+rpl+trk,ipv6,ct_nw_proto=17,ct_tp_src=0xfa0/0xfff0,actions=goto_table:${LEAVE}
table=1,priority=0,actions=drop
`,
      parts(OUT.out),
      parts(OUT.back),
      parts(OUT6.out),
      parts(OUT6.back),
      parts(SNAT.back),
    ),
    since: { version: 4, before: 'later fragments have no ports in their tuple' },
  },
  ...[OUT.out, OUT6.out].flatMap(flow =>
    Object.entries({ S: 'an opening segment', A: 'a segment of a connection under way', SA: 'an invalid segment' }).map(
      ([flags, name]) =>
        ordered(
          `two ct() of one zone, which judge ${name} each, ${flow.src}`,
          TWICE,
          cut(packet(flow, tcp({ sport: flow.sport, dport: flow.dport, flags, ack: 1, payload: LARGE })), 1448),
        ),
    ),
  ),
  ordered('two ct() of one zone, a request and its answer', TWICE, parts(OUT.out), reversed(parts(OUT.back))),
  ordered('without ct()', `table=0,actions=goto_table:${LEAVE}\n`, parts(OUT.out)),
];

export const FRAGMENT_CASES: readonly Case[] = [...STATES, ...NAT, ...RULES];
