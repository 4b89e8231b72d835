/**
 * Random damage to good captures. Whatever it is: a clean end or a CaptureError, the packets before it unharmed, and
 * the same outcome whatever the chunk size.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CaptureError } from '../../src/pcap/reader.js';
import {
  block,
  classicHeader,
  classicRecord,
  enhancedPacket,
  frameOf,
  interfaceBlock,
  joined,
  MAGIC,
  obsoletePacket,
  option,
  type Piece,
  readAll,
  scratch,
  sectionHeader,
  simplePacket,
  u64,
} from './build.js';

const ROUNDS = 3000;
const SEED = 20_240_229;

const { file } = scratch();

/** xorshift32: small, seeded, good enough to choose where to damage. Returns an integer in [0, below). */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return below => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function captures(): Piece[][] {
  const piece = (packets: 0 | 1) => (bytes: Buffer) => ({ bytes, packets });
  const [head, packet] = [piece(0), piece(1)];
  const lengths = [0, 1, 33, 60, 61, 120, 300];
  const resolution = option('big', 9, Buffer.from([9]));
  const offset = option('big', 14, u64('big', 12n));
  return [
    [
      head(classicHeader('little', MAGIC.micro, 0x24000001)),
      ...lengths.map((length, seed) => packet(classicRecord('little', { frame: frameOf(length, seed) }))),
    ],
    [
      head(classicHeader('big', MAGIC.patched, 113)),
      ...lengths.map((length, seed) => packet(classicRecord('big', { frame: frameOf(length, seed), patched: true }))),
    ],
    [
      head(sectionHeader('big')),
      head(interfaceBlock('big', 1, 96, option('big', 2, Buffer.from('eth0')), resolution, offset)),
      packet(enhancedPacket('big', { ticks: 1n << 60n, frame: frameOf(60, 1), options: [resolution] })),
      head(block('big', 5, Buffer.alloc(12))),
      packet(simplePacket('big', frameOf(40, 2))),
      head(sectionHeader('little')),
      head(interfaceBlock('little', 276)),
      head(interfaceBlock('little', 0)),
      packet(enhancedPacket('little', { interfaceId: 1, ticks: 77n, frame: frameOf(70, 3) })),
      packet(obsoletePacket('little', { interfaceId: 1, frame: frameOf(80, 4) })),
    ],
  ];
}

/** Damages a copy of `whole`; returns it with the offset of its first changed byte. */
function damage(whole: Buffer, random: (below: number) => number): { bytes: Buffer; firstChange: number } {
  const at = random(whole.length);
  switch (random(4)) {
    case 0: {
      // A few bytes anywhere, as often as not to the values that upset length arithmetic.
      const bytes = Buffer.from(whole);
      let firstChange = whole.length;
      for (let count = 1 + random(8); count > 0; count--) {
        const where = random(whole.length);
        bytes[where] = random(2) === 0 ? random(256) : [0x00, 0xff, 0x7f, 0x80][random(4)];
        firstChange = Math.min(firstChange, where);
      }
      return { bytes, firstChange };
    }
    case 1:
      return { bytes: Buffer.concat([whole.subarray(0, at), whole.subarray(at + 1 + random(40))]), firstChange: at };
    case 2: {
      const inserted = Buffer.from(Array.from({ length: 1 + random(40) }, () => random(256)));
      return { bytes: Buffer.concat([whole.subarray(0, at), inserted, whole.subarray(at)]), firstChange: at };
    }
    default: {
      // One aligned word, as a length field would be.
      const bytes = Buffer.from(whole);
      const where = random(whole.length >> 2) * 4;
      bytes.writeUInt32LE(random(0xffffffff), where);
      return { bytes, firstChange: where };
    }
  }
}

/** How many packets end before `offset`. */
function packetsBefore(pieces: readonly Piece[], offset: number): number {
  let end = 0;
  let packets = 0;
  for (const piece of pieces) {
    end += piece.bytes.length;
    if (end > offset) break;
    packets += piece.packets;
  }
  return packets;
}

test(`${ROUNDS} damaged captures, seed ${SEED}`, () => {
  const random = generator(SEED);
  const bases = captures().map(pieces => {
    const whole = joined(pieces);
    const { packets, error } = readAll(file('base.pcap', whole));
    assert.equal(error, undefined);
    return { pieces, whole, packets };
  });
  let faults = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const { pieces, whole, packets: original } = bases[random(bases.length)];
    const { bytes, firstChange } = damage(whole, random);
    const path = file('damaged.pcap', bytes);
    const chunkBytes = 1 + random(200);
    const { packets, error } = readAll(path, chunkBytes);
    const told = `round ${round} of seed ${SEED}, chunk ${chunkBytes}`;
    if (error !== undefined) {
      faults += 1;
      assert.ok(error instanceof CaptureError, `${told}: ${error}`);
      assert.match(error.message, /^[^\n]* at byte \d+$/, told);
      assert.ok(error.byteOffset >= 0 && error.byteOffset <= bytes.length, `${told}: ${error.message}`);
    }
    const unharmed = packetsBefore(pieces, firstChange);
    assert.deepEqual(packets.slice(0, unharmed), original.slice(0, unharmed), told);
    assert.deepEqual(readAll(path, 64 * 1024), { packets, error }, told);
  }
  assert.ok(faults > ROUNDS / 2 && faults < ROUNDS, `${faults} faults: the damage is of both kinds`);
});
