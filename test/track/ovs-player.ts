/**
 * All tapes, and how they are played to a live Open vSwitch.
 *
 * Imports support/ovs, tape and the tapes. Imported by the test of the tapes and by conformance/main.
 */
import assert from 'node:assert/strict';
import type { Ovs } from '../support/ovs.js';
import { FLAG_TAPES } from './flag-tapes.js';
import { OPTION_TAPES } from './option-tapes.js';
import { ERROR_TAPES, OTHER_TAPES } from './other-tapes.js';
import { asAsked, frameOf, peersOf, type Tape } from './tape.js';
import { TCP_TAPES } from './tcp-tapes.js';
import { TIMEOUT_TAPES } from './timeout-tapes.js';

export const TAPE_SETS: readonly (readonly [name: string, tapes: readonly Tape[]])[] = [
  ['TCP', TCP_TAPES],
  ['TCP options', OPTION_TAPES],
  ['TCP flags', FLAG_TAPES],
  ['timeouts', TIMEOUT_TAPES],
  ['other protocols', OTHER_TAPES],
  ['ICMP errors', ERROR_TAPES],
];

/** @throws AssertionError when Open vSwitch says something else than the tape */
export async function playToOvs(ovs: Ovs, tape: Tape): Promise<void> {
  await ovs.command('dpctl/flush-conntrack');
  await ovs.command(tape.checksSequence === false ? 'dpctl/ct-disable-tcp-seq-chk' : 'dpctl/ct-enable-tcp-seq-chk');
  let clockMs = 0;
  const seen: unknown[] = [];
  for (const step of tape.steps) {
    if (step.atMs > clockMs) await ovs.warp(step.atMs - clockMs);
    clockMs = Math.max(clockMs, step.atMs);
    const [report] = await ovs.inject([{ data: frameOf(step, tape.family) }]);
    const lines = step.peers === undefined ? [] : await ovs.dump('-m');
    assert.ok(lines.length <= 1, tape.name);
    seen.push([step.atMs, report?.state, asAsked(peersOf(lines[0]), step.peers)]);
  }
  const expected = tape.steps.map(({ atMs, verdict, peers = '' }) => {
    return [atMs, verdict.endsWith('trk') ? verdict : 'inv|trk', peers];
  });
  assert.deepEqual(seen, expected, tape.name);
}
