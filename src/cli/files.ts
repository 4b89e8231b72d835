/**
 * Files on the command line: their names, and that what is written must not be what is read or written besides.
 *
 * Imports commander, pcap/descriptor. Imported by the commands of cli/.
 */
import { type BigIntStats, fstatSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { oneLine } from '../pcap/descriptor.js';

const STANDARD_INPUT = 0;
const STANDARD_OUTPUT = 1;

/** The parser of a file's name, for commander. */
export function fileName(text: string): string {
  if (text === '') throw new InvalidArgumentError('Expected is the name of a file.');
  return text;
}

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

/** Whether writing to both would leave what one of them got. */
export function isSameTarget(a: string, b: string): boolean {
  if (resolve(a) === resolve(b)) return true;
  const [first, second] = [a, b].map(path => statusOf(path, STANDARD_OUTPUT));
  return first?.isFile() === true && isSame(first, second);
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
