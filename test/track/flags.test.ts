/** TCP flags in all combinations, and TCP options in odd shapes. */
import { test } from 'node:test';
import { FLAG_TAPES } from './flag-tapes.js';
import { OPTION_TAPES } from './option-tapes.js';
import { play } from './tape.js';

for (const tape of FLAG_TAPES) test(`flags: ${tape.name}`, () => play(tape));
for (const tape of OPTION_TAPES) test(`options: ${tape.name}`, () => play(tape));
