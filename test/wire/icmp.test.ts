/**
 * ICMP (RFC 792, RFC 950) and ICMPv6 (RFC 4443) messages but for what errors quote. Which types are tracked is OVS's
 * choice: `extract_l4_icmp()` and `extract_l4_icmp6()`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KNOWN } from '../../src/wire/known.js';
import { frame, type IcmpFields, icmp, icmpv6, ipv4, ipv6, type Packet, raw, tcp } from '../support/frames.js';
import { flip, parse, reasonOf } from './parsed.js';

interface Family {
  readonly name: string;
  readonly packet: (fields: IcmpFields) => Packet;
  /** What the family quotes in its errors, from the receiver of the error. */
  readonly quoted: Packet;
  readonly l4: number;
  readonly protocol: number;
  readonly queries: readonly (readonly [request: number, reply: number])[];
  readonly errors: readonly number[];
}

const FAMILIES: readonly Family[] = [
  {
    name: 'ICMP',
    packet: fields => ipv4({}, icmp(fields)),
    quoted: ipv4({ src: '10.0.0.2', dst: '10.9.9.9' }, tcp()),
    l4: 34,
    protocol: 1,
    queries: [
      [8, 0], // echo
      [13, 14], // timestamp
      [15, 16], // information
    ],
    errors: [3, 4, 5, 11, 12],
  },
  {
    name: 'ICMPv6',
    packet: fields => ipv6({}, icmpv6(fields)),
    quoted: ipv6({ src: '2001:db8::2', dst: '2001:db8::9' }, tcp()),
    l4: 54,
    protocol: 58,
    queries: [[128, 129]],
    errors: [1, 2, 3, 4],
  },
];

for (const { name, packet, quoted, l4, protocol, queries, errors } of FAMILIES) {
  test(`${name}: a query is named by its identifier and both types`, () => {
    for (const [request, reply] of queries) {
      for (const [type, answer] of [
        [request, reply],
        [reply, request],
      ]) {
        const facts = parse(frame(packet({ type, id: 0xbeef, sequence: 77, payload: 'ping' })));
        assert.deepEqual([facts.reason, facts.protocol, facts.related], ['none', protocol, false]);
        assert.deepEqual([facts.l4, facts.l4End], [l4, l4 + 12]);
        assert.deepEqual(facts.ports, [0xbeef, (type << 8) | answer]);
        assert.deepEqual(facts.reversed, [0xbeef, (answer << 8) | type]);
      }
    }
  });

  test(`${name}: the identifier may be anything, zero as well`, () => {
    for (const id of [0, 1, 0x7fff, 0x8000, 0xffff]) {
      const facts = parse(frame(packet({ id })));
      assert.deepEqual([facts.reason, facts.ports[0], facts.reversed[0]], ['none', id, id]);
    }
  });

  test(`${name}: every type there is`, () => {
    for (let type = 0; type < 256; type++) {
      const facts = parse(frame(packet({ type, payload: quoted.bytes })));
      const isTracked = queries.flat().includes(type) || errors.includes(type);
      assert.equal(facts.reason, isTracked ? 'none' : 'icmp-type', `type ${type}`);
      assert.equal(facts.related, errors.includes(type), `type ${type}`);
    }
  });

  test(`${name}: a query has code 0`, () => {
    for (const type of queries.flat()) {
      for (let code = 1; code < 256; code++) assert.equal(reasonOf(frame(packet({ type, code }))), 'icmp-code');
    }
  });

  test(`${name}: an error may have any code`, () => {
    for (const type of errors) {
      for (let code = 0; code < 256; code++) {
        assert.equal(reasonOf(frame(packet({ type, code, payload: quoted.bytes }))), 'none', `${type}, ${code}`);
      }
    }
  });

  test(`${name}: fewer than 8 bytes`, () => {
    for (let length = 0; length < 8; length++) {
      const message = raw(protocol, new Uint8Array(length));
      const whole = frame(protocol === 1 ? ipv4({}, message) : ipv6({}, message));
      assert.equal(reasonOf(whole), 'icmp-truncated', `${length} bytes`);
    }
  });

  test(`${name}: every shorter message fails its checksum`, () => {
    const whole = packet({ payload: 'abcdefgh' }).bytes.subarray(l4 - 14);
    for (let length = 8; length < whole.length; length++) {
      const message = raw(protocol, whole.subarray(0, length));
      const shorter = frame(protocol === 1 ? ipv4({}, message) : ipv6({}, message));
      assert.equal(reasonOf(shorter), 'icmp-checksum', `${length} bytes`);
    }
  });

  test(`${name}: every single wrong bit shows`, () => {
    const whole = frame(packet({ payload: 'odd' }));
    for (let bit = l4 * 8; bit < whole.length * 8; bit++) {
      assert.equal(reasonOf(flip(whole, bit)), 'icmp-checksum', `bit ${bit}`);
    }
  });

  test(`${name}: a wrong checksum, which no declaration but the broadest excuses`, () => {
    for (const type of [queries[0][0], errors[0], 200]) {
      const wrong = frame(packet({ type, checksum: 'wrong', payload: quoted.bytes }));
      assert.equal(reasonOf(wrong), 'icmp-checksum');
      assert.equal(reasonOf(wrong, { known: KNOWN.L4_CHECKSUM_GOOD | KNOWN.L3_CHECKSUM_GOOD }), 'icmp-checksum');
      assert.equal(reasonOf(wrong, { known: KNOWN.NO_CHECKSUMS }), type === 200 ? 'icmp-type' : 'none');
    }
  });

  test(`${name}: the checksum is looked at before type and code`, () => {
    assert.equal(reasonOf(frame(packet({ type: 200, code: 9, checksum: 'wrong' }))), 'icmp-checksum');
    assert.equal(reasonOf(frame(packet({ type: 200, code: 9 }))), 'icmp-type');
  });
}

test('ICMPv6 covers the addresses with its checksum, ICMP does not', () => {
  const lastOfSource6 = 14 + 8 + 15;
  assert.equal(reasonOf(flip(frame(ipv6({}, icmpv6())), lastOfSource6 * 8)), 'icmp-checksum');
  const lastOfSource4 = 14 + 12 + 3;
  const known = KNOWN.L3_CHECKSUM_GOOD;
  assert.equal(reasonOf(flip(frame(ipv4({}, icmp())), lastOfSource4 * 8), { known }), 'none');
});

test('a message of nothing but zeros has a wrong checksum: the right one is ffff', () => {
  assert.equal(reasonOf(frame(ipv4({}, raw(1, new Uint8Array(8))))), 'icmp-checksum');
  assert.equal(reasonOf(frame(ipv4({}, raw(1, [0, 0, 0xff, 0xff, 0, 0, 0, 0])))), 'none');
});

test('each family knows its own protocol only', () => {
  const icmpInIpv6 = parse(frame(ipv6({}, icmp({ checksum: 'wrong' }))));
  assert.deepEqual([icmpInIpv6.reason, icmpInIpv6.protocol, icmpInIpv6.ports], ['none', 1, [0, 0]]);
  const icmpv6InIpv4 = parse(frame(ipv4({}, icmpv6({ checksum: 'wrong' }))));
  assert.deepEqual([icmpv6InIpv4.reason, icmpv6InIpv4.protocol, icmpv6InIpv4.ports], ['none', 58, [0, 0]]);
});
