/**
 * All kinds of traffic.
 *
 * Imports campaign for their form, conformance/, support/ovs, and the kinds.
 */
import { LEAVE } from '../conformance/judges.js';
import { everything } from '../conformance/rules.js';
import { COMMIT_FLOWS } from '../support/ovs.js';
import { actionTraffic, NAT_ACTIONS, natTraffic, PLAIN_ACTIONS } from './action-traffic.js';
import type { Kind } from './campaign.js';
import { datagramTraffic } from './datagram-traffic.js';
import { fragmentTraffic, repeatedFragmentTraffic, translatedFragmentTraffic } from './fragment-traffic.js';
import { FTP_ACTIONS, FTP_FLOWS, FTP_NAT_ACTIONS, ftpTraffic, translatedFtpTraffic } from './ftp-traffic.js';
import { mutatedTraffic } from './mutated-traffic.js';
import { tcpTraffic } from './tcp-traffic.js';
import { COMMIT_AND_LOOK, COMMIT_ONLY } from './traffic.js';

const COMMIT_AND_LOOK_FLOWS = `${everything('ct(commit,table=1)', `ct(table=${LEAVE})`)}
table=1,priority=200,ct_state=+inv+trk,actions=goto_table:${LEAVE}
`;

export const KINDS: readonly Kind[] = [
  { name: 'tcp', actions: COMMIT_ONLY, flows: COMMIT_FLOWS, maxSteps: 200, traffic: tcpTraffic },
  { name: 'datagrams', actions: COMMIT_ONLY, flows: COMMIT_FLOWS, maxSteps: 150, traffic: datagramTraffic },
  { name: 'mutated', actions: COMMIT_ONLY, flows: COMMIT_FLOWS, maxSteps: 150, traffic: mutatedTraffic },
  { name: 'actions', actions: PLAIN_ACTIONS, maxSteps: 100, traffic: actionTraffic },
  { name: 'nat', actions: NAT_ACTIONS, maxSteps: 100, traffic: natTraffic },
  {
    name: 'fragments',
    actions: COMMIT_ONLY,
    flows: COMMIT_FLOWS,
    maxSteps: 60,
    traffic: fragmentTraffic,
    hasFragments: true,
  },
  {
    name: 'fragments-twice',
    actions: COMMIT_AND_LOOK,
    flows: COMMIT_AND_LOOK_FLOWS,
    maxSteps: 60,
    traffic: repeatedFragmentTraffic,
    hasFragments: true,
    leastOvs: 4,
  },
  { name: 'fragments-nat', actions: NAT_ACTIONS, maxSteps: 60, traffic: translatedFragmentTraffic, hasFragments: true },
  { name: 'ftp', actions: FTP_ACTIONS, flows: FTP_FLOWS, maxSteps: 40, traffic: ftpTraffic },
  { name: 'ftp-nat', actions: FTP_NAT_ACTIONS, maxSteps: 40, traffic: translatedFtpTraffic },
];
