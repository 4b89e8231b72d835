/** Fragments on the calling thread: held, released in order with the verdict of their whole, refused for a reason. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LocalEngine, PacketBatch } from '../../src/index.js';
import { cut, fragment, type Part } from '../support/fragments.js';
import {
  type Content,
  frame,
  type Ipv4Fields,
  icmp,
  ipv4,
  ipv6,
  type Packet,
  raw,
  tcp,
  udp,
} from '../support/frames.js';
import { auditFragments } from './audit.js';
import { feed, feedOnly, HELD, opened, type Released, taken } from './feeding.js';

const V4 = { src: '10.1.0.2', dst: '10.2.0.2' };
const V6 = { src: 'fd00:1::2', dst: 'fd00:2::2' };
const LARGE = new Uint8Array(4000).map((_, index) => index * 7);
const ports = { sport: 4000, dport: 53 };

/** Datagrams of both families, in fragments. */
const DATAGRAMS = {
  'UDP over IPv4': cut(ipv4(V4, udp({ ...ports, payload: LARGE })), 1480),
  'UDP over IPv6': cut(ipv6(V6, udp({ ...ports, payload: LARGE })), 1448),
  'an echo request': cut(ipv4(V4, icmp({ type: 8, id: 7, sequence: 1, payload: LARGE })), 1480),
  'a TCP segment': cut(ipv4(V4, tcp({ sport: 4000, dport: 80, flags: 'S', payload: LARGE })), 1480),
  'a protocol without ports': cut(ipv4(V4, raw(47, LARGE)), 1480),
  'tagged frames': cut(ipv4(V4, udp({ ...ports, payload: LARGE })), 1480, { tags: [{}, {}] }),
  'padded frames': cut(ipv4(V4, udp({ ...ports, payload: LARGE })), 1480, { trailer: new Uint8Array(11) }),
  'options of 2 KiB over IPv6, in each of them': cut(
    ipv6({ ...V6, extensions: [{ kind: 'hop-by-hop', size: 2048 }] }, udp({ ...ports, payload: LARGE })),
    1448,
    { unfragmentable: 2048 },
  ),
  'IPv4 options': cut(ipv4({ ...V4, options: [1, 1, 1, 1] }, udp({ ...ports, payload: LARGE })), 1480),
};

const ORDERS = {
  'in order': (frames: readonly Uint8Array[]) => [...frames],
  reversed: (frames: readonly Uint8Array[]) => [...frames].reverse(),
  'first and last last': (frames: readonly Uint8Array[]) => [...frames.slice(1, -1), frames[0], ...frames.slice(-1)],
};

const bytesOf = (packets: readonly Released[]) => packets.map(({ frame }) => frame.toString('hex'));
const hex = (frames: readonly Uint8Array[]) => frames.map(bytes => Buffer.from(bytes).toString('hex'));
const statesOf = (packets: readonly Released[]) => packets.map(({ state, reason }) => `${state} ${reason}`);

for (const [name, frames] of Object.entries(DATAGRAMS)) {
  for (const [order, arrange] of Object.entries(ORDERS)) {
    for (const size of [1, 64]) {
      test(`${name}, ${order}, batches of ${size}: all come back as they were, by offset`, () => {
        const engine = opened();
        const sent = arrange(frames);
        const { answers, released } = feed(engine, sent, { size });
        assert.deepEqual(
          answers,
          sent.map(() => HELD),
        );
        assert.deepEqual(bytesOf(released), hex(frames));
        assert.deepEqual(
          statesOf(released),
          frames.map(() => 'new|trk none'),
        );
        assert.deepEqual(
          released.map(({ cookie }) => cookie),
          frames.map(bytes => sent.indexOf(bytes)),
        );
        assert.equal(engine.connectionCount, 1);
        assert.equal(auditFragments(engine), 0);
      });
    }
  }
}

const datagram = (fields: Ipv4Fields, payload: Content = LARGE, { sport = 4000, dport = 53 } = {}) =>
  ipv4({ ...V4, ...fields }, udp({ sport, dport, payload }));
const BACK = { src: V4.dst, dst: V4.src };

