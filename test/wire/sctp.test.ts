/**
 * SCTP packets (RFC 9260, sections 3 and 3.2, appendix A). The checks are those of OVS's `sctp_check_len()` and
 * `check_l4_sctp()`: the padded chunks fill the packet exactly, and a packet without chunks will do.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sctpChecksum } from '../../src/wire/crc32c.js';
import { frame, ipv4, ipv6, join, type Packet, sctp, type Transport } from '../support/frames.js';
import { Random, withSeed } from '../support/random.js';
import { crc32c, crc32cByte } from '../support/sums.js';
import { flip, parse, reasonOf } from './parsed.js';

const FAMILIES: readonly [name: string, packet: (transport: Transport) => Packet, l4: number][] = [
  ['IPv4', transport => ipv4({}, transport), 34],
  ['IPv6', transport => ipv6({}, transport), 54],
];

const CHUNKS = [{ value: new Uint8Array(16).fill(7) }, { type: 3, value: [1] }, { type: 11 }];

for (const [family, packet, l4] of FAMILIES) {
  test(`over ${family}: the facts of a packet`, () => {
    const facts = parse(frame(packet(sctp({ sport: 0x9c40, dport: 36412, chunks: CHUNKS }))));
    assert.deepEqual([facts.reason, facts.protocol, facts.l4, facts.l4End], ['none', 132, l4, l4 + 44]);
    assert.deepEqual([...facts.ports, ...facts.reversed], [0x9c40, 36412, 36412, 0x9c40]);
  });

  test(`over ${family}: every length of packet`, () => {
    const whole = packet(sctp({ chunks: CHUNKS })).bytes.subarray(l4 - 14);
    const chunkEnds = [12, 32, 40];
    for (let length = 0; length < whole.length; length++) {
      const shorter = frame(packet({ protocol: 132, bytes: () => whole.subarray(0, length) }));
      const expected = length < 12 ? 'sctp-truncated' : chunkEnds.includes(length) ? 'sctp-checksum' : 'sctp-chunk';
      assert.equal(reasonOf(shorter), expected, `${length} bytes`);
    }
  });

  test(`over ${family}: every single wrong bit shows`, () => {
    const whole = frame(packet(sctp({ chunks: CHUNKS })));
    for (let bit = l4 * 8; bit < whole.length * 8; bit++) {
      assert.match(reasonOf(flip(whole, bit)), /^sctp-(checksum|chunk)$/, `bit ${bit}`);
    }
  });

  test(`over ${family}: a wrong checksum`, () => {
    assert.equal(reasonOf(frame(packet(sctp({ checksum: 'wrong' })))), 'sctp-checksum');
    assert.equal(reasonOf(frame(packet(sctp({ checksum: 0 })))), 'sctp-checksum');
  });

  test(`over ${family}: port zero`, () => {
    assert.equal(reasonOf(frame(packet(sctp({ sport: 0 })))), 'port-zero');
    assert.equal(reasonOf(frame(packet(sctp({ dport: 0 })))), 'port-zero');
  });
}

test('a packet without chunks', () => assert.equal(reasonOf(frame(ipv4({}, sctp({ chunks: [] })))), 'none'));

test('chunks of every length are padded to four bytes', () => {
  for (let length = 0; length < 20; length++) {
    const chunks = [{ value: new Uint8Array(length) }, { value: [1, 2, 3, 4] }];
    assert.equal(reasonOf(frame(ipv4({}, sctp({ chunks })))), 'none', `${length} bytes`);
  }
});

test('a chunk length below its header', () => {
  for (const length of [0, 1, 2, 3]) {
    assert.equal(reasonOf(frame(ipv4({}, sctp({ chunks: [{ length }] })))), 'sctp-chunk');
    assert.equal(reasonOf(frame(ipv4({}, sctp({ chunks: [{}, { length }] })))), 'sctp-chunk');
  }
});

test('a chunk length beyond the packet', () => {
  for (const length of [9, 12, 65532, 65535]) {
    assert.equal(reasonOf(frame(ipv4({}, sctp({ chunks: [{ length, value: [1, 2, 3, 4] }] })))), 'sctp-chunk');
  }
});

test('bytes behind the last chunk that make no chunk', () => {
  for (const surplus of [[0], [0, 0], [1, 0, 0], [1, 0, 0, 3], [1, 0, 0, 4, 0]]) {
    assert.equal(reasonOf(frame(ipv4({}, sctp({ surplus })))), 'sctp-chunk', `${surplus.length} bytes`);
  }
  assert.equal(reasonOf(frame(ipv4({}, sctp({ surplus: [1, 0, 0, 4] })))), 'none');
});

test('chunks are looked at before the checksum, ports last', () => {
  assert.equal(reasonOf(frame(ipv4({}, sctp({ surplus: [0], checksum: 'wrong', sport: 0 })))), 'sctp-chunk');
  assert.equal(reasonOf(frame(ipv4({}, sctp({ checksum: 'wrong', sport: 0 })))), 'sctp-checksum');
});

/** Shifts the CRC register back by a byte of zero. */
function shiftBack(register: number): number {
  for (let byte = 0; byte < 256; byte++) {
    const low = crc32cByte(0, byte);
    if (low >>> 24 === register >>> 24) return ((register ^ low) << 8) | byte;
  }
  throw new Error('the register has no predecessor');
}

/** An SCTP header after which the CRC register stands where it started, so that what follows is as if it came first. */
function neutralHeader(): Uint8Array {
  let wanted = -1;
  for (let bytes = 0; bytes < 12; bytes++) wanted = shiftBack(wanted);
  // Its first four bytes turn the starting value -1 into the one that twelve shifts turn back into -1.
  const bits = wanted ^ -1;
  return join([bits & 0xff, (bits >>> 8) & 0xff, (bits >>> 16) & 0xff, bits >>> 24], new Uint8Array(8));
}

test('the check value of CRC32c (RFC 3720, appendix B.4 and the usual "123456789")', () => {
  const digits = new TextEncoder().encode('123456789');
  assert.equal(crc32c(digits), 0xe3069283, 'the reference of the tests');
  const packet = join(neutralHeader(), digits);
  assert.equal(sctpChecksum(new DataView(packet.buffer), 0, packet.length) >>> 0, 0xe3069283);
  assert.equal(sctpChecksum(new DataView(new ArrayBuffer(32)), 0, 32) >>> 0, 0x8a9136aa, '32 bytes of zeros');
});

test('CRC32c equals the bitwise one at every length and alignment, whatever the checksum field holds', () => {
  withSeed(20_260_711, random => {
    for (let round = 0; round < 400; round++) {
      const length = round < 100 ? 12 + round : random.between(12, 3000);
      const start = random.below(9);
      const memory = random.bytes(start + length + 8);
      const zeroed = memory.slice(start, start + length).fill(0, 8, 12);
      assert.equal(
        sctpChecksum(new DataView(memory.buffer), start, start + length) >>> 0,
        crc32c(zeroed),
        `${length} bytes`,
      );
    }
  });
});

test('the longest packet there is', () => {
  const value = new Random(1).bytes(65535 - 20 - 12 - 4 - 3);
  assert.equal(reasonOf(frame(ipv4({}, sctp({ chunks: [{ value }] })))), 'none');
});
