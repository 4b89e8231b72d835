/**
 * A packet that two connections in two regions may belong to: its own region is left to look into the other, and what was
 * seen there may be gone when it is held again. And a region whose lock is not to be had. That is this project's own: Open
 * vSwitch has one lock.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacketBatch } from '../../src/engine/batch.js';
import { readCounters } from '../../src/engine/counters.js';
import { createMemory, type EngineMemory } from '../../src/engine/memory.js';
import { memoryOptions, resolveOptions } from '../../src/engine/options.js';
import { createSweepCursor, sweepAll, sweepStep } from '../../src/engine/sweep.js';
import { createTracker, defineAction, type Tracker } from '../../src/engine/tracker.js';
import { reasonName } from '../../src/reason.js';
import {
  breakLocks,
  isLive,
  recordAt,
  regionAt,
  regionOfRecord,
  renewLocks,
  tryLockRegion,
} from '../../src/sharedarraybuffer-hashmap/index.js';
import { CONN } from '../../src/track/connection.js';
import { formatCtState } from '../../src/track/state.js';
import { judgeBatch } from '../support/batch.js';
import { frame, ipv4, udp } from '../support/frames.js';
import { auditEngine } from './audit.js';

const SHARD = 1;
const SWEEPER = 2;
const OTHER = 3;
const PLAIN = 0;
const NAT = 1;
const OUTSIDE = '192.0.2.7';
const PORT = 4000;
const LATER_MS = 200_000;

interface Table {
  readonly memory: EngineMemory;
  readonly shard: Tracker;
  readonly sweeper: Tracker;
  /** Last byte of the server's address. */
  readonly server: number;
  /** The translated connection's record, and that of the plain one, whose tuple is the mirror of the other's reply. */
  readonly translated: number;
  readonly plain: number;
}

function judge({ memory, shard }: Pick<Table, 'memory' | 'shard'>, bytes: Uint8Array, timeMs: number, action: number) {
  const batch = new PacketBatch(1, 256, memory.wasm);
  assert.ok(batch.add(bytes, timeMs, { action }));
  judgeBatch(shard, batch);
  return `${formatCtState(batch.state(0))} ${reasonName(batch.reason(0))}`;
}

const fromInside = (server: number) =>
  frame(ipv4({ src: '10.1.0.2', dst: `10.2.0.${server}` }, udp({ sport: PORT, dport: 53 })));
const fromBox = (server: number) =>
  frame(ipv4({ src: OUTSIDE, dst: `10.2.0.${server}` }, udp({ sport: PORT, dport: 53 })));
const answer = (server: number) =>
  frame(ipv4({ src: `10.2.0.${server}`, dst: OUTSIDE }, udp({ sport: 53, dport: PORT })));

/** Two connections that an answer of the server may belong to, in two regions. */
function prepare(): Table {
  for (let server = 1; server < 255; server++) {
    const memory = createMemory(memoryOptions(resolveOptions({ shards: 2, seed: 1, maxConnections: 200 }), 1));
    const shard = createTracker(memory, SHARD);
    const { map } = memory;
    defineAction(memory, {});
    defineAction(memory, { nat: { kind: 'src', minAddress: OUTSIDE, minPort: PORT, maxPort: PORT } });
    judge({ memory, shard }, fromInside(server), 0, NAT);
    judge({ memory, shard }, fromBox(server), 0, PLAIN);
    const records = Array.from({ length: map.regions * map.recordsPerRegion }, (_, index) => index + 1);
    const live = records.filter(record => isLive(map, record));
    const isPlain = (record: number) => map.words[recordAt(map, record) + CONN.SRC] === (0xc0000207 | 0);
    const [plain, translated] = [...live].sort((a, b) => Number(isPlain(b)) - Number(isPlain(a)));
    if (live.length === 2 && regionOfRecord(map, plain) !== regionOfRecord(map, translated)) {
      return { memory, shard, sweeper: createTracker(memory, SWEEPER), server, translated, plain };
    }
  }
  throw new Error('no server whose connections lie in two regions');
}

/** Does what another thread does in the moment in which the shard has taken the lock of a region. */
function whenLocked(memory: EngineMemory, region: number, other: () => void, run: () => void): void {
  const own = Atomics.compareExchange as (array: Int32Array, at: number, expected: number, value: number) => number;
  const lock = regionAt(memory.map, region);
  let isArmed = true;
  Atomics.compareExchange = ((array: Int32Array, at: number, expected: number, value: number) => {
    const seen = own.call(Atomics, array, at, expected, value);
    if (isArmed && array.buffer === memory.map.buffer && at === lock && value === SHARD && seen === 0) {
      isArmed = false;
      other();
    }
    return seen;
  }) as typeof Atomics.compareExchange;
  try {
    run();
  } finally {
    Atomics.compareExchange = own as typeof Atomics.compareExchange;
  }
  assert.equal(isArmed, false, 'the shard has looked there');
}

test('an ended connection that is removed meanwhile is not removed again, nor the one that has its record', () => {
  for (const isTakenAgain of [false, true]) {
    const table = prepare();
    const { memory, sweeper, server, plain, translated } = table;
    const { map } = memory;
    let verdict = '';
    whenLocked(
      memory,
      regionOfRecord(map, translated),
      () => {
        const cursor = createSweepCursor(map);
        cursor.region = regionOfRecord(map, plain);
        sweepStep(sweeper, cursor, LATER_MS);
        assert.equal(isLive(map, plain), false);
        if (isTakenAgain) judge({ memory, shard: sweeper }, fromBox(server), LATER_MS, PLAIN);
      },
      () => {
        verdict = judge(table, answer(server), LATER_MS, PLAIN);
      },
    );
    assert.equal(verdict, isTakenAgain ? 'est|rpl|trk none' : 'new|trk none');
    assert.equal(isLive(map, plain), true, 'the free record was taken');
    auditEngine(memory, readCounters(memory.counters));
  }
});

test('nobody opens a connection for a packet whose own may be where no lock is to be had', () => {
  const table = prepare();
  const { memory, server, plain, translated } = table;
  const { map } = memory;
  // Without the plain one, which would be found first.
  sweepAll(createTracker(memory, SWEEPER), createSweepCursor(map), LATER_MS);
  judge(table, fromInside(server), LATER_MS, NAT);
  assert.deepEqual([isLive(map, plain), isLive(map, translated)], [false, true]);
  assert.ok(tryLockRegion(map, regionOfRecord(map, translated), OTHER));
  breakLocks(map, OTHER);
  assert.equal(judge(table, answer(server), LATER_MS + 1, PLAIN), 'inv|trk table-locked');
  renewLocks(map);
  assert.equal(judge(table, answer(server), LATER_MS + 2, PLAIN), 'est|rpl|trk none');
  auditEngine(memory, readCounters(memory.counters));
});
