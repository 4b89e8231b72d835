/**
 * `flowshard flood`: what it prints, what it refuses, and how it ends.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { LiveSpeed, stageText } from '../../src/cli/flood-summary.js';
import type { FloodReport } from '../../src/flood/report.js';
import type { RunOptions, Stage } from '../../src/flood/run.js';
import { MAIN, run, start } from './program.js';

const QUICK = ['--clock', 'virtual', '--seconds', '1', '--rate', '10000', '--established', '100'];

test('--json ends with one object, with all that is promised', async () => {
  const { code, stdout, stderr } = await run([
    'flood',
    'syn',
    ...QUICK,
    '--max-connections',
    '5000',
    '--profile',
    'ovs',
    '--json',
  ]);
  assert.deepEqual([code, stderr], [0, '']);
  const lines = stdout.trimEnd().split('\n');
  assert.equal(lines.length, 1);
  const report: FloodReport = JSON.parse(lines[0]);
  assert.equal(report.packets, 10_200);
  assert.equal(report.created, 4900);
  assert.equal(report.refused, 5100);
  assert.equal(report.establishedEvicted, 0);
  assert.equal(report.establishedMisjudged, 0);
  const { p50 = 0, p99 = 0, p999 = 0, max = 0 } = report.batchLatencyUs ?? {};
  assert.ok(p50 > 0 && p50 <= p99 && p99 <= p999 && p999 <= max);
  assert.ok(report.sweepStepUs.count > 0 && report.sweepStepUs.max > 0);
  for (const { start: before, end } of [report.heapBytes, report.rssBytes]) assert.ok(before > 1e6 && end > 1e6);
});

test('a summary for people, nothing else where there is no terminal', async () => {
  const { code, stdout, stderr } = await run(['flood', 'udp', ...QUICK]);
  assert.deepEqual([code, stderr], [0, '']);
  assert.match(stdout, /^udp: 10,200 packets in 1\.00 s of virtual time in /);
  assert.match(stdout, /^established sessions: 100, 0 lost, 0 of their packets misjudged$/m);
  assert.match(stdout, /^ +10,000 +created$/m);
});

/** What the terminal shows in the end, line by line, by the few control sequences that there are. */
function shown(output: string): string[] {
  const lines: string[] = [''];
  let row = 0;
  for (const [token] of output.replaceAll('\x1b[', '␛').matchAll(/␛\d*[AJ]|\r|\n|[^␛\r\n]+/g)) {
    if (token === '\n') lines[++row] ??= '';
    else if (token === '␛J') lines.splice(row, lines.length, '');
    else if (token.startsWith('␛')) row -= Number(token.slice(1, -1));
    else if (token !== '\r') lines[row] = token;
  }
  return lines;
}

const SCRIPT = '/usr/bin/script';
const noTerminal = spawnSync(SCRIPT, ['--version']).error ? 'script(1) is not available' : false;

test('live progress on a terminal of 80 columns: all that is promised', { skip: noTerminal }, async () => {
  const flood = `${process.execPath} ${MAIN} flood syn --seconds 3 --rate 20000 --established 100 --max-connections 5000`;
  const child = spawn(SCRIPT, ['-qec', `stty cols 80; ${flood} --json`, '/dev/null']);
  let output = '';
  child.stdout.setEncoding('utf8').on('data', text => {
    output += text;
  });
  const [code] = await once(child, 'close');
  assert.equal(code, 0, output);
  const end = output.lastIndexOf('\r\x1b[2A\x1b[J');
  assert.ok(end > 0, output);
  const [speeds, sessions, evictions, ...rest] = shown(output.slice(0, end));
  assert.deepEqual(rest, []);
  const [, packets, created] =
    /^[23]\.\d\d s {2}([\d,]+) packets\/s {2}([\d,]+) new\/s {2}table 100\.0 % {2}p99 [\d.]+ ms$/.exec(speeds) ??
    assert.fail(speeds);
  for (const text of [packets, created]) {
    const speed = Number(text.replaceAll(',', ''));
    assert.ok(speed > 10_000 && speed < 40_000, `${speed} per second at a rate of 20,000`);
  }
  assert.equal(sessions, 'established 100 of 100 kept');
  assert.match(evictions, /^evicted [\d,]+ half-open$/);
  // Gone at the end: what is left is the object.
  assert.doesNotThrow(() => JSON.parse(output.slice(end).replace('\r\x1b[2A\x1b[J', '')));
});

test('progress: speeds are those of the last second, and no line is longer than a terminal is wide', () => {
  const options = { maxConnections: 32_000_000, established: 4_000_000 } as RunOptions;
  const count = 123_456_789;
  const evicted = { 'half-open': count, 'one-way': count, closing: count, replied: 0, established: 0 };
  const speed = new LiveSpeed();
  const stageAt = (elapsedMs: number, packets: number, created: number): Stage => {
    return { elapsedMs, packets, created, evicted, connections: 32_000_000, kept: 4_000_000, p99Us: 123_456 };
  };
  let text = '';
  for (let ms = 0; ms <= 36_000_000; ms += 100_000) text = stageText(stageAt(ms, ms, ms), options, speed);
  assert.match(text, /^10 h 0 min {2}1,000 packets\/s {2}1,000 new\/s/);
  // Ten million per second from here on, whatever it was before.
  for (let ms = 0; ms <= 1000; ms += 100) {
    text = stageText(stageAt(36_000_000 + ms, 36_000_000 + ms * 10_000, ms * 5000 + 36_000_000), options, speed);
  }
  const lines = text.split('\n');
  assert.equal(lines[0], '10 h 0 min  10,000,000 packets/s  5,000,000 new/s  table 100.0 %  p99 123.5 ms');
  for (const line of lines) assert.ok(line.length < 80, line);
});

