/**
 * Frames in chains of blocks: copied in when a fragment is held, and out when it goes on.
 *
 * Imports layout, wire/bytes. Imported by fragment/ and engine/.
 */
import { i32any, setI32any, setU8, u8 } from '../wire/bytes.js';
import { BLOCK_BYTES, type FragmentStore, giveItem, itemAt, NONE, takeItem, usedItems } from './layout.js';

/** Blocks that a frame takes. */
export function blocksFor(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / BLOCK_BYTES));
}

export function freeBlocks(store: FragmentStore): number {
  return store.blocks.capacity - usedItems(store, store.blocks);
}

/** Takes a chain of blocks for a frame; the caller knows that so many are free. @returns the first one */
export function takeBlocks(store: FragmentStore, bytes: number): number {
  let first: number = NONE;
  for (let left = blocksFor(bytes); left > 0; left--) {
    const block = takeItem(store, store.blocks);
    store.words[itemAt(store.blocks, block)] = first;
    first = block;
  }
  return first;
}

export function giveBlocks(store: FragmentStore, first: number): void {
  for (let block = first; block !== NONE; ) {
    const next = store.words[itemAt(store.blocks, block)];
    giveItem(store, store.blocks, block);
    block = next;
  }
}

/** Copies bytes between two memories: a word at a time, since a subarray would be an object per call. */
function copyBytes(from: DataView, start: number, bytes: number, to: DataView, at: number): void {
  const distance = at - start;
  const end = start + bytes;
  let byte = start;
  for (; byte + 4 <= end; byte += 4) setI32any(to, byte + distance, i32any(from, byte));
  for (; byte < end; byte++) setU8(to, byte + distance, u8(from, byte));
}

/** Copies `bytes` bytes from `start` of a memory over those of the frame in the chain from its byte `at` on. */
export function copyIn(
  store: FragmentStore,
  first: number,
  at: number,
  from: DataView,
  start: number,
  bytes: number,
): void {
  walk(store, first, at, bytes, from, start, true);
}

/** Copies `bytes` bytes of the frame in the chain, from its byte `at` on, to `start` of a memory. */
export function copyOut(
  store: FragmentStore,
  first: number,
  at: number,
  bytes: number,
  to: DataView,
  start: number,
): void {
  walk(store, first, at, bytes, to, start, false);
}

function walk(
  store: FragmentStore,
  first: number,
  at: number,
  bytes: number,
  other: DataView,
  start: number,
  isIn: boolean,
): void {
  const { words, blocks, frames } = store;
  let block = first;
  let skip = at;
  for (; skip >= BLOCK_BYTES; skip -= BLOCK_BYTES) block = words[itemAt(blocks, block)];
  for (let done = 0; done < bytes; ) {
    const part = Math.min(BLOCK_BYTES - skip, bytes - done);
    const place = (block - 1) * BLOCK_BYTES + skip;
    if (isIn) copyBytes(other, start + done, part, frames, place);
    else copyBytes(frames, place, part, other, start + done);
    done += part;
    skip = 0;
    block = words[itemAt(blocks, block)];
  }
}
