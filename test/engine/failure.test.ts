/**
 * Workers that fail at their start, or again and again: the caller gets one clear error, no call hangs, and closing works.
 * Workers are made to fail by what the pool hands them: memory that holds no table, or another file to run. Those that die
 * now and then are recovery.test.ts'.
 */
import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { PacketBatch } from '../../src/engine/batch.js';
import { Engine, type ShardTask } from '../../src/engine/engine.js';
import { createRing } from '../../src/engine/ring.js';
import { createWasmMemory } from '../../src/wire/wasm.js';
import { frame, ipv4, udp } from '../support/frames.js';

type Run = typeof Piscina.prototype.run;
type Task = ShardTask & { ring?: SharedArrayBuffer };

const realRun: Run = Piscina.prototype.run;
const LATER = fileURLToPath(new URL('./failing-shard.js', import.meta.url));
const SHARD = fileURLToPath(new URL('../../workers/shard.js', import.meta.url));
const SWEEPER = fileURLToPath(new URL('../../workers/sweeper.js', import.meta.url));

/** Lets `change` see each task before it is run; what it returns is run instead. */
function intercept(change: (task: Task, number: number) => { task?: unknown; filename?: string } | undefined): void {
  let number = 0;
  const changedRun: Run = function (this: Piscina, task, options) {
    const other = change(task, number++);
    return realRun.call(this, other?.task ?? task, {
      ...options,
      ...(other?.filename && { filename: other.filename }),
    });
  };
  Piscina.prototype.run = changedRun;
}

function flows(count: number): PacketBatch {
  const batch = new PacketBatch(count);
  for (let number = 0; number < count; number++) batch.add(frame(ipv4({}, udp({ sport: 1 + number }))), 0);
  return batch;
}

/** Number of shard 0 among the threads that take locks. */
const FIRST_SHARD_OWNER = 3;
const OPTIONS = { shards: 2, maxConnections: 1000, clock: 'packets' } as const;

describe('a worker that fails', { timeout: 40_000 }, () => {
  afterEach(() => {
    Piscina.prototype.run = realRun;
  });

  test('at its start, without a table: open() says which and why', async () => {
    intercept((task, number) =>
      number === 1 ? { task: { ...task, memory: { ...task.memory, table: createWasmMemory(65_536) } } } : undefined,
    );
    await assert.rejects(Engine.open(OPTIONS), { message: 'shard 1 failed: the buffer holds no map' });
  });

  test('at its start, the sweeper', async () => {
    intercept((_task, number) => (number === 2 ? { task: { owner: 2 } } : undefined));
    await assert.rejects(Engine.open(OPTIONS), { message: /^sweeper failed: Cannot read properties of undefined/ });
  });

  test('at its start, without a file to run', async () => {
    intercept((_task, number) => (number === 0 ? { filename: '/nowhere/shard.js' } : undefined));
    await assert.rejects(Engine.open(OPTIONS), { message: /^shard 0 failed: .*\/nowhere\/shard\.js/ });
  });

  test('again and again with packets under way: the call rejects, later ones at once, and close() works', async () => {
    // Whoever takes the place of shard 0 dies as well.
    intercept(task => (task.owner === FIRST_SHARD_OWNER ? { filename: LATER } : undefined));
    const engine = await Engine.open(OPTIONS);
    engine.defineAction({});
    const waiting = [flows(100), flows(100)].map(batch => engine.execute(batch));
    for (const call of await Promise.allSettled(waiting)) {
      assert.equal(call.status, 'rejected');
      assert.equal(call.reason.message, 'shard 0 failed: out of luck');
    }
    const startMs = Date.now();
    await assert.rejects(engine.execute(flows(1)), { message: 'shard 0 failed: out of luck' });
    assert.throws(() => engine.checkFailure(), { message: 'shard 0 failed: out of luck' });
    await engine.close();
    assert.ok(Date.now() - startMs < 5000);
  });

  test('the worker files alone refuse a task that is none', async () => {
    const pool = new Piscina({ maxThreads: 1, minThreads: 1 });
    try {
      const table = createWasmMemory(65_536);
      const empty = { table, control: new SharedArrayBuffer(65_536) };
      const ring = createRing(table, 64, 1 << 20);
      for (const filename of [SHARD, SWEEPER]) {
        await assert.rejects(pool.run({ memory: empty, ring, owner: 1 }, { filename }), /the buffer holds no map/);
        await assert.rejects(pool.run(undefined, { filename }), TypeError);
      }
    } finally {
      await pool.destroy();
    }
  });
});
