/**
 * The command line of bench:floods: what it refuses, and one short point from end to end. What its figures are is its
 * own business, since other tests run beside it.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('../../bench/floods.js', import.meta.url));

function run(...args: string[]) {
  return spawnSync(process.execPath, [PROGRAM, ...args], { encoding: 'utf8', timeout: 240_000 });
}

for (const [args, message] of [
  [['--points', '1,9'], '--points: there is no point 9'],
  [['--minutes', 'many'], '--minutes must be a whole number from 2 on: many'],
  [['--minutes', '1'], '--minutes must be a whole number from 2 on: 1'],
  [['--speed'], "Unknown option '--speed'"],
] as const) {
  test(`bench:floods ${args.join(' ')}: one line and exit code 2`, () => {
    const { status, stdout, stderr } = run(...args);
    assert.deepEqual([status, stdout], [2, '']);
    assert.equal(stderr, `bench:floods: ${message}\n`);
  });
}

test('one seed twice, every kind: found, with its limit', () => {
  const { status, stdout, stderr } = run('--points', '4');
  assert.deepEqual([status, stderr], [0, '']);
  assert.match(stdout, /^kept +4 .*verdicts, counters and evictions\n +0 of 14 kinds differ/m);
  assert.match(stdout, /\nall kept\n$/);
});
