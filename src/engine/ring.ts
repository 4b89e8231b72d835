/**
 * The ring between one producer and one shard: packets in, verdicts out, in the same place.
 *
 * All of it lies in the memory of an engine. A slot is a packet; its frame lies in frame memory, which several rings may share:
 * each then has a part of its own for the frames that are copied, and whoever fills them may keep frames elsewhere in
 * it, where they are judged in place. The producer fills slots and publishes them by moving PRODUCED; the shard judges
 * them in place, rewriting frames where it must, and publishes the verdicts by moving PROCESSED; the producer reads them
 * and reuses the slots. So one ring serves both ways, a packet is copied once at the most, and a full ring is the
 * back-pressure.
 *
 * ```
 *      released            PROCESSED             PRODUCED          released + capacity
 *   ──────┬────────────────────┬──────────────────────┬───────────────────┬──────
 *         │ verdicts to read   │ packets to judge     │ free to fill      │
 * ```
 *
 * Both counts run freely modulo 2^32 and are written by one side each. Imports packet-memory, wire/. Imported by
 * producer.ts and workers/, through engine/.
 */
import { SLACK_BYTES } from '../wire/rows.js';
import { growMemory, type WasmMemory } from '../wire/wasm.js';
import { type EnginePackets, packetBytes, packetsIn } from './packet-memory.js';

/** PRODUCED, PROCESSED and the two SLEEPS words have a cache line each. They and CLOSING are touched only through Atomics. */
const RING = {
  PRODUCED: 0,
  PROCESSED: 16,
  PRODUCER_SLEEPS: 32,
  CONSUMER_SLEEPS: 48,
  CAPACITY: 64,
  MOST_PATIENCE: 65,
  CLOSING: 66,
  PARKED: 67,
} as const;
const HEADER_WORDS = 80;
/** Word of `control` that is 1 while the shard is parked: see park.ts. */
export const PARKED = RING.PARKED;
const HEADER_BYTES = HEADER_WORDS * Int32Array.BYTES_PER_ELEMENT;

/** Looks at the other side's count before going to sleep: some 20 µs. */
const SPINS = 1000;

/**
 * … and more for one who has had much to do: some 1.3 µs for each packet, 20 ms at the most. Two threads that wake one
 * another after each burst may be kept on one processor by Linux, beside an idle one, since neither is ever seen to
 * wait for its turn for long; then they take turns, and a packet takes 180 ns instead of 80. Who looks around for some
 * milliseconds is soon moved, and stays there. (With four looks per packet that was too short in one of six runs.)
 */
const SPINS_PER_PACKET = 64;
export const PATIENCE = 1_000_000;

/** Frame memory, perhaps of several rings, and the part of it that is one ring's own; in bytes. */
export interface FramePlace {
  /** First byte of the frame memory in the engine's. */
  readonly at: number;
  readonly bytes: number;
  /** Where the ring's own part begins in the frame memory. */
  readonly ownAt: number;
  readonly ownBytes: number;
}

/** Where a ring lies; can be posted to another thread. */
export interface RingHandle {
  readonly memory: WasmMemory;
  /** First byte of the ring. */
  readonly at: number;
  readonly frames: FramePlace;
}

export interface Ring extends EnginePackets {
  readonly control: Int32Array;
  /** Where the ring's own part of the frame memory begins, and its bytes. */
  readonly framesAt: number;
  readonly frameBytes: number;
  /** Packets, a power of two. */
  readonly capacity: number;
  /** Looks beyond SPINS that this side has earned with its packets, and how many it may save up. */
  patience: number;
  readonly mostPatience: number;
}

/** Takes frame memory that rings, and whoever fills them, share. @throws RangeError when it is not to be had */
export function allocateFrames(memory: WasmMemory, bytes: number): number {
  return growMemory(memory, bytes + SLACK_BYTES);
}

/**
 * @param memory the engine's, which becomes longer by the ring
 * @param capacity packets, a power of two
 * @param frames its frame memory: some that it shares, or so many bytes of its own
 * @param mostPatience PATIENCE, or 0 where threads have to share processors
 * @throws RangeError when the memory is not to be had
 */
export function createRing(
  memory: WasmMemory,
  capacity: number,
  frames: FramePlace | number,
  mostPatience = 0,
): RingHandle {
  const at = growMemory(memory, HEADER_BYTES + packetBytes(capacity) + SLACK_BYTES);
  const control = new Int32Array(memory.buffer, at, HEADER_WORDS);
  control[RING.MOST_PATIENCE] = mostPatience;
  Atomics.store(control, RING.CAPACITY, capacity); // publishes what was written above
  if (typeof frames !== 'number') return { memory, at, frames };
  const own = { at: allocateFrames(memory, frames), bytes: frames, ownAt: 0, ownBytes: frames };
  return { memory, at, frames: own };
}

