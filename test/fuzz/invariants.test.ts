/**
 * What must hold for any traffic: verdicts and table do not depend on shards, regions, batches or threads; a dump is
 * stable; commit is idempotent; a reply direction mirrors the original one; counters add up. No witness is needed.
 *
 * FLOWSHARD_TEST_SEED replaces the seed.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { dumpConnections } from '../../src/control/dump.js';
import { flushConnections } from '../../src/control/flush.js';
import { PacketBatch } from '../../src/engine/batch.js';
import type { Counters } from '../../src/engine/counters.js';
import { Engine } from '../../src/engine/engine.js';
import { LocalEngine } from '../../src/engine/local.js';
import { createMemory } from '../../src/engine/memory.js';
import { memoryOptions, resolveOptions } from '../../src/engine/options.js';
import { createTracker, defineAction, type Tracker } from '../../src/engine/tracker.js';
import { dumpText, verdictsOf } from '../engine/verdicts.js';
import { judgeBatch } from '../support/batch.js';
import { seedFor } from '../support/random.js';
import type { Kind } from './campaign.js';
import { KINDS } from './kinds.js';
import { type Script, ScriptArbitrary } from './script.js';
import { type Actions, COMMIT_ONLY, type Traffic, type TrafficPacket } from './traffic.js';

const SEED = 5;
const RUNS = 25;
const MAX_CONNECTIONS = 1024;
const PAUSE_MS = 1000;
const FRAME_BYTES = 1 << 20;
/** What is held depends on batches and threads; fragments have tests of their own. */
const UNFRAGMENTED = KINDS.filter(({ hasFragments }) => hasFragments !== true);
/** Kinds whose packets pass one action each. */
const SINGLE = UNFRAGMENTED.filter(({ actions }) => actions === COMMIT_ONLY);

interface Judged {
  readonly verdicts: readonly string[];
  readonly dump: readonly string[];
}

let clockMs = 0;

/** The traffic of a script, after all traffic so far: engines that see several cases have clocks that do not go back. */
function trafficOf(kind: Kind, script: Script): Traffic {
  const { packets, checksSequence } = kind.traffic(script);
  const start = clockMs;
  const later = packets.map(packet => ({ ...packet, timeMs: start + packet.timeMs }));
  clockMs = start + lastMs({ packets, checksSequence }) + PAUSE_MS;
  return { packets: later, checksSequence };
}

function lastMs({ packets }: Traffic): number {
  return packets[packets.length - 1]?.timeMs ?? 0;
}

/** Batches of `size` packets; each packet passes its first action. */
function* batches(packets: readonly TrafficPacket[], size: number): Generator<PacketBatch> {
  const batch = new PacketBatch(size, FRAME_BYTES);
  for (let from = 0; from < packets.length; from += size) {
    batch.clear();
    for (const { frame, timeMs, passes } of packets.slice(from, from + size)) {
      assert.ok(batch.add(frame, timeMs, { action: Math.max(passes[0], 0) }));
    }
    yield batch;
  }
}

function localEngine(actions: Actions): LocalEngine {
  const engine = new LocalEngine({ maxConnections: MAX_CONNECTIONS });
  for (const action of actions) engine.defineAction(action);
  return engine;
}

function judgeLocally(engine: LocalEngine, traffic: Traffic, size: number): Judged {
  flushConnections(engine.tracker);
  engine.settings.checksSequence = traffic.checksSequence;
  const verdicts: string[] = [];
  for (const batch of batches(traffic.packets, size)) {
    engine.execute(batch);
    verdicts.push(...verdictsOf(batch));
  }
  return { verdicts, dump: dumpText(engine.tracker, lastMs(traffic)) };
}

/** Packets that a tracker judges in its turn. */
const TURN_PACKETS = 5;

/** Threads' trackers on a table of several regions take turns, as shards do when packets come to the wrong one. */
class Turns {
  readonly #trackers: readonly Tracker[];
  readonly #batch: PacketBatch;

  constructor(shards: number, actions: Actions) {
    const options = resolveOptions({ shards, maxConnections: MAX_CONNECTIONS, clock: 'packets' });
    const memory = createMemory(memoryOptions(options, 0));
    for (const action of actions) defineAction(memory, action);
    this.#batch = new PacketBatch(TURN_PACKETS, FRAME_BYTES, memory.wasm);
    this.#trackers = Array.from({ length: shards }, (_, index) => createTracker(memory, index + 1));
  }

