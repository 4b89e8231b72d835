/**
 * The fast path: which packets it takes. That it says what parseFrame() says is checked with every frame of the other
 * tests, in parse() and in the fuzz test.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REASON } from '../../src/reason.js';
import { readSegment } from '../../src/track/tcp.js';
import { FACT, FACT_WORDS, FAMILY_IPV6, IPPROTO, PROTOCOL_MASK } from '../../src/wire/facts.js';
import { hashKey } from '../../src/wire/hash.js';
import { KNOWN } from '../../src/wire/known.js';
import { parseFrame } from '../../src/wire/parse.js';
import { MAX_BATCH, ROW_REASON, ROW_SEGMENT, ROW_WORDS, SPARE_ROW } from '../../src/wire/rows.js';
import { frame, icmp, ipv4, ipv6, raw, sctp, snap, tcp, udp } from '../support/frames.js';
import { HASH_KEY, parsePlain, parsePlainBatch, ROWS } from '../support/plain.js';
import { withSeed } from '../support/random.js';
import { GuardedView } from './guarded.js';
import { parse } from './parsed.js';

/** Whether the fast path takes the frame; the frame fills its memory to the last byte. */
function isTaken(bytes: Uint8Array, known = 0, l3 = 0): boolean {
  const view = new GuardedView(Uint8Array.from(bytes).buffer);
  view.end = bytes.length;
  return parsePlain(view, 0, bytes.length, known, l3, new Int32Array(FACT_WORDS), 0);
}

const TAKEN: readonly [name: string, frame: Uint8Array, known?: number][] = [
  ['a TCP segment', frame(ipv4({}, tcp()))],
  ['a TCP segment with options', frame(ipv4({}, tcp({ options: [1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0] })))],
  ['a UDP datagram', frame(ipv4({}, udp({ payload: 'hello' })))],
  ['the shortest UDP datagram', frame(ipv4({}, udp()))],
  ['a UDP datagram without a checksum', frame(ipv4({}, udp({ checksum: 0, payload: 'hello' })))],
  ['the longest UDP datagram', frame(ipv4({}, udp({ payload: new Uint8Array(65_507).fill(0xff) })))],
  ['a padded frame', frame(ipv4({}, udp()), { trailer: new Uint8Array(18) })],
  ['as much padding as there may be', frame(ipv4({}, udp()), { trailer: new Uint8Array(65_535) })],
  ['the smallest ports', frame(ipv4({}, tcp({ sport: 1, dport: 1 })))],
  ['"do not fragment"', frame(ipv4({ dontFragment: true }, tcp()))],
  ['addresses of ones', frame(ipv4({ src: '255.255.255.255', dst: '255.255.255.255' }, tcp({ payload: 'hello' })))],
  ['a wrong header sum that was found good', frame(ipv4({ checksum: 'wrong' }, tcp())), KNOWN.L3_CHECKSUM_GOOD],
  ['a wrong TCP sum that was found good', frame(ipv4({}, tcp({ checksum: 'wrong' }))), KNOWN.L4_CHECKSUM_GOOD],
  ['wrong sums that nobody wants to know', frame(ipv4({}, udp({ checksum: 'wrong' }))), KNOWN.NO_CHECKSUMS],
  ['a TCP segment over IPv6', frame(ipv6({}, tcp({ payload: 'hello' })))],
  ['a UDP datagram over IPv6', frame(ipv6({}, udp({ payload: 'hello' })))],
  ['the other direction over IPv6', frame(ipv6({ src: '2001:db8::2', dst: '2001:db8::1' }, udp()))],
  ['a padded frame over IPv6', frame(ipv6({}, udp()), { trailer: new Uint8Array(18) })],
  ['a wrong UDP sum over IPv6 that was found good', frame(ipv6({}, udp({ checksum: 0 }))), KNOWN.L4_CHECKSUM_GOOD],
];

for (const [name, bytes, known] of TAKEN) {
  test(`taken: ${name}`, () => {
    assert.equal(isTaken(bytes, known), true);
    assert.equal(parse(bytes, known === undefined ? {} : { known }).reason, 'none');
  });
}

