/**
 * The order in which addresses and ports are tried.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHOICE_WORDS, nextCandidate, startChoice } from '../../src/nat/choice.js';
import { NAT_WORDS, type NatAction, writeNat } from '../../src/nat/spec.js';
import { FACT, FACT_WORDS, IPPROTO } from '../../src/wire/facts.js';
import { addressRuns, assertWalk, candidates, factsOf, KEY0, KEY1, NO_MAPS, type Packet, TRIES } from './candidates.js';

const SNAT = { kind: 'src', minAddress: '203.0.113.9' } as const;
const DNAT = { kind: 'dst', minAddress: '10.9.9.9' } as const;

test('source NAT without ports: the own port first, then its group', () => {
  const groups: readonly (readonly [sport: number, min: number, max: number])[] = [
    [1, 1, 511],
    [510, 1, 511],
    [511, 1, 511],
    [512, 600, 1023],
    [599, 600, 1023],
    [600, 600, 1023],
    [1023, 600, 1023],
    [1024, 1024, 65_535],
    [40_000, 1024, 65_535],
    [65_535, 1024, 65_535],
  ];
  for (const [sport, min, max] of groups) {
    const found = candidates({ sport }, SNAT);
    assert.equal(found[0].dport, sport);
    assertWalk(
      found.map(({ dport }) => dport),
      min,
      max,
      `port ${sport}`,
    );
    for (const candidate of found) {
      const { src, dst, sport: peer } = candidate;
      assert.deepEqual([src, dst, peer], ['192.0.2.1', '203.0.113.9', 80]);
    }
  }
});

test('source NAT with a port range stays in it', () => {
  const ranges: readonly (readonly [minPort: number, maxPort: number])[] = [
    [80, 80],
    [1, 2],
    [5000, 5127],
    [5000, 5128],
    [34_567, 34_568],
    [1024, 65_535],
    [1, 65_535],
    [0, 65_535],
    [65_535, 65_535],
  ];
  for (const [minPort, maxPort] of ranges) {
    for (const random of [undefined, true]) {
      const nat = { ...SNAT, minPort, maxPort, ...(random === undefined ? {} : { random }) };
      const ports = candidates({}, nat).map(({ dport }) => dport);
      const min = Math.max(minPort, 1);
      assertWalk(ports, min, maxPort, `${minPort}-${maxPort}`);
      assert.ok(ports[0] >= min && ports[0] <= maxPort);
      if (maxPort - min < 128) assert.equal(new Set(ports).size, maxPort - min + 1, 'each port once');
    }
  }
});

test('destination NAT without ports: the source port of the packet, then its group', () => {
  const found = candidates({ sport: 600 }, DNAT);
  assertWalk(
    found.map(({ dport }) => dport),
    600,
    1023,
    'port 600',
  );
  for (const { src, dst, sport } of found) assert.deepEqual([src, dst, sport], ['10.9.9.9', '10.0.0.1', 80]);
});

test('destination NAT with ports: those first, then the source port', () => {
  for (const [minPort, maxPort] of [
    [8080, 8080],
    [8080, 8089],
    [1, 65_535],
  ]) {
    const found = candidates({}, { ...DNAT, minPort, maxPort });
    const first = Math.min(TRIES, maxPort - minPort + 1);
    const ofRange = found.slice(0, first);
    assertWalk(
      ofRange.map(({ sport }) => sport),
      minPort,
      maxPort,
      'destination ports',
    );
    assert.ok(ofRange.every(({ dport }) => dport === 40_000));
    const fallback = found.slice(first);
    assertWalk(
      fallback.map(({ dport }) => dport),
      1024,
      65_535,
      'source ports',
    );
    assert.ok(fallback.every(({ sport }) => sport === found[0].sport));
    assert.equal(fallback[0].dport, 40_000);
  }
});

test('all tries: 248 for each dimension that is walked', () => {
  assert.equal(candidates({}, SNAT).length, TRIES);
  assert.equal(candidates({ sport: 5 }, SNAT).length, TRIES);
  assert.equal(candidates({}, { ...SNAT, minPort: 1, maxPort: 129 }).length, TRIES);
  assert.equal(candidates({}, { ...SNAT, minPort: 1, maxPort: 128 }).length, 128);
  assert.equal(candidates({}, DNAT).length, TRIES);
  assert.equal(candidates({}, { ...DNAT, minPort: 1, maxPort: 1000 }).length, 2 * TRIES);
});

test('no address, and the all-zero one: the address of the packet', () => {
  for (const nat of [{}, { minAddress: '0.0.0.0' }]) {
    assert.equal(candidates({}, { kind: 'src', ...nat }, { most: 1 })[0].dst, '10.0.0.1');
    assert.equal(candidates({}, { kind: 'dst', ...nat }, { most: 1 })[0].src, '192.0.2.1');
  }
  const ipv6 = { src: 'fd00::1', dst: '2001:db8::9' };
  assert.equal(candidates(ipv6, { kind: 'src', minAddress: '::' }, { most: 1 })[0].dst, 'fd00::1');
  assert.equal(candidates(ipv6, { kind: 'dst' }, { most: 1 })[0].src, '2001:db8::9');
  assert.equal(candidates({}, { kind: 'src' }).length, TRIES, 'one address, with its ports');
});

test('IPv6', () => {
  const nat = { kind: 'src', minAddress: 'fd00:1::ffff', maxAddress: 'fd00:1::1:0', minPort: 9, maxPort: 9 } as const;
  const found = candidates({ src: 'fd00::1', dst: '2001:db8::9' }, nat);
  assert.deepEqual(found.map(({ dst }) => dst).sort(), ['fd00:1::1:0', 'fd00:1::ffff']);
  for (const { src, sport, dport } of found) assert.deepEqual([src, sport, dport], ['2001:db8::9', 80, 9]);
});

test('an exhausted address is followed by the next of the range, which comes round', () => {
  const runs = addressRuns(candidates({}, { kind: 'src', minAddress: '10.1.0.254', maxAddress: '10.1.1.1' }), 'dst');
  const range = ['10.1.0.254', '10.1.0.255', '10.1.1.0', '10.1.1.1'];
  const first = range.indexOf(runs[0][0]);
  assert.deepEqual(
    runs,
    range.map((_, index) => [range[(first + index) % 4], TRIES]),
  );
});

test('of a large range 16 addresses are tried: README', () => {
  const nat = { kind: 'dst', minAddress: '10.0.0.0', maxAddress: '10.255.255.255', minPort: 7 } as const;
  const runs = addressRuns(candidates({}, nat), 'src');
  assert.equal(runs.length, 16);
  assert.equal(new Set(runs.map(([address]) => address)).size, 16);
  const most = addressRuns(
    candidates({}, { kind: 'src', minAddress: '0.0.0.1', maxAddress: '255.255.255.255' }),
    'dst',
  );
  assert.equal(most.length, 16);
});

test('a protocol without ports: one candidate for each address', () => {
  const nat = { kind: 'src', minAddress: '10.1.0.1', maxAddress: '10.1.0.3', minPort: 1, maxPort: 100 } as const;
  for (const protocol of [47, IPPROTO.ICMPV6]) {
    const found = candidates({ protocol, sport: 0, dport: 0 }, nat);
    assert.deepEqual(found.map(({ dst }) => dst).sort(), ['10.1.0.1', '10.1.0.2', '10.1.0.3']);
    assert.ok(found.every(({ sport, dport }) => sport === 0 && dport === 0));
  }
  assert.equal(candidates({ protocol: 47, sport: 0, dport: 0 }, { kind: 'dst' }).length, 1);
});

const ECHO = { protocol: IPPROTO.ICMP, sport: 300, dport: (8 << 8) | 0 };
const ECHO6 = { protocol: IPPROTO.ICMPV6, sport: 300, dport: (128 << 8) | 129, src: 'fd00::1', dst: 'fd00::2' };

test('identifiers of ICMP and ICMPv6 are chosen like source ports, with the types of the answer', () => {
  for (const [echo, types] of [
    [ECHO, 8],
    [ECHO6, (129 << 8) | 128],
  ] as const) {
    const found = candidates(echo, { kind: 'src' });
    assert.equal(found[0].sport, 300);
    assertWalk(
      found.map(({ sport }) => sport),
      1,
      511,
      'identifiers',
    );
    assert.ok(found.every(({ dport }) => dport === types));
    const inRange = candidates(echo, { kind: 'src', minPort: 5000, maxPort: 5009 });
    assertWalk(
      inRange.map(({ sport }) => sport),
      5000,
      5009,
      'identifiers of a range',
    );
  }
});

test('identifier 0 is tried first, and then those from 1 on', () => {
  const ids = candidates({ ...ECHO, sport: 0 }, SNAT).map(({ sport }) => sport);
  assert.deepEqual(ids.slice(0, 3), [0, 1, 2]);
  assertWalk(ids, 1, 511, 'identifiers');
});

test('a range of destination ports does not concern identifiers', () => {
  const ids = candidates(ECHO, { ...DNAT, minPort: 8080, maxPort: 8089 }).map(({ sport }) => sport);
  assert.equal(ids[0], 300);
  assertWalk(ids, 1, 511, 'identifiers');
});

test('PORTS_REVERSED is the tuple from the other end', () => {
  const reversedOf = (packet: Packet, nat: NatAction) => {
    const facts = factsOf(packet);
    const spec = new Int32Array(NAT_WORDS);
    writeNat(spec, 0, nat);
    const choice = new Int32Array(CHOICE_WORDS);
    const reply = new Int32Array(FACT_WORDS);
    startChoice(choice, facts, 0, spec, KEY0, KEY1, 1);
    assert.ok(nextCandidate(choice, facts, 0, spec, reply, 0, NO_MAPS));
    return [reply[FACT.PORTS], reply[FACT.PORTS_REVERSED]];
  };
  const id = 7 << 16;
  assert.deepEqual(reversedOf({}, { kind: 'src', minPort: 7 }), [(80 << 16) | 7, id | 80]);
  assert.deepEqual(reversedOf({}, { kind: 'dst', minPort: 7 }), [id | 40_000, (40_000 << 16) | 7]);
  assert.deepEqual(reversedOf(ECHO, { kind: 'src', minPort: 7 }), [id | 8, id | (8 << 8)]);
  assert.deepEqual(reversedOf(ECHO6, { kind: 'src', minPort: 7 }), [id | (129 << 8) | 128, id | (128 << 8) | 129]);
});

test('no candidates for a nat() that only restores, or is of another family', () => {
  assert.deepEqual(candidates({}, { kind: 'restore' }), []);
  assert.deepEqual(candidates({}, { kind: 'src', minAddress: 'fd00::1' }), []);
  assert.deepEqual(candidates({ src: 'fd00::1', dst: 'fd00::2' }, { kind: 'dst', minAddress: '10.0.0.1' }), []);
});
