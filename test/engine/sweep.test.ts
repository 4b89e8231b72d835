/** The sweeper: it frees what has ended at its millisecond and nothing else, in bounded steps, and counts them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { flushConnections } from '../../src/control/flush.js';
import { PacketBatch } from '../../src/engine/batch.js';
import { Engine } from '../../src/engine/engine.js';
import { LocalEngine } from '../../src/engine/local.js';
import { CONTROL } from '../../src/engine/memory.js';
import { createSweepCursor, isTableEmpty, sweepStep } from '../../src/engine/sweep.js';
import { lockOwner, lockRegion, REGION, regionAt, unlockRegion } from '../../src/sharedarraybuffer-hashmap/index.js';
import { frame, ipv4, udp } from '../support/frames.js';

/** OVS: one packet of UDP lives for 60 s. */
const UDP_MS = 60_000;
/** An ordinary time, in milliseconds since 1970. */
const TODAY_MS = 1.79e12;
/** RFC 1350: what opens a transfer by TFTP. */
const READ_REQUEST = Buffer.from('\0\x01file\0octet\0', 'latin1');

/** Does whole passes over a table, as the sweeper worker does. */
function sweeperOf({ tracker }: LocalEngine): (wallMs: number) => void {
  const cursor = createSweepCursor(tracker.map);
  return wallMs => {
    while (sweepStep(tracker, cursor, wallMs)) {}
  };
}

/** Judges one packet of a client's. */
function judge(engine: LocalEngine, src: string, timeMs: number, action = 0): void {
  const batch = new PacketBatch(1);
  batch.add(frame(ipv4({ src }, udp({ dport: 69, payload: READ_REQUEST }))), timeMs, { action });
  engine.execute(batch);
}

/** A connection per millisecond from `startMs` on. */
function fill(engine: LocalEngine, flows: number, startMs: number): void {
  engine.defineAction({});
  const batch = new PacketBatch(64);
  for (let number = 0; number < flows; number++) {
    batch.add(
      frame(ipv4({ src: `10.${number >>> 16}.${(number >>> 8) & 255}.${number & 255}` }, udp())),
      startMs + number,
    );
    if (batch.length === batch.capacity || number === flows - 1) {
      engine.execute(batch);
      batch.clear();
    }
  }
}

for (const startMs of [0, 2 ** 32 - UDP_MS - 500]) {
  test(`each connection goes at its millisecond, from ${startMs} ms on`, () => {
    const engine = new LocalEngine({ maxConnections: 1000 });
    fill(engine, 1000, startMs);
    const firstMs = startMs + UDP_MS;
    engine.sweep(firstMs - 1);
    assert.equal(engine.connectionCount, 1000);
    for (const passedMs of [0, 1, 2, 31, 499, 500, 501, 998]) {
      engine.sweep(firstMs + passedMs);
      assert.equal(engine.connectionCount, 999 - passedMs);
    }
    engine.sweep(firstMs + 999);
    assert.deepEqual([engine.connectionCount, isTableEmpty(engine.memory.map)], [0, true]);
    const { events } = engine.counters();
    assert.equal(events.expired, 1000);
    assert.ok(events.sweepLongestLockMs > 0 && events.sweepLongestLockMs <= events.sweepLockMs);
  });
}

test('a step looks at 4096 records and removes 64 at the most, and a pass meets every record', () => {
  const FLOWS = 10_000;
  const engine = new LocalEngine({ maxConnections: FLOWS });
  fill(engine, FLOWS, 0);
  const { tracker } = engine;
  const cursor = createSweepCursor(tracker.map);
  let steps = 0;
  let before = engine.counters().events;
  for (let isUnderWay = true; isUnderWay; ) {
    isUnderWay = sweepStep(tracker, cursor, UDP_MS + FLOWS);
    assert.equal(lockOwner(tracker.map, 0), 0, 'the lock is free between steps');
    const { events } = engine.counters();
    assert.ok(events.sweepRecords - before.sweepRecords <= 4096);
    assert.ok(events.expired - before.expired <= 64);
    steps += events.sweepSteps - before.sweepSteps;
    before = events;
  }
  assert.deepEqual([before.sweepRecords, before.expired, engine.connectionCount], [FLOWS, FLOWS, 0]);
  assert.ok(steps >= FLOWS / 64);
  assert.ok(before.sweepLocks >= FLOWS / 16, `${before.sweepLocks} locks: 16 records each at the most`);
});

test('the time that steps take and lags are there as histograms', () => {
  const engine = new LocalEngine({ maxConnections: 1000 });
  fill(engine, 1000, 0);
  engine.sweep(UDP_MS + 1999);
  const { stepUs, lagMs } = engine.sweepHistograms();
  const countOf = (buckets: typeof lagMs) => buckets.reduce((sum, { count }) => sum + count, 0);
  assert.equal(countOf(lagMs), 1000);
  assert.equal(countOf(stepUs), engine.counters().events.sweepSteps);
  // One ended each millisecond, the last one 1000 ms ago, the first 1999.
  assert.ok(lagMs[0].from >= 1000 * (1 - 1 / 16) && (lagMs.at(-1)?.below ?? 0) <= 1999 * (1 + 1 / 16) + 1);
  const before1500 = lagMs.filter(({ below }) => below <= 1500);
  assert.ok(Math.abs(countOf(before1500) - 500) < 100, `${countOf(before1500)} of 500`);
});

