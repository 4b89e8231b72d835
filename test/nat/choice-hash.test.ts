/**
 * What the first candidate depends on, and random ranges.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHOICE_WORDS, nextCandidate, startChoice } from '../../src/nat/choice.js';
import { NAT_WORDS, type NatAction, writeNat } from '../../src/nat/spec.js';
import { FACT, FACT_WORDS, IPPROTO } from '../../src/wire/facts.js';
import { halfSipHashOfBlocks } from '../support/half-sip-hash.js';
import { withSeed } from '../support/random.js';
import {
  addressRuns,
  assertWalk,
  type Candidate,
  candidates,
  factsOf,
  NO_MAPS,
  type Packet,
  TRIES,
} from './candidates.js';

const WIDE = { kind: 'src', minAddress: '10.1.0.0', maxAddress: '10.1.0.255', minPort: 1024, maxPort: 65_535 } as const;

function first(packet: Packet, nat: NatAction, given: { key0?: number; random?: number } = {}): Candidate {
  return candidates(packet, nat, { ...given, most: 1 })[0];
}

test('the address follows from a keyed hash of both endpoints', () => {
  const seen = new Set<string>();
  for (let sport = 1; sport <= 2_000; sport++) seen.add(first({ sport }, WIDE).dst);
  assert.ok(seen.size > 250, `${seen.size} of 256 addresses`);
  assert.deepEqual(first({}, WIDE, { random: 1 }), first({}, WIDE, { random: 2 }), 'nothing is random');
  const keyed = Array.from({ length: 20 }, (_, key0) => first({}, WIDE, { key0 }).dst);
  assert.ok(new Set(keyed).size > 10);
});

test('persistent: one address for a client, whatever it sends and whatever the key; another for another client', () => {
  const nat = { ...WIDE, persistent: true };
  const { dst } = first({}, nat);
  for (const packet of [{ sport: 9 }, { dport: 443 }, { dst: '192.0.2.200' }, { protocol: IPPROTO.UDP }]) {
    assert.equal(first(packet, nat).dst, dst);
    assert.equal(first(packet, nat, { key0: 99, random: 99 }).dst, dst);
  }
  assert.notEqual(first({}, nat).dport, first({}, nat, { key0: 99 }).dport, 'the port is keyed');
  const clients = Array.from({ length: 200 }, (_, host) => first({ src: `10.0.0.${host}` }, nat).dst);
  assert.ok(new Set(clients).size > 100);
  const clients6 = Array.from(
    { length: 200 },
    (_, host) =>
      first(
        { src: `fd00:${host}::1`, dst: 'fd00::' },
        { kind: 'src', minAddress: 'fd01::', maxAddress: 'fd01::ff', persistent: true },
      ).dst,
  );
  assert.ok(new Set(clients6).size > 100);
});

/** The first bits of the fraction of a square root. */
const rootBits = (number: number) => Math.floor((Math.sqrt(number) % 1) * 2 ** 32);

test('persistent: the address outlives this program, so the hash must never change', () => {
  const key = Buffer.alloc(8);
  key.writeUInt32LE(rootBits(3), 0);
  key.writeUInt32LE(rootBits(5), 4);
  /** Of a client's address, as four words: its place among 256 addresses. */
  const placeOf = (...words: number[]) => halfSipHashOfBlocks(1, 3, key, words.map(BigInt)) & 0xff;
  const nat = { kind: 'src', minAddress: '10.1.0.0', maxAddress: '10.1.0.255', persistent: true } as const;
  const nat6 = { kind: 'src', minAddress: 'fd01::', maxAddress: 'fd01::ff', persistent: true } as const;
  for (let host = 1; host < 256; host++) {
    const place = placeOf(0, 0, 0, 0x0a000000 + host);
    assert.equal(first({ src: `10.0.0.${host}` }, nat).dst, `10.1.0.${place}`);
    const place6 = placeOf(0xfd000000, 0, 0, host);
    const { dst } = first({ src: `fd00::${host.toString(16)}`, dst: 'fd00::' }, nat6);
    assert.equal(dst, place6 === 0 ? 'fd01::' : `fd01::${place6.toString(16)}`);
  }
});

test('the unused words of an IPv4 address do not count', () => {
  const spec = new Int32Array(NAT_WORDS);
  const choice = new Int32Array(CHOICE_WORDS);
  for (const persistent of [false, true]) {
    writeNat(spec, 0, { ...WIDE, persistent });
    const replies = [0, 1, -1].map(rest => {
      const facts = factsOf({});
      for (const word of [0, 1, 2]) facts[FACT.SRC0 + word] = facts[FACT.DST0 + word] = rest;
      const reply = new Int32Array(FACT_WORDS);
      startChoice(choice, facts, 0, spec, 1, 2, 3);
      assert.ok(nextCandidate(choice, facts, 0, spec, reply, 0, NO_MAPS));
      return reply;
    });
    assert.deepEqual(replies[1], replies[0]);
    assert.deepEqual(replies[2], replies[0]);
  }
});

test('random: the first port differs from time to time, the address does not', () => {
  const found = Array.from({ length: 100 }, (_, random) => first({}, { ...WIDE, random: true }, { random }));
  assert.ok(new Set(found.map(({ dport }) => dport)).size > 95);
  assert.equal(new Set(found.map(({ dst }) => dst)).size, 1);
});

test('the ports of one address begin everywhere in the range', () => {
  const nat = { ...WIDE, maxAddress: '10.1.0.3', minPort: 1, maxPort: 64 };
  const begun = new Set<number>();
  for (let sport = 1; sport <= 4_000; sport++) {
    const { dst, dport } = first({ sport }, nat);
    if (dst === '10.1.0.2') begun.add(dport);
  }
  assert.equal(begun.size, 64);
});

test('random ranges: every candidate is in range, and small ranges are tried as a whole', () => {
  withSeed(512, random => {
    for (let round = 0; round < 300; round++) {
      const kind = random.pick(['src', 'dst'] as const);
      const minPort = random.between(1, 65_535);
      const maxPort = Math.min(65_535, minPort + random.below(random.chance(0.5) ? 150 : 65_536));
      const hosts = random.between(1, 20);
      const flags = random.chance(0.5) ? { random: true } : { persistent: random.chance(0.5) };
      const nat = { kind, minAddress: '10.1.0.250', maxAddress: `10.1.1.${hosts}`, minPort, maxPort, ...flags };
      const packet = { sport: random.between(1, 65_535), protocol: random.pick([6, 17, 132]) };
      const found = candidates(packet, nat, { random: random.u32(), key0: random.u32() });
      const what = `round ${round}: ${JSON.stringify(nat)}`;
      const runs = addressRuns(found, kind === 'src' ? 'dst' : 'src');
      assert.equal(runs.length, Math.min(16, hosts + 7), what);
      const size = maxPort - minPort + 1;
      const walked = size <= 128 ? size : TRIES;
      let at = 0;
      for (const [, count] of runs) {
        const ports = found.slice(at, at + walked).map(({ sport, dport }) => (kind === 'src' ? dport : sport));
        assertWalk(ports, minPort, maxPort, what);
        assert.equal(count, kind === 'src' ? walked : walked + TRIES, what);
        at += count;
      }
    }
  });
});
