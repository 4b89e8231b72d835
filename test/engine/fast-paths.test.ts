/**
 * The fast paths of creation and update against judgePacket(): the same packets through an engine that takes them and
 * one that never does leave the same words in every row, in the table, and in all counts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flushConnections } from '../../src/control/flush.js';
import type { CtAction } from '../../src/engine/action.js';
import { PacketBatch } from '../../src/engine/batch.js';
import { LocalEngine } from '../../src/engine/local.js';
import { CONTROL } from '../../src/engine/memory.js';
import type { TableOptions } from '../../src/engine/options.js';
import { PACKET, PACKET_WORDS } from '../../src/engine/packet.js';
import { homeBucketAt, RECORD, recordAt } from '../../src/sharedarraybuffer-hashmap/index.js';
import { SLOTS_PER_BUCKET } from '../../src/sharedarraybuffer-hashmap/layout.js';
import { CONN } from '../../src/track/connection.js';
import { other } from '../../src/track/other.js';
import { CT, formatCtState } from '../../src/track/state.js';
import { tcp as tcpTracker } from '../../src/track/tcp.js';
import { captureNames, capturePackets } from '../support/captures.js';
import { frame, icmp, ipv4, ipv6, sctp, tcp, udp } from '../support/frames.js';
import { type Random, withSeed } from '../support/random.js';
import { auditEngine, evictedOf } from './audit.js';
import { batchesOf, dumpText } from './verdicts.js';

const ZONE = 5;
const ACTIONS: readonly CtAction[] = [
  {},
  { zone: ZONE },
  { commit: false },
  { timeoutPolicy: 1 },
  { mark: { value: 3 }, label: { value: 9n } },
  { helper: 'ftp' },
  { nat: { kind: 'src', minAddress: '10.200.0.0', maxAddress: '10.200.0.9' } },
  { force: true },
];
/** With so many threads each limit is near always, and connections are counted in one by one. */
const MANY_THREADS = 1 << 20;

/** Connections that were created by the slow path, in both engines. */
let slowly = 0;
for (const tracker of [other, tcpTracker]) {
  const { create } = tracker;
  tracker.create = (context, conn, facts) => {
    slowly++;
    create(context, conn, facts);
  };
}

function pair(options: TableOptions): { fast: LocalEngine; slow: LocalEngine } {
  const make = () => {
    const engine = new LocalEngine({ seed: 3, ...options });
    for (const action of ACTIONS) engine.defineAction(action);
    return engine;
  };
  const fast = make();
  const slow = make();
  slow.memory.control[CONTROL.THREADS] = MANY_THREADS;
  return { fast, slow };
}

/** A zone that no action names: a packet that comes from there starts afresh, but not on a fast path. */
const OTHER_ZONE = 0xffff;

/** Judges the same batch by both. */
function judge({ fast, slow }: ReturnType<typeof pair>, batch: PacketBatch): void {
  const before = batch.packets.slice();
  const bytes = batch.bytes.slice();
  fast.execute(batch);
  const said = batch.packets.slice();
  batch.packets.set(before);
  batch.bytes.set(bytes); // NAT writes into frames
  for (let packet = 0; packet < batch.length; packet++) {
    batch.packets[packet * PACKET_WORDS + PACKET.STATE] = CT.EST | CT.TRK;
    batch.packets[packet * PACKET_WORDS + PACKET.ZONE] = OTHER_ZONE;
  }
  slow.execute(batch);
  assert.deepEqual(said, batch.packets);
}

/** All events but how long the sweeper took. */
function eventsOf(engine: LocalEngine): Readonly<Record<string, number>> {
  return { ...engine.counters().events, sweepLockMs: 0, sweepLongestLockMs: 0 };
}

/** @returns connections created by each, and by the fast path of the one that has it */
function compare({ fast, slow }: ReturnType<typeof pair>, nowMs: number): { created: number; plainly: number } {
  assert.deepEqual(fast.memory.map.words, slow.memory.map.words, 'the table, word for word');
  assert.deepEqual(fast.memory.zoneCounts, slow.memory.zoneCounts);
  assert.equal(fast.connectionCount, slow.connectionCount);
  assert.deepEqual(fast.statistics(), slow.statistics());
  assert.deepEqual(fast.counters().reasons, slow.counters().reasons);
  assert.deepEqual(eventsOf(fast), eventsOf(slow));
  const { created } = eventsOf(fast);
  assert.deepEqual(dumpText(fast.tracker, nowMs), dumpText(slow.tracker, nowMs));
  auditEngine(fast.memory, fast.counters());
  return { created, plainly: 2 * created - slowly };
}

const FLAGS = ['S', 'S', 'S', 'SE', 'SA', 'A', 'PA', 'FA', 'R', 'SF', 'F', ''];
const SYN_OPTIONS = [[], [3, 3, 7], [2, 4, 5, 180, 4, 2, 1, 3, 3, 9], [3, 0, 20], [0, 3, 3, 4]];

/** A packet of one of few flows, so that batches hold several of the same, and answers. */
function somePacket(random: Random): Uint8Array {
  const client = `10.0.0.${1 + random.below(4)}`;
  const server = '10.9.9.9';
  const wide = { client: `2001:db8::${1 + random.below(4)}`, server: '2001:db8::9' };
  const sport = 1000 + random.below(30);
  const isReply = random.chance(0.3);
  const ends = isReply ? { src: server, dst: client } : { src: client, dst: server };
  const wideEnds = isReply ? { src: wide.server, dst: wide.client } : { src: wide.client, dst: wide.server };
  const ports = isReply ? { sport: 80, dport: sport } : { sport, dport: 80 };
  const kind = random.below(26);
  if (kind < 9) return frame(ipv4(ends, udp(ports)));
  if (kind < 17) {
    const options = random.pick(SYN_OPTIONS);
    return frame(ipv4(ends, tcp({ ...ports, flags: random.pick(FLAGS), seq: random.u32(), options })));
  }
  if (kind < 21) return frame(ipv6(wideEnds, udp(ports)));
  if (kind < 24) return frame(ipv6(wideEnds, tcp({ ...ports, flags: random.pick(FLAGS), seq: random.u32() })));
  if (kind === 24) return frame(ipv4(ends, sctp(ports)));
  return frame(ipv4(ends, icmp({ type: 3, payload: ipv4(ends, udp(ports)).bytes })));
}

