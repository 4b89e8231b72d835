/** An engine without packets sleeps. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { PacketBatch } from '../../src/engine/batch.js';
import { Engine } from '../../src/engine/engine.js';
import { frame, ipv4, udp } from '../support/frames.js';

const WATCHED_MS = 2000;
const LIMIT_MS = 100;

test('two idle seconds take less than 100 ms of all threads', async () => {
  const engine = await Engine.open({ shards: 4, maxConnections: 100_000 });
  try {
    engine.defineAction({});
    // With connections in the table, so that the sweeper has something to look at.
    const batch = new PacketBatch(1000);
    for (let number = 0; number < 1000; number++) batch.add(frame(ipv4({}, udp({ sport: 1 + number }))), Date.now());
    await engine.execute(batch);
    await sleep(500);
    const before = process.cpuUsage();
    await sleep(WATCHED_MS);
    const { user, system } = process.cpuUsage(before);
    const usedMs = (user + system) / 1000;
    assert.ok(usedMs < LIMIT_MS, `${usedMs} ms in ${WATCHED_MS} ms`);
    assert.equal(engine.connectionCount, 1000);
  } finally {
    await engine.close();
  }
});
