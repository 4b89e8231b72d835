/**
 * Translated connections that cannot be made: no memory for their second half, an index without room, a region that
 * another thread does not give back. The packet is new and has the reason, and nothing is left behind.
 *
 * Such failures are this project's own: Open vSwitch takes memory as it goes, and has one lock.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMemory } from '../../src/engine/memory.js';
import { memoryOptions, resolveOptions } from '../../src/engine/options.js';
import { createTracker, defineAction } from '../../src/engine/tracker.js';
import { formatCtState, LocalEngine, type NatAction, PacketBatch, reasonName } from '../../src/index.js';
import {
  annexesUsedLocked,
  BUCKET_WORDS,
  isLive,
  recordAt,
  recordsUsedLocked,
  regionOfRecord,
  type SharedMap,
  tryLockRegion,
  unlockRegion,
} from '../../src/sharedarraybuffer-hashmap/index.js';
import { CONN } from '../../src/track/connection.js';
import { frame, ipv4, ipv6, udp } from '../support/frames.js';
import { auditEngine } from './audit.js';

const OWNER = 1;
const OTHER = 2;
const FAILED = 'new|trk';

/** An engine on this thread whose table has as many regions as that of two shards. */
function withTwoRegions(nat: NatAction): LocalEngine {
  const engine = new LocalEngine({ maxConnections: 1 });
  const memory = createMemory(memoryOptions(resolveOptions({ shards: 2, seed: 1, maxConnections: 200 }), 1));
  Object.assign(engine, { memory, tracker: createTracker(memory, OWNER) });
  defineAction(memory, { nat });
  return engine;
}

function judge(engine: LocalEngine, bytes: Uint8Array): string {
  const batch = new PacketBatch(1, 256);
  batch.add(bytes, 0);
  engine.execute(batch);
  return `${formatCtState(batch.state(0))} ${reasonName(batch.reason(0))}`;
}

/** Records and annexes in use. */
function used({ memory: { map } }: LocalEngine): number[] {
  const regions = Array.from({ length: map.regions }, (_, region) => region);
  const sum = (count: typeof recordsUsedLocked) => regions.reduce((all, region) => all + count(map, region), 0);
  return [sum(recordsUsedLocked), sum(annexesUsedLocked)];
}

function assertNothingLeft(engine: LocalEngine): void {
  assert.deepEqual(used(engine), [0, 0]);
  assert.equal(engine.connectionCount, 0);
  assert.equal(auditEngine(engine.memory, engine.counters()), 0);
}

test('over IPv6, without memory for the addresses of the reply direction', () => {
  const engine = new LocalEngine({ maxConnections: 20, maxIpv6Connections: 1 });
  engine.defineAction({ nat: { kind: 'src', minAddress: '2001:db8::7' } });
  const bytes = frame(ipv6({}, udp({ sport: 4000, dport: 53 })));
  for (let times = 0; times < 3; times++) assert.equal(judge(engine, bytes), `${FAILED} table-memory`);
  assertNothingLeft(engine);
});

/** Fills all slots of a region's index that are free with ones that name no record. @returns what empties them again */
function fillIndex(map: SharedMap, region: number): () => void {
  const { words } = map;
  const first = map.bucketsAt + region * map.bucketsPerRegion * BUCKET_WORDS;
  const filled: number[] = [];
  for (let slot = first; slot < first + map.bucketsPerRegion * BUCKET_WORDS; slot++) {
    if ((slot - first) % BUCKET_WORDS === 0 || words[slot] !== 0) continue;
    words[slot] = 1 << map.recordBits;
    filled.push(slot);
  }
  return () => {
    for (const slot of filled) words[slot] = 0;
  };
}

const ADDRESS: NatAction = { kind: 'src', minAddress: '192.0.2.7' };
const flowTo = (host: number) =>
  frame(ipv4({ src: '10.1.0.2', dst: `10.2.0.${host}` }, udp({ sport: 4000, dport: 53 })));

/** Of each connection: the host that its flow goes to, its region and that of its reply direction. */
function placesOf({ memory: { map } }: LocalEngine) {
  const records = Array.from({ length: map.regions * map.recordsPerRegion }, (_, index) => index + 1);
  return records
    .filter(record => isLive(map, record))
    .map(record => {
      const at = recordAt(map, record);
      const host = map.words[at + CONN.DST] & 0xff;
      return { host, region: regionOfRecord(map, record), replyRegion: map.words[at + CONN.REPLY_REGION] };
    });
}

test('a region whose index has no room: ports whose replies belong there are passed over', () => {
  const engine = withTwoRegions(ADDRESS);
  const { map } = engine.memory;
  const empty = fillIndex(map, 1);
  const hosts = Array.from({ length: 40 }, (_, index) => index + 1);
  const answers = hosts.map(host => judge(engine, flowTo(host)));
  const places = placesOf(engine);
  for (const { region, replyRegion } of places) assert.deepEqual([region, replyRegion], [0, 0]);
  const made = new Set(places.map(({ host }) => host));
  for (const host of hosts) {
    assert.equal(answers[host - 1], made.has(host) ? 'new|trk|snat none' : `${FAILED} table-memory`);
  }
  assert.ok(made.size > 0 && made.size < hosts.length, 'flows of both regions');
  empty();
  assert.equal(auditEngine(engine.memory, engine.counters()), made.size);
  for (const host of hosts) assert.equal(judge(engine, flowTo(host)), 'new|trk|snat none');
  assert.ok(placesOf(engine).some(({ replyRegion }) => replyRegion === 1));
});

test('without a port whose reply direction has room, or whose region is to be had, there is no translation', () => {
  const port: NatAction = { ...ADDRESS, minPort: 7000 };
  const tried = withTwoRegions(port);
  for (let host = 1; host < 40; host++) judge(tried, flowTo(host));
  const spread = placesOf(tried).find(({ region, replyRegion }) => region === 0 && replyRegion === 1);
  assert.ok(spread);
  const bytes = flowTo(spread.host);
  const ways: readonly [reason: string, obstruct: (map: SharedMap) => () => void][] = [
    ['nat-exhausted', map => fillIndex(map, 1)],
    [
      'table-locked',
      map => {
        assert.ok(tryLockRegion(map, 1, OTHER));
        return () => unlockRegion(map, 1);
      },
    ],
  ];
  for (const [reason, obstruct] of ways) {
    const engine = withTwoRegions(port);
    const clear = obstruct(engine.memory.map);
    assert.equal(judge(engine, bytes), `${FAILED} ${reason}`);
    clear();
    assertNothingLeft(engine);
    assert.equal(judge(engine, bytes), 'new|trk|snat none');
  }
});
