/**
 * Random rules and random packets for a live Open vSwitch and for the engine: what leaves, how, and the table afterwards.
 * A difference is reduced to the rules and packets that it needs.
 *
 * Imports fast-check, conformance/compare, action-traffic, datagram-traffic, rule-text, script.
 */
import fc from 'fast-check';
import { agree, type Outcomes, outcomesOf } from '../conformance/compare.js';
import type { PacketStep } from '../conformance/judges.js';
import { gatewayTraffic } from './action-traffic.js';
import { datagramTraffic } from './datagram-traffic.js';
import { ruleText } from './rule-text.js';
import { ScriptArbitrary, STEP_WORDS } from './script.js';

/** Steps of a script that make rules; the others make packets. */
const RULE_STEPS = 24;
const PACKET_STEPS = 450;

interface RuleCase {
  readonly rules: readonly string[];
  readonly steps: readonly PacketStep[];
}

function caseOf(seed: number): RuleCase {
  const shape = new ScriptArbitrary(RULE_STEPS + PACKET_STEPS);
  // The longest of a few: rules are to be met by many packets.
  const scripts = fc.sample(shape, { seed, numRuns: 5 });
  const script = scripts.reduce((one, other) => (one.length > other.length ? one : other));
  const split = RULE_STEPS * STEP_WORDS;
  const hasNat = script[0] % 2 === 0;
  const traffic = hasNat ? gatewayTraffic(script.subarray(split)) : datagramTraffic(script.subarray(split));
  const steps = traffic.packets.map(({ frame }) => ({ frame, port: isFromClient(frame) ? 1 : 2, atMs: 0 }));
  return { rules: ruleText(script.subarray(0, split), hasNat), steps };
}

/** Hosts 1 and 2, by the last byte of the source address. */
function isFromClient(frame: Uint8Array): boolean {
  const host = frame[frame[12] === 0x86 ? 37 : 29];
  return host === 1 || host === 2;
}

function outcomes({ rules, steps }: RuleCase): Promise<Outcomes> {
  return outcomesOf({ flows: `${rules.join('\n')}\n`, steps });
}

async function differs(one: RuleCase): Promise<boolean> {
  return !agree(await outcomes(one));
}

/** Leaves out what is not needed, in halves, quarters and so on. */
async function fewer<T>(
  whole: readonly T[],
  stillDiffers: (some: readonly T[]) => Promise<boolean>,
): Promise<readonly T[]> {
  let some = whole;
  for (let count = some.length >> 1; count >= 1; count >>= 1) {
    for (let first = some.length - count; first >= 0; first -= count) {
      const rest = some.filter((_, index) => index < first || index >= first + count);
      if (await stillDiffers(rest)) some = rest;
    }
  }
  return some;
}

async function reduced(whole: RuleCase): Promise<RuleCase> {
  const steps = await fewer(whole.steps, some => differs({ ...whole, steps: some }));
  const rules = await fewer(whole.rules, some => differs({ steps, rules: some }));
  return { steps, rules };
}

/** @throws Error at the first difference */
export async function runRules(seed: number, packets: number): Promise<{ packets: number; cases: number }> {
  let compared = 0;
  let cases = 0;
  for (let round = seed; compared < packets; round++) {
    const whole = caseOf(round);
    compared += whole.steps.length;
    cases++;
    if (!(await differs(whole))) continue;
    const small = await reduced(whole);
    const { expected, actual } = await outcomes(small);
    const lines = expected.answers.map((answer, index) => `${answer}\n  flowshard: ${actual.answers[index]}`);
    const dumps = [`expected: ${expected.dump.join('\n')}`, `actual: ${actual.dump.join('\n')}`];
    const frames = small.steps.map(({ frame }) => Buffer.from(frame).toString('hex'));
    throw new Error([`rules, seed ${round}:`, ...small.rules, ...frames, ...lines, ...dumps].join('\n'));
  }
  return { packets: compared, cases };
}
