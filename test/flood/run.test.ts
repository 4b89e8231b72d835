/**
 * Whole floods. The sessions are the measure: their packets are valid by RFC 9293, so that any verdict but the one that
 * Open vSwitch's tracker gives an established connection is wrong; and what was created must add up.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { PacketBatch } from '../../src/engine/batch.js';
import { LocalEngine } from '../../src/engine/local.js';
import { FLOOD_KINDS, type FloodKind } from '../../src/flood/kinds.js';
import type { FloodReport } from '../../src/flood/report.js';
import { FloodRun, type RunOptions, writeFlood } from '../../src/flood/run.js';
import { NO_SESSION, SessionJudge, Sessions } from '../../src/flood/sessions.js';
import { CaptureReader } from '../../src/pcap/reader.js';
import { formatCtState } from '../../src/track/state.js';
import { OPTIONS } from './made.js';

const RUN: RunOptions = {
  ...OPTIONS,
  kind: 'syn',
  established: 50,
  maxConnections: 2000,
  shards: 1,
  clock: 'virtual',
  profile: 'resilient',
  tracksTop: true,
  seconds: 3,
  packets: Number.POSITIVE_INFINITY,
  rate: 5000,
};

async function floodOf(options: Partial<RunOptions>): Promise<FloodReport> {
  return (await FloodRun.open({ ...RUN, ...options })).run();
}

/** What two runs must have in common: all but how long they took and what memory the process had. */
function repeatable(report: FloodReport): Partial<FloodReport> {
  const { tookSeconds, mpps, stalledSeconds, batchLatencyUs, longestLockWaitUs, sweepStepUs, ...others } = report;
  const { heapBytes, rssBytes, minutes, ...rest } = others;
  return rest;
}

const SMALL: Partial<Record<FloodKind, Partial<RunOptions>>> = { 'nat-exhaust': { seconds: 1 } };

for (const kind of FLOOD_KINDS) {
  for (const family of [4, 6] as const) {
    test(`${kind} over IPv${family}: no session is lost or misjudged, what was created adds up, twice the same`, async () => {
      const options = { kind, family, ...SMALL[kind] };
      const first = await floodOf(options);
      assert.equal(first.establishedEvicted, 0);
      assert.equal(first.establishedMisjudged, 0);
      const seconds = first.seconds;
      assert.equal(first.packets, seconds * (RUN.rate + 2 * RUN.established));
      const evicted = Object.values(first.evicted).reduce((sum, count) => sum + count, 0);
      assert.equal(first.evicted.established, 0);
      assert.equal(first.created + RUN.established - first.expired - first.replaced - evicted, first.connections);
      const judged = Object.values(first.reasons).reduce((sum, count) => sum + count, 0);
      assert.equal(judged, first.packets);
      assert.equal(first.establishedPackets, seconds * 2 * RUN.established);
      assert.deepEqual(repeatable(await floodOf(options)), repeatable(first));
    });
  }
}

test('syn, profile resilient: each new connection takes the place of a half-open one', async () => {
  const report = await floodOf({});
  const { 'half-open': halfOpen, ...others } = report.evicted;
  assert.equal(report.created, RUN.rate * RUN.seconds);
  assert.equal(report.refused, 0);
  assert.ok(halfOpen > 0);
  assert.deepEqual(others, { 'one-way': 0, closing: 0, replied: 0, established: 0 });
});

test('syn, profile ovs: the table is full, the rest is refused', async () => {
  const report = await floodOf({ profile: 'ovs' });
  assert.equal(report.connections, RUN.maxConnections);
  assert.equal(report.refused, RUN.rate * RUN.seconds - (RUN.maxConnections - RUN.established));
  assert.equal(report.refusedBy['table-full'], report.refused);
});

test('another seed: other verdicts', async () => {
  const reports = await Promise.all([1, 2].map(seed => floodOf({ kind: 'mixed', seed })));
  assert.notEqual(reports[0].verdicts, reports[1].verdicts);
});

test('emergencies are counted', async () => {
  const { emergencies } = await floodOf({});
  assert.ok(emergencies.begun >= 1 && emergencies.begun - emergencies.ended <= 1, JSON.stringify(emergencies));
  assert.deepEqual((await floodOf({ profile: 'ovs' })).emergencies, { begun: 0, ended: 0 });
});

