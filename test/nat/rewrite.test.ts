/**
 * Packets under NAT against frames that were built with the new addresses and ports: every byte, both ways.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REWRITE_DST, REWRITE_SRC } from '../../src/nat/rewrite.js';
import { FACT } from '../../src/wire/facts.js';
import {
  type Extension,
  frame,
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
import { type Random, withSeed } from '../support/random.js';
import { assertRewritten, ENDS, factsOf, rewriteWith } from './rewritten.js';

interface Ports {
  readonly sport: number;
  readonly dport: number;
}

/** Makes the message that is to be translated, with the given ports or identifier. */
type Maker = (ports: Ports, payload: Uint8Array) => Transport;

const MAKERS: readonly (readonly [name: string, families: readonly (4 | 6)[], make: Maker])[] = [
  ['tcp', [4, 6], (ports, payload) => tcp({ ...ports, payload })],
  ['tcp with options', [4, 6], (ports, payload) => tcp({ ...ports, payload, options: [2, 4, 5, 180, 1, 1, 1, 0] })],
  ['udp', [4, 6], (ports, payload) => udp({ ...ports, payload })],
  ['sctp', [4, 6], (ports, payload) => sctp({ ...ports, chunks: [{ value: payload }] })],
  ['icmp echo', [4], ({ sport }, payload) => icmp({ id: sport, payload })],
  ['icmp echo reply', [4], ({ sport }, payload) => icmp({ type: 0, id: sport, payload })],
  ['icmp timestamp', [4], ({ sport }, payload) => icmp({ type: 13, id: sport, payload })],
  ['icmp information reply', [4], ({ sport }, payload) => icmp({ type: 16, id: sport, payload })],
  ['icmpv6 echo', [6], ({ sport }, payload) => icmpv6({ id: sport, payload })],
  ['icmpv6 echo reply', [6], ({ sport }, payload) => icmpv6({ type: 129, id: sport, payload })],
  ['ICMP in IPv6, a protocol without ports there', [6], (_, payload) => raw(1, [8, 0, 1, 2, 3, 4, ...payload])],
  ['ICMPv6 in IPv4, a protocol without ports there', [4], (_, payload) => raw(58, [128, 0, 1, 2, 3, 4, ...payload])],
  ['a protocol without ports', [4, 6], (_, payload) => raw(47, payload)],
];

const EXTENSIONS: readonly Extension[] = [
  { kind: 'hop-by-hop' },
  { kind: 'routing', size: 24 },
  { kind: 'destination', size: 16 },
  { kind: 'authentication', size: 12 },
];

interface Ends extends Ports {
  readonly src: string;
  readonly dst: string;
}

/** What is sent before and after, the ends that `end` does not name as they were. */
function translated(before: Ends, after: Ends, end: number): Ends {
  return {
    ...after,
    src: (end & REWRITE_SRC) !== 0 ? after.src : before.src,
    dst: (end & REWRITE_DST) !== 0 ? after.dst : before.dst,
  };
}

const IPV4_BEFORE = { src: '10.0.0.1', dst: '192.0.2.77', sport: 40_000, dport: 80 };
const IPV4_AFTER = { src: '203.0.113.200', dst: '172.16.255.254', sport: 1025, dport: 8080 };
const IPV6_BEFORE = { src: 'fd00::1', dst: '2001:db8:1:2:3:4:5:6', sport: 40_000, dport: 80 };
const IPV6_AFTER = { src: '2001:db8:ffff::ffff:1', dst: 'fd00:9:8::7', sport: 65_535, dport: 1 };

const PAYLOADS = [0, 1, 2, 3, 7, 64, 1399].map(length => Uint8Array.from({ length }, (_, at) => at * 7 + 1));

for (const [name, families, make] of MAKERS) {
  for (const [endName, end] of ENDS) {
    test(`${name}: ${endName}`, () => {
      for (const payload of PAYLOADS) {
        const what = `${payload.length} bytes of payload`;
        if (families.includes(4)) {
          for (const options of [[], [7, 7, 4, 0, 0, 0, 0], new Array<number>(40).fill(1)]) {
            const build = (ends: Ends) =>
              frame(ipv4({ ...ends, options }, make(ends, payload)), { trailer: [1, 2, 3] });
            const after = translated(IPV4_BEFORE, IPV4_AFTER, end);
            assertRewritten(build(IPV4_BEFORE), build(after), end, `IPv4, ${options.length} bytes of options, ${what}`);
          }
        }
        if (families.includes(6)) {
          for (let count = 0; count <= EXTENSIONS.length; count++) {
            const extensions = EXTENSIONS.slice(0, count);
            const build = (ends: Ends) =>
              frame(ipv6({ ...ends, extensions }, make(ends, payload)), { trailer: [1, 2] });
            const after = translated(IPV6_BEFORE, IPV6_AFTER, end);
            assertRewritten(build(IPV6_BEFORE), build(after), end, `IPv6, ${count} extension headers, ${what}`);
          }
        }
      }
    });
  }
}

test('no end to rewrite, or a tuple that is the same: not a byte changes', () => {
  const packets = [tcp(), udp(), sctp(), icmp(), raw(47, [1, 2])].map(transport => frame(ipv4({}, transport)));
  packets.push(...[tcp(), udp(), sctp(), icmpv6()].map(transport => frame(ipv6({}, transport))));
  // An Internet checksum of all ones, which no sender makes, would not survive being updated by nothing.
  packets.push(frame(ipv4({ checksum: 0xffff }, tcp({ checksum: 0xffff }))));
  for (const packet of packets) {
    const facts = factsOf(packet);
    assert.deepEqual(rewriteWith(packet, facts, facts, REWRITE_SRC | REWRITE_DST), packet);
    assert.deepEqual(rewriteWith(packet, facts, facts.map(Math.clz32), 0), packet);
  }
});

