/**
 * Flushing: what goes and what stays, that the counts add up and nothing is left over, alone and while other threads
 * create and remove connections.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { dumpConnections } from '../../src/control/dump.js';
import type { ConnectionFilter } from '../../src/control/filter.js';
import { parseFilter } from '../../src/control/filter-text.js';
import { flushConnections } from '../../src/control/flush.js';
import { formatConnection } from '../../src/control/format.js';
import { PacketBatch } from '../../src/engine/batch.js';
import { readCounters } from '../../src/engine/counters.js';
import { LocalEngine } from '../../src/engine/local.js';
import { createMemory, handleOf } from '../../src/engine/memory.js';
import { createTracker, defineAction } from '../../src/engine/tracker.js';
import { BUCKET_WORDS, lockRegion, type SharedMap, unlockRegion } from '../../src/sharedarraybuffer-hashmap/index.js';
import { auditLocked } from '../sharedarraybuffer-hashmap/audit.js';
import { frame, icmp, ipv4, ipv6, tcp, udp } from '../support/frames.js';
import { isOvsAvailable, Ovs, REPORT_TABLE } from '../support/ovs.js';
import { withSeed } from '../support/random.js';
import { newBarrier, runThreads } from '../support/threads.js';
import type { FlushJob } from './flush-worker.js';
import { ACTIONS, populate } from './populate.js';
import { assertCountsAndLists } from './recount.js';

/** No record, no annex and no entry of the index is left. */
function assertEmpty(map: SharedMap): void {
  for (let region = 0; region < map.regions; region++) {
    assert.ok(lockRegion(map, region, 1));
    assert.deepEqual(auditLocked(map, region), []);
    unlockRegion(map, region);
  }
  const end = map.bucketsAt + map.regions * map.bucketsPerRegion * BUCKET_WORDS;
  assert.ok(map.words.subarray(map.bucketsAt, end).every(word => word === 0));
}

const FILTERS: readonly ConnectionFilter[] = [
  { zone: 5 },
  { zone: 9 },
  { isIpv6: true },
  { protocol: 6, tcpState: 'ESTABLISHED' },
  { original: { src: '10.0.0.1' } },
  { reply: { dst: '192.0.2.1' } },
  { either: { src: '10.0.0.2', srcPort: 53 } },
  { mark: { value: 0x12, mask: 0xff } },
  { label: { value: 1n, mask: 1n } },
  { zone: 0, protocol: 17, original: { src: '10.0.0.1', dst: '10.0.0.2', srcPort: 1, dstPort: 53 } },
  {},
];

test('a flush deletes what the filter means and nothing else', () => {
  withSeed(41, random => {
    for (const filter of FILTERS) {
      const engine = populate(random, 2000);
      const { tracker } = engine;
      const before = [...dumpConnections(tracker, 0)];
      const meant = new Set([...dumpConnections(tracker, 0, filter)].map(entry => formatConnection(entry)));
      const deleted = flushConnections(tracker, filter);
      assert.equal(deleted, meant.size);
      assert.deepEqual(
        [...dumpConnections(tracker, 0)],
        before.filter(entry => !meant.has(formatConnection(entry))),
      );
      const { created, expired, replaced, deleted: counted } = engine.counters().events;
      assert.equal(counted, deleted);
      assert.equal(created, engine.connectionCount + expired + replaced + deleted);
      assert.equal(flushConnections(tracker, filter), 0);
      flushConnections(tracker);
      assertEmpty(tracker.map);
    }
  });
});

test('a filter that cannot be met deletes nothing', () => {
  withSeed(42, random => {
    const engine = populate(random, 200);
    const count = engine.connectionCount;
    assert.throws(() => flushConnections(engine.tracker, { zone: -1 }), RangeError);
    assert.equal(engine.connectionCount, count);
    // Ports are of one protocol and ICMP fields of another: no connection meets both.
    const contradiction = { original: { srcPort: 1 }, reply: { icmp: { id: 1 } } };
    assert.equal(flushConnections(engine.tracker, contradiction), 0);
    assert.equal(flushConnections(engine.tracker, { original: { icmp: {} }, either: { dstPort: 80 } }), 0);
    assert.equal(engine.connectionCount, count);
  });
});

