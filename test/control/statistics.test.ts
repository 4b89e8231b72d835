/**
 * Kept counts: equal to a count of all connections after anything that happens to them, and in the words of
 * `dpctl/ct-stats-show`, which a live Open vSwitch is asked for where one is installed.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { flushConnections } from '../../src/control/flush.js';
import { formatStatistics } from '../../src/control/statistics-text.js';
import { PacketBatch } from '../../src/engine/batch.js';
import { Engine } from '../../src/engine/engine.js';
import { LocalEngine } from '../../src/engine/local.js';
import { readStatistics } from '../../src/engine/statistics.js';
import { frame, icmp, icmpv6, ipv4, ipv6, raw, sctp, type Transport, tcp, udp } from '../support/frames.js';
import { isOvsAvailable, Ovs } from '../support/ovs.js';
import { withSeed } from '../support/random.js';
import { KIND_COUNT, randomFrame } from './kinds.js';
import { ACTIONS } from './populate.js';
import { assertCountsAndLists } from './recount.js';

const NO_PROTOCOLS = { tcp: 0, udp: 0, udplite: 0, sctp: 0, icmp: 0, icmpv6: 0, dccp: 0, igmp: 0, other: 0 };

test('counts and lists follow random packets, replacements, ends and flushes', () => {
  withSeed(61, random => {
    const engine = new LocalEngine({ maxConnections: 300, seed: 61 });
    for (const action of [...ACTIONS, { force: true }, { zone: 5, force: true }]) engine.defineAction(action);
    const batch = new PacketBatch(64);
    let nowMs = 0;
    for (let round = 0; round < 400; round++) {
      batch.clear();
      while (batch.length < batch.capacity) {
        nowMs += random.below(500);
        const action = random.below(ACTIONS.length + 2);
        batch.add(randomFrame(random, random.below(KIND_COUNT)), nowMs, { action });
      }
      engine.execute(batch);
      if (random.chance(0.1)) engine.sweep(nowMs);
      if (random.chance(0.05)) flushConnections(engine.tracker, random.pick([{ zone: 5 }, { zone: 7, protocol: 6 }]));
      assertCountsAndLists(engine.tracker);
      assert.equal(engine.statistics().connections, engine.connectionCount);
    }
    const { created, expired, replaced, deleted } = engine.counters().events;
    assert.ok(
      Math.min(expired, replaced, deleted) > 20,
      `${expired} expired, ${replaced} replaced, ${deleted} deleted`,
    );
    assert.equal(created, engine.connectionCount + expired + replaced + deleted);
    flushConnections(engine.tracker);
    assert.deepEqual(engine.statistics(), { connections: 0, protocols: NO_PROTOCOLS, tcpStates: {}, zones: [] });
    assert.equal(formatStatistics(engine.statistics()), 'Connections Stats:\n    Total: 0');
  });
});

/** Segments of one TCP connection, each with the state that it leaves behind (RFC 9293 figure 5, merged as OVS does). */
const LIFE = [
  [true, { flags: 'S', seq: 1000 }, 'SYN_SENT'],
  [false, { flags: 'SA', seq: 5000, ack: 1001 }, 'ESTABLISHED'],
  [true, { flags: 'A', seq: 1001, ack: 5001 }, 'ESTABLISHED'],
  [true, { flags: 'FA', seq: 1001, ack: 5001 }, 'CLOSING'],
  [false, { flags: 'A', seq: 5001, ack: 1002 }, 'TIME_WAIT'],
  [false, { flags: 'R', seq: 5001 }, 'TIME_WAIT'],
] as const;

/** Picked up on the way, then segments that lie beyond the window, but near: the states are those of the tapes. */
const PICKED_UP = [true, { flags: 'A', seq: 5000, ack: 9000, payload: 'x'.repeat(1000) }, 'SYN_SENT'] as const;
const NEAR_FIN = [true, { flags: 'FA', seq: 7000, ack: 9000, payload: 'x' }, 'CLOSING'] as const;
const NEAR_RST = [true, { flags: 'R', seq: 8000 }, 'TIME_WAIT'] as const;

