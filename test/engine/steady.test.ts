/**
 * The packet loop in its steady state is compiled once and for all: 1.3 million packets of UDP and TCP, IPv4, IPv6 and
 * both, and V8 takes back none of the code (`--trace-deopt`) and collects no garbage (`--trace-gc`).
 *
 * V8 compiles beside the program, at its own time: now and then it takes something back only after the warming up.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { STEADY_BEGINS, STEADY_ENDS } from './steady-lines.js';

const PROGRAM = fileURLToPath(new URL('steady-loop.js', import.meta.url));
const ATTEMPTS = 3;
const TIMEOUT_MS = 120_000;

const run = promisify(execFile);

/** What V8 said of code taken back and of garbage collected, before and while packets counted. */
async function watch(): Promise<{ before: string[]; during: string[] }> {
  const flags = ['--trace-deopt', '--trace-gc'];
  const { stdout } = await run(process.execPath, [...flags, PROGRAM], { timeout: TIMEOUT_MS, maxBuffer: 1 << 27 });
  const lines = stdout.split('\n');
  const begins = lines.indexOf(STEADY_BEGINS);
  const ends = lines.indexOf(STEADY_ENDS);
  assert.ok(begins >= 0 && ends > begins, 'the program has come to its end');
  const told = lines.map(line => (/bailout \(|Scavenge|Mark-Compact/.test(line) ? line : ''));
  return {
    before: told.slice(0, begins).filter(line => line !== ''),
    during: told.slice(begins, ends).filter(line => line !== ''),
  };
}

test('the steady packet loop is neither deoptimised nor interrupted by the garbage collector', async () => {
  let during: string[] = [];
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const told = await watch();
    during = told.during;
    assert.ok(told.before.some(line => line.includes('bailout')) && told.before.length > during.length);
    if (during.length === 0) return;
  }
  assert.deepEqual(during, []);
});