/** What plain JavaScript can hand over, and what is said of it. */
const NO_FILTERS: readonly (readonly [filter: unknown, message: string])[] = [
  [null, 'TypeError: filter must be a plain object: null'],
  [5, 'TypeError: filter must be a plain object: 5'],
  ['zone=5', 'TypeError: filter must be a plain object: "zone=5"'],
  [['zone=5'], 'TypeError: filter must be a plain object: an array'],
  [[], 'TypeError: filter must be a plain object: an array'],
  [new Map([['zone', 5]]), 'TypeError: filter must be a plain object: an object'],
  [Object.create({ zone: 5 }), 'TypeError: filter must be a plain object: an object'],
  [() => undefined, 'TypeError: filter must be a plain object: a function'],
  [{ zon: 5 }, 'RangeError: filter has no field "zon"'],
  [{ zone: '5\n' }, 'RangeError: zone must be a whole number from 0 to 65535: "5\\n"'],
  [{ isIpv6: 'false' }, 'TypeError: isIpv6 must be true or false: "false"'],
  [{ original: '10.1.0.2' }, 'TypeError: original must be a plain object: "10.1.0.2"'],
  [{ original: { source: '9.9.9.9' } }, 'RangeError: original has no field "source"'],
  [{ reply: null }, 'TypeError: reply must be a plain object: null'],
  [{ either: { src: 5 } }, 'RangeError: either.src is not an IP address: 5'],
  [{ either: { icmp: 0 } }, 'TypeError: either.icmp must be a plain object: 0'],
  [{ either: { icmp: { typ: 8 } } }, 'RangeError: either.icmp has no field "typ"'],
  [{ mark: 5 }, 'TypeError: mark must be a plain object: 5'],
  [{ mark: { value: 5, maks: 1 } }, 'RangeError: mark has no field "maks"'],
  [{ mark: { mask: 5 } }, 'RangeError: mark.value must be a whole number from 0 to 4294967295: undefined'],
  [{ label: { value: 5 } }, 'TypeError: label.value must be a bigint: 5'],
  [{ label: { value: 5n, mask: '5' } }, 'TypeError: label.mask must be a bigint: "5"'],
  [{ tcpState: 4 }, 'RangeError: no connection is shown in TCP state 4'],
];

test('what is no filter deletes nothing, and what is undefined counts as left out', () => {
  withSeed(44, random => {
    const { tracker, memory } = populate(random, 200);
    const count = [...dumpConnections(tracker, 0)].length;
    for (const [filter, message] of NO_FILTERS) {
      const said = (error: unknown) => String(error) === message;
      assert.throws(() => flushConnections(tracker, filter as ConnectionFilter), said, message);
      assert.throws(() => dumpConnections(tracker, 0, filter as ConnectionFilter), said, message);
      assert.equal([...dumpConnections(tracker, 0)].length, count, message);
    }
    const nothing = { zone: undefined, original: { src: undefined, icmp: undefined }, mark: undefined } as object;
    assert.ok(flushConnections(tracker, Object.assign(Object.create(null), nothing)) >= count);
    assertEmpty(memory.map);
  });
});

test('flushes while other threads create and remove', { timeout: 120_000 }, async () => {
  const threads = 3;
  const memory = createMemory({
    regions: 2,
    threads: threads + 1,
    maxConnections: 4000,
    maxIpv6Connections: 2000,
    hashKey: [1, 2],
    isWallClock: false,
    checksSequence: true,
    maxExpectations: 16,
    sweepIntervalMs: 1000,
  });
  for (const action of ACTIONS) defineAction(memory, action);
  const barrier = newBarrier();
  const job = (kind: FlushJob['kind'], owner: number): FlushJob => {
    const seed = owner;
    return { kind, memory: handleOf(memory), owner, seed, barrier, threads, packets: 150_000 };
  };
  const reports = await runThreads<FlushJob, number>(new URL('./flush-worker.js', import.meta.url), [
    job('packets', 2),
    job('packets', 3),
    job('flush', 4),
  ]);
  const tracker = createTracker(memory, 1);
  const { created, expired, replaced, deleted } = readCounters(memory.counters).events;
  assert.equal(deleted, reports[2], 'the flushes report what they deleted');
  assert.ok(
    deleted > 1000 && replaced > 0 && expired > 0,
    `${deleted} deleted, ${replaced} replaced, ${expired} expired`,
  );
  const alive = [...dumpConnections(tracker, -1)].length;
  assert.equal(created, alive + expired + replaced + deleted);
  assertCountsAndLists(tracker);
  assert.equal(flushConnections(tracker), alive);
  assertEmpty(memory.map);
});

