/**
 * The matches of a rule: words such as `tcp`, `nw_dst=10.0.0.0/8` or `ct_state=+trk+new` to a value and a mask of the
 * flow key.
 *
 * Where Open vSwitch sets aside a match whose prerequisite is missing, with a line in a log, and lets a later word
 * silently replace an earlier one, the rule is refused here: either would make a firewall let through more than its
 * text says.
 *
 * Imports error, key, numbers, ports, vocabulary, words, ../track/state. Imported by flows/parse, flows/actions,
 * flows/subfield and flows/ct.
 */
import { CT } from '../track/state.js';
import { wrong } from './error.js';
import { DL_TYPE, FLOW_KEY_WORDS, KEY, NW_FRAG } from './key.js';
import { allOnes, type Masked } from './numbers.js';
import { MAX_PORT, PORT, type PortNames, parsePort } from './ports.js';
import { FIELD_BY_NAME, type Field, type Need, PROTOCOLS } from './vocabulary.js';
import { neededValue, type Word, withoutValue } from './words.js';

/** What a packet's key must be in the bits of the mask. The value is 0 in all others. */
export interface Match {
  readonly value: Int32Array;
  readonly mask: Int32Array;
}

function emptyMatch(): Match {
  return { value: new Int32Array(FLOW_KEY_WORDS), mask: new Int32Array(FLOW_KEY_WORDS) };
}

/** Adds `masked` of a field. A field may be given again only with the same value and mask. */
function addField(match: Match, field: Field, masked: Masked, text: string): void {
  let { value, mask } = masked;
  value &= mask;
  for (let word = field.lastWord; mask !== 0n; word--) {
    const wordMask = Number(mask & 0xffffffffn) | 0;
    const wordValue = Number(value & 0xffffffffn) | 0;
    const both = match.mask[word] & wordMask;
    if (both !== 0 && (match.mask[word] !== wordMask || match.value[word] !== wordValue)) {
      throw wrong(text, 'contradicts or repeats an earlier word of the same rule');
    }
    match.mask[word] |= wordMask;
    match.value[word] |= wordValue;
    mask >>= 32n;
    value >>= 32n;
  }
}

function exactly(field: Field, value: number): Masked {
  return { value: BigInt(value), mask: allOnes(field.bits) };
}

const DL_TYPE_FIELD = fieldNamed('dl_type');
const NW_PROTO_FIELD = fieldNamed('nw_proto');

function fieldNamed(name: string): Field {
  const field = FIELD_BY_NAME.get(name);
  if (field === undefined) throw new RangeError(`no field is called ${name}`);
  return field;
}

function addWord(match: Match, word: Word, ports: PortNames): Field | undefined {
  const protocol = PROTOCOLS.get(word.key);
  if (protocol !== undefined) {
    withoutValue(word);
    const [dlType, nwProto] = protocol;
    addField(match, DL_TYPE_FIELD, exactly(DL_TYPE_FIELD, dlType), word.text);
    if (nwProto > 0) addField(match, NW_PROTO_FIELD, exactly(NW_PROTO_FIELD, nwProto), word.text);
    return undefined;
  }
  const field = FIELD_BY_NAME.get(word.key);
  if (field === undefined) throw wrong(word.key, 'is not a match that is supported');
  const value = neededValue(word);
  if (value === '*') return undefined;
  if (field.lastWord === KEY.IN_PORT) {
    const port = parsePort(value, ports);
    if (port > MAX_PORT && port !== PORT.LOCAL) throw wrong(value, 'no packet comes in at this port');
    // A caller can say a port that no switch has, in a whole word: its low 16 bits are not the port.
    addField(match, field, { value: BigInt(port), mask: allOnes(32) }, word.text);
  } else {
    addField(match, field, field.parse(value), word.text);
  }
  return field;
}

/** @throws FlowError for a word that is not supported, has a wrong value or lacks its prerequisite */
export function parseMatch(words: readonly Word[], ports: PortNames): Match {
  const match = emptyMatch();
  const fields = words.map(word => addWord(match, word, ports));
  for (const [index, field] of fields.entries()) {
    if (field !== undefined) checkNeed(match, field, words[index].text);
  }
  return match;
}

/** @throws FlowError when the rule does not match what `field` needs */
export function checkNeed(match: Match, field: Field, text: string): void {
  const { isMet, wants } = NEEDS[field.needs];
  if (!isMet(match)) throw wrong(text, `${field.names[0]} needs ${wants} in the same rule`);
}

