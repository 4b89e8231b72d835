/**
 * What ICMP and ICMPv6 errors quote (RFC 792, RFC 1812 section 4.3.2.3, RFC 4443 section 2.4). How much of it must be
 * there and what is believed is OVS's choice: `extract_l4_icmp()`, `extract_l4_icmp6()` and `extract_l4()`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Extension,
  frame,
  type Ipv4Fields,
  type Ipv6Fields,
  icmp,
  icmpv6,
  ipv4,
  ipv6,
  raw,
  sctp,
  type Transport,
  tcp,
  udp,
} from '../support/frames.js';
import { type Parsed, parse, reasonOf } from './parsed.js';

/** A router tells the client that its packet to the server did not arrive. */
const ROUTER = '10.0.0.254';
const CLIENT = '10.0.0.2';
const SERVER = '192.0.2.7';
const ROUTER6 = '2001:db8::fe';
const CLIENT6 = '2001:db8:1:2:3:4:5:6';
const SERVER6 = '2001:db8:9::7';

function quote4(transport: Transport, fields: Ipv4Fields = {}): Uint8Array {
  return ipv4({ src: CLIENT, dst: SERVER, ...fields }, transport).bytes;
}

function quote6(transport: Transport, fields: Ipv6Fields = {}): Uint8Array {
  return ipv6({ src: CLIENT6, dst: SERVER6, ...fields }, transport).bytes;
}

function error4(payload: Uint8Array, dst = CLIENT): Uint8Array {
  return frame(ipv4({ src: ROUTER, dst }, icmp({ type: 3, code: 1, id: 0, sequence: 0, payload })));
}

function error6(payload: Uint8Array, dst = CLIENT6): Uint8Array {
  return frame(ipv6({ src: ROUTER6, dst }, icmpv6({ type: 1, code: 3, id: 0, sequence: 0, payload })));
}

const CLIENT_WORDS = { 4: [0, 0, 0, 0x0a000002], 6: [0x20010db8, 0x00010002, 0x00030004, 0x00050006] };
const SERVER_WORDS = { 4: [0, 0, 0, 0xc0000207], 6: [0x20010db8, 0x00090000, 0, 7] };

/** The key must be that of the quoted packet as seen from the server, and L4 still that of the error. */
function assertTurned(
  facts: Parsed,
  family: 4 | 6,
  protocol: number,
  ports: Parsed['ports'],
  reversed: Parsed['ports'],
) {
  assert.deepEqual([facts.reason, facts.related, facts.family], ['none', true, family]);
  assert.deepEqual([facts.src, facts.dst], [SERVER_WORDS[family], CLIENT_WORDS[family]]);
  assert.deepEqual([facts.protocol, facts.ports, facts.reversed], [protocol, ports, reversed]);
  assert.deepEqual([facts.l3, facts.l4], family === 4 ? [14, 34] : [14, 54]);
}

const PORTS = { sport: 50001, dport: 443 };

const QUOTED: readonly [name: string, transport: Transport, protocol: number][] = [
  ['TCP', tcp(PORTS), 6],
  ['UDP', udp(PORTS), 17],
  ['SCTP', sctp(PORTS), 132],
];

for (const [name, transport, protocol] of QUOTED) {
  test(`the key of an error about ${name} is that of the answer`, () => {
    for (const [facts, family] of [
      [parse(error4(quote4(transport))), 4],
      [parse(error6(quote6(transport))), 6],
    ] as const) {
      assertTurned(facts, family, protocol, [443, 50001], [50001, 443]);
      assert.ok(facts.l4End > facts.l4 + 8, 'L4_END bounds the error');
    }
  });
}

test('the key of an error about a query is that of its answer', () => {
  assertTurned(parse(error4(quote4(icmp({ id: 99 })))), 4, 1, [99, 0x0008], [99, 0x0800]);
  assertTurned(parse(error4(quote4(icmp({ type: 14, id: 99 })))), 4, 1, [99, 0x0d0e], [99, 0x0e0d]);
  assertTurned(parse(error6(quote6(icmpv6({ id: 99 })))), 6, 58, [99, 0x8180], [99, 0x8081]);
});

