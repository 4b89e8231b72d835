/**
 * Who judges traffic: Open vSwitch in one way or another, or the engine.
 *
 * Imports traffic, verdicts.
 */
import type { Traffic } from './traffic.js';
import type { Verdicts } from './verdicts.js';

export interface Witness {
  /** Name and version. */
  readonly name: string;
  /** Judges a case, beginning with an empty table. */
  judge(traffic: Traffic): Promise<Verdicts>;
  close(): Promise<void>;
}
