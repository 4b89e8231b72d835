/**
 * The process of observe(): arguments are kind, clock, seconds and milliseconds between two looks; prints what was
 * Observed as JSON.
 *
 * Imports machine, observed, flood/. Nobody imports it.
 */
import { readFileSync } from 'node:fs';
import type { FloodKind } from '../src/flood/kinds.js';
import { usageNow } from '../src/flood/report.js';
import { FloodRun } from '../src/flood/run.js';
import { collectGarbage } from './machine.js';
import { type FloodClock, floodOptions, type Look, type Observed } from './observed.js';

function lookAtMemory(): Look {
  collectGarbage();
  const [, kib] = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return { ...usageNow(), ownBytes: Number(kib) * 1024 };
}

const [kind, clock, seconds, lookMs] = process.argv.slice(2);
const looks: Look[] = [];
const options = floodOptions(kind as FloodKind, clock as FloodClock, Number(seconds));
const run = await FloodRun.open(options, ({ elapsedMs }) => {
  if (elapsedMs >= (looks.length + 1) * Number(lookMs)) looks.push(lookAtMemory());
});
const report = await run.run();
console.log(JSON.stringify({ report, looks } satisfies Observed));