test('the whole belongs to the connection of packets that are not fragmented', () => {
  const engine = opened({}, { mark: { value: 7 }, label: { value: 9n } });
  assert.deepEqual(feed(engine, [frame(datagram({}, 'small'))]).answers, ['new|trk none']);
  const answer = cut(datagram(BACK, LARGE, { sport: 53, dport: 4000 }), 1480);
  const { released } = feed(engine, answer);
  assert.deepEqual(
    statesOf(released),
    answer.map(() => 'est|rpl|trk none'),
  );
  for (const { mark, label } of released) assert.deepEqual([mark, label], [7, 9n]);
  assert.deepEqual(feed(engine, [frame(datagram({}, 'again'))]).answers, ['est|trk none']);
});

test('under NAT the fragments come back as if they had been sent from the other address and port', () => {
  const sentFrom = (src: string, sport: number) => {
    const payload = udp({ sport, dport: 53, payload: LARGE });
    if (src.includes(':')) return cut(ipv6({ ...V6, src }, payload), 1448);
    return cut(ipv4({ ...V4, src, options: [1, 1, 1, 0] }, payload), 1480);
  };
  for (const [src, minAddress] of [
    [V4.src, '192.0.2.7'],
    [V6.src, '2001:db8::7'],
  ] as const) {
    const engine = opened({}, { nat: { kind: 'src', minAddress, minPort: 7000 } });
    const { released } = feed(engine, sentFrom(src, 4000));
    assert.deepEqual(bytesOf(released), hex(sentFrom(minAddress, 7000)));
    for (const packet of statesOf(released)) assert.equal(packet, 'new|trk|snat none');
  }
});

test('a wrong checksum of the whole makes all of its fragments invalid', () => {
  const frames = cut(ipv4(V4, udp({ ...ports, payload: LARGE, checksum: 'wrong' })), 1480);
  const engine = opened();
  assert.deepEqual(
    statesOf(feed(engine, frames).released),
    frames.map(() => 'inv|trk udp-checksum'),
  );
  assert.deepEqual(bytesOf(feed(engine, frames).released), hex(frames));
});

/** Parts of one datagram, sent in order, and what becomes of each; the expectations are those of OVS's `ipf.c`. */
const PARTS: readonly [name: string, parts: readonly Part[], answers: readonly string[], released: number][] = [
  [
    'a gap',
    [
      { from: 0, to: 1480 },
      { from: 2960, to: 4008 },
    ],
    [HELD, HELD],
    0,
  ],
  [
    'no first',
    [
      { from: 1480, to: 2960 },
      { from: 2960, to: 4008 },
    ],
    [HELD, HELD],
    0,
  ],
  [
    'no last',
    [
      { from: 0, to: 1480 },
      { from: 1480, to: 2960 },
    ],
    [HELD, HELD],
    0,
  ],
  [
    'one part twice, then the rest',
    [
      { from: 0, to: 1480 },
      { from: 0, to: 1480 },
      { from: 1480, to: 2960 },
      { from: 2960, to: 4008 },
    ],
    [HELD, 'inv|trk fragment-overlap', HELD, HELD],
    3,
  ],
  [
    'the end of one in the next',
    [
      { from: 0, to: 1488 },
      { from: 1480, to: 2960 },
      { from: 2960, to: 4008 },
    ],
    [HELD, 'inv|trk fragment-overlap', HELD],
    0,
  ],
  [
    'a part around another one, which is not noticed, and never fits',
    [
      { from: 1480, to: 2800 },
      { from: 0, to: 2960 },
      { from: 2960, to: 4008 },
    ],
    [HELD, HELD, HELD],
    0,
  ],
  [
    'the smallest first',
    [
      { from: 0, to: 1184 },
      { from: 1184, to: 4008 },
    ],
    [HELD, HELD],
    2,
  ],
  ['a first that is too small', [{ from: 0, to: 1176 }], ['inv|trk fragment-too-small'], 0],
  ['one in the middle that is too small', [{ from: 1480, to: 1488 }], ['inv|trk fragment-too-small'], 0],
  [
    'a last that is small',
    [
      { from: 0, to: 4000 },
      { from: 4000, to: 4008 },
    ],
    [HELD, HELD],
    2,
  ],
];

for (const [name, parts, answers, released] of PARTS) {
  test(`IPv4: ${name}`, () => {
    const engine = opened();
    const frames = parts.map(part => fragment(datagram({}), part));
    const outcome = feed(engine, frames);
    assert.deepEqual(outcome.answers, answers);
    assert.equal(outcome.released.length, released);
    assert.equal(auditFragments(engine), answers.filter(answer => answer === HELD).length - released);
  });
}

