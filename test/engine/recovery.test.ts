/**
 * Workers that die: the table is made whole, another worker goes on, and no established connection notices.
 *
 * What is asked afterwards is what DESIGN's third invariant promises, and that all books agree (audit.ts).
 */
import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { PacketBatch } from '../../src/engine/batch.js';
import { nextOfClassLocked, oldestOfClassLocked } from '../../src/engine/classes.js';
import { readCounters } from '../../src/engine/counters.js';
import { Engine } from '../../src/engine/engine.js';
import { createMemory, type EngineMemory } from '../../src/engine/memory.js';
import { type EngineOptions, memoryOptions, resolveOptions, type WorkerDeath } from '../../src/engine/options.js';
import { applyProfile } from '../../src/engine/policy.js';
import { attachReassembly, createReassemblyMemory } from '../../src/engine/reassembly.js';
import { repairTable } from '../../src/engine/recover.js';
import { createTracker, defineAction, type Tracker } from '../../src/engine/tracker.js';
import { REASON, reasonName } from '../../src/reason.js';
import { breakLocks, NONE } from '../../src/sharedarraybuffer-hashmap/index.js';
import { CLASS_NAMES } from '../../src/track/protocol.js';
import { formatCtState } from '../../src/track/state.js';
import { judgeBatch } from '../support/batch.js';
import { cut } from '../support/fragments.js';
import { frame, icmp, ipv4, ipv6, type Packet, type Transport, tcp, udp } from '../support/frames.js';
import { seedFor, withSeed } from '../support/random.js';
import { auditEngine } from './audit.js';
import { POISON } from './poisoned-shard.js';

/** Number of shard 0 among the threads that take locks. */
const FIRST_SHARD_OWNER = 3;
const REPAIRER = 1;
const DOOMED = 2;
const HOST = '10.9.0.1';
const OUTSIDE = '192.0.2.7';
const OUTSIDE6 = '2001:db8:2::7';
const SEQ = 1000;

/** A flow of client number `client`; `back` is what answers are sent to. */
interface Flow {
  readonly there: (transport: Transport) => Packet;
  readonly back: (transport: Transport) => Packet;
  readonly action: number;
}

/** Every fourth is IPv6; every third is translated, and every third in another zone. */
function flowOf(client: number): Flow {
  const isIpv6 = client % 4 === 3;
  const action = [PLAIN, isIpv6 ? NAT6 : NAT, ZONE][client % 3];
  if (isIpv6) {
    const src = `2001:db8::${client.toString(16)}`;
    return {
      there: transport => ipv6({ src, dst: '2001:db8:1::1' }, transport),
      back: transport => ipv6({ src: '2001:db8:1::1', dst: action === NAT6 ? OUTSIDE6 : src }, transport),
      action,
    };
  }
  const src = `10.1.${client >>> 8}.${client & 255}`;
  return {
    there: transport => ipv4({ src, dst: HOST }, transport),
    back: transport => ipv4({ src: HOST, dst: action === NAT ? OUTSIDE : src }, transport),
    action,
  };
}

const PLAIN = 0;
const NAT = 1;
const ZONE = 2;
const NAT6 = 3;

function define(define: (action: Parameters<typeof defineAction>[1]) => number): void {
  assert.equal(define({}), PLAIN);
  assert.equal(define({ nat: { kind: 'src', minAddress: OUTSIDE } }), NAT);
  assert.equal(define({ zone: 7 }), ZONE);
  assert.equal(define({ nat: { kind: 'src', minAddress: OUTSIDE6 } }), NAT6);
}

/** Each client has a source port of its own, which NAT therefore keeps. */
const query = (client: number) => udp({ sport: 5000 + client, dport: 53 });
const answer = (client: number) => udp({ sport: 53, dport: 5000 + client });
const segment = (client: number, flags: string) =>
  tcp({ sport: 20_000 + client, dport: 80, seq: flags === 'S' ? SEQ : SEQ + 1, ack: SEQ + 1, flags });
const reply = (client: number, flags: string) =>
  tcp({ sport: 80, dport: 20_000 + client, seq: flags === 'SA' ? SEQ : SEQ + 1, ack: SEQ + 1, flags });

interface Sent {
  readonly bytes: Uint8Array;
  readonly action: number;
}

/** A TCP connection and a UDP exchange of a client, both ways used. */
function handshake(client: number, flow: Flow): Sent[] {
  const { there, back, action } = flow;
  return [
    there(segment(client, 'S')),
    back(reply(client, 'SA')),
    there(segment(client, 'A')),
    there(query(client)),
    back(answer(client)),
  ].map(packet => ({ bytes: frame(packet), action }));
}

