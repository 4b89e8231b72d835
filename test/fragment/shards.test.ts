/** Fragments through workers: what comes back, and the table, are the same for any number of shards. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Engine, formatCtState, PACKET, PACKET_WORDS, PacketBatch, reasonName } from '../../src/index.js';
import { dumpText } from '../engine/verdicts.js';
import { cut } from '../support/fragments.js';
import { frame, ipv4, ipv6, udp } from '../support/frames.js';
import { HELD } from './feeding.js';

const LARGE = new Uint8Array(4000);

/** Requests and answers of ten flows, fragmented or not, mixed. */
function traffic(): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (let flow = 0; flow < 10; flow++) {
    const client = flow % 2 ? `2001:db8::1:${flow}` : `10.1.0.${flow}`;
    const server = flow % 2 ? '2001:db8::2' : '10.2.0.2';
    const build = flow % 2 ? ipv6 : ipv4;
    const out = build({ src: client, dst: server }, udp({ sport: 4000, dport: 53, payload: LARGE }));
    const back = build({ src: server, dst: client }, udp({ sport: 53, dport: 4000, payload: LARGE }));
    const small = build({ src: client, dst: server }, udp({ sport: 4000, dport: 53, payload: 'small' }));
    const lost = cut(out, 1448, { id: 7 }).slice(1);
    frames.push(...cut(out, 1448).reverse(), ...lost, frame(small), ...cut(back, 1448), frame(small));
  }
  return frames;
}

interface Outcome {
  readonly verdicts: string[];
  readonly dump: string[];
}

async function judge(shards: number, frames: readonly Uint8Array[], size: number): Promise<Outcome> {
  const engine = await Engine.open({
    shards,
    maxConnections: 1000,
    clock: 'packets',
    ringPackets: 64,
    ringBytes: 1 << 20,
  });
  try {
    engine.defineAction({});
    const verdicts: string[] = [];
    const text = (batch: PacketBatch, index: number) =>
      `${formatCtState(batch.state(index))} ${reasonName(batch.reason(index))}`;
    const batch = new PacketBatch(size, size * 2000);
    for (let from = 0; from < frames.length; from += size) {
      batch.clear();
      for (const [index, bytes] of frames.slice(from, from + size).entries())
        batch.add(bytes, 1000, { cookie: from + index });
      await engine.execute(batch);
      for (let index = 0; index < batch.length; index++) verdicts[from + index] = text(batch, index);
      for (;;) {
        batch.clear();
        if (engine.released.takeInto(batch) === 0) break;
        for (let index = 0; index < batch.length; index++) {
          assert.equal(verdicts[batch.cookie(index)], HELD);
          verdicts[batch.cookie(index)] = text(batch, index);
          const at = index * PACKET_WORDS;
          const start = batch.packets[at + PACKET.FRAME_OFFSET];
          const bytes = batch.bytes.subarray(start, start + batch.packets[at + PACKET.FRAME_LENGTH]);
          assert.deepEqual(Buffer.from(bytes), Buffer.from(frames[batch.cookie(index)]));
        }
      }
    }
    return { verdicts, dump: dumpText(engine.tracker, 1000) };
  } finally {
    await engine.close();
  }
}

test('the same for 1 and 4 shards, packet by packet and all at once', async () => {
  const frames = traffic();
  const expected = await judge(1, frames, 1);
  assert.equal(expected.verdicts.filter(verdict => verdict === HELD).length, 10 * 2);
  assert.equal(expected.verdicts.filter(verdict => verdict === 'est|rpl|trk none').length, 10 * 3);
  for (const [shards, size] of [
    [1, 64],
    [4, 1],
    [4, frames.length],
  ]) {
    assert.deepEqual(await judge(shards, frames, size), expected, `${shards} shards, ${size} at a time`);
  }
});

test('fragments that are not taken at once come when there is room for them', async () => {
  const engine = await Engine.open({ shards: 2, maxConnections: 1000, clock: 'packets' });
  try {
    engine.defineAction({});
    const source = ipv4({}, udp({ payload: LARGE }));
    const frames = Array.from({ length: 300 }, (_, id) => cut(source, 1480, { id })).flat();
    const batch = new PacketBatch(frames.length, frames.length * 2000);
    for (const bytes of frames) batch.add(bytes, 1000);
    engine.settings.fragments.max = 5000;
    await engine.execute(batch);
    const back = new PacketBatch(64, 64 * 2000);
    let count = 0;
    while (engine.released.isMoreToCome) {
      back.clear();
      count += engine.released.takeInto(back);
      await new Promise(resolve => setTimeout(resolve, 1));
    }
    assert.equal(count, frames.length);
  } finally {
    await engine.close();
  }
});
