/**
 * Flow rules in the syntax of Open vSwitch (`ovs-ofctl add-flows`), one per line: a file to a FlowTable.
 *
 *     table=0,priority=100,ip,actions=ct(table=1)
 *     table=1,ct_state=+trk+new,in_port=1,tcp,tp_dst=22,actions=ct(commit,nat(src=192.0.2.1)),2
 *
 * In front: `table=` (0 to 254, default 0) and `priority=` (0 to 65535, default 32768). Comments begin with #.
 *
 * Matches: in_port; dl_type, dl_src, dl_dst, dl_vlan, dl_vlan_pcp, vlan_tci; the keywords ip ipv4 ip4 icmp tcp udp sctp
 * ipv6 ip6 icmp6 tcp6 udp6 sctp6 arp rarp; nw_proto, nw_frag, nw_src, nw_dst, ipv6_src, ipv6_dst; arp_op, arp_spa,
 * arp_tpa; tp_src, tp_dst and the same with tcp_, udp_, sctp_; icmp_type, icmp_code, icmpv6_type, icmpv6_code;
 * tcp_flags; ct_state, ct_zone, ct_mark, ct_label; ct_nw_proto, ct_nw_src, ct_nw_dst, ct_ipv6_src, ct_ipv6_dst,
 * ct_tp_src, ct_tp_dst; metadata, reg0 to reg15, xreg0 to xreg7, xxreg0 to xxreg3.
 *
 * Actions: output:PORT, PORT alone, in_port, local, normal, controller, drop; resubmit, goto_table; ct_clear; load,
 * move and set_field on registers and metadata; ct with commit, force, table=, zone= (a number or a field), alg=,
 * nat and nat(src=, dst=, random, hash, persistent), exec(set_field, load, move).
 *
 * The same as lists is in flows/supported. Of two rules with the same table, priority and match the later one counts,
 * as with add-flow.
 *
 * Imports actions, error, match, numbers, ports, words, ../given. Imported by flows/compile, cli/ and the public API.
 */
import { checkText, quoted } from '../given.js';
import { type FlowAction, parseActions } from './actions.js';
import { FlowError, wrong } from './error.js';
import { type Match, parseMatch } from './match.js';
import { parseNumber, parseTableNumber } from './numbers.js';
import { checkPorts, type PortNames } from './ports.js';
import { neededValue, splitWords, type Word } from './words.js';

export interface FlowRule {
  /** Where it stands in the text, the first line being 1. */
  readonly line: number;
  readonly table: number;
  readonly priority: number;
  readonly match: Match;
  readonly actions: readonly FlowAction[];
}

export interface FlowTable {
  /** In the order of the text, without those that a later one replaces. */
  readonly rules: readonly FlowRule[];
}

export interface FlowTextOptions {
  /** Ports that rules can name; an array names the ports 1, 2, … in order. */
  readonly ports?: PortNames;
}

const DEFAULT_PRIORITY = 0x8000;

/** Words that Open vSwitch knows in front of the actions and that mean nothing here: there is no flow to expire. */
const NO_FLOW_STATE = [
  'cookie',
  'idle_timeout',
  'hard_timeout',
  'importance',
  'send_flow_rem',
  'check_overlap',
  'reset_counts',
  'no_packet_counts',
  'no_byte_counts',
  'duration',
  'n_packets',
  'n_bytes',
  'idle_age',
  'hard_age',
];

const ACTIONS = /(?:^|[\s,])actions?\s*=/;

interface Head {
  readonly table: number;
  readonly priority: number;
  readonly matches: readonly Word[];
}

function readHead(text: string): Head {
  let table: number | undefined;
  let priority: number | undefined;
  const matches: Word[] = [];
  for (const word of splitWords(text)) {
    if (word.key === 'table') {
      if (table !== undefined) throw wrong(word.text, 'is the second table of the rule');
      table = parseTableNumber(neededValue(word));
    } else if (word.key === 'priority') {
      if (priority !== undefined) throw wrong(word.text, 'is the second priority of the rule');
      priority = parseNumber(neededValue(word), 0, 0xffff);
    } else if (NO_FLOW_STATE.includes(word.key)) {
      throw wrong(word.key, 'is not supported: rules here have no cookies, timeouts, flags or counters');
    } else {
      matches.push(word);
    }
  }
  return { table: table ?? 0, priority: priority ?? DEFAULT_PRIORITY, matches };
}

function readRule(text: string, line: number, ports: PortNames): FlowRule {
  const actionsAt = ACTIONS.exec(text);
  if (actionsAt === null) throw new FlowError(0, '', `${quoted(text)}: a rule needs actions=`);
  const { table, priority, matches } = readHead(text.slice(0, actionsAt.index));
  const match = parseMatch(matches, ports);
  const actions = parseActions(text.slice(actionsAt.index + actionsAt[0].length), table, match, ports);
  return { line, table, priority, match, actions };
}

/** Two rules with the same identity: the later one replaces the earlier. */
function identity({ table, priority, match }: FlowRule): string {
  return `${table} ${priority} ${match.value.join()} ${match.mask.join()}`;
}

/**
 * Reads rules. Nothing but a FlowError is ever thrown for a text, whatever it says.
 * @throws FlowError for the first rule that is wrong or not supported, with its line and the word at fault; TypeError for
 *   what is no text, TypeError or RangeError for names of ports that are none
 */
export function parseFlows(text: string, options: FlowTextOptions = {}): FlowTable {
  const { ports = [] } = options;
  checkText('flows.text', text);
  checkPorts(ports);
  const rules = new Map<string, FlowRule>();
  for (const [index, whole] of text.split('\n').entries()) {
    const comment = whole.indexOf('#');
    const rule = (comment < 0 ? whole : whole.slice(0, comment)).trim();
    if (rule === '') continue;
    try {
      const read = readRule(rule, index + 1, ports);
      const key = identity(read);
      rules.delete(key);
      rules.set(key, read);
    } catch (error) {
      if (error instanceof FlowError) throw new FlowError(index + 1, error.word, error.reason);
      throw error;
    }
  }
  return { rules: [...rules.values()] };
}
