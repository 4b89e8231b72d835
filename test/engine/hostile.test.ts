/**
 * A driver that writes garbage into the rows of packets: no exception, no write outside the rows, and a table that
 * stays whole and works on.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dumpConnections } from '../../src/control/dump.js';
import type { ShardTask } from '../../src/engine/engine.js';
import { LocalEngine } from '../../src/engine/local.js';
import { CONTROL, handleOf } from '../../src/engine/memory.js';
import { PACKET, PACKET_WORDS } from '../../src/engine/packet.js';
import { packetsIn } from '../../src/engine/packet-memory.js';
import { processPackets } from '../../src/engine/process.js';
import { createReassemblyMemory } from '../../src/engine/reassembly.js';
import { attachRing, createRing, processed, publishProcessed, publishProduced } from '../../src/engine/ring.js';
import { REASON_COUNT, reasonName } from '../../src/reason.js';
import { annexesUsedLocked, lockOwner, recordsUsedLocked } from '../../src/sharedarraybuffer-hashmap/index.js';
import { CT, formatCtState } from '../../src/track/state.js';
import { growMemory } from '../../src/wire/wasm.js';
import runShard from '../../workers/shard.js';
import { frame, icmp, ipv4, ipv6, join, tcp, udp } from '../support/frames.js';
import { type Random, withSeed } from '../support/random.js';

const ROWS = 256;
const GUARD = 64;
const CANARY = 0x5a5a_5a5a;

const FRAMES = [
  frame(ipv4({}, tcp())),
  frame(ipv4({}, udp())),
  frame(ipv6({}, udp())),
  frame(ipv4({ src: '10.0.0.2', dst: '10.0.0.1' }, udp({ sport: 53, dport: 40000 }))),
  frame(ipv4({}, icmp({ type: 3, payload: ipv4({ src: '10.0.0.2', dst: '10.0.0.1' }, udp()).bytes }))),
  frame(ipv4({ src: '10.0.0.2', dst: '10.0.0.1' }, icmp({ type: 3, payload: ipv4({}, udp()).bytes }))),
];

/** Numbers that lie at limits, and random ones. */
function someWord(random: Random): number {
  if (random.chance(0.3)) return random.u32();
  return random.pick([0, 1, -1, 14, 60, 63, 64, 255, 256, 1023, 1024, 0x7fff_ffff, -0x8000_0000, 1 << 16]);
}

/** What a driver means to write, damaged: some rows are sound, some have a few odd words, some are all garbage. */
function writeRow(packets: Int32Array, at: number, times: Float64Array, sizes: readonly number[], random: Random) {
  const which = random.below(FRAMES.length);
  const start = sizes.slice(0, which).reduce((sum, size) => sum + size, 0);
  if (random.chance(0.3)) for (let word = 0; word < PACKET_WORDS; word++) packets[at + word] = someWord(random);
  else packets.fill(0, at, at + PACKET_WORDS);
  if (random.chance(0.8)) {
    packets[at + PACKET.FRAME_OFFSET] = start;
    packets[at + PACKET.FRAME_LENGTH] = FRAMES[which].length;
    if (random.chance(0.7)) packets[at + PACKET.INPUT] = 0;
    packets[at + PACKET.L3_OFFSET] = start + 14;
  }
  if (random.chance(0.9)) times[(at + PACKET.TIME) >>> 1] = random.below(200_000);
  for (let changes = random.below(3); changes > 0; changes--) {
    packets[at + random.below(PACKET_WORDS)] = someWord(random);
  }
}

function checkTable(engine: LocalEngine): void {
  const { map } = engine.memory;
  const entries = [...dumpConnections(engine.tracker, Number.NEGATIVE_INFINITY)];
  assert.equal(lockOwner(map, 0), 0, 'no lock is left behind');
  assert.equal(engine.connectionCount, recordsUsedLocked(map, 0));
  // A connection whose end is not a number is in the table, but in no dump.
  assert.ok(entries.length <= engine.connectionCount);
  assert.ok(annexesUsedLocked(map, 0) <= engine.connectionCount);
}

