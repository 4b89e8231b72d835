/**
 * What a caller may declare of a frame, and that it is believed no further than OVS believes its own flags:
 * `conn_key_extract()` for the bad ones, `extract_l3_ipv4()` and `check_l4_*()` for the good ones.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReasonName } from '../../src/reason.js';
import { KNOWN } from '../../src/wire/known.js';
import { frame, icmp, icmpv6, ipv4, ipv6, raw, sctp, tcp, udp } from '../support/frames.js';
import { cut, reasonOf } from './parsed.js';

const BAD = { checksum: 'wrong' } as const;

const WRONG_SUMS = {
  header: frame(ipv4(BAD, tcp())),
  tcp: frame(ipv4({}, tcp(BAD))),
  tcp6: frame(ipv6({}, tcp(BAD))),
  udp: frame(ipv4({}, udp(BAD))),
  udp6: frame(ipv6({}, udp(BAD))),
  udp6None: frame(ipv6({}, udp({ checksum: 0 }))),
  sctp: frame(ipv4({}, sctp(BAD))),
  sctp6: frame(ipv6({}, sctp(BAD))),
  icmp: frame(ipv4({}, icmp(BAD))),
  icmpv6: frame(ipv6({}, icmpv6(BAD))),
};

type Sum = keyof typeof WRONG_SUMS;
const ALL = Object.keys(WRONG_SUMS) as Sum[];

const UNDECLARED: Readonly<Record<Sum, ReasonName>> = {
  header: 'ipv4-checksum',
  tcp: 'tcp-checksum',
  tcp6: 'tcp-checksum',
  udp: 'udp-checksum',
  udp6: 'udp-checksum',
  udp6None: 'udp-checksum',
  sctp: 'sctp-checksum',
  sctp6: 'sctp-checksum',
  icmp: 'icmp-checksum',
  icmpv6: 'icmp-checksum',
};

const EXCUSED: readonly [name: string, known: number, sums: readonly Sum[]][] = [
  ['nothing', 0, []],
  ['a good IPv4 header', KNOWN.L3_CHECKSUM_GOOD, ['header']],
  ['a good L4 checksum', KNOWN.L4_CHECKSUM_GOOD, ['tcp', 'tcp6', 'udp', 'udp6', 'udp6None', 'sctp', 'sctp6']],
  ['both good', KNOWN.L3_CHECKSUM_GOOD | KNOWN.L4_CHECKSUM_GOOD, ALL.filter(sum => !sum.startsWith('icmp'))],
  ['to verify nothing', KNOWN.NO_CHECKSUMS, ALL],
];

for (const [name, known, excused] of EXCUSED) {
  test(`declared: ${name}`, () => {
    for (const sum of ALL) {
      assert.equal(reasonOf(WRONG_SUMS[sum], { known }), excused.includes(sum) ? 'none' : UNDECLARED[sum], sum);
    }
  });
}

test('a declared good checksum excuses nothing but the checksum', () => {
  const known = KNOWN.L3_CHECKSUM_GOOD | KNOWN.L4_CHECKSUM_GOOD | KNOWN.NO_CHECKSUMS;
  const cases: readonly [Uint8Array, ReasonName][] = [
    [frame(ipv4({ headerLength: 4 }, tcp())), 'ipv4-header-length'],
    [frame(ipv4({ totalLength: 19 }, tcp())), 'ipv4-total-length'],
    [frame(ipv4({ fragmentOffset: 1 }, tcp())), 'ipv4-fragment'],
    [frame(ipv4({}, tcp({ dataOffset: 4 }))), 'tcp-data-offset'],
    [frame(ipv4({}, tcp({ sport: 0 }))), 'port-zero'],
    [frame(ipv6({}, udp({ length: 7 }))), 'udp-length'],
    [frame(ipv6({}, udp({ dport: 0 }))), 'port-zero'],
    [frame(ipv4({}, sctp({ surplus: [0] }))), 'sctp-chunk'],
    [frame(ipv4({}, sctp({ dport: 0 }))), 'port-zero'],
    [frame(ipv4({}, icmp({ code: 1 }))), 'icmp-code'],
    [frame(ipv6({}, icmpv6({ type: 200 }))), 'icmp-type'],
  ];
  for (const [broken, expected] of cases) assert.equal(reasonOf(broken, { known }), expected);
});

const GOOD = [tcp(), udp(), udp({ checksum: 0 }), sctp(), icmp(), raw(47)];
const GOOD6 = [tcp(), udp(), sctp(), icmpv6(), raw(47)];

test('a declared bad IPv4 header makes every IPv4 packet invalid, and says nothing about IPv6', () => {
  const known = KNOWN.L3_CHECKSUM_BAD;
  for (const transport of GOOD) assert.equal(reasonOf(frame(ipv4({}, transport)), { known }), 'checksum-declared-bad');
  for (const transport of GOOD6) assert.equal(reasonOf(frame(ipv6({}, transport)), { known }), 'none');
});

test('a declared bad L4 checksum makes every packet invalid, whatever its protocol', () => {
  const known = KNOWN.L4_CHECKSUM_BAD;
  for (const transport of GOOD) assert.equal(reasonOf(frame(ipv4({}, transport)), { known }), 'checksum-declared-bad');
  for (const transport of GOOD6) assert.equal(reasonOf(frame(ipv6({}, transport)), { known }), 'checksum-declared-bad');
});

test('bad outweighs good and "verify nothing"', () => {
  const whole = frame(ipv4({}, tcp()));
  const good = KNOWN.L3_CHECKSUM_GOOD | KNOWN.L4_CHECKSUM_GOOD | KNOWN.NO_CHECKSUMS;
  assert.equal(reasonOf(whole, { known: good | KNOWN.L3_CHECKSUM_BAD }), 'checksum-declared-bad');
  assert.equal(reasonOf(whole, { known: good | KNOWN.L4_CHECKSUM_BAD }), 'checksum-declared-bad');
});

test('a fragment steers by its addresses even with a header declared bad', () => {
  const known = KNOWN.L3_CHECKSUM_BAD;
  assert.equal(reasonOf(frame(ipv4({ fragmentOffset: 3 }, tcp())), { known }), 'ipv4-fragment');
});

test('a declaration of checksums does not touch what is cut short', () => {
  const whole = frame(ipv4({}, tcp()));
  const known = KNOWN.L3_CHECKSUM_BAD | KNOWN.L4_CHECKSUM_BAD;
  assert.equal(reasonOf(cut(whole, 13), { known }), 'ethernet-truncated');
  assert.equal(reasonOf(cut(whole, 33), { known }), 'ipv4-truncated');
  assert.equal(reasonOf(cut(whole, 53), { known }), 'ipv4-total-length');
});
