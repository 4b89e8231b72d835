/**
 * Files on the command line: what is written must not be what is read.
 *
 * Imports pcap/descriptor. Imported by replay.
 */
import { type BigIntStats, fstatSync, statSync } from 'node:fs';
import { oneLine } from '../pcap/descriptor.js';

const STANDARD_INPUT = 0;
const STANDARD_OUTPUT = 1;

/** What `look` finds; undefined where there is nothing, or nothing to be seen: whoever opens it says why. */
function statusBy(look: () => BigIntStats): BigIntStats | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}

/** @param descriptor what `-` stands for */
function statusOf(path: string, descriptor: number): BigIntStats | undefined {
  return statusBy(() => (path === '-' ? fstatSync(descriptor, { bigint: true }) : statSync(path, { bigint: true })));
}

/** Whether two names, however different, stand for one file. */
function isSame(a: BigIntStats, b: BigIntStats | undefined): boolean {
  return a.ino === b?.ino && a.dev === b.dev;
}

/**
 * Says that writing to `target` would destroy what is read, before anything is opened.
 * @throws Error with a one-line message
 */
export function refuseOverwriting(target: string, capture: string, flows: string | undefined): void {
  const written = statusOf(target, STANDARD_OUTPUT);
  // Pipes and devices can be both ends of something.
  if (!written?.isFile()) return;
  const name = target === '-' ? 'standard output' : oneLine(target);
  if (isSame(written, statusOf(capture, STANDARD_INPUT))) throw new Error(`${name}: would overwrite the capture`);
  if (flows === undefined) return;
  const rules = statusBy(() => statSync(flows, { bigint: true }));
  if (isSame(written, rules)) throw new Error(`${name}: would overwrite the flow rules`);
}
