/** Captures that arrive slowly, or through descriptors that are not files: standard input, FIFOs, standard output. */

import assert from 'node:assert/strict';
import { type ChildProcess, type StdioOptions, spawn, spawnSync } from 'node:child_process';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  block,
  classicHeader,
  classicRecord,
  enhancedPacket,
  frameOf,
  interfaceBlock,
  MAGIC,
  scratch,
  sectionHeader,
} from './build.js';

const { file, path } = scratch();
const CHILD = fileURLToPath(new URL('child.js', import.meta.url));

/** Generous: what it guards against is a test that waits forever. */
const TIMEOUT = { timeout: 60_000 };

const HEADER = classicHeader('little', MAGIC.micro);
const RECORD = classicRecord('little', { frame: frameOf(60) });
const SMALL = Buffer.concat([HEADER, RECORD, RECORD]);
const SMALL_LINES = ['packet 1 60', 'packet 2 60', `end ${SMALL.length} of undefined`];

function child(args: string[], stdio: StdioOptions): ChildProcess {
  return spawn(process.execPath, [CHILD, ...args], { stdio });
}

/** The lines a process prints; `next()` waits for one. */
function linesOf(process: ChildProcess): { next: () => Promise<string> } {
  assert.ok(process.stdout);
  const lines = createInterface({ input: process.stdout })[Symbol.asyncIterator]();
  return { next: async () => String((await lines.next()).value) };
}

function fifo(name: string): string {
  const made = spawnSync('mkfifo', [path(name)]);
  assert.equal(made.status, 0, String(made.stderr));
  return path(name);
}
const noFifo = spawnSync('mkfifo', ['--version']).error ? 'mkfifo is not available' : false;

function runOn(input: Buffer | number, args: string[]): { lines: string[]; stdout: Buffer; stderr: string } {
  const result = spawnSync(process.execPath, [CHILD, ...args], {
    ...(typeof input === 'number' ? { stdio: [input, 'pipe', 'pipe'] } : { input }),
    maxBuffer: 64 * 1024 * 1024,
  });
  return {
    lines: String(result.stdout).trimEnd().split('\n'),
    stdout: result.stdout,
    stderr: String(result.stderr).trimEnd(),
  };
}

test('standard input: a pipe', TIMEOUT, () => {
  assert.deepEqual(runOn(SMALL, ['print', '-']).lines, SMALL_LINES);
});

test('standard input: a file', TIMEOUT, () => {
  const fd = openSync(file('small.pcap', SMALL), 'r');
  assert.deepEqual(runOn(fd, ['print', '-']).lines, SMALL_LINES);
  closeSync(fd);
});

test('standard input: empty, cut, not a capture', TIMEOUT, () => {
  assert.deepEqual(runOn(Buffer.alloc(0), ['print', '-']).lines, [
    'error standard input: empty, expected a capture at byte 0',
  ]);
  assert.deepEqual(runOn(SMALL.subarray(0, SMALL.length - 1), ['print', '-']).lines, [
    'packet 1 60',
    'error standard input: the record is cut short, 59 of 60 bytes are there at byte 100',
  ]);
  assert.match(runOn(Buffer.from('hello world'), ['print', '-']).lines[0], /^error standard input: neither a pcap/);
});

test('standard input: a directory', TIMEOUT, () => {
  const fd = openSync('.', 'r');
  assert.deepEqual(runOn(fd, ['print', '-']).lines, [
    'error standard input: cannot read: illegal operation on a directory',
  ]);
  closeSync(fd);
});

const noScript = spawnSync('script', ['--version']).error ? 'script(1) is not available' : false;

test('standard input: a terminal is refused', { ...TIMEOUT, skip: noScript }, () => {
  const command = `'${process.execPath}' '${CHILD}' print -`;
  const { stdout } = spawnSync('script', ['-qec', command, '/dev/null'], { input: '' });
  assert.match(String(stdout), /^error standard input is a terminal, expected a capture piped into it\r?\n/);
});

test('a megabyte and more through a pipe', TIMEOUT, () => {
  const records = Array.from({ length: 2000 }, () => classicRecord('little', { frame: frameOf(1514) }));
  const whole = Buffer.concat([HEADER, ...records]);
  const { lines } = runOn(whole, ['print', '-']);
  assert.equal(lines.length, 2001);
  assert.equal(lines[1999], 'packet 2000 1514');
  assert.equal(lines[2000], `end ${whole.length} of undefined`);
});

