/** The TCP tracker by its tapes: by the fast path and the slow one, over IPv4 and IPv6, early and late. */
import { test } from 'node:test';
import { type Playing, play } from './tape.js';
import { TCP_TAPES } from './tcp-tapes.js';

const WAYS: readonly (readonly [name: string, playing: Playing])[] = [
  ['fast path', {}],
  ['slow path', { isSlow: true }],
  ['IPv6', { family: 6 }],
  ['around 2^32 ms', { epochMs: 2 ** 32 - 2 }],
];

for (const tape of TCP_TAPES) {
  for (const [way, playing] of WAYS) test(`${tape.name}, ${way}`, () => play(tape, playing));
}
