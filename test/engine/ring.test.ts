/**
 * How long the two sides of a ring look around before they sleep, and that nobody sleeps through the end.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacketBatch } from '../../src/engine/batch.js';
import { Engine } from '../../src/engine/engine.js';
import {
  attachRing,
  createRing,
  PATIENCE,
  publishProcessed,
  publishProduced,
  waitForProcessed,
  waitForProduced,
  wakeAll,
} from '../../src/engine/ring.js';
import { createWasmMemory } from '../../src/wire/wasm.js';
import { frame, ipv4, udp } from '../support/frames.js';

test('patience is earned with packets, up to a limit, and used up by waiting in vain', () => {
  const handle = createRing(createWasmMemory(0), 64, 4096, 100_000);
  const producer = attachRing(handle);
  const shard = attachRing(handle);
  publishProduced(producer, 10);
  const earned = producer.patience;
  assert.ok(earned > 0);
  publishProduced(producer, 20);
  assert.equal(producer.patience, 2 * earned);
  assert.equal(shard.patience, 0);
  publishProcessed(shard, 5);
  assert.equal(shard.patience, earned / 2);
  // Across the end of the count, and beyond the limit.
  publishProduced(producer, 20 + 50_000);
  assert.equal(producer.patience, 100_000);
  // There already: nothing is used up.
  waitForProduced(shard, 5, 1000);
  assert.equal(shard.patience, earned / 2);
  waitForProcessed(producer, 5, 1);
  assert.equal(producer.patience, 0);
});

test('the count of packets runs on past 2^31 without patience getting lost', () => {
  const ring = attachRing(createRing(createWasmMemory(0), 64, 4096, 1_000_000));
  publishProduced(ring, 0x7fff_ffff);
  ring.patience = 0;
  publishProduced(ring, (0x7fff_ffff + 3) | 0);
  assert.ok(ring.patience > 0);
});

test('a ring that was given no patience earns none', () => {
  const ring = attachRing(createRing(createWasmMemory(0), 64, 4096));
  publishProduced(ring, 60);
  assert.equal(ring.patience, 0);
});

test('at the end even the most patient stop looking around', () => {
  const ring = attachRing(createRing(createWasmMemory(0), 64, 4096, PATIENCE));
  publishProduced(ring, 1 << 20);
  assert.equal(ring.patience, PATIENCE);
  wakeAll(ring);
  const startedMs = performance.now();
  waitForProcessed(ring, 0, 0);
  // Looking around would take some 20 ms.
  assert.ok(performance.now() - startedMs < 5);
});

test('an engine that has just been busy closes at once', { timeout: 60_000 }, async () => {
  const batch = new PacketBatch(2000);
  for (let number = 0; number < 2000; number++) batch.add(frame(ipv4({}, udp({ sport: 1 + number }))), 0);
  for (let round = 0; round < 10; round++) {
    const engine = await Engine.open({ shards: 1, maxConnections: 10_000, clock: 'packets' });
    engine.defineAction({});
    await engine.execute(batch);
    const startedMs = performance.now();
    await engine.close();
    // A shard that had missed it would sleep for a second.
    const tookMs = performance.now() - startedMs;
    assert.ok(tookMs < 900, `${tookMs} ms`);
  }
});