test('FIFO: each packet is delivered when its last byte has arrived', { ...TIMEOUT, skip: noFifo }, async () => {
  const name = fifo('slow.fifo');
  const reader = child(['print', name], ['ignore', 'pipe', 'inherit']);
  const lines = linesOf(reader);
  const writer = await open(name, 'w');
  // Each line is awaited before more is written: a reader that waited for a full chunk would never print it.
  await writer.write(Buffer.concat([HEADER, RECORD]));
  assert.equal(await lines.next(), 'packet 1 60');
  for (const byte of RECORD) await writer.write(Buffer.from([byte]));
  assert.equal(await lines.next(), 'packet 2 60');
  await writer.write(Buffer.concat([RECORD, RECORD, RECORD.subarray(0, 20)]));
  assert.equal(await lines.next(), 'packet 3 60');
  assert.equal(await lines.next(), 'packet 4 60');
  await writer.write(RECORD.subarray(20));
  assert.equal(await lines.next(), 'packet 5 60');
  await writer.close();
  assert.equal(await lines.next(), `end ${HEADER.length + 5 * RECORD.length} of undefined`);
});

test('FIFO: pcapng, and the end within a block', { ...TIMEOUT, skip: noFifo }, async () => {
  const name = fifo('slow-ng.fifo');
  const reader = child(['print', name], ['ignore', 'pipe', 'inherit']);
  const lines = linesOf(reader);
  const writer = await open(name, 'w');
  const head = Buffer.concat([sectionHeader('big'), interfaceBlock('big')]);
  await writer.write(head);
  const packet = enhancedPacket('big', { frame: frameOf(61) });
  await writer.write(packet);
  assert.equal(await lines.next(), 'packet 1 61');
  await writer.write(Buffer.concat([block('big', 0x7777, Buffer.alloc(99)), packet]));
  assert.equal(await lines.next(), 'packet 2 61');
  await writer.write(packet.subarray(0, 50));
  await writer.close();
  const faultAt = head.length + 2 * packet.length + 112;
  assert.match(await lines.next(), new RegExp(`^error .*slow-ng.fifo: the block is cut short.* at byte ${faultAt}$`));
});

test('standard input that does not block: waits, then reads on', { ...TIMEOUT, skip: noFifo }, async () => {
  const name = fifo('nonblocking.fifo');
  // The flag belongs to the open file, which the child shares. It is handed over as descriptor 3 because Node resets
  // the flag on descriptors 0 to 2 of its children; the shell then moves it to 0.
  const input = openSync(name, constants.O_RDONLY | constants.O_NONBLOCK);
  const output = openSync(name, 'w');
  const reader = spawn('sh', ['-c', 'exec "$0" "$@" <&3', process.execPath, CHILD, 'print', '-'], {
    stdio: ['ignore', 'pipe', 'inherit', input],
  });
  const lines = linesOf(reader);
  // Long enough for the child to find nothing at first.
  await sleep(300);
  writeSync(output, Buffer.concat([HEADER, RECORD]));
  assert.equal(await lines.next(), 'packet 1 60');
  writeSync(output, RECORD.subarray(0, 30));
  await sleep(50);
  writeSync(output, RECORD.subarray(30));
  assert.equal(await lines.next(), 'packet 2 60');
  closeSync(output);
  assert.equal(await lines.next(), `end ${SMALL.length} of undefined`);
  closeSync(input);
});

test('standard output: a capture copied through two pipes is the same', TIMEOUT, () => {
  const records = Array.from({ length: 1000 }, (_, index) =>
    classicRecord('little', { seconds: index, fraction: index, frame: frameOf(1000, index) }),
  );
  const whole = Buffer.concat([HEADER, ...records]);
  // What the writer puts into the header where the builder puts 65535.
  whole.writeUInt32LE(262_144, 16);
  const { stdout, stderr } = runOn(whole, ['copy', '-', '-']);
  assert.equal(stderr, '');
  assert.ok(stdout.equals(whole));
});

test('standard output: a reader that went away', TIMEOUT, () => {
  const records = Array.from({ length: 2000 }, () => classicRecord('little', { frame: frameOf(1000) }));
  const source = file('long.pcap', Buffer.concat([HEADER, ...records]));
  const command = `"$0" "$@" | head -c 100 > /dev/null`;
  const { stderr } = spawnSync('sh', ['-c', command, process.execPath, CHILD, 'copy', source, '-']);
  assert.equal(String(stderr), 'error standard output: cannot write: broken pipe\n');
});
