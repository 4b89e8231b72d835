/**
 * A shard that reports for duty and throws at its first packet: stands in for workers/shard.ts in failure.test.ts.
 */
import type { ShardTask } from '../../src/engine/engine.js';
import { attachMemory, CONTROL } from '../../src/engine/memory.js';
import { attachRing, processed, produced, waitForProduced } from '../../src/engine/ring.js';

export default function failLater(task: ShardTask): void {
  const { control } = attachMemory(task.memory);
  const ring = attachRing(task.ring);
  Atomics.add(control, CONTROL.READY, 1);
  while (produced(ring) === processed(ring)) {
    if (Atomics.load(control, CONTROL.STOP) === 1) return;
    waitForProduced(ring, processed(ring), 50);
  }
  throw new RangeError('out of luck');
}
