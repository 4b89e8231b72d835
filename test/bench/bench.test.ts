/**
 * The benchmark's own rules: the shape of its JSON, that packets in the timed part are judged as they must be, and
 * that it refuses to report figures when they are not. The figures themselves are nobody's business here.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { CommanderError } from 'commander';
import { Chunk, judgeChunk, LATER_MS, STATE } from '../../bench/chunk.js';
import { tableBytes } from '../../bench/footprint.js';
import type { BenchReport, BenchResult } from '../../bench/result.js';
import { figureOf } from '../../bench/statistics.js';
import { createTraffic, MIXES, SEGMENT, UDP4, UDP6 } from '../../bench/traffic.js';
import { create, openEngine, settle } from '../../bench/whole.js';
import { benchCommand } from '../../src/cli/bench.js';
import { createTemplate, type TemplateOptions } from '../../src/flood/template.js';
import { REASON, reasonName } from '../../src/reason.js';
import { FACT_WORDS } from '../../src/wire/facts.js';
import { KNOWN } from '../../src/wire/known.js';
import { parseFrame } from '../../src/wire/parse.js';
import { createWasmMemory } from '../../src/wire/wasm.js';

const SEED = 7;
const BATCH = 32;
const DECLARED = KNOWN.L4_CHECKSUM_GOOD;

const folder = mkdtempSync(join(tmpdir(), 'flowshard-bench-'));
after(() => rmSync(folder, { recursive: true }));

/** Runs the command in a process of its own, as the program does. */
function runCommand(...args: string[]) {
  const module = new URL('../../src/cli/bench.js', import.meta.url).href;
  const script = `import { benchCommand } from ${JSON.stringify(module)};
    await benchCommand.parseAsync(${JSON.stringify(args)}, { from: 'user' });`;
  return spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', timeout: 240_000 });
}

function isPositive(value: number | null | undefined): boolean {
  return typeof value === 'number' && Number.isFinite(value) && value > 0;
}

function checkResult(result: BenchResult): void {
  const what = JSON.stringify(result);
  assert.ok(isPositive(result.rounds), what);
  assert.equal(result.shards, 1, what);
  if (result.work === 'memory') {
    assert.ok(isPositive(result.bytesPerConnection), what);
    assert.equal(result.nsPerPacket, null, what);
    return;
  }
  if (result.work === 'open' || result.work === 'open-workers') {
    assert.ok(isPositive(result.milliseconds), what);
    return;
  }
  assert.ok(result.rounds >= 3, what);
  assert.ok(isPositive(result.nsPerPacket) && isPositive(result.minNsPerPacket) && isPositive(result.mpps), what);
  assert.ok((result.minNsPerPacket ?? 0) <= (result.nsPerPacket ?? 0), what);
  assert.equal(result.batch, result.work === 'delete' || result.work === 'replay' ? null : BATCH, what);
}

function readReport(file: string): BenchReport {
  return JSON.parse(readFileSync(file, 'utf8'));
}

function kindsOf(report: BenchReport): string[] {
  return report.results.map(({ work, mix, connections, shards, checksums, hints }) =>
    [work, mix, connections, shards, checksums ?? '-', hints ?? '-'].join(' '),
  );
}

