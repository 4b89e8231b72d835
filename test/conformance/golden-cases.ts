/**
 * Recorded traffic through a gateway with SNAT, and through a firewall without NAT.
 *
 * Imports case, judges, readdress.
 */
import type { Case } from './case.js';
import { goldenSteps, readdressed } from './readdress.js';

const CAPTURES = [
  'http-ipv4',
  'http-ipv6',
  'dns',
  'ping',
  'udp-both-ways',
  'port-unreachable',
  'resets',
  'port-reuse',
  'large-transfer',
] as const;

const GATEWAY = `
table=0,priority=100,ip,actions=ct(nat,table=1)
table=0,priority=100,ipv6,actions=ct(nat,table=1)
table=0,priority=0,actions=goto_table:250
table=1,priority=100,ct_state=+new+trk,ip,nw_src=10.1.0.2,actions=ct(commit,nat(src=10.9.9.9),exec(set_field:4->ct_mark),table=250)
table=1,priority=100,ct_state=+new+trk,ipv6,ipv6_src=fd00:1::2,actions=ct(commit,nat(src=fd00:9::9),exec(set_field:6->ct_mark),table=250)
table=1,priority=0,actions=goto_table:250
`;

/** Connections of the clients only, in a zone; everything else is dropped. */
const FIREWALL = `
table=0,priority=100,ip,actions=ct(zone=10,table=1)
table=0,priority=100,ipv6,actions=ct(zone=10,table=1)
table=0,priority=0,actions=drop
table=1,priority=200,ct_state=+inv+trk,actions=drop
table=1,priority=100,ct_state=+est+trk,actions=goto_table:250
table=1,priority=100,ct_state=+rel+trk,actions=goto_table:250
table=1,priority=90,ct_state=+new+trk,ip,nw_src=10.1.0.0/16,actions=ct(commit,zone=10,exec(set_field:0x1/0xff->ct_mark,load:0x10->NXM_NX_CT_LABEL[96..127]),table=250)
table=1,priority=90,ct_state=+new+trk,ipv6,ipv6_src=fd00:1::/64,actions=ct(commit,zone=10,table=250)
table=1,priority=0,actions=drop
`;

export const GOLDEN_CASES: readonly Case[] = CAPTURES.flatMap(name => [
  {
    title: `${name} through SNAT`,
    flows: GATEWAY,
    steps: goldenSteps(name, readdressed),
    ...(name === 'port-reuse'
      ? { since: { version: 4, before: 'the port of a replaced connection stays taken' } }
      : {}),
  },
  { title: `${name} through a firewall`, flows: FIREWALL, steps: goldenSteps(name) },
]);
