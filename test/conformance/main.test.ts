/** The command `npm run conformance` where there is nothing to ask, and with options that it does not have. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));

function conformance(...options: readonly string[]) {
  const nowhere = { OVS_BIN_DIRS: '/nowhere', OVS_SCHEMA: '/nowhere/vswitch.ovsschema' };
  return spawnSync(process.execPath, [MAIN, ...options], { env: nowhere, encoding: 'utf8', timeout: 30_000 });
}

test('says why nothing is compared without Open vSwitch, and does not fail', () => {
  const { stdout, status } = conformance();
  assert.equal(stdout, 'Nothing is compared: no OVS database schema at /nowhere/vswitch.ovsschema\n');
  assert.equal(status, 0);
});

test('refuses an option that it does not have in one line', () => {
  const { stdout, stderr, status } = conformance('--all');
  assert.deepEqual([stdout, stderr, status], ['', 'conformance takes no --all; it takes --record [names...]\n', 2]);
});
