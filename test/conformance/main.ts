/**
 * `npm run conformance`: asks a live Open vSwitch about everything that is compared with it, and prints a table of what,
 * with which version, how many packets, and how many differences. Ends with 1 when there is one.
 *
 * `npm run conformance -- --record [names...]` records the golden captures and their answers anew, as root, with the
 * reference among the programs that OVS_BIN_DIRS names. FLOWSHARD_FUZZ_PACKETS sets the packets of each fuzzer.
 *
 * Imports compare, cases, fuzz/, track/ovs-player, support/.
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { run } from '../fuzz/campaign.js';
import { comparable, comparableWith31 } from '../fuzz/differences.js';
import { EngineWitness } from '../fuzz/engine-witness.js';
import { KINDS } from '../fuzz/kinds.js';
import { hurried, OvsWitness } from '../fuzz/ovs-witness.js';
import { runRules } from '../fuzz/rule-campaign.js';
import { COMMIT_ONLY, COMMIT_PASS, type Traffic } from '../fuzz/traffic.js';
import { isSame } from '../fuzz/verdicts.js';
import { captureNames, capturePackets } from '../support/captures.js';
import { isOvsAvailable, Ovs, versionOf } from '../support/ovs.js';
import { playToOvs, TAPE_SETS } from '../track/ovs-player.js';
import { CASES } from './cases.js';
import { agree, outcomesOf, skipOf } from './compare.js';

const SEED = 1;
const { FLOWSHARD_FUZZ_PACKETS: wanted = '5000' } = process.env;
const FUZZ_PACKETS = Number(wanted);

interface Row {
  readonly what: string;
  readonly packets: number;
  readonly differences: readonly string[];
  readonly note?: string;
}

async function compareCases(version: number): Promise<Row> {
  const differences: string[] = [];
  let packets = 0;
  let left = 0;
  for (const one of CASES) {
    if (skipOf(one, version) !== false) {
      left++;
      continue;
    }
    packets += one.steps.filter(step => 'frame' in step).length;
    const outcomes = await outcomesOf(one).catch(() => outcomesOf(one)); // a switch that is slow to start gets another go
    if (!agree(outcomes, one.isOrdered)) differences.push(one.title);
  }
  const note = `${CASES.length - left} cases; ${left} are not for this version, or differ on purpose`;
  return { what: 'flow rules, NAT, settings', packets, differences, note };
}

async function compareTapes(): Promise<Row> {
  const differences: string[] = [];
  const tapes = TAPE_SETS.flatMap(([, set]) => set);
  let ovs = await Ovs.start();
  try {
    for (const tape of tapes) {
      await playToOvs(ovs, tape).catch(async () => {
        await ovs.stop(); // perhaps it was only slow, and what it still has to say would be taken for another answer
        ovs = await Ovs.start();
        await playToOvs(ovs, tape).catch(error => differences.push(`${tape.name}: ${error}`));
      });
    }
  } finally {
    await ovs.stop();
  }
  const packets = tapes.reduce((sum, { steps }) => sum + steps.length, 0);
  return { what: 'tapes', packets, differences, note: `${tapes.length} tapes` };
}

/** What an Open vSwitch of this version is asked. */
function askedOf(version: number): (traffic: Traffic) => Traffic {
  const known = version < 4 ? comparableWith31 : comparable;
  return traffic => known(hurried(traffic));
}

/** A switch that is slow to start gets another go. */
function startedWitness(flows?: string): Promise<OvsWitness> {
  return OvsWitness.start(flows).catch(() => OvsWitness.start(flows));
}

async function compareCaptures(version: number): Promise<Row> {
  const differences: string[] = [];
  const ovs = await startedWitness();
  const engine = new EngineWitness(COMMIT_ONLY);
  let packets = 0;
  try {
    for (const name of captureNames()) {
      const all = capturePackets(name).map(({ frame, timeMs }) => ({ frame, timeMs, passes: COMMIT_PASS }));
      const traffic = askedOf(version)({ packets: all, checksSequence: true });
      packets += traffic.packets.length;
      if (!isSame(await ovs.judge(traffic), await engine.judge(traffic))) differences.push(name);
    }
  } finally {
    await ovs.close();
  }
  return { what: 'golden captures', packets, differences, note: `${captureNames().length} captures` };
}

async function compareRandom(version: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const kind of KINDS.filter(({ flows }) => flows !== undefined)) {
    const witness = await startedWitness(kind.flows);
    const what = `random: ${kind.name}`;
    try {
      const { packets } = await run({ kind, witness, filter: askedOf(version), seed: SEED, packets: FUZZ_PACKETS });
      rows.push({ what, packets, differences: [] });
    } catch (error) {
      rows.push({ what, packets: FUZZ_PACKETS, differences: [String(error)] });
    } finally {
      await witness.close();
    }
  }
  return rows;
}

async function compareRules(version: number): Promise<Row> {
  const what = 'random: rules';
  if (version < 4) return { what, packets: 0, differences: [], note: 'asked of the reference only' };
  try {
    const { packets, cases } = await runRules(SEED, FUZZ_PACKETS);
    return { what, packets, differences: [], note: `${cases} sets of rules` };
  } catch (error) {
    return { what, packets: FUZZ_PACKETS, differences: [String(error)] };
  }
}

function print(row: Row): void {
  const cells = [row.what.padEnd(26), String(row.packets).padStart(8), String(row.differences.length).padStart(12)];
  process.stdout.write(`${cells.join(' ')}  ${row.note ?? ''}\n`);
}

function record(names: readonly string[]): void {
  for (const program of ['main.js', 'answers.js']) {
    const path = fileURLToPath(new URL(`../record/${program}`, import.meta.url));
    execFileSync(process.execPath, [path, ...names], { stdio: 'inherit' });
  }
}

async function compareAll(): Promise<void> {
  const found = isOvsAvailable();
  if (!found.available) {
    process.stdout.write(`Nothing is compared: ${found.reason}\n`);
    return;
  }
  const version = versionOf(found.version);
  process.stdout.write(`${found.version}\n\n${'what'.padEnd(26)}  packets  differences\n`);
  const differences: string[] = [];
  const tell = (row: Row) => {
    print(row);
    differences.push(...row.differences.map(difference => `${row.what}: ${difference}`));
  };
  tell(await compareTapes());
  tell(await compareCaptures(version));
  tell(await compareCases(version));
  for (const row of await compareRandom(version)) tell(row);
  tell(await compareRules(version));
  for (const difference of differences) process.stdout.write(`\n${difference}\n`);
  if (differences.length > 0) process.exitCode = 1;
}

const [option, ...names] = process.argv.slice(2);
if (option === undefined) await compareAll();
else if (option === '--record') record(names);
else {
  process.stderr.write(`conformance takes no ${option}; it takes --record [names...]\n`);
  process.exitCode = 2;
}
