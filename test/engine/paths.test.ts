/**
 * The fast path of the parser against parseFrame(), and any worker against any other: captures as they are and damaged.
 * Fragments of one datagram have to come to one worker: they are left out where others take turns.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacketBatch } from '../../src/engine/batch.js';
import { createMemory } from '../../src/engine/memory.js';
import { memoryOptions, resolveOptions } from '../../src/engine/options.js';
import { createTracker, defineAction } from '../../src/engine/tracker.js';
import { REASON } from '../../src/reason.js';
import { FACT, FACT_WORDS } from '../../src/wire/facts.js';
import { KNOWN } from '../../src/wire/known.js';
import { parseFrame } from '../../src/wire/parse.js';
import { judgeBatch } from '../support/batch.js';
import { type CapturedPacket, captureNames, capturePackets, unfragmentedNames } from '../support/captures.js';
import { parsePlain } from '../support/plain.js';
import { type Random, withSeed } from '../support/random.js';
import { dumpText, judgeLocally, verdictText } from './verdicts.js';

const IPV4_FACTS = ['SRC', 'DST', 'PORTS', 'PORTS_REVERSED', 'PROTOCOL', 'L3', 'L4', 'L4_END', 'FLAGS'] as const;
const plain = new Int32Array(FACT_WORDS);
const full = new Int32Array(FACT_WORDS);

/** @returns whether the fast path took the frame */
function comparePaths(frame: Uint8Array, known: number): boolean {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (!parsePlain(view, 0, frame.length, known, 14, plain, 0)) return false;
  const what = `known ${known}: ${Buffer.from(frame).toString('hex')}`;
  assert.equal(parseFrame(view, 0, frame.length, known, 14, full, 0), REASON.none, what);
  for (const name of IPV4_FACTS) assert.equal(plain[FACT[name]], full[FACT[name]], `${name}, ${what}`);
  return true;
}

/** A copy with a few bits turned, or cut, so that the damage is often in the headers. */
function damaged(frame: Uint8Array, random: Random): Uint8Array {
  const bytes = Uint8Array.from(frame);
  for (let changes = random.between(1, 3); changes > 0; changes--) {
    bytes[random.below(Math.min(bytes.length, 60))] ^= 1 << random.below(8);
  }
  return random.chance(0.2) ? bytes.subarray(0, random.below(bytes.length)) : bytes;
}

test('the fast path says what parseFrame() says, on every capture and on damaged copies', () => {
  withSeed(31, random => {
    let packets = 0;
    let taken = 0;
    let damagedTaken = 0;
    for (const name of captureNames()) {
      for (const { frame } of capturePackets(name)) {
        packets++;
        if (comparePaths(frame, 0)) taken++;
        comparePaths(frame, KNOWN.L3_IPV4);
        for (let copy = 0; copy < 4; copy++) {
          if (comparePaths(damaged(frame, random), KNOWN.NO_CHECKSUMS)) damagedTaken++;
          comparePaths(damaged(frame, random), 0);
        }
      }
    }
    assert.ok(taken > packets / 4 && damagedTaken > packets / 4, `${taken}, ${damagedTaken} of ${packets}`);
  });
});

/** Gives runs of packets to one of several trackers, each of which works on all regions. */
function judgeByTurns(packets: readonly CapturedPacket[], owners: number, random: Random) {
  const options = resolveOptions({ shards: owners, maxConnections: 10_000, clock: 'packets' });
  const memory = createMemory(memoryOptions(options, 0));
  defineAction(memory, {});
  const trackers = Array.from({ length: owners }, (_, index) => createTracker(memory, index + 1));
  const batch = new PacketBatch(packets.length, packets.length * 2048 + (1 << 20), memory.wasm);
  for (const { frame, timeMs } of packets) assert.ok(batch.add(frame, timeMs));
  for (let first = 0; first < packets.length; ) {
    const count = Math.min(random.between(1, random.chance(0.2) ? 100 : 4), packets.length - first);
    judgeBatch(random.pick(trackers), batch, first, count);
    first += count;
  }
  const used = trackers.filter(tracker => tracker.counts[0] > 0).length;
  assert.ok(used === owners || packets.length < 100, 'every tracker had its turns');
  const verdicts = Array.from({ length: batch.length }, (_, index) => verdictText(batch, index));
  return { verdicts, dump: dumpText(trackers[0], packets[packets.length - 1].timeMs) };
}

for (const name of unfragmentedNames()) {
  test(`${name}: any tracker may judge any packet`, () => {
    const packets = capturePackets(name);
    const expected = judgeLocally(packets);
    withSeed(5, random => {
      for (const owners of [2, 3]) assert.deepEqual(judgeByTurns(packets, owners, random), expected);
    });
  });
}
