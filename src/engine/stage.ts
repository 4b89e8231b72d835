/**
 * Fragments of a datagram that is whole, on their way through the rules behind the ct() that held them: one at a time, in
 * memory of its own. Rules may hold them again and make another datagram whole, so stages stand on one another.
 *
 * Imports departure, packet, reassembly, release, tracker, fragment/, ../reason. Imported by pipeline.ts.
 */
import { familyOf, NONE } from '../fragment/layout.js';
import { REASON } from '../reason.js';
import type { WasmMemory } from '../wire/wasm.js';
import { Departure } from './departure.js';
import { PACKET } from './packet.js';
import { allocatePackets, type EnginePackets } from './packet-memory.js';
import { MAX_HELD_FRAME, type Reassembly } from './reassembly.js';
import { keepReleased, takeCompleted } from './release.js';
import type { Tracker } from './tracker.js';

const { ACTION, REASON: P_REASON, OUTPUTS } = PACKET;

/** Datagrams that may become whole while another one's fragments run: more than rules in their right mind ask for. */
export const MAX_STAGES = 16;

/** Whose turn it was before: the packet that made the datagram whole. */
export interface Outer {
  readonly memory: EnginePackets;
  readonly departure: Departure;
  /** FLOW_OUTCOME so far. */
  readonly outcome: number;
}

export class Stage {
  readonly memory: EnginePackets;
  readonly departure = new Departure(MAX_HELD_FRAME);
  #outer: Outer | undefined;
  #next: number = NONE;
  #isRunning = false;
  /** FAMILY_IPV6 or 0. */
  #family = 0;

  /** @param wasm the engine's memory */
  constructor(wasm: WasmMemory) {
    this.memory = allocatePackets(wasm, 1, MAX_HELD_FRAME);
  }

  /** Begins with the datagram that was just made whole. */
  begin(reassembly: Reassembly, outer: Outer): void {
    this.#outer = outer;
    this.#next = reassembly.completed;
    this.#family = familyOf(reassembly.store, this.#next);
    reassembly.completed = NONE;
  }

  /**
   * Ends the fragment that has run, if any, and brings on the next one.
   * @param outcome FLOW_OUTCOME of the one that has run
   * @returns undefined when there is a next one, and otherwise whose turn it is again
   */
  advance(tracker: Tracker, reassembly: Reassembly, inPort: number, outcome: number): Outer | undefined {
    const { packets } = this.memory;
    if (this.#isRunning) {
      this.departure.settle(this.memory, 0, inPort, outcome);
      const isHeldAgain = packets[P_REASON] === REASON['fragment-held'] && packets[OUTPUTS] === 0;
      if (!isHeldAgain) keepReleased(tracker, reassembly, this.memory, this.#family);
    }
    this.#isRunning = this.#next !== NONE;
    if (!this.#isRunning) return this.#outer;
    this.#next = takeCompleted(tracker, reassembly, this.#next, this.memory);
    packets[ACTION] = inPort;
    this.departure.reset();
    return undefined;
  }
}
