/**
 * Connections that come and go: handshake, a request, a response, and both sides close. Nothing is wrong with any of
 * the packets; there are only many of them.
 *
 * Imports generator, random, template, track/tcp. Imported by kinds.
 */
import type { CtAction } from '../engine/action.js';
import { TCP_FLAG } from '../track/tcp.js';
import { type FloodOptions, type Generator, SERVICE, VICTIM } from './generator.js';
import { mix32 } from './random.js';
import { copyTemplate, createTemplate, type Template, writeTcp } from './template.js';

const { SYN, ACK, FIN, PSH } = TCP_FLAG;

/** Connections under way at a time. */
const WINDOW = 256;
/** Clients are 10.64.0.0 and following, and take turns with these ports. */
const CLIENTS = 0x0a400000;
const FIRST_PORT = 1024;
const PORTS_BITS = 14;
/** Clients that there are: connection number 2^34 has the tuple of the first one again. */
const CLIENTS_MASK = 0xfffff;
const REQUEST_BYTES = 100;
/** Unless the size of the frame that carries it is given. */
const RESPONSE_BYTES = 200;

/** A segment of a conversation; sequence numbers count from those of the SYNs. */
interface Step {
  readonly isReply: boolean;
  readonly flags: number;
  readonly payload: number;
  readonly seq: number;
  readonly ack: number;
}

function stepsOf(response: number): readonly Step[] {
  const asked = 1 + REQUEST_BYTES;
  const answered = 1 + response;
  return [
    { isReply: false, flags: SYN, payload: 0, seq: 0, ack: 0 },
    { isReply: true, flags: SYN | ACK, payload: 0, seq: 0, ack: 1 },
    { isReply: false, flags: ACK, payload: 0, seq: 1, ack: 1 },
    { isReply: false, flags: PSH | ACK, payload: REQUEST_BYTES, seq: 1, ack: 1 },
    { isReply: true, flags: PSH | ACK, payload: response, seq: 1, ack: asked },
    { isReply: true, flags: FIN | ACK, payload: 0, seq: answered, ack: asked },
    { isReply: false, flags: FIN | ACK, payload: 0, seq: asked, ack: answered + 1 },
    { isReply: true, flags: ACK, payload: 0, seq: answered + 1, ack: asked + 1 },
  ];
}

export class Churn implements Generator {
  readonly actions: readonly CtAction[] = [{}];
  readonly action = 0;
  readonly #seed: number;
  readonly #steps: readonly Step[];
  readonly #templates: readonly Template[];
  /** Number of each connection under way, and what it does next. */
  readonly #numbers = new Float64Array(WINDOW);
  readonly #done = new Uint8Array(WINDOW);
  #next = WINDOW;
  #place = 0;

  constructor(options: FloodOptions) {
    this.#seed = options.seed;
    const bare = createTemplate({ family: options.family, protocol: 'tcp', payload: 0 }).length;
    const [size = bare + RESPONSE_BYTES] = options.sizes;
    this.#steps = stepsOf(Math.max(0, size - bare));
    this.#templates = this.#steps.map(({ flags, payload }) =>
      createTemplate({ family: options.family, protocol: 'tcp', payload, flags }),
    );
    for (let place = 0; place < WINDOW; place++) this.#numbers[place] = place;
  }

  get length(): number {
    return this.#templates[this.#done[this.#place]].length;
  }

  write(view: DataView, at: number): void {
    const place = this.#place;
    const number = this.#numbers[place];
    const step = this.#done[place];
    const { isReply, seq, ack, flags } = this.#steps[step];
    const template = this.#templates[step];
    const client = (CLIENTS + (Math.floor(number / 2 ** PORTS_BITS) & CLIENTS_MASK)) | 0;
    const port = FIRST_PORT + (number & ((1 << PORTS_BITS) - 1));
    const mine = mix32(this.#seed + number * 2 + (isReply ? 1 : 0));
    const theirs = mix32(this.#seed + number * 2 + (isReply ? 0 : 1));
    copyTemplate(view, at, template);
    const src = isReply ? VICTIM : client;
    const dst = isReply ? client : VICTIM;
    const ports = isReply ? (SERVICE << 16) | port : (port << 16) | SERVICE;
    const acknowledged = (flags & ACK) === 0 ? 0 : (theirs + ack) | 0;
    writeTcp(view, at, template, src, dst, ports, (mine + seq) | 0, acknowledged);
    this.#advance(place, step + 1);
  }

  #advance(place: number, step: number): void {
    if (step < this.#steps.length) {
      this.#done[place] = step;
    } else {
      this.#numbers[place] = this.#next++;
      this.#done[place] = 0;
    }
    this.#place = (place + 1) % WINDOW;
  }
}
