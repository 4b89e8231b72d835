/**
 * What the fuzzers make and the witnesses judge: packets with their time, and the ct() actions that they pass.
 *
 * Imports engine/action for the type of an action.
 */
import type { CtAction } from '../../src/engine/action.js';

/** In place of an action's number: ct_clear. */
export const CLEAR = -1;

export interface TrafficPacket {
  readonly frame: Uint8Array;
  /** Whole milliseconds since the start, never less than the packet before has. */
  readonly timeMs: number;
  /** Numbers of the actions that the packet passes, one after the other. */
  readonly passes: readonly number[];
}

/** One case: it begins with an empty table. */
export interface Traffic {
  readonly packets: readonly TrafficPacket[];
  /** TCP sequence numbers are checked. */
  readonly checksSequence: boolean;
  /** Control connections are committed with their helpers, and nothing passes two actions. */
  readonly hasHelpers?: true;
  /** What an action finds invalid passes no more of them. */
  readonly leavesInvalid?: true;
}

/** The actions that cases choose from; the same for a whole campaign. */
export type Actions = readonly CtAction[];

/** ct(commit) in zone 0. */
export const COMMIT_ONLY: Actions = [{ commit: true }];
export const COMMIT_PASS: readonly number[] = [0];

/** The same, and then ct() in zone 0. */
export const COMMIT_AND_LOOK: Actions = [...COMMIT_ONLY, { commit: false }];
export const COMMIT_AND_LOOK_PASSES: readonly number[] = [0, 1];
