/**
 * Numbers and addresses in rule text, as bit strings: bigint, so that a port and a 128-bit label are read alike.
 * Runs when rules are loaded, never per packet.
 *
 * Imports error. Imported by flows/match, flows/actions, flows/subfield and flows/ct.
 */
import { isIPv6 } from 'node:net';
import { wrong } from './error.js';

/** A value and which of its bits count. */
export interface Masked {
  readonly value: bigint;
  readonly mask: bigint;
}

export function allOnes(bits: number): bigint {
  return (1n << BigInt(bits)) - 1n;
}

/** A mask of `bits` bits, the first `prefix` of which are set. */
function prefixMask(prefix: number, bits: number): bigint {
  return allOnes(bits) ^ allOnes(bits - prefix);
}

/** Longer text than any number of 128 bits needs is not looked at. */
const MAX_DIGITS = 64;

/** Decimal, 0x hexadecimal, or octal with a leading zero, as in C and in Open vSwitch; undefined for anything else. */
function integer(text: string): bigint | undefined {
  if (text.length > MAX_DIGITS) return undefined;
  if (/^0x[0-9a-f]+$/i.test(text)) return BigInt(text);
  if (/^0[0-7]+$/.test(text)) return BigInt(`0o${text.slice(1)}`);
  return /^(0|[1-9][0-9]*)$/.test(text) ? BigInt(text) : undefined;
}

/** @throws FlowError unless `text` is a whole number of `bits` bits at most */
export function parseInteger(text: string, bits: number): bigint {
  const value = integer(text);
  if (value === undefined) throw wrong(text, 'is not a number');
  if (value > allOnes(bits)) throw wrong(text, `does not fit into ${bits} bits`);
  return value;
}

/** A whole number from `least` to `most`. @throws FlowError for anything else */
export function parseNumber(text: string, least: number, most: number): number {
  const value = integer(text);
  if (value === undefined) throw wrong(text, 'is not a number');
  if (value < least || value > most) throw wrong(text, `must be from ${least} to ${most}`);
  return Number(value);
}

/** Number of a table; only decimal, as in Open vSwitch. 255 means "any table" there, so it names none. */
export function parseTableNumber(text: string): number {
  if (!/^[0-9]+$/.test(text) || Number(text) > 254) throw wrong(text, 'is not a table: 0 to 254');
  return Number(text);
}

/** `value` or `value/mask`, both integers. */
export function parseMaskedInteger(text: string, bits: number): Masked {
  const slash = text.indexOf('/');
  if (slash < 0) return { value: parseInteger(text, bits), mask: allOnes(bits) };
  return { value: parseInteger(text.slice(0, slash), bits), mask: parseInteger(text.slice(slash + 1), bits) };
}

/** A dotted IPv4 address as 32 bits, or undefined. */
export function ipv4Address(text: string): bigint | undefined {
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return undefined;
  const bytes = text.split('.').map(Number);
  if (bytes.some(byte => byte > 255)) return undefined;
  return BigInt(bytes.reduce((address, byte) => address * 256 + byte, 0));
}

/** An IPv6 address as 128 bits, or undefined. */
export function ipv6Address(text: string): bigint | undefined {
  if (!isIPv6(text) || text.includes('%')) return undefined;
  let rest = text;
  const dotted = /(^|:)(\d+\.\d+\.\d+\.\d+)$/.exec(text)?.[2];
  if (dotted !== undefined) {
    const last = ipv4Address(dotted);
    if (last === undefined) return undefined;
    rest = `${text.slice(0, -dotted.length)}${(last >> 16n).toString(16)}:${(last & 0xffffn).toString(16)}`;
  }
  const [head, tail] = rest.split('::');
  const groups = (part: string | undefined) => (part ? part.split(':') : []);
  const first = groups(head);
  const last = groups(tail);
  const zeros = new Array<string>(8 - first.length - last.length).fill('0');
  return [...first, ...zeros, ...last].reduce((address, group) => (address << 16n) | BigInt(`0x${group}`), 0n);
}

/** `address`, `address/prefix` or `address/mask` with the mask written as an address. */
function parseMaskedAddress(
  text: string,
  bits: number,
  family: string,
  parse: (text: string) => bigint | undefined,
): Masked {
  const slash = text.indexOf('/');
  const value = parse(slash < 0 ? text : text.slice(0, slash));
  if (value === undefined) throw wrong(text, `is not an ${family} address`);
  if (slash < 0) return { value, mask: allOnes(bits) };
  const maskText = text.slice(slash + 1);
  if (/^\d{1,3}$/.test(maskText)) {
    const prefix = Number(maskText);
    if (prefix > bits) throw wrong(text, `a prefix of an ${family} address has 0 to ${bits} bits`);
    return { value, mask: prefixMask(prefix, bits) };
  }
  const mask = parse(maskText);
  if (mask === undefined) throw wrong(text, `the mask is neither a number of bits nor an ${family} address`);
  return { value, mask };
}

export function parseMaskedIpv4(text: string): Masked {
  return parseMaskedAddress(text, 32, 'IPv4', ipv4Address);
}

export function parseMaskedIpv6(text: string): Masked {
  return parseMaskedAddress(text, 128, 'IPv6', ipv6Address);
}

function macAddress(text: string): bigint | undefined {
  if (!/^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}$/i.test(text)) return undefined;
  return text.split(':').reduce((address, byte) => (address << 8n) | BigInt(`0x${byte}`), 0n);
}

/** `xx:xx:xx:xx:xx:xx` with an optional mask of the same form. */
export function parseMaskedMac(text: string): Masked {
  const slash = text.indexOf('/');
  const value = macAddress(slash < 0 ? text : text.slice(0, slash));
  const mask = slash < 0 ? allOnes(48) : macAddress(text.slice(slash + 1));
  if (value === undefined || mask === undefined) throw wrong(text, 'is not an Ethernet address');
  return { value, mask };
}

/**
 * Flags by name: `+new-est` (those named count), `new|trk` or a number (all count), `number/mask`.
 * @param names bit 0 first; an empty name is a bit without a name
 */
export function parseFlags(text: string, names: readonly string[], bits: number): Masked {
  if (/^(0x[0-9a-f]+|\d+)(\/|$)/i.test(text)) return parseMaskedInteger(text, bits);
  const bitOf = (name: string) => {
    const bit = name === '' ? -1 : names.indexOf(name);
    if (bit < 0) throw wrong(text, `knows no flag ${JSON.stringify(name)}`);
    return 1n << BigInt(bit);
  };
  let value = 0n;
  if (!/^[+-]/.test(text)) {
    for (const name of text.split('|')) value |= bitOf(name);
    return { value, mask: allOnes(bits) };
  }
  let mask = 0n;
  for (const part of text.match(/[+-][^+-]*/g) ?? []) {
    const bit = bitOf(part.slice(1));
    if ((mask & bit) !== 0n) throw wrong(text, `names ${part.slice(1)} twice`);
    mask |= bit;
    if (part.startsWith('+')) value |= bit;
  }
  return { value, mask };
}
