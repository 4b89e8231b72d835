/**
 * Feeding fragments to an engine on this thread, and reading what becomes of them.
 *
 * Imports src/index.
 */

import type { CtAction } from '../../src/engine/action.js';
import type { PacketHints } from '../../src/engine/batch.js';
import type { TableOptions } from '../../src/engine/options.js';
import { formatCtState, LocalEngine, PACKET, PACKET_WORDS, PacketBatch, reasonName } from '../../src/index.js';

/** The answer to a fragment that waits. */
export const HELD = '0 fragment-held';

export interface Released {
  readonly state: string;
  readonly reason: string;
  readonly zone: number;
  readonly mark: number;
  readonly label: bigint;
  readonly cookie: number;
  readonly frame: Buffer;
}

export function opened(options: TableOptions = {}, action: CtAction = {}): LocalEngine {
  const engine = new LocalEngine({ maxConnections: 10_000, seed: 1, ...options });
  if (options.flows === undefined) engine.defineAction(action);
  return engine;
}

/** What has come back so far. */
export function taken(engine: LocalEngine): Released[] {
  const batch = new PacketBatch(64, 1 << 20);
  const packets: Released[] = [];
  while (engine.released.takeInto(batch) > 0) {
    for (let index = 0; index < batch.length; index++) {
      const start = batch.packets[index * 32 + PACKET.FRAME_OFFSET];
      const end = start + batch.packets[index * 32 + PACKET.FRAME_LENGTH];
      packets.push({
        state: formatCtState(batch.state(index)),
        reason: reasonName(batch.reason(index)),
        zone: batch.zone(index),
        mark: batch.mark(index),
        label: batch.label(index),
        cookie: batch.cookie(index),
        frame: Buffer.from(batch.bytes.subarray(start, end)),
      });
    }
    batch.clear();
  }
  return packets;
}

export interface Feeding {
  /** State and reason of each frame's own row. */
  readonly answers: string[];
  readonly released: Released[];
}

/** Adds a frame whose time is written into its row by hand, as a driver does: add() takes none that is no number. */
function addAt(batch: PacketBatch, bytes: Uint8Array, atMs: number, hints: PacketHints = {}): void {
  const row = batch.length * PACKET_WORDS;
  batch.add(bytes, 0, hints);
  batch.times[(row + PACKET.TIME) >>> 1] = atMs;
}

/** Judges frames in batches of `size`, at one time; their cookies count from 0. */
export function feed(
  engine: LocalEngine,
  frames: readonly Uint8Array[],
  { size = 1, atMs = 1000, action = 0, known = 0 } = {},
): Feeding {
  const batch = new PacketBatch(size, size * 70_000);
  const answers: string[] = [];
  const released: Released[] = [];
  for (let from = 0; from < frames.length; from += size) {
    batch.clear();
    for (const [index, bytes] of frames.slice(from, from + size).entries()) {
      addAt(batch, bytes, atMs, { action, known, cookie: from + index });
    }
    engine.execute(batch);
    for (let index = 0; index < batch.length; index++) {
      answers.push(`${formatCtState(batch.state(index))} ${reasonName(batch.reason(index))}`);
    }
    released.push(...taken(engine));
  }
  return { answers, released };
}

/** Judges one frame and takes nothing that has come back. */
export function feedOnly(engine: LocalEngine, bytes: Uint8Array, atMs: number): void {
  const batch = new PacketBatch(1, bytes.length);
  addAt(batch, bytes, atMs);
  engine.execute(batch);
}
