/**
 * Two hundred thousand broken frames: no exception, no look outside the frame, and OVS's verdict on every one.
 *
 * Each frame lies at a changing place, up to both ends of the memory. The first parse goes through a view that throws
 * at any read outside the frame; the second one has other bytes around the frame and must come to the same facts; so must the fast path if it takes the frame.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REASON, reasonName } from '../../src/reason.js';
import { FACT, FACT_RELATED, FACT_WORDS, FAMILY_IPV6, PROTOCOL_MASK } from '../../src/wire/facts.js';
import { KNOWN } from '../../src/wire/known.js';
import { parseFrame } from '../../src/wire/parse.js';
import { frame, icmp, icmpv6, ipv4, ipv6, type Packet, raw, sctp, snap, tcp, udp } from '../support/frames.js';
import { type Random, withSeed } from '../support/random.js';
import { GuardedView } from './guarded.js';
import { checkPlain } from './parsed.js';
import { type Key, referenceKey } from './reference.js';

const FRAMES = 200_000;
const MEMORY_BYTES = 1024;

const quote4 = { src: '10.0.0.2', dst: '10.0.0.9' };
const quote6 = { src: '2001:db8::2', dst: '2001:db8::9' };
const chain = {
  extensions: [{ kind: 'hop-by-hop' }, { kind: 'fragment' }, { kind: 'authentication', size: 12 }],
} as const;

const PACKETS: readonly Packet[] = [
  ipv4({}, tcp({ options: [2, 4, 5, 180], payload: 'data' })),
  ipv4({ options: [1, 1, 1, 0] }, udp({ payload: 'data' })),
  ipv4({}, udp({ checksum: 0 })),
  ipv4({}, sctp({ chunks: [{ value: [1, 2, 3, 4] }, {}] })),
  ipv4({}, icmp({ payload: 'ping' })),
  ipv4({}, icmp({ type: 3, payload: ipv4(quote4, tcp()).bytes })),
  ipv4({}, icmp({ type: 11, payload: ipv4({ ...quote4, options: [7, 4, 4, 0] }, icmp()).bytes })),
  ipv4({}, icmp({ type: 12, payload: ipv4(quote4, sctp()).bytes.subarray(0, 28) })),
  ipv4({}, icmp({ type: 5 })),
  ipv4({}, icmp({ type: 3, payload: [0x45] })),
  ipv4({}, raw(47, [1, 2, 3])),
  ipv6({}, tcp({ payload: 'data' })),
  ipv6(chain, udp({ payload: 'data' })),
  ipv6({ extensions: [{ kind: 'routing', size: 16 }, { kind: 'destination' }] }, sctp()),
  ipv6({}, icmpv6({ payload: 'ping' })),
  ipv6({}, icmpv6({ type: 1, payload: ipv6(quote6, udp()).bytes })),
  ipv6({}, icmpv6({ type: 2, payload: ipv6({ ...quote6, ...chain }, tcp()).bytes })),
  ipv6({}, icmpv6({ type: 3, payload: ipv6(quote6, icmpv6({ type: 129 })).bytes })),
  ipv6({}, icmpv6({ type: 4 })),
];

const FRAMINGS = [
  {},
  { tags: [{}] },
  { tags: [{ type: 0x88a8 }, {}] },
  { tags: [{}, {}, {}] },
  { trailer: new Uint8Array(9) },
];

const TEMPLATES = PACKETS.flatMap(packet => [
  ...FRAMINGS.map(framing => frame(packet, framing)),
  frame(packet, { llc: snap(packet.ethertype) }),
]);

/** Values that lengths, types and offsets have their limits at. */
const TELLING = [0, 1, 3, 4, 5, 6, 8, 17, 20, 40, 43, 44, 51, 58, 60, 0x45, 0x4f, 0x50, 0x60, 0x81, 132, 0xaa, 0xff];

function mutated(random: Random): Uint8Array {
  if (random.chance(0.02)) return random.bytes(random.below(120));
  const template = random.pick(TEMPLATES);
  let bytes = Uint8Array.from(template);
  for (let changes = random.below(4); changes > 0; changes--) {
    const at = random.chance(0.3) ? 12 + random.below(10) : random.below(bytes.length);
    if (random.chance(0.4)) bytes[at] ^= 1 << random.below(8);
    else bytes[at] = random.chance(0.7) ? random.pick(TELLING) : random.u32();
  }
  if (random.chance(0.2)) bytes = bytes.slice(0, random.below(bytes.length + 1));
  return bytes;
}

