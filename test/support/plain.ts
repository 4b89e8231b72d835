/**
 * One frame through the fast path of the parser, which takes rows of them.
 */
import assert from 'node:assert/strict';
import { REASON } from '../../src/reason.js';
import { FACT_WORDS } from '../../src/wire/facts.js';
import { parsePlainRows } from '../../src/wire/plain.js';
import { ROW_REASON, ROWS } from '../../src/wire/rows.js';

/** The secret key under which the fast path hashes. */
export const HASH_KEY = [0x0123_4567, 0x89ab_cdef] as const;

/** @returns whether the fast path took the frame in [start, end); its facts are then in the row at `base` */
export function parsePlain(
  view: DataView,
  start: number,
  end: number,
  known: number,
  l3: number,
  facts: Int32Array,
  base: number,
): boolean {
  ROWS.fill(0x5a5a5a5a, 0, FACT_WORDS);
  const span = Int32Array.of(start, end - start, known, l3);
  const left = parsePlainRows(view, span, 0, span.length, 1, ...HASH_KEY);
  assert.equal(left, ROWS[ROW_REASON] === REASON.none ? 0 : 1);
  if (left > 0) return false;
  facts.set(ROWS.subarray(0, FACT_WORDS), base);
  return true;
}
