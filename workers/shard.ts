/**
 * A shard worker: judges the packets of its ring, in order, until it is told to stop and the ring is empty.
 *
 * No rules live here: see src/engine/process.ts. Started by src/engine/engine.ts through Piscina.
 */
import { wallClockMs } from '../src/engine/clock.js';
import type { ShardTask } from '../src/engine/engine.js';
import { histogramRow, recordDuration } from '../src/engine/histogram.js';
import { attachMemory, CONTROL, type EngineMemory } from '../src/engine/memory.js';
import { parkIfAsked, WISH } from '../src/engine/park.js';
import { Pipeline } from '../src/engine/pipeline.js';
import { processPackets } from '../src/engine/process.js';
import { attachReassembly } from '../src/engine/reassembly.js';
import { isReleasing, settleFragments } from '../src/engine/release.js';
import {
  attachRing,
  PARKED,
  processed,
  produced,
  publishProcessed,
  type Ring,
  waitForProduced,
} from '../src/engine/ring.js';
import { TopSketches } from '../src/engine/top.js';
import { createTracker, type Tracker } from '../src/engine/tracker.js';
import { MAX_BATCH } from '../src/wire/rows.js';

/** How long to sleep at a time when there is nothing to do; a producer that publishes wakes the shard sooner. */
const IDLE_MS = 1000;
/** The same while fragments wait for room in the ring through which they come back. */
const RELEASING_MS = 5;
/**
 * Packets that are judged, if they are there, before their verdicts are handed back. The counts of a ring go from one
 * processor to the other and wait for all that was written before them: some 0.5 µs for both, of 64 packets 8 ns each, and
 * more when the other side is looking around for them meanwhile. With 256 a packet through a full ring takes 58 ns
 * instead of 80 (AMD EPYC, Node 20), 512 are no better.
 */
const TURN_PACKETS = 4 * MAX_BATCH;

/** The flow rules of the shard, if it has any; their actions are defined already, in the order in which they come. */
function pipelineOf(task: ShardTask, tracker: Tracker, ring: Ring): Pipeline | undefined {
  if (task.flows === undefined) return undefined;
  let next = task.flows.firstAction;
  return new Pipeline(tracker, ring, task.flows.rules, () => next++);
}

/** Where the shard counts heavy hitters, if that is asked for. */
function topOf({ top }: ShardTask, memory: EngineMemory): TopSketches | undefined {
  return top && new TopSketches(top.buffer, top.row, memory);
}

export default function runShard(task: ShardTask): void {
  const memory = attachMemory(task.memory);
  const ring = attachRing(task.ring);
  const tracker = createTracker(memory, task.owner, attachReassembly(task.fragments), topOf(task, memory));
  const pipeline = pipelineOf(task, tracker, ring);
  const latency = task.latency === undefined ? undefined : histogramRow(task.latency.buffer, task.latency.row);
  Atomics.add(memory.control, CONTROL.READY, 1); // counts this worker in
  let done = processed(ring);
  for (;;) {
    parkIfAsked(memory.control, ring.control, PARKED);
    const waiting = (produced(ring) - done) | 0;
    if (waiting === 0) {
      const stops = Atomics.load(memory.control, CONTROL.STOP); // packets published before the wish are seen below
      if (stops === WISH.STOP && produced(ring) === done) return;
      if (memory.control[CONTROL.IS_WALL_CLOCK] === 1) tracker.now[0] = wallClockMs();
      settleFragments(tracker);
      waitForProduced(ring, done, isReleasing(tracker) ? RELEASING_MS : IDLE_MS);
      continue;
    }
    const stop = (done + Math.min(waiting, TURN_PACKETS)) | 0;
    while (done !== stop) {
      const first = done & (ring.capacity - 1);
      const count = Math.min((stop - done) | 0, MAX_BATCH, ring.capacity - first);
      const startedMs = latency === undefined ? 0 : performance.now();
      if (pipeline !== undefined) pipeline.run(first, count);
      else processPackets(tracker, ring, first, count);
      if (latency !== undefined) recordDuration(latency, performance.now() - startedMs);
      done = (done + count) | 0;
    }
    publishProcessed(ring, done);
  }
}
