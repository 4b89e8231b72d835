/**
 * Lines on the terminal that say how far a command is, for as long as it takes.
 *
 * Only where standard error is a terminal, only after a second, and gone at the end. Imports exit, numbers. Imported by
 * replay and flood.
 */
import { isatty } from 'node:tty';
import { writeError } from './exit.js';
import { formatCount, formatShare } from './numbers.js';

const STANDARD_ERROR = 2;
/** What is over before this is not worth a word. */
const SILENT_MS = 1000;
/** Between two lines: fast enough to look alive, slow enough to be read. */
const INTERVAL_MS = 100;
const BAR_COLUMNS = 24;
const DEFAULT_COLUMNS = 80;

export class Progress {
  readonly #isOn: boolean;
  readonly #startedMs = performance.now();
  #drawnMs = this.#startedMs + SILENT_MS - INTERVAL_MS;
  /** Lines that stand on the terminal; the cursor is in the last one. */
  #drawn = 0;

  /** @param wanted false where they would get between others */
  constructor(wanted: boolean) {
    this.#isOn = wanted && isatty(STANDARD_ERROR);
  }

  /**
   * Draws the lines when it is time, in place of those before.
   * @param textOf the lines, without other control characters, after so many milliseconds
   */
  draw(textOf: (elapsedMs: number) => string): void {
    if (!this.#isOn) return;
    const nowMs = performance.now();
    if (nowMs - this.#drawnMs < INTERVAL_MS) return;
    this.#drawnMs = nowMs;
    const columns = process.stderr.columns || DEFAULT_COLUMNS;
    const lines = textOf(nowMs - this.#startedMs)
      .split('\n')
      .map(line => line.slice(0, columns - 1));
    writeError(`${this.#toStart()}${lines.join('\n')}`);
    this.#drawn = lines.length;
  }

  /** Takes the lines away. */
  erase(): void {
    if (this.#drawn > 0) writeError(this.#toStart());
    this.#drawn = 0;
  }

  /** What brings the cursor back to the start of the first line, and erases all from there on. */
  #toStart(): string {
    return `\r${this.#drawn > 1 ? `\x1b[${this.#drawn - 1}A` : ''}\x1b[J`;
  }
}

/** The line of a replay. @param totalBytes undefined for a stream. @param speed packets per second */
export function progressLine(
  bytesRead: number,
  totalBytes: number | undefined,
  packets: number,
  speed: number,
): string {
  const counts = `${formatCount(packets)} packets  ${formatCount(speed)}/s`;
  if (totalBytes === undefined || totalBytes === 0) return `${formatBytes(bytesRead)}  ${counts}`;
  // A file may grow while it is read.
  const read = Math.min(bytesRead, totalBytes);
  const filled = Math.floor((BAR_COLUMNS * read) / totalBytes);
  const bar = `${'#'.repeat(filled)}${'.'.repeat(BAR_COLUMNS - filled)}`;
  const share = formatShare(read, totalBytes).padStart(7);
  return `[${bar}] ${share}  ${formatBytes(read)} of ${formatBytes(totalBytes)}  ${counts}`;
}

/** Bytes for people, in powers of 1000: `12.3 MB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}
