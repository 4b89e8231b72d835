/**
 * Rule sets that several cases share.
 *
 * Imports judges.
 */
import { LEAVE } from './judges.js';

/** What clients send from, in the firewalls below. */
const CLIENTS = ['ip,nw_src=10.1.0.0/16', 'ipv6,ipv6_src=2001:db8:1::/48'] as const;

/** Whether an action can be for a family: OVS refuses a rule that mixes IPv4 with an IPv6 address, or the reverse. */
function isFor(action: string, isIpv6: boolean): boolean {
  const address = /nat\((?:src|dst)=\[?([0-9a-f.:]+)/.exec(action)?.[1];
  return address === undefined || address.split(':').length > 2 === isIpv6;
}

/** The clients whose family an action's NAT addresses are of. */
function clientsOf(commit: string): readonly string[] {
  return CLIENTS.filter(match => isFor(commit, match.startsWith('ipv6')));
}

/**
 * A stateful firewall with NAT: clients may open connections, which `commit` makes; everything is looked up and
 * translated back.
 */
export function gateway(commit: string, lookup = 'nat,table=1'): string {
  return `
table=0,priority=100,ip,actions=ct(${lookup})
table=0,priority=100,ipv6,actions=ct(${lookup})
table=0,priority=0,actions=goto_table:${LEAVE}
${clientsOf(commit)
  .map(match => `table=1,priority=100,ct_state=+new+trk,${match},actions=ct(commit,${commit},table=${LEAVE})`)
  .join('\n')}
table=1,priority=0,actions=goto_table:${LEAVE}
`;
}

/** A stateful firewall without NAT: what clients open may pass, both ways; the rest is dropped. */
export const FIREWALL = `
table=0,priority=100,ip,actions=ct(table=1)
table=0,priority=100,ipv6,actions=ct(table=1)
table=0,priority=0,actions=goto_table:${LEAVE}
table=1,priority=200,ct_state=+inv+trk,actions=drop
table=1,priority=150,ct_state=+est+trk,actions=goto_table:${LEAVE}
table=1,priority=150,ct_state=+rel+trk,actions=goto_table:${LEAVE}
${CLIENTS.map(match => `table=1,priority=100,ct_state=+new+trk,${match},actions=ct(commit,exec(set_field:1->ct_mark),table=${LEAVE})`).join('\n')}
table=1,priority=0,actions=drop
`;

/** One action for everything, or for the family that its NAT addresses are of; the other one leaves as it came. */
export function everything(...actions: readonly string[]): string {
  return actions
    .flatMap((action, table) => [
      ...(isFor(action, false) ? [`table=${table},priority=100,ip,actions=${action}`] : []),
      ...(isFor(action, true) ? [`table=${table},priority=100,ipv6,actions=${action}`] : []),
      `table=${table},priority=0,actions=goto_table:${LEAVE}`,
    ])
    .join('\n')
    .concat('\n');
}
