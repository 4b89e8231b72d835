/**
 * The compiled program as a child process, and the golden captures it is shown. For the tests of this folder.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CaptureReader } from '../../src/pcap/reader.js';

export const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
/** From dist/test/cli/. */
const GOLDEN = new URL('../../../test/golden/', import.meta.url);

/** Against a program that never ends, not even when it is asked to; far beyond what any of these takes on a busy machine. */
const LIMIT_MS = 60_000;

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function start(args: readonly string[]): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [MAIN, ...args], { timeout: LIMIT_MS, killSignal: 'SIGKILL' });
}

/** Runs the program to its end. */
export async function run(args: readonly string[], input: Uint8Array = new Uint8Array()): Promise<Outcome> {
  const child = start(args);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', text => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', text => {
    stderr += text;
  });
  // A program that fails early does not read its input.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [code] = await once(child, 'close');
  return { code, stdout, stderr };
}

export interface Golden {
  readonly name: string;
  readonly packets: number;
}

export function goldenCaptures(): readonly Golden[] {
  return JSON.parse(goldenText('index.json')).captures;
}

export function goldenPath(file: string): string {
  return fileURLToPath(new URL(file, GOLDEN));
}

export function goldenText(file: string): string {
  return readFileSync(goldenPath(file), 'utf8');
}

export interface Packet {
  readonly frame: Buffer;
  readonly timeMs: number;
}

/** All packets of a capture, copied. */
export function packetsOf(path: string): Packet[] {
  const reader = CaptureReader.open(path);
  const packets: Packet[] = [];
  while (reader.next()) {
    const frame = Buffer.from(reader.bytes.subarray(reader.frameStart, reader.frameEnd));
    packets.push({ frame, timeMs: reader.timeMs });
  }
  reader.close();
  return packets;
}

/** A line of `--json`. */
export interface PacketLine {
  readonly n: number;
  readonly time: number;
  readonly state: string;
  readonly zone: number;
  readonly mark: number;
  readonly label: string;
  readonly reason: string;
  readonly tuple: {
    readonly protocol: string;
    readonly src: string;
    readonly dst: string;
    readonly dstPort?: number;
  } | null;
  readonly shard: number;
}

/** The objects of `--json`, and the lines that are none. */
export function splitJson(stdout: string): { objects: PacketLine[]; rest: string } {
  const lines = stdout.split('\n');
  const isObject = (line: string) => line.startsWith('{');
  return {
    objects: lines.filter(isObject).map(line => JSON.parse(line)),
    rest: lines.filter(line => !isObject(line)).join('\n'),
  };
}

/** The lines of `--states` that objects of `--json` stand for. */
export function statesOf(objects: readonly PacketLine[]): string {
  return objects.map(packet => `${packet.n}: ${packet.state}\n`).join('');
}
