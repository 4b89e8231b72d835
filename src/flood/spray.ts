/**
 * Floods of packets that have nothing to do with one another: each has ends of its own.
 *
 * Imports generator, template, track/tcp. Imported by kinds.
 */
import type { CtAction } from '../engine/action.js';
import { TCP_FLAG } from '../track/tcp.js';
import { Ends, type FloodOptions, type Generator } from './generator.js';
import {
  copyTemplate,
  createTemplate,
  type Template,
  type TemplateOptions,
  writeEcho,
  writeError,
  writeFragment,
  writeTcp,
  writeUdp,
} from './template.js';

const { SYN, ACK, RST } = TCP_FLAG;

/** What a packet is made as. */
const SHAPE = { UDP: 0, TCP: 1, ECHO: 2, ERROR: 3, FRAGMENT: 4 } as const;
type Shape = (typeof SHAPE)[keyof typeof SHAPE];

export interface SprayKind {
  readonly shape: Shape;
  readonly protocol: TemplateOptions['protocol'];
  readonly flags?: number;
  readonly options?: readonly number[];
}

/** Maximum segment size 1460, as nearly every SYN has one. */
const MSS = [2, 4, 0x05, 0xb4];

export const SPRAY = {
  syn: { shape: SHAPE.TCP, protocol: 'tcp', flags: SYN, options: MSS },
  synack: { shape: SHAPE.TCP, protocol: 'tcp', flags: SYN | ACK, options: MSS },
  ack: { shape: SHAPE.TCP, protocol: 'tcp', flags: ACK },
  rst: { shape: SHAPE.TCP, protocol: 'tcp', flags: RST },
  udp: { shape: SHAPE.UDP, protocol: 'udp' },
  icmp: { shape: SHAPE.ECHO, protocol: 'echo' },
  icmpError: { shape: SHAPE.ERROR, protocol: 'error' },
  frag: { shape: SHAPE.FRAGMENT, protocol: 'udp' },
} as const satisfies Readonly<Record<string, SprayKind>>;

/**
 * Fragments carry a multiple of eight bytes (RFC 791); with the UDP header this is one. Open vSwitch, and whoever follows
 * it, refuses what is smaller than 1200 bytes over IPv4 and 1280 over IPv6.
 */
const FRAGMENT_PAYLOAD = 1272;
const UDP_BYTES = 8;
/** Of the fragments every second is a first one; the offsets of the others are below this, in units of eight bytes. */
const MOST_OFFSET = 180;

/** Templates of the sizes that are wanted. An error has the size of what it quotes. */
function templatesOf(kind: SprayKind, options: FloodOptions): Template[] {
  const { shape, ...rest } = kind;
  const isFragment = shape === SHAPE.FRAGMENT;
  const made = (payload: number) => createTemplate({ ...rest, family: options.family, payload, isFragment });
  if (shape === SHAPE.ERROR || options.sizes.length === 0) return [made(isFragment ? FRAGMENT_PAYLOAD : 0)];
  const least = made(0);
  return options.sizes.map(size => {
    if (size <= least.length) return least;
    const payload = size - least.length;
    return made(isFragment ? payload - ((payload + UDP_BYTES) % 8) : payload);
  });
}

const COMMIT: readonly CtAction[] = [{}];

export class Spray implements Generator {
  readonly actions: readonly CtAction[];
  action = 0;
  length = 0;
  readonly #shape: Shape;
  readonly #acknowledges: boolean;
  readonly #templates: readonly Template[];
  readonly #ends: Ends;
  #template: Template;

  constructor(kind: SprayKind, options: FloodOptions, actions: readonly CtAction[] = COMMIT) {
    this.actions = actions;
    this.#shape = kind.shape;
    this.#acknowledges = ((kind.flags ?? 0) & ACK) !== 0;
    this.#templates = templatesOf(kind, options);
    this.#template = this.#templates[0];
    this.#ends = new Ends(options);
    this.#choose();
  }

  write(view: DataView, at: number): void {
    const ends = this.#ends;
    const template = this.#template;
    const { random } = ends;
    ends.draw();
    const { src, dst, ports } = ends;
    copyTemplate(view, at, template);
    if (this.#shape === SHAPE.TCP) {
      writeTcp(view, at, template, src, dst, ports, random.u32() | 0, this.#acknowledges ? random.u32() | 0 : 0);
    } else if (this.#shape === SHAPE.UDP) {
      writeUdp(view, at, template, src, dst, ports);
    } else if (this.#shape === SHAPE.ECHO) {
      writeEcho(view, at, template, src, dst, random.u32() | 0);
    } else if (this.#shape === SHAPE.ERROR) {
      writeError(view, at, template, src, dst, random.u32() | 0, (ports << 16) | (ports >>> 16));
    } else {
      const bits = random.u32();
      const offset = (bits & 1) === 0 ? 0 : 1 + random.below(MOST_OFFSET);
      writeFragment(view, at, template, src, dst, ports, bits >>> 8, offset);
    }
    this.#choose();
  }

  /** Decides what there is to know of the next packet before it is written. */
  #choose(): void {
    const { random } = this.#ends;
    if (this.#templates.length > 1) this.#template = this.#templates[random.below(this.#templates.length)];
    if (this.actions.length > 1) this.action = random.below(this.actions.length);
    this.length = this.#template.length;
  }
}
