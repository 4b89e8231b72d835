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
 * Imports facts. Imported by wire/plain and engine/.
 */
import { FACT_WORDS } from './facts.js';

/** Packets that are parsed, looked up and judged together. */
export const MAX_BATCH = 64;
/** Twice the words of the facts, and two cache lines. */
export const ROW_WORDS = 2 * FACT_WORDS;
/** Of a row's first word: `(index * ROW_WORDS) & ROW_MASK`. */
export const ROW_MASK = MAX_BATCH * ROW_WORDS - 1;

/** Word of a row: the parser’s reason; negative when its fast path has none. */
export const ROW_REASON = FACT_WORDS;

/** Behind the rows of the batch two more: of a reply direction that NAT considers, and of a datagram put together. */
export const ROWS = new Int32Array((MAX_BATCH + 2) * ROW_WORDS);
