/**
 * A full table under the policies of engine/policy: which connection gives way to a new one, and which never does.
 * What each class is, and the order in which they go, is the table in track/protocol.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flushConnections } from '../../src/control/flush.js';
import { classCounts } from '../../src/engine/classes.js';
import {
  type ClassName,
  type CtAction,
  dumpConnections,
  formatCtState,
  LocalEngine,
  type NatAction,
  PacketBatch,
  reasonName,
  type TableOptions,
} from '../../src/index.js';
import { frame, icmp, icmpv6, ipv4, ipv6, type Transport, tcp, udp } from '../support/frames.js';
import { auditEngine, evictedOf } from './audit.js';

const HOST = '10.0.0.2';

function open(options: TableOptions, action: CtAction = {}): LocalEngine {
  const engine = new LocalEngine({ seed: 1, profile: 'resilient', ...options });
  engine.defineAction(action);
  return engine;
}

/** Judges one packet. @returns `state reason` */
function judge(engine: LocalEngine, bytes: Uint8Array, timeMs = 0, action = 0): string {
  const batch = new PacketBatch(1);
  batch.add(bytes, timeMs, { action });
  engine.execute(batch);
  return `${formatCtState(batch.state(0))} ${reasonName(batch.reason(0))}`;
}

/** A packet of client number `client` to the server, or back. */
function packet(client: number, transport: Transport, isReply = false): Uint8Array {
  const address = `10.1.${client >>> 8}.${client & 255}`;
  return frame(ipv4(isReply ? { src: HOST, dst: address } : { src: address, dst: HOST }, transport));
}

const SEQ = 1000;
const SYN = tcp({ seq: SEQ, flags: 'S' });
const SYN_ACK = tcp({ sport: 80, dport: 40000, seq: SEQ, ack: SEQ + 1, flags: 'SA' });
const ACK = tcp({ seq: SEQ + 1, ack: SEQ + 1, flags: 'A' });
const FIN = tcp({ seq: SEQ + 1, ack: SEQ + 1, flags: 'FA' });
const QUERY = udp({ sport: 5000, dport: 53 });
const ANSWER = udp({ sport: 53, dport: 5000 });

/** Brings a client's connection into a class. */
const MAKE: Readonly<Record<ClassName, (engine: LocalEngine, client: number) => void>> = {
  'half-open': (engine, client) => assert.equal(judge(engine, packet(client, SYN)), 'new|trk none'),
  'one-way': (engine, client) => assert.equal(judge(engine, packet(client, QUERY)), 'new|trk none'),
  replied: (engine, client) => {
    MAKE['one-way'](engine, client);
    assert.equal(judge(engine, packet(client, ANSWER, true)), 'est|rpl|trk none');
  },
  established: (engine, client) => {
    MAKE['half-open'](engine, client);
    assert.equal(judge(engine, packet(client, SYN_ACK, true)), 'est|rpl|trk none');
    assert.equal(judge(engine, packet(client, ACK)), 'est|trk none');
  },
  closing: (engine, client) => {
    MAKE.established(engine, client);
    assert.equal(judge(engine, packet(client, FIN)), 'est|trk none');
  },
};

/** Numbers of the clients that have a connection. */
function clients(engine: LocalEngine): number[] {
  const numbers = [...dumpConnections(engine.tracker, 0)].map(({ original }) => Number(original.src.split('.')[3]));
  return numbers.sort((a, b) => a - b);
}

test('a connection changes its class with its packets', () => {
  const engine = open({ maxConnections: 100 });
  const counts = () => Object.fromEntries(Object.entries(classCounts(engine.memory)).filter(([, count]) => count > 0));
  judge(engine, packet(1, SYN));
  assert.deepEqual(counts(), { 'half-open': 1 });
  judge(engine, packet(1, SYN_ACK, true));
  assert.deepEqual(counts(), { 'half-open': 1 });
  judge(engine, packet(1, ACK));
  assert.deepEqual(counts(), { established: 1 });
  judge(engine, packet(1, FIN));
  assert.deepEqual(counts(), { closing: 1 });
  judge(engine, packet(2, QUERY));
  judge(engine, packet(3, icmp({ type: 8 })));
  assert.deepEqual(counts(), { 'one-way': 2, closing: 1 });
  judge(engine, packet(2, ANSWER, true));
  judge(engine, packet(3, icmp({ type: 0 }), true));
  assert.deepEqual(counts(), { closing: 1, replied: 2 });
  // A RST ends a connection that never opened: it is closing, no longer half-open.
  judge(engine, packet(4, SYN));
  judge(engine, packet(4, tcp({ sport: 80, dport: 40000, seq: 0, ack: SEQ + 1, flags: 'RA' }), true));
  assert.deepEqual(counts(), { closing: 2, replied: 2 });
  auditEngine(engine.memory, engine.counters());
  flushConnections(engine.tracker);
  assert.deepEqual(counts(), {});
});

