/** Help, wrong usage and captures that cannot be read: the exit code, and one line that says what is wrong with what. */
import assert from 'node:assert/strict';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { devNull } from 'node:os';
import { dirname } from 'node:path';
import { describe, test } from 'node:test';
import { scratch } from '../pcap/build.js';
import { goldenPath, MAIN, run } from './program.js';

const { file, path } = scratch();
const CAPTURE = goldenPath('ping.pcap');
const EMPTY = file('empty.pcap', new Uint8Array());
const TEXT = file('notes.txt', Buffer.from('not a capture\n'));
const TEXT_LINK = path('link.txt');
symlinkSync(TEXT, TEXT_LINK);
const ODD_NAME = path('two\nlines.pcap');

interface Case {
  readonly args: readonly string[];
  readonly code: number;
  readonly line: string;
}

const CASES: readonly Case[] = [
  { args: [], code: 2, line: "expected a command, see 'flowshard --help'" },
  { args: ['repaly'], code: 2, line: "unknown command 'repaly' (Did you mean replay?)" },
  { args: ['replay'], code: 2, line: "missing required argument 'file'" },
  { args: ['replay', 'a', 'b'], code: 2, line: "too many arguments for 'replay'. Expected 1 argument but got 2." },
  { args: ['replay', '--sates', 'a'], code: 2, line: "unknown option '--sates' (Did you mean --states?)" },
  { args: ['replay', '-m', 'a'], code: 2, line: "option '-m, --more' needs --dump" },
  { args: ['replay', '-s', 'a'], code: 2, line: "option '-s, --statistics' needs --dump" },
  {
    args: ['replay', '--states', '--json', 'a'],
    code: 2,
    line: "option '--states' cannot be used with option '--json'",
  },
  {
    args: ['replay', '--json', '--states', 'a'],
    code: 2,
    line: "option '--states' cannot be used with option '--json'",
  },
  ...['--states', '--json', '--dump'].map(option => ({
    args: ['replay', 'a', option, '--write', '-'],
    code: 2,
    line: `option '--write -' cannot be used with option '${option}'`,
  })),
  { args: ['help', 'nope'], code: 2, line: "unknown command 'nope'" },
  { args: ['flood', 'help', 'nope'], code: 2, line: "unknown command 'nope'" },
  { args: ['flood'], code: 2, line: "expected a command, see 'flowshard --help'" },
  {
    args: ['replay', ''],
    code: 2,
    line: "command-argument value '' is invalid for argument 'file'. Expected is the name of a file.",
  },
  ...[
    ['replay', 'a', '--write'],
    ['replay', 'a', '--flows'],
    ['flood', 'syn', '--write'],
    ['bench', '--json'],
    ['bench', '--html'],
  ].map(args => ({
    args: [...args, ''],
    code: 2,
    line: `option '${args.at(-1)} <file>' argument '' is invalid. Expected is the name of a file.`,
  })),
  ...[
    ['x', './x'],
    ['-', '-'],
    [TEXT, TEXT_LINK],
  ].map(([json, html]) => ({
    args: ['bench', '--json', json, '--html', html],
    code: 2,
    line: "options '--json' and '--html' name the same file",
  })),
  { args: ['bench', 'ovs'], code: 2, line: "expected a command, see 'flowshard --help'" },
  {
    args: ['bench', 'ovs', 'benchmark', '0', '1', '1'],
    code: 2,
    line: "command-argument value '0' is invalid for argument 'n_threads'. Allowed are whole numbers from 1 to 256.",
  },
  { args: ['bench', 'ovs', 'benchmark', '1'], code: 2, line: "missing required argument 'n_pkts'" },
  { args: ['bench', 'ovs', 'benchmrk'], code: 2, line: "unknown command 'benchmrk' (Did you mean benchmark?)" },
  ...[
    ['bench', '--json', 'x', 'ovs', 'benchmark'],
    ['bench', 'ovs', '--json', 'x', 'benchmark'],
    ['bench', 'ovs', 'benchmark', '--json', 'x'],
  ].map(args => ({
    args: [...args, '1', '1', '1'],
    code: 2,
    line: "option '--json <file>' cannot be used with 'ovs'",
  })),
  { args: ['replay', 'a', '--shards'], code: 2, line: "option '--shards <n>' argument missing" },
  ...['0', '257', '-1', '1.5', '1e2', 'four', ''].map(value => badNumber('--shards', value, 1, 256)),
  badNumber('--zone', '65536', 0, 65535),
  badNumber('--max-connections', '0', 1, 29_000_000),
  badNumber('--seed', '9007199254740992', 0, Number.MAX_SAFE_INTEGER),
  badNumber('--default-zone-limit', '2147483646', 0, 2_147_483_645),
  badZone('--zone-limit <zone=n>', ['5'], 'Expected is a zone and what it gets, as in 5=10.'),
  badZone('--zone-limit <zone=n>', ['65536=1'], 'Allowed are whole numbers from 0 to 65535.'),
  badZone('--zone-limit <zone=n>', ['5=-1'], 'Allowed are whole numbers from 0 to 2147483645.'),
  badZone('--zone-limit <zone=n>', ['5=1', '5=2'], 'Zone 5 is named twice.'),
  badZone(
    '--zone-timeout <zone=timeouts>',
    ['5'],
    'Expected is a zone and what it gets, as in 5=udp_first=3,udp_single=5.',
  ),
  badZone('--zone-timeout <zone=timeouts>', ['5='], 'No timeout is given.'),
  badZone('--zone-timeout <zone=timeouts>', ['5=udp_first=3,udp_last=4'], 'not a timeout: udp_last=4'),
  badZone('--zone-timeout <zone=timeouts>', ['5=udp_first=3s'], 'not a timeout: udp_first=3s'),
  badZone(
    '--zone-timeout <zone=timeouts>',
    Array.from({ length: 256 }, (_, zone) => `${zone}=udp_first=3`),
    'Timeouts can be given to 255 zones at most.',
  ),
  {
    args: ['replay', 'a', '--clock', 'sun'],
    code: 2,
    line: "option '--clock <clock>' argument 'sun' is invalid. Allowed choices are capture, wall, frozen.",
  },
  {
    args: ['replay', 'a', '--log-level', 'loud'],
    code: 2,
    line:
      "option '--log-level <level>' argument 'loud' is invalid. " +
      'Allowed choices are trace, debug, info, warn, error, fatal, silent.',
  },
  { args: ['replay', '/no/such.pcap'], code: 1, line: '/no/such.pcap: cannot open: no such file or directory' },
  { args: ['replay', dirname(EMPTY)], code: 1, line: `${dirname(EMPTY)}: is a directory, expected a capture file` },
  { args: ['replay', EMPTY], code: 1, line: `${EMPTY}: empty, expected a capture at byte 0` },
  { args: ['replay', devNull], code: 1, line: `${devNull}: empty, expected a capture at byte 0` },
  { args: ['replay', '-'], code: 1, line: 'standard input: empty, expected a capture at byte 0' },
  {
    args: ['replay', TEXT],
    code: 1,
    line: `${TEXT}: neither a pcap nor a pcapng capture, it starts with 6e 6f 74 20 at byte 0`,
  },
  {
    args: ['replay', ODD_NAME],
    code: 1,
    line: `${ODD_NAME.replace('\n', '?')}: cannot open: no such file or directory`,
  },
];

