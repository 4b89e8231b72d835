/**
 * Fragments that come back with the verdict of their datagram: the reading side of the rings of the released.
 *
 * Each is a packet like any other, its frame as it leaves; COOKIE says which one it was when it went in. The fragments of
 * a datagram come one behind the other, in the order of their offsets. What a batch has completed is there when the
 * verdicts of that batch are. Whoever does not read loses them, 10 s of the packets' time later.
 *
 * One thread at a time. Imports batch, packet, reassembly, ring, fragment/. Imported by engine.ts, local.ts and the public API.
 */
import { attachFragmentStore, type FragmentStore, HEADER, NONE } from '../fragment/layout.js';
import type { PacketBatch } from './batch.js';
import { PACKET_WORDS } from './packet.js';
import type { ReassemblyHandle } from './reassembly.js';
import { attachRing, processed, produced, publishProcessed, type Ring } from './ring.js';

export class ReleasedPackets {
  readonly #rings: readonly Ring[];
  #shard = 0;

  readonly #stores: readonly FragmentStore[];

  /** @param shards the memory of each shard's reassembly */
  constructor(shards: readonly ReassemblyHandle[]) {
    this.#rings = shards.map(({ released }) => attachRing(released));
    this.#stores = shards.map(({ store }) => attachFragmentStore(store, PACKET_WORDS));
  }

  /** Whether fragments wait until there is room for them again; they come a few milliseconds after release(). */
  get isMoreToCome(): boolean {
    return this.peek() >= 0 || this.#stores.some(({ words }) => Atomics.load(words, HEADER.READY) !== NONE); // a look
  }

  /**
   * A packet that has come back: read it in `packets` at the word that is returned, its frame in `frameBytes`, both valid
   * until release().
   * @returns -1 when there is none
   */
  peek(): number {
    for (let turns = this.#rings.length; turns > 0; turns--) {
      const ring = this.#rings[this.#shard];
      const at = processed(ring);
      if (produced(ring) !== at) return (at & (ring.capacity - 1)) * PACKET_WORDS;
      this.#shard = (this.#shard + 1) % this.#rings.length;
    }
    return -1;
  }

  /** Rows of the packet that peek() found. */
  get packets(): Int32Array {
    return this.#rings[this.#shard].packets;
  }

  get frameBytes(): Uint8Array {
    return this.#rings[this.#shard].bytes;
  }

  /** The shard that held it. */
  get shard(): number {
    return this.#shard;
  }

  /** Gives back the slot of the packet that peek() found. */
  release(): void {
    const ring = this.#rings[this.#shard];
    publishProcessed(ring, (processed(ring) + 1) | 0);
  }

  /** Moves what has come back into a batch, behind what is in it, as far as it has room. @returns how many packets */
  takeInto(batch: PacketBatch): number {
    let count = 0;
    for (let at = this.peek(); at >= 0 && batch.addPacket(this.packets, at, this.frameBytes); at = this.peek()) {
      this.release();
      count++;
    }
    return count;
  }
}
