/**
 * A campaign: cases of one kind until so many packets have been compared, each shown to a witness and to the engine.
 *
 * A difference is shrunk to the smallest case that still shows one; with the seed that finds it again and the capture it
 * becomes an error.
 *
 * Imports fast-check, record/pcap, differences, engine-witness, script, traffic, verdicts, witness, the kinds of traffic.
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { writePcap } from '../record/pcap.js';
import { comparable } from './differences.js';
import { EngineWitness } from './engine-witness.js';
import { type Script, ScriptArbitrary } from './script.js';
import type { Actions, Traffic } from './traffic.js';
import { type Difference, firstDifference } from './verdicts.js';
import type { Witness } from './witness.js';

/** A kind of traffic. */
export interface Kind {
  readonly name: string;
  readonly actions: Actions;
  readonly maxSteps: number;
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

function describe(traffic: Traffic, { packet, expected, actual }: Difference, witness: string): string {
  const { passes = [], timeMs = 0 } = traffic.packets[packet] ?? {};
  const what =
    packet < traffic.packets.length ? `packet ${packet + 1}, at ${timeMs} ms, actions ${passes}` : 'the dump';
  return `${what}\n  ${witness}: ${expected}\n  flowshard: ${actual}`;
}

/** Leaves out what packets the difference does not need. */
async function reduced(whole: Traffic, differs: (traffic: Traffic) => Promise<boolean>): Promise<Traffic> {
  let traffic = whole;
  for (let count = traffic.packets.length >> 1; count >= 1; count >>= 1) {
    for (let first = traffic.packets.length - count; first >= 0; first -= count) {
      const packets = traffic.packets.filter((_, index) => index < first || index >= first + count);
      const fewer = { ...traffic, packets };
      if (packets.length > 0 && (await differs(fewer))) traffic = fewer;
    }
  }
  return traffic;
}

/** @throws Error at the first difference */
export async function run({
  kind,
  witness,
  filter = comparable,
  seed,
  packets,
  directory = tmpdir(),
}: Campaign): Promise<Outcome> {
  const engine = new EngineWitness(kind.actions);
  let compared = 0;
  let cases = 0;
  const difference = async (traffic: Traffic) => {
    const expected = await witness.judge(traffic);
    compared += traffic.packets.length;
    cases++;
    return firstDifference(expected, await engine.judge(traffic));
  };
  for (let round = seed; compared < packets; round++) {
    const property = fc.asyncProperty(new ScriptArbitrary(kind.maxSteps), async script => {
      return (await difference(filter(kind.traffic(script)))) === undefined;
    });
    const numRuns = Math.min(CASES_PER_SEED, Math.ceil((packets - compared) / USUAL_PACKETS));
    const details = await fc.check(property, { seed: round, numRuns });
    if (!details.failed) continue;
    const [script] = details.counterexample ?? [];
    if (script === undefined) throw new Error(`${kind.name}, seed ${round}: no counterexample`);
    const traffic = await reduced(filter(kind.traffic(script)), async one => (await difference(one)) !== undefined);
    const found = await difference(traffic);
    const path = join(directory, `flowshard-${kind.name}-${round}.pcap`);
    capture(path, traffic);
    const text = found === undefined ? 'a difference that does not come again' : describe(traffic, found, witness.name);
    throw new Error(`${kind.name}, seed ${round}, after ${compared} packets; ${path}:\n${text}`);
  }
  await engine.close();
  return { packets: compared, cases };
}