test('--write to standard output is a capture that replay understands', async () => {
  const written = await start([
    'flood',
    'mixed',
    '--rate',
    '1000',
    '--seconds',
    '1',
    '--established',
    '5',
    '--write',
    '-',
  ]);
  const parts: Buffer[] = [];
  written.stdout.on('data', part => parts.push(part));
  const [code] = await once(written, 'close');
  assert.equal(code, 0);
  const { stdout } = await run(['replay', '-'], Buffer.concat(parts));
  // 1000 of the flood, and of each session three to open it and two in the second.
  assert.match(stdout, /packets +1,025,/);
});

const WRONG: readonly (readonly [args: readonly string[], message: string])[] = [
  [['sny'], "unknown command 'sny' (Did you mean syn?)"],
  [['syn', '--second', '1'], "unknown option '--second' (Did you mean --seconds?)"],
  [
    ['syn', '--seconds', '0'],
    "option '--seconds <n>' argument '0' is invalid. Allowed are whole numbers from 1 to 86400.",
  ],
  [
    ['syn', '--size', '64,20'],
    "option '--size <list>' argument '64,20' is invalid. Allowed are whole numbers from 60 to 9014, separated by commas.",
  ],
  [
    ['syn', '--sources', 'many'],
    "option '--sources <spread>' argument 'many' is invalid. Allowed choices are uniform, zipf, subnet, one.",
  ],
  [
    ['syn', '--established', '11', '--max-connections', '10'],
    "option '--established' of 11 does not fit '--max-connections' of 10",
  ],
  ...[['--json'], ['--no-top'], ['--profile <profile>', 'ovs'], ['--clock <clock>', 'virtual']].map(
    ([option, ...value]): [string[], string] => [
      ['syn', '--write', 'x', option.split(' ')[0], ...value],
      `option '--write <file>' cannot be used with option '${option}'`,
    ],
  ),
  [['collide', '--sources', 'zipf'], "unknown option '--sources'"],
  [['ftp-expect', '--size', '100'], "unknown option '--size'"],
  [['syn', '--zones', '2'], "unknown option '--zones'"],
  [['syn', 'udp'], "too many arguments for 'syn'. Expected 0 arguments but got 1."],
];

for (const [args, message] of WRONG) {
  test(`wrong usage: flood ${args.join(' ')}`, async () => {
    const { code, stdout, stderr } = await run(['flood', ...args]);
    assert.deepEqual([code, stdout, stderr], [2, '', `flowshard: ${message}\n`]);
  });
}

test('--write has no table that sessions must fit into', async () => {
  const args = ['flood', 'syn', '--write', '-', '--established', '200001', '--packets', '1', '--seconds', '1'];
  const child = start([...args, '--ipv6']);
  child.stdout.resume();
  assert.deepEqual(await once(child, 'close'), [0, null]);
});

test('a capture that cannot be created is said on one line', async () => {
  const { code, stderr } = await run(['flood', 'syn', '--write', '/nonexistent/x.pcap']);
  assert.deepEqual([code, stderr], [1, 'flowshard: /nonexistent/x.pcap: cannot create: no such file or directory\n']);
});

test('help lists the kinds, each with its options', async () => {
  const { code, stdout } = await run(['flood', '--help']);
  assert.equal(code, 0);
  for (const kind of ['syn', 'udp', 'collide', 'mixed'])
    assert.match(stdout, new RegExp(`^  ${kind} \\[options\\]`, 'm'));
  assert.match((await run(['flood', 'collide', '--help'])).stdout, /--established <n>/);
});

test('a reader that goes away ends it quietly', async () => {
  const child = start(['flood', 'syn', '--rate', '100000', '--seconds', '60', '--write', '-']);
  child.stdout.once('data', () => child.stdout.destroy());
  let stderr = '';
  child.stderr.on('data', text => {
    stderr += text;
  });
  const [code] = await once(child, 'close');
  assert.deepEqual([code, stderr], [0, '']);
});

for (const [signal, exitCode] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal} ends it with the report`, async () => {
    const child = start([
      'flood',
      'syn',
      '--seconds',
      '50',
      '--max-connections',
      '5000',
      '--json',
      '--log-level',
      'info',
    ]);
    let stdout = '';
    child.stdout.on('data', text => {
      stdout += text;
    });
    child.stderr.once('data', () => child.kill(signal));
    const [code] = await once(child, 'close');
    assert.equal(code, exitCode);
    const report: FloodReport = JSON.parse(stdout);
    assert.ok(report.isInterrupted && report.tookSeconds < 45);
  });
}
