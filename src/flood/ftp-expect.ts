/**
 * FTP control connections that announce one data connection after the other, none of which ever comes: PORT over IPv4,
 * EPRT over IPv6. What fills is the memory of a tracker for expectations.
 *
 * Addresses and ports are picked so that every number has as many digits as any other, and all commands one length.
 *
 * Imports generator, random, template, track/tcp. Imported by kinds.
 */
import type { CtAction } from '../engine/action.js';
import { TCP_FLAG } from '../track/tcp.js';
import { type FloodOptions, type Generator, VICTIM } from './generator.js';
import { mix32 } from './random.js';
import { copyTemplate, createTemplate, type Family, sumOf, type Template, writeTcp } from './template.js';

const { SYN, ACK, PSH } = TCP_FLAG;

/** Control connections under way at a time, and what each announces before the next one takes its place. */
const WINDOW = 64;
const COMMANDS = 32;
const CONTROL_PORT = 21;
/** Packets of a connection before its first command. */
const HANDSHAKE = 3;
/** Clients are 172.116.c.d, or 2001:db8::ac74:0 and the same two bytes, c and d from 100 on: three digits, or two in hex. */
const CLIENTS = 0xac740000;
const LEAST_BYTE = 100;
const BYTE_BITS = 7;
const FIRST_PORT = 1024;
const PORT_MASK = 0x7fff;
/** Bytes of three digits; data ports of five. */
const BYTES = 256 - LEAST_BYTE;
const LEAST_PORT = 10_000;
const PORTS = 65_536 - LEAST_PORT;
const LENGTH = {
  4: 'PORT 172,116,ccc,ddd,ppp,qqq\r\n'.length,
  6: 'EPRT |2|2001:db8::ac74:ccdd|ppppp|\r\n'.length,
} as const;

function commandText(family: Family, client: number, chance: number): string {
  const third = (client >>> 8) & 0xff;
  const fourth = client & 0xff;
  if (family === 6) {
    const end = ((third << 8) | fourth).toString(16);
    return `EPRT |2|2001:db8::ac74:${end}|${LEAST_PORT + (chance % PORTS)}|\r\n`;
  }
  const high = LEAST_BYTE + (chance % BYTES);
  const low = LEAST_BYTE + ((chance >>> 8) % BYTES);
  return `PORT 172,116,${third},${fourth},${high},${low}\r\n`;
}

export class FtpExpect implements Generator {
  readonly actions: readonly CtAction[] = [{ helper: 'ftp' }];
  readonly action = 0;
  readonly #seed: number;
  readonly #family: Family;
  /** SYN, SYN+ACK, ACK and a command. */
  readonly #templates: readonly Template[];
  /** What the checksum of a command has to lose of its template's payload: the complement of that sum. */
  readonly #withoutPayload: number;
  readonly #payload: Uint8Array;
  /** Number of each connection under way, and the packets it has had. */
  readonly #numbers = new Float64Array(WINDOW);
  readonly #done = new Uint8Array(WINDOW);
  #next = WINDOW;
  #place = 0;

  constructor(options: FloodOptions) {
    const { seed, family } = options;
    const payload = LENGTH[family];
    this.#seed = seed;
    this.#family = family;
    this.#templates = [SYN, SYN | ACK, ACK, PSH | ACK].map((flags, step) =>
      createTemplate({ family, protocol: 'tcp', flags, payload: step === HANDSHAKE ? payload : 0 }),
    );
    const { bytes, length } = this.#templates[HANDSHAKE];
    this.#withoutPayload = 0xffff - sumOf(bytes, length - payload, length);
    this.#payload = new Uint8Array(payload);
    for (let place = 0; place < WINDOW; place++) this.#numbers[place] = place;
  }

  get length(): number {
    return this.#templates[Math.min(this.#done[this.#place], HANDSHAKE)].length;
  }

  write(view: DataView, at: number): void {
    const place = this.#place;
    const number = this.#numbers[place];
    const step = this.#done[place];
    const template = this.#templates[Math.min(step, HANDSHAKE)];
    const bytes = (1 << BYTE_BITS) - 1;
    const client =
      (CLIENTS + ((LEAST_BYTE + ((number >>> BYTE_BITS) & bytes)) << 8) + LEAST_BYTE + (number & bytes)) | 0;
    const port = FIRST_PORT + ((number >>> (2 * BYTE_BITS)) & PORT_MASK);
    const isReply = step === 1;
    const mine = mix32(this.#seed + number * 2);
    const theirs = mix32(this.#seed + number * 2 + 1);
    copyTemplate(view, at, template);
    const rest = step < HANDSHAKE ? 0 : this.#writeCommand(view, at, template, client, number, step - HANDSHAKE);
    const seq = isReply ? theirs : mine + (step === 0 ? 0 : 1) + Math.max(0, step - HANDSHAKE) * this.#payload.length;
    const acknowledged = step === 0 ? 0 : (isReply ? mine : theirs) + 1;
    const src = isReply ? VICTIM : client;
    const dst = isReply ? client : VICTIM;
    const ports = isReply ? (CONTROL_PORT << 16) | port : (port << 16) | CONTROL_PORT;
    writeTcp(view, at, template, src, dst, ports, seq | 0, acknowledged | 0, rest);
    this.#advance(place, step + 1);
  }

  /** @returns what the sum of the payload differs by from the template's */
  #writeCommand(
    view: DataView,
    at: number,
    template: Template,
    client: number,
    number: number,
    command: number,
  ): number {
    const payload = this.#payload;
    const text = commandText(this.#family, client, mix32(this.#seed ^ (number * COMMANDS + command)));
    const start = at + template.length - payload.length;
    for (let index = 0; index < payload.length; index++) {
      payload[index] = text.charCodeAt(index);
      view.setUint8(start + index, payload[index]);
    }
    return sumOf(payload, 0, payload.length) + this.#withoutPayload;
  }

  #advance(place: number, step: number): void {
    if (step < HANDSHAKE + COMMANDS) {
      this.#done[place] = step;
    } else {
      this.#numbers[place] = this.#next++;
      this.#done[place] = 0;
    }
    this.#place = (place + 1) % WINDOW;
  }
}
