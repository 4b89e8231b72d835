/**
 * A witness that is a program: whatever answers as `conntrack_execute()` does and speaks the protocol below. The
 * environment variable FLOWSHARD_ORACLE names it; no such program belongs to this repository.
 *
 * The program reads requests from standard input, writes answers to standard output, and ends when its input does.
 * All numbers are little-endian; a message is two words, the bytes behind them and the kind, and then those bytes.
 *
 * | kind | request | answer |
 * |---|---|---|
 * | 1 | packet: time in ms (8 bytes), count, that many numbers of actions (-1: ct_clear), the frame | one per packet that leaves: its number since the last flush, ct_state, zone, mark, label (4 words, least significant first), protocol of the original tuple with 0x100 for IPv6, its ports (source << 16 or ICMP type << 16, destination or code), source and destination address in network order (16 bytes each, IPv4 in the last four), and the frame if it is not the one of this request |
 * | 2 | action: its number, flags (1 commit, 2 force, 4 mark, 8 label), zone, mark, its mask, label (4 words), its mask (4), nat (0 without; 0x10000, 1 source, 2 with ports, 4 destination, 8 with ports, 0x100 random, 0x200 persistent), first address (16 bytes), last address, first port << 16 with last port, helper (1 ftp, 2 tftp) | |
 * | 3 | flush: the table is empty, no fragment is held, packets count from 0 | |
 * | 4 | dump: time in ms (8 bytes) | the connections as `dpctl/dump-conntrack -m -s` prints them, a line each |
 * | 5 | whether TCP sequence numbers are checked (1, 0) | |
 * | 6 | version | a line that names the program |
 * | 7 | fence | the same, after the answers to all that came before; the program then writes out what it buffers |
 * | 8 | whether fragments are reassembled (1, 0) | |
 * | 9 | expectations | as `dpctl/dump-conntrack-exp` prints them, a line each |
 *
 * A packet that is held (a fragment) has no answer until it leaves, which may be after a later packet. The clock is the
 * packets'; it never goes back, over flushes neither.
 *
 * Imports traffic, verdicts, src/engine/action, src/alg/helpers, src/nat/address.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { helperNumber } from '../../src/alg/helpers.js';
import type { CtAction } from '../../src/engine/action.js';
import { parseAddress } from '../../src/nat/address.js';
import { within } from '../support/ovs-sockets.js';
import type { Actions, Traffic, TrafficPacket } from './traffic.js';
import { VERDICT, VERDICT_WORDS, Verdicts } from './verdicts.js';
import type { Witness } from './witness.js';

const KIND = {
  PACKET: 1,
  ACTION: 2,
  FLUSH: 3,
  DUMP: 4,
  CHECKS: 5,
  VERSION: 6,
  FENCE: 7,
  FRAGMENTS: 8,
  EXPECTATIONS: 9,
} as const;
const HEAD_BYTES = 8;
const ANSWER_WORDS = 10;
const ADDRESSES_AT = ANSWER_WORDS * 4;
const ANSWER_BYTES = ADDRESSES_AT + 32;
/** Long, for a machine on which others work; what comes too late would count as a difference. */
const ANSWER_TIMEOUT_MS = 120_000;
/** Between two cases, so that nothing of the earlier one is left in clocks. */
const PAUSE_MS = 1000;

const NAT_PRESENT = 0x10000;
const NAT_BITS = { src: 1, srcPorts: 2, dst: 4, dstPorts: 8, random: 0x100, persistent: 0x200 } as const;

function message(kind: number, body: Uint8Array): Buffer {
  const bytes = Buffer.alloc(HEAD_BYTES + body.length);
  bytes.writeUInt32LE(body.length, 0);
  bytes.writeUInt32LE(kind, 4);
  bytes.set(body, HEAD_BYTES);
  return bytes;
}

function words(...values: readonly number[]): Buffer {
  return Buffer.from(Int32Array.from(values).buffer);
}

function milliseconds(time: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(time));
  return bytes;
}

function labelWords(value: bigint): number[] {
  return [0n, 32n, 64n, 96n].map(shift => Number((value >> shift) & 0xffff_ffffn) | 0);
}

function addressBytes(text: string | undefined): Buffer {
  const found = new Int32Array(4);
  if (text !== undefined) parseAddress(text, found, 0);
  const bytes = Buffer.alloc(16);
  for (let word = 0; word < 4; word++) bytes.writeInt32BE(found[word], word * 4);
  return bytes;
}

function natBits({ kind, minPort, random = false, persistent = false }: NonNullable<CtAction['nat']>): number {
  const bits = { restore: 0, src: NAT_BITS.src, dst: NAT_BITS.dst }[kind];
  const ports = { restore: 0, src: NAT_BITS.srcPorts, dst: NAT_BITS.dstPorts }[kind];
  const flags = (random ? NAT_BITS.random : 0) | (persistent ? NAT_BITS.persistent : 0);
  return NAT_PRESENT | bits | (minPort === undefined ? 0 : ports) | flags;
}

