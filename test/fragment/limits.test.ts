/** What bounds fragments, and what becomes of those beyond: each has its reason, each loss its count. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cut, fragment } from '../support/fragments.js';
import { frame, type Ipv4Fields, ipv4, ipv6, raw, udp } from '../support/frames.js';
import { auditFragments } from './audit.js';
import { feed, HELD, opened } from './feeding.js';

const LARGE = new Uint8Array(4000);
const datagram = (fields: Ipv4Fields = {}) => ipv4(fields, udp({ payload: LARGE }));
const firsts = (count: number, fields: Ipv4Fields = {}) =>
  Array.from({ length: count }, (_, id) => cut(datagram(fields), 1480, { id })[0]);

test('the oldest datagram gives way to a new one', () => {
  const engine = opened();
  engine.settings.fragments.max = 10;
  const frames = Array.from({ length: 11 }, (_, number) => firsts(1, { src: `10.0.1.${number}` })[0]);
  assert.deepEqual(
    feed(engine, frames).answers,
    frames.map(() => HELD),
  );
  assert.equal(auditFragments(engine), 10);
  assert.equal(engine.counters().events.ipv4FragmentsEvicted, 1);
  const rest = (number: number) => cut(datagram({ src: `10.0.1.${number}` }), 1480, { id: 0 }).slice(1);
  assert.equal(feed(engine, rest(10)).released.length, 3, 'the youngest is still there');
  assert.equal(feed(engine, rest(0)).released.length, 0, 'the oldest is not');
  auditFragments(engine);
});

test('the oldest datagram does not give way to a fragment of its own, but the next one does', () => {
  const engine = opened();
  engine.settings.fragments.max = 10;
  const [oldest, next, ...others] = Array.from({ length: 10 }, (_, number) =>
    cut(datagram({ src: `10.0.1.${number}` }), 1480),
  );
  feed(
    engine,
    [oldest, next, ...others].map(([first]) => first),
  );
  const [second, last] = oldest.slice(1);
  assert.deepEqual(feed(engine, [second]).answers, [HELD]);
  assert.equal(engine.counters().events.ipv4FragmentsEvicted, 1);
  assert.equal(feed(engine, [last]).released.length, 3, 'the oldest is whole');
  assert.equal(feed(engine, next.slice(1)).released.length, 0, 'the next one is not there any more');
  assert.equal(feed(engine, others[1].slice(1)).released.length, 3, 'those behind it are');
  auditFragments(engine);
});

test('datagrams of one pair of addresses become whole in any order', () => {
  const engine = opened();
  const all = [0, 1, 2, 3].map(id => cut(datagram(), 1480, { id }));
  feed(
    engine,
    all.map(([first]) => first),
  );
  for (const [place, id] of [1, 3, 0, 2].entries()) {
    assert.equal(feed(engine, all[id].slice(1)).released.length, 3, `datagram ${id}`);
    assert.equal(auditFragments(engine), 3 - place);
  }
});

test('a pair of addresses takes from itself beyond its half, and others keep what they have', () => {
  const engine = opened();
  engine.settings.fragments.max = 100;
  const [first, ...rest] = cut(datagram({ src: '10.0.9.9' }), 1480);
  feed(engine, [first]);
  const flood = feed(engine, firsts(1000));
  assert.ok(flood.answers.every(answer => answer === HELD));
  assert.equal(auditFragments(engine), 51);
  assert.equal(feed(engine, rest).released.length, 3);
  assert.equal(engine.counters().events.ipv4FragmentsEvicted, 950);
});

test('one datagram that fills its pair’s half is refused the rest', () => {
  const engine = opened();
  engine.settings.fragments.max = 4;
  const frames = cut(datagram(), 1448).slice(0, 2);
  const more = fragment(datagram(), { from: 2896, to: 4008 });
  assert.deepEqual(feed(engine, [...frames, more]).answers, [HELD, HELD, 'inv|trk fragment-pair-limit']);
  engine.settings.fragments.max = 0;
  assert.deepEqual(
    feed(
      engine,
      firsts(1, { dst: '10.3.3.3' }).map(bytes => bytes),
    ).answers,
    ['inv|trk fragment-limit'],
  );
  auditFragments(engine);
});

test('the memory for frames is the bound when they are large', () => {
  const engine = opened({ fragmentBytes: 256 << 10 });
  const jumbo = (id: number) =>
    cut(ipv4({ src: `10.0.2.${id}` }, udp({ payload: new Uint8Array(60_000) })), 30_000, { id })[0];
  const { answers } = feed(
    engine,
    Array.from({ length: 20 }, (_, id) => jumbo(id)),
  );
  assert.ok(answers.every(answer => answer === HELD));
  assert.equal(auditFragments(engine), 8, '15 blocks each');
  assert.equal(engine.counters().events.ipv4FragmentsEvicted, 12);
});

test('more fragments than the minimum size allows, which only a change of it makes possible', () => {
  const engine = opened();
  const large = ipv4({}, udp({ payload: new Uint8Array(20_000) }));
  const frames = cut(large, 1480);
  feed(engine, frames.slice(0, 10));
  engine.settings.fragments.setMinSize('ipv4', 9000);
  assert.deepEqual(feed(engine, frames.slice(-1)).answers, ['inv|trk fragment-count']);
});

/** OVS `ipf_set_min_frag()`: (65535 - 60) / (7000 - 60) rounded up are 10. */
test('as many fragments as the minimum size allows, to the one', () => {
  for (const [held, answer] of [
    [9, HELD],
    [10, 'inv|trk fragment-count'],
  ] as const) {
    const engine = opened();
    const frames = cut(ipv4({}, udp({ payload: new Uint8Array(20_000) })), 1480);
    feed(engine, frames.slice(0, held));
    engine.settings.fragments.setMinSize('ipv4', 7000);
    assert.deepEqual(feed(engine, frames.slice(-1)).answers, [answer]);
    auditFragments(engine);
  }
});

test('a family that is not reassembled: a first fragment is a packet, a later one is invalid, as in OVS', () => {
  const engine = opened();
  engine.settings.fragments.setEnabled('ipv4', false);
  const gre = cut(ipv4({}, raw(47, LARGE)), 1480);
  assert.deepEqual(feed(engine, gre).answers, ['new|trk none', 'inv|trk ipv4-fragment', 'inv|trk ipv4-fragment']);
  assert.deepEqual(feed(engine, cut(datagram(), 1480)).answers[0], 'inv|trk ipv4-fragment');
  assert.deepEqual(feed(engine, cut(datagram(), 1000)).answers[0], 'inv|trk fragment-too-small');
  assert.equal(feed(engine, cut(ipv6({}, udp({ payload: LARGE })), 1448)).released.length, 3);
  engine.settings.fragments.setEnabled('ipv6', false);
  assert.deepEqual(feed(engine, cut(datagram(), 1000)).answers[0], 'inv|trk ipv4-fragment');
  const six = cut(ipv6({}, udp({ payload: LARGE })), 1448);
  assert.deepEqual(
    feed(engine, six).answers,
    six.map(() => 'inv|trk ipv6-fragment'),
  );
});

test('what is held when a family is switched off is given up in time', () => {
  const engine = opened();
  feed(engine, firsts(3));
  engine.settings.fragments.setEnabled('ipv4', false);
  feed(engine, [frame(ipv4({}, udp()))], { atMs: 17_000 });
  assert.equal(auditFragments(engine), 0);
  assert.equal(engine.counters().events.ipv4FragmentsExpired, 3);
});
