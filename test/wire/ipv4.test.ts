/**
 * IPv4 headers (RFC 791). The checks are those of OVS's `ipv4_sanity_check()` and `extract_l3_ipv4()`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KNOWN } from '../../src/wire/known.js';
import { frame, type Ipv4Fields, ipv4, raw, tcp, udp } from '../support/frames.js';
import { cut, flip, parse, reasonOf } from './parsed.js';

const ETHERNET = 14;
const GRE = 47;

test('the facts of a packet', () => {
  const packet = ipv4({ src: '192.168.1.20', dst: '203.0.113.9' }, tcp({ sport: 51000, dport: 443, payload: 'hello' }));
  assert.deepEqual(parse(frame(packet, { trailer: [1, 2, 3] })), {
    reason: 'none',
    family: 4,
    protocol: 6,
    src: [0, 0, 0, 0xc0a80114],
    dst: [0, 0, 0, 0xcb007109],
    ports: [51000, 443],
    reversed: [443, 51000],
    l3: 14,
    l4: 34,
    l4End: 59,
    related: false,
  });
});

test('options lie between header and payload', () => {
  for (let words = 1; words <= 10; words++) {
    const options = new Array<number>(words * 4).fill(1);
    const facts = parse(frame(ipv4({ options }, udp())));
    assert.deepEqual([facts.reason, facts.l4 - facts.l3], ['none', 20 + words * 4]);
  }
});

test('a protocol without rules of its own has a key without ports', () => {
  for (const protocol of [0, 2, 41, GRE, 50, 51, 58, 59, 89, 112, 136, 255]) {
    const facts = parse(frame(ipv4({}, raw(protocol, [9, 9, 9, 9]))));
    assert.deepEqual([facts.reason, facts.protocol, facts.ports, facts.reversed], ['none', protocol, [0, 0], [0, 0]]);
  }
});

test('a packet without payload is complete when its protocol has no rules', () => {
  const facts = parse(frame(ipv4({}, raw(GRE))));
  assert.deepEqual([facts.reason, facts.l4, facts.l4End], ['none', 34, 34]);
});

test('the longest packet there is', () => {
  const facts = parse(frame(ipv4({}, udp({ payload: new Uint8Array(65535 - 28) }))));
  assert.deepEqual([facts.reason, facts.l4End - facts.l3], ['none', 65535]);
});

test('link-layer padding is not part of the payload', () => {
  const facts = parse(frame(ipv4({}, raw(GRE, [1])), { trailer: new Uint8Array(25).fill(0xee) }));
  assert.equal(facts.l4End, 35);
});

test('more padding than 16 bits count is a wrong total length, as in OVS', () => {
  assert.equal(reasonOf(frame(ipv4({}, udp()), { trailer: new Uint8Array(65_535) })), 'none');
  assert.equal(reasonOf(frame(ipv4({}, udp()), { trailer: new Uint8Array(65_536) })), 'ipv4-total-length');
});

test('every cut of a frame is refused', () => {
  const whole = frame(ipv4({ options: [1, 1, 1, 0] }, udp({ payload: 'payload' })));
  for (let length = ETHERNET; length < whole.length; length++) {
    const have = length - ETHERNET;
    const expected = have < 20 ? 'ipv4-truncated' : have < 24 ? 'ipv4-header-length' : 'ipv4-total-length';
    assert.equal(reasonOf(cut(whole, length)), expected, `${length} bytes`);
  }
});

test('a header length below 20 bytes', () => {
  for (let headerLength = 0; headerLength < 5; headerLength++) {
    assert.equal(reasonOf(frame(ipv4({ headerLength }, udp()))), 'ipv4-header-length');
  }
});

test('a header length beyond the frame', () => {
  for (let headerLength = 8; headerLength < 16; headerLength++) {
    assert.equal(reasonOf(frame(ipv4({ headerLength }, udp()))), 'ipv4-header-length');
  }
});

test('a total length shorter than the header', () => {
  for (const totalLength of [0, 1, 19]) {
    assert.equal(reasonOf(frame(ipv4({ totalLength }, udp()))), 'ipv4-total-length');
  }
  assert.equal(reasonOf(frame(ipv4({ options: [1, 1, 1, 1], totalLength: 23 }, udp()))), 'ipv4-total-length');
});

test('a total length longer than the frame', () => {
  for (const totalLength of [29, 100, 65535]) {
    assert.equal(reasonOf(frame(ipv4({ totalLength }, udp()))), 'ipv4-total-length');
  }
});

test('a total length that ends with the header leaves no payload', () => {
  assert.equal(reasonOf(frame(ipv4({ totalLength: 20 }, tcp()))), 'tcp-truncated');
});

test('every single wrong bit of the header shows', () => {
  const whole = frame(ipv4({ options: [7, 3, 4, 0] }, raw(GRE, new Uint8Array(40))));
  for (let bit = ETHERNET * 8; bit < (ETHERNET + 24) * 8; bit++) {
    assert.notEqual(reasonOf(flip(whole, bit)), 'none', `bit ${bit}`);
  }
});

test('a wrong header checksum', () => {
  assert.equal(reasonOf(frame(ipv4({ checksum: 'wrong' }, udp()))), 'ipv4-checksum');
  assert.equal(reasonOf(frame(ipv4({ checksum: 0, options: [1, 2, 3, 4] }, udp()))), 'ipv4-checksum');
  assert.equal(reasonOf(frame(ipv4({ checksum: 'wrong' }, udp())), { known: KNOWN.L3_CHECKSUM_GOOD }), 'none');
});

test('the version is not looked at, as in OVS: the ethertype has decided', () => {
  for (const version of [0, 5, 6, 15]) assert.equal(reasonOf(frame(ipv4({ version }, udp()))), 'none');
});

test('a fragment is refused, with addresses and protocol to steer it by', () => {
  const fragments: readonly Ipv4Fields[] = [
    { moreFragments: true },
    { fragmentOffset: 1 },
    { fragmentOffset: 1, moreFragments: true },
    { fragmentOffset: 0x1000, moreFragments: true },
    { fragmentOffset: 0x1fff },
  ];
  for (const fields of fragments) {
    const facts = parse(frame(ipv4({ ...fields, src: '1.2.3.4', dst: '250.6.7.8' }, udp())));
    assert.equal(facts.reason, 'ipv4-fragment');
    assert.deepEqual([facts.src[3], facts.dst[3], facts.protocol], [0x01020304, 0xfa060708, 17]);
  }
});

test('the other flags beside the fragment offset make no fragment', () => {
  assert.equal(reasonOf(frame(ipv4({ dontFragment: true }, udp()))), 'none');
  assert.equal(reasonOf(frame(ipv4({ reservedFlag: true }, udp()))), 'none');
});
