/**
 * The engine's sweeper beside a measurement that has no engine around it.
 *
 * Imports engine/, piscina. Imported by latency, threads.
 */
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import type { SweeperTask } from '../src/engine/engine.js';
import { CONTROL, type EngineMemory, handleOf } from '../src/engine/memory.js';
import { WISH } from '../src/engine/park.js';

const SWEEPER_FILE = fileURLToPath(new URL('../workers/sweeper.js', import.meta.url));

/**
 * Runs `measure` while a sweeper works on the memory.
 * @param owner number of the sweeper among the threads of the memory
 * @throws what `measure` or the sweeper throws
 */
export async function withSweeper<T>(memory: EngineMemory, owner: number, measure: () => Promise<T>): Promise<T> {
  const { control } = memory;
  const pool = new Piscina({ minThreads: 1, maxThreads: 1, atomics: 'disabled', filename: SWEEPER_FILE });
  try {
    const sweeper = pool.run({ memory: handleOf(memory), owner } satisfies SweeperTask);
    const result = await measure();
    Atomics.store(control, CONTROL.STOP, WISH.STOP); // publishes the wish
    Atomics.add(control, CONTROL.SWEEP_WAKE, 1); // changes the word that the sweeper sleeps on
    Atomics.notify(control, CONTROL.SWEEP_WAKE);
    await sweeper;
    return result;
  } finally {
    await pool.destroy();
  }
}