test('the cheapest class goes first, its oldest connection first, and no class above closing goes at all', () => {
  const engine = open({ maxConnections: 10 });
  engine.settings.tablePolicy = { ...engine.settings.tablePolicy, reservePercent: 0 };
  const classes: ClassName[] = ['established', 'replied', 'closing', 'one-way', 'half-open'];
  classes.forEach((name, index) => {
    MAKE[name](engine, index * 2);
    MAKE[name](engine, index * 2 + 1);
  });
  assert.equal(engine.connectionCount, 10);
  // Half-open ones 8 and 9, then one-way 6 and 7, then closing 4 and 5; what comes is established at once.
  for (const [round, gone] of [8, 9, 6, 7, 4, 5].entries()) {
    assert.ok(clients(engine).includes(gone));
    MAKE.established(engine, 100 + round);
    assert.ok(!clients(engine).includes(gone), `${gone} gives way`);
    assert.equal(engine.connectionCount, 10);
  }
  assert.equal(judge(engine, packet(200, SYN)), 'new|trk table-full');
  assert.equal(judge(engine, packet(201, QUERY)), 'new|trk table-full');
  assert.deepEqual(clients(engine), [0, 1, 2, 3, 100, 101, 102, 103, 104, 105]);
  const { events } = engine.counters();
  assert.deepEqual([events.evictedHalfOpen, events.evictedOneWay, events.evictedClosing], [2, 2, 2]);
  assert.deepEqual([events.evictedReplied, events.evictedEstablished], [0, 0]);
  auditEngine(engine.memory, engine.counters());
});

test('replied and established connections are evicted only if the policy says so', () => {
  const engine = open({ maxConnections: 2 });
  MAKE.replied(engine, 1);
  MAKE.established(engine, 2);
  engine.settings.tablePolicy = { evictable: ['replied'] };
  MAKE.established(engine, 3);
  assert.deepEqual(clients(engine), [2, 3]);
  assert.equal(judge(engine, packet(4, QUERY)), 'new|trk table-full');
  engine.settings.tablePolicy = { evictable: ['established'] };
  MAKE['half-open'](engine, 5);
  assert.deepEqual(clients(engine), [3, 5]);
  assert.equal(auditEngine(engine.memory, engine.counters()), 2);
});

test('a class keeps its reserve while another one can give way', () => {
  const engine = open({ maxConnections: 20 });
  engine.settings.tablePolicy = { evictable: ['half-open', 'one-way'], reservePercent: 20 };
  for (let client = 0; client < 6; client++) MAKE['half-open'](engine, client);
  for (let client = 10; client < 40; client++) MAKE['one-way'](engine, client);
  // Four of twenty are sure of their place: the flood goes round in the rest.
  assert.deepEqual(classCounts(engine.memory), {
    'half-open': 4,
    'one-way': 16,
    closing: 0,
    replied: 0,
    established: 0,
  });
  assert.deepEqual(clients(engine).slice(0, 4), [2, 3, 4, 5]);
  for (let client = 50; client < 80; client++) MAKE['half-open'](engine, client);
  assert.equal(classCounts(engine.memory)['one-way'], 15, 'half-open ones go first while there are more than four');
  auditEngine(engine.memory, engine.counters());
});

test('a class with exactly its reserve gives way only while no other one has more than that', () => {
  const engine = open({ maxConnections: 20 });
  engine.settings.tablePolicy = { evictable: ['half-open', 'one-way', 'closing'], reservePercent: 20 };
  for (let client = 0; client < 4; client++) MAKE['half-open'](engine, client);
  for (let client = 4; client < 9; client++) MAKE['one-way'](engine, client);
  for (let client = 9; client < 13; client++) MAKE.closing(engine, client);
  for (let client = 13; client < 20; client++) MAKE.replied(engine, client);
  const gone: number[] = [];
  for (let newcomer = 20; newcomer < 23; newcomer++) {
    const before = clients(engine);
    MAKE.replied(engine, newcomer);
    gone.push(...before.filter(client => !clients(engine).includes(client)));
  }
  // The fifth one-way, while it is one too many; then the cheapest.
  assert.deepEqual(gone, [4, 0, 1]);
  auditEngine(engine.memory, engine.counters());
});

