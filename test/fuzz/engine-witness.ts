/**
 * The engine as a witness, without workers. A fragment has the verdict that it comes back with, and none if it does not.
 *
 * Imports traffic, verdicts, witness, src/reason, src/track/state, src/wire/facts, the public API.
 */
import {
  dumpConnections,
  dumpExpectations,
  flushConnections,
  formatConnection,
  formatExpectation,
  LocalEngine,
  PACKET,
  PACKET_WORDS,
  PacketBatch,
} from '../../src/index.js';
import { REASON } from '../../src/reason.js';
import { CT } from '../../src/track/state.js';
import { FAMILY_IPV6 } from '../../src/wire/facts.js';
import { type Actions, CLEAR, type Traffic, type TrafficPacket } from './traffic.js';
import { VERDICT, VERDICT_WORDS, Verdicts } from './verdicts.js';
import type { Witness } from './witness.js';

const BATCH = 64;
const FRAME_BYTES = 1 << 20;
const MAX_CONNECTIONS = 2048;
/** Between two cases: longer than fragments wait, so that none of the earlier one is left. */
const PAUSE_MS = 16_000;

const ADDRESS_WORDS = 4;

function isOneAction(passes: readonly number[] | undefined): boolean {
  return passes?.length === 1 && passes[0] !== CLEAR;
}

export class EngineWitness implements Witness {
  readonly name = 'flowshard';
  readonly #engine = new LocalEngine({ maxConnections: MAX_CONNECTIONS });
  readonly #batch = new PacketBatch(BATCH, FRAME_BYTES);
  #startMs = 0;
  #nowMs = 0;

  constructor(actions: Actions) {
    for (const action of actions) this.#engine.defineAction(action);
  }

  async judge(traffic: Traffic): Promise<Verdicts> {
    const { packets, checksSequence } = traffic;
    flushConnections(this.#engine.tracker);
    this.#engine.settings.checksSequence = checksSequence;
    const verdicts = new Verdicts(packets.length);
    this.#startMs = this.#nowMs + PAUSE_MS;
    for (let first = 0; first < packets.length; ) first += this.#judgeBatch(traffic, first, verdicts);
    const options = { more: true, statisticsAtMs: this.#nowMs };
    verdicts.dump = Array.from(dumpConnections(this.#engine.tracker, this.#nowMs), entry =>
      formatConnection(entry, options),
    ).sort();
    verdicts.expectations = Array.from(dumpExpectations(this.#engine.tracker, this.#nowMs), formatExpectation).sort();
    return verdicts;
  }

  async close(): Promise<void> {}

  /** Packets that pass one action go together; one that passes several goes alone. @returns how many went */
  #judgeBatch({ packets, leavesInvalid }: Traffic, first: number, verdicts: Verdicts): number {
    const batch = this.#batch;
    batch.clear();
    const { passes } = packets[first];
    do {
      const number = first + batch.length;
      const { frame, timeMs, passes: own } = packets[number];
      this.#nowMs = this.#startMs + timeMs;
      if (!batch.add(frame, this.#nowMs, { action: own[0] ?? 0, cookie: number })) break;
    } while (isOneAction(passes) && isOneAction(packets[first + batch.length]?.passes));
    const { length } = batch;
    if (isOneAction(passes)) this.#engine.execute(batch);
    else this.#pass(passes, leavesInvalid === true);
    this.#readAll(packets, verdicts);
    this.#takeReleased(packets, verdicts);
    return length;
  }

  #takeReleased(packets: readonly TrafficPacket[], verdicts: Verdicts): void {
    const batch = this.#batch;
    for (batch.clear(); this.#engine.released.isMoreToCome; batch.clear()) {
      this.#engine.execute(batch); // of no packets: what had no room before comes now
      this.#engine.released.takeInto(batch);
      this.#readAll(packets, verdicts);
    }
  }

  #readAll(packets: readonly TrafficPacket[], verdicts: Verdicts): void {
    for (let index = 0; index < this.#batch.length; index++) {
      if (this.#batch.reason(index) !== REASON['fragment-held']) this.#read(packets, index, verdicts);
    }
  }

  #pass(passes: readonly number[], leavesInvalid: boolean): void {
    for (const [index, action] of passes.entries()) {
      if (index > 0) this.#goOn();
      if (leavesInvalid && (this.#batch.state(0) & CT.INV) !== 0) return;
      this.#execute(action);
    }
  }

  /** What is held goes no further; when its datagram is whole, all of its fragments go on. */
  #goOn(): void {
    const batch = this.#batch;
    if (batch.reason(0) !== REASON['fragment-held']) return;
    batch.clear();
    this.#engine.released.takeInto(batch);
  }

  #execute(action: number): void {
    const { packets, length } = this.#batch;
    for (let row = 0; row < length * PACKET_WORDS; row += PACKET_WORDS) {
      if (action === CLEAR) packets.fill(0, row + PACKET.STATE, row + PACKET.OUTPUTS);
      else packets[row + PACKET.ACTION] = action;
    }
    if (action !== CLEAR) this.#engine.execute(this.#batch);
  }

  #read(packets: readonly TrafficPacket[], index: number, { words, rewritten }: Verdicts): void {
    const { packets: rows, bytes } = this.#batch;
    const from = index * PACKET_WORDS;
    const number = this.#batch.cookie(index);
    const row = number * VERDICT_WORDS;
    words[row + VERDICT.PRESENT] = 1;
    const start = rows[from + PACKET.FRAME_OFFSET];
    const left = bytes.subarray(start, start + rows[from + PACKET.FRAME_LENGTH]);
    if (Buffer.compare(left, packets[number].frame) !== 0) rewritten.set(number, left.slice());
    words[row + VERDICT.STATE] = rows[from + PACKET.STATE];
    if (rows[from + PACKET.STATE] === 0) return;
    words[row + VERDICT.ZONE] = rows[from + PACKET.ZONE];
    words[row + VERDICT.MARK] = rows[from + PACKET.MARK];
    for (let word = 0; word < 4; word++) words[row + VERDICT.LABEL + word] = rows[from + PACKET.LABEL + word];
    const protocol = rows[from + PACKET.TUPLE_PROTOCOL];
    words[row + VERDICT.PROTOCOL] = protocol;
    if (protocol === 0) return;
    words[row + VERDICT.PORTS] = rows[from + PACKET.TUPLE_PORTS];
    for (let word = (protocol & FAMILY_IPV6) === 0 ? 3 : 0; word < ADDRESS_WORDS; word++) {
      words[row + VERDICT.SRC + word] = rows[from + PACKET.TUPLE_SRC + word];
      words[row + VERDICT.DST + word] = rows[from + PACKET.TUPLE_DST + word];
    }
  }
}
