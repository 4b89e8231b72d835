/**
 * The frames of a generator, one buffer each.
 *
 * Imports src/flood.
 */
import type { FloodOptions, Generator } from '../../src/flood/generator.js';

export const OPTIONS: FloodOptions = {
  seed: 1,
  family: 4,
  sources: 'uniform',
  destinations: 'one',
  ports: 'uniform',
  sizes: [],
  zones: 16,
  homeOf: undefined,
};

/** An odd place, so that nothing is aligned by luck, and bytes that must stay. */
const PLACE = 13;
const UNTOUCHED = 0x5a;

export interface Made {
  readonly frame: Uint8Array;
  readonly action: number;
}

/** @throws Error when a generator writes beyond the frame that it has announced */
export function framesOf(generator: Generator, count: number): Made[] {
  const memory = new Uint8Array(PLACE + 65_536).fill(UNTOUCHED);
  const view = new DataView(memory.buffer);
  return Array.from({ length: count }, () => {
    const { length, action } = generator;
    memory.fill(UNTOUCHED, 0, PLACE + length + 64);
    generator.write(view, PLACE);
    const outside = [...memory.subarray(0, PLACE), ...memory.subarray(PLACE + length, PLACE + length + 64)];
    if (outside.some(byte => byte !== UNTOUCHED)) throw new Error('written beyond the frame');
    return { frame: memory.slice(PLACE, PLACE + length), action };
  });
}
