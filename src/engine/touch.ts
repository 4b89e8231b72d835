/**
 * Asking for cache lines before they are needed, as instructions of kernels.
 *
 * A loop that does nothing else has the misses of a whole batch under way at a time; at the end of a longer one it would
 * be those of a few packets.
 *
 * Imports wire/. Imported by place-kernel, find-kernel.
 */
import { columnAt, FIRST_COLUMN, ROW_BYTES } from '../wire/rows.js';
import {
  type Code,
  get,
  i32,
  i32add,
  i32bytes,
  i32lessUnsigned,
  i32load,
  i32store,
  i32xor,
  offsetOf,
  repeat,
  set,
  WORD_BYTES,
} from '../wire/wasm.js';

/** Locals: first byte of all rows, of the first to be looked at and of the one to end before; and two that are free. */
interface Touching {
  readonly rowsAt: number;
  readonly first: number;
  readonly end: number;
  readonly row: number;
  readonly touched: number;
}

/** Where what was read is left, so that it is read. */
const TOUCHED_AT = columnAt(FIRST_COLUMN.TOUCH) * WORD_BYTES;

/** Leaves what was read where somebody could see it. */
export const leaveTouched = (rowsAt: number, touched: number): Code => i32store(get(rowsAt), TOUCHED_AT, get(touched));

/** Reads the word of the table that word `place` of each row names; at least one. */
export function touchLines(place: number, { rowsAt, first, end, row, touched }: Touching): Code {
  const named = i32bytes(i32load(get(row), offsetOf(place)));
  return [
    ...set(row, get(first)),
    ...repeat(
      [...set(touched, i32xor(get(touched), i32load(named, 0))), ...set(row, i32add(get(row), i32(ROW_BYTES)))],
      i32lessUnsigned(get(row), get(end)),
    ),
    ...leaveTouched(rowsAt, touched),
  ];
}
