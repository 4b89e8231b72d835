/** The hash of keys against HalfSipHash of support/half-sip-hash, and that against the published test vectors. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FACT, FACT_WORDS, FAMILY_IPV6 } from '../../src/wire/facts.js';
import { hashKey, partOf, zoneHash } from '../../src/wire/hash.js';
import { halfSipHash } from '../support/half-sip-hash.js';
import { type Random, withSeed } from '../support/random.js';

/** Published for HalfSipHash-2-4: key 00 to 07, messages of the bytes 00, 01, 02 …, 0 to 15 bytes long. */
const VECTORS =
  'a9359f5b 27475ab8 fa62a603 8afee704 2a6e4689 c5fab669 5863fc23 8bcf63c5 ' +
  'd0b8848f f806e779 94b07934 08083050 57f0872f 77e663ff d6fff87c 74fe2b97';

test('the reference gives the published vectors', () => {
  const key = Uint8Array.from({ length: 8 }, (_, index) => index);
  const hashes = Array.from({ length: 16 }, (_, length) => {
    const out = Buffer.alloc(4);
    out.writeInt32LE(halfSipHash(2, 4, key, key.length < length ? sequence(length) : key.subarray(0, length)));
    return out.toString('hex');
  });
  assert.equal(hashes.join(' '), VECTORS);
});

function sequence(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => index);
}

function randomFacts(random: Random, protocol: number): Int32Array {
  const facts = new Int32Array(FACT_WORDS);
  for (let word = 0; word < FACT_WORDS; word++) facts[word] = random.u32();
  facts[FACT.PORTS_REVERSED] = (facts[FACT.PORTS] << 16) | (facts[FACT.PORTS] >>> 16);
  facts[FACT.PROTOCOL] = protocol;
  return facts;
}

/** The facts as the other side's packets have them. */
function turned(facts: Int32Array): Int32Array {
  const other = Int32Array.from(facts);
  for (let word = 0; word < 4; word++) {
    other[FACT.SRC0 + word] = facts[FACT.DST0 + word];
    other[FACT.DST0 + word] = facts[FACT.SRC0 + word];
  }
  other[FACT.PORTS] = facts[FACT.PORTS_REVERSED];
  other[FACT.PORTS_REVERSED] = facts[FACT.PORTS];
  return other;
}

function hash(facts: Int32Array, key0: number, key1: number): number {
  hashKey(facts, 0, key0, key1);
  return facts[FACT.HASH];
}

/** The two messages that a key may stand for, one per direction: addresses, ports, and two bytes of protocol. */
function messages(facts: Int32Array): Uint8Array[] {
  const isIpv6 = (facts[FACT.PROTOCOL] & FAMILY_IPV6) !== 0;
  return [facts, turned(facts)].map(side => {
    const words = isIpv6
      ? [...side.subarray(FACT.SRC0, FACT.DST + 1), side[FACT.PORTS]]
      : [side[FACT.SRC], side[FACT.DST], side[FACT.PORTS]];
    const bytes = Buffer.alloc(words.length * 4 + 2);
    for (const [index, word] of words.entries()) bytes.writeInt32LE(word, index * 4);
    bytes.writeUInt16LE(side[FACT.PROTOCOL], words.length * 4);
    return bytes;
  });
}

for (const [name, protocol, length] of [
  ['IPv4', 6, 14],
  ['IPv6', 17 | FAMILY_IPV6, 38],
] as const) {
  test(`${name}: HalfSipHash-1-3 of ${length} bytes, the same from both ends`, () => {
    withSeed(1405, random => {
      let swapped = 0;
      for (let round = 0; round < 2000; round++) {
        const facts = randomFacts(random, protocol);
        if (round % 4 === 0) facts[FACT.DST] = facts[FACT.SRC];
        const key = random.bytes(8);
        const [key0, key1] = [Buffer.from(key).readInt32LE(0), Buffer.from(key).readInt32LE(4)];
        const [there, back] = messages(facts);
        assert.equal(there.length, length);
        const seen = hash(facts, key0, key1);
        assert.equal(hash(turned(facts), key0, key1), seen, 'the other direction');
        const expected = [halfSipHash(1, 3, key, there), halfSipHash(1, 3, key, back)];
        assert.ok(expected.includes(seen), `${seen} is neither of ${expected}`);
        if (seen === expected[1]) swapped++;
      }
      // Which direction stands for both must depend on the ends, or reordering would not happen at all.
      assert.ok(swapped > 500 && swapped < 1500, `${swapped} of 2000 in reverse`);
    });
  });

  test(`${name}: equal ends do not cancel out`, () => {
    withSeed(7, random => {
      const seen = new Set<number>();
      for (let round = 0; round < 1000; round++) {
        const facts = randomFacts(random, protocol);
        facts.copyWithin(FACT.DST0, FACT.SRC0, FACT.SRC0 + 4);
        facts[FACT.PORTS] = facts[FACT.PORTS_REVERSED] = 0x0035_0035;
        seen.add(hash(facts, 1, 2));
      }
      assert.ok(seen.size > 995, `${seen.size} hashes of 1000 packets to themselves`);
    });
  });
}

test('another key, another hash; every bit of the key counts', () => {
  withSeed(11, random => {
    const facts = randomFacts(random, 6);
    const hashes = new Set([hash(facts, 5, 6)]);
    for (let bit = 0; bit < 32; bit++) hashes.add(hash(facts, 5 ^ (1 << bit), 6)).add(hash(facts, 5, 6 ^ (1 << bit)));
    assert.equal(hashes.size, 65);
  });
});

test('every field of the key counts', () => {
  withSeed(13, random => {
    for (const protocol of [6, 6 | FAMILY_IPV6]) {
      const facts = randomFacts(random, protocol);
      const before = hash(facts, 5, 6);
      const words = protocol === 6 ? [FACT.SRC, FACT.DST] : [0, 1, 2, 3, 4, 5, 6, 7];
      for (const word of words) {
        const other = Int32Array.from(facts);
        other[word] ^= 1 << random.below(32);
        assert.notEqual(hash(other, 5, 6), before, `word ${word}`);
      }
      assert.notEqual(hash(Int32Array.from(facts).fill(protocol ^ 1, FACT.PROTOCOL, FACT.PROTOCOL + 1), 5, 6), before);
    }
  });
});

test('parts are of equal size, and zones of one tuple fall apart', () => {
  withSeed(17, random => {
    for (const parts of [1, 2, 3, 4, 7, 256]) {
      const counts = new Array<number>(parts).fill(0);
      for (let round = 0; round < 20_000; round++) {
        const part = partOf(hash(randomFacts(random, 17), 3, 4), parts);
        assert.ok(part >= 0 && part < parts);
        counts[part]++;
      }
      // Six standard deviations.
      const mean = 20_000 / parts;
      for (const count of counts) assert.ok(Math.abs(count - mean) < 6 * Math.sqrt(mean) + 1, `${count}, mean ${mean}`);
    }
    const zones = new Set(Array.from({ length: 65_536 }, (_, zone) => zoneHash(12_345, zone)));
    assert.equal(zones.size, 65_536);
  });
});
