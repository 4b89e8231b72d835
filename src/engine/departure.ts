/**
 * A packet under flow rules as it left last: its row from ct_state on, its frame, and by which port.
 *
 * Rules may go on with a packet that has left, and change it. In the end its row and frame are to be those it left with.
 *
 * Imports packet, packet-memory, ../reason, flows/. Imported by pipeline.ts.
 */
import { FLOW_OUTCOME } from '../flows/index.js';
import { REASON } from '../reason.js';
import { FRAME_TAIL, PACKET } from './packet.js';
import type { PacketMemory } from './packet-memory.js';

const { ACTION, STATE, REASON: P_REASON, FRAME_OFFSET, FRAME_LENGTH, FRAME_ROOM, OUTPUTS, OUTPUT } = PACKET;
/** Words of a row from ct_state on: what ct_clear resets, and what is told of a packet as it left. */
export const TRACKING_WORDS = OUTPUTS - STATE;

export class Departure {
  readonly #words = new Int32Array(TRACKING_WORDS);
  readonly #frame: Uint8Array;
  #length = 0;
  #outputs = 0;
  #port = 0;

  /** @param frameBytes length of the longest frame, which may become longer under the rules */
  constructor(frameBytes: number) {
    this.#frame = new Uint8Array(frameBytes + FRAME_TAIL);
  }

  /** Another packet begins. */
  reset(): void {
    this.#outputs = 0;
    this.#port = 0;
  }

  /** The packet leaves. */
  note({ packets, bytes }: PacketMemory, packet: number, port: number): void {
    this.#outputs++;
    this.#port = port;
    for (let word = 0; word < TRACKING_WORDS; word++) this.#words[word] = packets[packet + STATE + word];
    const from = packets[packet + FRAME_OFFSET];
    this.#length = packets[packet + FRAME_LENGTH];
    for (let byte = 0; byte < this.#length; byte++) this.#frame[byte] = bytes[from + byte];
  }

  /**
   * The rules have ended: writes into the row what became of the packet.
   * @param outcome a FLOW_OUTCOME
   */
  settle({ packets, bytes }: PacketMemory, packet: number, inPort: number, outcome: number): void {
    packets[packet + ACTION] = inPort;
    packets[packet + OUTPUTS] = this.#outputs;
    packets[packet + OUTPUT] = this.#port;
    if (this.#outputs > 0) {
      for (let word = 0; word < TRACKING_WORDS; word++) packets[packet + STATE + word] = this.#words[word];
      const to = packets[packet + FRAME_OFFSET];
      packets[packet + FRAME_ROOM] += packets[packet + FRAME_LENGTH] - this.#length;
      packets[packet + FRAME_LENGTH] = this.#length;
      for (let byte = 0; byte < this.#length; byte++) bytes[to + byte] = this.#frame[byte];
    }
    if (outcome !== FLOW_OUTCOME.NONE) packets[packet + P_REASON] = REASON['flow-limit'];
  }
}
