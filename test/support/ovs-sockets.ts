/**
 * The two sockets of an ovs-vswitchd that the harness talks to: control (JSON-RPC) and OpenFlow 1.3.
 *
 * Imports nothing of the project. Imported by support/ovs.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export const READY_TIMEOUT_MS = 10_000;
export const REPLY_TIMEOUT_MS = 20_000;

export async function within<T>(milliseconds: number, promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${milliseconds} ms for ${what}`)), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Connects to a socket that may just have been made, and does not listen yet. */
async function opened(path: string): Promise<Socket> {
  for (const deadline = Date.now() + READY_TIMEOUT_MS; ; await sleep(5)) {
    const socket = connect(path);
    try {
      await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
      return socket;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

interface Waiting {
  readonly resolve: (text: string) => void;
  readonly reject: (error: Error) => void;
}

/** The control socket of a daemon: JSON-RPC 1.0 without separators, so a reply is whole when it parses. */
export class ControlSocket {
  readonly #socket: Socket;
  readonly #waiting: Waiting[] = [];
  #turn: Promise<unknown> = Promise.resolve();
  #text = '';
  #id = 0;

  private constructor(socket: Socket) {
    this.#socket = socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#onText(text));
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => this.#waiting.shift()?.reject(new Error('OVS closed its control socket')));
  }

  static async open(path: string): Promise<ControlSocket> {
    return new ControlSocket(await opened(path));
  }

  /** One call at a time; later ones wait their turn. */
  call(method: string, params: readonly string[]): Promise<string> {
    const reply = this.#turn.then(() => within(REPLY_TIMEOUT_MS, this.#send(method, params), `a reply to ${method}`));
    this.#turn = reply.catch(() => {});
    return reply;
  }

  end(): void {
    this.#socket.destroy();
  }

  #send(method: string, params: readonly string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#socket.write(JSON.stringify({ method, params, id: this.#id++ }));
    });
  }

  #onText(text: string): void {
    this.#text += text;
    if (!this.#text.trimEnd().endsWith('}')) return;
    let reply: { result: string | null; error: unknown };
    try {
      reply = JSON.parse(this.#text);
    } catch {
      return; // the rest is on its way
    }
    this.#text = '';
    const waiting = this.#waiting.shift();
    if (reply.error === null) waiting?.resolve(reply.result ?? '');
    else waiting?.reject(new Error(String(reply.error).trimEnd()));
  }
}

/** What an NXT_PACKET_IN2 carries: the frame, and by their NXM number the Nicira fields of the metadata. */
export interface PacketIn {
  readonly frame: Buffer;
  readonly fields: ReadonlyMap<number, Buffer>;
}

const OFP_VERSION_13 = 4;
const OFPT = {
  HELLO: 0,
  ERROR: 1,
  ECHO_REQUEST: 2,
  ECHO_REPLY: 3,
  VENDOR: 4,
  SET_CONFIG: 9,
  BARRIER: 20,
  BARRIER_REPLY: 21,
};
const OFP_HEADER_BYTES = 8;
const NICIRA = 0x2320;
const NXT_SET_PACKET_IN_FORMAT = 16;
const NXT_PACKET_IN2 = 30;
const NXPINT = { PACKET: 0, METADATA: 6 };
const NXM_CLASS_NICIRA = 1;
// biome-ignore format: the numbers as their registry lists them
export const NXM = {
  CT_STATE: 105, CT_ZONE: 106, CT_MARK: 107, CT_LABEL: 108,
  CT_NW_PROTO: 119, CT_NW_SRC: 120, CT_NW_DST: 121, CT_IPV6_SRC: 122, CT_IPV6_DST: 123, CT_TP_SRC: 124, CT_TP_DST: 125,
};

/** An OpenFlow 1.3 connection that only listens for packet-ins. */
export class OpenFlowSocket {
  readonly #socket: Socket;
  readonly #onPacket: (packet: PacketIn) => void;
  readonly #ready: Promise<void>;
  #setReady: () => void = () => {};
  #data: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket, onPacket: (packet: PacketIn) => void) {
    this.#socket = socket;
    this.#onPacket = onPacket;
    this.#ready = new Promise(resolve => {
      this.#setReady = resolve;
    });
    socket.on('error', () => {}); // the next fence times out
    socket.on('data', data => this.#onData(data));
  }

  /** Connects, chooses the packet-in format, and waits until the switch has done so. */
  static async open(path: string, onPacket: (packet: PacketIn) => void): Promise<OpenFlowSocket> {
    const listener = new OpenFlowSocket(await opened(path), onPacket);
    listener.#send(OFPT.HELLO);
    listener.#send(OFPT.VENDOR, words(NICIRA, NXT_SET_PACKET_IN_FORMAT, 2));
    listener.#send(OFPT.SET_CONFIG, words(0xffff));
    listener.#send(OFPT.BARRIER);
    await within(READY_TIMEOUT_MS, listener.#ready, 'the OpenFlow connection');
    return listener;
  }

  end(): void {
    this.#socket.destroy();
  }

  #send(type: number, body: Buffer = Buffer.alloc(0), xid = 1): void {
    const header = Buffer.from([OFP_VERSION_13, type, 0, 0, 0, 0, 0, 0]);
    header.writeUInt16BE(header.length + body.length, 2);
    header.writeUInt32BE(xid, 4);
    this.#socket.write(Buffer.concat([header, body]));
  }

  #onData(data: Buffer): void {
    this.#data = this.#data.length === 0 ? data : Buffer.concat([this.#data, data]);
    while (this.#data.length >= OFP_HEADER_BYTES) {
      const length = this.#data.readUInt16BE(2);
      if (this.#data.length < length) return;
      this.#onMessage(this.#data.subarray(0, length));
      this.#data = this.#data.subarray(length);
    }
  }

  #onMessage(message: Buffer): void {
    const type = message[1];
    if (type === OFPT.BARRIER_REPLY) this.#setReady();
    else if (type === OFPT.ECHO_REQUEST) {
      this.#send(OFPT.ECHO_REPLY, message.subarray(OFP_HEADER_BYTES), message.readUInt32BE(4));
    } else if (
      type === OFPT.VENDOR &&
      message.readUInt32BE(8) === NICIRA &&
      message.readUInt32BE(12) === NXT_PACKET_IN2
    ) {
      this.#onPacket(readPacketIn(message));
    } else if (type === OFPT.ERROR) {
      process.stderr.write(`OpenFlow error ${message.toString('hex')}\n`);
    }
  }
}

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, index * 4);
  return bytes;
}

function readPacketIn(message: Buffer): PacketIn {
  let frame = Buffer.alloc(0);
  let fields: ReadonlyMap<number, Buffer> = new Map();
  for (let at = 16; at + 4 <= message.length; ) {
    const length = message.readUInt16BE(at + 2);
    const value = message.subarray(at + 4, at + length);
    const type = message.readUInt16BE(at);
    if (type === NXPINT.PACKET) frame = Buffer.from(value);
    else if (type === NXPINT.METADATA) fields = readMetadata(value);
    at += (length + 7) & ~7;
  }
  return { frame, fields };
}

/** A field whose low bit of the third byte is set is followed by its mask, which is left out here. */
function readMetadata(bytes: Buffer): ReadonlyMap<number, Buffer> {
  const fields = new Map<number, Buffer>();
  for (let at = 0; at + 4 <= bytes.length; ) {
    const hasMask = bytes[at + 2] & 1;
    const length = bytes[at + 3];
    const value = bytes.subarray(at + 4, at + 4 + (hasMask ? length / 2 : length));
    if (bytes.readUInt16BE(at) === NXM_CLASS_NICIRA) fields.set(bytes[at + 2] >> 1, value);
    at += 4 + length;
  }
  return fields;
}