for (const [what, segments] of [
  ['from its SYN on', LIFE],
  ['that is closed by a near miss', [PICKED_UP, NEAR_FIN]],
  ['that is reset by a near miss', [PICKED_UP, NEAR_RST]],
  ['that is closed and reset by near misses', [PICKED_UP, NEAR_FIN, NEAR_RST]],
] as const) {
  test(`a TCP connection ${what} counts under one state at a time`, () => {
    const engine = new LocalEngine({ maxConnections: 4 });
    engine.defineAction({});
    const batch = new PacketBatch(1);
    for (const [isFromClient, fields, state] of segments) {
      const ports = isFromClient ? { sport: 9, dport: 80 } : { sport: 80, dport: 9 };
      const addresses = isFromClient ? { src: '10.0.0.1', dst: '10.0.0.2' } : { src: '10.0.0.2', dst: '10.0.0.1' };
      batch.clear();
      batch.add(frame(ipv4(addresses, tcp({ ...ports, ...fields }))), 1);
      engine.execute(batch);
      assert.deepEqual(engine.statistics().tcpStates, { [state]: 1 });
      assertCountsAndLists(engine.tracker);
    }
  });
}

test('workers leave exact counts behind', async () => {
  const engine = await Engine.open({ shards: 2, maxConnections: 1000 });
  try {
    for (const action of ACTIONS) engine.defineAction(action);
    await withSeedAsync(62, engine);
    assertCountsAndLists(engine.tracker);
    const { created, expired, replaced } = engine.counters().events;
    assert.equal(engine.statistics().connections, created - expired - replaced);
  } finally {
    await engine.close();
  }
});

async function withSeedAsync(seed: number, engine: Engine): Promise<void> {
  const batches: PacketBatch[] = [];
  withSeed(seed, random => {
    for (let round = 0; round < 40; round++) {
      const batch = new PacketBatch(256);
      while (batch.length < batch.capacity) {
        batch.add(randomFrame(random, random.below(KIND_COUNT)), Date.now(), { action: random.below(ACTIONS.length) });
      }
      batches.push(batch);
    }
  });
  await Promise.all(batches.map(batch => engine.execute(batch)));
}

/** A packet of every kind of protocol, and TCP connections in several states. */
const PACKETS: readonly Uint8Array[] = [
  ...[1, 2, 3].map(sport => frame(ipv4({}, udp({ sport, dport: 53 })))),
  // One: Open vSwitch 3.1 does not read the ports of SCTP.
  frame(ipv4({}, sctp({ sport: 1, dport: 7 }))),
  frame(ipv4({}, raw(136, [0, 1, 0, 2, 0, 8, 0, 0]))),
  frame(ipv4({}, raw(33, [0, 1, 0, 2, 3, 0, 0, 0, 0, 0, 0, 0]))),
  frame(ipv4({}, raw(2, [0x16, 0, 0, 0, 224, 0, 0, 9]))),
  ...[47, 112].map(protocol => frame(ipv4({}, raw(protocol, [1, 2, 3, 4, 5, 6, 7, 8])))),
  ...[1, 2, 3, 4].map(id => frame(ipv4({}, icmp({ id, type: 8 })))),
  frame(ipv6({}, icmpv6({ id: 1, type: 128 }))),
  ...[1, 2, 3].map(sport => frame(ipv4({}, tcp({ sport, dport: 80, flags: 'S' })))),
  ...talk('10.0.0.1', '10.0.0.2', 40, LIFE.slice(0, 3)),
  ...talk('10.0.0.1', '10.0.0.2', 41, LIFE.slice(0, 4)),
  ...talk('10.0.0.1', '10.0.0.2', 42, LIFE),
];

function talk(client: string, server: string, port: number, segments: readonly (typeof LIFE)[number][]): Uint8Array[] {
  return segments.map(([isFromClient, fields]) => {
    const ends: Transport = isFromClient
      ? tcp({ sport: port, dport: 80, ...fields })
      : tcp({ sport: 80, dport: port, ...fields });
    return frame(ipv4(isFromClient ? { src: client, dst: server } : { src: server, dst: client }, ends));
  });
}

const availability = isOvsAvailable();
describe('Open vSwitch counts the same', { skip: availability.available ? false : availability.reason }, () => {
  test('dpctl/ct-stats-show', async () => {
    const ovs = await Ovs.start();
    try {
      const engine = new LocalEngine({ maxConnections: 100 });
      engine.defineAction({});
      const batch = new PacketBatch(PACKETS.length);
      for (const data of PACKETS) assert.ok(batch.add(data, 1));
      engine.execute(batch);
      await ovs.inject(PACKETS.map(data => ({ data })));
      const statistics = readStatistics(engine.tracker);
      assert.equal(formatStatistics(statistics), await ovs.command('dpctl/ct-stats-show'));
      assert.equal(formatStatistics(statistics, { more: true }), await ovs.command('dpctl/ct-stats-show', '-m'));
      assert.equal(statistics.protocols.icmpv6, 1);
    } finally {
      await ovs.stop();
    }
  });
});
