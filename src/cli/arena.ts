/**
 * The frame memory that a capture is read into, in blocks that are used one after the other, round and round: a frame is
 * judged where it was read.
 *
 * A block is lent again when the verdicts of all packets in it have been released, so what is read ahead is bounded.
 *
 * Imports pcap/. Imported by feed and replay.
 */
import type { ChunkLender } from '../pcap/reader.js';

/** Large enough for the longest frame that anything sends, and few enough to stay in the caches. */
const BLOCK_BYTES = 1 << 20;
const BLOCKS = 8;
export const ARENA_BYTES = BLOCKS * BLOCK_BYTES;

export class BlockLender implements ChunkLender {
  readonly chunkBytes = BLOCK_BYTES;
  /** The last call of nextChunk() found that all blocks are in use. */
  isExhausted = false;
  readonly #blocks: readonly Uint8Array[];
  /** How many packets had been pushed when each block was left. */
  readonly #leftAt: Float64Array;
  readonly #progress: { readonly packets: number; readonly judged: number };
  #current = 0;

  /** @param progress packets pushed, and those whose verdicts have been released, so far */
  constructor(arena: Uint8Array, progress: { readonly packets: number; readonly judged: number }) {
    const count = Math.floor(arena.length / BLOCK_BYTES);
    this.#blocks = Array.from({ length: count }, (_, block) =>
      arena.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES),
    );
    this.#leftAt = new Float64Array(count);
    this.#progress = progress;
  }

  nextChunk(): Uint8Array | undefined {
    const next = (this.#current + 1) % this.#blocks.length;
    this.isExhausted = this.#progress.judged < this.#leftAt[next];
    if (this.isExhausted) return undefined;
    this.#leftAt[this.#current] = this.#progress.packets;
    this.#current = next;
    return this.#blocks[next];
  }
}
