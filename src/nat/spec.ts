/**
 * The nat() part of a ct() action: what a caller writes, its checks, and the words it is compiled into.
 *
 * Imports nat/address, wire/facts, ../given. Imported by nat/choice, engine/ and the public API.
 */
import { checkObject, checkOneOf, checkSwitch, checkWhole, refuseOthers, shown } from '../given.js';
import { FAMILY_IPV6 } from '../wire/facts.js';
import { countAddresses, isZeroAddress, NO_FAMILY, parseAddress } from './address.js';

/** How a connection is translated. Text and numbers as in Open vSwitch's `nat(src=10.0.0.1-10.0.0.9:1024-65535)`. */
export interface NatAction {
  /**
   * `src` and `dst`: a new connection gets another source or destination. `restore`: packets are translated as their
   * connection is, and a new one is not; takes none of the other fields.
   */
  readonly kind: 'src' | 'dst' | 'restore';
  /** First address to choose from. None, or the all-zero one: the packet keeps its address. */
  readonly minAddress?: string;
  /** Last address to choose from. Default `minAddress`. */
  readonly maxAddress?: string;
  /** First port, or ICMP identifier, to choose from. Default: a range that depends on the packet's own source port. */
  readonly minPort?: number;
  /** Last port to choose from. Default `minPort`. Port 0 is never chosen, and a range of nothing else is no range. */
  readonly maxPort?: number;
  /** The first port to try is random. Default: it follows from a keyed hash of both endpoints. */
  readonly random?: boolean;
  /** The default, spelt out; excludes `random`. */
  readonly hash?: boolean;
  /** The address depends on the packet's source address only, and is the same after a restart. */
  readonly persistent?: boolean;
}

/** Words of a compiled nat(). Addresses take four words each, as in FACT.SRC0 … FACT.SRC. */
export const NAT = {
  /** NAT_ bits; 0 when the action has no nat(). */
  FLAGS: 0,
  /** Family of the addresses as in FACT.PROTOCOL: 0 or FAMILY_IPV6. Means nothing when COUNT is 0. */
  FAMILY: 1,
  /** How many addresses there are to choose from, unsigned; 0: the packet's own. */
  COUNT: 2,
  /** First port << 16 | last port; 0 without a range. */
  PORTS: 3,
  MIN_ADDRESS: 4,
  MAX_ADDRESS: 8,
} as const;
export const NAT_WORDS = 12;

/** Bits of FLAGS: exactly one of the first three in a nat(). */
export const NAT_SRC = 1 << 0;
export const NAT_DST = 1 << 1;
export const NAT_RESTORE = 1 << 2;
export const NAT_RANDOM = 1 << 3;
export const NAT_HASH = 1 << 4;
export const NAT_PERSISTENT = 1 << 5;

const KIND_FLAGS: Readonly<Record<NatAction['kind'], number>> = {
  src: NAT_SRC,
  dst: NAT_DST,
  restore: NAT_RESTORE,
};

/** Refuses fields that no nat() has, a kind that there is not, and switches that are neither true nor false. */
function checkFields(nat: NatAction): void {
  checkObject('nat', nat);
  const { kind, minAddress, maxAddress, minPort, maxPort, ...rest } = nat;
  const { random = false, hash = false, persistent = false, ...others } = rest;
  refuseOthers('nat', others);
  checkOneOf('nat kind', kind, Object.keys(KIND_FLAGS));
  for (const [name, isOn] of Object.entries({ random, hash, persistent })) checkSwitch(`nat ${name}`, isOn);
}

function checkRestore(nat: NatAction): void {
  for (const name of ['minAddress', 'maxAddress', 'minPort', 'maxPort'] as const) {
    if (nat[name] !== undefined) throw new RangeError(`nat of kind restore takes no ${name}`);
  }
  for (const name of ['random', 'hash', 'persistent'] as const) {
    if (nat[name]) throw new RangeError(`nat of kind restore takes no ${name}`);
  }
}

function writeAddressWord(words: Int32Array, at: number, name: string, text: string): number {
  const family = parseAddress(text, words, at);
  if (family === NO_FAMILY) throw new RangeError(`nat ${name} is not an IP address: ${shown(text)}`);
  return family;
}

function writeAddresses(words: Int32Array, { minAddress, maxAddress = minAddress }: NatAction): void {
  if (maxAddress === undefined) return;
  if (minAddress === undefined) throw new RangeError('nat maxAddress needs a minAddress');
  const family = writeAddressWord(words, NAT.MIN_ADDRESS, 'minAddress', minAddress);
  if (writeAddressWord(words, NAT.MAX_ADDRESS, 'maxAddress', maxAddress) !== family) {
    throw new RangeError(`nat addresses are of two families: ${minAddress} and ${maxAddress}`);
  }
  const count = countAddresses(words, NAT.MIN_ADDRESS, NAT.MAX_ADDRESS);
  if (count === 0) throw new RangeError(`nat maxAddress comes before minAddress: ${maxAddress} before ${minAddress}`);
  words[NAT.FAMILY] = family;
  words[NAT.COUNT] = isZeroAddress(words, NAT.MIN_ADDRESS) ? 0 : count;
}

function writePorts(words: Int32Array, { minPort, maxPort = minPort }: NatAction): void {
  if (maxPort === undefined) return;
  if (minPort === undefined) throw new RangeError('nat maxPort needs a minPort');
  checkWhole('nat minPort', minPort, 0, 0xffff);
  checkWhole('nat maxPort', maxPort, 0, 0xffff);
  if (maxPort < minPort) throw new RangeError(`nat maxPort comes before minPort: ${maxPort} before ${minPort}`);
  // Packets with port 0 are invalid, so that a connection translated to it could never have an answer.
  words[NAT.PORTS] = maxPort === 0 ? 0 : (Math.max(minPort, 1) << 16) | maxPort;
}

/**
 * Compiles a nat() into NAT_WORDS words at word `at`.
 * @throws RangeError when something is out of range or does not go together, TypeError when it is of another type;
 *   nothing is written then
 */
export function writeNat(words: Int32Array, at: number, nat: NatAction): void {
  checkFields(nat);
  const { kind, random = false, hash = false, persistent = false } = nat;
  if (kind === 'restore') checkRestore(nat);
  if (random && hash) throw new RangeError('nat random and hash exclude each other');
  const made = new Int32Array(NAT_WORDS);
  writeAddresses(made, nat);
  writePorts(made, nat);
  made[NAT.FLAGS] =
    KIND_FLAGS[kind] | (random ? NAT_RANDOM : 0) | (hash ? NAT_HASH : 0) | (persistent ? NAT_PERSISTENT : 0);
  words.set(made, at);
}

/** True when a nat() compiled at word `at` can translate packets of the family in a FACT.PROTOCOL word. */
export function isNatFamily(words: Int32Array, at: number, protocol: number): boolean {
  return words[at + NAT.COUNT] === 0 || words[at + NAT.FAMILY] === (protocol & FAMILY_IPV6);
}
