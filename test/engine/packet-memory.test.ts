/**
 * Packets are judged in the engine's memory: those of batches that lie elsewhere are copied there and back, those of another
 * engine are refused, and there is an end to it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacketBatch } from '../../src/engine/batch.js';
import { Engine } from '../../src/engine/engine.js';
import { LocalEngine } from '../../src/engine/local.js';
import { PACKET, PACKET_WORDS } from '../../src/engine/packet.js';
import { processPackets } from '../../src/engine/process.js';
import { reasonName } from '../../src/reason.js';
import { frame, ipv4, tcp, udp } from '../support/frames.js';

const NAT = { nat: { kind: 'src', minAddress: '10.9.9.9' } } as const;

function fill(batch: PacketBatch, count: number, sport = 1): PacketBatch {
  batch.clear();
  for (let number = 0; number < count; number++) {
    const transport = number % 2 === 0 ? udp({ sport: sport + number, payload: 'x'.repeat(number % 50) }) : tcp();
    assert.ok(batch.add(frame(ipv4({ src: `10.1.0.${1 + (number % 200)}` }, transport)), number, { cookie: number }));
  }
  return batch;
}

test('a batch in the engine’s memory and one of its own get the same verdicts and frames', () => {
  for (const action of [{}, NAT]) {
    const [near, far] = [0, 1].map(() => {
      const engine = new LocalEngine({ maxConnections: 1000, seed: 1 });
      engine.defineAction(action);
      return engine;
    });
    // Larger and smaller ones in turn: the memory that they are copied to is used again.
    for (const count of [3, 200, 1, 64, 500]) {
      const inside = fill(near.createBatch(count), count);
      const outside = fill(new PacketBatch(count), count);
      assert.equal(outside.inEngine, undefined);
      near.execute(inside);
      far.execute(outside);
      assert.equal(outside.length, count);
      assert.deepEqual(outside.packets, Int32Array.from(inside.packets));
      assert.deepEqual(outside.bytes, Uint8Array.from(inside.bytes));
    }
  }
});

test('what lies outside of a batch lies outside of what it is copied to', () => {
  const engine = new LocalEngine({ maxConnections: 10 });
  engine.defineAction({});
  engine.execute(fill(new PacketBatch(100), 100));
  const small = fill(new PacketBatch(1, 100), 1);
  small.packets[PACKET.FRAME_OFFSET] = small.bytes.length;
  engine.execute(small);
  assert.equal(reasonName(small.reason(0)), 'frame-range');
});

test('packets in the memory of another engine are refused', () => {
  const [one, other] = [0, 1].map(() => new LocalEngine({ maxConnections: 10 }));
  one.defineAction({});
  const batch = fill(other.createBatch(4), 4);
  assert.ok(batch.inEngine);
  const { inEngine } = batch;
  assert.throws(() => processPackets(one.tracker, inEngine, 0, 4), /not in the memory of this engine/);
  // To execute() they are packets like any others.
  one.execute(batch);
  assert.equal(one.connectionCount, 4);
  assert.equal(other.connectionCount, 0);
  assert.notEqual(batch.packets[3 * PACKET_WORDS + PACKET.CONNECTION], 0);
});

test('an engine’s memory ends at 4 GiB, and says so in one line', async () => {
  const engine = new LocalEngine({ maxConnections: 10 });
  engine.defineAction({});
  const message = /^table, rings and frames would take \d+ bytes together, the most is 4294967296$/;
  for (const frameBytes of [2 ** 32, Number.MAX_SAFE_INTEGER, Number.NaN]) {
    assert.throws(() => engine.createBatch(1, frameBytes), { name: 'RangeError' });
  }
  assert.throws(() => engine.createBatch(1, 2 ** 32), { message });
  engine.execute(fill(engine.createBatch(8), 8));
  assert.equal(engine.connectionCount, 8);
  const rings = { shards: 5, maxConnections: 1000, ringBytes: 1 << 30 };
  await assert.rejects(Engine.open(rings), { name: 'RangeError', message });
});
