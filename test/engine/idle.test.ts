/**
 * An engine without packets sleeps. What a program takes that has no engine is measured beside it, in the same process:
 * the system's clock of processor time is coarse, and the test runner does things of its own.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { PacketBatch } from '../../src/engine/batch.js';
import { Engine } from '../../src/engine/engine.js';
import { frame, ipv4, udp } from '../support/frames.js';

const WATCHED_MS = 2000;
const LIMIT_MS = 100;
/** Half a percent of one processor. */
const EMPTY_LIMIT_MS = 10;

/** Milliseconds of processor time of all threads of this process, from now on. */
async function usedMs(): Promise<number> {
  const before = process.cpuUsage();
  await sleep(WATCHED_MS);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

test('two idle seconds take less than 100 ms of all threads', async () => {
  const engine = await Engine.open({ shards: 4, maxConnections: 100_000 });
  try {
    engine.defineAction({});
    // With connections in the table, so that the sweeper has something to look at.
    const batch = new PacketBatch(1000);
    for (let number = 0; number < 1000; number++) batch.add(frame(ipv4({}, udp({ sport: 1 + number }))), Date.now());
    await engine.execute(batch);
    await sleep(500);
    const used = await usedMs();
    assert.ok(used < LIMIT_MS, `${used} ms in ${WATCHED_MS} ms`);
    assert.equal(engine.connectionCount, 1000);
  } finally {
    await engine.close();
  }
});

test('with an empty table they take as good as nothing, however often the sweeper may look', async () => {
  const engine = await Engine.open({ shards: 4, maxConnections: 100_000, sweepIntervalMs: 1 });
  try {
    await sleep(500);
    const before = engine.counters().events.sweepWakes;
    const used = await usedMs();
    const { sweepWakes } = engine.counters().events;
    await engine.close();
    const usedWithout = await usedMs();
    assert.ok(sweepWakes - before <= 1, `${sweepWakes - before} times awake in ${WATCHED_MS} ms`);
    assert.ok(
      used - usedWithout < EMPTY_LIMIT_MS,
      `${used} ms in ${WATCHED_MS} ms, ${usedWithout} ms without an engine`,
    );
  } finally {
    await engine.close();
  }
});
