/**
 * Tables that are full: the limit on connections is exact whatever the number of shards, and what does not fit leaves
 * nothing behind. As in Open vSwitch a packet whose connection cannot be created stays `new|trk` and nothing is evicted.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { dumpConnections } from '../../src/control/dump.js';
import { PacketBatch } from '../../src/engine/batch.js';
import { Engine } from '../../src/engine/engine.js';
import { LocalEngine } from '../../src/engine/local.js';
import { CONTROL } from '../../src/engine/memory.js';
import { PACKET, PACKET_WORDS } from '../../src/engine/packet.js';
import { processPackets } from '../../src/engine/process.js';
import { reasonName } from '../../src/reason.js';
import { annexesUsedLocked, recordsUsedLocked } from '../../src/sharedarraybuffer-hashmap/index.js';
import { CT } from '../../src/track/state.js';
import { frame, ipv4, ipv6, tcp, udp } from '../support/frames.js';
import { auditEngine } from './audit.js';

const NEW = CT.NEW | CT.TRK;

function flow4(number: number): Uint8Array {
  return frame(ipv4({ src: `10.1.${number >>> 8}.${number & 0xff}` }, udp({ sport: 1024 + number })));
}

function flow6(number: number): Uint8Array {
  return frame(ipv6({ src: `2001:db8::${number.toString(16)}` }, udp({ sport: 1024 + number })));
}

function reasonsOf(batch: PacketBatch): string[] {
  return Array.from({ length: batch.length }, (_, index) => reasonName(batch.reason(index)));
}

function count(list: readonly string[], wanted: string): number {
  return list.filter(item => item === wanted).length;
}

async function until(what: string, isTrue: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !isTrue(); await sleep(5)) assert.ok(Date.now() < end, what);
}

/** With so few connections each part of the table has room for all; with 1000 a part may be full before the table is. */
for (const limit of [24, 1000]) {
  test(`four shards at once: the limit of ${limit} is met and never passed`, () => meetLimit(limit, limit === 24));
}

async function meetLimit(limit: number, isAlwaysFull: boolean): Promise<void> {
  const flows = limit * 3;
  const engine = await Engine.open({ shards: 4, maxConnections: limit, clock: 'packets', sweepIntervalMs: 5 });
  let most = 0;
  const watch = setInterval(() => {
    most = Math.max(most, engine.connectionCount);
  }, 0);
  try {
    engine.defineAction({});
    engine.defineAction({ commit: false });
    const batch = new PacketBatch(Math.max(flows, 500));
    for (let round = 0; round < 4; round++) {
      const startMs = round * 100_000;
      batch.clear();
      for (let number = 0; number < flows; number++) batch.add(flow4(round * flows + number), startMs);
      await engine.execute(batch);
      const reasons = reasonsOf(batch);
      const full = count(reasons, 'table-full') + (isAlwaysFull ? 0 : count(reasons, 'table-memory'));
      assert.deepEqual([count(reasons, 'none'), full], [limit, flows - limit]);
      for (let index = 0; index < flows; index++) assert.equal(batch.state(index), NEW);
      assert.equal(engine.connectionCount, limit);
      assert.equal([...dumpConnections(engine.tracker, startMs)].length, limit);
      // Those that have a connection still find it, those that have none are refused again.
      await engine.execute(batch);
      const created = (list: readonly string[]) => list.map(reason => reason === 'none');
      assert.deepEqual(created(reasonsOf(batch)), created(reasons));
      // Packets 60 s later that commit nothing move the clock of every part; the sweeper then frees all.
      batch.clear();
      for (let number = 0; number < 500; number++) batch.add(flow4(60_000 + number), startMs + 60_000, { action: 1 });
      await engine.execute(batch);
      await until('the sweeper frees all', () => engine.connectionCount === 0);
      for (let region = 0; region < 4; region++) assert.equal(recordsUsedLocked(engine.memory.map, region), 0);
    }
    assert.ok(most <= limit, `${most} connections at some time`);
    const { events, reasons } = engine.counters();
    assert.deepEqual([events.created, events.expired], [4 * limit, 4 * limit]);
    assert.equal((reasons['table-full'] ?? 0) + (reasons['table-memory'] ?? 0), 4 * 2 * (flows - limit));
  } finally {
    clearInterval(watch);
    await engine.close();
  }
}

test('no room for IPv6: table-memory, and nothing leaks', () => {
  const engine = new LocalEngine({ maxConnections: 20, maxIpv6Connections: 3 });
  engine.defineAction({});
  const { map } = engine.memory;
  const batch = new PacketBatch(32);
  for (let round = 0; round < 50; round++) {
    const nowMs = round * 60_000;
    batch.clear();
    for (let number = 0; number < 8; number++) batch.add(flow6(round + number + 1), nowMs);
    engine.execute(batch);
    assert.deepEqual(reasonsOf(batch), [...Array(3).fill('none'), ...Array(5).fill('table-memory')]);
    for (let index = 0; index < 8; index++) assert.equal(batch.state(index), NEW);
    assert.deepEqual([engine.connectionCount, recordsUsedLocked(map, 0), annexesUsedLocked(map, 0)], [3, 3, 3]);
    // What was refused took no record: all the others are there for IPv4.
    batch.clear();
    for (let number = 0; number < 18; number++) batch.add(flow4(round + number), nowMs);
    engine.execute(batch);
    assert.deepEqual(reasonsOf(batch), [...Array(17).fill('none'), 'table-full']);
    assert.deepEqual([engine.connectionCount, recordsUsedLocked(map, 0), annexesUsedLocked(map, 0)], [20, 20, 3]);
    engine.sweep(nowMs + 60_000);
    assert.deepEqual([engine.connectionCount, recordsUsedLocked(map, 0), annexesUsedLocked(map, 0)], [0, 0, 0]);
  }
});

