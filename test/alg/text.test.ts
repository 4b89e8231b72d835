/**
 * Addresses as text. What is an address is asked of inet_pton() by way of Node's net.isIP(), which calls the same
 * function of libuv, and what is written by way of the URL parser's and Python's forms, spelt out below.
 */
import assert from 'node:assert/strict';
import { isIPv4, isIPv6 } from 'node:net';
import { test } from 'node:test';
import {
  MAX_ADDRESS_TEXT,
  NO_TEXT,
  readIpv4Text,
  readIpv6Text,
  writeIpv4Text,
  writeIpv6Text,
} from '../../src/alg/text.js';
import { parseAddress } from '../../src/nat/address.js';
import { withSeed } from '../support/random.js';
import { GuardedView } from '../wire/guarded.js';
import { bytesOf } from './message.js';

function viewOf(text: string): GuardedView {
  const view = new GuardedView(new ArrayBuffer(text.length + 8));
  new Uint8Array(view.buffer).fill(0x31).set(bytesOf(text), 4);
  view.start = 4;
  view.end = 4 + text.length;
  return view;
}

function isRead(text: string, read: typeof readIpv4Text): { behind: number; words: number[] } {
  const view = viewOf(text);
  const words = new Int32Array(8);
  const behind = read(view, view.start, view.end, words, 2);
  assert.deepEqual([...words.subarray(0, 2), ...words.subarray(6)], [0, 0, 0, 0], 'words around the address');
  return { behind: behind === NO_TEXT ? NO_TEXT : behind - 4, words: [...words.subarray(2, 6)] };
}

function wordsOf(text: string): number[] {
  const words = new Int32Array(4);
  parseAddress(text, words, 0);
  return [...words];
}

test('IPv4 addresses are read with dots and with commas, and end before anything else', () => {
  const words = wordsOf('10.1.200.255');
  for (const text of [
    '10.1.200.255',
    '10,1,200,255',
    '10.1,200,255',
    '10,1,200,255,4,1',
    '10.1.200.255|',
    '10.1.200.255 x',
  ]) {
    assert.deepEqual(isRead(text, readIpv4Text), { behind: 12, words }, text);
  }
});

const OCTETS = ['', '0', '1', '00', '01', '9', '10', '255', '256', '999', '1000', 'a'];

test('exactly what inet_pton() takes for an IPv4 address is one', () => {
  for (const first of OCTETS) {
    for (const last of OCTETS) {
      for (const text of [`${first}.2.3.${last}`, `1.${first}.${last}.4`, `1.2.3${first}.${last}`, `1.2.${last}`]) {
        const isWhole = isRead(text, readIpv4Text).behind === text.length;
        assert.equal(isWhole, isIPv4(text), text);
      }
    }
  }
});

test('exactly what inet_pton() takes for an IPv6 address is one, with the same value', () => {
  // `::` stands for at least one group: none is left for it beside eight others.
  for (const text of [
    '1:2:3:4::5:6:7:8',
    '1:2:3:4:5:6:7:8::',
    '::1:2:3:4:5:6:7:8',
    '1:2:3:4:5:6:7::',
    '::2:3:4:5:6:7:8',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:1.2.3.4',
    '1:2:3:4:5:6:7:1.2.3.4',
    '::1..2.3',
    '::.1.2.3',
    '::1.2.3.',
    // The neighbours of the digits.
    '::F',
    '::G',
    '::@',
    '::`',
    '::/',
  ]) {
    assert.equal(isRead(text, readIpv6Text).behind === text.length, isIPv6(text), text);
  }
  const parts = ['', '0', '1', 'ab', 'FFff', '12345', '::', ':', ':::', '1.2.3.4', '1.2.3', '1.2.3.256', '01.2.3.4'];
  withSeed(2601, random => {
    for (let round = 0; round < 20_000; round++) {
      const groups = Array.from({ length: random.between(1, 9) }, () => random.pick(parts));
      const text = random.chance(0.8) ? groups.join(':') : groups.join('');
      const { behind, words } = isRead(text, readIpv6Text);
      assert.equal(behind === text.length, isIPv6(text), text);
      if (isIPv6(text)) assert.deepEqual(words, wordsOf(text), text);
    }
  });
});

test('an IPv6 address ends before a bar', () => {
  assert.deepEqual(isRead('2001:db8::1|6446|', readIpv6Text), { behind: 11, words: wordsOf('2001:db8::1') });
});

function written(address: string): string {
  const view = new GuardedView(new ArrayBuffer(MAX_ADDRESS_TEXT + 8));
  const words = Int32Array.from(wordsOf(address));
  const behind = address.includes(':') ? writeIpv6Text(view, 4, words, 0) : writeIpv4Text(view, 4, words, 3, false);
  return String.fromCharCode(...new Uint8Array(view.buffer, 4, behind - 4));
}

/** As glibc's inet_ntop() writes them: compared with Python's socket.inet_ntop() on Debian 12. */
const WRITTEN = [
  '0.0.0.0',
  '1.20.99.100',
  '255.255.255.255',
  '::',
  '::1',
  '1::',
  '2001:db8::1',
  '2001:db8:0:1:1:1:1:1',
  '2001:0:0:1::1',
  '2001::1:0:0:1',
  '1:2:3:4:5:6:7:8',
  'abcd:ef01:2345:6789:abcd:ef01:2345:6789',
  '::ffff:10.1.2.3',
  '::10.1.2.3',
  '::1:0:0',
  'fe80::a:0:b',
  '0:1::',
];

test('addresses are written as inet_ntop() writes them', () => {
  for (const text of WRITTEN) assert.equal(written(text), text);
});

test('what is written is read back, and is no longer than it may be', () => {
  withSeed(2602, random => {
    for (let round = 0; round < 5_000; round++) {
      const words = Int32Array.from(
        { length: 4 },
        () => random.u32() & (random.chance(0.5) ? random.u32() & random.u32() : 0xffff),
      );
      const view = new GuardedView(new ArrayBuffer(MAX_ADDRESS_TEXT));
      view.end = MAX_ADDRESS_TEXT;
      const end = writeIpv6Text(view, 0, words, 0);
      const again = new Int32Array(4);
      assert.equal(readIpv6Text(view, 0, end, again, 0), end);
      assert.deepEqual(again, words);
    }
  });
});

test('commas stand between the numbers when asked for', () => {
  const view = new DataView(new ArrayBuffer(16));
  const end = writeIpv4Text(view, 0, Int32Array.of(0x0a0102ff), 0, true);
  assert.equal(String.fromCharCode(...new Uint8Array(view.buffer, 0, end)), '10,1,2,255');
});