test('who waits for a lock is known, and for how long', { timeout: 60_000 }, async () => {
  const engine = await Engine.open({ shards: 1, maxConnections: 1000 });
  try {
    engine.defineAction({});
    const { map } = engine.memory;
    assert.ok(lockRegion(map, 0, 77));
    const verdicts = engine.execute(someFlows(Date.now()));
    await until('the shard waits', () => Atomics.load(map.words, regionAt(map, 0) + REGION.WAITERS) > 0);
    await sleep(100);
    unlockRegion(map, 0);
    await verdicts;
    const { lockWaits, lockWaitMs, longestLockWaitMs } = engine.counters().events;
    assert.ok(lockWaits >= 1 && longestLockWaitMs > 50 && longestLockWaitMs <= lockWaitMs, `${longestLockWaitMs} ms`);
  } finally {
    await engine.close();
  }
});

test('a pass over connections that live takes no lock', () => {
  const engine = new LocalEngine({ maxConnections: 5000 });
  fill(engine, 5000, 0);
  const { map } = engine.memory;
  assert.ok(lockRegion(map, 0, 77));
  engine.sweep(UDP_MS - 1);
  assert.equal(lockOwner(map, 0), 77);
  unlockRegion(map, 0);
  assert.equal(engine.connectionCount, 5000);
  assert.equal(engine.counters().events.sweepLockMs, 0);
});

/** Waits for what a thread does in its own time, a minute at the most. */
async function until(what: string, isTrue: () => boolean): Promise<void> {
  for (const end = Date.now() + 60_000; !isTrue(); await sleep(5)) assert.ok(Date.now() < end, what);
}

function emptied(engine: Engine): Promise<void> {
  return until('the sweeper frees all', () => engine.connectionCount === 0);
}

function someFlows(timeMs: number): PacketBatch {
  const batch = new PacketBatch(100);
  for (let number = 0; number < 100; number++) batch.add(frame(ipv4({}, udp({ sport: 1000 + number }))), timeMs);
  return batch;
}

test('the sweeper worker goes by the wall clock', async () => {
  const engine = await Engine.open({ shards: 2, maxConnections: 1000, sweepIntervalMs: 10 });
  try {
    engine.defineAction({});
    const startMs = Date.now();
    // They were last seen so long ago that they have half a second left.
    await engine.execute(someFlows(startMs - UDP_MS + 500));
    const made = engine.connectionCount;
    // A machine that is busy with something else may come to it too late.
    if (Date.now() - startMs < 500) assert.equal(made, 100);
    await emptied(engine);
    assert.ok(Date.now() - startMs >= 500, 'none went before its time');
    assert.equal(engine.counters().events.expired, 100);
  } finally {
    await engine.close();
  }
});

test('the sweeper worker goes by the times of the packets, which stand still here', async () => {
  const engine = await Engine.open({ shards: 2, maxConnections: 1000, clock: 'packets', sweepIntervalMs: 1 });
  try {
    engine.defineAction({});
    await engine.execute(someFlows(5));
    const events = () => engine.counters().events;
    await until('the sweeper has looked', () => events().sweepRecords > 0);
    const { sweepWakes } = events();
    await until('the sweeper has woken again', () => events().sweepWakes >= sweepWakes + 20);
    assert.equal(engine.connectionCount, 100);
    assert.ok(events().sweepRecords <= 100, 'it looked once, and knows when to look again');
    assert.equal(events().expired, 0);
  } finally {
    await engine.close();
  }
});

/** On a machine that is busy with something else time runs out on the way: then it is tried again. */
const ATTEMPTS = 5;

test('the sweeper leaves alone what ends later, and is there when it ends', async () => {
  const leftMs = 1500;
  const tries: { passedMs: number; latestMs: number }[] = [];
  const isInTime = () => tries.some(({ passedMs, latestMs }) => passedMs < leftMs && latestMs < 5000);
  while (!isInTime() && tries.length < ATTEMPTS) {
    const engine = await Engine.open({ shards: 2, maxConnections: 1000, sweepIntervalMs: 5 });
    try {
      engine.defineAction({});
      const startMs = Date.now();
      await engine.execute(someFlows(startMs - UDP_MS + leftMs));
      await sleep(1000);
      const { sweepRecords, sweepWakes, expired } = engine.counters().events;
      const passedMs = Date.now() - startMs;
      await emptied(engine);
      assert.ok(Date.now() - startMs >= leftMs, 'none went before its time');
      const { stepUs, lagMs } = engine.sweepTimes();
      assert.deepEqual([lagMs.count, stepUs.count], [100, engine.counters().events.sweepSteps]);
      tries.push({ passedMs, latestMs: lagMs.max });
      if (passedMs >= leftMs) continue;
      // It wakes to find out when something ends, and then sleeps until that.
      assert.ok(sweepWakes <= 5, `${sweepWakes} times awake in a second of passes every 5 ms`);
      assert.ok(sweepRecords <= 200, `${sweepRecords} looks at 100 records in a second of passes every 5 ms`);
      assert.equal(expired, 0);
    } finally {
      await engine.close();
    }
  }
  assert.ok(isInTime(), JSON.stringify(tries));
});

