/** UDP, SCTP, ICMP and the rest by their tapes, and ICMP errors about them; by the fast path and the slow one. */
import { test } from 'node:test';
import { ERROR_TAPES, OTHER_TAPES } from './other-tapes.js';
import { play } from './tape.js';

for (const tape of [...OTHER_TAPES, ...ERROR_TAPES]) {
  test(tape.name, () => play(tape));
  test(`${tape.name}, slow path`, () => play(tape, { isSlow: true }));
}
