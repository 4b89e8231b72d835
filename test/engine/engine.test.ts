/**
 * The engine with workers: the same verdicts and the same table as in one thread, whatever the shards; calls that
 * overlap; closing; and rows that a hostile driver has filled.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import { PacketBatch } from '../../src/engine/batch.js';
import { Engine } from '../../src/engine/engine.js';
import { PACKET, PACKET_WORDS } from '../../src/engine/packet.js';
import { formatCtState } from '../../src/track/state.js';
import { type CapturedPacket, captureNames, capturePackets } from '../support/captures.js';
import { frame, ipv4, udp } from '../support/frames.js';
import { batchesOf, dumpText, judgeLocally, note, verdictsOf, verdictText } from './verdicts.js';

const SMALL = { maxConnections: 10_000, clock: 'packets' } as const;

async function withEngine(options: Parameters<typeof Engine.open>[0], use: (engine: Engine) => Promise<void>) {
  const engine = await Engine.open({ ...SMALL, ...options });
  try {
    engine.defineAction({});
    await use(engine);
  } finally {
    await engine.close();
  }
}

function flow(number: number): Uint8Array {
  return frame(ipv4({ src: `10.0.${number >>> 8}.${number & 0xff}` }, udp()));
}

function flows(count: number, from = 0, timeMs = 0): PacketBatch {
  const batch = new PacketBatch(count);
  for (let number = 0; number < count; number++) batch.add(flow(from + number), timeMs);
  return batch;
}

/** All golden captures one after the other, each later than the one before: what flows through a long-lived engine. */
function allCaptures(): CapturedPacket[] {
  let startMs = 0;
  return captureNames().flatMap(name => {
    const packets = capturePackets(name).map(packet => ({ ...packet, timeMs: packet.timeMs + startMs }));
    startMs = packets[packets.length - 1].timeMs + 1000;
    return packets;
  });
}

describe('shards', () => {
  const packets = allCaptures();
  const expected = judgeLocally(packets);
  for (const shards of [1, 2, 4]) {
    for (const size of [1000, packets.length]) {
      test(`${shards} shards, ${size} packets at a time: every word of every verdict, and the table`, async () => {
        // Rings smaller than a batch, so that they are full most of the time.
        await withEngine({ shards, ringPackets: 128, ringBytes: 1 << 20 }, async engine => {
          const verdicts: string[] = [];
          for (const batch of batchesOf(packets, size)) {
            await engine.execute(batch);
            note(verdicts, batch, engine.released, verdictText);
          }
          assert.deepEqual(verdicts, expected.verdicts);
          assert.deepEqual(dumpText(engine.tracker, packets[packets.length - 1].timeMs), expected.dump);
          assert.equal(engine.counters().events.packets, packets.length);
        });
      });
    }
  }
});

test('an engine that cannot be opened leaves no threads behind', { timeout: 20_000 }, async () => {
  const flows = { text: 'ip actions=ct(commit,tabl=9)' };
  // Threads of the process as the system counts them; those that come with the first worker are there before.
  const threads = () => readdirSync('/proc/self/task').length;
  await withEngine({}, async () => {});
  const before = threads();
  for (let tries = 0; tries < 3; tries++) {
    await assert.rejects(Engine.open({ ...SMALL, flows }), { name: 'FlowError', message: /tabl=9/ });
  }
  assert.ok(threads() <= before, `${threads()} threads, ${before} before`);
});

test('calls that overlap take turns, and each gets its own verdicts', async () => {
  await withEngine({ shards: 2, ringPackets: 64 }, async engine => {
    const batches = Array.from({ length: 20 }, (_, index) =>
      flows(100, index % 2 === 0 ? index * 100 : (index - 1) * 100),
    );
    await Promise.all(batches.map(batch => engine.execute(batch)));
    for (const batch of batches) {
      for (let index = 0; index < 100; index++) assert.equal(formatCtState(batch.state(index)), 'new|trk');
    }
    const connections = batches.map(batch => verdictsOf(batch).join('\n'));
    for (let index = 0; index < 20; index += 2) assert.equal(connections[index], connections[index + 1]);
    assert.equal(new Set(connections).size, 10);
    assert.equal(engine.connectionCount, 1000);
  });
});

