/**
 * The nat() of a ct() action: which end is translated, to which addresses and ports, and how they are chosen.
 *
 * Imports context, error, numbers, words. Imported by flows/ct.
 */
import type { NatSpec } from './context.js';
import { wrong } from './error.js';
import { ipv4Address, ipv6Address, parseNumber } from './numbers.js';
import { neededValue, splitWords, type Word, withoutValue } from './words.js';

type Addresses = NonNullable<NatSpec['addresses']>;
type Ports = NonNullable<NatSpec['ports']>;

interface Range {
  readonly addresses: Addresses | undefined;
  readonly ports: Ports | undefined;
}

/** An address, in brackets or not; an IPv6 one takes every colon, so that ports need the brackets. */
const ADDRESS = String.raw`(?:\[[0-9a-fA-F:.]+\]|[0-9]+\.[0-9.]+|[0-9a-fA-F:.]+)`;
const RANGE = new RegExp(`^(${ADDRESS})(?:-(${ADDRESS}))?(?::([0-9]+)(?:-([0-9]+))?)?$`);

function parseAddress(text: string, range: string): { readonly value: bigint; readonly isIpv6: boolean } {
  const bare = text.startsWith('[') ? text.slice(1, -1) : text;
  const ipv4 = text === bare ? ipv4Address(bare) : undefined;
  if (ipv4 !== undefined) return { value: ipv4, isIpv6: false };
  const ipv6 = ipv6Address(bare);
  if (ipv6 === undefined) throw wrong(range, `${JSON.stringify(text)} is not an address`);
  return { value: ipv6, isIpv6: true };
}

/** `first[-last][:port[-port]]`. */
function parseRange(text: string): Range {
  const parts = RANGE.exec(text);
  if (parts === null) throw wrong(text, 'is not a range, as in 10.0.0.1-10.0.0.9:1024-65535 or [fd00::1]:80');
  const [, first, last, portText, lastPortText] = parts;
  const min = parseAddress(first, text);
  const max = last === undefined ? min : parseAddress(last, text);
  if (min.isIpv6 !== max.isIpv6) throw wrong(text, 'the addresses are of two families');
  if (max.value < min.value) throw wrong(text, 'the last address comes before the first one');
  const addresses = { isIpv6: min.isIpv6, min: min.value, max: max.value };
  if (portText === undefined) return { addresses, ports: undefined };
  // Port 0 is no port: Open vSwitch takes it for "none given", or refuses the rule when a range starts with it.
  const port = parseNumber(portText, 1, 0xffff);
  const lastPort = lastPortText === undefined ? port : parseNumber(lastPortText, 1, 0xffff);
  if (lastPort < port) throw wrong(text, 'the last port comes before the first one');
  return { addresses, ports: { min: port, max: lastPort } };
}

const NO_RANGE: Range = { addresses: undefined, ports: undefined };

/**
 * `nat`: as the connection was translated before; `nat(src=…)` or `nat(dst=…)`, with how ports are chosen; without a
 * range the address stays and only the port changes when it is taken.
 * @throws FlowError
 */
export function parseNat(word: Word): NatSpec {
  let kind: NatSpec['kind'] = 'restore';
  let range = NO_RANGE;
  const flags = { random: false, hash: false, persistent: false };
  for (const argument of splitWords(word.value ?? '')) {
    const { key } = argument;
    if (key === 'src' || key === 'dst') {
      if (kind !== 'restore') throw wrong(argument.text, 'src or dst can be given only once');
      kind = key;
      if (argument.value !== undefined) range = parseRange(neededValue(argument));
    } else if (key === 'random' || key === 'hash' || key === 'persistent') {
      withoutValue(argument);
      flags[key] = true;
    } else {
      throw wrong(argument.text, 'is not an argument of nat: src, dst, random, hash, persistent');
    }
  }
  if (kind === 'restore' && (flags.random || flags.hash || flags.persistent)) {
    throw wrong(word.text, 'random, hash and persistent need src or dst');
  }
  if (flags.random && flags.hash) throw wrong(word.text, 'random and hash exclude each other');
  return { kind, ...range, ...flags };
}