/** Value of a word that the match fixes in all the bits it can have, or -1. */
function fixed(match: Match, word: number, bits: number): number {
  return match.mask[word] === Number(allOnes(bits)) ? match.value[word] : -1;
}

function matchesType(match: Match, ...types: readonly number[]): boolean {
  return types.includes(fixed(match, KEY.DL_TYPE, 16));
}

function matchesIp(match: Match): boolean {
  return matchesType(match, DL_TYPE.IP, DL_TYPE.IPV6);
}

function matchesProtocol(match: Match, ...protocols: readonly number[]): boolean {
  return matchesIp(match) && protocols.includes(fixed(match, KEY.NW_PROTO, 8));
}

/** The same where the transport's header can be: rules for later fragments see no ports. */
function matchesPorts(match: Match, ...protocols: readonly number[]): boolean {
  return matchesProtocol(match, ...protocols) && (match.value[KEY.NW_FRAG] & NW_FRAG.LATER) === 0;
}

const IMPLIES_VALID = CT.NEW | CT.EST | CT.REL | CT.RPL | CT.SNAT | CT.DNAT;

/** The match leaves only packets of which the tracker knows the connection. */
function matchesValid(match: Match): boolean {
  const value = match.value[KEY.CT_STATE];
  const mask = match.mask[KEY.CT_STATE];
  if ((value & IMPLIES_VALID) !== 0) return true;
  return (value & CT.TRK) !== 0 && (mask & CT.INV) !== 0 && (value & CT.INV) === 0;
}

const VALID_STATE = 'a ct_state that only valid packets have, such as +trk-inv or +new,';

const NEEDS: Readonly<Record<Need, { isMet(match: Match): boolean; wants: string }>> = {
  nothing: { isMet: () => true, wants: '' },
  ip: { isMet: matchesIp, wants: 'ip or ipv6' },
  'ipv4-or-arp': { isMet: match => matchesType(match, DL_TYPE.IP, DL_TYPE.ARP, DL_TYPE.RARP), wants: 'ip or arp' },
  ipv6: { isMet: match => matchesType(match, DL_TYPE.IPV6), wants: 'ipv6' },
  arp: { isMet: match => matchesType(match, DL_TYPE.ARP, DL_TYPE.RARP), wants: 'arp or rarp' },
  'ip-or-arp': {
    isMet: match => matchesIp(match) || matchesType(match, DL_TYPE.ARP, DL_TYPE.RARP),
    wants: 'ip, ipv6 or arp',
  },
  tcp: { isMet: match => matchesPorts(match, 6), wants: 'tcp or tcp6, and not later fragments,' },
  udp: { isMet: match => matchesPorts(match, 17), wants: 'udp or udp6, and not later fragments,' },
  sctp: { isMet: match => matchesPorts(match, 132), wants: 'sctp or sctp6, and not later fragments,' },
  ports: { isMet: match => matchesPorts(match, 6, 17, 132), wants: 'tcp, udp or sctp, and not later fragments,' },
  icmp: {
    isMet: match =>
      (matchesType(match, DL_TYPE.IP) && matchesProtocol(match, 1)) ||
      (matchesType(match, DL_TYPE.IPV6) && matchesProtocol(match, 58)),
    wants: 'icmp or icmp6',
  },
  icmp6: { isMet: match => matchesType(match, DL_TYPE.IPV6) && matchesProtocol(match, 58), wants: 'icmp6' },
  tracked: { isMet: matchesValid, wants: VALID_STATE },
  'tracked-ipv4': {
    isMet: match => matchesValid(match) && matchesType(match, DL_TYPE.IP),
    wants: `${VALID_STATE} and ip`,
  },
  'tracked-ipv6': {
    isMet: match => matchesValid(match) && matchesType(match, DL_TYPE.IPV6),
    wants: `${VALID_STATE} and ipv6`,
  },
  'tracked-ports': {
    isMet: match => matchesValid(match) && [1, 6, 17, 58, 132].includes(fixed(match, KEY.CT_NW_PROTO, 8)),
    wants: `${VALID_STATE} and ct_nw_proto with ports`,
  },
};

/** What actions ask of the match. */
export const matched = {
  ip: matchesIp,
  ipv4: (match: Match) => matchesType(match, DL_TYPE.IP),
  ipv6: (match: Match) => matchesType(match, DL_TYPE.IPV6),
  tcp: (match: Match) => matchesProtocol(match, 6),
  udp: (match: Match) => matchesProtocol(match, 17),
  /** The match asks for packets that are invalid. */
  invalid: (match: Match) => (match.value[KEY.CT_STATE] & CT.INV) !== 0,
} as const;