test('one source: it is known for what it does', async () => {
  const { top } = await floodOf({ sources: 'one' });
  // 10.128.0.0, as often as there are packets of the flood: each opens a connection.
  const flooder = { name: '10.128.0.0', least: RUN.rate * RUN.seconds, most: RUN.rate * RUN.seconds };
  assert.deepEqual(top?.new.source[0], flooder);
  assert.equal(top?.packets.source[0].name, '10.128.0.0');
  assert.equal(top?.new.destination[0].name, '192.168.0.1');
  assert.equal((await floodOf({ tracksTop: false })).top, null);
});

for (const shards of [1, 2]) {
  test(`by the wall clock through ${shards} workers: no session is lost or misjudged`, async () => {
    const report = await floodOf({ shards, clock: 'wall', rate: Number.POSITIVE_INFINITY, seconds: 2 });
    assert.equal(report.establishedEvicted, 0);
    assert.equal(report.establishedMisjudged, 0);
    assert.ok(report.packets > 10_000, `${report.packets} packets`);
    assert.ok(report.batchLatencyUs !== null && report.batchLatencyUs.count > 0);
  });
}

test('by the wall clock at a rate: as many packets as that, and those of the sessions', async () => {
  const report = await floodOf({ clock: 'wall', rate: 2000, seconds: 2 });
  assert.ok(Math.abs(report.packets - 4200) < 500, `${report.packets} packets`);
});

test('a number of packets ends a flood', async () => {
  const report = await floodOf({ packets: 777, established: 0, seconds: 1000 });
  assert.equal(report.packets, 777);
});

/** Judges the packets of sessions, written one by one. */
class Judged {
  readonly engine = new LocalEngine({ maxConnections: 1000, seed: 1 });
  readonly sessions = new Sessions(10, 4, 1);
  readonly judge = new SessionJudge(10);
  readonly #batch = new PacketBatch(1);

  constructor() {
    this.engine.defineAction({});
  }

  next(count: number): string[] {
    return Array.from({ length: count }, () => {
      const { length } = this.sessions;
      const batch = this.#batch;
      batch.clear();
      const at = batch.tryReserve(length);
      const cookie = this.sessions.write(batch.frames, at);
      assert.notEqual(cookie, NO_SESSION);
      batch.addReserved(length, 0, 0, 1000, 0, cookie);
      this.engine.execute(batch);
      this.judge.check(cookie, batch.state(0), batch.reason(0), batch.packets[26]);
      return formatCtState(batch.state(0));
    });
  }
}

test('sessions: handshakes one after the other, then a segment from either side of each in turn', () => {
  const judged = new Judged();
  const handshake = ['new|trk', 'est|rpl|trk', 'est|trk'];
  assert.deepEqual(judged.next(30), Array.from({ length: 10 }, () => handshake).flat());
  assert.ok(judged.sessions.isOpen);
  assert.equal(judged.sessions.dueMs, 0);
  const pair = ['est|trk', 'est|rpl|trk'];
  assert.deepEqual(judged.next(40), Array.from({ length: 20 }, () => pair).flat());
  assert.equal(judged.sessions.dueMs, 2000);
  assert.deepEqual([judged.judge.misjudged, judged.judge.lost], [0, 0]);
});

test('sessions: one that the table has lost is noticed, once', () => {
  const judged = new Judged();
  judged.next(30);
  // All of them have ended by then, and an empty table knows none of their packets.
  judged.engine.sweep(1e12);
  judged.next(40);
  assert.equal(judged.judge.lost, 10);
  assert.equal(judged.judge.kept, 0);
  assert.ok(judged.judge.misjudged >= 10, `${judged.judge.misjudged}`);
});

test('a capture holds the packets of the flood and of its sessions, at their times', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'flowshard-flood-'));
  after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'flood.pcap');
  const written = await writeFlood({ ...RUN, rate: 1000, seconds: 2 }, path, () => false);
  assert.equal(written, 3 * 50 + 2 * 1000 + 2 * 2 * 50);
  const reader = CaptureReader.open(path);
  let packets = 0;
  let latestMs = 0;
  while (reader.next()) {
    assert.ok(reader.timeMs >= latestMs);
    if (packets++ === 0) latestMs = reader.timeMs;
    latestMs = reader.timeMs;
  }
  reader.close();
  assert.equal(packets, written);
});
