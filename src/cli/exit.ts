/**
 * How the program ends: exit codes, and the one line that says why.
 *
 * Imported by the other files of cli/; imports pcap/descriptor.
 */
import { oneLine, systemReason, writeAll } from '../pcap/descriptor.js';

const STANDARD_OUTPUT = 1;
const STANDARD_ERROR = 2;

export const EXIT = {
  OK: 0,
  /** What was asked for could not be done, or not completely. */
  FAILURE: 1,
  /** What was asked for makes no sense: an unknown option, a value that is out of range. */
  USAGE: 2,
  /** 128 + SIGINT, as shells report a program that was interrupted. */
  INTERRUPTED: 130,
  /** 128 + SIGTERM. */
  TERMINATED: 143,
} as const;

/** The reader of standard output is gone (`| head`): nothing more to do, and nothing wrong. */
export class OutputClosed extends Error {
  constructor() {
    super('standard output: closed by its reader');
    this.name = 'OutputClosed';
  }
}

/** True when whoever read the output, or the capture that goes there, is gone. */
export function isOutputClosed(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  return error instanceof OutputClosed || (cause instanceof Error && 'code' in cause && cause.code === 'EPIPE');
}

/**
 * Writes all of `bytes[0, length)` to standard output, waiting where it must.
 * @throws OutputClosed when nobody reads it any more; Error with a one-line message for any other failure
 */
export function writeOutput(bytes: Uint8Array, length: number): void {
  try {
    writeAll(STANDARD_OUTPUT, bytes, 0, length);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EPIPE') throw new OutputClosed();
    throw new Error(`standard output: cannot write: ${systemReason(error)}`);
  }
}

/** Writes to standard error. Does not throw: there is nobody left to tell. */
export function writeError(text: string): void {
  const bytes = Buffer.from(text);
  try {
    writeAll(STANDARD_ERROR, bytes, 0, bytes.length);
  } catch {
    // Closed or full: the exit code has to do.
  }
}

/** Says on one line of standard error what went wrong; `debug` adds where in the program. */
export function reportError(error: unknown, debug: boolean): void {
  const message = error instanceof Error ? error.message : String(error);
  writeError(`flowshard: ${oneLine(message.replace(/\s*\n\s*/g, ' '))}\n`);
  if (debug && error instanceof Error && error.stack !== undefined) writeError(`${error.stack}\n`);
}
