/**
 * The same tapes on a live Open vSwitch, where one is installed: what stands on them is what OVS says. OVS_BIN_DIRS and
 * OVS_SCHEMA choose another than the packaged one.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isOvsAvailable, Ovs } from '../support/ovs.js';
import { playToOvs, TAPE_SETS } from './ovs-player.js';

const availability = isOvsAvailable();
const skip = availability.available ? false : availability.reason;

describe('OVS says what the tapes say', { skip }, () => {
  let ovs: Ovs;
  before(async () => {
    ovs = await Ovs.start();
  });
  after(() => ovs?.stop());
  for (const [name, tapes] of TAPE_SETS) {
    test(`${name}: ${tapes.length} tapes`, async () => {
      const faults: string[] = [];
      for (const tape of tapes) {
        await playToOvs(ovs, tape).catch(error => faults.push(error instanceof Error ? error.message : String(error)));
      }
      assert.deepEqual(faults, []);
    });
  }
});
