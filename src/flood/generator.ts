/**
 * What makes the packets of a flood: the shape that all generators have, and what they are told.
 *
 * Imports random, spread, template, engine/action. Imported by the other files of flood/.
 */
import type { CtAction } from '../engine/action.js';
import { Random } from './random.js';
import { Spread, type SpreadKind } from './spread.js';
import type { Family } from './template.js';

/** Writes one frame after the other straight to where it is wanted. The same seed gives the same frames. */
export interface Generator {
  /** The ct() actions that its packets name by their place in the list. */
  readonly actions: readonly CtAction[];
  /** Bytes of the frame that write() will write, and its place in `actions`. */
  readonly length: number;
  readonly action: number;
  /** Writes the frame at byte `at`; the next one is another. */
  write(view: DataView, at: number): void;
}

export interface FloodOptions {
  readonly seed: number;
  readonly family: Family;
  readonly sources: SpreadKind;
  readonly destinations: SpreadKind;
  /** Of the destination ports. Source ports are uniform. */
  readonly ports: SpreadKind;
  /**
   * Bytes of the frames, each as likely, more where the headers need it; of `churn` those of its responses. Empty: as
   * small as can be.
   */
  readonly sizes: readonly number[];
  /** Zones of `zones`. */
  readonly zones: number;
  /**
   * Where a UDP packet with these ends begins to look in the table of the engine under flood: what somebody who watches
   * timing learns in the end, about packets that were sent. Undefined without an engine.
   */
  readonly homeOf: ((src: number, dst: number, ports: number) => number) | undefined;
}

/** The one that is flooded, and its service. 192.168.0.1, port 80. */
export const VICTIM = 0xc0a80001 | 0;
const SERVICE = 80;
/** Where sources begin unless they are anywhere: 10.128.0.0. */
const SOURCES = 0x0a800000;

/** The ends of the packets of a flood, drawn one after the other. */
export class Ends {
  readonly random: Random;
  readonly #sources: Spread;
  readonly #destinations: Spread;
  readonly #sourcePorts = Spread.ofPorts('uniform', 1);
  readonly #ports: Spread;
  src = 0;
  dst = 0;
  /** Source port << 16 | destination port. */
  ports = 0;

  constructor(options: FloodOptions) {
    this.random = new Random(options.seed);
    this.#sources = Spread.ofAddresses(options.sources, SOURCES);
    this.#destinations = Spread.ofAddresses(options.destinations, VICTIM);
    this.#ports = Spread.ofPorts(options.ports, SERVICE);
  }

  draw(): void {
    const { random } = this;
    this.src = this.#sources.next(random);
    this.dst = this.#destinations.next(random);
    this.ports = (this.#sourcePorts.next(random) << 16) | this.#ports.next(random);
  }
}
