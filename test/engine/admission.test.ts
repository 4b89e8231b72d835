/**
 * Rates of new connections and caps of half-open ones, per zone and per source: the arithmetic of a token bucket, whose
 * figures below are counted by hand (perSecond earned, burst held), and memory that does not grow with the sources.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCtState, LocalEngine, PacketBatch, PROFILES, reasonName, type ZonePolicy } from '../../src/index.js';
import { frame, ipv4, ipv6, type Transport, tcp, udp } from '../support/frames.js';
import { auditEngine } from './audit.js';

function open(policy: ZonePolicy, maxConnections = 100_000): LocalEngine {
  const engine = new LocalEngine({ seed: 3, maxConnections });
  engine.defineAction({ zone: 7 });
  engine.settings.setZonePolicy(7, policy);
  return engine;
}

/** Judges packets at a time. @returns how many verdicts of each kind */
function judge(engine: LocalEngine, frames: readonly Uint8Array[], timeMs: number, action = 0): Record<string, number> {
  const batch = new PacketBatch(frames.length, frames.length * 128);
  for (const bytes of frames) assert.ok(batch.add(bytes, timeMs, { action }));
  engine.execute(batch);
  const seen: Record<string, number> = {};
  for (let index = 0; index < batch.length; index++) {
    const text = `${formatCtState(batch.state(index))} ${reasonName(batch.reason(index))}`;
    seen[text] = (seen[text] ?? 0) + 1;
  }
  return seen;
}

let port = 0;
/** `count` connections that are not there yet, from `source` or from so many sources. */
function fresh(count: number, source?: string, transport: (sport: number) => Transport = sport => udp({ sport })) {
  return Array.from({ length: count }, () => {
    port++;
    const src = source ?? `10.${port >>> 16}.${(port >>> 8) & 255}.${port & 255}`;
    return frame(ipv4({ src }, transport(1 + (port % 65_535))));
  });
}

test('a zone opens its burst at once and then so many per second', () => {
  const engine = open({ newConnections: { perSecond: 50, burst: 20 } });
  const refused = (count: number) => (count === 0 ? {} : { 'new|trk zone-rate': count });
  const opened = (count: number) => ({ 'new|trk none': count });
  assert.deepEqual(judge(engine, fresh(30), 1000), { ...opened(20), ...refused(10) });
  assert.deepEqual(judge(engine, fresh(5), 1000), refused(5));
  assert.deepEqual(judge(engine, fresh(5), 1019), refused(5), 'a connection takes 20 ms to earn');
  assert.deepEqual(judge(engine, fresh(5), 1020), { ...opened(1), ...refused(4) });
  assert.deepEqual(judge(engine, fresh(20), 1220), { ...opened(10), ...refused(10) });
  assert.deepEqual(
    judge(engine, fresh(30), 99_000),
    { ...opened(20), ...refused(10) },
    'no more than the burst is saved',
  );
  // Known connections and other zones are not asked.
  const known = fresh(3);
  assert.deepEqual(judge(engine, known, 200_000), opened(3));
  judge(engine, fresh(30), 200_000);
  assert.deepEqual(judge(engine, known, 200_000), opened(3));
  const other = engine.defineAction({ zone: 8 });
  assert.deepEqual(judge(engine, fresh(100), 200_000, other), opened(100));
  engine.settings.setZonePolicy(7, undefined);
  assert.deepEqual(judge(engine, fresh(100), 200_000), opened(100));
  assert.equal(engine.counters().reasons['zone-rate'], 10 + 5 + 5 + 4 + 10 + 10 + 13);
  auditEngine(engine.memory, engine.counters());
});