test('a quick run writes its figures as JSON, as a page and as a table', () => {
  const file = join(folder, 'figures.json');
  const page = join(folder, 'figures.html');
  const flags = ['--connections', '1000,200', '--quick', '--seed', '5', '--only', 'sizes,memory', '--html', page];
  const run = runCommand(...flags, '--json', file);
  assert.equal(run.stderr, '');
  assert.equal(run.status, 0);
  const report = readReport(file);
  assert.equal(report.node, process.version);
  assert.equal(report.seed, 5);
  assert.ok(report.machine.cpu.length > 0 && report.machine.cores > 0);
  assert.ok(report.commit === null || /^[0-9a-f]{40,}$/.test(report.commit));
  for (const result of report.results) checkResult(result);

  const { limits } = report;
  assert.deepEqual(
    limits.touches.map(({ connections }) => connections),
    [200, 1000],
  );
  for (const { nsPerTouch } of limits.touches) assert.ok(isPositive(nsPerTouch));
  assert.ok(isPositive(limits.nsPerMultiply) && isPositive(limits.nsPerLock));
  assert.ok(isPositive(limits.streamGigabytesPerSecond));

  const expected = MIXES.filter(mix => mix !== 'mixed').flatMap(mix =>
    [1000, 200].flatMap(connections => {
      const on = `${mix} ${connections} 1`;
      const extra = mix === 'udp4' ? [`update ${on} verified none`, `update ${on} l4-declared l3`] : [];
      return [`create ${on} l4-declared none`, `update ${on} l4-declared none`, ...extra, `delete ${on} - -`];
    }),
  );
  const others = ['memory udp4', 'open any', 'open-workers any'].map(name => `${name} 1000 1 - -`);
  assert.deepEqual(kindsOf(report), [...others, ...expected]);

  const lines = run.stdout.trimEnd().split('\n');
  const head = lines.findIndex(line => line.startsWith('work '));
  assert.ok(lines.slice(0, head).some(line => line.startsWith('node ') && line.endsWith(process.version)));
  assert.equal(lines.length - head - 1, report.results.length);
  checkPage(readFileSync(page, 'utf8'), report);
});

