/**
 * TCP segments (RFC 9293, section 3.1). The checks are those of OVS's `check_l4_tcp()` and `extract_l4_tcp()`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KNOWN } from '../../src/wire/known.js';
import { frame, ipv4, ipv6, type Packet, type Transport, tcp } from '../support/frames.js';
import { flip, parse, reasonOf } from './parsed.js';

const TIMESTAMPS = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];

const FAMILIES: readonly [name: string, packet: (transport: Transport) => Packet, l4: number][] = [
  ['IPv4', transport => ipv4({}, transport), 34],
  ['IPv6', transport => ipv6({}, transport), 54],
];

for (const [family, packet, l4] of FAMILIES) {
  test(`over ${family}: the facts of a segment`, () => {
    const facts = parse(frame(packet(tcp({ sport: 0x8001, dport: 0xffff, options: TIMESTAMPS, payload: 'GET /' }))));
    assert.deepEqual([facts.reason, facts.protocol, facts.l4, facts.l4End], ['none', 6, l4, l4 + 37]);
    assert.deepEqual([...facts.ports, ...facts.reversed], [0x8001, 0xffff, 0xffff, 0x8001]);
  });

  test(`over ${family}: every length of segment`, () => {
    const whole = packet(tcp({ options: TIMESTAMPS, payload: [1, 2, 3, 4, 5, 6, 7] })).bytes;
    const segment = whole.subarray(l4 - 14);
    for (let length = 0; length <= segment.length; length++) {
      const shorter = frame(packet({ protocol: 6, bytes: () => segment.subarray(0, length) }));
      const short = length < 20 ? 'tcp-truncated' : length < 32 ? 'tcp-data-offset' : 'tcp-checksum';
      assert.equal(reasonOf(shorter), length === segment.length ? 'none' : short, `${length} bytes`);
    }
  });

  test(`over ${family}: every data offset`, () => {
    for (let dataOffset = 0; dataOffset < 16; dataOffset++) {
      const reason = reasonOf(frame(packet(tcp({ dataOffset, payload: new Uint8Array(16) }))));
      assert.equal(reason, dataOffset >= 5 && dataOffset <= 9 ? 'none' : 'tcp-data-offset', `${dataOffset} words`);
    }
  });

  test(`over ${family}: every single wrong bit of a segment shows`, () => {
    const whole = frame(packet(tcp({ options: TIMESTAMPS, payload: 'payload' })));
    for (let bit = l4 * 8; bit < whole.length * 8; bit++) {
      const isDataOffset = bit >>> 2 === (l4 + 12) * 2;
      const reason = reasonOf(flip(whole, bit));
      if (!isDataOffset) assert.equal(reason, 'tcp-checksum', `bit ${bit}`);
      else assert.match(reason, /^tcp-(checksum|data-offset)$/, `bit ${bit}`);
    }
  });

  test(`over ${family}: the checksum covers the addresses`, () => {
    const whole = frame(packet(tcp()));
    const addresses = family === 'IPv4' ? 26 : 22;
    for (let bit = addresses * 8; bit < l4 * 8; bit++) {
      assert.equal(reasonOf(flip(whole, bit), { known: KNOWN.L3_CHECKSUM_GOOD }), 'tcp-checksum', `bit ${bit}`);
    }
  });

  test(`over ${family}: a wrong checksum`, () => {
    assert.equal(reasonOf(frame(packet(tcp({ checksum: 'wrong' })))), 'tcp-checksum');
    assert.equal(reasonOf(frame(packet(tcp({ checksum: 0 })))), 'tcp-checksum');
  });

  test(`over ${family}: port zero`, () => {
    assert.equal(reasonOf(frame(packet(tcp({ sport: 0 })))), 'port-zero');
    assert.equal(reasonOf(frame(packet(tcp({ dport: 0 })))), 'port-zero');
    assert.equal(reasonOf(frame(packet(tcp({ sport: 0, dport: 0 })))), 'port-zero');
    for (const port of [1, 0x80, 0x100, 0x8000, 0xffff]) {
      assert.equal(reasonOf(frame(packet(tcp({ sport: port, dport: port })))), 'none', `port ${port}`);
    }
  });

  test(`over ${family}: lengths are looked at before the checksum, ports last`, () => {
    assert.equal(reasonOf(frame(packet(tcp({ dataOffset: 15, checksum: 'wrong', sport: 0 })))), 'tcp-data-offset');
    assert.equal(reasonOf(frame(packet(tcp({ checksum: 'wrong', sport: 0 })))), 'tcp-checksum');
  });
}

test('the flags are no business of the parser', () => {
  for (const flags of ['', 'S', 'SA', 'SF', 'SR', 'FSRPAUEC', 'FPU']) {
    assert.equal(reasonOf(frame(ipv4({}, tcp({ flags })))), 'none', flags);
  }
});
