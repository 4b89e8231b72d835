/**
 * Addresses from text to words, and ranges of them.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatIpv4, formatIpv6 } from '../../src/control/address.js';
import { countAddresses, isZeroAddress, NO_FAMILY, offsetAddress, parseAddress } from '../../src/nat/address.js';
import { FAMILY_IPV6 } from '../../src/wire/facts.js';
import { withSeed } from '../support/random.js';

const FROM = 2;
const TO = 7;

function wordsOf(text: string, family: number): number[] {
  const words = new Int32Array(12).fill(0x5a5a5a5a);
  assert.equal(parseAddress(text, words, FROM), family, text);
  const around = [...words.subarray(0, FROM), ...words.subarray(FROM + 4)];
  assert.ok(around.every(word => word === 0x5a5a5a5a));
  return [...words.subarray(FROM, FROM + 4)].map(word => word >>> 0);
}

test('addresses that are right', () => {
  const ipv4 = (text: string) => wordsOf(text, 0);
  const ipv6 = (text: string) => wordsOf(text, FAMILY_IPV6);
  assert.deepEqual(ipv4('0.0.0.0'), [0, 0, 0, 0]);
  assert.deepEqual(ipv4('1.2.3.4'), [0, 0, 0, 0x01020304]);
  assert.deepEqual(ipv4('255.255.255.255'), [0, 0, 0, 0xffffffff]);
  assert.deepEqual(ipv6('::'), [0, 0, 0, 0]);
  assert.deepEqual(ipv6('::1'), [0, 0, 0, 1]);
  assert.deepEqual(ipv6('fe80::'), [0xfe800000, 0, 0, 0]);
  assert.deepEqual(ipv6('1:2:3:4:5:6:7:8'), [0x00010002, 0x00030004, 0x00050006, 0x00070008]);
  assert.deepEqual(ipv6('2001:DB8::a:b'), [0x20010db8, 0, 0, 0x000a000b]);
  assert.deepEqual(ipv6('1::8'), [0x00010000, 0, 0, 8]);
  assert.deepEqual(ipv6('1:2:3:4:5:6:7::'), [0x00010002, 0x00030004, 0x00050006, 0x00070000]);
  assert.deepEqual(ipv6('::ffff:10.1.2.3'), [0, 0, 0xffff, 0x0a010203]);
  assert.deepEqual(ipv6('64:ff9b::192.0.2.255'), [0x0064ff9b, 0, 0, 0xc00002ff]);
  assert.deepEqual(ipv6('1:2:3:4:5:6:7.8.9.10'), [0x00010002, 0x00030004, 0x00050006, 0x0708090a]);
});

test('texts that are no addresses', () => {
  const texts = [
    '',
    'a',
    '1.2.3',
    '1.2.3.4.5',
    '256.1.1.1',
    '1.2.3.4 ',
    ':::',
    '1::2::3',
    '1:2',
    '12345::',
    'fe80::1%eth0',
  ];
  for (const text of texts) {
    const words = Int32Array.of(1, 2, 3, 4);
    assert.equal(parseAddress(text, words, 0), NO_FAMILY, text);
    assert.deepEqual([...words], [1, 2, 3, 4], text);
  }
});

test('what is no text is no address', () => {
  for (const value of [5, 5n, null, undefined, ['1.2.3.4'], {}]) {
    assert.equal(parseAddress(value as unknown as string, new Int32Array(4), 0), NO_FAMILY);
  }
});

test('random addresses, there and back', () => {
  withSeed(4_291, random => {
    for (let round = 0; round < 2_000; round++) {
      const words = Int32Array.from({ length: 4 }, () => (random.chance(0.4) ? 0 : random.u32()));
      const read = new Int32Array(4);
      assert.equal(parseAddress(formatIpv6(words, 0), read, 0), FAMILY_IPV6);
      assert.deepEqual(read, words);
      assert.equal(parseAddress(formatIpv4(words[3]), read, 0), 0);
      assert.deepEqual(read, Int32Array.of(0, 0, 0, words[3]));
    }
  });
});

/** Two addresses in one array, at FROM and at TO. */
function pair(from: string, to: string): Int32Array {
  const words = new Int32Array(12);
  parseAddress(from, words, FROM);
  parseAddress(to, words, TO);
  return words;
}

test('how many addresses a range has', () => {
  const count = (from: string, to: string) => countAddresses(pair(from, to), FROM, TO);
  assert.equal(count('10.0.0.1', '10.0.0.1'), 1);
  assert.equal(count('10.0.0.250', '10.0.1.5'), 12);
  assert.equal(count('127.255.255.255', '128.0.0.0'), 2, 'across the sign bit');
  assert.equal(count('0.0.0.1', '255.255.255.255'), 0xffffffff);
  assert.equal(count('0.0.0.0', '255.255.255.255'), 0xffffffff, 'no more than can be told apart');
  assert.equal(count('10.0.0.2', '10.0.0.1'), 0, 'the wrong way round');
  assert.equal(count('fd00::1', 'fd00::1:0:0'), 0xffffffff);
  assert.equal(count('fd00::ffff:ffff:ffff:fff0', 'fd00:0:0:1::f'), 32, 'across the middle');
  assert.equal(count('fd00::', 'fd00::ffff:ffff'), 0xffffffff, 'one less than there are');
  assert.equal(count('fd00::', 'fd01::'), 0xffffffff);
  assert.equal(count('fd01::', 'fd00::ffff'), 0);
});

test('the address at an offset', () => {
  const at = (from: string, offset: number) => {
    const into = new Int32Array(6);
    offsetAddress(pair(from, from), FROM, offset, into, 1);
    return into.subarray(1, 5);
  };
  assert.equal(formatIpv4(at('10.0.0.255', 1)[3]), '10.0.1.0');
  assert.equal(formatIpv4(at('0.0.0.1', 0xfffffffe)[3]), '255.255.255.255');
  assert.equal(formatIpv6(at('fd00::ffff:ffff:ffff:ffff', 1), 0), 'fd00:0:0:1::');
  assert.equal(formatIpv6(at('fd00:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 2), 0), 'fd01::1');
  assert.equal(formatIpv6(at('fd00::1', 0xffffffff), 0), 'fd00::1:0:0');
});

test('the all-zero address', () => {
  assert.equal(isZeroAddress(pair('::', '::1'), FROM), true);
  assert.equal(isZeroAddress(pair('::', '::1'), TO), false);
  assert.equal(isZeroAddress(pair('0.0.0.0', '8000::'), TO), false);
});
