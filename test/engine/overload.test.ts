/**
 * What a filling table does to time: timeouts that shrink as pf.conf(5) says of adaptive.start and adaptive.end, by the
 * factor (end - n) / (end - start), and an emergency that is reported once when it begins and once when it ends.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { flushConnections } from '../../src/control/flush.js';
import { isIdle } from '../../src/engine/sweep.js';
import {
  type EmergencyEvent,
  Engine,
  LocalEngine,
  PacketBatch,
  type TablePolicy,
  type TimeoutKey,
} from '../../src/index.js';
import { frame, icmp, ipv4, type Transport, tcp, udp } from '../support/frames.js';
import { auditEngine } from './audit.js';

/** OVS's default of tcp_syn_sent. */
const SYN_SENT_MS = 30_000;
const HOST = '10.0.0.2';

const clientOf = (number: number) => `10.1.${number >>> 8}.${number & 255}`;
const syn = (number: number) => frame(ipv4({ src: clientOf(number), dst: HOST }, tcp({ seq: 1, flags: 'S' })));

function send(engine: LocalEngine, frames: readonly Uint8Array[], timeMs: number, action = 0): void {
  const batch = new PacketBatch(frames.length);
  for (const bytes of frames) batch.add(bytes, timeMs, { action });
  engine.execute(batch);
}

function synsFrom(first: number, count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, index) => syn(first + index));
}

function open(table: TablePolicy): LocalEngine {
  const engine = new LocalEngine({ seed: 1, maxConnections: 1000, profile: 'resilient' });
  engine.settings.tablePolicy = table;
  engine.defineAction({});
  return engine;
}

for (const [connections, factor] of [
  [600, 1],
  [750, 0.75],
  [900, 0.5],
  [1000, 1 / 3],
] as const) {
  test(`with ${connections} of 1000 connections, a half-open one lives for ${SYN_SENT_MS * factor} ms`, () => {
    const engine = open({ adaptiveTimeouts: { startPercent: 60, endPercent: 120 } });
    send(engine, synsFrom(0, connections), 0);
    engine.sweep(Math.ceil(SYN_SENT_MS * factor) - 1);
    assert.equal(engine.connectionCount, connections);
    engine.sweep(SYN_SENT_MS * factor + 1e-6);
    assert.equal(engine.connectionCount, 0);
    assert.equal(auditEngine(engine.memory, engine.counters()), 0);
  });
}

test('each connection without an answer has its own timeout shortened', () => {
  const client = '10.0.0.1';
  const there = (transport: Transport) => frame(ipv4({ src: client, dst: HOST }, transport));
  const back = (transport: Transport) => frame(ipv4({ src: HOST, dst: client }, transport));
  const query = (sport: number) => there(udp({ sport, dport: 53 }));
  const kinds: readonly [key: TimeoutKey, timeoutMs: number, packets: readonly Uint8Array[]][] = [
    ['tcp_syn_sent', 10_000, [there(tcp({ sport: 1, seq: 1, flags: 'S' }))]],
    [
      'tcp_syn_recv',
      12_000,
      [there(tcp({ sport: 2, seq: 1, flags: 'S' })), back(tcp({ sport: 80, dport: 2, seq: 1, ack: 2, flags: 'SA' }))],
    ],
    ['udp_first', 14_000, [query(3)]],
    ['udp_single', 16_000, [query(4), query(4)]],
    ['icmp_first', 18_000, [there(icmp({ type: 8, id: 5 }))]],
  ];
  for (const [, timeoutMs, packets] of kinds) {
    const engine = open({ adaptiveTimeouts: { startPercent: 60, endPercent: 120 } });
    const action = engine.defineAction({ timeoutPolicy: 1 });
    engine.settings.setTimeoutPolicy(1, Object.fromEntries(kinds.map(([key, ms]) => [key, ms])));
    // Answered ones, whose time is not shortened, keep the table nine tenths full: half of each timeout is left.
    const others = Array.from({ length: 899 }, (_, index) => [
      there(udp({ sport: 1000 + index, dport: 53 })),
      back(udp({ sport: 53, dport: 1000 + index })),
    ]);
    send(engine, others.flat(), 0);
    send(engine, packets, 0, action);
    assert.equal(engine.connectionCount, 900);
    engine.sweep(timeoutMs / 2 - 1);
    assert.equal(engine.connectionCount, 900);
    engine.sweep(timeoutMs / 2);
    assert.equal(engine.connectionCount, 899);
  }
});

