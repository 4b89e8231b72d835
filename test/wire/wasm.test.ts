/**
 * Where there is no WebAssembly the program says so.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

test('without WebAssembly: an error that says what is missing', () => {
  const module = new URL('../../src/index.js', import.meta.url).href;
  const script = `await import(${JSON.stringify(module)}).catch(error => console.log(error.message));`;
  const { stdout } = spawnSync(process.execPath, ['--jitless', '--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  assert.equal(stdout, 'flowshard needs WebAssembly, which --jitless switches off\n');
});