test('rows of garbage', () => {
  const sizes = FRAMES.map(({ length }) => length);
  const bytes = join(...FRAMES);
  withSeed(666, random => {
    const engine = new LocalEngine({ maxConnections: 100 });
    engine.defineAction({});
    engine.defineAction({ zone: 3, mark: { value: 5 }, label: { value: 1n << 100n } });
    engine.defineAction({ force: true });
    const { wasm } = engine.memory;
    const at = growMemory(wasm, 1 << 20);
    const { buffer } = wasm;
    const memory = new Int32Array(buffer, at, GUARD + ROWS * PACKET_WORDS + GUARD);
    const framesAt = at + memory.byteLength;
    const around = new Uint8Array(buffer, framesAt, 1000 + bytes.length + 1000).fill(0xa5);
    around.set(bytes, 1000);
    const inEngine = packetsIn(wasm, at + GUARD * 4, ROWS, framesAt + 1000, bytes.length);
    const { packets, times } = inEngine;
    const framesBefore = Uint8Array.from(around);
    const met = new Set<string>();
    for (let round = 0; round < 400; round++) {
      memory.fill(CANARY);
      for (let row = 0; row < ROWS; row++) writeRow(packets, row * PACKET_WORDS, times, sizes, random);
      const first = random.below(ROWS);
      const count = random.below(ROWS - first + 1);
      const before = Int32Array.from(memory);
      processPackets(engine.tracker, inEngine, first, count);
      for (let word = 0; word < memory.length; word++) {
        const row = Math.floor((word - GUARD) / PACKET_WORDS);
        const isOutput = row >= first && row < first + count && (word - GUARD) % PACKET_WORDS >= PACKET.STATE;
        if (!isOutput && memory[word] !== before[word]) assert.fail(`word ${word} of row ${row} was written`);
      }
      for (let row = first; row < first + count; row++) {
        const state = packets[row * PACKET_WORDS + PACKET.STATE];
        const reason = packets[row * PACKET_WORDS + PACKET.REASON];
        assert.ok((state & CT.TRK) !== 0 && reason >= 0 && reason < REASON_COUNT, `${state} ${reason}`);
        met.add(`${formatCtState(state & 0x3f)} ${reasonName(reason)}`);
      }
      checkTable(engine);
    }
    assert.deepEqual(around, framesBefore, 'frames are read only');
    assert.ok(met.size >= 15, `only ${[...met]}`);
    assert.ok(
      met.has('inv|trk frame-range') && met.has('est|rpl|trk none') && met.has('rel|rpl|trk none'),
      `${[...met]}`,
    );
  });
});

test('a time that is no number keeps no connection for ever', () => {
  const engine = new LocalEngine({ maxConnections: 2 });
  engine.defineAction({});
  const bytes = FRAMES[1];
  const batch = engine.createBatch(1);
  batch.add(bytes, 0);
  batch.times[PACKET.TIME >>> 1] = Number.NaN; // as only who writes rows can
  engine.execute(batch);
  engine.sweep(1000);
  assert.equal(engine.connectionCount, 0);
});

test('a ring full of garbage, through the loop of the shard worker, also around 2^31 and 2^32', () => {
  for (const count of [0, 2 ** 31 - 30, 2 ** 32 - 30]) {
    withSeed(667, random => {
      const engine = new LocalEngine({ maxConnections: 100 });
      engine.defineAction({});
      const buffer = createRing(engine.memory.wasm, 64, 1 << 20);
      const ring = attachRing(buffer);
      ring.bytes.set(join(...FRAMES));
      const sizes = FRAMES.map(({ length }) => length);
      const task: ShardTask = {
        memory: handleOf(engine.memory),
        ring: buffer,
        fragments: createReassemblyMemory(engine.memory.wasm, 1 << 20),
        owner: 1,
        latency: undefined,
        top: undefined,
        flows: undefined,
      };
      Atomics.store(engine.memory.control, CONTROL.STOP, 1);
      let done = count | 0;
      publishProcessed(ring, done);
      for (let round = 0; round < 50; round++) {
        for (let slot = 0; slot < 64; slot++) writeRow(ring.packets, slot * PACKET_WORDS, ring.times, sizes, random);
        done = (done + random.between(1, 64)) | 0;
        publishProduced(ring, done);
        runShard(task);
        assert.equal(processed(ring), done);
        checkTable(engine);
      }
      assert.ok(engine.counters().events.packets > 500);
    });
  }
});