test('an empty batch is done at once', async () => {
  await withEngine({ shards: 1 }, async engine => {
    await engine.execute(new PacketBatch(4));
    assert.equal(engine.counters().events.packets, 0);
  });
});

test('close() waits for work in flight and for calls that wait for their turn', async () => {
  const engine = await Engine.open({ ...SMALL, shards: 2, ringPackets: 64 });
  engine.defineAction({});
  const batches = [flows(2000), flows(2000, 2000), flows(2000, 4000)];
  let done = 0;
  const calls = batches.map(batch =>
    engine.execute(batch).then(() => {
      done++;
    }),
  );
  await engine.close();
  assert.equal(done, 3);
  await Promise.all(calls);
  for (const batch of batches) assert.ok(verdictsOf(batch).every(verdict => verdict.startsWith('new|trk none')));
  assert.equal(engine.counters().events.packets, 6000);
});

test('close() twice is close() once, and nothing is taken afterwards', { timeout: 20_000 }, async () => {
  const engine = await Engine.open({ ...SMALL, shards: 1 });
  engine.defineAction({});
  await engine.execute(flows(10));
  const closing = engine.close();
  assert.equal(engine.close(), closing);
  // Not even while it closes.
  await assert.rejects(engine.execute(flows(10)), { message: 'the engine is closed' });
  await closing;
  await assert.rejects(engine.execute(flows(10)), { message: 'the engine is closed' });
  assert.equal(engine.close(), closing);
  assert.equal(engine.counters().events.packets, 10, 'what was counted can still be read');
});

test('1024 calls may wait, and one more is refused', async () => {
  await withEngine({ shards: 1 }, async engine => {
    const batch = flows(1);
    const calls = Array.from({ length: 1024 }, () => engine.execute(batch));
    await assert.rejects(engine.execute(batch), { message: '1024 batches are waiting already' });
    await Promise.all(calls);
    await engine.execute(batch);
    assert.equal(engine.counters().events.packets, 1025);
  });
});

for (const shards of [1, 3]) {
  test(`rows that name no frame get a verdict like any other, ${shards} shards`, { timeout: 20_000 }, async () => {
    await withEngine({ shards }, async engine => {
      const far = 0x7fff_ff00;
      const rows: readonly (readonly [offset: number, length: number, input?: number, l3?: number])[] = [
        [-1, 60],
        [0, -1],
        [0, far],
        [far, 60],
        [far, far],
        [-far, far],
        [0, 60, 1 << 5, -1],
        [0, 60, 1 << 6, -far],
        [0, 60, 1 << 5, far],
        [0, 60, 1 << 6, far],
        [0, 0],
      ];
      const batch = flows(rows.length + 1);
      rows.forEach(([offset, length, input = 0, l3 = 0], index) => {
        const at = index * PACKET_WORDS;
        batch.packets[at + PACKET.FRAME_OFFSET] = offset;
        batch.packets[at + PACKET.FRAME_LENGTH] = length;
        batch.packets[at + PACKET.INPUT] = input;
        batch.packets[at + PACKET.L3_OFFSET] = l3;
      });
      await engine.execute(batch);
      const states = Array.from({ length: batch.length }, (_, index) => formatCtState(batch.state(index)));
      assert.deepEqual(states, [...Array(rows.length).fill('inv|trk'), 'new|trk']);
      // Nothing is left behind that the next call could take for its own.
      const next = flows(100, 500);
      await engine.execute(next);
      assert.ok(verdictsOf(next).every(verdict => verdict.startsWith('new|trk none')));
    });
  });
}
