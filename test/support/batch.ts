/**
 * Judging a batch on a tracker of the test's own.
 */
import assert from 'node:assert/strict';
import type { PacketBatch } from '../../src/engine/batch.js';
import { processPackets } from '../../src/engine/process.js';
import type { Tracker } from '../../src/engine/tracker.js';

/** Judges packets of a batch that was made in the memory of the tracker's engine. */
export function judgeBatch(tracker: Tracker, batch: PacketBatch, first = 0, count = batch.length): void {
  assert.ok(batch.inEngine);
  processPackets(tracker, batch.inEngine, first, count);
}