test('IPv6 alone may fill the table when it is not limited, and none is let in at 0', () => {
  const batch = new PacketBatch(8);
  for (const [maxIpv6Connections, created] of [
    [8, 8],
    [0, 0],
  ] as const) {
    const engine = new LocalEngine({ maxConnections: 8, maxIpv6Connections });
    engine.defineAction({});
    batch.clear();
    for (let number = 0; number < 8; number++) batch.add(flow6(number + 1), 0);
    engine.execute(batch);
    assert.equal(count(reasonsOf(batch), 'none'), created);
    assert.equal(count(reasonsOf(batch), 'table-memory'), 8 - created);
    assert.equal(engine.connectionCount, created);
  }
});

test('an ended connection of the same key makes room for its successor in a full table', () => {
  const engine = new LocalEngine({ maxConnections: 2 });
  engine.defineAction({});
  const batch = new PacketBatch(3);
  for (const nowMs of [0, 60_000, 120_000]) {
    batch.clear();
    for (let number = 0; number < 3; number++) batch.add(flow4(number), nowMs);
    engine.execute(batch);
    assert.deepEqual(reasonsOf(batch), ['none', 'none', 'table-full']);
  }
  assert.deepEqual([engine.connectionCount, engine.counters().events.expired], [2, 4]);
});

/** A view that runs something when a byte or word is read at one place. */
class WatchedView extends DataView<ArrayBufferLike> {
  #isDone = false;
  at = 0;
  onRead = () => {};

  override getUint8(at: number): number {
    if (at === this.at && !this.#isDone) {
      this.#isDone = true;
      this.onRead();
    }
    return super.getUint8(at);
  }
}

function addSyns(batch: PacketBatch, first: number, count: number): void {
  for (let number = first; number < first + count; number++) {
    batch.add(frame(ipv4({ src: `10.1.0.${number}` }, tcp({ flags: 'S' }))), 0);
  }
}

/** Judges a batch of SYNs; another thread counts connections in when the flags of the second one are looked at. */
function judgeWhileOthersOpen(engine: LocalEngine, batch: PacketBatch, inTable: number, inZone: number): void {
  const { control, zoneCounts } = engine.memory;
  assert.ok(batch.inEngine);
  const { buffer, byteOffset, byteLength } = batch.frames;
  const view = new WatchedView(buffer, byteOffset, byteLength);
  view.at = batch.packets[PACKET_WORDS + PACKET.FRAME_OFFSET] + 14 + 20 + 13;
  view.onRead = () => {
    Atomics.add(control, CONTROL.CONNECTIONS, inTable);
    Atomics.add(zoneCounts, 0, inZone);
  };
  processPackets(engine.tracker, { ...batch.inEngine, frames: view }, 0, batch.length);
  Atomics.sub(control, CONTROL.CONNECTIONS, inTable);
  Atomics.sub(zoneCounts, 0, inZone);
}

test('others fill the table while a batch opens connections: what was opened is taken back, and opened one by one', () => {
  const engine = new LocalEngine({ maxConnections: 10, seed: 1 });
  engine.defineAction({});
  const batch = engine.createBatch(8);
  addSyns(batch, 1, 4);
  judgeWhileOthersOpen(engine, batch, 7, 7);
  assert.deepEqual(reasonsOf(batch), ['none', 'none', 'none', 'table-full']);
  for (let index = 0; index < 4; index++) assert.equal(batch.state(index), NEW);
  auditEngine(engine.memory, engine.counters());
  assert.deepEqual([engine.connectionCount, engine.counters().events.created], [3, 3]);
  assert.equal([...dumpConnections(engine.tracker, 0)].length, 3);
  // The records of the first attempt were used again: their generations say so.
  assert.equal(batch.packets[PACKET.GENERATION], 3);
});

for (const [what, limit, room, made, taken] of [
  ['the last place in the table', 6, 1, 8, { inTable: 1, inZone: 1 }],
  ['the last places in the zone', 6, 0, 8, { inTable: 0, inZone: 3 }],
  // Two of the first attempt have come and gone.
  ['a place that one of the batch has given way to another', 2, 2, 6, { inTable: 1, inZone: 1 }],
] as const) {
  test(`others take ${what} while connections give way: nothing is counted twice`, () => {
    const engine = new LocalEngine({ maxConnections: limit, seed: 1, profile: 'resilient' });
    engine.defineAction({});
    engine.settings.setZoneLimit(0, limit + 2);
    const batch = engine.createBatch(8);
    addSyns(batch, 1, limit - room);
    engine.execute(batch);
    batch.clear();
    addSyns(batch, 100, 2 + room);
    judgeWhileOthersOpen(engine, batch, taken.inTable, taken.inZone);
    assert.deepEqual(reasonsOf(batch), Array(batch.length).fill('none'));
    auditEngine(engine.memory, engine.counters());
    const { created, evictedHalfOpen } = engine.counters().events;
    assert.equal(created, made);
    assert.equal(engine.connectionCount, created - evictedHalfOpen);
    assert.equal([...dumpConnections(engine.tracker, 0)].length, engine.connectionCount);
    for (let index = 0; index < batch.length; index++) assert.equal(batch.state(index), NEW);
    const there = [...dumpConnections(engine.tracker, 0)].map(({ original }) => original.src);
    assert.ok(there.includes(`10.1.0.${101 + room}`), `the last one is there: ${there.join(' ')}`);
  });
}
