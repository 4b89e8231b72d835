/** The same rules and packets for a live Open vSwitch and for the engine: every answer and the table are equal. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isOvsAvailable, versionOf } from '../support/ovs.js';
import { CASES } from './cases.js';
import { asTold, LocalJudge, OvsJudge, outcomeOf } from './judges.js';

const found = isOvsAvailable();
const version = found.available ? versionOf(found.version) : 0;

describe('Open vSwitch gives the same answers', {
  concurrency: 2,
  skip: found.available ? false : found.reason,
}, () => {
  for (const { title, flows, steps, since, differs, isOrdered } of CASES) {
    const skip =
      (since !== undefined && version < since.version && `Open vSwitch ${version}: ${since.before}`) ||
      (differs !== undefined && `differs: ${differs}`);
    test(title, { skip }, async () => {
      const expected = await outcomeOf(await OvsJudge.start(flows), steps);
      const actual = await outcomeOf(new LocalJudge(flows), steps);
      assert.deepEqual(
        actual.answers.map((answer, index) => asTold(answer, expected.answers[index])),
        expected.answers,
      );
      assert.deepEqual(actual.dump, expected.dump);
      if (isOrdered) assert.deepEqual(actual.departures, expected.departures);
    });
  }
});
