/**
 * UDP datagrams (RFC 768, RFC 8200 section 8.1). The checks are those of OVS's `check_l4_udp()` and
 * `extract_l4_udp()`, which sums up the whole IP payload even where the datagram is shorter.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { frame, ipv4, ipv6, type Packet, type Transport, u16, udp } from '../support/frames.js';
import { flip, parse, reasonOf } from './parsed.js';

const FAMILIES: readonly [name: string, packet: (transport: Transport) => Packet, l4: number][] = [
  ['IPv4', transport => ipv4({}, transport), 34],
  ['IPv6', transport => ipv6({}, transport), 54],
];

/** A datagram whose computed checksum is zero, so that the sender writes all ones. */
function withSumOfZero(packet: (transport: Transport) => Packet, l4: number): Uint8Array {
  for (let word = 0; word <= 0xffff; word++) {
    const whole = frame(packet(udp({ payload: u16(word) })));
    if (whole[l4 + 6] === 0xff && whole[l4 + 7] === 0xff) return whole;
  }
  throw new Error('no such datagram');
}

for (const [family, packet, l4] of FAMILIES) {
  test(`over ${family}: the facts of a datagram`, () => {
    const facts = parse(frame(packet(udp({ sport: 0xc001, dport: 123, payload: 'hello' }))));
    assert.deepEqual([facts.reason, facts.protocol, facts.l4, facts.l4End], ['none', 17, l4, l4 + 13]);
    assert.deepEqual([...facts.ports, ...facts.reversed], [0xc001, 123, 123, 0xc001]);
  });

  test(`over ${family}: every length of datagram`, () => {
    const datagram = packet(udp({ payload: [1, 2, 3, 4, 5] })).bytes.subarray(l4 - 14);
    for (let length = 0; length < datagram.length; length++) {
      const shorter = frame(packet({ protocol: 17, bytes: () => datagram.subarray(0, length) }));
      assert.equal(reasonOf(shorter), length < 8 ? 'udp-truncated' : 'udp-length', `${length} bytes`);
    }
  });

  test(`over ${family}: an impossible length`, () => {
    for (const length of [0, 1, 7, 14, 65535]) {
      assert.equal(reasonOf(frame(packet(udp({ length, payload: 'hello' })))), 'udp-length', `${length}`);
    }
  });

  test(`over ${family}: every single wrong bit of a datagram shows`, () => {
    const whole = frame(packet(udp({ payload: 'an odd length' })));
    for (let bit = l4 * 8; bit < whole.length * 8; bit++) {
      const isLength = bit >>> 4 === (l4 + 4) / 2;
      const reason = reasonOf(flip(whole, bit));
      if (!isLength) assert.equal(reason, 'udp-checksum', `bit ${bit}`);
      else assert.match(reason, /^udp-(checksum|length)$/, `bit ${bit}`);
    }
  });

  test(`over ${family}: a wrong checksum`, () => {
    assert.equal(reasonOf(frame(packet(udp({ checksum: 'wrong' })))), 'udp-checksum');
  });

  test(`over ${family}: a sum of zero, sent as all ones`, () => {
    assert.equal(reasonOf(withSumOfZero(packet, l4)), 'none');
  });

  test(`over ${family}: a datagram shorter than the IP payload is summed up to the end of that`, () => {
    const short = { length: 12, payload: 'data and more' };
    assert.equal(reasonOf(frame(packet(udp(short)))), 'none', 'a sum over the payload');
    const surplus = { payload: 'data', surplus: ' and more' };
    assert.equal(reasonOf(frame(packet(udp(surplus)))), 'udp-checksum', 'a sum over the datagram');
  });

  test(`over ${family}: port zero`, () => {
    assert.equal(reasonOf(frame(packet(udp({ sport: 0 })))), 'port-zero');
    assert.equal(reasonOf(frame(packet(udp({ dport: 0 })))), 'port-zero');
  });

  test(`over ${family}: lengths are looked at before the checksum, ports last`, () => {
    assert.equal(reasonOf(frame(packet(udp({ length: 9, checksum: 'wrong', sport: 0 })))), 'udp-length');
    assert.equal(reasonOf(frame(packet(udp({ checksum: 'wrong', sport: 0 })))), 'udp-checksum');
  });
}

test('a checksum of zero means none over IPv4 and is wrong over IPv6', () => {
  const datagram = udp({ checksum: 0, payload: 'hello' });
  assert.equal(reasonOf(frame(ipv4({}, datagram))), 'none');
  assert.equal(reasonOf(frame(ipv6({}, datagram))), 'udp-checksum');
  assert.equal(reasonOf(frame(ipv4({}, udp({ checksum: 0, dport: 0 })))), 'port-zero');
});
