/**
 * Blocking input and output on file descriptors that may be non-blocking, and the words for what went wrong with them.
 *
 * Standard input and output can be pipes or terminals that another process switched to non-blocking mode; Node then
 * reports EAGAIN from its synchronous calls instead of waiting. Imports nothing of the project; used by source.ts and
 * writer.ts, and by cli/ for its own output.
 */

import { readSync, writeSync } from 'node:fs';
import { getSystemErrorMap } from 'node:util';

/**
 * Waits between two attempts double from the first to the longest: short enough at first that a 64 KiB pipe can still
 * carry some hundred megabytes per second, long enough in the end that an idle pipe costs next to no processor time.
 */
const FIRST_WAIT_MS = 0.1;
const LONGEST_WAIT_MS = 10;

/** Nobody ever notifies this word: waiting on it is how a thread sleeps without an event loop. */
const sleepWord = new Int32Array(new SharedArrayBuffer(4));

/**
 * Reads between 1 and `length` bytes to `bytes[at]`, waiting for the first. Returns how many, 0 at the end of the
 * stream. @throws the system error of anything but a descriptor that has nothing yet.
 */
export function readSome(fd: number, bytes: Uint8Array, at: number, length: number): number {
  for (let wait = FIRST_WAIT_MS; ; wait = Math.min(wait * 2, LONGEST_WAIT_MS)) {
    try {
      return readSync(fd, bytes, at, length, null);
    } catch (error) {
      sleepIfTransient(error, wait);
    }
  }
}

/** As readSome(), but -1 instead of waiting when a non-blocking descriptor has nothing at the moment. */
export function readNow(fd: number, bytes: Uint8Array, at: number, length: number): number {
  for (;;) {
    try {
      return readSync(fd, bytes, at, length, null);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code === 'EAGAIN') return -1;
      if (code !== 'EINTR') throw error;
    }
  }
}

/** Writes all of `bytes[start, end)`, waiting where it must. @throws the system error, some bytes may be written. */
export function writeAll(fd: number, bytes: Uint8Array, start: number, end: number): void {
  let wait = FIRST_WAIT_MS;
  for (let at = start; at < end; ) {
    try {
      at += writeSync(fd, bytes, at, end - at, null);
      wait = FIRST_WAIT_MS;
    } catch (error) {
      sleepIfTransient(error, wait);
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    }
  }
}

/** What a system error means, without code, call and path: `no such file or directory`. */
export function systemReason(error: unknown): string {
  if (!(error instanceof Error)) return oneLine(String(error));
  const errno = 'errno' in error && typeof error.errno === 'number' ? error.errno : 0;
  return getSystemErrorMap().get(errno)?.[1] ?? oneLine(error.message);
}

/** `text` with control characters replaced: a path may hold line feeds, an error message must not. */
export function oneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, '?');
}

function sleepIfTransient(error: unknown, milliseconds: number): void {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  // A signal handled elsewhere in the process: the call may be repeated at once.
  if (code === 'EINTR') return;
  if (code !== 'EAGAIN') throw error;
  Atomics.wait(sleepWord, 0, 0, milliseconds);
}
