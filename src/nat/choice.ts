/**
 * Which addresses and ports a new connection under NAT tries, one after the other, until one is free.
 *
 * Nothing here knows the table: the caller asks for a candidate, looks whether the reply tuple is taken, and asks for
 * the next one. The order follows Open vSwitch:
 *
 * - The address is the first of the range plus a hash. The hash is keyed and covers both endpoints; `persistent` makes
 *   it cover the source address only, under a key that never changes.
 * - Source NAT without a port range, and destination NAT: the source port of the packet first, then upwards in the
 *   group it belongs to: 1 to 511, 600 to 1023 or 1024 to 65535. Ports of 512 to 599 and 0 lie outside of their group;
 *   they are tried first all the same.
 * - Source NAT with a range: upwards from a place in the range that a hash of both endpoints chooses, or `random`.
 * - Destination NAT with a range: the same for the destination port; when those are taken, the place it began with,
 *   and the source port as above.
 * - Upwards goes on at the lower end. After 128 tries it goes on at random places, for 64, 32, 16 and 8 more tries;
 *   a range of no more than 128 ports is tried once, as a whole.
 *
 * Where it differs, since the user is better off:
 *
 * - Ranges are counted in 32 bits, so that one of all ports is not empty.
 * - When these tries have found no source port, and a map of the used ones is at hand (used-ports.ts), the
 *   range is searched for one that is not in it. With a map, used ports cost a look at a bit. When all are used, 8 more
 *   tries are made at a random place, since they may meet connections that have ended.
 * - When an address is exhausted the next of its range is tried, 16 of them at most.
 * - Identifiers of ICMPv6 echoes are chosen like those of ICMP.
 * - Destination NAT with a port range leaves identifiers of ICMP to the rule without one: there is only one identifier
 *   in a packet, and a reply with it would not be found under a tuple that has two.
 *
 * Imports nat/address, nat/hash, nat/spec, nat/used-ports, wire/facts. Imported by engine/.
 */
import { FACT, FAMILY_IPV6, IPPROTO, PROTOCOL_MASK } from '../wire/facts.js';
import { ADDRESS_WORDS, offsetAddress } from './address.js';
import { hashEndpoints, hashSource, scramble } from './hash.js';
import { isNatFamily, NAT, NAT_DST, NAT_PERSISTENT, NAT_RANDOM, NAT_SRC } from './spec.js';
import { NO_MAP, nextUnused } from './used-ports.js';

const { SRC0, DST0, PORTS, PORTS_REVERSED, PROTOCOL } = FACT;

/** The state of a choice. Numbers of 32 bits are unsigned where nothing else is said. */
const CHOICE_FIELDS = [
  ['ADDRESS', 'address chosen; four words'],
  ['ADDRESS1', ''],
  ['ADDRESS2', ''],
  ['ADDRESS3', ''],
  ['OFFSET', 'its place in the range'],
  ['ADDRESSES_LEFT', 'how many addresses may still be tried'],
  ['SPEC', 'word of the compiled nat() in its array'],
  ['PORT_OFFSET', 'where in a port range of the nat() to begin, modulo its size'],
  ['RANDOM', 'state of the generator for random places'],
  ['DIMENSION', 'which port is walked: DIMENSION_'],
  ['SPORT', 'source port, or identifier, of the candidate in the original direction'],
  ['DPORT', 'destination port of the candidate in the original direction'],
  ['NEXT', 'port to try next'],
  ['MIN', 'first port of the range that is walked'],
  ['SIZE', 'number of its ports'],
  ['ROUND', 'tries of this round'],
  ['TRIES_LEFT', 'of which so many are left'],
  ['TAKEN', 'source ports of this address that the caller found taken, for the caller to count'],
  ['MAP', 'word of the map of used source ports, for the caller to set; NO_MAP at the beginning of every address'],
  ['SEARCH_LEFT', 'ports of the range that the search has not been past; or SEARCHED'],
] as const satisfies readonly (readonly [name: string, note: string])[];

/** Words of the scratch that a caller keeps for a choice. */
export const CHOICE_WORDS = CHOICE_FIELDS.length;
export const CHOICE = Object.fromEntries(CHOICE_FIELDS.map(([name], word) => [name, word])) as Readonly<
  Record<(typeof CHOICE_FIELDS)[number][0], number>