test('a rate lasts beyond 2^31 and 2^32 ms, and a clock that jumps back fills the bucket', () => {
  const engine = open({ newConnections: { perSecond: 1, burst: 2 } });
  for (const timeMs of [2 ** 31 - 500, 2 ** 31 + 4000, 2 ** 32 - 500, 2 ** 32 + 4000, 2 ** 32 - 99_000]) {
    assert.deepEqual(judge(engine, fresh(3), timeMs), { 'new|trk none': 2, 'new|trk zone-rate': 1 }, `at ${timeMs}`);
  }
  assert.deepEqual(
    judge(engine, fresh(1), 2 ** 32 - 100_000),
    { 'new|trk zone-rate': 1 },
    'one second back earns nothing',
  );
});

for (const beforeMs of [0, 1, 59_999, 60_000]) {
  test(`a rate that begins ${beforeMs} ms before a multiple of 2^32 ms is the rate from the first packet on`, () => {
    const startMs = 416 * 2 ** 32 - beforeMs;
    const engine = open({ newConnections: { perSecond: 10, burst: 2 } });
    assert.deepEqual(judge(engine, fresh(3), startMs), { 'new|trk none': 2, 'new|trk zone-rate': 1 });
    for (let second = 1; second <= 100; second++) {
      const timeMs = startMs + second * 1000;
      assert.deepEqual(judge(engine, fresh(3), timeMs), { 'new|trk none': 2, 'new|trk zone-rate': 1 }, `at ${timeMs}`);
    }
  });
}

test('each source has a rate of its own, over IPv4 and IPv6', () => {
  const engine = open({ newConnectionsPerSource: { perSecond: 10, burst: 5 } });
  const six = (src: string) => [1, 2, 3, 4, 5, 6, 7].map(sport => frame(ipv6({ src }, udp({ sport }))));
  const half = { 'new|trk none': 5, 'new|trk source-rate': 2 };
  for (const source of ['192.0.2.1', '192.0.2.2', '192.0.2.3']) {
    assert.deepEqual(judge(engine, fresh(7, source), 0), half);
  }
  assert.deepEqual(judge(engine, six('2001:db8::1'), 0), half);
  assert.deepEqual(judge(engine, six('2001:db8::2'), 0), half);
  assert.deepEqual(judge(engine, fresh(3, '192.0.2.1'), 100), { 'new|trk none': 1, 'new|trk source-rate': 2 });
});

test('a hundred thousand sources are told apart in memory that stays the same', () => {
  const engine = open({ newConnectionsPerSource: { perSecond: 10, burst: 10 } }, 200_000);
  const bytes = engine.memory.control.buffer.byteLength;
  let refused = 0;
  for (let round = 0; round < 100; round++) refused += judge(engine, fresh(1000), 0)['new|trk source-rate'] ?? 0;
  // 100,000 sources in 32,768 cells are three in each, and one has 10: hardly any finds both of its cells used up.
  assert.ok(refused < 50, `${refused} refused`);
  assert.equal(engine.memory.control.buffer.byteLength, bytes);
  const one = judge(engine, fresh(100, '192.0.2.1'), 0);
  assert.ok((one['new|trk none'] ?? 0) <= 10, 'one that opens many is still noticed');
});

const syn = (sport: number) => tcp({ sport, seq: 1, flags: 'S' });

test('half-open connections of a zone and of a source are capped, and make room when they are established or gone', () => {
  const engine = open({ maxHalfOpen: 8, maxHalfOpenPerSource: 3 });
  const refused = (count: number) => ({ 'new|trk half-open-limit': count });
  assert.deepEqual(judge(engine, fresh(5, '192.0.2.1', syn), 0), { 'new|trk none': 3, ...refused(2) });
  assert.deepEqual(judge(engine, fresh(9, undefined, syn), 0), { 'new|trk none': 5, ...refused(4) });
  assert.deepEqual(judge(engine, fresh(4, '192.0.2.1'), 0), { 'new|trk none': 4 }, 'UDP is not half-open');
  // 30 s later they have ended; one that is established does not count.
  engine.sweep(30_000);
  auditEngine(engine.memory, engine.counters());
  const from = '192.0.2.9';
  const to = '10.0.0.2';
  const handshake = [
    frame(ipv4({ src: from, dst: to }, tcp({ sport: 9, seq: 1, flags: 'S' }))),
    frame(ipv4({ src: to, dst: from }, tcp({ sport: 80, dport: 9, seq: 1, ack: 2, flags: 'SA' }))),
    frame(ipv4({ src: from, dst: to }, tcp({ sport: 9, seq: 2, ack: 2, flags: 'A' }))),
  ];
  assert.deepEqual(judge(engine, handshake, 30_000), { 'new|trk none': 1, 'est|rpl|trk none': 1, 'est|trk none': 1 });
  assert.deepEqual(judge(engine, fresh(4, from, syn), 30_000), { 'new|trk none': 3, ...refused(1) });
  auditEngine(engine.memory, engine.counters());
});

