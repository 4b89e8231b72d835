/**
 * Evictions, sweeps and flushes at once, by threads that nobody steers, of connections of all kinds, NAT among them: in
 * the end every count agrees with a scan, every list is whole, and no entry is left behind in any index.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flushConnections } from '../../src/control/flush.js';
import { readCounters } from '../../src/engine/counters.js';
import { createMemory, handleOf } from '../../src/engine/memory.js';
import { applyProfile, writeTablePolicy, writeZonePolicy } from '../../src/engine/policy.js';
import { createTracker, defineAction } from '../../src/engine/tracker.js';
import { ACTIONS } from '../control/populate.js';
import { newBarrier, runThreads } from '../support/threads.js';
import { auditEngine, evictedOf } from './audit.js';
import type { EvictionJob } from './eviction-worker.js';

const PACKET_THREADS = 2;
const THREADS = PACKET_THREADS + 2;
const TABLE = 2000;
/** Of each thread: whole batches. */
const PACKETS = 64 * 500;

test('evictions, sweeps and flushes at once', { timeout: 120_000 }, async () => {
  const memory = createMemory({
    regions: 3,
    threads: THREADS + 1,
    maxConnections: TABLE,
    maxIpv6Connections: 600,
    maxExpectations: 16,
    hashKey: [5, 6],
    isWallClock: false,
    checksSequence: false,
    sweepIntervalMs: 1000,
  });
  applyProfile(memory, 'resilient');
  // Established ones too, so that everything that can be on a list is also evicted.
  writeTablePolicy(memory, {
    evictable: ['half-open', 'one-way', 'closing', 'replied', 'established'],
    reservePercent: 5,
  });
  writeZonePolicy(memory, 5, { evicts: true, maxHalfOpen: 100, maxHalfOpenPerSource: 2 });
  writeZonePolicy(memory, 7, {});
  for (const action of ACTIONS) defineAction(memory, action);
  const barrier = newBarrier();
  const job = (kind: EvictionJob['kind'], owner: number): EvictionJob => {
    const common = { memory: handleOf(memory), barrier, threads: THREADS, packetThreads: PACKET_THREADS };
    return { kind, owner, packets: PACKETS, ...common };
  };
  const jobs = [job('packets', 2), job('packets', 3), job('sweep', 4), job('flush', 5)];
  const reports = await runThreads<EvictionJob, number>(new URL('./eviction-worker.js', import.meta.url), jobs);
  const counters = readCounters(memory.counters);
  const alive = auditEngine(memory, counters);
  assert.ok(alive > 0 && alive <= TABLE, `${alive} connections`);
  assert.equal(counters.events.packets, PACKET_THREADS * PACKETS);
  assert.equal(counters.events.deleted, reports[3]);
  assert.ok(evictedOf(counters) > 1000, `${evictedOf(counters)} evicted`);
  const tracker = createTracker(memory, 1);
  assert.equal(flushConnections(tracker), alive);
  assert.equal(auditEngine(memory, readCounters(memory.counters)), 0);
});
