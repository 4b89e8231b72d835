/**
 * One frame through the fast path of the parser, which takes rows of them.
 */
import { FACT_WORDS } from '../../src/wire/facts.js';
import { parsePlainRows } from '../../src/wire/plain.js';

const PLAIN = 1;
const OTHER = 2;

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
  const row = new Int32Array(FACT_WORDS + 1).fill(0x5a5a5a5a);
  const span = Int32Array.of(start, end - start, known, l3);
  parsePlainRows(view, span, 0, span.length, 1, row, row.length, FACT_WORDS, PLAIN, OTHER);
  if (row[FACT_WORDS] !== PLAIN) return false;
  facts.set(row.subarray(0, FACT_WORDS), base);
  return true;
}
