/**
 * The form of a case: rules, packets, and what is special about it.
 *
 * Imports judges.
 */
import type { Step } from './judges.js';

export interface Case {
  readonly title: string;
  readonly flows: string;
  readonly steps: readonly Step[];
  /** The first Open vSwitch that answers as the reference does, and what older ones do instead. */
  readonly since?: { readonly version: number; readonly before: string };
  /** Where the engine means to differ from Open vSwitch, which is then not asked: what it does instead. */
  readonly differs?: string;
  /** The order in which packets leave is compared too; they come one by one. */
  readonly isOrdered?: true;
  /** The packets have wrong checksums on purpose. */
  readonly isSpoiled?: true;
}

/** Frames that come at one time, one after the other. */
export function at(atMs: number, ...frames: readonly Uint8Array[]): Step[] {
  return frames.map(frame => ({ frame, atMs }));
}

/** Frames a millisecond apart. */
export function apart(...frames: readonly (Uint8Array | readonly Uint8Array[])[]): Step[] {
  return frames.flat().map((frame, index) => ({ frame: frame as Uint8Array, atMs: index }));
}

/** All frames at the start. */
export function now(...frames: readonly (Uint8Array | readonly Uint8Array[])[]): Step[] {
  return frames.flat().map(frame => ({ frame: frame as Uint8Array, atMs: 0 }));
}
