/**
 * The same tapes on a live Open vSwitch, where one is installed: what stands on them is what OVS says. OVS_BIN_DIRS and
 * OVS_SCHEMA choose another than the packaged one.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isOvsAvailable, Ovs } from '../support/ovs.js';
import { FLAG_TAPES } from './flag-tapes.js';
import { OPTION_TAPES } from './option-tapes.js';
import { ERROR_TAPES, OTHER_TAPES } from './other-tapes.js';
import { asAsked, frameOf, peersOf, type Tape } from './tape.js';
import { TCP_TAPES } from './tcp-tapes.js';
import { TIMEOUT_TAPES } from './timeout-tapes.js';

const availability = isOvsAvailable();
const skip = availability.available ? false : availability.reason;

const SETS: readonly (readonly [name: string, tapes: readonly Tape[]])[] = [
  ['TCP', TCP_TAPES],
  ['TCP options', OPTION_TAPES],
  ['TCP flags', FLAG_TAPES],
  ['timeouts', TIMEOUT_TAPES],
  ['other protocols', OTHER_TAPES],
  ['ICMP errors', ERROR_TAPES],
];

async function playToOvs(ovs: Ovs, tape: Tape): Promise<void> {
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

describe('OVS says what the tapes say', { skip }, () => {
  let ovs: Ovs;
  before(async () => {
    ovs = await Ovs.start();
  });
  after(() => ovs?.stop());
  for (const [name, tapes] of SETS) {
    test(`${name}: ${tapes.length} tapes`, async () => {
      const faults: string[] = [];
      for (const tape of tapes) {
        await playToOvs(ovs, tape).catch(error => faults.push(error instanceof Error ? error.message : String(error)));
      }
      assert.deepEqual(faults, []);
    });
  }
});