function badNumber(option: string, value: string, least: number, most: number): Case {
  const allowed = `Allowed are whole numbers from ${least} to ${most}.`;
  return {
    args: ['replay', 'a', option, value],
    code: 2,
    line: `option '${option} <n>' argument '${value}' is invalid. ${allowed}`,
  };
}

/** The last of the values is at fault. */
function badZone(option: string, values: readonly string[], why: string): Case {
  const [name] = option.split(' ');
  return {
    args: ['replay', 'a', ...values.flatMap(value => [name, value])],
    code: 2,
    line: `option '${option}' argument '${values.at(-1)}' is invalid. ${why}`,
  };
}

describe('one line on standard error', { concurrency: 2 }, () => {
  for (const { args, code, line } of CASES) {
    test(`flowshard ${args.join(' ')}`, async () => {
      assert.deepEqual(await run(args), { code, stdout: '', stderr: `flowshard: ${line}\n` });
    });
  }
});

describe('help', { concurrency: 2 }, () => {
  test('of the program', async () => {
    const { code, stdout, stderr } = await run(['--help']);
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /^Usage: flowshard \[options\] \[command\]\n/);
    for (const word of ['replay', 'bench', '--debug', '--log-level', '--version'])
      assert.ok(stdout.includes(word), word);
  });

  test('of replay', async () => {
    const { code, stdout, stderr } = await run(['replay', '--help']);
    assert.deepEqual([code, stderr], [0, '']);
    const options = ['states', 'json', 'dump', 'shards', 'clock', 'zone', 'no-commit', 'seed', 'no-seq-check'];
    for (const option of options) assert.ok(stdout.includes(`--${option}`), option);
  });

  test('of bench: the numbers of connections', async () => {
    const { stdout } = await run(['bench', '--help']);
    assert.match(stdout.replace(/\s+/g, ' '), /numbers of connections \(default: 1000,.*; with --quick \d[\d,]*\)/);
  });

  test('of a command under bench: the options of the program, not those of bench', async () => {
    const { code, stdout } = await run(['bench', 'ovs', 'benchmark', '--help']);
    assert.equal(code, 0);
    assert.match(stdout, /^Usage: flowshard bench ovs benchmark /);
    assert.ok(stdout.includes('print what there is to say') && stdout.includes('--log-level'));
    assert.ok(!stdout.includes('--connections'));
  });

  test('the version is that of the package', async () => {
    assert.match((await run(['--version'])).stdout, /^\d+\.\d+\.\d+\n$/);
  });
});

