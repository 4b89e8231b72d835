/**
 * Updates in one number of connections, with one thing changed at a time: the size of the batch, the popularity of
 * connections, the share of packets that open one, the translation of addresses, the checksum of long segments.
 *
 * Imports chunk, machine, result, statistics, traffic, whole, track/, wire/. Imported by run.
 */
import type { CtAction } from '../src/engine/action.js';
import { CT } from '../src/track/state.js';
import { KNOWN } from '../src/wire/known.js';
import { STATE } from './chunk.js';
import { collectGarbage } from './machine.js';
import { type Measured, timesOf } from './result.js';
import { figureOf } from './statistics.js';
import { createTraffic, type Mix, SEGMENT_BYTES, type TrafficOptions } from './traffic.js';
import { checkCount, create, openEngine, settle, update } from './whole.js';

export interface SliceOptions {
  readonly connections: number;
  readonly batch: number;
  readonly seed: number;
  readonly rounds: number;
  /** Packets of a round. */
  readonly packets: number;
}

const DECLARED = KNOWN.L4_CHECKSUM_GOOD;
const PLAIN = { shards: 1, checksums: 'l4-declared', hints: 'none' } as const;

/** 65,536 addresses: a connection finds a free port at the first look. */
const SNAT: CtAction = { nat: { kind: 'src', minAddress: '10.200.0.0', maxAddress: '10.200.255.255' } };

/** Rounds of update in a table of its own. */
function measureUpdates(
  mix: Mix,
  options: SliceOptions,
  special: Partial<TrafficOptions>,
  action: CtAction = {},
): ReturnType<typeof timesOf> {
  const { connections, batch, seed, rounds, packets } = options;
  collectGarbage();
  const room = special.newShare === undefined ? 0 : (rounds + 2) * packets;
  const engine = openEngine(mix, connections + room, seed, action);
  const traffic = createTraffic({ wasm: engine.memory.wasm, mix, connections, seed, known: DECLARED, ...special });
  create(engine, traffic, connections, batch);
  settle(engine, traffic, connections, batch);
  const times: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const ns = update(engine, traffic, packets, batch);
    // The first round finds the caches as creating left them.
    if (round > 0) times.push(ns);
  }
  checkCount(engine, connections + traffic.opened);
  return timesOf(figureOf(times));
}

/** Updates of udp4 in batches of each size. */
export function measureBatches(
  options: Omit<SliceOptions, 'batch'>,
  batches: readonly number[],
  report: (result: Measured) => void,
): void {
  const { connections } = options;
  for (const batch of batches) {
    const times = measureUpdates('udp4', { ...options, batch }, {});
    report({ work: 'update', mix: 'udp4', connections, batch, ...PLAIN, ...times });
  }
}

const NEW_SHARES: readonly number[] = [0.1, 0.5, 1];

/** Everything else that can be changed. */
export function measureVariants(options: SliceOptions, report: (result: Measured) => void): void {
  const { connections, batch } = options;
  const common = { work: 'update', mix: 'udp4', connections, batch, ...PLAIN } as const;
  const popularity = 'zipf';
  report({ ...common, popularity, ...measureUpdates('udp4', options, { popularity }) });
  for (const newShare of NEW_SHARES) {
    report({ ...common, newShare, ...measureUpdates('udp4', options, { newShare }) });
  }
  const translated = { state: STATE.NEW | CT.SNAT };
  report({ ...common, nat: 'snat', ...measureUpdates('udp4', options, translated, SNAT) });
  const times = measureUpdates('tcp4', options, { known: 0 });
  const { nsPerPacket } = times;
  const gigabytesPerSecond = nsPerPacket === null ? 0 : SEGMENT_BYTES / nsPerPacket;
  report({ ...common, mix: 'tcp4', checksums: 'verified', ...times, gigabytesPerSecond });
}