/** What of it is established: a packet each way of both. */
function established(client: number, flow: Flow): Sent[] {
  const { there, back, action } = flow;
  return [there(segment(client, 'A')), back(reply(client, 'A')), there(query(client)), back(answer(client))].map(
    packet => ({ bytes: frame(packet), action }),
  );
}

const FLOWS: readonly Flow[] = Array.from({ length: 12 }, (_, client) => flowOf(client));

/** New connections of all kinds, changes of old ones, and removals: what the doomed thread is at. */
function work(): Sent[] {
  const sent: Sent[] = [];
  const send = (packet: Packet, action: number) => sent.push({ bytes: frame(packet), action });
  for (let client = 100; client < 106; client++) {
    const flow = flowOf(client);
    send(flow.there(segment(client, 'S')), flow.action);
    send(flow.there(query(client)), flow.action);
    send(flow.back(answer(client)), flow.action);
    send(flow.there(icmp({ type: 8 })), flow.action);
    send(flow.back(reply(client, 'RA')), flow.action);
    // The same ports again: the reset connection makes way.
    send(flow.there(segment(client, 'S')), flow.action);
  }
  return sent;
}

function batchOf(sent: readonly Sent[], memory?: EngineMemory): PacketBatch {
  const batch = new PacketBatch(sent.length, sent.length * 2048, memory?.wasm);
  for (const { bytes, action } of sent) assert.ok(batch.add(bytes, 1000, { action }));
  return batch;
}

function states(batch: PacketBatch): string[] {
  return Array.from({ length: batch.length }, (_, index) => formatCtState(batch.state(index)).replace(/\|[sd]nat/, ''));
}

/** A table with two regions, the established connections of FLOWS in it, and the thread that is to die. */
function prepare(): { memory: EngineMemory; repairer: Tracker; doomed: Tracker } {
  // Full with the first connections of work(): those behind them evict.
  const options = resolveOptions({ shards: 2, seed: 5, maxConnections: 40, clock: 'packets', profile: 'resilient' });
  const memory = createMemory(memoryOptions(options, 1));
  applyProfile(memory, options.profile);
  define(action => defineAction(memory, action));
  const [repairer, doomed] = [REPAIRER, DOOMED].map(owner =>
    createTracker(memory, owner, attachReassembly(createReassemblyMemory(memory.wasm, 256 << 10))),
  );
  const batch = batchOf(
    FLOWS.flatMap((flow, client) => handshake(client, flow)),
    memory,
  );
  judgeBatch(repairer, batch);
  return { memory, repairer, doomed };
}

/** The records of each class, in the order in which they would give way. */
function classesOf(tracker: Tracker): number[][] {
  const lists: number[][] = [];
  for (let region = 0; region < tracker.map.regions; region++) {
    for (let ofClass = 1; ofClass <= CLASS_NAMES.length; ofClass++) {
      const list: number[] = [];
      let record = oldestOfClassLocked(tracker, region, ofClass);
      for (; record !== NONE; record = nextOfClassLocked(tracker, region, record, ofClass)) list.push(record);
      lists.push(list);
    }
  }
  return lists;
}

class Death extends Error {}

/** The tracker, that of a thread which dies when it looks at it for the `steps`-th time. */
function mortal(tracker: Tracker, steps: number): { tracker: Tracker; left: () => number } {
  let left = steps;
  const proxy = new Proxy(tracker, {
    get(target, name) {
      if (left-- === 0) throw new Death();
      return Reflect.get(target, name);
    },
  });
  return { tracker: proxy, left: () => left };
}

function die(steps: number): boolean {
  const { memory, repairer, doomed } = prepare();
  const { tracker } = mortal(doomed, steps);
  const batch = batchOf(work(), memory);
  let hasDied = false;
  try {
    // One by one first, so that most of it is done; then all at once, for the fast paths.
    for (let packet = 0; packet < batch.length; packet++) judgeBatch(tracker, batch, packet, 1);
    judgeBatch(tracker, batchOf(work(), memory));
  } catch (error) {
    assert.ok(error instanceof Death, `step ${steps}: ${error}`);
    hasDied = true;
  }
  breakLocks(memory.map, DOOMED);
  breakLocks(memory.expectations, DOOMED);
  assert.equal(repairTable(repairer), 0, `step ${steps}: connections lost`);
  try {
    auditEngine(memory, readCounters(memory.counters));
    const after = batchOf(
      FLOWS.flatMap((flow, client) => established(client, flow)),
      memory,
    );
    judgeBatch(repairer, after);
    const expected = FLOWS.flatMap(() => ['est|trk', 'est|rpl|trk', 'est|trk', 'est|rpl|trk']);
    assert.deepEqual(states(after), expected);
    judgeBatch(repairer, batchOf(work(), memory));
    auditEngine(memory, readCounters(memory.counters));
  } catch (error) {
    throw new Error(`step ${steps}`, { cause: error });
  }
  return hasDied;
}