test('the key of an error about another protocol has no ports', () => {
  assertTurned(parse(error4(quote4(raw(47, [1])))), 4, 47, [0, 0], [0, 0]);
  assertTurned(parse(error4(quote4(raw(58)))), 4, 58, [0, 0], [0, 0]);
  assertTurned(parse(error6(quote6(raw(47)))), 6, 47, [0, 0], [0, 0]);
  assertTurned(parse(error6(quote6(raw(1, [8, 9])))), 6, 1, [0, 0], [0, 0]);
});

const NEEDED: readonly [name: string, transport: Transport, ipv4: number, ipv6: number][] = [
  ['TCP', tcp({ options: [1, 1, 1, 1], payload: 'data' }), 8, 20],
  ['UDP', udp({ payload: 'data' }), 8, 8],
  ['SCTP', sctp(), 8, 12],
  ['GRE', raw(47, [1, 2, 3]), 0, 0],
];

for (const [name, transport, needed4, needed6] of NEEDED) {
  test(`a quoted packet of ${name} cut at every length`, () => {
    const whole4 = quote4(transport);
    for (let length = 0; length <= whole4.length; length++) {
      const expected = length < 20 + needed4 ? 'icmp-error-payload' : 'none';
      assert.equal(reasonOf(error4(whole4.subarray(0, length))), expected, `IPv4, ${length} bytes`);
    }
    const whole6 = quote6(transport);
    for (let length = 0; length <= whole6.length; length++) {
      const expected = length < 40 + needed6 ? 'icmp-error-payload' : 'none';
      assert.equal(reasonOf(error6(whole6.subarray(0, length))), expected, `IPv6, ${length} bytes`);
    }
  });
}

test('a quoted query cut at every length', () => {
  for (let length = 0; length < 12; length++) {
    const expected = length < 8 ? 'icmp-error-payload' : 'none';
    assert.equal(reasonOf(error4(quote4(icmp({ payload: 'ping' })).subarray(0, 20 + length))), expected);
    assert.equal(reasonOf(error6(quote6(icmpv6({ payload: 'ping' })).subarray(0, 40 + length))), expected);
  }
});

test('quoted IPv4 options are skipped, and must be there', () => {
  const whole = quote4(udp(PORTS), { options: [1, 1, 1, 1, 1, 1, 1, 0] });
  assertTurned(parse(error4(whole.subarray(0, 36))), 4, 17, [443, 50001], [50001, 443]);
  for (let length = 20; length < 36; length++) {
    assert.equal(reasonOf(error4(whole.subarray(0, length))), 'icmp-error-payload', `${length} bytes`);
  }
  for (const headerLength of [0, 4, 15]) {
    assert.equal(reasonOf(error4(quote4(udp(), { headerLength }))), 'icmp-error-payload');
  }
});

test('quoted IPv6 extension headers are walked, and must be there', () => {
  const extensions: Extension[] = [
    { kind: 'hop-by-hop' },
    { kind: 'routing', size: 24 },
    { kind: 'fragment' },
    { kind: 'authentication', size: 20 },
  ];
  const whole = quote6(tcp(PORTS), { extensions });
  assertTurned(parse(error6(whole)), 6, 6, [443, 50001], [50001, 443]);
  for (let length = 40; length < 40 + 60 + 20; length++) {
    assert.equal(reasonOf(error6(whole.subarray(0, length))), 'icmp-error-payload', `${length} bytes`);
  }
});

