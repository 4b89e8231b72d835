/**
 * A slice of the differential fuzzers against a live Open vSwitch, where one is installed. The long runs are made by hand
 * with main.ts; FLOWSHARD_TEST_SEED replaces the seed, FLOWSHARD_FUZZ_PACKETS the number of packets of each kind.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isOvsAvailable, versionOf } from '../support/ovs.js';
import { seedFor } from '../support/random.js';
import { type Filter, run } from './campaign.js';
import { comparable, comparableWith31 } from './differences.js';
import { KINDS } from './kinds.js';
import { hurried, OvsWitness } from './ovs-witness.js';

const SEED = 20260725;
const { FLOWSHARD_FUZZ_PACKETS: wanted = '4000' } = process.env;
const PACKETS = Number(wanted);

const found = isOvsAvailable();
const skip = found.available ? false : found.reason;

describe('Open vSwitch and the engine judge random traffic alike', { skip, concurrency: 2 }, () => {
  for (const kind of KINDS.filter(({ flows }) => flows !== undefined)) {
    test(`${kind.name}: ${PACKETS} packets`, async t => {
      const witness = await OvsWitness.start(kind.flows);
      try {
        if (versionOf(witness.name) < (kind.leastOvs ?? 0)) {
          t.skip(`${witness.name} answers otherwise, ${kind.leastOvs} and later are asked`);
          return;
        }
        const known = versionOf(witness.name) < 4 ? comparableWith31 : comparable;
        const filter: Filter = traffic => known(hurried(traffic));
        const { packets, cases } = await run({ kind, witness, filter, seed: seedFor(SEED), packets: PACKETS });
        assert.ok(packets >= PACKETS);
        t.diagnostic(`${packets} packets in ${cases} cases, ${witness.name}`);
      } finally {
        await witness.close();
      }
    });
  }
});
