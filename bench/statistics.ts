/**
 * The figure of several rounds: their median, which a disturbed round does not move, and beside it the least.
 *
 * Imports nothing. Imported by the other files of bench/.
 */
export interface Figure {
  readonly median: number;
  readonly least: number;
  readonly rounds: number;
}

/** @param values one per round, at least one */
export function figureOf(values: readonly number[]): Figure {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >>> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, least: sorted[0], rounds: sorted.length };
}