test('the reserve is kept by newcomers of zones whose policy says so, from one moment to the next', () => {
  const engine = open({ maxConnections: 20 });
  engine.settings.tablePolicy = { evictable: ['half-open', 'one-way'], reservePercent: 20 };
  const halfOpen = () => classCounts(engine.memory)['half-open'];
  for (let client = 0; client < 6; client++) MAKE['half-open'](engine, client);
  for (let client = 10; client < 30; client++) MAKE['one-way'](engine, client);
  assert.equal(halfOpen(), 4);
  engine.settings.defaultZonePolicy = { evicts: true };
  MAKE['one-way'](engine, 30);
  assert.equal(halfOpen(), 3);
  engine.settings.setZonePolicy(0, { evicts: true, keepsReserve: true });
  for (let client = 31; client < 40; client++) MAKE['one-way'](engine, client);
  assert.equal(halfOpen(), 3);
  assert.throws(
    () => engine.settings.setZonePolicy(0, { keepsReserve: true }),
    /^RangeError: keepsReserve needs evicts/,
  );
  auditEngine(engine.memory, engine.counters());
});

test('the ovs profile refuses, and what was made under it is never evicted', () => {
  const engine = open({ maxConnections: 3, profile: 'ovs' });
  for (let client = 0; client < 3; client++) MAKE['half-open'](engine, client);
  assert.equal(judge(engine, packet(3, SYN)), 'new|trk table-full');
  engine.settings.applyProfile('resilient');
  assert.equal(judge(engine, packet(3, SYN)), 'new|trk table-full');
  flushConnections(engine.tracker, { original: { src: '10.1.0.0' } });
  MAKE['half-open'](engine, 4);
  MAKE['half-open'](engine, 5);
  assert.deepEqual(clients(engine), [1, 2, 5]);
  engine.settings.applyProfile('ovs');
  assert.equal(judge(engine, packet(6, SYN)), 'new|trk table-full');
  // One that was listed leaves its list all the same.
  judge(engine, packet(5, SYN_ACK, true));
  judge(engine, packet(5, ACK));
  assert.equal(classCounts(engine.memory).established, 1);
  auditEngine(engine.memory, engine.counters());
});

test('zones have policies of their own, on and off at any time', () => {
  const engine = open({ maxConnections: 2, profile: 'ovs' });
  const zone1 = engine.defineAction({ zone: 1 });
  const zone2 = engine.defineAction({ zone: 2 });
  engine.settings.tablePolicy = { evictable: ['half-open'] };
  engine.settings.setZonePolicy(1, { evicts: true });
  assert.equal(judge(engine, packet(1, SYN), 0, zone1), 'new|trk none');
  assert.equal(judge(engine, packet(2, SYN), 0, zone2), 'new|trk none');
  assert.equal(judge(engine, packet(3, SYN), 0, zone2), 'new|trk table-full', 'zone 2 evicts nobody');
  assert.equal(judge(engine, packet(4, SYN), 0, zone1), 'new|trk none');
  assert.deepEqual(clients(engine), [2, 4], 'zone 1 gave way to zone 1, not zone 2');
  engine.settings.setZonePolicy(1, undefined);
  assert.equal(judge(engine, packet(5, SYN), 0, zone1), 'new|trk table-full');
  assert.equal(auditEngine(engine.memory, engine.counters()), 2);
});

test('a zone at its limit makes room among its own, if its policy says so', () => {
  const engine = open({ maxConnections: 100 });
  const limited = engine.defineAction({ zone: 1 });
  engine.settings.setZoneLimit(1, 2);
  MAKE['half-open'](engine, 1);
  for (const client of [2, 3, 4]) assert.equal(judge(engine, packet(client, SYN), 0, limited), 'new|trk none');
  assert.deepEqual(clients(engine), [1, 3, 4]);
  assert.equal(judge(engine, packet(4, SYN_ACK, true), 0, limited), 'est|rpl|trk none');
  assert.equal(judge(engine, packet(4, ACK), 0, limited), 'est|trk none');
  for (const client of [5, 6]) assert.equal(judge(engine, packet(client, QUERY), 0, limited), 'new|trk none');
  assert.deepEqual(clients(engine), [1, 4, 6], 'what is established stays, and so do other zones');
  engine.settings.setZonePolicy(1, { evicts: true });
  assert.equal(judge(engine, packet(7, SYN), 0, limited), 'new|trk zone-full');
  assert.throws(() => engine.settings.setZonePolicy(1, { evictsAtZoneLimit: true }), RangeError);
  auditEngine(engine.memory, engine.counters());
});

test('a connection over IPv6 takes the place of one when the annexes are used up', () => {
  const engine = open({ maxConnections: 20, maxIpv6Connections: 3 });
  const flow6 = (number: number) => frame(ipv6({ src: `2001:db8::${number}` }, udp()));
  for (let client = 0; client < 5; client++) MAKE['one-way'](engine, client);
  for (let number = 1; number <= 6; number++) assert.equal(judge(engine, flow6(number)), 'new|trk none');
  assert.deepEqual([engine.connectionCount, engine.counters().events.evictedOneWay], [8, 3]);
  auditEngine(engine.memory, engine.counters());
});