test('lengths and checksums of the quoted packet are not looked at', () => {
  for (const checksum of ['wrong', 0] as const) {
    assert.equal(reasonOf(error4(quote4(tcp({ checksum }), { checksum, totalLength: 65535 }))), 'none');
    assert.equal(reasonOf(error6(quote6(udp({ checksum }), { payloadLength: 65535 }))), 'none');
    assert.equal(reasonOf(error4(quote4(icmp({ checksum })))), 'none');
  }
  assert.equal(reasonOf(error4(quote4(tcp({ dataOffset: 0 }), { totalLength: 0 }))), 'none');
  assert.equal(reasonOf(error4(quote4(udp({ length: 0 })))), 'none');
  assert.equal(reasonOf(error4(quote4(sctp({ surplus: [1, 2, 3] })))), 'none');
});

test('a quoted packet that the receiver of the error did not send', () => {
  for (const src of ['10.0.0.3', '10.0.1.2', '11.0.0.2', ROUTER, SERVER]) {
    assert.equal(reasonOf(error4(quote4(tcp(), { src }))), 'icmp-error-address', src);
  }
  const others = ['2001:db9:1:2:3:4:5:6', '2001:db8:1:3:3:4:5:6', '2001:db8:1:2:3:5:5:6', '2001:db8:1:2:3:4:5:7'];
  for (const src of [...others, ROUTER6, SERVER6]) {
    assert.equal(reasonOf(error6(quote6(tcp(), { src }))), 'icmp-error-address', src);
  }
});

test('the address is looked at before the quoted ports', () => {
  assert.equal(reasonOf(error4(quote4(tcp(), { src: SERVER }).subarray(0, 20))), 'icmp-error-address');
  assert.equal(reasonOf(error6(quote6(tcp(), { src: SERVER6 }).subarray(0, 40))), 'icmp-error-address');
});

test('a quoted fragment: over IPv4 the first will do, over IPv6 only the atomic one', () => {
  assert.equal(reasonOf(error4(quote4(udp(), { fragmentOffset: 1 }))), 'icmp-error-payload');
  assert.equal(reasonOf(error4(quote4(udp(), { fragmentOffset: 185, moreFragments: true }))), 'icmp-error-payload');
  assert.equal(reasonOf(error4(quote4(udp(), { moreFragments: true }))), 'none');
  const of = (fragment: Omit<Extension, 'kind'>) => quote6(udp(), { extensions: [{ kind: 'fragment', ...fragment }] });
  assert.equal(reasonOf(error6(of({ offset: 1 }))), 'icmp-error-payload');
  assert.equal(reasonOf(error6(of({ more: true }))), 'icmp-error-payload');
  assert.equal(reasonOf(error6(of({ reserved: 2 }))), 'icmp-error-payload');
  assert.equal(reasonOf(error6(of({}))), 'none');
});

test('a quoted error is not believed', () => {
  for (const type of [3, 4, 5, 11, 12]) {
    const inner = icmp({ type, payload: ipv4({ src: SERVER, dst: CLIENT }, tcp()).bytes });
    assert.equal(reasonOf(error4(quote4(inner))), 'icmp-error-payload', `type ${type}`);
  }
  for (const type of [1, 2, 3, 4]) {
    const inner = icmpv6({ type, payload: ipv6({ src: SERVER6, dst: CLIENT6 }, tcp()).bytes });
    assert.equal(reasonOf(error6(quote6(inner))), 'icmp-error-payload', `type ${type}`);
  }
});

test('a quoted message that would not be tracked itself', () => {
  assert.equal(reasonOf(error4(quote4(icmp({ type: 17 })))), 'icmp-error-payload');
  assert.equal(reasonOf(error4(quote4(icmp({ type: 8, code: 1 })))), 'icmp-error-payload');
  assert.equal(reasonOf(error6(quote6(icmpv6({ type: 135 })))), 'icmp-error-payload');
  assert.equal(reasonOf(error6(quote6(icmpv6({ type: 129, code: 7 })))), 'icmp-error-payload');
});

test('quoted ports of zero', () => {
  for (const transport of [tcp({ sport: 0 }), udp({ dport: 0 }), sctp({ sport: 0, dport: 0 })]) {
    assert.equal(reasonOf(error4(quote4(transport))), 'port-zero');
    assert.equal(reasonOf(error6(quote6(transport))), 'port-zero');
  }
});