test('policies that are out of range are refused by name and change nothing', () => {
  const { settings } = open({});
  const bad: readonly (readonly [ZonePolicy, RegExp])[] = [
    [{ newConnections: { perSecond: 0, burst: 1 } }, /^newConnections\.perSecond must be a whole number from 1 to/],
    [{ newConnections: { perSecond: 1, burst: 2_000_001 } }, /^newConnections\.burst must be/],
    [{ newConnectionsPerSource: { perSecond: 1.5, burst: 1 } }, /^newConnectionsPerSource\.perSecond must be/],
    [{ maxHalfOpen: 0 }, /^maxHalfOpen must be/],
    [{ evictsAtZoneLimit: true }, /^evictsAtZoneLimit needs evicts/],
    [{ maxHalfOpenPerSource: Number.NaN }, /^maxHalfOpenPerSource must be/],
  ];
  settings.defaultZonePolicy = { maxHalfOpen: 5 };
  settings.setZonePolicy(3, { evicts: true, newConnections: { perSecond: 1, burst: 2 } });
  for (const [policy, message] of bad) {
    assert.throws(() => settings.setZonePolicy(3, policy), { name: 'RangeError', message });
    assert.throws(() => {
      settings.defaultZonePolicy = policy;
    }, RangeError);
  }
  assert.throws(() => settings.setZonePolicy(65_536, {}), RangeError);
  assert.throws(() => settings.applyProfile('none' as never), RangeError);
  assert.deepEqual(settings.zonePolicy(3), { evicts: true, newConnections: { perSecond: 1, burst: 2 } });
  assert.deepEqual(settings.zonePolicy(4), { maxHalfOpen: 5 });
  for (const { zone } of Object.values(PROFILES)) {
    settings.setZonePolicy(5, zone);
    assert.deepEqual(settings.zonePolicy(5), zone);
  }
  const table = { evictable: ['half-open'], emergency: { beginPercent: 90, endPercent: 80 } } as const;
  settings.tablePolicy = table;
  for (const policy of [
    { evictable: ['open' as never] },
    { reservePercent: 101 },
    { adaptiveTimeouts: { startPercent: 60, endPercent: 60 } },
    { adaptiveTimeouts: { startPercent: 0, endPercent: 60 } },
    { emergency: { beginPercent: 50, endPercent: 50 } },
    { emergency: { beginPercent: 101, endPercent: 50 } },
  ]) {
    assert.throws(() => {
      settings.tablePolicy = policy;
    }, RangeError);
  }
  assert.deepEqual(settings.tablePolicy, table);
});

test('an engine holds 63 different policies of zones, and takes back those that no zone has any more', () => {
  const { settings } = open({});
  for (let zone = 100; zone < 100 + 62; zone++) settings.setZonePolicy(zone, { maxHalfOpen: zone });
  settings.setZonePolicy(1, { maxHalfOpen: 100 });
  assert.throws(() => settings.setZonePolicy(2, { maxHalfOpen: 1 }), RangeError);
  settings.setZonePolicy(161, undefined);
  settings.setZonePolicy(2, { maxHalfOpen: 1 });
  assert.deepEqual(settings.zonePolicy(2), { maxHalfOpen: 1 });
  assert.deepEqual(settings.zonePolicy(1), { maxHalfOpen: 100 });
});
