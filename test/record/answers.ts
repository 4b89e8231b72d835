/**
 * Asks Open vSwitch about the captures in test/golden and writes its answers beside them:
 * `node dist/test/record/answers.js [names...]`.
 *
 * The reference is the OVS that OVS_BIN_DIRS and OVS_SCHEMA name, with `ovstest` among its programs; the packaged one
 * is asked too, and where it answers differently is noted. Without names, README.md and index.json are made anew.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ovs, type OvsInstall, ovsFromEnvironment, PACKAGED_OVS } from '../support/ovs.js';
import { GOLDEN } from './golden.js';
import { type Packet, readPcap } from './pcap.js';
import { readme } from './readme.js';
import { SCENARIOS } from './scenarios/index.js';
import type { Scenario } from './scenarios/scenario.js';

/** The date of the development version that is the reference; its version string does not tell. */
const REFERENCE_BRANCH = 'main of July 2026';
/** ovstest prints this for a frame that carries no IP; ovs-vswitchd never shows such a frame to conntrack. */
const NOT_IP = 'inv|trk';
const UNTRACKED = '0';
/** A fragment that never left. */
const HELD = 'held';

/** One entry of index.json. Packet numbers start at 1. */
export interface GoldenEntry {
  readonly name: string;
  readonly packets: number;
  readonly description: string;
  readonly programs: string;
  readonly reference: string;
  /** Whether the .states were answered with a clock that stands still or follows the capture. */
  readonly clock: 'frozen' | 'capture';
  readonly hasFragments?: true;
  /** Packets that the packaged OVS answers differently, the clock following the capture in both. */
  readonly differs31: readonly number[];
  readonly dumpDiffers31: boolean;
  /** Packets for which ovstest and an ovs-vswitchd with the capture's clock disagree, and not only on "no IP". */
  readonly differsByClock: readonly number[];
  /** Packets without IP: `inv|trk` in .states, not tracked by ovs-vswitchd. */
  readonly notIp: readonly number[];
}

export interface Golden {
  readonly reference: { readonly version: string; readonly branch: string };
  readonly packaged: { readonly version: string };
  readonly captures: readonly GoldenEntry[];
}

interface Answer {
  readonly version: string;
  readonly states: readonly string[];
  readonly dump: readonly string[];
  readonly dumpVerbose: readonly string[];
}

/** Plays a capture with the clock at floor(time since the first packet), in milliseconds. */
async function askSwitch(install: OvsInstall, packets: readonly Packet[]): Promise<Answer> {
  const ovs = await Ovs.start({ install });
  try {
    const states: string[] = [];
    for (let from = 0, clock = 0; from < packets.length; ) {
      const now = millisecond(packets, from);
      let to = from + 1;
      while (to < packets.length && millisecond(packets, to) === now) to++;
      await ovs.warp(now - clock);
      for (const report of await ovs.inject(packets.slice(from, to))) states[report.packet - 1] = report.state;
      clock = now;
      from = to;
    }
    const answers = packets.map((_, index) => states[index] ?? HELD);
    return {
      version: ovs.version,
      states: answers,
      dump: await ovs.dump('-s'),
      dumpVerbose: await ovs.dump('-m', '-s'),
    };
  } finally {
    await ovs.stop();
  }
}

function millisecond(packets: readonly Packet[], index: number): number {
  return Math.floor((packets[index].time - packets[0].time) / 1000);
}

/** The states by OVS's test program, which reads the capture at once. */
function askTestProgram(install: OvsInstall, file: string): string[] {
  const directory = install.directories.find(place => existsSync(join(place, 'ovstest')));
  if (directory === undefined) throw new Error('no ovstest in OVS_BIN_DIRS');
  const text = execFileSync(join(directory, 'ovstest'), ['test-conntrack', 'pcap', file], {
    encoding: 'utf8',
    timeout: 60_000,
    maxBuffer: 1 << 26,
  });
  return text
    .trimEnd()
    .split('\n')
    .map(line => line.slice(line.indexOf(': ') + 2));
}

function differences(one: readonly string[], other: readonly string[]): number[] {
  return [...one.keys()].filter(index => one[index] !== other[index]).map(index => index + 1);
}

async function answer(scenario: Scenario): Promise<{ entry: GoldenEntry; reference: string; packaged: string }> {
  const { name, description, programs, clock = 'frozen' } = scenario;
  const file = join(GOLDEN, `${name}.pcap`);
  const packets = readPcap(file);
  const install = ovsFromEnvironment();
  const reference = await askSwitch(install, packets);
  const packaged = await askSwitch(PACKAGED_OVS, packets);
  const live = reference.states.map(state => (state === UNTRACKED ? NOT_IP : state));
  const frozen = scenario.hasFragments ? live : askTestProgram(install, file);
  const states = clock === 'frozen' ? frozen : live;
  if (states.length !== packets.length || live.length !== packets.length)
    throw new Error(`${name}: answers are missing`);
  writeLines(
    `${name}.states`,
    states.map((state, index) => `${index + 1}: ${state}`),
  );
  writeLines(`${name}.dump`, reference.dump);
  writeLines(`${name}.dump-m`, reference.dumpVerbose);
  const entry: GoldenEntry = {
    name,
    packets: packets.length,
    description,
    programs,
    reference: clock === 'frozen' ? 'ovstest test-conntrack pcap' : 'ovs-vswitchd',
    clock,
    ...(scenario.hasFragments ? { hasFragments: true } : {}),
    differs31: differences(reference.states, packaged.states),
    dumpDiffers31: reference.dumpVerbose.join('\n') !== packaged.dumpVerbose.join('\n'),
    differsByClock: differences(frozen, live),
    notIp: reference.states.flatMap((state, index) => (state === UNTRACKED ? [index + 1] : [])),
  };
  return { entry, reference: reference.version, packaged: packaged.version };
}

function writeLines(name: string, lines: readonly string[]): void {
  writeFileSync(join(GOLDEN, name), lines.map(line => `${line}\n`).join(''));
}

/** The entries of the index that stay as they are. */
function earlier(): GoldenEntry[] {
  const path = join(GOLDEN, 'index.json');
  if (!existsSync(path)) return [];
  const golden: Golden = JSON.parse(readFileSync(path, 'utf8'));
  return [...golden.captures];
}

async function main(names: readonly string[]): Promise<void> {
  const entries = new Map(earlier().map(entry => [entry.name, entry]));
  let versions = { reference: '', packaged: '' };
  for (const scenario of SCENARIOS) {
    const { name } = scenario;
    if (names.length > 0 && !names.includes(name)) continue;
    const { entry, ...asked } = await answer(scenario);
    entries.set(name, entry);
    versions = asked;
    const { differs31, differsByClock, notIp } = entry;
    const counts = `3.1 differs ${differs31.length}, by clock ${differsByClock.length}, not IP ${notIp.length}`;
    process.stdout.write(`${name}: ${entry.packets} packets; ${counts}\n`);
  }
  const golden: Golden = {
    reference: { version: versions.reference, branch: REFERENCE_BRANCH },
    packaged: { version: versions.packaged },
    captures: SCENARIOS.flatMap(({ name }) => entries.get(name) ?? []),
  };
  const index = join(GOLDEN, 'index.json');
  writeFileSync(index, JSON.stringify(golden));
  execFileSync('npx', ['biome', 'format', '--write', index], { stdio: 'ignore' });
  writeFileSync(join(GOLDEN, 'README.md'), readme(golden));
}

await main(process.argv.slice(2));
