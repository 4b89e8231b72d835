/**
 * The time that a replay gives to its packets.
 *
 * Imports nothing. Imported by feed and replay.
 */
export const CLOCKS = ['capture', 'wall', 'frozen'] as const;
export type ClockKind = (typeof CLOCKS)[number];

/**
 * A double holds today's times to a quarter of a microsecond. The difference of two of them may fall short of the whole
 * millisecond that it is by about as much; adding this first makes it whole again, and moves no other time that a
 * capture in microseconds can tell from it.
 */
const ROUNDING_MS = 0.0004;

/** Never goes backwards: a packet from before the latest gets the time of the latest. */
export class CaptureClock {
  readonly kind: ClockKind;
  /** Time of the latest packet in whole milliseconds: since the first packet, or since 1970 by the wall clock. */
  nowMs = 0;
  #firstMs = Number.NaN;

  constructor(kind: ClockKind) {
    this.kind = kind;
  }

  /** Moves on to a packet captured at `captureMs`, milliseconds since 1970 with a fraction. */
  advance(captureMs: number): void {
    if (this.kind === 'frozen') return;
    if (this.kind === 'wall') {
      this.nowMs = Math.max(this.nowMs, Date.now());
      return;
    }
    if (Number.isNaN(this.#firstMs)) this.#firstMs = captureMs;
    const passed = Math.floor(captureMs - this.#firstMs + ROUNDING_MS);
    if (passed > this.nowMs) this.nowMs = passed;
  }
}
