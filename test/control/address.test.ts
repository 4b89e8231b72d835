/** Addresses as text: RFC 5952, and its examples; IPv4-mapped ones with dots, as glibc's inet_ntop() and so OVS. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatIpv4, formatIpv6 } from '../../src/control/address.js';

function words(...groups: readonly number[]): Int32Array {
  const all = new Int32Array(6).fill(-1);
  for (let word = 0; word < 4; word++) all[1 + word] = (groups[word * 2] << 16) | groups[word * 2 + 1];
  return all;
}

const IPV6: readonly (readonly [groups: readonly number[], text: string, section: string])[] = [
  [[0x2001, 0xdb8, 0, 0, 1, 0, 0, 1], '2001:db8::1:0:0:1', '4.2.3: of equal runs the first'],
  [[0x2001, 0xdb8, 0, 0, 0, 0, 2, 1], '2001:db8::2:1', '4.2.1: shortened as much as possible'],
  [[0x2001, 0xdb8, 0, 1, 1, 1, 1, 1], '2001:db8:0:1:1:1:1:1', '4.2.2: not for a single group'],
  [[0x2001, 0, 0, 1, 0, 0, 0, 1], '2001:0:0:1::1', '4.2.3: the longest run'],
  [[0x2001, 0xdb8, 0, 0, 1, 0, 0, 0], '2001:db8:0:0:1::', '4.2.3: the longest run, at the end'],
  [[0x2001, 0xdb8, 0xaaaa, 0xbbbb, 0xcccc, 0xdddd, 0xeeee, 0xaaaa], '2001:db8:aaaa:bbbb:cccc:dddd:eeee:aaaa', '4.3'],
  [[0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], '2001:db8::1', '4.1: no leading zeros'],
  [[0, 0, 0, 0, 0, 0, 0, 0], '::', 'the unspecified address'],
  [[0, 0, 0, 0, 0, 0, 0, 1], '::1', 'the loopback address'],
  [[0xfe80, 0, 0, 0, 0, 0, 0, 0], 'fe80::', 'zeros at the end'],
  [[0, 0x10, 0, 0, 0, 0, 0, 1], '0:10::1', 'one zero at the start'],
  [[0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201], '::ffff:192.0.2.1', '5: IPv4-mapped'],
  [[0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff], `${'ffff:'.repeat(7)}ffff`, 'all ones'],
  [[0, 0, 0, 0, 0, 1, 0xc000, 0x0201], '::1:c000:201', 'five zeros and no ffff: no dots'],
  [[0x64, 0xff9b, 0, 0, 0, 0, 0xc000, 0x221], '64:ff9b::c000:221', 'RFC 6052, without dots'],
];

for (const [groups, text, section] of IPV6) {
  test(`${text} (${section})`, () => assert.equal(formatIpv6(words(...groups), 1), text));
}

test('IPv4, signed words included', () => {
  for (const [address, text] of [
    [0x0a000001, '10.0.0.1'],
    [0, '0.0.0.0'],
    [-1, '255.255.255.255'],
    [0xc0000201 | 0, '192.0.2.1'],
    [0x80000000 | 0, '128.0.0.0'],
  ] as const) {
    assert.equal(formatIpv4(address), text);
  }
});