>;
const { ADDRESS, OFFSET, ADDRESSES_LEFT, SPEC, PORT_OFFSET, RANDOM, DIMENSION } = CHOICE;
const { SPORT, DPORT, NEXT, MIN, SIZE, ROUND, TRIES_LEFT, MAP, TAKEN, SEARCH_LEFT } = CHOICE;

/** Values of DIMENSION: nothing to walk, the destination port, the source port or identifier. */
const DIMENSION_NONE = 0;
const DIMENSION_DPORT = 1;
const DIMENSION_SPORT = 2;

/** Addresses of a range that are tried: each costs up to 248 or 496 lookups. */
const MAX_ADDRESSES = 16;
/** In place of a number in SEARCH_LEFT: the search has found nothing. */
const SEARCHED = -1;
/** A port of no candidate. */
const NO_PORT = -1;
/** Ports that are tried in the first round; each further one has half as many, down to the last. */
const FIRST_ROUND = 128;
const LAST_ROUND = 8;

/** The next of a sequence of random numbers (Weyl sequence, scrambled), unsigned. */
function nextRandom(choice: Int32Array): number {
  choice[RANDOM] += 0x9e3779b9;
  return scramble(choice[RANDOM]) >>> 0;
}

/** True when the row's PORTS can be chosen: ports, or the identifier of an ICMP query. */
function hasPorts(protocol: number): boolean {
  const number = protocol & PROTOCOL_MASK;
  return number === IPPROTO.TCP || number === IPPROTO.UDP || number === IPPROTO.SCTP || isIcmp(protocol);
}

function isIcmp(protocol: number): boolean {
  return protocol === IPPROTO.ICMP || protocol === (IPPROTO.ICMPV6 | FAMILY_IPV6);
}

/**
 * Begins the choice for a new connection. A nat() of another address family than the packet's, or one that only
 * restores, has no candidates.
 *
 * @param choice CHOICE_WORDS words that belong to the caller, written here and by {@link nextCandidate}
 * @param facts facts of the packet at word `base`; they must stay as they are until the last candidate
 * @param spec the nat() at word `specAt`, compiled by writeNat()
 * @param hashKey0 the two words of a secret key
 * @param random any 32 bits; seeds every random choice, so that the same ones give the same candidates
 */
export function startChoice(
  choice: Int32Array,
  facts: Int32Array,
  base: number,
  spec: Int32Array,
  hashKey0: number,
  hashKey1: number,
  random: number,
  specAt = 0,
): void {
  const flags = spec[specAt + NAT.FLAGS];
  const isUsable = (flags & (NAT_SRC | NAT_DST)) !== 0 && isNatFamily(spec, specAt, facts[base + PROTOCOL]);
  const count = spec[specAt + NAT.COUNT] >>> 0;
  const hash = hashEndpoints(facts, base, hashKey0, hashKey1);
  const addressHash = (flags & NAT_PERSISTENT) !== 0 ? hashSource(facts, base) : hash;
  choice[SPEC] = specAt;
  choice[RANDOM] = random;
  // Scrambled, since ports of one address would otherwise begin at one place in every `count` only.
  choice[PORT_OFFSET] = (flags & NAT_RANDOM) !== 0 ? nextRandom(choice) : scramble(hash);
  choice[ADDRESSES_LEFT] = isUsable ? Math.min(Math.max(count, 1), MAX_ADDRESSES) : 0;
  // One before the first address to try, since nextAddress() goes on by one.
  choice[OFFSET] = count === 0 ? 0 : ((addressHash >>> 0) + count - 1) % count;
  choice[DIMENSION] = DIMENSION_NONE;
  choice[ROUND] = 0;
  choice[TRIES_LEFT] = 0;
  choice[MAP] = NO_MAP;
}

/**
 * Writes the next candidate: the key that packets of the reply direction would have.
 *
 * @param used the memory that CHOICE.MAP is a word of
 * @param reply words FACT.SRC0 … FACT.PROTOCOL at word `replyBase` are written
 * @returns false when there is none left; nothing is written then
 */
