/** Every golden capture through the program: verdicts and table are those of Open vSwitch, whatever the shards. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { goldenCaptures, goldenPath, goldenText, run, splitJson, statesOf } from './program.js';

const SHARDS = ['1', '2', '4'];
/** A table no larger than needed: less memory to take, and the same answers. The default has its turn with 2 shards. */
const SMALL_TABLE = ['--max-connections', '10000'];
/** Captures that were answered with the clock standing still: any clock gives the same states. Some are enough. */
const FROZEN = ['mixed', 'port-reuse', 'malformed'];

describe('golden captures', { concurrency: 2 }, () => {
  for (const { name } of goldenCaptures()) {
    const capture = goldenPath(`${name}.pcap`);
    const states = goldenText(`${name}.states`);
    for (const shards of SHARDS) {
      const size = shards === '2' ? [] : SMALL_TABLE;
      test(`${name}, ${shards} shards: --states --dump -s`, async () => {
        const outcome = await run(['replay', capture, '--shards', shards, '--states', '--dump', '-s', ...size]);
        assert.equal(outcome.stdout, states + goldenText(`${name}.dump`));
        assert.deepEqual([outcome.code, outcome.stderr], [0, '']);
      });
      test(`${name}, ${shards} shards: --json --dump -m -s`, async () => {
        const outcome = await run(['replay', capture, '--shards', shards, '--json', '--dump', '-m', '-s', ...size]);
        const { objects, rest } = splitJson(outcome.stdout);
        assert.equal(statesOf(objects), states);
        assert.equal(rest, goldenText(`${name}.dump-m`));
        assert.deepEqual([outcome.code, outcome.stderr], [0, '']);
      });
    }
  }
  for (const name of FROZEN) {
    test(`${name}: --clock frozen`, async () => {
      const { code, stdout } = await run(['replay', goldenPath(`${name}.pcap`), '--states', '--clock', 'frozen']);
      assert.equal(stdout, goldenText(`${name}.states`));
      assert.equal(code, 0);
    });
  }
});
