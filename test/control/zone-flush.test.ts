/** Flushing a zone costs in proportion to the zone, whatever else is in the table, and packets of others flow meanwhile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { flushConnections } from '../../src/control/flush.js';
import { PacketBatch } from '../../src/engine/batch.js';
import { createMemory, handleOf } from '../../src/engine/memory.js';
import { memoryOptions, resolveOptions } from '../../src/engine/options.js';
import { readStatistics } from '../../src/engine/statistics.js';
import { createTracker, defineAction, type Tracker } from '../../src/engine/tracker.js';
import { judgeBatch } from '../support/batch.js';
import { flowFrame, writeFlow } from '../support/flows.js';
import { reportOf } from '../support/threads.js';
import type { PassJob } from './zone-flush-worker.js';

const ZONES = [
  { zone: 0, connections: 100 },
  { zone: 1, connections: 10_000 },
  { zone: 2, connections: 100_000 },
  { zone: 3, connections: 889_900 },
] as const;
const TOTAL = 1_000_000;

/** Index in ZONES of the zone that a flow is in. */
function actionOf(flow: number): number {
  if (flow % 10_000 === 2) return 0;
  if (flow % 100 === 0) return 1;
  return flow % 10 === 1 ? 2 : 3;
}

function populate(tracker: Tracker, connections: number): void {
  const bytes = flowFrame();
  const batch = new PacketBatch(64, undefined, tracker.memory.wasm);
  const judge = () => {
    judgeBatch(tracker, batch);
    batch.clear();
  };
  for (let flow = 0; flow < connections; flow++) {
    // The zones take turns, so that their connections lie between one another in memory.
    const action = actionOf(flow);
    writeFlow(bytes, flow, action);
    if (!batch.add(bytes, 0, { action })) throw new Error('the batch is full');
    if (batch.length === batch.capacity) judge();
  }
  judge();
}

function openTable(maxConnections: number) {
  const options = resolveOptions({ shards: 2, maxConnections, maxIpv6Connections: 0 });
  const memory = createMemory(memoryOptions(options, 1));
  const actions = ZONES.map(({ zone }) => defineAction(memory, { zone }));
  return { memory, actions, tracker: createTracker(memory, 1) };
}

/** So that the code is compiled. */
function warmUp(): void {
  const { tracker } = openTable(100_000);
  for (let round = 0; round < 3; round++) {
    populate(tracker, 90_000);
    for (const { zone } of ZONES) flushConnections(tracker, { zone });
  }
}

test('zones of 100, 10,000 and 100,000 among 1,000,000 connections', { timeout: 120_000 }, async context => {
  warmUp();
  const { memory, tracker, actions } = openTable(TOTAL + 10_000);
  populate(tracker, TOTAL);
  assert.deepEqual(readStatistics(tracker).zones, ZONES);
  const passed = new Int32Array(new SharedArrayBuffer(4));
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const flush = (zone: number) => {
    const before = Atomics.load(passed, 0);
    const start = performance.now();
    const deleted = flushConnections(tracker, { zone });
    const ms = performance.now() - start;
    const packets = Atomics.load(passed, 0) - before;
    const each = ((ms * 1e6) / Math.max(deleted, 1)).toFixed(0);
    context.diagnostic(
      `zone ${zone}: ${deleted} in ${ms.toFixed(1)} ms, ${each} ns each; ${packets} packets meanwhile`,
    );
    return { deleted, ms, packets };
  };
  assert.equal(flush(4).deleted, 0);
  const small = flush(0);
  const middling = flush(1);
  const job: PassJob = {
    memory: handleOf(memory),
    owner: 2,
    action: actions[3],
    flows: TOTAL,
    destination: 3,
    passed,
    stop,
  };
  const report = reportOf<number>(new Worker(new URL('./zone-flush-worker.js', import.meta.url), { workerData: job }));
  let large: ReturnType<typeof flush>;
  try {
    for (let waited = 0; Atomics.load(passed, 0) < 1000 && waited < 2000; waited++) Atomics.wait(stop, 0, 0, 5);
    large = flush(2);
  } finally {
    Atomics.store(stop, 0, 1);
  }
  assert.equal(await report, 0, 'packets of connections that stay are known');
  assert.deepEqual(readStatistics(tracker).zones, [ZONES[3]]);
  const rest = flush(3);
  const deleted = [small, middling, large, rest].map(flushed => flushed.deleted);
  assert.deepEqual(
    deleted,
    ZONES.map(({ connections }) => connections),
  );
  assert.ok(large.packets > 0, 'packets flow meanwhile');
  assert.ok(small.ms < rest.ms / 10, `${small.ms} ms for 100, ${rest.ms} ms for 889,900`);
});
