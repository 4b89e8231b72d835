/**
 * The ct() action of a rule: its words to a CtSpec, which the engine turns into an action of its own, and to the
 * changes that it makes to the flow key before.
 *
 * Imports context, error, match, nat, numbers, subfield, words, ../alg/helpers, ../wire/facts. Imported by flows/actions.
 */
import { HELPER_NAMES, HELPERS, type HelperName } from '../alg/helpers.js';
import { IPPROTO } from '../wire/facts.js';
import type { CtSpec, NatSpec } from './context.js';
import { wrong } from './error.js';
import { checkNeed, type Match, matched } from './match.js';
import { parseNat } from './nat.js';
import { allOnes, parseInteger, parseTableNumber } from './numbers.js';
import { type KeyWrite, parseLoad, parseMove, parseSetField, parseSubfield, type Subfield } from './subfield.js';
import { neededValue, splitWords, type Word, withoutValue } from './words.js';

/** A ct() action as it was written. */
export interface CtAction {
  readonly kind: 'ct';
  readonly spec: CtSpec;
  /** Table in which the packet starts anew afterwards. */
  readonly table: number | undefined;
  /** Where the zone comes from, if not from the text. */
  readonly zoneFrom: Subfield | undefined;
  /** Changes to ct_mark and ct_label, in order. */
  readonly writes: readonly KeyWrite[];
}

const ZONE_BITS = 16;

/** What was read so far. */
interface Draft {
  commit: boolean;
  force: boolean;
  zone: number;
  zoneFrom: Subfield | undefined;
  table: number | undefined;
  nat: NatSpec | undefined;
  alg: HelperName | undefined;
  writes: KeyWrite[];
}

function readZone(draft: Draft, text: string, match: Match): void {
  if (/^[0-9]/.test(text)) {
    draft.zone = Number(parseInteger(text, ZONE_BITS));
    draft.zoneFrom = undefined;
    return;
  }
  const from = parseSubfield(text);
  checkNeed(match, from.field, text);
  if (from.bits !== ZONE_BITS) throw wrong(text, `a zone has ${ZONE_BITS} bits, not ${from.bits}`);
  draft.zoneFrom = from;
}

function readExec(text: string, match: Match): KeyWrite[] {
  return splitWords(text).map(word => {
    const action = word.key.toLowerCase();
    if (action === 'set_field') return parseSetField(neededValue(word), 'exec');
    if (action === 'load') return parseLoad(neededValue(word), 'exec');
    if (action === 'move') return parseMove(neededValue(word), 'exec', match);
    throw wrong(word.key, 'exec takes set_field, load and move only');
  });
}

function readWord(draft: Draft, word: Word, match: Match): void {
  switch (word.key) {
    case 'commit':
      withoutValue(word);
      draft.commit = true;
      return;
    case 'force':
      withoutValue(word);
      draft.force = true;
      return;
    case 'table':
      draft.table = parseTableNumber(neededValue(word));
      return;
    case 'zone':
      readZone(draft, neededValue(word), match);
      return;
    case 'nat':
      draft.nat = parseNat(word);
      return;
    case 'alg': {
      const name = neededValue(word);
      draft.alg = HELPER_NAMES.find(helper => helper === name);
      if (draft.alg === undefined) throw wrong(name, `is not a helper: ${HELPER_NAMES.join(', ')}`);
      return;
    }
    case 'exec':
      draft.writes = [...draft.writes, ...readExec(neededValue(word), match)];
      return;
    default:
      throw wrong(word.text, 'is not an argument of ct that is supported');
  }
}

/** What Open vSwitch asks of a ct() action and of the rule around it. */
function check(draft: Draft, match: Match, text: string): void {
  const { commit, force, nat, alg, writes } = draft;
  if (!matched.ip(match)) throw wrong(text, 'ct needs ip or ipv6 in the matches of the rule');
  if (force && !commit) throw wrong('force', 'needs commit');
  if (writes.length > 0 && !commit) throw wrong('exec', 'needs commit');
  if (nat !== undefined && nat.kind !== 'restore' && !commit) throw wrong('nat', 'with src or dst needs commit');
  if (commit && matched.invalid(match)) throw wrong('commit', 'cannot be in a rule that matches ct_state=+inv');
  const protocol = HELPERS.find(({ name }) => name === alg)?.protocol;
  if (protocol === IPPROTO.TCP && !matched.tcp(match))
    throw wrong(`alg=${alg}`, 'needs tcp in the matches of the rule');
  if (protocol === IPPROTO.UDP && !matched.udp(match))
    throw wrong(`alg=${alg}`, 'needs udp in the matches of the rule');
  if (nat?.addresses === undefined) return;
  if (nat.addresses.isIpv6 ? !matched.ipv6(match) : !matched.ipv4(match)) {
    throw wrong('nat', `an ${nat.addresses.isIpv6 ? 'IPv6' : 'IPv4'} range in a rule that matches another family`);
  }
}

/**
 * Value and mask that constant writes leave of a field; of what moves bring, the mask alone. As in Open vSwitch, bits
 * that a move reads are in the mask as well: the connection gets them as the packet has them.
 */
function written(writes: readonly KeyWrite[], name: string): { value: bigint; mask: bigint } | undefined {
  let value = 0n;
  let mask = 0n;
  for (const write of writes) {
    if (write.kind === 'load') {
      if (write.field.names[0] !== name) continue;
      value = (value & ~write.mask) | write.value;
      mask |= write.mask;
    } else {
      for (const { field, bits, offset } of [write.from, write.to]) {
        if (field.names[0] === name) mask |= allOnes(bits) << BigInt(offset);
      }
      if (write.to.field.names[0] === name) value &= ~(allOnes(write.to.bits) << BigInt(write.to.offset));
    }
  }
  return mask === 0n ? undefined : { value, mask };
}

/** @throws FlowError */
export function parseCt(word: Word, match: Match): CtAction {
  const draft: Draft = {
    commit: false,
    force: false,
    zone: 0,
    zoneFrom: undefined,
    table: undefined,
    nat: undefined,
    alg: undefined,
    writes: [],
  };
  for (const argument of splitWords(word.value ?? '')) readWord(draft, argument, match);
  check(draft, match, word.text);
  const { commit, force, zone, zoneFrom, table, nat, alg, writes } = draft;
  const mark = written(writes, 'ct_mark');
  const label = written(writes, 'ct_label');
  const spec: CtSpec = {
    zone,
    commit,
    force,
    mark: mark && { value: Number(mark.value), mask: Number(mark.mask) },
    label,
    nat,
    alg,
    variesByPacket: zoneFrom !== undefined || writes.some(write => write.kind === 'move'),
  };
  return { kind: 'ct', spec, table, zoneFrom, writes };
}
