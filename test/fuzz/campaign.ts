/**
 * A campaign: cases of one kind until so many packets have been compared, each shown to a witness and to the engine.
 *
 * A difference is shrunk to the smallest case that still shows one; with the seed that finds it again and the capture it
 * becomes an error.
 *
 * Imports fast-check, record/pcap, differences, engine-witness, script, traffic, verdicts, witness, the kinds of traffic.
 */
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { writePcap } from '../record/pcap.js';
import { comparable } from './differences.js';
import { EngineWitness } from './engine-witness.js';
import { type Script, ScriptArbitrary } from './script.js';
import { type Actions, CLEAR, type Traffic } from './traffic.js';
import { isSame, type Verdicts } from './verdicts.js';
import type { Witness } from './witness.js';

/** A kind of traffic. */
export interface Kind {
  readonly name: string;
  readonly actions: Actions;
  /** The actions as flow rules, where packets show which one they pass. */
  readonly flows?: string;
  readonly maxSteps: number;
  /** Packets may be held, and leave after later ones. */
  readonly hasFragments?: true;
  /** First major version of Open vSwitch that this is asked of; earlier ones differ. Default: any. */
  readonly leastOvs?: number;
  traffic(script: Script): Traffic;
}

/** Traffic with some packets left out. */
export type Filter = (traffic: Traffic) => Traffic;

export interface Campaign {
  readonly kind: Kind;
  readonly witness: Witness;
  /** Leaves out what this witness is not to be asked. */
  readonly filter?: Filter;
  readonly seed: number;
  /** Ends after the case in which so many have been compared. */
  readonly packets: number;
  /** Where the capture of a difference is written. Default: the directory for temporary files. */
  readonly directory?: string;
}

export interface Outcome {
  readonly packets: number;
  readonly cases: number;
}

/** Cases that fast-check makes from one seed at the most; the next ones come from the next seed. */
const CASES_PER_SEED = 200;
/** Packets of a case, about: how many cases are still to come is reckoned with it. */
const USUAL_PACKETS = 100;

function capture(path: string, { packets }: Traffic): void {
  writePcap(
    path,
    packets.map(({ frame, timeMs }) => ({ time: timeMs * 1000, data: Buffer.from(frame), length: frame.length })),
  );
}

/** A line per packet: when it came, what it passed, and what was said of it. */
function account({ packets }: Traffic, actions: Actions, expected: Verdicts, actual: Verdicts): string {
  const named = (action: number) => {
    if (action === CLEAR) return 'ct_clear';
    return JSON.stringify(actions[action], (_, value) =>
      typeof value === 'bigint' ? `0x${value.toString(16)}` : value,
    );
  };
  const table = ({ dump, expectations = [] }: Verdicts) => [...dump, ...expectations].join('\n          ');
  return packets
    .map(({ timeMs, passes }, packet) => {
      const said = [expected.text(packet), actual.text(packet)];
      const what = `${packet + 1}: ${timeMs} ms, ${passes.map(named).join(' then ')}\n`;
      return `${what}   ${said[0]}\n${said[0] === said[1] ? '' : `   flowshard: ${said[1]}\n`}`;
    })
    .join('')
    .concat(`expected: ${table(expected)}\n   actual: ${table(actual)}\n`);
}

/** Leaves out what packets the difference does not need. */
async function reduced(
  whole: Traffic,
  filter: Filter,
  differs: (traffic: Traffic) => Promise<boolean>,
): Promise<Traffic> {
  let traffic = whole;
  for (let count = traffic.packets.length >> 1; count >= 1; count >>= 1) {
    for (let first = traffic.packets.length - count; first >= 0; first -= count) {
      const packets = traffic.packets.filter((_, index) => index < first || index >= first + count);
      const fewer = filter({ ...traffic, packets });
      if (fewer.packets.length > 0 && (await differs(fewer))) traffic = fewer;
    }
  }
  return traffic;
}

/** @throws Error at the first difference */
export async function run(campaign: Campaign): Promise<Outcome> {
  const { kind, witness, filter = comparable, seed, packets, directory = tmpdir() } = campaign;
  const engine = new EngineWitness(kind.actions);
  let compared = 0;
  let cases = 0;
  const judge = async (traffic: Traffic) => {
    compared += traffic.packets.length;
    cases++;
    const expected = await witness.judge(traffic);
    const actual = await engine.judge(traffic);
    return { expected, actual, same: isSame(expected, actual) };
  };
  for (let round = seed; compared < packets; round++) {
    const property = fc.asyncProperty(new ScriptArbitrary(kind.maxSteps), async script => {
      return (await judge(filter(kind.traffic(script)))).same;
    });
    const numRuns = Math.min(CASES_PER_SEED, Math.ceil((packets - compared) / USUAL_PACKETS));
    const { failed, counterexample } = await fc.check(property, { seed: round, numRuns });
    if (!failed || counterexample === null) continue;
    const whole = filter(kind.traffic(counterexample[0]));
    const traffic = await reduced(whole, filter, async one => !(await judge(one)).same);
    const { expected, actual } = await judge(traffic);
    const path = join(directory, `flowshard-${kind.name}-${round}`);
    const text = `${kind.name}, seed ${round}: ${witness.name} and flowshard differ\n`;
    capture(`${path}.pcap`, traffic);
    const said = text + account(traffic, kind.actions, expected, actual);
    writeFileSync(`${path}.txt`, said);
    throw new Error(`${said}${path}.pcap`);
  }
  await engine.close();
  return { packets: compared, cases };
}