test('what is replied or established keeps its time however full the table is', () => {
  const engine = open({ adaptiveTimeouts: { startPercent: 1, endPercent: 2 } });
  const query = frame(ipv4({ dst: HOST }, udp({ sport: 7, dport: 53 })));
  const answer = frame(ipv4({ src: HOST, dst: '10.0.0.1' }, udp({ sport: 53, dport: 7 })));
  const handshake = [
    frame(ipv4({ dst: HOST }, tcp({ sport: 9, seq: 1, flags: 'S' }))),
    frame(ipv4({ src: HOST, dst: '10.0.0.1' }, tcp({ sport: 80, dport: 9, seq: 1, ack: 2, flags: 'SA' }))),
    frame(ipv4({ dst: HOST }, tcp({ sport: 9, seq: 2, ack: 2, flags: 'A' }))),
  ];
  send(engine, [query, answer, ...handshake, ...synsFrom(0, 500)], 0);
  engine.sweep(1);
  assert.equal(engine.connectionCount, 2, 'at the end of the range nothing is left of the timeouts of the others');
  engine.sweep(29_999);
  assert.equal(engine.connectionCount, 2);
  engine.sweep(30_000);
  assert.equal(engine.connectionCount, 1, 'udp_multiple: 30 s');
});

/** The table does both each time, the one that a zone does not take part in more sternly where it can. */
for (const [name, adaptiveTimeouts, left] of [
  ['adaptiveTimeouts', { startPercent: 60, endPercent: 120 }, 1 / 3],
  ['emergency', { startPercent: 1, endPercent: 101 }, 0.1],
] as const) {
  test(`${name}: each zone takes part or not, from one moment to the next, whether it evicts or not`, () => {
    const engine = open({ adaptiveTimeouts, emergency: { beginPercent: 95, endPercent: 1 } });
    engine.settings.defaultZonePolicy = {};
    const action = (zone: number) => engine.defineAction({ zone });
    const zoneCount = (zone: number) => engine.settings.zoneLimit(zone).count;
    engine.settings.setZonePolicy(1, { [name]: true });
    engine.settings.setZonePolicy(2, { evicts: true, [name]: true });
    engine.settings.setZonePolicy(3, { evicts: true });
    // Zone 1 last: its policy notices that the table is full.
    for (const zone of [4, 3, 2, 1]) send(engine, synsFrom(zone * 300, 250), 0, action(zone));
    assert.equal(engine.connectionCount, 1000);
    assert.equal(engine.counters().events.emergenciesBegun, 1);
    engine.sweep(SYN_SENT_MS * left - 1);
    assert.equal(engine.connectionCount, 1000);
    engine.settings.setZonePolicy(2, { evicts: true });
    engine.sweep(SYN_SENT_MS * left + 1e-6);
    assert.deepEqual([1, 2, 3, 4].map(zoneCount), [0, 250, 250, 250]);
    // At three quarters of the table that is left of adaptive timeouts, and an emergency goes on.
    const later = name === 'emergency' ? left : 0.75;
    engine.settings.setZonePolicy(4, { [name]: true });
    engine.sweep(SYN_SENT_MS * later + 1e-6);
    assert.deepEqual([1, 2, 3, 4].map(zoneCount), [0, 250, 250, 0], 'those that are there already too');
    engine.sweep(SYN_SENT_MS - 1);
    assert.deepEqual([1, 2, 3, 4].map(zoneCount), [0, 250, 250, 0]);
    auditEngine(engine.memory, engine.counters());
  });
}

