/**
 * Connections that come and go: handshake, a request, a response, and both sides close. Nothing is wrong with any of
 * the packets; there are only many of them.
 *
 * Each connection draws its ends and the size of its response anew. Source ports take turns instead, so that no two
 * connections under way have the same tuple, whatever the spreads.
 *
 * Imports generator, random, template, track/tcp. Imported by kinds.
 */
import type { CtAction } from '../engine/action.js';
import { TCP_FLAG } from '../track/tcp.js';
import { Ends, type FloodOptions, type Generator } from './generator.js';
import { mix32 } from './random.js';
import { copyTemplate, createTemplate, type Template, writeTcp } from './template.js';

const { SYN, ACK, FIN, PSH } = TCP_FLAG;

/** Connections under way at a time. */
const WINDOW = 256;
/** Source ports that there are, from the first one on. */
const FIRST_PORT = 1024;
const PORTS = 2 ** 14;
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

/** A conversation with a response of one size. */
interface Conversation {
  readonly steps: readonly Step[];
  /** One for each step. */
  readonly templates: readonly Template[];
}

function conversationsOf({ family, sizes }: FloodOptions): Conversation[] {
  const bare = createTemplate({ family, protocol: 'tcp', payload: 0 }).length;
  const responses = sizes.length === 0 ? [RESPONSE_BYTES] : sizes.map(size => Math.max(0, size - bare));
  return responses.map(response => {
    const steps = stepsOf(response);
    const templates = steps.map(({ flags, payload }) => createTemplate({ family, protocol: 'tcp', payload, flags }));
    return { steps, templates };
  });
}

export class Churn implements Generator {
  readonly actions: readonly CtAction[] = [{}];
  readonly action = 0;
  readonly #seed: number;
  readonly #ends: Ends;
  readonly #conversations: readonly Conversation[];
  /** Of each connection under way: number, conversation, what comes next in it, and ends. */
  readonly #numbers = new Float64Array(WINDOW);
  readonly #chosen = new Uint16Array(WINDOW);
  readonly #done = new Uint8Array(WINDOW);
  readonly #clients = new Int32Array(WINDOW);
  readonly #servers = new Int32Array(WINDOW);
  readonly #serverPorts = new Uint16Array(WINDOW);
  #next = 0;
  #place = 0;

  constructor(options: FloodOptions) {
    this.#seed = options.seed;
    this.#ends = new Ends(options);
    this.#conversations = conversationsOf(options);
    for (let place = 0; place < WINDOW; place++) this.#begin(place);
  }

  get length(): number {
    const place = this.#place;
    return this.#conversations[this.#chosen[place]].templates[this.#done[place]].length;
  }

  write(view: DataView, at: number): void {
    const place = this.#place;
    const number = this.#numbers[place];
    const step = this.#done[place];
    const { steps, templates } = this.#conversations[this.#chosen[place]];
    const { isReply, seq, ack, flags } = steps[step];
    const client = this.#clients[place];
    const server = this.#servers[place];
    const port = FIRST_PORT + (number % PORTS);
    const service = this.#serverPorts[place];
    const mine = mix32(this.#seed + number * 2 + (isReply ? 1 : 0));
    const theirs = mix32(this.#seed + number * 2 + (isReply ? 0 : 1));
    copyTemplate(view, at, templates[step]);
    const src = isReply ? server : client;
    const dst = isReply ? client : server;
    const ports = isReply ? (service << 16) | port : (port << 16) | service;
    const acknowledged = (flags & ACK) === 0 ? 0 : (theirs + ack) | 0;
    writeTcp(view, at, templates[step], src, dst, ports, (mine + seq) | 0, acknowledged);
    if (step + 1 < steps.length) this.#done[place]++;
    else this.#begin(place);
    this.#place = (place + 1) % WINDOW;
  }

  /** Begins a new connection in a place. */
  #begin(place: number): void {
    const ends = this.#ends;
    ends.draw();
    this.#numbers[place] = this.#next++;
    this.#done[place] = 0;
    this.#clients[place] = ends.src;
    this.#servers[place] = ends.dst;
    this.#serverPorts[place] = ends.ports;
    const { length } = this.#conversations;
    this.#chosen[place] = length === 1 ? 0 : ends.random.below(length);
  }
}