test('a chunk that was left alone for long is looked at again, whatever was said of it', () => {
  const engine = new LocalEngine({ maxConnections: 100 });
  fill(engine, 100, 0);
  const sweep = sweeperOf(engine);
  const pass = (nowMs: number) => {
    sweep(nowMs);
    return engine.counters().events.sweepRecords;
  };
  assert.equal(pass(1000), 100);
  assert.equal(pass(5999), 100, 'nothing is due for five seconds');
  assert.equal(pass(6000), 200, 'but no chunk is left alone for longer');
  assert.equal(pass(UDP_MS - 1), 300);
  assert.equal(pass(UDP_MS), 400);
  assert.equal(engine.connectionCount, 99, 'the first ends at its millisecond');
});

for (const [what, strayMs] of [
  ['without end', Number.POSITIVE_INFINITY],
  ['an hour ahead', TODAY_MS + 3_600_000],
  ['in microseconds', TODAY_MS * 1000],
] as const) {
  test(`by the wall clock one packet with a time ${what} ends nothing, and the sweeper goes on`, () => {
    const engine = new LocalEngine({ maxConnections: 100 });
    fill(engine, 10, TODAY_MS);
    const tftp = engine.defineAction({ helper: 'tftp' });
    const expectations = () => engine.memory.control[CONTROL.EXPECTATIONS];
    const sweep = sweeperOf(engine);
    judge(engine, '10.9.9.8', TODAY_MS, tftp);
    judge(engine, '10.9.9.9', strayMs);
    sweep(TODAY_MS + 1000);
    assert.deepEqual([engine.connectionCount, expectations()], [12, 1]);
    sweep(TODAY_MS + UDP_MS + 10);
    assert.deepEqual([engine.connectionCount, expectations()], [1, 0]);
  });
}

test('the clock of the packets passes over a time without end', () => {
  const engine = new LocalEngine({ maxConnections: 100 });
  fill(engine, 10, TODAY_MS);
  const sweep = sweeperOf(engine);
  judge(engine, '10.9.9.9', Number.POSITIVE_INFINITY);
  sweep(0);
  assert.equal(engine.connectionCount, 11);
  judge(engine, '10.9.9.8', TODAY_MS + UDP_MS + 10);
  sweep(0);
  assert.equal(engine.connectionCount, 2);
});

test('a clock that goes back stops no sweeper', () => {
  const engine = new LocalEngine({ maxConnections: 100 });
  const laterMs = TODAY_MS + 3_600_000;
  fill(engine, 1, laterMs);
  const sweep = sweeperOf(engine);
  sweep(laterMs);
  judge(engine, '10.9.9.9', TODAY_MS);
  sweep(TODAY_MS + UDP_MS);
  assert.equal(engine.connectionCount, 1);
});

test('what has ended while its lock is not to be had goes in the next pass', () => {
  const engine = new LocalEngine({ maxConnections: 100 });
  fill(engine, 100, 0);
  const { tracker } = engine;
  const { map } = tracker;
  const cursor = createSweepCursor(map);
  const pass = (nowMs: number) => {
    while (sweepStep(tracker, cursor, nowMs)) {}
    return engine.connectionCount;
  };
  assert.ok(lockRegion(map, 0, 77));
  assert.equal(pass(UDP_MS + 99), 100);
  assert.equal(lockOwner(map, 0), 77);
  unlockRegion(map, 0);
  assert.equal(pass(UDP_MS + 99), 0);
  assert.equal(engine.counters().events.expired, 100);
});

test('while timeouts shrink each pass looks at all, and so does the first one after that', () => {
  const engine = new LocalEngine({ maxConnections: 1000, profile: 'resilient' });
  engine.settings.tablePolicy = { adaptiveTimeouts: { startPercent: 60, endPercent: 120 } };
  fill(engine, 700, 0);
  const { tracker } = engine;
  const cursor = createSweepCursor(tracker.map);
  const pass = (nowMs: number) => {
    while (sweepStep(tracker, cursor, nowMs)) {}
    return engine.counters().events.sweepRecords;
  };
  assert.deepEqual([1000, 1001].map(pass), [700, 1400]);
  for (let number = 0; number < 100; number++) flushConnections(tracker, { original: { src: `10.0.0.${number}` } });
  assert.equal(engine.connectionCount, 600);
  assert.deepEqual([1002, 1003].map(pass), [2100, 2100]);
});