/** The page holds every figure and nothing from elsewhere. */
function checkPage(html: string, report: BenchReport): void {
  assert.doesNotMatch(html, /(?:src|href)=|@import|url\(/);
  assert.equal(html.match(/<tr><td>/g)?.length, report.results.length);
  assert.equal(html.match(/<svg /g)?.length, html.match(/<\/svg>/g)?.length);
  assert.doesNotMatch(html, /NaN|Infinity|undefined/);
  for (const { nsPerPacket } of report.results) {
    if (nsPerPacket !== null) assert.ok(html.includes(`<td>${nsPerPacket.toFixed(1)}</td>`));
  }
}

test('slices, threads, rings and latency are measured at one number of connections', () => {
  const file = join(folder, 'rest.json');
  const only = 'batches,variants,threads,rings,latency';
  const flags = ['--connections', '2000', '--quick', '--shards', '2', '--only', only, '--json', file];
  const run = runCommand(...flags, '--html', join(folder, 'rest.html'));
  assert.equal(run.stderr, '');
  const report = readReport(file);
  for (const result of report.results) {
    assert.ok(isPositive(result.nsPerPacket) && isPositive(result.ratioToLimit), JSON.stringify(result));
  }
  const declared = 'l4-declared none';
  const updates = Array(7).fill(`update udp4 2000 1 ${declared}`);
  const threads = [1, 2].flatMap(shards => [
    `threads-create udp4 2000 ${shards} ${declared}`,
    `threads-update udp4 2000 ${shards} ${declared}`,
  ]);
  const rings = `rings udp4 2000 1 ${declared}`;
  const rest = [rings, rings, `latency udp4 2000 1 ${declared}`];
  assert.deepEqual(kindsOf(report), [...updates, 'update tcp4 2000 1 verified none', ...threads, ...rest]);
  const two = report.results.filter(({ shards }) => shards === 2);
  assert.ok(two.every(({ limit }) => limit?.name === 'in-thread'));
  const latency = report.results.find(({ work }) => work === 'latency')?.latencyUs;
  assert.ok(latency !== undefined && latency.p50 > 0 && latency.p50 <= latency.p99 && latency.p999 <= latency.max);
  checkPage(readFileSync(join(folder, 'rest.html'), 'utf8'), report);
});

test('a capture is replayed and compared with reading it', () => {
  const run = runCommand('--connections', '100', '--quick', '--only', 'replay', '--json', '-');
  assert.equal(run.status, 0, run.stderr);
  const [replay] = (JSON.parse(run.stdout) as BenchReport).results;
  assert.equal(replay.limit?.name, 'read');
  assert.ok(isPositive(replay.gigabytesPerSecond) && isPositive(replay.ratioToLimit), JSON.stringify(replay));
});

test('with --json - standard output holds the JSON alone', () => {
  const run = runCommand('--connections', '50', '--quick', '--batch', '7', '--only', 'sizes', '--json', '-');
  assert.equal(run.status, 0, run.stderr);
  const report: BenchReport = JSON.parse(run.stdout);
  assert.equal(report.batch, 7);
  assert.equal(report.quick, true);
});

test("OVS's benchmark prints what ovstest prints", () => {
  const run = runCommand('ovs', 'benchmark', '2', '100000', '32', '1');
  assert.equal(run.stderr, '');
  assert.match(run.stdout, /^conntrack: {2} *\d+ ms\n$/);
});

test("OVS's benchmark of zones prints what ovstest prints", () => {
  const run = runCommand('ovs', 'benchmark-zones', '100', '10', '5');
  assert.equal(run.stderr, '');
  const number = (width: number, digits: number) => (digits === 0 ? ` {1,${width}}\\d+` : ` +\\d+\\.\\d{${digits}}`);
  const row = (name: string, digits: number) =>
    `\\| ${name.padEnd(6)} \\|${number(16, digits)} us \\|${number(19, digits)} us \\|${number(12, digits)} us \\|${number(13, digits)} us \\|\n`;
  const form = [
    'initial packet generation time: \\d+ ms\n',
    'initial insert time: \\d+ ms\n',
    'flush run time: \\d+ ms\n',
    'results:\n',
    ' {9}\\| ct execute \\(commit\\) \\| ct execute \\(no commit\\) \\| flush full zone \\| flush empty zone \\|\n',
    '\\+-{8}\\+-{21}\\+-{24}\\+-{17}\\+-{18}\\+\n',
    row('Min', 0),
    row('Max', 0),
    row('95%ile', 2),
    row('Avg', 2),
  ];
  assert.match(run.stdout, new RegExp(`^${form.join('')}$`));
});

const USAGE_ERRORS = [
  ['--connections', '0'],
  ['--connections', '1000,'],
  ['--connections', '1e3'],
  ['--connections', '32000001'],
  ['--batch', '0'],
  ['--batch', '4096'],
  ['--seed', '-1'],
  ['--only', 'everything'],
  ['--shards', '0'],
  ['--frobnicate'],
  ['argument'],
];

for (const args of USAGE_ERRORS) {
  test(`'${args.join(' ')}' is refused in one line`, async () => {
    let message = '';
    const command = benchCommand.createCommand('bench').copyInheritedSettings(benchCommand);
    for (const option of benchCommand.options) command.addOption(option);
    command.exitOverride().configureOutput({ writeErr: text => (message += text) });
    command.action(() => assert.fail('the benchmark was started'));
    await assert.rejects(command.parseAsync(args, { from: 'user' }), (error: CommanderError) => error.exitCode !== 0);
    assert.match(message, /^error: [^\n]+\n$/);
  });
}

test('a file that cannot be written is named before the run', () => {
  const run = runCommand('--json', join(folder, 'nowhere', 'figures.json'));
  assert.notEqual(run.status, 0);
  assert.match(run.stderr, /nowhere.*cannot write: no such file or directory/);
  assert.equal(run.stdout, '');
});

const TEMPLATES: readonly (readonly [name: string, options: TemplateOptions, bytes: number])[] = [
  ['udp4', UDP4, 64],
  ['udp6', UDP6, 64],
  ['segment', SEGMENT, 1514],
  ['tagged', { ...UDP4, isTagged: true }, 68],
  ['odd payload', { ...UDP4, payload: 23 }, 65],
  ['tcp6 with options', { family: 6, protocol: 'tcp', payload: 1, options: [1, 1, 1, 0] }, 79],
];

for (const [name, options, bytes] of TEMPLATES) {
  test(`frames of ${name} have right sums in both directions`, () => {
    const chunk = new Chunk(createWasmMemory(0), [createTemplate(options)], 0, 512);
    const facts = new Int32Array(FACT_WORDS);
    assert.equal(chunk.template(0).bytes.length, bytes);
    for (let slot = 0; slot < chunk.capacity; slot++) {
      const state = slot % 2 === 0 ? STATE.ESTABLISHED : STATE.REPLY;
      chunk.write(slot, slot * 65_521, state, Math.imul(slot, 0x9e3779b1), Math.imul(slot, 0x85ebca6b));
      const at = slot * chunk.stride;
      const reason = parseFrame(chunk.view, at, at + bytes, 0, 0, facts, 0);
      assert.equal(reasonName(reason), 'none', `slot ${slot}`);
    }
  });
}

for (const mix of MIXES) {
  test(`every ${mix} packet of the timed part is judged right, with all checksums verified`, () => {
    const connections = 3000;
    const engine = openEngine(mix, connections, SEED);
    const traffic = createTraffic({ wasm: engine.memory.wasm, mix, connections, seed: SEED, known: 0 });
    create(engine, traffic, connections, BATCH);
    settle(engine, traffic, connections, BATCH);
    for (let round = 0; round < 20; round++) judgeChunk(engine, traffic.pick(1024), 1024, BATCH);
    // A mix of both families has no one network layer to declare.
    if (mix !== 'mixed') traffic.declare(DECLARED | (mix === 'udp6' ? KNOWN.L3_IPV6 : KNOWN.L3_IPV4));
    judgeChunk(engine, traffic.pick(1024), 1024, BATCH);
    const { events, reasons } = engine.counters();
    assert.equal(events.created, connections);
    assert.equal(reasons[reasonName(REASON.none)], events.packets);
    engine.sweep(LATER_MS);
    assert.equal(engine.connectionCount, 0);
  });
}

test('a run whose packets are not judged as they must be is void', () => {
  const engine = openEngine('udp4', 10, SEED);
  const chunk = new Chunk(engine.memory.wasm, [createTemplate(UDP4)], 0, 32);
  const write = (state: number) => {
    for (let slot = 0; slot < 32; slot++) chunk.write(slot, slot % 10, state);
  };
  write(STATE.NEW);
  judgeChunk(engine, chunk, 32, BATCH);
  write(STATE.ESTABLISHED);
  assert.throws(() => judgeChunk(engine, chunk, 32, BATCH), /void: 32 of 32 packets were not judged est\|trk/);
  chunk.write(0, 0, STATE.NEW);
  chunk.view.setUint16(chunk.template(0).headerSumAt, 1);
  for (let slot = 1; slot < 32; slot++) chunk.write(slot, 0, STATE.NEW);
  assert.throws(() => judgeChunk(engine, chunk, 32, BATCH), /void: 1 of 32 .* \(ipv4-checksum\)/);
  for (let slot = 0; slot < 32; slot++) chunk.write(slot, 100 + slot, STATE.NEW);
  assert.throws(() => judgeChunk(engine, chunk, 32, BATCH), /void: 32 of 32 .* \(table-full\)/);
  chunk.write(0, 0, STATE.NEW);
  assert.throws(() => chunk.check(1), /not judged/);
});

test('the parts of a table add up to what it takes, and only IPv6 takes annexes', () => {
  for (const mix of MIXES) {
    const { map } = openEngine(mix, 1000, SEED).memory;
    const { index, records, annexes, total } = tableBytes(map);
    const rest = total - index - records - annexes;
    const headers = rest - map.regions * map.regionUserWords * 4;
    assert.ok(headers >= 0 && headers < 4096, `${headers} bytes of headers`);
    assert.equal(annexes > 64 * 2, mix === 'udp6' || mix === 'mixed');
  }
});

test('the figure of several rounds is their median', () => {
  assert.deepEqual(figureOf([9, 1, 5]), { median: 5, least: 1, rounds: 3 });
  assert.deepEqual(figureOf([4, 1, 100, 2]), { median: 3, least: 1, rounds: 4 });
});
