/**
 * The text form of a filter, as `dpctl/flush-conntrack` takes it:
 *
 * ```
 *   [zone=N] [mark=X[/M]] [labels=Y[/N]] [ct-orig-tuple [ct-reply-tuple]]
 *   zone=5 ct_nw_src=10.1.1.1,ct_nw_dst=10.1.1.2,ct_nw_proto=17,ct_tp_src=1,ct_tp_dst=2
 * ```
 *
 * The words come in this order; an empty word stands for an empty tuple. Port 0 and the IPv6 address `::` may be
 * anything, the IPv4 address 0.0.0.0 is itself. Of ICMP, what is not given counts as 0. Messages are those of Open
 * vSwitch.
 *
 * What Open vSwitch reads as something that was not meant is refused here, since a flush cannot be undone: text behind
 * a number (`zone=5x`), a zone above 65535, a mask that is no number, two different protocols, ports of ICMP.
 *
 * Imports filter, nat/address, wire/facts, ../given. Imported by the public API.
 */
import { checkArray, checkText } from '../given.js';
import { ADDRESS_WORDS, isZeroAddress, NO_FAMILY, parseAddress } from '../nat/address.js';
import { FAMILY_IPV6, IPPROTO } from '../wire/facts.js';
import type { ConnectionFilter, TupleFilter } from './filter.js';

/** A filter that cannot be read; the message is Open vSwitch's. */
export class FilterError extends Error {
  override readonly name = 'FilterError';
}

/** A tuple while it is read; 0 and undefined may be anything. */
interface TupleDraft {
  src?: string;
  dst?: string;
  srcPort: number;
  dstPort: number;
  icmp: { id: number; type: number; code: number };
}

/** What is read so far; family and protocol are common to both tuples. */
interface Draft {
  family: number;
  protocol: number;
  readonly original: TupleDraft;
  readonly reply: TupleDraft;
}

/** Longer text than any number of 128 bits needs is not looked at. */
const MAX_DIGITS = 64;
/** Characters between fields, and between a field's name and its value. */
const FIELD = /[^:=(, \t\r\n]*(?:[:=][^, \t\r\n]*|\([^)]*\)?)?/y;
const BETWEEN_FIELDS = /[, \t\r\n]*/y;

/** Decimal, 0x hexadecimal, or octal with a leading zero, of `bits` bits at most; undefined for anything else. */
function wholeNumber(text: string, bits: number): bigint | undefined {
  const digits = text.startsWith('+') ? text.slice(1) : text;
  if (digits.length > MAX_DIGITS) return undefined;
  let value: bigint;
  if (/^0x[0-9a-f]+$/i.test(digits)) value = BigInt(digits);
  else if (/^0[0-7]+$/.test(digits)) value = BigInt(`0o${digits.slice(1)}`);
  else if (/^(0|[1-9][0-9]*)$/.test(digits)) value = BigInt(digits);
  else return undefined;
  return value >> BigInt(bits) === 0n ? value : undefined;
}

/** `value` or `value/mask`. */
function maskedNumber(name: string, text: string, bits: number): { value: bigint; mask: bigint } {
  const slash = text.indexOf('/');
  const value = wholeNumber(slash < 0 ? text : text.slice(0, slash), bits);
  const mask = slash < 0 ? (1n << BigInt(bits)) - 1n : wholeNumber(text.slice(slash + 1), bits);
  if (value === undefined || mask === undefined) throw new FilterError(`failed to parse ${name}`);
  return { value, mask };
}

function fieldNumber(key: string, text: string, bits: number): number {
  const value = wholeNumber(text, bits);
  if (value === undefined) throw new FilterError(`failed to parse field ${key}`);
  return Number(value);
}

/** The fields of a tuple, name and value. A name and its value are parted by `=`, `:` or parentheses. */
function* fieldsOf(text: string): Generator<[key: string, value: string]> {
  for (let at = 0; ; ) {
    BETWEEN_FIELDS.lastIndex = at;
    BETWEEN_FIELDS.exec(text);
    at = BETWEEN_FIELDS.lastIndex;
    if (at === text.length) return;
    FIELD.lastIndex = at;
    const field = FIELD.exec(text)?.[0] ?? '';
    at = FIELD.lastIndex;
    const end = field.search(/[:=(]/);
    if (end < 0) yield [field, ''];
    else
      yield [field.slice(0, end), field[end] === '(' ? field.slice(end + 1).replace(/\)$/, '') : field.slice(end + 1)];
  }
}

function readAddress(draft: Draft, tuple: TupleDraft, key: string, value: string): void {
  const family = key.startsWith('ct_ipv6') ? FAMILY_IPV6 : 0;
  const end = key.endsWith('src') ? 'src' : 'dst';
  if (draft.family !== NO_FAMILY && draft.family !== family) {
    throw new FilterError(`the L3 protocol does not match ${value}`);
  }
  if (tuple[end] !== undefined) throw new FilterError(`${key} is set multiple times`);
  const words = new Int32Array(ADDRESS_WORDS);
  if (parseAddress(value, words, 0) !== family) throw new FilterError(`failed to parse field ${key}`);
  draft.family = family;
  if (family === 0 || !isZeroAddress(words, 0)) tuple[end] = value;
}

/** Saying the protocol in both tuples is common; only another one is an error. */
function readProtocol(draft: Draft, key: string, value: string): void {
  const protocol = fieldNumber(key, value, 8);
  if (draft.protocol !== 0 && protocol !== draft.protocol) throw new FilterError(`${key} is set multiple times`);
  draft.protocol = protocol;
}