  judge(traffic: Traffic): Judged {
    const [first] = this.#trackers;
    flushConnections(first);
    const verdicts: string[] = [];
    let turn = 0;
    for (const batch of batches(traffic.packets, TURN_PACKETS)) {
      const tracker = this.#trackers[turn++ % this.#trackers.length];
      this.#batch.copyFrom(batch);
      judgeBatch(tracker, this.#batch);
      batch.copyFrom(this.#batch);
      verdicts.push(...verdictsOf(batch));
    }
    return { verdicts, dump: dumpText(first, lastMs(traffic)) };
  }
}

/** Created is what is there and what has gone, and every packet has a verdict with a reason. */
function checkCounters({ events, reasons }: Counters, alive: number, packets: number): void {
  const { created, expired, deleted, replaced } = events;
  const evicted = Object.entries(events)
    .filter(([name]) => name.startsWith('evicted'))
    .reduce((sum, [, count]) => sum + count, 0);
  assert.equal(created, alive + expired + deleted + replaced + evicted, JSON.stringify(events));
  assert.equal(events.packets, packets);
  const told = Object.values(reasons).reduce((sum, count) => sum + count, 0);
  assert.equal(told, packets, JSON.stringify(reasons));
}

function holds(maxSteps: number, check: (script: Script) => void, numRuns = RUNS): void {
  fc.assert(
    fc.property(new ScriptArbitrary(maxSteps), script => check(script)),
    { seed: seedFor(SEED), numRuns, includeErrorInReport: true },
  );
}

for (const kind of UNFRAGMENTED) {
  describe(`${kind.name}: whatever the traffic`, () => {
    test('the size of batches does not matter', () => {
      const engine = localEngine(kind.actions);
      holds(kind.maxSteps, script => {
        const traffic = trafficOf(kind, script);
        const expected = judgeLocally(engine, traffic, 1);
        for (const size of [3, 64, 200]) assert.deepEqual(judgeLocally(engine, traffic, size), expected);
      });
    });

    test('the number of regions, and which thread judges, do not matter', () => {
      const engine = localEngine(kind.actions);
      const turns = [1, 2, 3].map(shards => new Turns(shards, kind.actions));
      holds(kind.maxSteps, script => {
        const traffic = { ...trafficOf(kind, script), checksSequence: true };
        const expected = judgeLocally(engine, traffic, 64);
        for (const one of turns) assert.deepEqual(one.judge(traffic), expected);
      });
    });

    test('counters add up after every batch, and a sweep changes no dump', () => {
      holds(kind.maxSteps, script => {
        const engine = localEngine(kind.actions);
        const traffic = trafficOf(kind, script);
        let packets = 0;
        for (const batch of batches(traffic.packets, 16)) {
          engine.execute(batch);
          packets += batch.length;
          checkCounters(engine.counters(), engine.connectionCount, packets);
        }
        const dump = dumpText(engine.tracker, lastMs(traffic));
        assert.deepEqual(dumpText(engine.tracker, lastMs(traffic)), dump);
        engine.sweep(lastMs(traffic));
        assert.deepEqual(dumpText(engine.tracker, lastMs(traffic)), dump);
        checkCounters(engine.counters(), dump.length, packets);
        flushConnections(engine.tracker);
        checkCounters(engine.counters(), 0, packets);
      });
    });
  });
}

for (const kind of SINGLE) {
  describe(`${kind.name}: whatever the traffic`, () => {
    test('a packet that is committed twice is committed once', () => {
      const once = localEngine(kind.actions);
      const twice = localEngine(kind.actions);
      holds(kind.maxSteps, script => {
        const traffic = trafficOf(kind, script);
        const expected = judgeLocally(once, traffic, 1);
        flushConnections(twice.tracker);
        twice.settings.checksSequence = traffic.checksSequence;
        const verdicts: string[] = [];
        for (const batch of batches(traffic.packets, 1)) {
          twice.execute(batch);
          const first = verdictsOf(batch)[0];
          twice.execute(batch);
          // Why a packet is invalid is told when it is judged, not when it comes again.
          verdicts.push(first.startsWith('inv') ? first : verdictsOf(batch)[0]);
        }
        assert.deepEqual({ verdicts, dump: dumpText(twice.tracker, lastMs(traffic)) }, expected);
      });
    });

    test('without NAT the reply direction is the mirror of the original one', () => {
      const engine = localEngine(kind.actions);
      let connections = 0;
      holds(kind.maxSteps, script => {
        const traffic = trafficOf(kind, script);
        judgeLocally(engine, traffic, 64);
        for (const { original, reply } of dumpConnections(engine.tracker, lastMs(traffic))) {
          connections++;
          assert.deepEqual(
            [reply.src, reply.srcPort, reply.icmp?.id],
            [original.dst, original.dstPort, original.icmp?.id],
          );
          assert.deepEqual([reply.dst, reply.dstPort], [original.src, original.srcPort]);
        }
      });
      assert.ok(connections > RUNS);
    });
  });
}

describe('workers: whatever the traffic', () => {
  const engines: Engine[] = [];
  const local = localEngine(COMMIT_ONLY);

  before(async () => {
    for (const shards of [1, 3]) {
      const engine = await Engine.open({ shards, maxConnections: MAX_CONNECTIONS, clock: 'packets' });
      for (const action of COMMIT_ONLY) engine.defineAction(action);
      engines.push(engine);
    }
  });
  after(async () => {
    for (const engine of engines) await engine.close();
  });

  for (const kind of SINGLE) {
    test(`${kind.name}: verdicts, dump and counters are those of one thread`, async () => {
      const packets = engines.map(engine => engine.counters().events.packets);
      const property = fc.asyncProperty(new ScriptArbitrary(kind.maxSteps), async script => {
        const traffic = { ...trafficOf(kind, script), checksSequence: true };
        const expected = judgeLocally(local, traffic, 64);
        for (const [index, engine] of engines.entries()) {
          flushConnections(engine.tracker);
          const verdicts: string[] = [];
          // One by one, since errors may be about packets of another shard.
          for (const batch of batches(traffic.packets, 1)) {
            await engine.execute(batch);
            verdicts.push(...verdictsOf(batch));
          }
          packets[index] += traffic.packets.length;
          assert.deepEqual({ verdicts, dump: dumpText(engine.tracker, lastMs(traffic)) }, expected);
          checkCounters(engine.counters(), engine.settings.connectionCount, packets[index]);
        }
      });
      await fc.assert(property, { seed: seedFor(SEED), numRuns: 6, includeErrorInReport: true });
    });
  }
});
