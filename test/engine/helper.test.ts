/** The helper of an action: by name in the API and in rules, by number in the words of an action. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type HelperName, NO_HELPER } from '../../src/alg/helpers.js';
import { ACTION, ACTION_WORDS, writeAction } from '../../src/engine/action.js';
import { LocalEngine } from '../../src/engine/local.js';

function helperWord(helper?: HelperName): number {
  const words = new Int32Array(ACTION_WORDS);
  writeAction(words, 0, helper === undefined ? {} : { helper });
  return words[ACTION.HELPER];
}

test('an action names its helper by number', () => {
  assert.deepEqual([helperWord(), helperWord('ftp'), helperWord('tftp')], [NO_HELPER, 1, 2]);
});

test('an unknown helper is refused, and nothing is written', () => {
  const words = new Int32Array(ACTION_WORDS).fill(7);
  const bad = { zone: 1, helper: 'irc' as HelperName };
  assert.throws(() => writeAction(words, 0, bad), /^RangeError: helper must be ftp or tftp: "irc"$/);
  assert.ok(words.every(word => word === 7));
});

test('alg= of a rule is the helper of its action', () => {
  const text = [
    'ip,actions=ct(commit)',
    'tcp,actions=ct(commit,alg=ftp)',
    'udp6,actions=ct(commit,zone=3,alg=tftp)',
  ].join('\n');
  const { memory } = new LocalEngine({ maxConnections: 64, flows: { text } });
  const helpers = [0, 1, 2].map(number => memory.actions[number * ACTION_WORDS + ACTION.HELPER]);
  assert.deepEqual(helpers, [NO_HELPER, 1, 2]);
});
