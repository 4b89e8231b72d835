/**
 * Random flow rules, from a script: up to four tables through which packets go by ct(), with zones, marks, labels,
 * ct_clear, and either NAT or force.
 *
 * With NAT only clients open connections, as in action-traffic. What the README lists as different is left out: a ct()
 * without a table, a commit with plain nat, force together with NAT.
 *
 * Imports script, conformance/judges.
 */
import { LEAVE } from '../conformance/judges.js';

/** Tables in which packets are looked at; from the last one they leave. */
const TABLES = 4;
const RULES_PER_TABLE = 5;
const ZONES = [0, 1, 5];
const CLIENTS = ['ip,nw_src=10.0.0.1', 'ip,nw_src=10.0.0.2', 'ipv6,ipv6_src=2001:db8::1', 'ipv6,ipv6_src=2001:db8::2'];
const MATCHES = ['ip', 'ipv6', 'tcp', 'udp', 'icmp', 'tcp6', 'udp6', 'icmp6', 'ip,in_port=2', 'ipv6,in_port=2'];
const STATES = [
  '+trk',
  '+new+trk',
  '+est+trk',
  '+rpl+trk',
  '-rpl+trk',
  '+inv+trk',
  '+rel+trk',
  '-trk',
  '+snat',
  '+dnat',
];
const CONNECTIONS = [
  '',
  'ct_mark=1',
  'ct_mark=2/0xf',
  'ct_mark=0',
  'ct_zone=1',
  'ct_zone=0',
  'ct_label=0x1',
  'ct_label=0xff0000000000000000/0xff0000000000000000',
];
const EXECS = [
  '',
  'exec(set_field:1->ct_mark)',
  'exec(set_field:2/0xf->ct_mark)',
  'exec(set_field:0xdeadbeef->ct_mark)',
  'exec(set_field:0x1->ct_label)',
  'exec(set_field:0xab0000000000000000/0xff0000000000000000->ct_label)',
  'exec(set_field:3->ct_mark,set_field:0x77/0xff->ct_label)',
  'exec(load:5->NXM_NX_CT_MARK[8..15])',
];
const TRANSLATIONS = [
  ['nat(src=10.0.0.9)', 'nat(src=2001:db8::9)'],
  ['nat(src=10.0.0.9:2000)', 'nat(src=[2001:db8::9]:2000)'],
  ['nat(dst=10.0.0.3)', 'nat(dst=2001:db8::3)'],
  ['nat(src=0.0.0.0)', 'nat(src=::)'],
];

/** The words of a script one after the other, from the beginning again when they run out. */
class Words {
  readonly #words: Uint32Array;
  #at = 0;

  constructor(words: Uint32Array) {
    this.#words = words;
  }

  below(limit: number): number {
    const at = this.#at++;
    // A word that is read again is not the same number again.
    const round = Math.floor(at / this.#words.length);
    return ((this.#words[at % this.#words.length] >>> ((round * 5) % 24)) % limit) >>> 0;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }
}

function ct(parts: readonly string[], table: number): string {
  return `ct(${[...parts.filter(Boolean), `table=${table}`].join(',')})`;
}

function openingActions(words: Words, match: string, translates: boolean, next: number): string {
  const zone = `zone=${words.pick(ZONES)}`;
  // Identifiers of ICMPv6 are another matter.
  const isIpv6 = match.startsWith('ipv6');
  const nat = translates ? words.pick(TRANSLATIONS)[isIpv6 ? 1 : 0] : '';
  return ct(['commit', zone, nat, words.pick(EXECS)], next);
}

/** @param commits whether the action may commit; otherwise it may translate what is known, if `hasNat` */
function anyAction(words: Words, hasNat: boolean, commits: boolean, next: number): string {
  const nat = hasNat ? 'nat' : '';
  const zone = `zone=${words.pick(ZONES)}`;
  const exec = words.pick(EXECS);
  switch (words.below(8)) {
    case 0:
      return 'drop';
    case 1:
      return `goto_table:${LEAVE}`;
    case 2:
      return `ct_clear,goto_table:${next}`;
    case 3:
      return ct([zone], next);
    case 4:
      return `goto_table:${next}`;
    case 5:
      return commits ? ct(['commit', 'force', zone, exec], next) : ct([zone, nat], next);
    default:
      return commits ? ct(['commit', zone, exec], next) : ct([zone, nat], next);
  }
}

/** The rules of one table; each has a priority of its own. */
function tableRules(words: Words, table: number, hasNat: boolean): string[] {
  const next = table + 1 < TABLES ? table + 1 : LEAVE;
  const rules = Array.from({ length: RULES_PER_TABLE }, (_, index) => {
    const opens = words.below(3) === 0;
    const match = opens ? words.pick(CLIENTS) : words.pick(MATCHES);
    const state = opens ? '+new+trk' : words.pick(STATES);
    const state0 = table === 0 ? '' : `,ct_state=${state}`;
    const connection = table === 0 ? '' : words.pick(CONNECTIONS);
    const actions = opens
      ? openingActions(words, match, hasNat, next)
      : anyAction(words, hasNat, !hasNat && !state0.includes('+inv'), next); // OVS refuses to commit what is invalid
    const where = `table=${table},priority=${200 - index * 10}`;
    return `${where},${match}${state0}${connection === '' ? '' : `,${connection}`},actions=${actions}`;
  });
  const first = ct([hasNat ? 'nat' : '', `zone=${words.pick(ZONES)}`], next);
  for (const family of ['ip', 'ipv6']) rules.push(`table=${table},priority=50,${family},actions=${first}`);
  return [...rules, `table=${table},priority=0,actions=goto_table:${LEAVE}`];
}

export function ruleText(script: Uint32Array, hasNat: boolean): string[] {
  const words = new Words(script);
  return Array.from({ length: TABLES }, (_, table) => tableRules(words, table, hasNat)).flat();
}
