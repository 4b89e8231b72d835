/**
 * The rows of a batch: what the passes of the packet loop tell one another about each of its packets. A row begins with
 * the packet's facts (facts.ts); behind them the parser leaves its reason and the words of a TCP header that the windows
 * go by, and the words between are the engine's (engine/tracker.ts).
 *
 * Each thread has one set of rows, in the memory that holds the table, since a WebAssembly function reaches one memory
 * and some of them need both. Behind the rows lie columns: one word of all packets of a batch one behind the other, for
 * passes that take four packets at a time.
 *
 * Imports facts, wasm. Imported by wire/plain, wire/plain-kernel and engine/.
 */
import { FACT_WORDS } from './facts.js';
import { type WasmMemory, WORD_BYTES } from './wasm.js';

/** Packets that are parsed, looked up and judged together. */
export const MAX_BATCH = 64;
/** Twice the words of the facts, and two cache lines. */
export const ROW_WORDS = 2 * FACT_WORDS;

/** Word of a row: the parser’s reason; negative when its fast path has none. */
export const ROW_REASON = FACT_WORDS;
/**
 * Three words of a row that is TCP: sequence number, acknowledgement number, and the word with data offset, flags and
 * window. One more is undefined.
 */
export const ROW_SEGMENT = FACT_WORDS + 8;

/**
 * Behind the rows of the batch three more: of a reply direction that NAT considers, of a datagram put together, and one
 * that takes what a vector has too much.
 */
const ALL_ROWS = MAX_BATCH + 3;
/** Row that nobody reads. */
export const SPARE_ROW = MAX_BATCH + 2;
export const ROW_BYTES = ROW_WORDS * WORD_BYTES;
const COLUMNS_AT = ALL_ROWS * ROW_WORDS;
/** Who has the columns from which on. */
export const FIRST_COLUMN = {
  PLAIN_IPV4: 0,
  PLAIN_IPV6: 6,
  SCAN: 12,
  TOUCH: 14,
  SETUP: 15,
  JUDGE: 16,
  ACTION: 17,
} as const;
const ALL_COLUMNS = 18;
/** Bytes of all rows and columns, whole cache lines. */
export const ROWS_BYTES = (COLUMNS_AT + ALL_COLUMNS * MAX_BATCH) * WORD_BYTES;

/** Frames and spans need so many bytes of memory behind them: vectors and headers are read whole. */
export const SLACK_BYTES = 512;

export interface Rows {
  readonly memory: WasmMemory;
  /** First byte of the first row. */
  readonly at: number;
  /** All rows, and the columns behind them. */
  readonly words: Int32Array;
  /** The same memory. */
  readonly doubles: Float64Array;
}

/** The rows that begin at byte `at` of the memory, which has ROWS_BYTES from there on. @param at a multiple of 64 */
export function createRows(memory: WasmMemory, at: number): Rows {
  const words = ROWS_BYTES / WORD_BYTES;
  return {
    memory,
    at,
    words: new Int32Array(memory.buffer, at, words),
    doubles: new Float64Array(memory.buffer, at, words / 2),
  };
}

/** First word of column `number` behind that of the rows: a word for each packet of a batch, one behind the other. */
export const columnAt = (number: number): number => COLUMNS_AT + number * MAX_BATCH;
