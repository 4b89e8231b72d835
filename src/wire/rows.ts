/**
 * The rows of a batch: what the passes of the packet loop tell one another about each of its packets. A row begins with
 * the packet's facts (facts.ts); behind them the parser leaves its reason, and the words after that are the engine's
 * (engine/tracker.ts).
 *
 * There is one set of rows per thread, a constant of this module, borrowed until the next batch. That is for speed: of
 * an array that is a constant the compiler knows address and length, so that an access takes two instructions less
 * and no call in a loop makes it load them again. Of a masked index it knows the range, which spares the check for
 * overflow. Together that is a third of the time of the passes before the judging (AMD EPYC, Node 20).
 *
 * Imports facts, wasm. Imported by wire/plain, wire/plain-kernel and engine/.
 */
import { FACT_WORDS } from './facts.js';
import { createWasmMemory } from './wasm.js';

/** Packets that are parsed, looked up and judged together. */
export const MAX_BATCH = 64;
/** Twice the words of the facts, and two cache lines. */
export const ROW_WORDS = 2 * FACT_WORDS;
/** Of a row's first word: `(index * ROW_WORDS) & ROW_MASK`. */
export const ROW_MASK = MAX_BATCH * ROW_WORDS - 1;

/** Word of a row: the parser’s reason; negative when its fast path has none. */
export const ROW_REASON = FACT_WORDS;

/**
 * Behind the rows of the batch three more: of a reply direction that NAT considers, of a datagram put together, and one
 * that takes what a vector has too much.
 */
const ALL_ROWS = MAX_BATCH + 3;
/** Row that nobody reads. */
export const SPARE_ROW = MAX_BATCH + 2;
const WORD_BYTES = Int32Array.BYTES_PER_ELEMENT;
export const ROW_BYTES = ROW_WORDS * WORD_BYTES;
const ROWS_BYTES = ALL_ROWS * ROW_BYTES;
const COLUMN_BYTES = MAX_BATCH * WORD_BYTES;
const ALL_COLUMNS = 64;

/** Memory of the rows, from its first byte on, and of the columns: WebAssembly's, so that its vectors reach them. */
export const ROW_MEMORY = createWasmMemory(ROWS_BYTES + ALL_COLUMNS * COLUMN_BYTES);
export const ROWS = new Int32Array(ROW_MEMORY.buffer, 0, ALL_ROWS * ROW_WORDS);

/** First byte of column `number` in ROW_MEMORY: a word for each packet of a batch, one behind the other. */
export const columnAt = (number: number): number => ROWS_BYTES + number * COLUMN_BYTES;
export const createColumn = (number: number): Int32Array =>
  new Int32Array(ROW_MEMORY.buffer, columnAt(number), MAX_BATCH);
/** Who has the columns from which on. */
export const FIRST_COLUMN = { PLAIN_IPV4: 0, PLAIN_IPV6: 20, PLACE: 40 } as const;
