/**
 * Frames lie in memory that others can write. What a packet says may change between two looks at it; whatever it says
 * then, the table stays whole, and a packet that removes its closed connection without being allowed to open another
 * is `inv` and leaves nothing behind.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dumpConnections } from '../../src/control/dump.js';
import type { PacketBatch } from '../../src/engine/batch.js';
import { LocalEngine } from '../../src/engine/local.js';
import { PACKET } from '../../src/engine/packet.js';
import { processPackets } from '../../src/engine/process.js';
import { reasonName } from '../../src/reason.js';
import { recordsUsedLocked } from '../../src/sharedarraybuffer-hashmap/index.js';
import { CT } from '../../src/track/state.js';
import { tcp } from '../support/frames.js';
import { CLOSE, frameOf, HANDSHAKE, tcpTape } from './tape.js';

/** Ethernet and IPv4 headers, then byte 13 of the TCP header. */
const FLAGS_AT = 14 + 20 + 13;
const [FIN, SYN, RST, ACK] = [1, 2, 4, 16];

/** A view in which the flags of the only frame differ from look to look. */
class ChangingView extends DataView<ArrayBufferLike> {
  looks: readonly number[] = [];
  looked = 0;

  #look(): number {
    return this.looks[Math.min(this.looked++, this.looks.length - 1)];
  }

  override getUint8(at: number): number {
    return at === FLAGS_AT ? this.#look() : super.getUint8(at);
  }

  /** The word with data offset, flags and window, which the fast path reads at once; sums read in the other order. */
  override getInt32(at: number, littleEndian?: boolean): number {
    const word = super.getInt32(at, littleEndian);
    return at === FLAGS_AT - 1 && littleEndian === false ? (word & ~0xff0000) | (this.#look() << 16) : word;
  }
}

/** The actions: plain, and one that sets mark and label, so that a packet stays off the fast path. */
const PLAIN = 0;
const MARKING = 1;

/** An engine with one connection that both sides have closed. */
function closedConnection(): { engine: LocalEngine; batch: PacketBatch } {
  const engine = new LocalEngine({ maxConnections: 4, seed: 1 });
  engine.defineAction({});
  engine.defineAction({ mark: { value: 7 }, label: { value: 9n } });
  const batch = engine.createBatch(16);
  for (const step of tcpTape('', '', [...HANDSHAKE, ...CLOSE]).steps) batch.add(frameOf(step), step.atMs);
  engine.execute(batch);
  assert.equal(batch.state(6), CT.EST | CT.TRK);
  return { engine, batch };
}

/** A SYN whose flags are `looks`, one after the other, once the parser's fast path has looked at its memory. */
function sendChanging(looks: readonly number[], action: number) {
  const { engine, batch } = closedConnection();
  batch.clear();
  const transport = tcp({ seq: 12_345 });
  const opening = frameOf({ atMs: 10, direction: 'orig', transport, verdict: 'new|trk' });
  batch.add(opening, 10, { action });
  assert.ok(batch.inEngine);
  const { buffer, byteOffset, byteLength } = batch.frames;
  const view = new ChangingView(buffer, byteOffset, byteLength);
  view.looks = looks;
  processPackets(engine.tracker, { ...batch.inEngine, frames: view }, 0, 1);
  return { engine, batch, looked: view.looked, opening };
}

for (const [name, action] of [
  ['fast path', PLAIN],
  ['slow path', MARKING],
] as const) {
  for (const [flags, reason] of [
    [SYN | ACK, 'tcp-syn-ack'],
    [SYN | FIN, 'tcp-flags'],
    [SYN | RST, 'tcp-flags'],
    [0, 'tcp-flags'],
  ] as const) {
    test(`a SYN that removed its connection and then is none: ${reason}, flags ${flags}, ${name}`, () => {
      const { engine, batch, opening } = sendChanging([SYN, flags], action);
      assert.equal(batch.state(0), CT.INV | CT.TRK);
      assert.equal(reasonName(batch.reason(0)), reason);
      assert.deepEqual([batch.mark(0), batch.label(0), batch.packets[PACKET.CONNECTION]], [0, 0n, 0]);
      assert.equal(engine.connectionCount, 0);
      assert.equal(recordsUsedLocked(engine.memory.map, 0), 0);
      assert.deepEqual([...dumpConnections(engine.tracker, 10)], []);
      assert.deepEqual([engine.counters().events.created, engine.counters().events.replaced], [1, 1]);
      // The table works on.
      batch.clear();
      batch.add(opening, 11, { action: MARKING });
      engine.execute(batch);
      assert.deepEqual([batch.state(0), batch.mark(0), engine.connectionCount], [CT.NEW | CT.TRK, 7, 1]);
    });
  }
}

test('any four looks at the flags leave the table whole', () => {
  const kinds = [SYN, SYN | ACK, ACK, RST, FIN | ACK, SYN | FIN, 0];
  for (let code = 0; code < kinds.length ** 4; code++) {
    const looks = Array.from({ length: 4 }, (_, look) => kinds[Math.floor(code / kinds.length ** look) % kinds.length]);
    const { engine, batch, looked } = sendChanging(looks, code % 2);
    const what = `flags ${looks}`;
    const entries = [...dumpConnections(engine.tracker, 10)];
    assert.equal(engine.connectionCount, entries.length, what);
    assert.equal(recordsUsedLocked(engine.memory.map, 0), entries.length, what);
    assert.ok(looked <= 4, `${looked} looks`);
    const isInvalid = batch.state(0) === (CT.INV | CT.TRK);
    assert.equal(reasonName(batch.reason(0)) === 'none', !isInvalid, what);
    if (entries.length === 0) assert.ok(isInvalid, what);
    if (!isInvalid) assert.notEqual(batch.packets[PACKET.CONNECTION], 0, what);
    else assert.equal(batch.mark(0), entries.length > 0 && code % 2 === MARKING ? 7 : 0, what);
  }
});
