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
/** On a machine that is busy with something else threads wake late and take longer: then it is measured again. */
const ATTEMPTS = 5;
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
    const used: number[] = [];
    do used.push(await usedMs());
    while (used[used.length - 1] >= LIMIT_MS && used.length < ATTEMPTS);
    assert.ok(used[used.length - 1] < LIMIT_MS, `${used} ms in ${WATCHED_MS} ms each`);
    assert.equal(engine.connectionCount, 1000);
  } finally {
    await engine.close();
  }
});

test('with an empty table they take as good as nothing, however often the sweeper may look', async () => {
  const tries: { used: number; usedWithout: number; wakes: number }[] = [];
  const isQuiet = () => tries.some(({ used, usedWithout, wakes }) => used - usedWithout < EMPTY_LIMIT_MS && wakes <= 1);
  while (!isQuiet() && tries.length < ATTEMPTS) {
    const engine = await Engine.open({ shards: 4, maxConnections: 100_000, sweepIntervalMs: 1 });
    try {
      await sleep(500);
      const before = engine.counters().events.sweepWakes;
      const used = await usedMs();
      const wakes = engine.counters().events.sweepWakes - before;
      await engine.close();
      tries.push({ used, usedWithout: await usedMs(), wakes });
    } finally {
      await engine.close();
    }
  }
  assert.ok(isQuiet(), JSON.stringify(tries));
});