function someKnown(random: Random): number {
  if (random.chance(0.3)) return 0;
  if (random.chance(0.6)) return KNOWN.NO_CHECKSUMS;
  const known = random.u32() & 0xff;
  return random.chance(0.8) ? known & ~(KNOWN.L3_CHECKSUM_BAD | KNOWN.L4_CHECKSUM_BAD | KNOWN.L3_OTHER) : known;
}

/** The key in the facts, in the form of the reference. */
function factKey(facts: Int32Array): Key {
  const family = facts[FACT.PROTOCOL] & FAMILY_IPV6 ? 6 : 4;
  const address = (first: number, last: number) =>
    [...facts.subarray(family === 6 ? first : last, last + 1)]
      .map(part => (part >>> 0).toString(16).padStart(8, '0'))
      .join('');
  const halves = (ports: number): readonly [number, number] => [ports >>> 16, ports & 0xffff];
  return {
    family,
    protocol: facts[FACT.PROTOCOL] & PROTOCOL_MASK,
    src: address(FACT.SRC0, FACT.SRC),
    dst: address(FACT.DST0, FACT.DST),
    end: halves(facts[FACT.PORTS]),
    otherEnd: halves(facts[FACT.PORTS_REVERSED]),
    related: facts[FACT.FLAGS] === FACT_RELATED,
  };
}

const guarded = new GuardedView(new ArrayBuffer(MEMORY_BYTES));
const unguarded = new DataView(new ArrayBuffer(MEMORY_BYTES));
const guardedBytes = new Uint8Array(guarded.buffer);
const unguardedBytes = new Uint8Array(unguarded.buffer);
const guardedFacts = new Int32Array(FACT_WORDS);
const unguardedFacts = new Int32Array(FACT_WORDS);

let plainFrames = 0;

/** Parses the frame by all ways there are, compares, and returns the reason. */
function tryFrame(bytes: Uint8Array, known: number, l3: number, start: number, around: number): number {
  const end = start + bytes.length;
  guardedBytes.fill(0).set(bytes, start);
  unguardedBytes.fill(around).set(bytes, start);
  guarded.start = start;
  guarded.end = end;
  guardedFacts.fill(0);
  unguardedFacts.fill(0);
  const what = `at ${start}, known ${known}, l3 ${l3}: ${Buffer.from(bytes).toString('hex')}`;
  let reason = -1;
  try {
    reason = parseFrame(guarded, start, end, known, start + l3, guardedFacts, 0);
  } catch (error) {
    assert.fail(`${error}, ${what}`);
  }
  if (checkPlain(guarded, known, start + l3, guardedFacts, reason)) plainFrames++;
  const again = parseFrame(unguarded, start, end, known, start + l3, unguardedFacts, 0);
  if (again !== reason || guardedFacts.some((fact, word) => fact !== unguardedFacts[word])) {
    assert.fail(`bytes outside the frame matter, ${what}`);
  }
  const expected = referenceKey(bytes, known, l3);
  assert.equal(reason === REASON.none, expected !== undefined, `${reasonName(reason)} ${what}`);
  if (expected !== undefined) assert.deepEqual(factKey(guardedFacts), expected, what);
  return reason;
}

test('mutated and random frames never throw, never look outside, and get the verdict of OVS', () => {
  const met = new Map<string, number>();
  withSeed(20_260_712, random => {
    for (let round = 0; round < FRAMES; round++) {
      const bytes = mutated(random);
      const place = random.below(4);
      const last = MEMORY_BYTES - bytes.length;
      const start = place === 0 ? 0 : place === 1 ? last : random.below(last + 1);
      const l3 = random.chance(0.8) ? 14 : random.below(bytes.length + 30);
      const reason = reasonName(tryFrame(bytes, someKnown(random), l3, start, random.between(1, 255)));
      met.set(reason, (met.get(reason) ?? 0) + 1);
    }
    const often = [...met.values()].filter(times => times >= 20).length;
    assert.ok(often >= 25, `only ${often} reasons met often: ${JSON.stringify([...met])}`);
    assert.ok(plainFrames > 1_000, `only ${plainFrames} frames took the fast path`);
    assert.ok((met.get('none') ?? 0) > FRAMES / 10, 'most frames are broken at once');
  });
});