function isIcmp(protocol: number): boolean {
  return protocol === IPPROTO.ICMP || protocol === IPPROTO.ICMPV6;
}

function readField(draft: Draft, tuple: TupleDraft, key: string, value: string): void {
  switch (key) {
    case 'ct_nw_src':
    case 'ct_nw_dst':
    case 'ct_ipv6_src':
    case 'ct_ipv6_dst':
      readAddress(draft, tuple, key, value);
      return;
    case 'ct_nw_proto':
      readProtocol(draft, key, value);
      return;
    case 'ct_tp_src':
      tuple.srcPort = fieldNumber(key, value, 16);
      return;
    case 'ct_tp_dst':
      tuple.dstPort = fieldNumber(key, value, 16);
      return;
    case 'icmp_id':
    case 'icmp_type':
    case 'icmp_code': {
      if (!isIcmp(draft.protocol)) throw new FilterError('invalid L4 fields');
      const part = key.slice('icmp_'.length) as keyof TupleDraft['icmp'];
      tuple.icmp[part] = fieldNumber(key, value, part === 'id' ? 16 : 8);
      return;
    }
    default:
      throw new FilterError(`invalid conntrack tuple field: ${key}`);
  }
}

function readTuple(draft: Draft, tuple: TupleDraft, text: string): void {
  for (const [key, value] of fieldsOf(text)) {
    if (value === '') throw new FilterError(`field ${key} missing value`);
    readField(draft, tuple, key, value);
  }
  if (tuple.srcPort === 0 && tuple.dstPort === 0) return;
  if (draft.protocol === 0) throw new FilterError('port is set without protocol');
  if (isIcmp(draft.protocol)) throw new FilterError('invalid L4 fields');
}

function newTuple(): TupleDraft {
  return { srcPort: 0, dstPort: 0, icmp: { id: 0, type: 0, code: 0 } };
}

/** ICMP fields count even where they are not given, as 0; ports of 0 do not. */
function tupleFilter(draft: Draft, tuple: TupleDraft): TupleFilter {
  const { src, dst, srcPort, dstPort, icmp } = tuple;
  return {
    ...(src === undefined ? {} : { src }),
    ...(dst === undefined ? {} : { dst }),
    ...(srcPort === 0 ? {} : { srcPort }),
    ...(dstPort === 0 ? {} : { dstPort }),
    ...(isIcmp(draft.protocol) ? { icmp } : {}),
  };
}

/** The original tuple names one connection, and nothing else is asked for. */
function isOneConnection(draft: Draft): boolean {
  const { original, reply, protocol } = draft;
  const isWhole = original.src !== undefined && original.dst !== undefined;
  const hasPorts = isIcmp(protocol) || (original.srcPort !== 0 && original.dstPort !== 0);
  const isReplyOpen = reply.src === undefined && reply.dst === undefined && reply.srcPort === 0 && reply.dstPort === 0;
  return isWhole && hasPorts && isReplyOpen;
}

/** The filter of both tuples: as Open vSwitch, which looks a whole tuple up instead of comparing connections. */
function tuplesFilter(draft: Draft): ConnectionFilter {
  const { family, protocol, original, reply } = draft;
  const common = {
    ...(family === NO_FAMILY ? {} : { isIpv6: family === FAMILY_IPV6 }),
    ...(protocol === 0 ? {} : { protocol }),
  };
  return { ...common, original: tupleFilter(draft, original), reply: tupleFilter(draft, reply) };
}

/**
 * Reads a filter, one word per argument of the command line.
 *
 * As in Open vSwitch, a whole original tuple alone names the connection of that tuple in either direction, in zone 0
 * unless a zone is given; anything less is compared with the connections of all zones, or of the given one.
 * @throws FilterError with Open vSwitch's message; TypeError for what is no array of texts
 */
export function parseFilter(args: readonly string[]): ConnectionFilter {
  checkArray('args', args);
  for (const arg of args) checkText('a word of args', arg);
  let next = 0;
  const take = (prefix: string): string | undefined =>
    next < args.length && args[next].startsWith(prefix) ? args[next++].slice(prefix.length) : undefined;
  const zoneText = take('zone=');
  const zone = zoneText === undefined ? undefined : wholeNumber(zoneText, 16);
  if (zoneText !== undefined && zone === undefined) throw new FilterError('failed to parse zone');
  const markText = take('mark=');
  const mark = markText === undefined ? undefined : maskedNumber('mark', markText, 32);
  const labelText = take('labels=');
  const label = labelText === undefined ? undefined : maskedNumber('labels', labelText, 128);
  const draft: Draft = { family: NO_FAMILY, protocol: 0, original: newTuple(), reply: newTuple() };
  if (next < args.length) readTuple(draft, draft.original, args[next++]);
  if (next < args.length) readTuple(draft, draft.reply, args[next++]);
  if (next < args.length) throw new FilterError('invalid arguments');

  const rest = {
    ...(zone === undefined ? {} : { zone: Number(zone) }),
    ...(mark === undefined ? {} : { mark: { value: Number(mark.value), mask: Number(mark.mask) } }),
    ...(label === undefined ? {} : { label }),
  };
  const { original, reply, ...common } = tuplesFilter(draft);
  const hasMasks = (mark !== undefined && mark.mask !== 0n) || (label !== undefined && label.mask !== 0n);
  if (isOneConnection(draft) && !hasMasks && original !== undefined) {
    return { zone: 0, ...rest, ...common, either: original };
  }
  return { ...rest, ...common, ...(original ? { original } : {}), ...(reply ? { reply } : {}) };
}