test('fragments of other datagrams are kept apart: by identification, protocol, addresses and zone', () => {
  const engine = opened();
  const zone = engine.defineAction({ zone: 5 });
  const [first, ...rest] = cut(datagram({}), 1480);
  feed(engine, [first]);
  const others: readonly Packet[] = [ipv4(V4, raw(17 + 1, LARGE)), datagram(BACK), datagram({ dst: '10.2.0.3' })];
  for (const packet of others) assert.deepEqual(feed(engine, cut(packet, 1480).slice(1)).released, []);
  assert.deepEqual(feed(engine, cut(datagram({}), 1480, { id: 1 }).slice(1)).released, []);
  assert.deepEqual(feed(engine, rest, { action: zone }).released, []);
  assert.equal(feed(engine, rest).released.length, 3);
  assert.equal(auditFragments(engine), 10);
});

/** OVS `ipf_list_key_eq()`: recirc_id is part of the key. */
test('fragments that come to one zone by other passes through the rules are kept apart', () => {
  const text = [
    'in_port=1,ip,actions=ct(commit,table=9)',
    'in_port=2,ip,actions=ct(zone=5,table=1)',
    'table=1,ip,actions=ct(commit,table=9)',
  ].join('\n');
  const engine = opened({ flows: { text } });
  const [first, ...rest] = cut(datagram({}), 1480);
  assert.deepEqual(feed(engine, [first], { action: 1 }).released, []);
  const { released } = feed(engine, [first, ...rest], { action: 2 });
  assert.deepEqual(
    released.map(({ reason, zone }) => `${reason} ${zone}`),
    ['none 0', 'none 0', 'none 0'],
  );
  assert.equal(feed(engine, rest, { action: 1 }).released.length, 3);
  assert.equal(auditFragments(engine), 0);
});

test('a datagram of 64 KiB', () => {
  const engine = opened();
  const largest = 65_535 - 14 - 20 - 8;
  const frames = cut(datagram({}, new Uint8Array(largest)), 1480);
  assert.equal(feed(engine, frames).released.length, frames.length);
  const more = cut(datagram({}, new Uint8Array(largest + 1)), 1480);
  const { answers, released } = feed(engine, [...more, more[0]]);
  assert.equal(released.length, 0);
  assert.deepEqual(answers.slice(-2), [HELD, 'inv|trk fragment-oversize']);
});

test('a last fragment that ends beyond 64 KiB', () => {
  const frames = cut(datagram({}, new Uint8Array(65_480)), 1480);
  const last = Buffer.from(frames[frames.length - 1]);
  const longer = fragment(datagram({}, new Uint8Array(3000)), { from: 0, to: 3000, more: false });
  const beyond = Buffer.concat([last.subarray(0, 34), longer.subarray(34)]);
  beyond.writeUInt16BE(beyond.length - 14, 16);
  const known = 1 << 4; // the header's sum is not the point
  // Counted in 16 bits it ends within the first one, if that is there; and before it begins, so that nothing overlaps it.
  const rest = frames.slice(0, -1);
  const orders: readonly [frames: readonly Uint8Array[], answer: string][] = [
    [[...rest, beyond], 'inv|trk fragment-overlap'],
    [[beyond, ...rest, frames[0]], 'inv|trk fragment-oversize'],
  ];
  for (const [sent, answer] of orders) {
    const engine = opened();
    const { answers, released } = feed(engine, sent, { known });
    assert.deepEqual(released, []);
    assert.deepEqual(answers, [...sent.slice(1).map(() => HELD), answer]);
    assert.equal(auditFragments(engine), sent.length - 1);
  }
});

test('after 15 s the rest comes too late; until then it is in time', () => {
  for (const [lateMs, isWhole] of [
    [15_000, true],
    [15_001, false],
  ] as const) {
    const engine = opened();
    const [first, ...rest] = cut(datagram({}), 1480);
    feed(engine, [first], { atMs: 1000 });
    assert.equal(feed(engine, rest, { atMs: 1000 + lateMs }).released.length, isWhole ? 3 : 0);
    assert.equal(engine.counters().events.ipv4FragmentsExpired, isWhole ? 0 : 1);
  }
});