export function nextCandidate(
  choice: Int32Array,
  facts: Int32Array,
  base: number,
  spec: Int32Array,
  reply: Int32Array,
  replyBase: number,
  used: Int32Array,
): boolean {
  let port = nextPort(choice, used);
  while (port === NO_PORT) {
    if (!nextDimension(choice, facts, base, spec) && !nextAddress(choice, facts, base, spec)) return false;
    port = nextPort(choice, used);
  }
  if (choice[DIMENSION] === DIMENSION_DPORT) choice[DPORT] = port;
  else if (choice[DIMENSION] === DIMENSION_SPORT) choice[SPORT] = port;
  writeCandidate(choice, facts, base, spec, reply, replyBase);
  return true;
}

/** True when the last candidate differs from the others of its address in the source port alone. */
export function walksSourcePort(choice: Int32Array): boolean {
  return choice[DIMENSION] === DIMENSION_SPORT && choice[SIZE] > FIRST_ROUND;
}

/** The next port to try for the address at hand, or NO_PORT. */
function nextPort(choice: Int32Array, used: Int32Array): number {
  const hasMap = choice[MAP] !== NO_MAP && choice[SEARCH_LEFT] !== SEARCHED;
  do {
    const port = hasMap ? skipUsed(choice, used, TRIES_LEFT) : nextInTurn(choice);
    if (port !== NO_PORT) return port;
  } while (nextRound(choice));
  if (!hasMap) return NO_PORT;
  const port = skipUsed(choice, used, SEARCH_LEFT);
  if (port !== NO_PORT) return port;
  choice[SEARCH_LEFT] = SEARCHED;
  startRound(choice, LAST_ROUND);
  return nextInTurn(choice);
}

/** The port whose turn it is in this round, or NO_PORT at its end. */
function nextInTurn(choice: Int32Array): number {
  if (choice[TRIES_LEFT] === 0) return NO_PORT;
  const port = choice[NEXT];
  choice[TRIES_LEFT]--;
  goBehind(choice, port);
  return port;
}

/** The next port that is not in the map; those that are count like the others towards what is left in word `left`. */
function skipUsed(choice: Int32Array, used: Int32Array, left: number): number {
  const end = choice[MIN] + choice[SIZE];
  while (choice[left] > 0) {
    const from = choice[NEXT];
    const stop = Math.min(end, from + choice[left]);
    const port = nextUnused(used, choice[MAP], from, stop);
    choice[left] -= Math.min(port + 1, stop) - from;
    goBehind(choice, Math.min(port, stop - 1));
    if (port < stop) return port;
  }
  return NO_PORT;
}

/** The port behind this one is the next, or the lower end of the range. */
function goBehind(choice: Int32Array, port: number): void {
  const min = choice[MIN];
  const isLastOrOutside = port < min || port >= min + choice[SIZE] - 1;
  choice[NEXT] = isLastOrOutside ? min : port + 1;
}

/** Another round of the same walk, half as long and from a random place on. */
function nextRound(choice: Int32Array): boolean {
  const tries = choice[ROUND] >>> 1;
  const size = choice[SIZE];
  if (tries < LAST_ROUND || choice[ROUND] >= size) return false;
  startRound(choice, tries);
  return true;
}

/** Some tries from a random place on. */
function startRound(choice: Int32Array, tries: number): void {
  choice[ROUND] = tries;
  choice[TRIES_LEFT] = tries;
  choice[NEXT] = choice[MIN] + (nextRandom(choice) % choice[SIZE]);
}

/** After the destination ports, the source ports. */
function nextDimension(choice: Int32Array, facts: Int32Array, base: number, spec: Int32Array): boolean {
  if (choice[DIMENSION] !== DIMENSION_DPORT) return false;
  choice[DPORT] = portInRange(spec[choice[SPEC] + NAT.PORTS], choice[PORT_OFFSET]);
  walkSourcePorts(choice, facts, base);
  return true;
}

/** The next address of the range, with the ports from the beginning. */
function nextAddress(choice: Int32Array, facts: Int32Array, base: number, spec: Int32Array): boolean {
  if (choice[ADDRESSES_LEFT] === 0) return false;
  choice[ADDRESSES_LEFT]--;
  const at = choice[SPEC];
  const count = spec[at + NAT.COUNT] >>> 0;
  const isSource = (spec[at + NAT.FLAGS] & NAT_SRC) !== 0;
  if (count === 0) {
    const own = base + (isSource ? SRC0 : DST0);
    const isIpv6 = (facts[base + PROTOCOL] & FAMILY_IPV6) !== 0;
    for (let word = 0; word < ADDRESS_WORDS; word++)
      choice[ADDRESS + word] = isIpv6 || word === 3 ? facts[own + word] : 0;
  } else {
    const offset = ((choice[OFFSET] >>> 0) + 1) % count;
    choice[OFFSET] = offset;
    offsetAddress(spec, at + NAT.MIN_ADDRESS, offset, choice, ADDRESS);
  }
  startPorts(choice, facts, base, spec[at + NAT.PORTS], isSource);
  return true;
}

