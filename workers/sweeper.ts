/**
 * The sweeper worker: one pass over the table per interval, in small steps, until it is told to stop.
 *
 * No rules live here: see src/engine/sweep.ts. Started by src/engine/engine.ts through Piscina.
 */
import { wallClockMs } from '../src/engine/clock.js';
import type { SweeperTask } from '../src/engine/engine.js';
import { attachMemory, CONTROL } from '../src/engine/memory.js';
import { createSweepCursor, isTableEmpty, sweepStep } from '../src/engine/sweep.js';
import { createTracker } from '../src/engine/tracker.js';

export default function runSweeper(task: SweeperTask): void {
  const memory = attachMemory(task.memory);
  const { control } = memory;
  const tracker = createTracker(memory, task.owner);
  const cursor = createSweepCursor();
  Atomics.add(control, CONTROL.READY, 1); // counts this worker in
  const isStopping = () => Atomics.load(control, CONTROL.STOP) === 1; // orders nothing
  while (!isStopping()) {
    const wallMs = control[CONTROL.IS_WALL_CLOCK] === 1 ? wallClockMs() : 0;
    if (!isTableEmpty(tracker.map)) {
      while (sweepStep(tracker, cursor, wallMs) && !isStopping()) {}
    }
    const seen = Atomics.load(control, CONTROL.SWEEP_WAKE); // the word that a wake-up changes
    const intervalMs = Atomics.load(control, CONTROL.SWEEP_INTERVAL_MS); // a setting
    if (!isStopping()) Atomics.wait(control, CONTROL.SWEEP_WAKE, seen, intervalMs);
  }
}
