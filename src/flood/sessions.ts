/**
 * The background of a flood: established TCP sessions whose packets are valid, every one, and get a verdict that is
 * known beforehand. Each is opened by a three-way handshake; then client and server send a segment each per second,
 * and acknowledge the one before. The sessions take turns, evenly over the second.
 *
 * Imports random, template, track/. Imported by drive.
 */
import { CT } from '../track/state.js';
import { TCP_FLAG } from '../track/tcp.js';
import { mix32 } from './random.js';
import { copyTemplate, createTemplate, type Family, type Template, writeTcp } from './template.js';

const { SYN, ACK, PSH } = TCP_FLAG;

/** Most sessions: their number and a verdict go into a packet's cookie. */
export const MAX_SESSIONS = 4_000_000;
/** Clients are 172.16.0.0 and following, with so many sessions each, all with 192.168.0.2. */
const CLIENTS = 0xac100000;
const SESSIONS_BITS = 10;
const FIRST_PORT = 32_768;
const SERVER = 0xc0a80002 | 0;
const SERVER_PORT = 443;
const SEGMENT_BYTES = 100;
const SECOND_MS = 1000;

const NEW = CT.NEW | CT.TRK;
const ESTABLISHED = CT.EST | CT.TRK;
const REPLY = CT.EST | CT.RPL | CT.TRK;

/** Cookie of a packet that belongs to no session. */
export const NO_SESSION = 0;
const VERDICT_BITS = 8;
const VERDICT_MASK = (1 << VERDICT_BITS) - 1;

/** ct_state that the packet with this cookie must get. */
function expectedState(cookie: number): number {
  return (cookie - 1) & VERDICT_MASK;
}

function sessionOf(cookie: number): number {
  return (cookie - 1) >>> VERDICT_BITS;
}

export class Sessions {
  readonly count: number;
  readonly #syn: Template;
  readonly #synAck: Template;
  readonly #ack: Template;
  readonly #segment: Template;
  /** Next sequence numbers of the client and the server of each session. */
  readonly #next: Int32Array;
  /** Handshake packets written, of three per session; then segments, of two per session and second. */
  #shaken = 0;
  #sent = 0;
  #template: Template;

  constructor(count: number, family: Family, seed: number) {
    this.count = count;
    const made = (flags: number, payload: number) => createTemplate({ family, protocol: 'tcp', payload, flags });
    this.#syn = made(SYN, 0);
    this.#synAck = made(SYN | ACK, 0);
    this.#ack = made(ACK, 0);
    this.#segment = made(PSH | ACK, SEGMENT_BYTES);
    this.#next = new Int32Array(count * 2);
    for (let side = 0; side < count * 2; side++) this.#next[side] = mix32(seed + side);
    this.#template = this.#syn;
  }

  /** The handshakes have all been written. */
  get isOpen(): boolean {
    return this.#shaken === this.count * 3;
  }

  /** When the next segment is due, in milliseconds after the first one; never without sessions. */
  get dueMs(): number {
    if (this.count === 0) return Number.POSITIVE_INFINITY;
    return ((this.#sent >>> 1) * SECOND_MS) / this.count;
  }

  /** Bytes of the frame that write() will write. */
  get length(): number {
    return this.#template.length;
  }

  /** Writes the next frame at `at`. @returns its cookie */
  write(view: DataView, at: number): number {
    if (!this.isOpen) return this.#writeHandshake(view, at);
    const session = (this.#sent >>> 1) % this.count;
    const side = this.#sent & 1;
    const cookie = this.#writeSegment(view, at, session, side, this.#segment);
    this.#next[session * 2 + side] += SEGMENT_BYTES;
    this.#sent++;
    return cookie;
  }

  #writeHandshake(view: DataView, at: number): number {
    const session = Math.floor(this.#shaken / 3);
    const step = this.#shaken % 3;
    const cookie = this.#writeSegment(view, at, session, step === 1 ? 1 : 0, this.#template);
    if (step < 2) this.#next[session * 2 + step]++;
    this.#shaken++;
    if (this.isOpen) this.#template = this.#segment;
    else this.#template = [this.#syn, this.#synAck, this.#ack][this.#shaken % 3];
    return cookie;
  }

  /** @param side 0: the client sends, 1: the server */
  #writeSegment(view: DataView, at: number, session: number, side: number, template: Template): number {
    const client = (CLIENTS + (session >>> SESSIONS_BITS)) | 0;
    const port = FIRST_PORT + (session & ((1 << SESSIONS_BITS) - 1));
    const src = side === 0 ? client : SERVER;
    const dst = side === 0 ? SERVER : client;
    const ports = side === 0 ? (port << 16) | SERVER_PORT : (SERVER_PORT << 16) | port;
    const seq = this.#next[session * 2 + side];
    const isFirst = template === this.#syn;
    copyTemplate(view, at, template);
    writeTcp(view, at, template, src, dst, ports, seq, isFirst ? 0 : this.#next[session * 2 + 1 - side]);
    let state = side === 0 ? ESTABLISHED : REPLY;
    if (isFirst) state = NEW;
    return 1 + state + session * (VERDICT_MASK + 1);
  }
}

/** Looks at the verdicts of the sessions' packets. */
export class SessionJudge {
  /** Packets that got another verdict than they must. */
  misjudged = 0;
  /** Sessions that the table did not know any more when a packet of theirs came; each counts once. */
  lost = 0;
  readonly #isLost: Uint8Array;

  constructor(count: number) {
    this.#isLost = new Uint8Array(count);
  }

  get kept(): number {
    return this.#isLost.length - this.lost;
  }

  /** @param reason code of REASON, 0 for none */
  check(cookie: number, state: number, reason: number, connection: number): void {
    const expected = expectedState(cookie);
    if (state === expected && reason === 0) return;
    this.misjudged++;
    const isKnown = connection !== 0 && (state & CT.NEW) === 0;
    const session = sessionOf(cookie);
    if (isKnown || this.#isLost[session] === 1) return;
    this.#isLost[session] = 1;
    this.lost++;
  }
}
