/** Chunks that somebody else lends: frames stay where they were read, and nothing is lost while there is no chunk. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CaptureReader, type ChunkLender } from '../../src/pcap/reader.js';
import { withSeed } from '../support/random.js';
import {
  classicHeader,
  classicRecord,
  enhancedPacket,
  frameOf,
  interfaceBlock,
  MAGIC,
  readAll,
  scratch,
  sectionHeader,
} from './build.js';

const { file } = scratch();

const CHUNK = 512;

/** Lends new memory each time, or nothing every other time. */
class Lender implements ChunkLender {
  readonly chunkBytes = CHUNK;
  readonly lent = new Set<ArrayBufferLike>();
  refused = 0;
  #calls = 0;

  nextChunk(): Uint8Array | undefined {
    if (this.#calls++ % 2 === 1) {
      this.refused++;
      return undefined;
    }
    const chunk = new Uint8Array(new SharedArrayBuffer(3 * CHUNK), CHUNK, CHUNK);
    this.lent.add(chunk.buffer);
    return chunk;
  }
}

const FORMATS = {
  pcap: (frames: readonly Buffer[]) => [
    classicHeader('little', MAGIC.micro),
    ...frames.map(frame => classicRecord('little', { frame })),
  ],
  pcapng: (frames: readonly Buffer[]) => [
    sectionHeader('big'),
    interfaceBlock('big'),
    ...frames.map(frame => enhancedPacket('big', { frame })),
  ],
} as const;

for (const [format, build] of Object.entries(FORMATS)) {
  test(`${format}: the same packets as without, and all frames are still there at the end`, () => {
    withSeed(31, random => {
      // Shorter than a chunk, as long as one, and longer than several.
      const sizes = Array.from({ length: 200 }, () => random.pick([random.below(100), CHUNK - 16, CHUNK, 5 * CHUNK]));
      const capture = file(`lent.${format}`, Buffer.concat(build(sizes.map((size, index) => frameOf(size, index)))));
      const expected = readAll(capture).packets.map(({ frame }) => frame);
      const lender = new Lender();
      const reader = CaptureReader.open(capture, { chunkBytes: 64, polled: true });
      const frames: Uint8Array[] = [];
      let inPlace = 0;
      try {
        reader.readInto(lender);
        for (let isThere = reader.poll(); isThere !== false; isThere = reader.poll()) {
          if (isThere === undefined) continue;
          const { bytes, frameStart, frameEnd } = reader;
          const isLent = lender.lent.has(bytes.buffer);
          if (isLent) inPlace++;
          frames.push(isLent ? bytes.subarray(frameStart, frameEnd) : bytes.slice(frameStart, frameEnd));
        }
      } finally {
        reader.close();
      }
      assert.deepEqual(
        frames.map(frame => Buffer.from(frame).toString('hex')),
        expected,
      );
      assert.ok(inPlace > 10 && lender.refused > 10, `${inPlace} in place, ${lender.refused} refused`);
    });
  });
}