/** Begins the walk of ports for an address. */
function startPorts(choice: Int32Array, facts: Int32Array, base: number, range: number, isSource: boolean): void {
  const protocol = facts[base + PROTOCOL];
  const isRange = range !== 0 && (isSource || !isIcmp(protocol));
  choice[SPORT] = facts[base + PORTS] >>> 16;
  choice[DPORT] = facts[base + PORTS] & 0xffff;
  if (!hasPorts(protocol)) {
    choice[DIMENSION] = DIMENSION_NONE;
    choice[ROUND] = 0;
    choice[TRIES_LEFT] = 1;
    choice[MAP] = NO_MAP;
  } else if (isRange) {
    choice[DIMENSION] = isSource ? DIMENSION_SPORT : DIMENSION_DPORT;
    walk(choice, portInRange(range, choice[PORT_OFFSET]), range >>> 16, range & 0xffff);
  } else {
    walkSourcePorts(choice, facts, base);
  }
}

/** The port of a range, first << 16 | last, at an offset modulo its size. */
function portInRange(range: number, offset: number): number {
  const min = range >>> 16;
  return min + ((offset >>> 0) % ((range & 0xffff) - min + 1));
}

/** Walks the source port, from the packet's own on, in the group it belongs to. */
function walkSourcePorts(choice: Int32Array, facts: Int32Array, base: number): void {
  const own = facts[base + PORTS] >>> 16;
  choice[DIMENSION] = DIMENSION_SPORT;
  if (own < 512) walk(choice, own, 1, 511);
  else if (own < 1024) walk(choice, own, 600, 1023);
  else walk(choice, own, 1024, 65535);
}

function walk(choice: Int32Array, first: number, min: number, max: number): void {
  const size = max - min + 1;
  choice[NEXT] = first;
  choice[MIN] = min;
  choice[SIZE] = size;
  choice[ROUND] = Math.min(size, FIRST_ROUND);
  choice[TRIES_LEFT] = choice[ROUND];
  choice[TAKEN] = 0;
  choice[MAP] = NO_MAP;
  choice[SEARCH_LEFT] = size;
}

/** Writes the reply tuple of the address and the ports that stand in `choice`. */
function writeCandidate(
  choice: Int32Array,
  facts: Int32Array,
  base: number,
  spec: Int32Array,
  reply: Int32Array,
  at: number,
): void {
  const protocol = facts[base + PROTOCOL];
  const isSource = (spec[choice[SPEC] + NAT.FLAGS] & NAT_SRC) !== 0;
  const first = (protocol & FAMILY_IPV6) !== 0 ? 0 : ADDRESS_WORDS - 1;
  // The chosen address is where replies go to under source NAT, and where they come from under destination NAT.
  const chosen = at + (isSource ? DST0 : SRC0);
  const kept = at + (isSource ? SRC0 : DST0);
  const keptFacts = base + (isSource ? DST0 : SRC0);
  for (let word = 0; word < ADDRESS_WORDS; word++) {
    reply[chosen + word] = choice[ADDRESS + word];
    reply[kept + word] = word < first ? 0 : facts[keptFacts + word];
  }
  reply[at + PROTOCOL] = protocol;
  if (isIcmp(protocol)) {
    // One identifier for both directions, and the types of the other one.
    const id = choice[SPORT] << 16;
    reply[at + PORTS] = id | (facts[base + PORTS_REVERSED] & 0xffff);
    reply[at + PORTS_REVERSED] = id | (facts[base + PORTS] & 0xffff);
  } else {
    reply[at + PORTS] = (choice[DPORT] << 16) | choice[SPORT];
    reply[at + PORTS_REVERSED] = (choice[SPORT] << 16) | choice[DPORT];
  }
}
