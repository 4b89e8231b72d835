/** Timeouts to the millisecond, from the beginning of time to beyond 2^32 ms and today's date. */
import { test } from 'node:test';
import { play } from './tape.js';
import { TIMEOUT_TAPES } from './timeout-tapes.js';

const EPOCHS = [0, 2 ** 31 - 30_000, 2 ** 32 - 30_000, 2 ** 32, 60 * 86_400_000, 1_790_000_000_000];

for (const tape of TIMEOUT_TAPES) {
  test(tape.name, () => {
    for (const epochMs of EPOCHS) {
      play(tape, { epochMs });
      play(tape, { epochMs, isSlow: true });
    }
  });
}
