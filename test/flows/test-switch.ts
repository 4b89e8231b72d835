/**
 * A switch for tests: a frame memory, one packet row, and a tracker that does what the test says. What happens to a
 * packet is recorded as lines, in order.
 *
 * Imports support/frames.
 */
import { PACKET, PACKET_WORDS } from '../../src/engine/packet.js';
import {
  CT_OUTCOME,
  CT_PARAMETER,
  type CtSpec,
  FLOW_REASONS,
  type FlowContext,
  type FlowMachine,
  type FlowTextOptions,
  loadFlows,
  parseFlows,
  runFlows,
} from '../../src/flows/index.js';
import { FAMILY_IPV6 } from '../../src/wire/facts.js';

/** What a test wants ct() to find. */
export interface Verdict {
  readonly state?: number;
  readonly mark?: number;
  readonly label?: bigint;
  /** The original tuple; ports as numbers, addresses as words, least significant last. */
  readonly tuple?: { readonly protocol: number; readonly isIpv6?: boolean; readonly ports?: readonly [number, number] };
  /** Rewrites the frame. */
  readonly rewrite?: (frame: Uint8Array) => unknown;
  /** The packet waits or is gone. */
  readonly holds?: boolean;
  /** So many fragments, itself among them, go on in its place. */
  readonly completes?: number;
}

export type Tracker = (spec: CtSpec, calls: number) => Verdict;

const MEMORY_BYTES = 4096;
/** Somewhere in the memory, so that a forgotten offset shows. */
const FRAME_AT = 100;
/** The row that is used; the one in front must stay as it is. */
const ROW = PACKET_WORDS;

export class TestSwitch implements FlowContext {
  readonly frames = new DataView(new SharedArrayBuffer(MEMORY_BYTES));
  readonly packets = new Int32Array(3 * PACKET_WORDS);
  readonly specs: CtSpec[] = [];
  /** `ct N zone=…`, `clear`, `out PORT`, with the bytes that left in `left`. */
  readonly events: string[] = [];
  readonly left: Uint8Array[] = [];
  readonly parameters: Int32Array[] = [];
  readonly machine: FlowMachine;
  readonly #tracker: Tracker;
  #completed = 0;
  #left = 0;

  constructor(rules: string, tracker: Tracker = () => ({}), options: FlowTextOptions = {}) {
    this.#tracker = tracker;
    this.machine = loadFlows(parseFlows(rules, options), this);
  }

  /** Runs a frame and gives what happened to it; the outcome is the last event unless it is `none`. */
  run(frame: Uint8Array, inPort = 1): readonly string[] {
    this.start(frame);
    return this.again(inPort);
  }

  /** Puts a frame into the memory and makes its row that of a packet from a port. */
  start(frame: Uint8Array): void {
    this.#bytes().fill(0xee);
    this.#bytes().set(frame, FRAME_AT);
    this.packets.fill(0);
    this.packets[ROW + PACKET.FRAME_OFFSET] = FRAME_AT;
    this.packets[ROW + PACKET.FRAME_LENGTH] = frame.length;
  }

  /** Runs what is in the row. */
  again(inPort = 1): readonly string[] {
    this.events.length = 0;
    this.left.length = 0;
    this.parameters.length = 0;
    const outcome = runFlows(this.machine, ROW, inPort);
    if (outcome !== 0) this.events.push(FLOW_REASONS[outcome]);
    return this.events;
  }

  word(field: keyof typeof PACKET): number {
    return this.packets[ROW + PACKET[field]];
  }

  set(field: keyof typeof PACKET, value: number): void {
    this.packets[ROW + PACKET[field]] = value;
  }

  /** The frame as it is now. */
  frame(): Uint8Array {
    const from = this.word('FRAME_OFFSET');
    return this.#bytes().slice(from, from + this.word('FRAME_LENGTH'));
  }

  defineAction(spec: CtSpec): number {
    return this.specs.push(spec) + 99;
  }

  ct(packet: number, action: number, parameters: Int32Array): number {
    const number = action - 100;
    const calls = this.parameters.push(Int32Array.from(parameters));
    this.events.push(`ct ${number} zone=${parameters[CT_PARAMETER.ZONE]}`);
    const {
      state = 0x21,
      mark = 0,
      label = 0n,
      tuple,
      rewrite,
      holds = false,
      completes = 0,
    } = this.#tracker(this.specs[number], calls);
    this.packets[packet + PACKET.STATE] = state;
    this.packets[packet + PACKET.ZONE] = parameters[CT_PARAMETER.ZONE];
    this.packets[packet + PACKET.MARK] = mark;
    for (let word = 0; word < 4; word++) {
      this.packets[packet + PACKET.LABEL + word] = Number((label >> BigInt(32 * word)) & 0xffffffffn);
    }
    this.packets[packet + PACKET.TUPLE_PROTOCOL] =
      tuple === undefined ? 0 : tuple.protocol | (tuple.isIpv6 ? FAMILY_IPV6 : 0);
    const [source, destination] = tuple?.ports ?? [0, 0];
    this.packets[packet + PACKET.TUPLE_PORTS] = (source << 16) | destination;
    for (let word = 0; word < 8; word++) this.packets[packet + PACKET.TUPLE_SRC + word] = 0x0a000000 + word;
    rewrite?.(this.#bytes().subarray(FRAME_AT, FRAME_AT + this.word('FRAME_LENGTH')));
    this.#completed = completes;
    if (completes > 0) return CT_OUTCOME.COMPLETED;
    return holds ? CT_OUTCOME.GONE : CT_OUTCOME.GOES_ON;
  }

  beginCompleted(): void {
    this.#left = this.#completed;
  }

  nextCompleted(): number {
    return this.#left-- > 0 ? ROW : -1;
  }

  ctClear(packet: number): void {
    this.events.push('clear');
    this.packets.fill(0, packet + PACKET.STATE, packet + PACKET.CONNECTION + 1);
  }

  output(packet: number, port: number): void {
    this.events.push(`out ${port}`);
    const from = this.packets[packet + PACKET.FRAME_OFFSET];
    this.left.push(this.#bytes().slice(from, from + this.packets[packet + PACKET.FRAME_LENGTH]));
  }

  #bytes(): Uint8Array {
    return new Uint8Array(this.frames.buffer);
  }
}
