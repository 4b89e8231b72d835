/**
 * The Internet checksum against vectors from elsewhere and against the definition in RFC 1071.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addSums, ipv4HeaderSumGood, l4SumGood, onesSum } from '../../src/wire/checksum.js';
import { join, u16 } from '../support/frames.js';
import { withSeed } from '../support/random.js';
import { internetChecksum, internetSum } from '../support/sums.js';

function sumOf(bytes: Uint8Array, from = 0, end = bytes.length): number {
  return onesSum(new DataView(bytes.buffer, bytes.byteOffset), from, end);
}

/** Zero has two forms in one's complement, and 0 and ffff mean the same in a sum. */
function assertSameSum(actual: number, expected: number, what: string): void {
  assert.ok(actual >= 0 && actual <= 0xffff, `${what}: ${actual} has 16 bits`);
  assert.equal(actual % 0xffff, expected % 0xffff, what);
  assert.equal(actual === 0, expected === 0, `${what}: nothing but zeros`);
}

test('the example of RFC 1071, section 3', () => {
  assert.equal(sumOf(Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7)), 0xddf2);
});

test('an IPv4 header with a checksum from a textbook, and the same with any wrong bit', () => {
  const header = Buffer.from('450000730000400040' + '11b861c0a80001c0a800c7', 'hex');
  const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  assert.equal(ipv4HeaderSumGood(view(header), 0, 20), true);
  for (let bit = 0; bit < 160; bit++) {
    const wrong = Uint8Array.from(header);
    wrong[bit >>> 3] ^= 1 << (bit & 7);
    assert.equal(ipv4HeaderSumGood(view(wrong), 0, 20), false, `bit ${bit}`);
  }
});

test('short sums at every length and alignment', () => {
  withSeed(1_071, random => {
    const bytes = random.bytes(100);
    for (let from = 0; from < 16; from++) {
      for (let length = 0; length <= 80; length++) {
        const expected = internetSum(bytes.subarray(from, from + length));
        assertSameSum(sumOf(bytes, from, from + length), expected, `${length} bytes from ${from}`);
      }
    }
  });
});

test('sums of random length and alignment up to 64 KiB', () => {
  withSeed(65_535, random => {
    const bytes = random.bytes(65_536 + 64);
    for (let round = 0; round < 200; round++) {
      const length = random.below(65_536);
      const from = random.below(64);
      const expected = internetSum(bytes.subarray(from, from + length));
      assertSameSum(sumOf(bytes, from, from + length), expected, `${length} bytes from ${from}`);
    }
  });
});

test('the largest sums there are', () => {
  const ones = new Uint8Array(65_536).fill(0xff);
  for (const length of [1, 2, 15, 16, 17, 65_519, 65_520, 65_534, 65_535, 65_536]) {
    const expected = internetSum(ones.subarray(0, length));
    assertSameSum(sumOf(ones, 0, length), expected, `${length} bytes`);
  }
});

test('sums whose halves both carry once more when they are added', () => {
  const bytes = new Uint8Array(1_000).fill(0xff);
  for (let low = 0; low < 256; low++) {
    for (let high = 0; high < 256; high++) {
      bytes.set([low, 0, high, 0], 0);
      // The other words are ffff, which adds nothing in one's complement.
      const sum = (low + high) * 256;
      assertSameSum(sumOf(bytes), sum % 0xffff || 0xffff, `words of ${low} and ${high}`);
    }
  }
});

test('zeros add up to zero, which is not a good checksum', () => {
  const zeros = new Uint8Array(64);
  for (const length of [0, 1, 16, 33, 64]) assert.equal(sumOf(zeros, 0, length), 0);
  assert.equal(ipv4HeaderSumGood(new DataView(zeros.buffer), 0, 20), false);
});

test('sums of parts add up to the sum of the whole', () => {
  withSeed(3, random => {
    for (let round = 0; round < 500; round++) {
      const bytes = random.bytes(random.below(100));
      const middle = random.below((bytes.length >>> 1) + 1) * 2;
      const parts = addSums(sumOf(bytes, 0, middle), sumOf(bytes, middle));
      assertSameSum(parts, internetSum(bytes), `${bytes.length} bytes, cut at ${middle}`);
    }
  });
  assert.equal(addSums(0xffff, 0xffff), 0xffff);
  assert.equal(addSums(0x8000, 0x8000), 1);
});

test('header sums at every length, alignment and kind of error', () => {
  withSeed(791, random => {
    for (let round = 0; round < 2_000; round++) {
      const length = 20 + 4 * random.below(11);
      const at = random.below(20);
      const memory = random.bytes(at + length + 8);
      const header = memory.subarray(at, at + length);
      header.set([0, 0], 10);
      header.set(u16(internetChecksum(header)), 10);
      const view = new DataView(memory.buffer);
      assert.equal(ipv4HeaderSumGood(view, at, length), true);
      const wrong = random.below(length);
      memory[at + wrong] ^= random.between(1, 254);
      assert.equal(ipv4HeaderSumGood(view, at, length), false);
    }
  });
});

test('messages under a pseudo header, of every family, protocol, length and alignment', () => {
  withSeed(8_200, random => {
    for (let round = 0; round < 1_000; round++) {
      const addressBytes = random.pick([8, 32]);
      const protocol = random.below(256);
      const length = random.chance(0.02) ? 65_535 : random.between(2, 400);
      const addresses = random.below(8);
      const l4 = addresses + addressBytes + random.below(8);
      const memory = random.bytes(l4 + length + 3);
      const message = memory.subarray(l4, l4 + length);
      const pseudo = join(memory.subarray(addresses, addresses + addressBytes), [0, protocol], u16(length));
      message.set([0, 0], 0);
      message.set(u16(internetChecksum(join(pseudo, message))), 0);
      const view = new DataView(memory.buffer);
      const isGood = () => l4SumGood(view, addresses, addressBytes, protocol, l4, l4 + length);
      assert.equal(isGood(), true, `${length} bytes of protocol ${protocol}`);
      assert.equal(l4SumGood(view, addresses, addressBytes, protocol ^ 1, l4, l4 + length), false, 'the protocol');
      const at = random.chance(0.5) ? addresses + random.below(addressBytes) : l4 + random.below(length);
      memory[at] ^= random.between(1, 254);
      assert.equal(isGood(), false, `byte ${at} is wrong`);
    }
  });
});