/** Packets that open a one-way connection, by the fast path of creation and by the one for each packet. */
const OPENINGS: Readonly<Record<string, (client: number) => Uint8Array>> = {
  UDP: client => packet(client, QUERY),
  ICMP: client => packet(client, icmp({ type: 8 })),
};

for (const [name, opening] of Object.entries(OPENINGS)) {
  test(`${name}: nobody gives way while there are more than a limit that was lowered allows`, () => {
    const engine = open({ maxConnections: 20 });
    const limited = engine.defineAction({ zone: 1 });
    engine.settings.defaultZonePolicy = { evicts: true, evictsAtZoneLimit: true };
    for (let client = 0; client < 10; client++) judge(engine, opening(client));
    for (let client = 10; client < 20; client++) judge(engine, opening(client), 0, limited);
    engine.settings.maxConnections = 19;
    engine.settings.setZoneLimit(1, 10);
    assert.equal(judge(engine, opening(30)), 'new|trk table-full');
    assert.equal(judge(engine, opening(31), 0, limited), 'new|trk zone-full');
    engine.settings.maxConnections = 20;
    engine.settings.setZoneLimit(1, 9);
    assert.equal(judge(engine, opening(32), 0, limited), 'new|trk zone-full');
    assert.deepEqual(evictedOf(engine.counters()), 0);
    assert.equal(judge(engine, opening(33)), 'new|trk none');
    engine.settings.setZoneLimit(1, 10);
    assert.equal(judge(engine, opening(34), 0, limited), 'new|trk none');
    assert.deepEqual([engine.connectionCount, evictedOf(engine.counters())], [20, 2]);
    auditEngine(engine.memory, engine.counters());
  });
}

/** The same over IPv6. */
const OPENINGS_IPV6: Readonly<Record<string, (client: number) => Uint8Array>> = {
  UDP: client => frame(ipv6({ src: `2001:db8::${client}` }, udp())),
  ICMPv6: client => frame(ipv6({ src: `2001:db8::${client}` }, icmpv6({ type: 128 }))),
};

for (const [name, opening] of Object.entries(OPENINGS_IPV6)) {
  test(`${name}: over IPv6 nobody gives way whose place would not do, when the annexes are used up`, () => {
    for (const [annexes, answer] of [
      [0, 'new|trk table-full'],
      [2, 'new|trk none'],
    ] as const) {
      const engine = open({ maxConnections: 10, maxIpv6Connections: annexes });
      for (let client = 0; client < annexes; client++) judge(engine, opening(client));
      for (let client = annexes; client < 10; client++) MAKE['one-way'](engine, client);
      for (let client = 20; client < 30; client++) assert.equal(judge(engine, opening(client)), answer);
      assert.deepEqual([engine.connectionCount, evictedOf(engine.counters())], [10, annexes === 0 ? 0 : 10]);
      const left = [...dumpConnections(engine.tracker, 0)].filter(({ original }) => original.src.includes(':'));
      assert.equal(left.length, annexes);
      auditEngine(engine.memory, engine.counters());
    }
  });

  test(`${name}: nor one of a zone at its limit, unless the annex of another zone's is to be had`, () => {
    for (const [annexes, answer] of [
      [0, 'new|trk zone-full'],
      [1, 'new|trk none'],
    ] as const) {
      const engine = open({ maxConnections: 100, maxIpv6Connections: annexes });
      const limited = engine.defineAction({ zone: 1 });
      engine.settings.setZoneLimit(1, 2);
      judge(engine, opening(1));
      for (const client of [1, 2]) assert.equal(judge(engine, packet(client, QUERY), 0, limited), 'new|trk none');
      assert.equal(judge(engine, opening(2), 0, limited), answer);
      assert.deepEqual([engine.connectionCount, evictedOf(engine.counters())], [2, 2 * annexes]);
      auditEngine(engine.memory, engine.counters());
    }
  });
}

test('an eviction under NAT takes the entry of the reply direction along', () => {
  const engine = open({ maxConnections: 4 });
  const nat: NatAction = { kind: 'src', minAddress: '192.0.2.1', minPort: 1000, maxPort: 1999 };
  const translated = engine.defineAction({ nat });
  for (let client = 0; client < 50; client++) {
    assert.equal(judge(engine, packet(client, SYN), 0, translated), 'new|trk|snat none');
  }
  assert.equal(engine.connectionCount, 4);
  assert.equal(evictedOf(engine.counters()), 46);
  auditEngine(engine.memory, engine.counters());
});
