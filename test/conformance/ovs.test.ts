/** The same rules and packets for a live Open vSwitch and for the engine: every answer and the table are equal. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isOvsAvailable, versionOf } from '../support/ovs.js';
import { CASES } from './cases.js';
import { outcomesOf, skipOf } from './compare.js';

const found = isOvsAvailable();
const version = found.available ? versionOf(found.version) : 0;

describe('Open vSwitch gives the same answers', {
  concurrency: 2,
  skip: found.available ? false : found.reason,
}, () => {
  for (const one of CASES) {
    test(one.title, { skip: skipOf(one, version) }, async () => {
      const { expected, actual } = await outcomesOf(one);
      assert.deepEqual(actual.answers, expected.answers);
      assert.deepEqual(actual.dump, expected.dump);
      if (one.isOrdered) assert.deepEqual(actual.departures, expected.departures);
      if (expected.expectations !== undefined) assert.deepEqual(actual.expectations, expected.expectations);
    });
  }
});
