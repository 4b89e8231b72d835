/**
 * Standard output in large pieces: lines are put together in one buffer and written when it is full or when somebody
 * waits for them. Constant memory, and no allocation for what is printed per packet.
 *
 * Imports exit. Imported by the files of cli/ that print.
 */
import { writeOutput } from './exit.js';

const BUFFER_BYTES = 256 * 1024;
/** Strings are written in pieces of this many UTF-16 units, each of which takes 3 bytes of UTF-8 at the most. */
const PIECE_UNITS = 16 * 1024;
const LARGEST_UNIT_BYTES = 3;
/** Decimal digits of the largest exact integer. */
const DIGITS = 16;

export class LineWriter {
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #used = 0;

  /** Adds text. @throws as writeOutput() */
  text(text: string): void {
    if (text.length > PIECE_UNITS) {
      this.#longText(text);
      return;
    }
    this.#reserve(text.length * LARGEST_UNIT_BYTES);
    this.#used += this.#buffer.write(text, this.#used);
  }

  /** Adds bytes that were made before, 256 KiB at the most. @throws as writeOutput() */
  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#used);
    this.#used += bytes.length;
  }

  /** Adds a whole number, 0 or more, in decimals. @throws as writeOutput() */
  number(value: number): void {
    this.#reserve(DIGITS);
    let length = 1;
    for (let power = 10; power <= value; power *= 10) length++;
    let rest = value;
    for (let at = this.#used + length - 1; at >= this.#used; at--) {
      const tens = Math.floor(rest / 10);
      this.#buffer[at] = 0x30 + (rest - tens * 10);
      rest = tens;
    }
    this.#used += length;
  }

  /** Writes what has gathered. @throws as writeOutput() */
  flush(): void {
    const length = this.#used;
    if (length === 0) return;
    // First, so that a flush after a failure does not write the same bytes again.
    this.#used = 0;
    writeOutput(this.#buffer, length);
  }

  #reserve(bytes: number): void {
    if (this.#used + bytes > BUFFER_BYTES) this.flush();
  }

  /** A piece may end within a surrogate pair, which is then lost; nothing that is this long has one. */
  #longText(text: string): void {
    for (let at = 0; at < text.length; at += PIECE_UNITS) this.text(text.slice(at, at + PIECE_UNITS));
  }
}
