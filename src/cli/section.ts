/**
 * The parts of a summary: a heading and what is counted under it.
 *
 * Imports nothing. Imported by the summaries of cli/.
 */

/** A heading and its rows, numbers to the right and words to the left; nothing without rows. */
export function section(title: string, rows: readonly (readonly string[])[]): string[] {
  if (rows.length === 0) return [];
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  }
  const lines = rows.map(row => {
    const cells = row.map((cell, column) =>
      /^\d/.test(cell) && column < 2 ? cell.padStart(widths[column]) : cell.padEnd(widths[column]),
    );
    return `  ${cells.join('  ').trimEnd()}`;
  });
  return ['', title, ...lines];
}
