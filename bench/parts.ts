/**
 * The program behind `npm run bench:parts`: tinybench over the parts of the engine. For the whole, see
 * `flowshard bench`.
 *
 * Imports machine, part, parts-wire, parts-table, program. Nobody imports it.
 */
import { parseArgs } from 'node:util';
import { collectGarbage, currentCommit, describeMachine } from './machine.js';
import { measureParts, PART_HEAD, type PartGroup, partLine, sink } from './part.js';
import { TABLE_GROUPS } from './parts-table.js';
import { hashParts, parseParts } from './parts-wire.js';
import { runProgram } from './program.js';

const GROUPS: readonly PartGroup[] = [parseParts, hashParts, ...TABLE_GROUPS];
const SEED = 1;
const DEFAULT_MS = 200;

interface Wish {
  /** Milliseconds of calls per part. */
  readonly ms: number;
  /** Only parts whose name contains it. */
  readonly pattern: string;
}

/** @throws Error with a one-line message for arguments that mean nothing */
function readWish(): Wish {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { time: { type: 'string' } } });
  const ms = values.time === undefined ? DEFAULT_MS : Number(values.time);
  if (!Number.isInteger(ms) || ms < 1) throw new Error(`--time takes milliseconds, 1 or more: ${values.time}`);
  if (positionals.length > 1) throw new Error('parts.js takes one pattern at the most');
  return { ms, pattern: positionals[0] ?? '' };
}

function run({ ms, pattern }: Wish): boolean {
  const { cpu, cores, platform } = describeMachine();
  console.log(`machine  ${cpu}, ${cores} cores, ${platform}`);
  console.log(`node     ${process.version}`);
  console.log(`commit   ${currentCommit() ?? 'unknown'}`);
  console.log(`seed     ${SEED}`);
  console.log('shards   none: all on this thread\n');
  console.log(PART_HEAD);
  for (const group of GROUPS) {
    const parts = group(SEED).filter(part => part.name.includes(pattern));
    for (const figure of measureParts(parts, ms)) console.log(partLine(figure));
    collectGarbage();
  }
  console.log(`\nsink     ${sink.value}`);
  return true;
}

await runProgram('bench:parts', readWish, run);