test('any packet later than that frees what is held', () => {
  const engine = opened();
  feed(engine, [cut(datagram({}), 1480)[0]]);
  assert.equal(auditFragments(engine), 1);
  feed(engine, [frame(datagram({}, 'plain'))], { atMs: 16_001 });
  assert.equal(auditFragments(engine), 0);
});

/** Times that no packet should have, beside one of 1000 ms. */
const STRAY_TIMES = [Number.NaN, Number.POSITIVE_INFINITY, 3_600_000, 31_001];

test('a datagram whose time was wrong, or from before the clock went back, holds nobody else up', () => {
  for (const atMs of STRAY_TIMES) {
    const engine = opened();
    const [first, ...rest] = cut(datagram({}), 1480);
    feed(engine, [cut(datagram({ src: '10.9.9.9' }), 1480)[0]], { atMs });
    feed(engine, [first]);
    assert.equal(auditFragments(engine), 1, `${atMs}`);
    assert.equal(feed(engine, rest, { atMs: 16_001 }).released.length, 0, `${atMs}`);
    assert.equal(engine.counters().events.ipv4FragmentsExpired, 2);
  }
});

test('where clocks differ a little, and by a time that is not finite, nothing is given up', () => {
  for (const atMs of [-14_000, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    const engine = opened();
    const [first, ...rest] = cut(datagram({}), 1480);
    feed(engine, [first]);
    feed(engine, [frame(datagram({}, 'plain'))], { atMs });
    assert.equal(feed(engine, rest).released.length, 3, `${atMs}`);
  }
});

/** 720 fragments of whole datagrams at a time, which nobody takes. @returns how many wait for the ring */
function fillRing(engine: LocalEngine, atMs: number): number {
  const batch: Uint8Array[] = Array.from({ length: 250 }, (_, id) => cut(datagram({}), 1480, { id })).flat();
  for (const bytes of batch.slice(0, 720)) feedOnly(engine, bytes, atMs);
  return auditFragments(engine);
}

test('what nobody takes is given up after 10 s, and what does not fit into the ring waits', () => {
  const engine = opened({ fragmentBytes: 8 << 20 });
  const waiting = fillRing(engine, 1000);
  assert.ok(waiting > 0, 'more than the ring holds');
  feedOnly(engine, frame(datagram({}, 'plain')), Number.POSITIVE_INFINITY);
  assert.equal(auditFragments(engine), waiting);
  feedOnly(engine, frame(datagram({}, 'plain')), 11_000);
  assert.equal(auditFragments(engine), 0);
  assert.equal(engine.counters().events.ipv4FragmentsPurged, waiting);
});

test('what nobody takes is given up when its time was wrong, or the clock has gone back', () => {
  for (const atMs of STRAY_TIMES) {
    const engine = opened({ fragmentBytes: 8 << 20 });
    const waiting = fillRing(engine, atMs);
    assert.ok(waiting > 0, 'more than the ring holds');
    feedOnly(engine, frame(datagram({}, 'plain')), 1000);
    assert.equal(auditFragments(engine), 0, `${atMs}`);
    assert.equal(engine.counters().events.ipv4FragmentsPurged, waiting);
  }
});

/** The answers are those of OVS 4.0.90, where fragments do not bring their connection along. */
test('a datagram that comes twice to ct() of one zone is judged each time, by rules and by hand', () => {
  const segment = tcp({ sport: 4000, dport: 80, flags: 'A', seq: 1000, ack: 2000, payload: LARGE.subarray(0, 3000) });
  const frames = cut(ipv4(V4, segment), 1480);
  const text = 'table=0,ip,actions=ct(commit,table=1)\ntable=1,ip,actions=ct(table=2)\ntable=2,actions=output:1\n';
  const piped = feed(opened({ flows: { text } }), frames).released;
  const engine = opened();
  for (const bytes of frames) feedOnly(engine, bytes, 1000);
  const again = new PacketBatch(frames.length, 1 << 16);
  engine.released.takeInto(again);
  engine.execute(again);
  for (const released of [piped, taken(engine)]) {
    assert.deepEqual(
      statesOf(released),
      frames.map(() => 'est|trk none'),
    );
  }
});