export function attachRing({ memory, at, frames }: RingHandle): Ring {
  const control = new Int32Array(memory.buffer, at, HEADER_WORDS);
  const capacity = Atomics.load(control, RING.CAPACITY); // acquires what was written before
  return {
    ...packetsIn(memory, at + HEADER_BYTES, capacity, frames.at, frames.bytes),
    control,
    framesAt: frames.ownAt,
    frameBytes: frames.ownBytes,
    capacity,
    patience: 0,
    mostPatience: control[RING.MOST_PATIENCE],
  };
}

/** Packets published so far, modulo 2^32. For the shard: acquires the packets below it. */
export function produced(ring: Ring): number {
  return Atomics.load(ring.control, RING.PRODUCED); // acquires the packets below the count
}

/** Packets judged so far, modulo 2^32. For the producer: acquires their verdicts. */
export function processed(ring: Ring): number {
  return Atomics.load(ring.control, RING.PROCESSED); // acquires the verdicts below the count
}

/** Called by the producer after filling slots. */
export function publishProduced(ring: Ring, count: number): void {
  earnPatience(ring, count - Atomics.load(ring.control, RING.PRODUCED)); // this side's own
  Atomics.store(ring.control, RING.PRODUCED, count); // publishes the packets below the count
  const sleeps = Atomics.load(ring.control, RING.CONSUMER_SLEEPS); // orders the look after the store
  if (sleeps !== 0) Atomics.notify(ring.control, RING.PRODUCED, 1);
}

/** Called by the shard after judging packets. */
export function publishProcessed(ring: Ring, count: number): void {
  earnPatience(ring, count - Atomics.load(ring.control, RING.PROCESSED)); // this side's own
  Atomics.store(ring.control, RING.PROCESSED, count); // publishes the verdicts below the count
  const sleeps = Atomics.load(ring.control, RING.PRODUCER_SLEEPS); // orders the look after the store
  if (sleeps !== 0) Atomics.notify(ring.control, RING.PROCESSED, 1);
}

/** Waits until PRODUCED differs from `seen`, `ms` milliseconds at the most. Called by the shard. */
export function waitForProduced(ring: Ring, seen: number, ms: number): void {
  waitForChange(ring, RING.PRODUCED, RING.CONSUMER_SLEEPS, seen, ms);
}

/** Waits until PROCESSED differs from `seen`, `ms` milliseconds at the most. Called by the producer; blocks. */
export function waitForProcessed(ring: Ring, seen: number, ms: number): void {
  waitForChange(ring, RING.PROCESSED, RING.PRODUCER_SLEEPS, seen, ms);
}

/** The same without blocking: resolves when PROCESSED differs from `seen`, after `ms` milliseconds at the latest. */
export async function processedArrival(ring: Ring, seen: number, ms: number): Promise<void> {
  Atomics.store(ring.control, RING.PRODUCER_SLEEPS, 1); // publishes that this side sleeps
  const waiting = Atomics.waitAsync(ring.control, RING.PROCESSED, seen, ms);
  if (waiting.async) await waiting.value;
  Atomics.store(ring.control, RING.PRODUCER_SLEEPS, 0); // takes the flag back
}

/** Has a shard that waits look around, also for what the engine wishes. Who is just falling asleep may miss it. */
export function wakeShard(ring: Ring): void {
  Atomics.notify(ring.control, RING.PRODUCED);
}

/**
 * Ends a shard's or the producer's wait early, and makes the next ones short; for shutting down. Who is just falling
 * asleep may miss it: call it again until they have ended.
 */
export function wakeAll(ring: Ring): void {
  Atomics.store(ring.control, RING.CLOSING, 1); // ends the looking around
  Atomics.notify(ring.control, RING.PRODUCED);
  Atomics.notify(ring.control, RING.PROCESSED);
}

function earnPatience(ring: Ring, packets: number): void {
  ring.patience = Math.min(ring.patience + (packets | 0) * SPINS_PER_PACKET, ring.mostPatience);
}

function waitForChange(ring: Ring, count: number, sleeps: number, seen: number, ms: number): void {
  const { control } = ring;
  const most = SPINS + ring.patience;
  let spins = 0;
  while (spins < most && Atomics.load(control, RING.CLOSING) === 0) {
    const now = Atomics.load(control, count); // a look; the caller acquires when it reads the count again
    if (now !== seen) {
      ring.patience = Math.max(0, ring.patience - spins);
      return;
    }
    spins++;
  }
  ring.patience = 0;
  // The other side stores its count before it looks at this word: it sees the flag, or the wait sees the count.
  Atomics.store(control, sleeps, 1); // publishes that this side sleeps
  Atomics.wait(control, count, seen, ms);
  Atomics.store(control, sleeps, 0); // takes the flag back
}
