/**
 * A ring as the side that fills it sees it: which slots it has filled, published and got back, and room for frames.
 *
 * Frames lie in the ring's part of the frame memory one behind the other, round and round, in the order of the slots.
 *
 * Imports packet, ring. Imported by producer.ts, reassembly.ts and release.ts.
 */
import { FRAME_TAIL } from './packet.js';
import { attachRing, processed, produced, publishProduced, type Ring, type RingHandle } from './ring.js';

/** Frames start on cache lines. */
const FRAME_ALIGN = 64;

export interface Lane {
  readonly ring: Ring;
  /** Packets filled, published, seen to be judged, and released so far, modulo 2^32. */
  filled: number;
  published: number;
  judged: number;
  released: number;
  /** Next free byte of the frame memory, bytes in use, and the bytes each slot has taken. */
  head: number;
  used: number;
  readonly taken: Int32Array;
  /** The room that reserveFrame() has found: where, and how much of it without and with what is skipped. */
  reservedAt: number;
  reservedBytes: number;
  reservedTaken: number;
}

export function createLane(handle: RingHandle): Lane {
  const ring = attachRing(handle);
  // A ring that another thread filled before goes on where that one has left it. What is under way has its frames
  // anywhere: there is no room for others until all of it is released.
  const filled = produced(ring);
  const released = processed(ring);
  const used = filled === released ? 0 : ring.frameBytes;
  const taken = new Int32Array(ring.capacity);
  taken[(filled - 1) & (ring.capacity - 1)] = used;
  const reserved = { reservedAt: 0, reservedBytes: 0, reservedTaken: 0 };
  return { ring, filled, published: filled, judged: released, released, head: ring.framesAt, used, taken, ...reserved };
}

/**
 * Looks for room for the frame of the next slot; fillReserved() takes it.
 * @returns its offset in the frame memory; -1 when the ring has no slot or no room
 */
export function reserveFrame(lane: Lane, length: number): number {
  const { framesAt, frameBytes } = lane.ring;
  if (!hasSlot(lane)) return -1;
  const size = (length + FRAME_TAIL + FRAME_ALIGN - 1) & -FRAME_ALIGN;
  const end = framesAt + frameBytes;
  const isWrapped = lane.head + size > end;
  const taken = size + (isWrapped ? end - lane.head : 0);
  if (lane.used + taken > frameBytes) return -1;
  lane.reservedAt = isWrapped ? framesAt : lane.head;
  lane.reservedBytes = size;
  lane.reservedTaken = taken;
  return lane.reservedAt;
}

/** The same for a frame that has its place already. @returns false when the ring has no slot */
export function reserveSlot(lane: Lane): boolean {
  if (!hasSlot(lane)) return false;
  lane.reservedAt = lane.head;
  lane.reservedBytes = 0;
  lane.reservedTaken = 0;
  return true;
}

function hasSlot(lane: Lane): boolean {
  return ((lane.filled - lane.released) | 0) < lane.ring.capacity;
}

/** Makes the next slot, whose row is written, and the room that was found for its frame part of what is filled. */
export function fillReserved(lane: Lane): void {
  lane.head = lane.reservedAt + lane.reservedBytes;
  lane.used += lane.reservedTaken;
  lane.taken[lane.filled & (lane.ring.capacity - 1)] = lane.reservedTaken;
  lane.filled = (lane.filled + 1) | 0;
}

/** Hands all filled slots to the other side. */
export function publishFilled(lane: Lane): void {
  if (lane.published === lane.filled) return;
  lane.published = lane.filled;
  publishProduced(lane.ring, lane.filled);
}

/** Whether the verdict of the oldest slot is there. The other side's count is looked at only when all seen are released. */
export function hasVerdict(lane: Lane): boolean {
  if (lane.judged === lane.released) lane.judged = processed(lane.ring);
  return lane.judged !== lane.released;
}

/** Takes the oldest slot back, with the room of its frame. */
export function takeBack(lane: Lane): void {
  lane.used -= lane.taken[lane.released & (lane.ring.capacity - 1)];
  lane.released = (lane.released + 1) | 0;
}
