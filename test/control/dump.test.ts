/** Dumping while another thread opens and ends connections: those that live throughout come exactly once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { dumpConnections } from '../../src/control/dump.js';
import { PacketBatch } from '../../src/engine/batch.js';
import { createMemory, handleOf } from '../../src/engine/memory.js';
import { memoryOptions, resolveOptions } from '../../src/engine/options.js';
import { createTracker, defineAction, type Tracker } from '../../src/engine/tracker.js';
import { lockRegion, unlockRegion } from '../../src/sharedarraybuffer-hashmap/index.js';
import { TIMEOUT } from '../../src/track/timeouts.js';
import { judgeBatch } from '../support/batch.js';
import { frame, ipv4, ipv6, tcp, udp } from '../support/frames.js';
import { reportOf } from '../support/threads.js';
import type { ChurnJob, ChurnReport } from './dump-worker.js';

const PERMANENT = 1000;
const DUMPS = 100;

function newTable(owners: number, maxConnections: number) {
  const memory = createMemory(memoryOptions(resolveOptions({ shards: owners, maxConnections, clock: 'packets' }), 0));
  defineAction(memory, {});
  return memory;
}

function feed(tracker: Tracker, frames: readonly Uint8Array[], timeMs: number): void {
  const batch = new PacketBatch(frames.length, undefined, tracker.memory.wasm);
  for (const bytes of frames) batch.add(bytes, timeMs);
  judgeBatch(tracker, batch);
}

test('connections that live throughout come exactly once, others at most once, none in parts', async () => {
  const memory = newTable(2, 4000);
  const tracker = createTracker(memory, 1);
  // TCP lives in this test as long as a test may take, UDP for 60 s of the packets' time.
  memory.timeoutsMs[TIMEOUT.tcp_syn_sent] = 1e12;
  const permanent = Array.from({ length: PERMANENT }, (_, number) =>
    frame((number % 2 === 0 ? ipv4 : ipv6)({}, tcp({ sport: 1 + number, dport: 7 }))),
  );
  feed(tracker, permanent, 0);
  const signal = new Int32Array(new SharedArrayBuffer(8));
  const job: ChurnJob = { memory: handleOf(memory), owner: 2, signal, startMs: 1 };
  const report = reportOf<ChurnReport>(new Worker(new URL('./dump-worker.js', import.meta.url), { workerData: job }));
  try {
    // Not to be waited for without end: a worker that fails early has said so in `report`.
    const start = Date.now();
    while (Atomics.load(signal, 1) < 3 && Date.now() - start < 10_000) Atomics.wait(signal, 1, 0, 5);
    let met = 0;
    for (let dump = 0; dump < DUMPS; dump++) {
      const seen = new Map<string, number>();
      for (const { protocol, original, reply, isIpv6 } of dumpConnections(tracker, 0)) {
        const key = `${protocol} ${original.src} ${original.srcPort} ${original.dstPort}`;
        seen.set(key, (seen.get(key) ?? 0) + 1);
        assert.deepEqual([reply.src, reply.srcPort], [original.dst, original.dstPort], 'a record in parts');
        assert.equal(isIpv6, original.src.includes(':'));
        if (protocol !== 6) met++;
        else assert.deepEqual([original.dstPort, isIpv6], [7, original.srcPort % 2 === 0]);
      }
      const lasting = [...seen].filter(([key]) => key.startsWith('6 '));
      assert.equal(lasting.length, PERMANENT);
      assert.ok(
        lasting.every(([, times]) => times === 1),
        'a lasting connection came twice',
      );
    }
    assert.ok(met > 0, 'the other thread had connections');
  } finally {
    Atomics.store(signal, 0, 1);
  }
  const { created, expired } = await report;
  const rounds = Atomics.load(signal, 1);
  assert.ok(rounds > 10, `${rounds} rounds only`);
  assert.ok(created >= rounds * 290 && expired > 0, `${created} created, ${expired} expired in ${rounds} rounds`);
});

test('what has ended is not shown, though nobody has swept', () => {
  const memory = newTable(1, 10);
  const tracker = createTracker(memory, 1);
  feed(tracker, [frame(ipv4({}, udp()))], 1000);
  assert.equal([...dumpConnections(tracker, 60_999)].length, 1);
  assert.equal([...dumpConnections(tracker, 61_000)].length, 0);
});

test('a dump that is left halfway holds no lock', () => {
  const memory = newTable(1, 100);
  const tracker = createTracker(memory, 1);
  feed(
    tracker,
    Array.from({ length: 50 }, (_, number) => frame(ipv4({}, udp({ sport: 1 + number })))),
    0,
  );
  const walk = dumpConnections(tracker, 0);
  walk.next();
  assert.ok(lockRegion(memory.map, 0, 9), 'free while the caller looks at an entry');
  unlockRegion(memory.map, 0);
  for (const _entry of dumpConnections(tracker, 0)) break;
  assert.ok(lockRegion(memory.map, 0, 9));
});