test('an emergency begins and ends once, not with every connection around its thresholds', () => {
  const engine = open({ emergency: { beginPercent: 90, endPercent: 70 } });
  const changes = () => {
    const { emergenciesBegun, emergenciesEnded } = engine.counters().events;
    return [emergenciesBegun, emergenciesEnded];
  };
  send(engine, synsFrom(0, 899), 0);
  assert.deepEqual(changes(), [0, 0]);
  send(engine, synsFrom(899, 1), 10_000);
  assert.deepEqual(changes(), [1, 0]);
  // A tenth of 30 s has passed for all but one.
  engine.sweep(10_000);
  assert.equal(engine.connectionCount, 1);
  assert.deepEqual(changes(), [1, 0], 'the end is seen when the next pass begins');
  engine.sweep(10_000);
  assert.deepEqual(changes(), [1, 1]);
  engine.sweep(SYN_SENT_MS + 10_000 - 1);
  assert.equal(engine.connectionCount, 1, 'and timeouts are whole again');
  send(engine, synsFrom(2000, 999), 20_000);
  assert.deepEqual(changes(), [2, 1]);
  engine.settings.tablePolicy = {};
  engine.sweep(20_000);
  assert.deepEqual(changes(), [2, 2], 'without a policy there is no emergency');
});

test('an emergency goes on at the very fill that it ends below', () => {
  const engine = open({ emergency: { beginPercent: 90, endPercent: 70 } });
  send(engine, synsFrom(0, 900), 0);
  const leave = (count: number) => {
    for (let number = engine.connectionCount; number > count; number--) {
      flushConnections(engine.tracker, { original: { src: clientOf(number - 1) } });
    }
    engine.sweep(0);
    assert.equal(engine.connectionCount, count);
    return engine.counters().events.emergenciesEnded;
  };
  assert.deepEqual([701, 700, 699].map(leave), [0, 0, 1]);
});

test('a table that one pass has emptied is not left alone while its emergency lasts', () => {
  const engine = open({ emergency: { beginPercent: 90, endPercent: 70 } });
  send(engine, synsFrom(0, 900), 0);
  engine.sweep(SYN_SENT_MS);
  assert.equal(engine.connectionCount, 0);
  assert.equal(isIdle(engine.tracker), false);
  engine.sweep(SYN_SENT_MS);
  assert.equal(isIdle(engine.tracker), true);
  assert.equal(engine.counters().events.emergenciesEnded, 1);
});

test('the one who opened the engine is told of an emergency once when it begins and once when it ends', async () => {
  const seen: EmergencyEvent[] = [];
  const options = { shards: 2, maxConnections: 1000, profile: 'resilient', sweepIntervalMs: 20 } as const;
  const engine = await Engine.open({ ...options, onEmergency: event => seen.push(event) });
  try {
    engine.defineAction({});
    const batch = new PacketBatch(3000);
    for (const bytes of synsFrom(0, 3000)) batch.add(bytes, Date.now());
    await engine.execute(batch);
    const changes = () => {
      const { emergenciesBegun, emergenciesEnded } = engine.counters().events;
      return emergenciesBegun + emergenciesEnded;
    };
    const isSettled = () => seen.length === changes() && seen.at(-1)?.isOn === false;
    for (const end = Date.now() + 30_000; !isSettled() && Date.now() < end; ) await sleep(20);
    // Once each, unless the machine is so slow that the sweeper makes room while the flood is still under way.
    assert.ok(seen.length >= 2 && seen.length === changes(), `${seen.length} of ${changes()} reported`);
    assert.deepEqual(
      seen.map(({ isOn }) => isOn),
      seen.map((_, index) => index % 2 === 0),
    );
    assert.ok(seen[0].connections > 0);
    assert.ok(engine.counters().events.evictedHalfOpen > 0);
  } finally {
    await engine.close();
  }
});