for (const [name, options] of [
  ['room for all', { maxConnections: 1000 }],
  ['a table that is too small', { maxConnections: 70 }],
  ['room for few IPv6 connections', { maxConnections: 1000, maxIpv6Connections: 30 }],
  ['heavy hitters counted', { maxConnections: 1000, tracksTop: true }],
  ['policies that evict', { maxConnections: 90, profile: 'resilient' }],
  ['fewer connections than a batch opens, and policies that evict', { maxConnections: 12, profile: 'resilient' }],
  [
    'policies that evict, few IPv6',
    { maxConnections: 60, maxIpv6Connections: 9, profile: 'resilient', tracksTop: true },
  ],
] as const) {
  test(`random packets of few flows, ${name}: both paths say and leave the same`, () => {
    withSeed(11, random => {
      slowly = 0;
      const engines = pair(options);
      const all = [engines.fast, engines.slow];
      for (const engine of all) engine.settings.setZoneLimit(ZONE, 40);
      const batch = new PacketBatch(200, 200 * 256);
      let nowMs = 1_790_000_000_000.5;
      for (let round = 0; round < 400; round++) {
        batch.clear();
        const usual = random.below(ACTIONS.length);
        for (let count = random.between(1, 100); count > 0; count--) {
          const action = random.chance(0.9) ? usual : random.below(ACTIONS.length);
          batch.add(somePacket(random), nowMs + random.below(100), { action });
        }
        judge(engines, batch);
        nowMs += random.chance(0.3) ? random.below(40_000) : random.below(500);
        if (random.chance(0.2)) for (const engine of all) engine.sweep(nowMs);
      }
      const { created, plainly } = compare(engines, nowMs);
      const evicts = 'profile' in options;
      if (!evicts && options.maxConnections < 1000) return;
      assert.equal(evictedOf(engines.fast.counters()) > 100, evicts);
      assert.ok(plainly > created / 5, `${plainly} of ${created} on the fast path`);
    });
  });
}

test('the second packet of a connection in one batch finds what the first has opened', () => {
  const engine = new LocalEngine({ maxConnections: 1000 });
  engine.defineAction({});
  const batch = new PacketBatch(64);
  for (let number = 0; number < 32; number++) {
    for (const ends of [{}, { src: '10.0.0.2', dst: '10.0.0.1' }]) {
      const ports = { sport: 1000 + number, dport: 1000 + number };
      batch.add(frame(ipv4(ends, udp(ports))), 0);
    }
  }
  engine.execute(batch);
  assert.equal(engine.connectionCount, 32);
  assert.equal(engine.counters().events.created, 32);
});

test('captures: both paths say and leave the same', () => {
  slowly = 0;
  let plainly = 0;
  for (const name of captureNames()) {
    const engines = pair({ maxConnections: 10_000 });
    const packets = capturePackets(name);
    slowly = 0;
    for (const batch of batchesOf(packets, 64)) judge(engines, batch);
    plainly += compare(engines, packets[packets.length - 1].timeMs).plainly;
  }
  assert.ok(plainly > 100, `${plainly} on the fast path`);
});

test('a connection beyond its full home bucket is still found when that has room again', () => {
  const engine = new LocalEngine({ maxConnections: 1000, seed: 1 });
  engine.defineAction({});
  const { map } = engine.memory;
  const batch = new PacketBatch(1000, 1000 * 64);
  const send = (ports: readonly number[], isReply = false) => {
    batch.clear();
    for (const port of ports) {
      const ends = isReply ? { src: '10.0.0.2', dst: '10.0.0.1' } : {};
      batch.add(frame(ipv4(ends, udp(isReply ? { sport: 53, dport: port } : { sport: port, dport: 53 }))), 0);
    }
    engine.execute(batch);
    return ports.map((_, index) => formatCtState(batch.state(index)));
  };
  const portsByHome = new Map<number, number[]>();
  for (let round = 1; round <= 4; round++) {
    send(Array.from({ length: 1000 }, (_, index) => round * 1000 + index));
    for (let record = 1; record <= 1000; record++) {
      const at = recordAt(map, record);
      const home = homeBucketAt(map, 0, map.words[at + RECORD.HASH]);
      portsByHome.set(home, [...(portsByHome.get(home) ?? []), map.words[at + CONN.PORTS] >>> 16]);
    }
    flushConnections(engine.tracker);
  }
  const [ports] = [...portsByHome.values()].filter(({ length }) => length > SLOTS_PER_BUCKET);
  const neighbours = ports.slice(0, SLOTS_PER_BUCKET + 1);
  send(neighbours);
  const [gone, ...others] = neighbours;
  flushConnections(engine.tracker, { original: { srcPort: gone } });
  assert.equal(engine.connectionCount, others.length);
  assert.deepEqual(
    send(others, true),
    others.map(() => 'est|rpl|trk'),
  );
  assert.equal(engine.connectionCount, others.length);
  auditEngine(engine.memory, engine.counters());
});
