/**
 * Ten thousand established TCP sessions with traffic every second, in a table of 200,000 under a flood: none of them is
 * lost and none of their packets is misjudged. Time is that of the packets, two minutes of it, so a run is the same each
 * time.
 *
 * What a session's packets must be is RFC 9293 and OVS's answer to such packets when nothing else is going on: `est|trk`
 * and `est|rpl|trk`.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { collectGarbage } from '../../bench/machine.js';
import type { Generator } from '../../src/flood/generator.js';
import { FLOODS } from '../../src/flood/kinds.js';
import { watchedHomes } from '../../src/flood/watched.js';
import { dumpConnections, LocalEngine, PacketBatch } from '../../src/index.js';
import { CT } from '../../src/track/state.js';
import { KNOWN } from '../../src/wire/known.js';
import { frame, ipv4, tcp } from '../support/frames.js';
import { auditEngine, evictedOf } from './audit.js';

type FloodName = keyof typeof FLOODS;

const SESSIONS = 10_000;
const TABLE = 200_000;
const SERVER = '198.51.100.1';
const CLIENTS = 0xac100000;
const BATCH = 64;
/** Bytes of each segment. */
const PAYLOAD = 10;

const SRC_AT = 26;
const DST_AT = 30;
const SEQ_AT = 38;
const ACK_AT = 42;

/** A template whose addresses and numbers are written anew for each packet; checksums are not verified. */
function template(flags: string, isReply: boolean): Uint8Array {
  const ports = isReply ? { sport: 443, dport: 1000 } : { sport: 1000, dport: 443 };
  const address = isReply ? { src: SERVER } : { dst: SERVER };
  return frame(ipv4(address, tcp({ ...ports, flags, payload: flags === 'A' ? new Uint8Array(PAYLOAD) : [] })));
}

class Sessions {
  /** Next sequence number of the client and of the server of each session. */
  readonly #next = new Int32Array(SESSIONS * 2).fill(1);
  readonly #data = [template('A', false), template('A', true)];
  readonly engine: LocalEngine;
  misjudged = 0;

  constructor(engine: LocalEngine) {
    this.engine = engine;
  }

  add(batch: PacketBatch, bytes: Uint8Array, session: number, isReply: boolean, seq: number, ack: number, ms: number) {
    const at = batch.tryReserve(bytes.length);
    batch.bytes.set(bytes, at);
    batch.frames.setUint32(at + (isReply ? DST_AT : SRC_AT), CLIENTS + session);
    batch.frames.setInt32(at + SEQ_AT, seq);
    batch.frames.setInt32(at + ACK_AT, ack);
    batch.addReserved(bytes.length, KNOWN.NO_CHECKSUMS, 0, ms, 0, isReply ? CT.EST | CT.RPL : CT.EST);
  }

  open(): void {
    const frames = [template('S', false), template('SA', true), template('A', false)];
    const batch = new PacketBatch(3);
    for (let session = 0; session < SESSIONS; session++) {
      batch.clear();
      this.add(batch, frames[0], session, false, 0, 0, 0);
      this.add(batch, frames[1], session, true, 0, 1, 0);
      this.add(batch, frames[2], session, false, 1, 1, 0);
      this.engine.execute(batch);
      assert.equal(batch.state(2), CT.EST | CT.TRK);
      this.#next[session * 2] += PAYLOAD;
    }
  }

