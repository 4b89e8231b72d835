/**
 * Engines full of connections of all kinds, for tests of filters and flushes.
 *
 * Imports src/, support/frames, support/random.
 */
import assert from 'node:assert/strict';
import type { CtAction } from '../../src/engine/action.js';
import { PacketBatch } from '../../src/engine/batch.js';
import { LocalEngine } from '../../src/engine/local.js';
import type { Random } from '../support/random.js';
import { KIND_COUNT, randomFrame } from './kinds.js';

/** Zones, marks, labels and NAT in some mixture. NAT to another family than the packet's leaves it uncommitted. */
export const ACTIONS: readonly CtAction[] = [
  {},
  { zone: 5 },
  { zone: 7, mark: { value: 0x12 } },
  { mark: { value: 0x8000_0012 } },
  { label: { value: 0x0123456789abcdef_fedcba9876543210n } },
  { zone: 5, label: { value: 1n }, mark: { value: 3 } },
  { zone: 5, nat: { kind: 'src', minAddress: '192.0.2.1', minPort: 1024, maxPort: 65_535 } },
  { nat: { kind: 'src', minAddress: '2001:db8::1', minPort: 1024, maxPort: 65_535 } },
  { nat: { kind: 'dst', minAddress: '198.51.100.1', minPort: 8080 } },
];

/** An engine that has seen `packets` random packets, and so has some hundred connections in it. */
export function populate(random: Random, packets: number): LocalEngine {
  const engine = new LocalEngine({ maxConnections: 4096, seed: random.u32() });
  for (const action of ACTIONS) engine.defineAction(action);
  const batch = new PacketBatch(64);
  for (let done = 0; done < packets; done++) {
    const isAdded = batch.add(randomFrame(random, random.below(KIND_COUNT)), done, {
      action: random.below(ACTIONS.length),
    });
    assert.ok(isAdded);
    if (batch.length < batch.capacity && done < packets - 1) continue;
    engine.execute(batch);
    batch.clear();
  }
  return engine;
}
