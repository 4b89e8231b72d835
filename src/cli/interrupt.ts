/**
 * Signals that ask a command to end: it does, with its report.
 *
 * Imports exit. Imported by replay and flood.
 */
import { EXIT } from './exit.js';

const EXIT_CODES = { SIGINT: EXIT.INTERRUPTED, SIGTERM: EXIT.TERMINATED } as const;
type EndSignal = keyof typeof EXIT_CODES;
const SIGNALS = Object.keys(EXIT_CODES) as readonly EndSignal[];

export class Interrupt {
  /** What the command exits with: by the signal, once there was one. */
  exitCode: number = EXIT.OK;
  readonly #heed: (signal: EndSignal) => void;

  /** Listens from now on. @param onSignal called at the first signal */
  constructor(onSignal: () => void = () => undefined) {
    this.#heed = signal => {
      // Once: whoever asks again does not want to wait for the report.
      this.end();
      this.exitCode = EXIT_CODES[signal];
      onSignal();
    };
    for (const signal of SIGNALS) process.on(signal, this.#heed);
  }

  get isThere(): boolean {
    return this.exitCode !== EXIT.OK;
  }

  /** Signals end the program again. */
  end(): void {
    for (const signal of SIGNALS) process.off(signal, this.#heed);
  }
}