/** Flushes on the command line, each on the connections that the ones before have left. */
const FLUSHES: readonly (readonly string[])[] = [
  ['ct_nw_src=10.0.0.9,ct_nw_dst=10.0.0.2,ct_nw_proto=17,ct_tp_src=1,ct_tp_dst=2'],
  ['ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_nw_proto=17,ct_tp_src=1,ct_tp_dst=2'],
  ['ct_nw_src=10.0.0.2,ct_nw_dst=10.0.0.1,ct_nw_proto=17,ct_tp_src=2,ct_tp_dst=3'],
  ['zone=5', 'ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_nw_proto=17,ct_tp_src=1,ct_tp_dst=2'],
  ['ct_nw_proto=1'],
  ['ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_nw_proto=1,icmp_id=2,icmp_type=8'],
  ['zone=5', 'ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_nw_proto=1,icmp_id=2,icmp_type=13'],
  ['ct_nw_proto=1,icmp_id=1,icmp_type=8', 'icmp_id=1'],
  ['', 'ct_nw_proto=6,ct_tp_src=80'],
  ['', 'ct_nw_src=10.0.0.4'],
  ['zone=5', 'ct_nw_proto=6'],
  ['ct_nw_src=0.0.0.0,ct_nw_proto=17,ct_tp_dst=7'],
  ['ct_ipv6_src=::,ct_ipv6_dst=fd00::2,ct_nw_proto=17,ct_tp_dst=7'],
  ['ct_nw_proto=17,ct_tp_dst=7'],
  ['zone=5', 'ct_ipv6_src=fd00::1'],
  ['ct_ipv6_src=fd00::3'],
  ['zone=5'],
  [],
];

const TRANSPORTS = [
  ...[2, 3, 7].flatMap(port => [udp({ sport: 1, dport: port }), udp({ sport: port, dport: port })]),
  udp({ sport: 3, dport: 2 }),
  ...[80, 443].map(port => tcp({ sport: 9, dport: port })),
  ...[1, 2].flatMap(id => [icmp({ id, type: 8 }), icmp({ id, type: 13 })]),
];

const FRAMES = [
  ...TRANSPORTS.flatMap(transport =>
    ['10.0.0.2', '10.0.0.4'].map(dst => frame(ipv4({ src: '10.0.0.1', dst }, transport))),
  ),
  ...['fd00::1', 'fd00::3'].map(src => frame(ipv6({ src, dst: 'fd00::2' }, udp({ sport: 1, dport: 2 })))),
];

const ZONES = [0, 5];

const availability = isOvsAvailable();
describe('Open vSwitch deletes the same', { skip: availability.available ? false : availability.reason }, () => {
  let ovs: Ovs;
  before(async () => {
    const commit = ZONES.map(zone => `ct(commit,zone=${zone})`).join();
    const flows = ['ip', 'ipv6'].map(
      match => `table=0,priority=9,${match},actions=${commit},goto_table:${REPORT_TABLE}\n`,
    );
    ovs = await Ovs.start({ flows: flows.join('') });
  });
  after(() => ovs?.stop());

  test('flushes of dpctl', async () => {
    const engine = new LocalEngine({ maxConnections: 256 });
    const batch = new PacketBatch(FRAMES.length * ZONES.length);
    for (const zone of ZONES) {
      const action = engine.defineAction({ zone });
      for (const data of FRAMES) assert.ok(batch.add(data, 1, { action }));
    }
    engine.execute(batch);
    await ovs.inject(FRAMES.map(data => ({ data })));
    const dump = () => [...dumpConnections(engine.tracker, 1)].map(entry => formatConnection(entry)).sort();
    assert.deepEqual(dump(), await ovs.dump());
    for (const args of FLUSHES) {
      const count = engine.connectionCount;
      const deleted = flushConnections(engine.tracker, parseFilter(args));
      assert.equal(deleted, count - engine.connectionCount);
      const answer = ovs.command('dpctl/flush-conntrack', ...args);
      if (args === FLUSHES[0]) await assert.rejects(answer, /failed to flush conntrack/);
      else await answer;
      const ours = dump();
      const theirs = await ovs.dump();
      // A flush of 3.1.0 now and then leaves a connection that it means, and the same flush once more deletes it; seen
      // in 9 of 20 runs, never in 4.0.90. It can only have too many: what we delete too much or too little still shows.
      const isIncomplete = theirs.length > ours.length && ours.every(line => theirs.includes(line));
      if (isIncomplete) await ovs.command('dpctl/flush-conntrack', ...args);
      assert.deepEqual(ours, isIncomplete ? await ovs.dump() : theirs, args.join(' '));
    }
    assert.equal(engine.connectionCount, 0);
  });
});