  /** A segment of a session, from either side in turn. */
  send(batch: PacketBatch, session: number, side: number, ms: number): void {
    const from = session * 2 + side;
    this.add(batch, this.#data[side], session, side === 1, this.#next[from], this.#next[from ^ 1], ms);
    this.#next[from] += PAYLOAD;
  }

  check(batch: PacketBatch, sent: number): void {
    for (let index = 0; index < sent; index++) {
      const side = batch.state(index) & CT.RPL;
      const isRight = (batch.state(index) & ~CT.RPL) === (CT.EST | CT.TRK) && batch.reason(index) === 0;
      if (!isRight || side !== this.#side) this.misjudged++;
    }
  }

  #side = 0;
  /** Which side sends in this second. */
  turn(second: number): number {
    this.#side = (second & 1) * CT.RPL;
    return second & 1;
  }
}

function flood(engine: LocalEngine, kind: FloodName, seed: number): Generator {
  const { ports, create } = FLOODS[kind];
  const generator = create({
    seed,
    family: 4,
    sources: 'uniform',
    destinations: 'one',
    ports,
    sizes: [],
    zones: 8,
    homeOf: watchedHomes(engine.memory, 4),
  });
  for (const action of generator.actions.slice(1)) engine.defineAction(action);
  return generator;
}

interface Run {
  readonly kind: FloodName;
  readonly seconds: number;
  readonly perSecond: number;
  readonly seed?: number;
}

/** @returns the engine afterwards, how many packets of sessions were misjudged, and a sum over all verdicts */
function run({ kind, seconds, perSecond, seed = 1 }: Run) {
  const engine = new LocalEngine({ maxConnections: TABLE, maxIpv6Connections: 0, profile: 'resilient', seed });
  engine.defineAction({});
  const sessions = new Sessions(engine);
  sessions.open();
  const generator = flood(engine, kind, seed);
  const batch = new PacketBatch(BATCH);
  // As many batches as carry the flood; the sessions are spread over them.
  const batches = Math.ceil((perSecond + SESSIONS) / BATCH);
  let verdicts = 0;
  for (let second = 0; second < seconds; second++) {
    const side = sessions.turn(second);
    let session = 0;
    for (let number = 0; number < batches; number++) {
      const ms = 1000 + second * 1000 + Math.floor((number * 1000) / batches);
      const until = Math.floor(((number + 1) * SESSIONS) / batches);
      batch.clear();
      for (; session < until; session++) sessions.send(batch, session, side, ms);
      const sent = batch.length;
      while (batch.length < BATCH) {
        const { length, action } = generator;
        const at = batch.tryReserve(length);
        generator.write(batch.frames, at);
        batch.addReserved(length, 0, 0, ms, action, 0);
      }
      engine.execute(batch);
      sessions.check(batch, sent);
      for (let index = sent; index < BATCH; index++) {
        verdicts = (Math.imul(verdicts, 31) + batch.state(index) * 256 + batch.reason(index)) | 0;
      }
    }
    engine.sweep(2000 + second * 1000);
  }
  return { engine, misjudged: sessions.misjudged, verdicts };
}

function assertUnhurt({ engine, misjudged }: ReturnType<typeof run>): void {
  const counters = engine.counters();
  assert.equal(misjudged, 0, 'packets of sessions misjudged');
  assert.equal(counters.events.evictedEstablished + counters.events.evictedReplied, 0);
  auditEngine(engine.memory, counters);
  assert.ok((engine.statistics().tcpStates.ESTABLISHED ?? 0) >= SESSIONS, 'all sessions are there');
}

test('a SYN flood from 2^32 sources for two minutes: no session is lost, and no packet of one is misjudged', () => {
  const heapOf = () => {
    collectGarbage();
    return process.memoryUsage().heapUsed;
  };
  const before = heapOf();
  const result = run({ kind: 'syn', seconds: 120, perSecond: 50_000 });
  const grownMb = (heapOf() - before) / 2 ** 20;
  assert.ok(grownMb < 8, `the heap grew by ${grownMb} MiB`);
  assertUnhurt(result);
  const counters = result.engine.counters();
  const { created, evictedHalfOpen } = counters.events;
  assert.ok(evictedHalfOpen > 100_000, `${evictedHalfOpen} evicted`);
  assert.equal(evictedOf(counters), evictedHalfOpen, 'half-open ones alone');
  const refused = (counters.reasons['table-full'] ?? 0) + (counters.reasons['table-memory'] ?? 0);
  const isSyn = counters.events.packets - 120 * SESSIONS - 3 * SESSIONS;
  // A SYN that finds its tuple in the table creates nothing: there are a handful in six million at random.
  assert.ok(created - SESSIONS + refused <= isSyn && created - SESSIONS + refused > isSyn - 1000);
  assert.equal(refused, 0);
});

/** Kinds, and the connections that they open in ten seconds at the least. */
const OTHERS = {
  udp: 490_000,
  collide: 300_000,
  frag: 0,
  'icmp-error': 0,
  icmp: 490_000,
  ack: 490_000,
  rst: 490_000,
  synack: 0,
  churn: 20_000,
  zones: 490_000,
  'ftp-expect': 10_000,
  mixed: 20_000,
} as const satisfies Partial<Record<FloodName, number>>;

for (const [kind, least] of Object.entries(OTHERS) as [FloodName, number][]) {
  test(`a flood of ${kind} for ten seconds does as little harm, and what was created adds up`, () => {
    const { engine, ...result } = run({ kind, seconds: 10, perSecond: 50_000 });
    assertUnhurt({ engine, ...result });
    const counters = engine.counters();
    const { created, expired, replaced } = counters.events;
    assert.ok(created - SESSIONS >= least, `${created} created`);
    if (least === 0) assert.equal(created, SESSIONS);
    assert.equal(created - expired - replaced - evictedOf(counters), engine.connectionCount);
  });
}

test('the same seed gives the same verdicts, counters and evictions', () => {
  const outcome = (seed: number) => {
    const { engine, verdicts } = run({ kind: 'mixed', seconds: 5, perSecond: 50_000, seed });
    // What is left says which were evicted.
    const left = createHash('sha256');
    for (const { original } of dumpConnections(engine.tracker, 0)) left.update(JSON.stringify(original));
    const { events, reasons } = engine.counters();
    const { sweepLockMs: _held, sweepLongestLockMs: _longest, ...counted } = events;
    return { verdicts, left: left.digest('hex'), counted, reasons, statistics: engine.statistics() };
  };
  const first = outcome(7);
  assert.deepEqual(outcome(7), first);
  assert.notEqual(outcome(8).verdicts, first.verdicts);
});
