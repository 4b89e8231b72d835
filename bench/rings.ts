/**
 * The way through the rings: this thread is the producer, a worker the shard. From the first packet pushed to the last
 * verdict read, steering and reading of each verdict included, and copying of the frames unless they lie in the arena, as
 * they do for the tracker on one thread.
 *
 * A round is a few bursts of many packets each, built beforehand; at the end of a burst the ring runs dry, which costs
 * no more than a batch takes.
 *
 * Imports chunk, result, statistics, traffic, engine/, flood/, wire/. Imported by run.
 */
import { setImmediate } from 'node:timers/promises';
import { Engine } from '../src/engine/engine.js';
import { PACKET } from '../src/engine/packet.js';
import type { Producer } from '../src/engine/producer.js';
import { Random } from '../src/flood/random.js';
import { createTemplate } from '../src/flood/template.js';
import { REASON } from '../src/reason.js';
import { KNOWN } from '../src/wire/known.js';
import { createWasmMemory } from '../src/wire/wasm.js';
import { Chunk, PACKET_MS, STATE } from './chunk.js';
import { type FrameHandling, type Measured, NS_PER_MS, timesOf } from './result.js';
import { figureOf } from './statistics.js';
import { UDP4 } from './traffic.js';

export interface RingsOptions {
  readonly connections: number;
  readonly batch: number;
  readonly seed: number;
  readonly frames: FrameHandling;
  readonly rounds: number;
  /** Packets of a round. */
  readonly packets: number;
}

const BURST_PACKETS = 65_536;
/** Bursts of the round that warms up, at the least: until then both threads have compiled their loops. */
const WARM_UP_BURSTS = 16;
/** Frames of a burst, 64 bytes each. */
const ARENA_BYTES = BURST_PACKETS * 64;
/** A shard that is alive answers in microseconds. */
const WAIT_MS = 100;
const MOST_WAITS = 100;
const KNOWN_BITS = KNOWN.L4_CHECKSUM_GOOD;

/** Reads all verdicts that are there. @returns how many; NaN when one is not what it must be */
function collect(producer: Producer): number {
  let count = 0;
  for (let at = producer.peek(); at >= 0; at = producer.peek()) {
    const { verdicts } = producer;
    const isRight = verdicts[at + PACKET.STATE] === STATE.NEW && verdicts[at + PACKET.REASON] === REASON.none;
    count += isRight ? 1 : Number.NaN;
    producer.release();
  }
  return count;
}

/** Pushes packet number `packet` of a burst. @returns false when the ring is full */
type Push = (packet: number) => boolean;

/** Frames are copied from where they were built; or they were copied into the arena before the clock ran. */
function pushFrom(producer: Producer, burst: Chunk, frames: FrameHandling): Push {
  const { memory, stride } = burst;
  const { bytes, frames: view } = memory;
  const { length } = burst.template(0).bytes;
  if (frames === 'in-place') {
    return packet => {
      const at = packet * stride;
      return producer.tryPushInPlace(at, at + length, KNOWN_BITS, 0, PACKET_MS, 0, packet);
    };
  }
  return packet => {
    const at = packet * stride;
    return producer.tryPush(bytes, view, at, at + length, KNOWN_BITS, 0, PACKET_MS, 0, packet);
  };
}

/** Sends the first `count` packets of a burst through the engine and reads their verdicts. */
function pump(producer: Producer, push: Push, count: number, batch: number): void {
  let pushed = 0;
  let waits = 0;
  for (let read = 0; read < count; ) {
    const stop = Math.min(pushed + batch, count);
    while (pushed < stop && push(pushed)) pushed++;
    producer.publish();
    const ready = collect(producer);
    if (Number.isNaN(ready)) throw new Error('the benchmark is void: a packet through the rings was not judged new');
    read += ready;
    if (ready > 0) {
      waits = 0;
    } else if (pushed < stop || pushed === count) {
      // Full, or all sent: nothing to do but wait.
      if (waits++ === MOST_WAITS) throw new Error('the shard does not answer');
      producer.waitForVerdict(WAIT_MS);
    }
  }
}

/** One burst, with a turn for the engine to notice that a worker has failed. @returns milliseconds */
async function sendBurst(engine: Engine, burst: Chunk, push: Push, count: number, batch: number): Promise<number> {
  const { arena } = engine.producer;
  if (arena.length > 0) arena.set(burst.memory.bytes.subarray(0, count * burst.stride));
  const startedMs = performance.now();
  pump(engine.producer, push, count, batch);
  const tookMs = performance.now() - startedMs;
  await setImmediate();
  engine.checkFailure();
  return tookMs;
}

async function measure(engine: Engine, options: RingsOptions): Promise<number[]> {
  const { connections, batch, seed, frames, rounds, packets } = options;
  const burst = new Chunk(createWasmMemory(0), [createTemplate(UDP4)], KNOWN_BITS, BURST_PACKETS);
  const push = pushFrom(engine.producer, burst, frames);
  for (let first = 0; first < connections; first += BURST_PACKETS) {
    const count = Math.min(BURST_PACKETS, connections - first);
    for (let slot = 0; slot < count; slot++) burst.write(slot, first + slot, STATE.NEW);
    await sendBurst(engine, burst, push, count, batch);
  }
  const random = new Random(seed);
  const bursts = Math.ceil(packets / BURST_PACKETS);
  const times: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    let ms = 0;
    const count = round === 0 ? Math.max(bursts, WARM_UP_BURSTS) : bursts;
    for (let sent = 0; sent < count; sent++) {
      for (let slot = 0; slot < BURST_PACKETS; slot++) burst.write(slot, random.below(connections), STATE.NEW);
      ms += await sendBurst(engine, burst, push, BURST_PACKETS, batch);
    }
    if (round > 0) times.push((ms * NS_PER_MS) / (bursts * BURST_PACKETS));
  }
  const { created } = engine.counters().events;
  if (created !== connections) throw new Error(`the benchmark is void: ${created} connections for ${connections}`);
  return times;
}

/** Updates of udp4 connections through the rings of an engine with one shard. */
export async function measureRings(options: RingsOptions): Promise<Measured> {
  const { connections, batch, seed, frames } = options;
  const arenaBytes = frames === 'in-place' ? ARENA_BYTES : 0;
  const table = { maxConnections: connections, maxIpv6Connections: 0, seed, arenaBytes };
  const engine = await Engine.open({ ...table, shards: 1, clock: 'packets' });
  try {
    engine.defineAction({});
    const figure = figureOf(await measure(engine, options));
    const how = { checksums: 'l4-declared', hints: 'none' } as const;
    return { work: 'rings', mix: 'udp4', connections, shards: 1, batch, frames, ...how, ...timesOf(figure) };
  } finally {
    await engine.close();
  }
}