describe('what the general options add', { concurrency: 2 }, () => {
  test('--debug: where an error comes from', async () => {
    const { code, stderr } = await run(['replay', '--debug', EMPTY]);
    assert.equal(code, 1);
    assert.match(stderr, /^flowshard: .* at byte 0\nCaptureError: .*\n {4}at .*[\s\S]*\bpcap\/reader\.[jt]s/);
  });

  test('--log-level: the life of the engine, in JSON', async () => {
    const { code, stderr } = await run(['replay', CAPTURE, '--states', '--log-level', 'info', '--shards', '2']);
    assert.equal(code, 0);
    const messages = stderr
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line));
    assert.deepEqual(
      messages.map(message => message.msg),
      ['capture opened', 'engine opened', 'engine closing', 'engine closed'],
    );
    assert.equal(messages[1].shards, 2);
  });

  test('the program can be run by its path', () => {
    assert.ok(readFileSync(MAIN, 'utf8').startsWith('#!/usr/bin/env node\n'));
  });
});

test('a package is built before it is packed, also by npm pack --dry-run, and is for Linux', () => {
  const manifest = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  assert.equal(manifest.scripts.prepack, 'npm run -s setup --no-dry-run && npm run -s build');
  assert.deepEqual(manifest.os, ['linux']);
});

test('a table that is too large for its memory', async () => {
  const { code, stdout, stderr } = await run(['replay', CAPTURE, '--max-connections', '29000000', '--shards', '256']);
  assert.deepEqual([code, stdout], [1, '']);
  assert.match(
    stderr,
    /^flowshard: maxConnections 29000000 and .* would take a table of \d+ bytes, the most is \d+\n$/,
  );
});

test('a name with a space is one name', async () => {
  const name = path('my capture.pcap');
  writeFileSync(name, new Uint8Array([1, 2]));
  const { stderr } = await run(['replay', name]);
  assert.equal(stderr, `flowshard: ${name}: too short to be a capture at byte 0\n`);
});
