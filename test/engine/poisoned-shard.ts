/**
 * A shard that judges packets one by one and dies at each whose COOKIE is POISON, with the lock of a region in its hands
 * and a connection of it damaged: stands in for workers/shard.ts in recovery.test.ts.
 */
import type { ShardTask } from '../../src/engine/engine.js';
import { attachMemory, CONTROL } from '../../src/engine/memory.js';
import { PACKET, PACKET_WORDS } from '../../src/engine/packet.js';
import { parkIfAsked, WISH } from '../../src/engine/park.js';
import { processPackets } from '../../src/engine/process.js';
import { attachReassembly } from '../../src/engine/reassembly.js';
import { attachRing, PARKED, processed, produced, publishProcessed, waitForProduced } from '../../src/engine/ring.js';
import { createTracker } from '../../src/engine/tracker.js';
import { lockRegion } from '../../src/sharedarraybuffer-hashmap/index.js';

export const POISON = 0x0dead;
const WAIT_MS = 50;

export default function runPoisonedShard(task: ShardTask): void {
  const memory = attachMemory(task.memory);
  const { control, map } = memory;
  const ring = attachRing(task.ring);
  const tracker = createTracker(memory, task.owner, attachReassembly(task.fragments));
  Atomics.add(control, CONTROL.READY, 1);
  for (let done = processed(ring); ; ) {
    parkIfAsked(control, ring.control, PARKED);
    if (produced(ring) === done) {
      if (Atomics.load(control, CONTROL.STOP) === WISH.STOP) return;
      waitForProduced(ring, done, WAIT_MS);
      continue;
    }
    const slot = done & (ring.capacity - 1);
    if (ring.packets[slot * PACKET_WORDS + PACKET.COOKIE] === POISON) {
      for (let region = 0; region < map.regions; region++) {
        if (!lockRegion(map, region, task.owner)) continue;
        map.words.fill(-1, map.bucketsAt, map.bucketsAt + 64);
        throw new Error('poisoned');
      }
    }
    processPackets(tracker, ring, slot, 1);
    done = (done + 1) | 0;
    publishProcessed(ring, done);
  }
}
