/**
 * All candidates of a choice, in order and readable, and what an order must look like.
 *
 * Imports src/nat, src/control/address, src/wire.
 */
import assert from 'node:assert/strict';
import { formatIpv4, formatIpv6 } from '../../src/control/address.js';
import { parseAddress } from '../../src/nat/address.js';
import { CHOICE_WORDS, nextCandidate, startChoice } from '../../src/nat/choice.js';
import { NAT_WORDS, type NatAction, writeNat } from '../../src/nat/spec.js';
import { FACT, FACT_WORDS, FAMILY_IPV6, IPPROTO } from '../../src/wire/facts.js';

/** A reply tuple. Of ICMP `sport` and `dport` are the upper and the lower half of PORTS. */
export interface Candidate {
  readonly src: string;
  readonly dst: string;
  readonly sport: number;
  readonly dport: number;
}

export interface Packet {
  readonly src?: string;
  readonly dst?: string;
  readonly sport?: number;
  readonly dport?: number;
  readonly protocol?: number;
}

export const KEY0 = 0x1234567;
export const KEY1 = -0x7654321;

/** Memory without maps of used ports: none is asked for. */
export const NO_MAPS = new Int32Array(0);

const UNTOUCHED = 0x5a5a5a5a;
const ROW = 2;

/** Facts of a packet in the original direction, the rest of the row filled with what must not matter. */
export function factsOf(packet: Packet): Int32Array {
  const { src = '10.0.0.1', dst = '192.0.2.1', sport = 40_000, dport = 80, protocol = IPPROTO.TCP } = packet;
  const facts = new Int32Array(FACT_WORDS).fill(UNTOUCHED);
  const words = new Int32Array(4);
  const family = parseAddress(src, words, 0);
  const first = family === FAMILY_IPV6 ? 0 : 3;
  facts.set(words.subarray(first), FACT.SRC0 + first);
  assert.equal(parseAddress(dst, words, 0), family);
  facts.set(words.subarray(first), FACT.DST0 + first);
  facts[FACT.PROTOCOL] = protocol | family;
  facts[FACT.PORTS] = (sport << 16) | dport;
  const isQuery = facts[FACT.PROTOCOL] === IPPROTO.ICMP || facts[FACT.PROTOCOL] === (IPPROTO.ICMPV6 | FAMILY_IPV6);
  const turnedTypes = ((dport & 0xff) << 8) | (dport >>> 8);
  facts[FACT.PORTS_REVERSED] = isQuery ? (sport << 16) | turnedTypes : (dport << 16) | sport;
  return facts;
}

/** A reply tuple, its words in a larger array of which nothing else may be written. */
function readReply(rows: Int32Array, at: number, facts: Int32Array): Candidate {
  const around = [...rows.subarray(0, at), ...rows.subarray(at + FACT.PROTOCOL + 1)];
  assert.ok(around.every(word => word === UNTOUCHED));
  const isIpv6 = (facts[FACT.PROTOCOL] & FAMILY_IPV6) !== 0;
  const address = (word: number) => (isIpv6 ? formatIpv6(rows, at + word) : formatIpv4(rows[at + word + 3]));
  if (!isIpv6) for (const word of [0, 1, 2, 4, 5, 6]) assert.equal(rows[at + word], 0);
  assert.equal(rows[at + FACT.PROTOCOL], facts[FACT.PROTOCOL]);
  const ports = rows[at + FACT.PORTS];
  return { src: address(FACT.SRC0), dst: address(FACT.DST0), sport: ports >>> 16, dport: ports & 0xffff };
}

export interface Given {
  readonly key0?: number;
  readonly random?: number;
  /** Stop after so many. */
  readonly most?: number;
}

/** The candidates for a packet under a nat(), with every array larger than need be and each part somewhere inside. */
export function candidates(
  packet: Packet,
  nat: NatAction,
  { key0 = KEY0, random = 7, most = 1e6 }: Given = {},
): Candidate[] {
  const facts = factsOf(packet);
  const rows = new Int32Array(4 * FACT_WORDS).fill(UNTOUCHED);
  rows.set(facts, ROW * FACT_WORDS);
  const spec = new Int32Array(NAT_WORDS + 5).fill(UNTOUCHED);
  writeNat(spec, 5, nat);
  const choice = new Int32Array(CHOICE_WORDS).fill(UNTOUCHED);
  const reply = new Int32Array(3 * FACT_WORDS).fill(UNTOUCHED);
  startChoice(choice, rows, ROW * FACT_WORDS, spec, key0, KEY1, random, 5);
  const found: Candidate[] = [];
  while (found.length < most && nextCandidate(choice, rows, ROW * FACT_WORDS, spec, reply, FACT_WORDS, NO_MAPS)) {
    found.push(readReply(reply, FACT_WORDS, facts));
  }
  if (found.length < most) {
    const last = reply.slice();
    assert.equal(
      nextCandidate(choice, rows, ROW * FACT_WORDS, spec, reply, FACT_WORDS, NO_MAPS),
      false,
      'it stays exhausted',
    );
    assert.deepEqual(reply, last, 'nothing is written when there is no candidate');
  }
  return found;
}

/** Tries for one dimension: 128 and four rounds at random places. */
export const TRIES = 128 + 64 + 32 + 16 + 8;

/** Asserts that the ports of one walk go up by one and come round from `max` to `min`, in rounds of the right length. */
export function assertWalk(ports: readonly number[], min: number, max: number, what: string): void {
  const size = max - min + 1;
  const rounds = size <= 128 ? [size] : [128, 64, 32, 16, 8];
  assert.equal(
    ports.length,
    rounds.reduce((sum, round) => sum + round),
    what,
  );
  let at = 0;
  for (const [index, round] of rounds.entries()) {
    for (let step = at; step < at + round; step++) {
      const isFirst = index === 0 && step === 0;
      // Only the packet's own port, the very first, may lie outside.
      if (!isFirst) assert.ok(ports[step] >= min && ports[step] <= max, `${what}: ${ports[step]} at ${step}`);
      if (step === at) continue;
      const before = ports[step - 1];
      const next = before < min || before >= max ? min : before + 1;
      assert.equal(ports[step], next, `${what}: behind ${before}`);
    }
    at += round;
  }
}

/** A range's addresses in the order in which they are tried, each with how many candidates it had. */
export function addressRuns(found: readonly Candidate[], end: 'src' | 'dst'): [string, number][] {
  const runs: [string, number][] = [];
  for (const { [end]: address } of found) {
    const last = runs.at(-1);
    if (last?.[0] === address) last[1]++;
    else runs.push([address, 1]);
  }
  return runs;
}
