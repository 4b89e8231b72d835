/**
 * The promises about floods, one function each: what was found, what the limit is, and whether it is kept.
 *
 * Imports cost, observed, storm, flood/. Imported by floods.
 */
import { FLOOD_KINDS, type FloodKind } from '../src/flood/kinds.js';
import type { FloodReport } from '../src/flood/report.js';
import { FloodRun } from '../src/flood/run.js';
import { measureCosts } from './cost.js';
import { floodOptions, type Look, observe } from './observed.js';
import { measureStorm, type Storm } from './storm.js';

export interface Finding {
  readonly what: string;
  readonly found: string;
  readonly limit: string;
  readonly isKept: boolean;
}

const MIB = 2 ** 20;
/** Between two looks at the memory, and those that are left out: until then code is compiled and pages are touched. */
const LOOK_MS = 5000;
const WARMING = 2;
/**
 * By how much memory may grow after that. V8 and the system take resident memory and give it back as they like: of equal
 * floods one ended with 8 MiB more, one with 15 less. A byte for each packet would be 50 MiB per minute.
 */
const HEAP_MIB = 2;
const RESIDENT_MIB = 16;
const MOST_RATIO = 1.5;
const COST_ROUNDS = 15;
/** In how much of the time the flood waits for room, at the least: one that is made too slowly never does. */
const LEAST_STALLED = 0.1;
const GROWTH_US = 100;
const WAIT_US = 1000;
const STORMS = 5;

const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

function memoryText({ heapBytes, ownBytes, rssBytes }: Look): string {
  const [heap, own, resident] = [heapBytes, ownBytes, rssBytes].map(bytes => (bytes / MIB).toFixed(1));
  return `heap ${heap}, resident ${resident} MiB, ${own} of it no file's`;
}

/** @param lookText what a look is called, by its place */
function memoryFinding(
  what: string,
  looks: readonly Look[],
  from: number,
  lookText: (look: number) => string,
): Finding {
  const first = looks[from];
  const last = looks.at(-1);
  if (first === undefined || last === undefined || looks.length <= from + 1) throw new Error(`${what} is too short`);
  const grownBy = (name: keyof Look) => (last[name] - first[name]) / MIB;
  return {
    what: `${what}: memory`,
    found: `${lookText(from)} ${memoryText(first)}; ${lookText(looks.length - 1)} ${memoryText(last)}`,
    limit: `at most ${HEAP_MIB} and ${RESIDENT_MIB} MiB more`,
    isKept: grownBy('heapBytes') <= HEAP_MIB && grownBy('rssBytes') <= RESIDENT_MIB,
  };
}

function sessionsFinding(what: string, report: FloodReport): Finding {
  const { packets, mpps, establishedPackets, establishedEvicted, establishedMisjudged } = report;
  return {
    what: `${what}: sessions`,
    found:
      `${grouped.format(packets)} packets, ${mpps.toFixed(2)} million per second; ${establishedEvicted} evicted, ` +
      `${establishedMisjudged} of ${grouped.format(establishedPackets)} packets misjudged`,
    limit: 'none, none',
    isKept: establishedEvicted === 0 && establishedMisjudged === 0 && report.evicted.established === 0,
  };
}

