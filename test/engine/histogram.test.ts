/** Histograms of durations: quantiles against those of the sorted durations themselves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacketBatch } from '../../src/engine/batch.js';
import { Engine } from '../../src/engine/engine.js';
import {
  bucketsOf,
  createHistograms,
  histogramRow,
  readHistograms,
  recordDuration,
} from '../../src/engine/histogram.js';
import { frame, ipv4, udp } from '../support/frames.js';
import { withSeed } from '../support/random.js';

test('quantiles are those of the durations, at most a sixteenth too high', () => {
  withSeed(1, random => {
    const buffer = createHistograms(3);
    const ns = Array.from({ length: 20_000 }, () => Math.floor(Math.exp((random.u32() / 2 ** 32) * 20)));
    ns.forEach((value, index) => {
      recordDuration(histogramRow(buffer, index % 3), value / 1e6);
    });
    const sorted = ns.toSorted((a, b) => a - b);
    const { count, p50, p99, p999, max } = readHistograms(buffer);
    assert.equal(count, ns.length);
    assert.ok(Math.abs(max - sorted[sorted.length - 1] / 1000) < 1e-6);
    for (const [share, found] of [
      [0.5, p50],
      [0.99, p99],
      [0.999, p999],
    ]) {
      const exact = sorted[Math.ceil(share * sorted.length) - 1] / 1000;
      assert.ok(found >= exact - 0.001 && found <= exact * (1 + 1 / 16) + 0.002, `${share}: ${found} for ${exact}`);
    }
  });
});

test('nothing recorded: all zero', () => {
  assert.deepEqual(readHistograms(createHistograms(2)), { count: 0, p50: 0, p99: 0, p999: 0, max: 0 });
});

test('buckets: each duration lies in one, a sixteenth wide at the most, and rows are added up', () => {
  const buffer = createHistograms(2);
  const durationsNs = [0, 1, 15, 16, 17, 31, 32, 1000, 1000, 12_345, 1_000_000, 999_999_999];
  durationsNs.forEach((ns, index) => {
    recordDuration(histogramRow(buffer, index % 2), ns / 1e6);
  });
  const buckets = bucketsOf(new Float64Array(buffer));
  assert.equal(
    buckets.reduce((sum, { count }) => sum + count, 0),
    durationsNs.length,
  );
  for (const ns of durationsNs) {
    const fitting = buckets.filter(({ from, below }) => from * 1000 <= ns + 0.5 && ns + 0.5 < below * 1000);
    assert.equal(fitting.length, 1, `${ns} ns`);
    const [{ from, below, count }] = fitting;
    assert.ok((below - from) * 1000 <= Math.max(1, ns / 16) + 0.001, `${ns} ns: ${from} to ${below} µs`);
    assert.ok(count >= durationsNs.filter(other => other === ns).length);
  }
  assert.deepEqual(
    buckets.map(({ from }) => from),
    buckets.map(({ from }) => from).sort((a, b) => a - b),
  );
});

test('durations that are too long for the buckets, or none at all, are counted', () => {
  const buffer = createHistograms(1);
  const row = histogramRow(buffer, 0);
  recordDuration(row, 0);
  recordDuration(row, 3_600_000);
  const { count, max } = readHistograms(buffer);
  assert.equal(count, 2);
  assert.equal(max, 3.6e9);
});

test('an engine that is asked to records each batch of its shards, any other none', async () => {
  for (const measuresLatency of [true, false]) {
    const engine = await Engine.open({ shards: 2, maxConnections: 1000, measuresLatency });
    try {
      engine.defineAction({});
      const batch = new PacketBatch(100);
      for (let port = 1; port <= 100; port++) batch.add(frame(ipv4({}, udp({ sport: port }))), Date.now());
      await engine.execute(batch);
      const latency = engine.batchLatency();
      if (!measuresLatency) {
        assert.equal(latency, undefined);
        continue;
      }
      assert.ok(latency !== undefined && latency.count >= 2 && latency.max >= latency.p50 && latency.p50 > 0);
    } finally {
      await engine.close();
    }
  }
});