test('taken: a bare IP packet whose place is declared', () => {
  assert.equal(isTaken(ipv4({}, tcp()).bytes, KNOWN.L3_IPV4, 0), true);
  assert.equal(isTaken(frame(ipv4({}, tcp()), { tags: [{}] }), KNOWN.L3_IPV4, 18), true);
  assert.equal(isTaken(ipv6({}, tcp()).bytes, KNOWN.L3_IPV6, 0), true);
});

const GOOD_BUT_LEFT: readonly [name: string, frame: Uint8Array][] = [
  ['a tagged frame', frame(ipv4({}, tcp()), { tags: [{}] })],
  ['SNAP', frame(ipv4({}, tcp()), { llc: snap(0x0800) })],
  ['IPv4 options', frame(ipv4({ options: [1, 1, 1, 1] }, tcp()))],
  ['SCTP', frame(ipv4({}, sctp()))],
  ['ICMP', frame(ipv4({}, icmp()))],
  ['any other protocol', frame(ipv4({}, raw(47, new Uint8Array(30))))],
  ['SCTP over IPv6', frame(ipv6({}, sctp()))],
  ['an extension header', frame(ipv6({ extensions: [{ kind: 'hop-by-hop' }] }, tcp()))],
];

for (const [name, bytes] of GOOD_BUT_LEFT) {
  test(`left to parseFrame(), which takes it: ${name}`, () => {
    assert.equal(isTaken(bytes), false);
    assert.equal(parse(bytes).reason, 'none');
  });
}

const BAD: readonly [name: string, frame: Uint8Array, known?: number][] = [
  ['a wrong header sum', frame(ipv4({ checksum: 'wrong' }, tcp()))],
  ['a wrong header sum, L4 found good', frame(ipv4({ checksum: 'wrong' }, tcp())), KNOWN.L4_CHECKSUM_GOOD],
  ['a wrong TCP sum', frame(ipv4({}, tcp({ checksum: 'wrong' })))],
  ['a wrong TCP sum, header found good', frame(ipv4({}, tcp({ checksum: 'wrong' }))), KNOWN.L3_CHECKSUM_GOOD],
  ['a wrong UDP sum', frame(ipv4({}, udp({ checksum: 'wrong' })))],
  ['a UDP sum that is nearly none', frame(ipv4({}, udp({ checksum: 1 })))],
  ['a header found bad', frame(ipv4({}, tcp())), KNOWN.L3_CHECKSUM_BAD],
  ['a checksum found bad', frame(ipv4({}, udp({ checksum: 0 }))), KNOWN.L4_CHECKSUM_BAD],
  ['a first fragment', frame(ipv4({ moreFragments: true }, udp({ checksum: 0 })))],
  ['a later fragment', frame(ipv4({ fragmentOffset: 1 }, udp({ checksum: 0 })))],
  ['no IP', frame(ipv4({}, tcp())), KNOWN.L3_OTHER],
  ['a total length beyond the frame', frame(ipv4({ totalLength: 41 }, tcp()))],
  ['a total length without a UDP header', frame(ipv4({ totalLength: 27 }, udp()))],
  ['a total length without a TCP header', frame(ipv4({ totalLength: 39 }, tcp()))],
  ['a UDP length below its header', frame(ipv4({}, udp({ length: 7 })))],
  ['a UDP length beyond the packet', frame(ipv4({}, udp({ length: 9 })))],
  ['a data offset below the header', frame(ipv4({}, tcp({ dataOffset: 4 })))],
  ['a data offset beyond the packet', frame(ipv4({}, tcp({ dataOffset: 6 })))],
  ['a source port of zero', frame(ipv4({}, tcp({ sport: 0 })))],
  ['a destination port of zero', frame(ipv4({}, udp({ dport: 0 })))],
  ['too much padding', frame(ipv4({}, tcp()), { trailer: new Uint8Array(65_536) })],
  ['a wrong TCP sum over IPv6', frame(ipv6({}, tcp({ checksum: 'wrong' })))],
  ['no UDP sum over IPv6', frame(ipv6({}, udp({ checksum: 0 })))],
  ['a payload length beyond the frame', frame(ipv6({ payloadLength: 21 }, tcp()))],
  ['a payload length without a UDP header', frame(ipv6({ payloadLength: 7 }, udp()))],
  ['a port of zero over IPv6', frame(ipv6({}, udp({ dport: 0 })))],
  ['too much padding over IPv6', frame(ipv6({}, tcp()), { trailer: new Uint8Array(65_536) })],
];