test('checksums that are wrong stay wrong by as much', () => {
  const makers: readonly ((ends: Ends) => Uint8Array)[] = [
    ends => frame(ipv4(ends, tcp({ ...ends, payload: 'text' }))),
    ends => frame(ipv4(ends, udp({ ...ends, payload: 'text' }))),
    ends => frame(ipv4(ends, icmp({ id: ends.sport, payload: 'text' }))),
    ends => frame(ipv4(ends, sctp(ends))),
  ];
  const after = translated(IPV4_BEFORE, IPV4_AFTER, REWRITE_SRC);
  for (const [index, make] of makers.entries()) {
    const wrong = make(IPV4_BEFORE);
    const expected = make(after);
    // A bit of the payload, which neither sum knows of; a CRC is off by the same bits if its own are.
    const at = index === 3 ? 34 + 8 : wrong.length - 1;
    wrong[at] ^= 0x10;
    expected[at] ^= 0x10;
    assert.deepEqual(rewriteWith(wrong, factsOf(wrong), factsOf(expected), REWRITE_SRC), expected, `case ${index}`);
  }
});

test('a UDP checksum of zero stays zero', () => {
  for (const [, end] of ENDS) {
    const udp4 = (ends: Ends) => frame(ipv4(ends, udp({ ...ends, checksum: 0, payload: 'none' })));
    assertRewritten(udp4(IPV4_BEFORE), udp4(translated(IPV4_BEFORE, IPV4_AFTER, end)), end, 'IPv4');
    const udp6 = (ends: Ends) => frame(ipv6(ends, udp({ ...ends, checksum: 0, payload: 'none' })));
    assertRewritten(udp6(IPV6_BEFORE), udp6(translated(IPV6_BEFORE, IPV6_AFTER, end)), end, 'IPv6');
  }
});

test('a UDP checksum never becomes zero', () => {
  // Of all source ports one or two make the sum come out as zero, which is sent as all ones.
  const build4 = (ends: Ends) => frame(ipv4(ends, udp(ends)));
  const build6 = (ends: Ends) => frame(ipv6(ends, udp(ends)));
  let found = 0;
  for (let sport = 1; sport < 65_536; sport++) {
    const after4 = { ...IPV4_BEFORE, src: IPV4_AFTER.src, sport };
    const after6 = { ...IPV6_BEFORE, src: IPV6_AFTER.src, sport };
    for (const [before, after] of [
      [build4(IPV4_BEFORE), build4(after4)],
      [build6(IPV6_BEFORE), build6(after6)],
    ]) {
      const checksum = after.length - 2;
      if (after[checksum] !== 0xff || after[checksum + 1] !== 0xff) continue;
      found++;
      assertRewritten(before, after, REWRITE_SRC, `source port ${sport}`);
    }
  }
  assert.ok(found >= 2, 'both families');
});

test('an ICMP checksum may well become zero', () => {
  let found = 0;
  for (let id = 0; id < 65_536; id++) {
    const after = frame(ipv4({ dst: IPV4_AFTER.dst }, icmp({ id })));
    if (after[36] !== 0 || after[37] !== 0) continue;
    found++;
    assertRewritten(frame(ipv4({}, icmp())), after, REWRITE_DST, `identifier ${id}`);
  }
  assert.ok(found > 0);
});

test('a routing header that is not used up changes nothing in how the sum is updated', () => {
  const build = (ends: Ends, transport: Transport) => {
    const bytes = frame(ipv6({ ...ends, extensions: [{ kind: 'routing', size: 24 }] }, transport));
    bytes[14 + 40 + 3] = 1;
    return bytes;
  };
  for (const [, end] of ENDS) {
    const after = translated(IPV6_BEFORE, IPV6_AFTER, end);
    assertRewritten(build(IPV6_BEFORE, tcp(IPV6_BEFORE)), build(after, tcp(after)), end, 'tcp');
    assertRewritten(build(IPV6_BEFORE, udp(IPV6_BEFORE)), build(after, udp(after)), end, 'udp');
  }
});

function randomEnds(random: Random, family: 4 | 6): Ends {
  const address = () =>
    family === 4
      ? [...random.bytes(4)].join('.')
      : Array.from({ length: 8 }, () => (random.chance(0.3) ? 0xffff : random.below(65_536)).toString(16)).join(':');
  return { src: address(), dst: address(), sport: random.between(1, 65_535), dport: random.between(1, 65_535) };
}

test('random packets', () => {
  withSeed(1_624, random => {
    for (let round = 0; round < 5_000; round++) {
      const [name, families, make] = random.pick(MAKERS);
      const family = random.pick(families);
      const [endName, end] = random.pick(ENDS);
      const before = randomEnds(random, family);
      const after = translated(before, randomEnds(random, family), end);
      const payload = random.bytes(random.below(80));
      const build = (ends: Ends) =>
        frame(family === 4 ? ipv4(ends, make(ends, payload)) : ipv6(ends, make(ends, payload)));
      assertRewritten(build(before), build(after), end, `round ${round}: ${name}, IPv${family}, ${endName}`);
    }
  });
});

test('the rest of the facts is not written', () => {
  const bytes = frame(ipv4(IPV4_BEFORE, tcp(IPV4_BEFORE)));
  const facts = factsOf(bytes);
  const kept = facts.slice();
  rewriteWith(bytes, facts, factsOf(frame(ipv4(IPV4_AFTER, tcp(IPV4_AFTER)))), REWRITE_SRC);
  assert.deepEqual(facts, kept);
  assert.equal(facts[FACT.PORTS] >>> 16, IPV4_BEFORE.sport);
});