function actionBody(number: number, action: CtAction): Buffer {
  const { zone = 0, commit = true, force = false, mark, label, nat, helper } = action;
  const flags = Number(commit) | (Number(force) << 1) | (mark ? 4 : 0) | (label ? 8 : 0);
  const markMask = mark?.mask ?? 0xffff_ffff;
  const labelMask = label?.mask ?? (1n << 128n) - 1n;
  const { minPort = 0, maxPort = minPort } = nat ?? {};
  return Buffer.concat([
    words(number, flags, zone, (mark?.value ?? 0) & markMask, markMask),
    words(...labelWords((label?.value ?? 0n) & labelMask), ...labelWords(labelMask)),
    words(nat === undefined ? 0 : natBits(nat)),
    addressBytes(nat?.minAddress),
    addressBytes(nat?.maxAddress ?? nat?.minAddress),
    words((minPort << 16) | maxPort, helper === undefined ? 0 : helperNumber(helper)),
  ]);
}

function packetBody({ frame, passes }: TrafficPacket, atMs: number): Buffer {
  const bytes = Buffer.allocUnsafe(12 + passes.length * 4 + frame.length);
  bytes.writeBigInt64LE(BigInt(atMs), 0);
  bytes.writeInt32LE(passes.length, 8);
  for (const [index, action] of passes.entries()) bytes.writeInt32LE(action, 12 + index * 4);
  bytes.set(frame, 12 + passes.length * 4);
  return bytes;
}

interface Answered {
  readonly kind: number;
  readonly body: Buffer;
}

export class OracleProgram implements Witness {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  #received: Buffer = Buffer.alloc(0);
  #answers: Answered[] = [];
  #onFence: (() => void) | undefined;
  #fail: ((error: Error) => void) | undefined;
  #nowMs = 0;
  name = '';

  private constructor(path: string) {
    this.#child = spawn(path, [], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout.on('data', (data: Buffer) => this.#onData(data));
    this.#child.stdin.on('error', () => {}); // 'exit' follows
    this.#child.on('error', error => this.#fail?.(error));
    this.#child.on('exit', (code, signal) => this.#fail?.(new Error(`the oracle ended: ${code ?? signal}`)));
  }

  static async start(path: string, actions: Actions): Promise<OracleProgram> {
    const program = new OracleProgram(path);
    program.#send(KIND.VERSION);
    program.#send(KIND.FRAGMENTS, words(1));
    for (const [number, action] of actions.entries()) program.#send(KIND.ACTION, actionBody(number, action));
    const [version] = await program.#answered();
    program.name = version.body.toString();
    return program;
  }

  async judge({ packets, checksSequence }: Traffic): Promise<Verdicts> {
    const start = this.#nowMs + PAUSE_MS;
    this.#send(KIND.FLUSH);
    this.#send(KIND.CHECKS, words(Number(checksSequence)));
    for (const packet of packets) {
      this.#nowMs = start + packet.timeMs;
      this.#send(KIND.PACKET, packetBody(packet, this.#nowMs));
    }
    this.#send(KIND.DUMP, milliseconds(this.#nowMs));
    this.#send(KIND.EXPECTATIONS);
    const verdicts = new Verdicts(packets.length);
    for (const { kind, body } of await this.#answered()) {
      if (kind === KIND.PACKET) readAnswer(packets, verdicts, body);
      else if (kind === KIND.DUMP) verdicts.dump = sortedLines(body);
      else verdicts.expectations = sortedLines(body);
    }
    return verdicts;
  }

  async close(): Promise<void> {
    this.#fail = undefined;
    this.#child.stdin.end();
    this.#child.kill();
  }

  #send(kind: number, body: Uint8Array = new Uint8Array(0)): void {
    this.#child.stdin.write(message(kind, body));
  }

  /** What was answered up to a fence. */
  async #answered(): Promise<Answered[]> {
    const passed = new Promise<void>((resolve, reject) => {
      this.#onFence = resolve;
      this.#fail = reject;
    });
    this.#send(KIND.FENCE);
    await within(ANSWER_TIMEOUT_MS, passed, 'the oracle');
    const answers = this.#answers;
    this.#answers = [];
    return answers;
  }

  #onData(data: Buffer): void {
    this.#received = this.#received.length === 0 ? data : Buffer.concat([this.#received, data]);
    let at = 0;
    while (this.#received.length - at >= HEAD_BYTES) {
      const end = at + HEAD_BYTES + this.#received.readUInt32LE(at);
      if (this.#received.length < end) break;
      const kind = this.#received.readUInt32LE(at + 4);
      if (kind === KIND.FENCE) this.#onFence?.();
      else this.#answers.push({ kind, body: this.#received.subarray(at + HEAD_BYTES, end) });
      at = end;
    }
    this.#received = this.#received.subarray(at);
  }
}

function sortedLines(body: Buffer): string[] {
  return body.toString().split('\n').filter(Boolean).sort();
}

function readAnswer(packets: readonly TrafficPacket[], { words: rows, rewritten }: Verdicts, body: Buffer): void {
  const packet = body.readUInt32LE(0);
  const row = packet * VERDICT_WORDS;
  rows[row + VERDICT.PRESENT] = 1;
  for (let word = 1; word < ANSWER_WORDS; word++) rows[row + word] = body.readInt32LE(word * 4);
  // Without a protocol there is no tuple, for OVS's own readers neither.
  if (rows[row + VERDICT.PROTOCOL] === 0) rows[row + VERDICT.PORTS] = 0;
  else readAddresses(rows, row, body);
  const frame = body.subarray(ANSWER_BYTES);
  if (frame.length > 0 && Buffer.compare(frame, packets[packet].frame) !== 0) rewritten.set(packet, frame);
}

function readAddresses(rows: Int32Array, row: number, body: Buffer): void {
  for (let word = 0; word < 8; word++) rows[row + VERDICT.SRC + word] = body.readInt32BE(ADDRESSES_AT + word * 4);
}
