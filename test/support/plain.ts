/**
 * Frames through the fast path of the parser, which takes rows of them, in memory of its own.
 */
import assert from 'node:assert/strict';
import { REASON } from '../../src/reason.js';
import { FACT_WORDS } from '../../src/wire/facts.js';
import { PARSE_PLACE, PLAIN_FUNCTIONS, prepareScan, SPAN } from '../../src/wire/plain.js';
import { createRows, MAX_BATCH, ROW_REASON, ROWS_BYTES, SLACK_BYTES } from '../../src/wire/rows.js';
import { bind, compileFunctions, createWasmMemory } from '../../src/wire/wasm.js';

/** The secret key under which the fast path hashes. */
export const HASH_KEY = [0x0123_4567, 0x89ab_cdef] as const;

const SPAN_WORDS = Object.keys(SPAN).length;
const SPAN_BYTES = SPAN_WORDS * Int32Array.BYTES_PER_ELEMENT;
const SPANS_AT = ROWS_BYTES;
const FRAMES_AT = SPANS_AT + MAX_BATCH * SPAN_BYTES + SLACK_BYTES;
const FRAME_BYTES = 1 << 20;
/** What lies behind a frame: nothing may depend on it. */
const BEHIND = 0xa5;

const memory = createWasmMemory(FRAMES_AT + FRAME_BYTES + SLACK_BYTES);
const rows = createRows(memory, 0);
prepareScan(rows.words);
const parsePlainRows = bind(compileFunctions(PLAIN_FUNCTIONS), memory)[PARSE_PLACE];
const frameMemory = new Uint8Array(memory.buffer, FRAMES_AT, FRAME_BYTES + SLACK_BYTES);
const spans = new Int32Array(memory.buffer, SPANS_AT, MAX_BATCH * SPAN_WORDS);

/** The rows that are parsed into, and the columns behind them. */
export const ROWS = rows.words;

/** A frame, where it lies, and what is known of it. */
export interface PlainFrame {
  readonly bytes: Uint8Array;
  readonly known: number;
}

/** Parses frames, one every `stride` bytes, into the first rows. @returns how many are left to parseFrame() */
export function parsePlainBatch(frames: readonly PlainFrame[], stride: number): number {
  frameMemory.fill(BEHIND, 0, frames.length * stride + SLACK_BYTES);
  frames.forEach(({ bytes, known }, index) => {
    frameMemory.set(bytes, index * stride);
    spans.set([index * stride, bytes.length, known, 0], index * SPAN_WORDS);
  });
  const size = frames.length * stride;
  return parsePlainRows(0, frames.length, SPANS_AT, SPAN_BYTES, FRAMES_AT, size, ...HASH_KEY);
}

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
  const stop = Math.min(end, view.byteLength);
  const length = Math.max(0, stop - start);
  frameMemory.set(new Uint8Array(view.buffer, view.byteOffset + start, length));
  frameMemory.fill(BEHIND, length, length + SLACK_BYTES);
  ROWS.fill(0x5a5a5a5a, 0, FACT_WORDS);
  spans.set([start, end - start, known, l3]);
  // The frame lies at the beginning, the memory that it is said to lie in begins before that.
  const left = parsePlainRows(0, 1, SPANS_AT, SPAN_BYTES, FRAMES_AT - start, view.byteLength, ...HASH_KEY);
  assert.equal(left, ROWS[ROW_REASON] === REASON.none ? 0 : 1);
  if (left > 0) return false;
  facts.set(ROWS.subarray(0, FACT_WORDS), base);
  return true;
}
