/**
 * `flowshard replay` of a large capture, beside reading the same file from the page cache.
 *
 * The capture is of established TCP with segments of 1460 bytes, whose checksums are all verified; it is made in a
 * temporary folder and removed afterwards. The program is started anew for each round; the time is that from its engine
 * being open to its closing, by the program's own log. To take off the time of a run without packets would not do: it is
 * longer than that of the packets and varies by more.
 *
 * Imports chunk, result, statistics, traffic, pcap/. Imported by run.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CaptureWriter } from '../src/pcap/writer.js';
import { createWasmMemory } from '../src/wire/wasm.js';
import type { Chunk } from './chunk.js';
import type { GoverningLimit } from './limits.js';
import { type Measured, NS_PER_MS, timesOf } from './result.js';
import { figureOf } from './statistics.js';
import { chunkFor, createTraffic } from './traffic.js';

export interface ReplayOptions {
  readonly connections: number;
  readonly seed: number;
  readonly bytes: number;
  readonly rounds: number;
}

const PROGRAM = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));
const ETHERNET = 1;
/** As large as the pieces that replay reads: 128 KiB to 4 MiB are read equally fast. */
const READ_BYTES = 1 << 20;
/** Time between two packets of the capture. */
const STEP_MS = 0.01;
const FIRST_MS = 1_700_000_000_000;
const MOST_MS = 120_000;

/** Writes the capture. @returns packets of the capture */
function writeCapture(path: string, { connections, seed, bytes }: ReplayOptions): number {
  const size = chunkFor(1);
  const traffic = createTraffic({ wasm: createWasmMemory(0), mix: 'tcp4', connections, seed, known: 0 });
  const writer = CaptureWriter.create(path, { linkType: ETHERNET });
  let packets = 0;
  let written = 0;
  const append = (chunk: Chunk, count: number) => {
    const all = chunk.memory.bytes;
    const { length } = chunk.template(0).bytes;
    for (let slot = 0; slot < count && written < bytes; slot++) {
      const at = slot * chunk.stride;
      writer.write(FIRST_MS + packets++ * STEP_MS, all, at, at + length, length);
      written += length;
    }
  };
  for (let first = 0; first < connections && written < bytes; first += size) {
    const count = Math.min(size, connections - first);
    append(traffic.open(first, count), count);
    for (const chunk of traffic.settle(first, count)) append(chunk, count);
  }
  while (written < bytes) append(traffic.pick(size), size);
  writer.close();
  return packets;
}

/**
 * Reads a file in large pieces, as fast as it goes: into memory that begins on a page. Node's own buffers begin 16 bytes
 * behind one, and AMD's Zen 3 copies whole pages to there at a fifth of the speed.
 * @returns milliseconds
 */
function readMs(path: string): number {
  const buffer = new Uint8Array(createWasmMemory(READ_BYTES).buffer);
  const fd = openSync(path, 'r');
  try {
    const startedMs = performance.now();
    while (readSync(fd, buffer, 0, READ_BYTES, null) > 0) {}
    return performance.now() - startedMs;
  } finally {
    closeSync(fd);
  }
}

interface LogLine {
  readonly msg: string;
  /** Milliseconds. */
  readonly time: number;
}

/** @returns milliseconds that the program took for the packets */
function replayMs(path: string, connections: number): number {
  const options = ['replay', path, '--shards', '1', '--max-connections', String(connections), '--log-level', 'info'];
  const run = spawnSync(process.execPath, [PROGRAM, ...options], { encoding: 'utf8', timeout: MOST_MS });
  if (run.status !== 0) throw new Error(`the benchmark is void: replay failed: ${run.stderr.trim()}`);
  const log: readonly LogLine[] = run.stderr
    .trim()
    .split('\n')
    .map(line => JSON.parse(line));
  const opened = log.find(({ msg }) => msg === 'engine opened');
  const closing = log.find(({ msg }) => msg === 'engine closing');
  if (opened === undefined || closing === undefined) throw new Error('the benchmark is void: replay did not say when');
  return closing.time - opened.time;
}

/** @returns the result, and what reading the file takes per packet */
export function measureReplay(options: ReplayOptions): { result: Measured; limit: GoverningLimit } {
  const { connections, rounds } = options;
  const folder = mkdtempSync(join(tmpdir(), 'flowshard-bench-'));
  try {
    const large = join(folder, 'large.pcap');
    const packets = writeCapture(large, options);
    const bytes = statSync(large).size;
    const reads = Array.from({ length: rounds }, () => readMs(large));
    const replays = Array.from({ length: rounds }, () => replayMs(large, connections));
    const figure = figureOf(replays.map(ms => (ms * NS_PER_MS) / packets));
    // Bytes per nanosecond are gigabytes per second.
    const gigabytesPerSecond = bytes / packets / figure.median;
    const how = { mix: 'tcp4', connections, shards: 1, batch: null, checksums: 'verified', hints: 'none' } as const;
    const readNs = (figureOf(reads).median * NS_PER_MS) / packets;
    return {
      result: { work: 'replay', ...how, ...timesOf(figure), gigabytesPerSecond },
      limit: { name: 'read', ns: readNs },
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
