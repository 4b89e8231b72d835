/**
 * What an engine makes of packets, in a form to compare: every verdict with all its words, and the table as text.
 *
 * Imports src/engine, src/control.
 */
import assert from 'node:assert/strict';
import { dumpConnections } from '../../src/control/dump.js';
import { formatConnection } from '../../src/control/format.js';
import { PacketBatch } from '../../src/engine/batch.js';
import { LocalEngine } from '../../src/engine/local.js';
import type { TableOptions } from '../../src/engine/options.js';
import { PACKET, PACKET_WORDS } from '../../src/engine/packet.js';
import type { ReleasedPackets } from '../../src/engine/released.js';
import type { Tracker } from '../../src/engine/tracker.js';
import { REASON, reasonName } from '../../src/reason.js';
import { formatCtState } from '../../src/track/state.js';
import type { CapturedPacket } from '../support/captures.js';

/** The packets, in batches of `size`. */
export function* batchesOf(packets: readonly CapturedPacket[], size: number, action = 0): Generator<PacketBatch> {
  const batch = new PacketBatch(size, size * 65_536);
  for (let from = 0; from < packets.length; from += size) {
    batch.clear();
    for (const [index, { frame, timeMs }] of packets.slice(from, from + size).entries()) {
      assert.ok(batch.add(frame, timeMs, { action, cookie: from + index }));
    }
    yield batch;
  }
}

/** Writes down what is said of each packet, by its number; what fragments come back with takes the place of the first. */
export function note(
  texts: string[],
  batch: PacketBatch,
  released: ReleasedPackets,
  textOf: (batch: PacketBatch, index: number) => string,
): void {
  const returned = new PacketBatch(64, 64 * 65_536);
  for (let index = 0; index < batch.length; index++) texts[batch.cookie(index)] = textOf(batch, index);
  for (; released.takeInto(returned) > 0; returned.clear()) {
    for (let index = 0; index < returned.length; index++) texts[returned.cookie(index)] = textOf(returned, index);
  }
}

/** A line of `.states`. */
export function stateLine(batch: PacketBatch, index: number): string {
  const isHeld = batch.reason(index) === REASON['fragment-held'];
  return `${batch.cookie(index) + 1}: ${isHeld ? 'held' : formatCtState(batch.state(index))}`;
}

/** State, reason, zone, mark, label and original tuple of a packet; not where its connection lies in the table. */
export function verdictText(batch: PacketBatch, index: number): string {
  const words = batch.packets.subarray(index * PACKET_WORDS, (index + 1) * PACKET_WORDS);
  const protocol = words[PACKET.TUPLE_PROTOCOL];
  const isIpv6 = (protocol & 0x100) !== 0;
  const address = (at: number) => [...words.subarray(isIpv6 ? at : at + 3, at + 4)].join('.');
  const tuple =
    protocol === 0
      ? 'no tuple'
      : `${protocol} ${words[PACKET.TUPLE_PORTS]} ${address(PACKET.TUPLE_SRC)} ${address(PACKET.TUPLE_DST)}`;
  const reason = reasonName(batch.reason(index));
  const state = formatCtState(batch.state(index));
  const has = words[PACKET.CONNECTION] === 0 ? 'no connection' : 'connection';
  return `${state} ${reason} ${batch.zone(index)} ${batch.mark(index)} ${batch.label(index)} ${tuple} ${has}`;
}

export function verdictsOf(batch: PacketBatch): string[] {
  return Array.from({ length: batch.length }, (_, index) => verdictText(batch, index));
}

/** The table as `dpctl/dump-conntrack -m -s` prints it, sorted. */
export function dumpText(tracker: Tracker, nowMs: number): string[] {
  return Array.from(dumpConnections(tracker, nowMs), entry =>
    formatConnection(entry, { more: true, statisticsAtMs: nowMs }),
  ).sort();
}

/** All verdicts and the table afterwards, by an engine without workers. */
export function judgeLocally(
  packets: readonly CapturedPacket[],
  { size = 64, options = {} as TableOptions, action = {} } = {},
): { verdicts: string[]; dump: string[] } {
  const engine = new LocalEngine({ maxConnections: 10_000, ...options });
  engine.defineAction(action);
  const verdicts: string[] = [];
  for (const batch of batchesOf(packets, size)) {
    engine.execute(batch);
    note(verdicts, batch, engine.released, verdictText);
  }
  return { verdicts, dump: dumpText(engine.tracker, packets[packets.length - 1].timeMs) };
}