for (const [name, bytes, known] of BAD) {
  test(`left to parseFrame(), which refuses it: ${name}`, () => {
    assert.equal(isTaken(bytes, known), false);
    assert.notEqual(parse(bytes, known === undefined ? {} : { known }).reason, 'none');
  });
}

test('left to parseFrame(): every frame that is cut short', () => {
  for (const transport of [tcp({ payload: 'data' }), udp({ payload: 'data' })]) {
    for (const [packet, named] of [
      [ipv4({}, transport), KNOWN.L3_IPV4],
      [ipv6({}, transport), KNOWN.L3_IPV6],
    ] as const) {
      const whole = frame(packet);
      for (let length = 0; length < whole.length; length++) {
        assert.equal(isTaken(whole.subarray(0, length)), false, `${length} bytes`);
        assert.equal(isTaken(whole.subarray(0, length), named, 14), false, `${length} bytes, L3 declared`);
      }
    }
  }
});

const STRIDE = 2048;

test('a batch of any frames in any order: each row says what its frame says alone', () => {
  const kinds = [
    ...[...TAKEN, ...BAD].map(([, bytes, known = 0]) => ({ bytes, known })),
    ...GOOD_BUT_LEFT.map(([, bytes]) => ({ bytes, known: 0 })),
  ]
    .filter(({ bytes }) => bytes.length <= STRIDE)
    .map(({ bytes, known }) => ({ bytes, known, isPlain: isTaken(bytes, known) }));
  const view = new DataView(new ArrayBuffer(MAX_BATCH * STRIDE));
  const memory = new Uint8Array(view.buffer);
  withSeed(1129, random => {
    let taken = 0;
    for (let round = 0; round < 500; round++) {
      const count = random.between(1, MAX_BATCH);
      const frames = Array.from({ length: count }, () => random.pick(kinds));
      frames.forEach(({ bytes }, index) => {
        memory.set(bytes, index * STRIDE);
      });
      ROWS.fill(0x5a5a5a5a, 0, (SPARE_ROW + 1) * ROW_WORDS);
      const left = parsePlainBatch(frames, STRIDE);
      let refused = 0;
      frames.forEach(({ bytes, known, isPlain }, index) => {
        const base = index * ROW_WORDS;
        assert.equal(ROWS[base + ROW_REASON] === REASON.none, isPlain, 'in a batch as alone');
        if (ROWS[base + ROW_REASON] !== REASON.none) {
          assert.ok(ROWS[base + ROW_REASON] < 0);
          refused++;
          return;
        }
        const facts = new Int32Array(FACT_WORDS);
        const start = index * STRIDE;
        assert.equal(parseFrame(view, start, start + bytes.length, known, 0, facts, 0), REASON.none);
        hashKey(facts, 0, ...HASH_KEY);
        const isIpv6 = (facts[FACT.PROTOCOL] & FAMILY_IPV6) !== 0;
        for (const name of Object.keys(FACT) as (keyof typeof FACT)[]) {
          if (!isIpv6 && /^(SRC|DST)\d/.test(name)) continue;
          assert.equal(ROWS[base + FACT[name]], facts[FACT[name]], `${name} of row ${index} of ${count}`);
        }
        if ((facts[FACT.PROTOCOL] & PROTOCOL_MASK) !== IPPROTO.TCP) return;
        const segment = new Int32Array(3);
        readSegment(view, facts[FACT.L4], segment, 0);
        assert.deepEqual(ROWS.subarray(base + ROW_SEGMENT, base + ROW_SEGMENT + 3), segment);
      });
      assert.equal(left, refused);
      taken += count - refused;
      // The rows of NAT and of datagrams lie behind those of the batch.
      for (let word = MAX_BATCH * ROW_WORDS; word < SPARE_ROW * ROW_WORDS; word++) assert.equal(ROWS[word], 0x5a5a5a5a);
    }
    assert.ok(taken > 5000, `${taken} packets on the fast path`);
  });
});
