/**
 * What is said of flow rules that cannot be run: one line, with the number of the line in the text and the word at
 * fault.
 *
 * Imports ../given. Imported by the other files of flows/ and the public API.
 */
import { quoted } from '../given.js';

/** A flow rule that is wrong, or that asks for something that is not supported. */
export class FlowError extends Error {
  override readonly name = 'FlowError';
  /** Number of the line, the first being 1; 0 while it is not known. */
  readonly line: number;
  /** The word at fault, as it stands in the text; empty when something is missing. */
  readonly word: string;
  /** What is wrong, without the number of the line. */
  readonly reason: string;

  constructor(line: number, word: string, reason: string) {
    super(line > 0 ? `line ${line}: ${reason}` : reason);
    this.line = line;
    this.word = word;
    this.reason = reason;
  }
}

/** `reason` with the word in front of it. The parser of the text adds the number of the line. */
export function wrong(word: string, reason: string): FlowError {
  return new FlowError(0, word, `${quoted(word)}: ${reason}`);
}