test('a thread that dies at any step: all established connections are there, and all books agree', () => {
  withSeed(4711, random => {
    let steps = 0;
    let deaths = 0;
    while (die(steps)) {
      deaths++;
      steps += random.between(1, 80);
    }
    assert.ok(deaths > 50, `${deaths} deaths in ${steps} steps`);
  });
});

test('the order of eviction stays what it was', () => {
  const { memory, repairer } = prepare();
  const batch = batchOf(work().slice(0, 12), memory);
  judgeBatch(repairer, batch);
  const before = classesOf(repairer);
  assert.equal(repairTable(repairer), 0);
  assert.deepEqual(classesOf(repairer), before);
  assert.ok(before.some(({ length }) => length > 1));
});

describe('an engine whose workers die', { timeout: 120_000 }, () => {
  const realRun = Piscina.prototype.run;
  /** The pool of each worker, by its number among the threads that take locks: 2 is the sweeper's, the shards' follow. */
  const pools = new Map<number, Piscina>();
  const OPTIONS = { shards: 2, maxConnections: 40_000, clock: 'packets', seed: 5 } as const;

  /** Lets the test get at the pools, and runs another file as shard 0 if one is named. */
  function intercept(file?: string): void {
    const changed: typeof realRun = function (this: Piscina, task, options) {
      pools.set(task.owner, this);
      const isFirst = file !== undefined && task.owner === FIRST_SHARD_OWNER;
      return realRun.call(this, task, { ...options, ...(isFirst && { filename: file }) });
    };
    Piscina.prototype.run = changed;
  }

  afterEach(() => {
    Piscina.prototype.run = realRun;
  });

  async function openWithFlows(deaths: WorkerDeath[], options: EngineOptions = {}): Promise<Engine> {
    const engine = await Engine.open({ ...OPTIONS, onWorkerDeath: death => deaths.push(death), ...options });
    define(action => engine.defineAction(action));
    // One by one: under NAT the two directions of a connection go to different shards.
    for (const [client, flow] of FLOWS.entries()) {
      for (const sent of handshake(client, flow)) await engine.execute(batchOf([sent]));
    }
    assert.equal(engine.connectionCount, 2 * FLOWS.length);
    return engine;
  }

  async function expectEstablished(engine: Engine): Promise<void> {
    const after = batchOf(FLOWS.flatMap((flow, client) => established(client, flow)));
    await engine.execute(after);
    assert.deepEqual(
      states(after),
      FLOWS.flatMap(() => ['est|trk', 'est|rpl|trk', 'est|trk', 'est|rpl|trk']),
    );
  }

  test('threads that are ended at any moment, with packets under way', async () => {
    intercept();
    const deaths: WorkerDeath[] = [];
    const engine = await openWithFlows(deaths);
    const seed = seedFor(99);
    for (let round = 0; round < 6; round++) {
      const batch = new PacketBatch(4000, 4000 * 128);
      for (let number = 0; number < 4000; number++) {
        const bytes = frame(
          ipv4({ src: `10.77.${round}.1`, dst: `10.66.${round}.1` }, udp({ sport: 2000 + number, dport: 9 })),
        );
        assert.ok(batch.add(bytes, 1000, { action: number % 2 === 0 ? PLAIN : NAT }));
      }
      const running = engine.execute(batch);
      await sleep((seed + round) % 4);
      await pools.get(2 + ((seed + round) % 3))?.threads[0].terminate();
      await running;
      const reasons = new Set(Array.from({ length: batch.length }, (_, index) => reasonName(batch.reason(index))));
      const known = ['none', 'shard-died', 'table-locked'];
      assert.deepEqual(
        [...reasons].filter(reason => !known.includes(reason)),
        [],
      );
      while (deaths.length <= round) await sleep(5);
      await expectEstablished(engine);
    }
    assert.equal(engine.counters().events.workerDeaths, 6);
    assert.deepEqual([...new Set(deaths.map(({ connectionsLost }) => connectionsLost))], [0]);
    await engine.close();
    auditEngine(engine.memory, engine.counters());
  });

  test('a packet that a shard dies of has the reason, all others are judged', async () => {
    intercept(fileURLToPath(new URL('./poisoned-shard.js', import.meta.url)));
    const deaths: WorkerDeath[] = [];
    const engine = await openWithFlows(deaths);
    const batch = new PacketBatch(300, 300 * 128);
    for (let number = 0; number < 300; number++) {
      const bytes = frame(ipv4({ src: '10.78.0.1' }, udp({ sport: 1 + number, dport: 9 })));
      assert.ok(batch.add(bytes, 1000, { action: PLAIN, cookie: number < 100 ? number : POISON }));
      if (number === 103) break;
    }
    await engine.execute(batch);
    const isDead = (index: number) => batch.reason(index) === REASON['shard-died'];
    const dead = Array.from({ length: batch.length }, (_, index) => index).filter(isDead);
    assert.ok(dead.length > 0 && dead.every(index => index >= 100), `${dead}`);
    for (const index of dead) assert.equal(formatCtState(batch.state(index)), 'inv|trk');
    for (let index = 0; index < batch.length; index++) {
      if (!isDead(index)) assert.equal(formatCtState(batch.state(index)), 'new|trk', `packet ${index}`);
    }
    assert.equal(deaths.length, dead.length);
    assert.equal(engine.counters().reasons['shard-died'], dead.length);
    const [{ worker, why, packetsRefused, connectionsLost }] = deaths;
    assert.deepEqual([worker, why, packetsRefused, connectionsLost], ['shard 0', 'poisoned', 1, 0]);
    await expectEstablished(engine);
    assert.equal(engine.counters().events.workerDeaths, deaths.length);
    await engine.close();
    auditEngine(engine.memory, engine.counters());
  });

  test('fragments that the dead shard was holding are counted, and those that come afterwards are held again', async () => {
    intercept(fileURLToPath(new URL('./poisoned-shard.js', import.meta.url)));
    const deaths: WorkerDeath[] = [];
    const engine = await openWithFlows(deaths, { shards: 1 });
    const [first, last] = cut(ipv4({}, udp({ payload: new Array<number>(2000).fill(1) })), 1480);
    const batch = (bytes: Uint8Array, cookie = 0) => {
      const one = new PacketBatch(1);
      assert.ok(one.add(bytes, 1000, { cookie }));
      return one;
    };
    await engine.execute(batch(first));
    await engine.execute(batch(frame(ipv4({}, udp({}))), POISON));
    while (deaths.length === 0) await sleep(5);
    assert.equal(deaths[0].fragmentsLost, 1);
    await engine.execute(batch(last));
    assert.equal(engine.released.peek(), -1, 'the first one is lost');
    await engine.execute(batch(first));
    const whole = new PacketBatch(2);
    assert.equal(engine.released.takeInto(whole), 2);
    assert.deepEqual(states(whole), ['new|trk', 'new|trk']);
    const { fragmentsLost, ipv4FragmentsAccepted } = engine.counters().events;
    assert.deepEqual([fragmentsLost, ipv4FragmentsAccepted], [1, 3]);
    await engine.close();
  });

  test('a sweeper over a damaged index: that is made anew', async () => {
    const deaths: WorkerDeath[] = [];
    const engine = await openWithFlows(deaths, { sweepIntervalMs: 5 });
    const { map } = engine.memory;
    map.words.fill(0, map.bucketsAt, map.recordsAt);
    const late = new PacketBatch(100);
    for (let number = 0; number < 100; number++) {
      assert.ok(late.add(frame(ipv4({}, udp({ sport: 9000 + number }))), 100_000));
    }
    await engine.execute(late);
    while (engine.connectionCount !== FLOWS.length + 100) await sleep(5);
    // UDP has ended, TCP has not.
    assert.ok(deaths.length > 0 && deaths.every(({ worker }) => worker === 'sweeper'));
    assert.match(deaths[0].why, /^record \d+ is not in the index$/);
    await engine.close();
    auditEngine(engine.memory, engine.counters());
  });

  test('a listener that throws is warned of, and no more', async () => {
    intercept();
    const warned = new Promise<Error>(resolve => process.once('warning', resolve));
    const engine = await openWithFlows([], {
      onWorkerDeath: () => {
        throw new Error('not my day');
      },
    });
    await pools.get(FIRST_SHARD_OWNER)?.threads[0].terminate();
    assert.equal((await warned).message, 'not my day');
    await expectEstablished(engine);
    await engine.close();
  });
});
