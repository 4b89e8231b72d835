/**
 * The sweeper worker: one pass over what is due after another, in small steps, until it is told to stop.
 *
 * No rules live here: see src/engine/sweep.ts. Started by src/engine/engine.ts through Piscina.
 */
import { wallClockMs } from '../src/engine/clock.js';
import { EVENT } from '../src/engine/counters.js';
import type { SweeperTask } from '../src/engine/engine.js';
import { attachMemory, CONTROL } from '../src/engine/memory.js';
import { parkIfAsked, WISH } from '../src/engine/park.js';
import { createSweepCursor, isIdle, pauseMs, sweepStep } from '../src/engine/sweep.js';
import { createTracker } from '../src/engine/tracker.js';

/**
 * How long to work at a time, and to rest then. A thread that sleeps of its own accord is hardly ever stopped by the system
 * in the middle of something, and one that is stopped while it holds a lock has packets wait for milliseconds.
 */
const BURST_MS = 0.2;
const REST_MS = 0.2;

const rest = new Int32Array(new SharedArrayBuffer(4));

export default function runSweeper(task: SweeperTask): void {
  const memory = attachMemory(task.memory);
  const { control } = memory;
  const tracker = createTracker(memory, task.owner);
  const cursor = createSweepCursor(tracker.map);
  Atomics.add(control, CONTROL.READY, 1); // counts this worker in
  const isWished = (wish: number) => Atomics.load(control, CONTROL.STOP) === wish; // orders nothing
  for (;;) {
    parkIfAsked(control, control, CONTROL.SWEEPER_PARKED);
    if (isWished(WISH.STOP)) return;
    tracker.counts[EVENT.sweepWakes]++;
    const seen = Atomics.load(control, CONTROL.SWEEP_WAKE); // before the pass: what wakes during it is not lost
    const timeMs = () => (control[CONTROL.IS_WALL_CLOCK] === 1 ? wallClockMs() : 0);
    if (!isIdle(tracker)) {
      let restedMs = performance.now();
      while (sweepStep(tracker, cursor, timeMs()) && isWished(WISH.RUN)) {
        if (performance.now() - restedMs < BURST_MS) continue;
        Atomics.wait(rest, 0, 0, REST_MS); // a pause, nobody changes the word
        restedMs = performance.now();
      }
    }
    if (isWished(WISH.RUN)) Atomics.wait(control, CONTROL.SWEEP_WAKE, seen, pauseMs(tracker, cursor, timeMs()));
  }
}
