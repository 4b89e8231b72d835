/**
 * One thread's hold on fragments: the memory that holds them, the ring through which they come back, and scratch.
 *
 * Imports lane, packet, ring, fragment/. Imported by tracker.ts and by whoever starts a thread that judges packets.
 */
import { attachFragmentStore, createFragmentStore, type FragmentStore } from '../fragment/layout.js';
import { WHOLE_BYTES } from '../fragment/whole.js';
import { FRAGMENT_WORDS } from '../wire/fragment.js';
import type { WasmMemory } from '../wire/wasm.js';
import { createLane, type Lane } from './lane.js';
import { PACKET_WORDS } from './packet.js';
import { createRing, type RingHandle } from './ring.js';

/** Fragments that can have come back and not been taken, and the bytes of their frames: several datagrams. */
const RELEASED_PACKETS = 512;
const RELEASED_BYTES = 1 << 20;

/** Longest frame of a fragment that is held: 64 KiB of IP, as much padding, and whatever lies in front. */
export const MAX_HELD_FRAME = 256 * 1024;

/** The shared memory of a thread's reassembly; can be posted to another thread. */
export interface ReassemblyHandle {
  readonly store: SharedArrayBuffer;
  readonly released: RingHandle;
}

export interface Reassembly {
  readonly store: FragmentStore;
  /** The ring of the fragments that go on, as the side that fills it sees it. */
  readonly released: Lane;
  /** A datagram that was put together, and its packet. */
  readonly whole: DataView;
  readonly row: Int32Array;
  /** What wire/fragment says of the fragment at hand. */
  readonly fragment: Int32Array;
  /** The first fragment of a datagram that has its verdict and whose rules are still to run, or NONE. */
  completed: number;
  /** Fragments run through rules when they go on: whoever runs them takes `completed`. */
  isPiped: boolean;
  /** COOKIE of the packet at hand, or of the one that made the fragments at hand go on. */
  cause: number;
  /** Number of the pass through flow tables that the packet at hand is in, 0 for the first or without tables. */
  pass: number;
}

/**
 * @param wasm the engine's memory, for the ring
 * @param frameBytes memory for the frames of fragments that are held
 */
export function createReassemblyMemory(wasm: WasmMemory, frameBytes: number): ReassemblyHandle {
  return {
    store: createFragmentStore(frameBytes, PACKET_WORDS).buffer,
    released: createRing(wasm, RELEASED_PACKETS, RELEASED_BYTES),
  };
}

export function attachReassembly(handle: ReassemblyHandle): Reassembly {
  return {
    store: attachFragmentStore(handle.store, PACKET_WORDS),
    released: createLane(handle.released),
    whole: new DataView(new ArrayBuffer(WHOLE_BYTES)),
    row: new Int32Array(PACKET_WORDS),
    fragment: new Int32Array(FRAGMENT_WORDS),
    completed: 0,
    isPiped: false,
    cause: 0,
    pass: 0,
  };
}