function sumFinding(what: string, report: FloodReport): Finding {
  const { packets, establishedPackets, created, refused, evicted, expired, replaced, connections, established } =
    report;
  const gone = Object.values(evicted).reduce((sum, count) => sum + count, 0) + expired + replaced;
  const classes = Object.entries(evicted)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${grouped.format(count)} ${name}`);
  return {
    what: `${what}: creations`,
    found:
      `${grouped.format(created)} created and ${grouped.format(refused)} refused, of ${grouped.format(packets - establishedPackets)} packets of the flood; evicted ${classes.join(', ') || 'none'}; ` +
      `${grouped.format(established)} sessions + created - evicted - ${grouped.format(expired)} expired - ` +
      `${grouped.format(replaced)} replaced = ${grouped.format(established + created - gone)}`,
    limit: `${grouped.format(connections)} in the table`,
    isKept: established + created - gone === connections,
  };
}

/** Points 1 and 2: sessions under a flood, for so many seconds of virtual time and then of wall time. */
export async function* sessionsUnderFlood(
  kinds: readonly FloodKind[],
  virtualSeconds: number,
  wallSeconds: number,
  lookMs = LOOK_MS,
): AsyncGenerator<Finding> {
  for (const kind of kinds) {
    for (const [clock, seconds] of [
      ['virtual', virtualSeconds],
      ['wall', wallSeconds],
    ] as const) {
      const { report, looks } = await observe(kind, clock, seconds, lookMs);
      const what = `${kind}, ${seconds} s of ${clock} time`;
      yield sessionsFinding(what, report);
      yield sumFinding(what, report);
      yield memoryFinding(what, looks, WARMING - 1, look => `after ${((look + 1) * lookMs) / 1000} s`);
    }
  }
}

/** Point 2, the cost. */
export function costOfCollisions(): Finding[] {
  const [udp, ...others] = measureCosts(COST_ROUNDS);
  return others.map(({ name, median }, index) => ({
    what: index === 0 ? 'collide: cost of a packet' : `… its family ${name}`,
    found: `${median.toFixed(0)} ns, ${(median / udp.median).toFixed(2)} times the ${udp.median.toFixed(0)} ns of udp`,
    limit: `at most ${MOST_RATIO} times`,
    isKept: median / udp.median <= MOST_RATIO,
  }));
}

/** Point 3. Of a few tries that one counts in which the system disturbed the threads least. */
export async function millionExpiring(): Promise<Finding[]> {
  const tries: Storm[] = [];
  for (let count = 0; count < STORMS; count++) tries.push(await measureStorm('resilient'));
  const disturbance = ({ quiet, storm }: Storm) => quiet.preemptions + storm.preemptions;
  const [least] = tries.toSorted((a, b) => disturbance(a) - disturbance(b));
  const { quiet, storm, sweep } = least;
  const grown = storm.p999 - quiet.p999;
  const what = `a million expire in a second beside ${storm.mpps.toFixed(2)} Mpps`;
  return [
    {
      what: `${what}: p99.9 of a batch of 32`,
      found: `${quiet.p999.toFixed(1)} µs before, ${storm.p999.toFixed(1)} meanwhile: ${grown.toFixed(1)} more`,
      limit: `at most ${GROWTH_US} µs more`,
      isKept: grown <= GROWTH_US,
    },
    {
      what: '… longest wait of a batch for a lock',
      found:
        `${storm.longestWaitUs.toFixed(1)} µs of ${storm.waits} waits; threads were preempted ${storm.preemptions} times, ` +
        `in the other tries ${tries.filter(one => one !== least).map(one => one.storm.preemptions)}; ` +
        `step of the sweeper p50 ${sweep.stepUs.p50.toFixed(1)} µs, lag p99.9 ${sweep.lagMs.p999.toFixed(0)} ms`,
      limit: `at most ${WAIT_US} µs`,
      isKept: storm.longestWaitUs <= WAIT_US,
    },
  ];
}

/** What two runs with one seed must have in common. */
function repeatable(report: FloodReport) {
  const { packets, verdicts, reasons, created, refusedBy, evicted, expired, replaced, connections, top } = report;
  return JSON.stringify({
    packets,
    verdicts,
    reasons,
    created,
    refusedBy,
    evicted,
    expired,
    replaced,
    connections,
    top,
  });
}

/** Point 4, for every kind: a second of virtual time. */
export async function sameSeedTwice(): Promise<Finding[]> {
  const different: FloodKind[] = [];
  let packets = 0;
  let sums = '';
  for (const kind of FLOOD_KINDS) {
    const runs: FloodReport[] = [];
    for (let count = 0; count < 2; count++) {
      runs.push(await (await FloodRun.open(floodOptions(kind, 'virtual', 1))).run());
    }
    packets += runs[0].packets;
    if (kind === 'mixed') sums = runs.map(({ verdicts }) => verdicts).join(' and ');
    if (repeatable(runs[0]) !== repeatable(runs[1])) different.push(kind);
  }
  return [
    {
      what: 'one seed twice, every kind: verdicts, counters and evictions',
      found: `${different.length} of ${FLOOD_KINDS.length} kinds differ${different.map(kind => ` ${kind}`).join('')}; ${grouped.format(packets)} packets; sums over the verdicts of mixed ${sums}`,
      limit: 'none differ',
      isKept: different.length === 0,
    },
  ];
}

/** Point 5: a SYN flood for so many minutes of wall time, at least two. */
export async function flatMemory(minutes: number): Promise<Finding[]> {
  // A second more, so that the last minute is over when it ends.
  const { report, looks } = await observe('syn', 'wall', minutes * 60 + 1, 60_000);
  const what = `syn, ${minutes} minutes of wall time`;
  return [sessionsFinding(what, report), memoryFinding(what, looks, 0, look => `minute ${look + 1}:`)];
}

/** Of every kind: whether one thread fills the ring of a shard faster than that judges. */
export async function* fullRings(seconds: number): AsyncGenerator<Finding> {
  for (const kind of FLOOD_KINDS) {
    const { tookSeconds, mpps, stalledSeconds } = await (
      await FloodRun.open(floodOptions(kind, 'wall', seconds))
    ).run();
    const stalled = stalledSeconds / tookSeconds;
    yield {
      what: `${kind}: the flood waits for the shard`,
      found: `in ${stalled.toFixed(2)} of the time, at ${mpps.toFixed(2)} million per second`,
      limit: `in at least ${LEAST_STALLED}`,
      isKept: stalled >= LEAST_STALLED,
    };
  }
}
