/**
 * The program behind `npm run bench:floods`: what floods may do to an engine, point by point, each with its limit and
 * whether it is kept. It exits with 1 when one is not, with 2 for wrong usage.
 *
 * | point        | what                                                                                           |
 * |--------------|------------------------------------------------------------------------------------------------|
 * | 1            | 10,000 sessions under a SYN flood at full speed: 2 minutes of virtual time, 1 of wall time     |
 * | 2            | the same under UDP, fragments, ICMP errors and tuples that collide; what the last ones cost    |
 * | 3            | a million connections end within a second while a million packets per second pass              |
 * | 4            | one seed twice                                                                                 |
 * | 5            | memory over ten minutes                                                                        |
 * | `generators` | every kind fills a ring faster than a shard judges                                             |
 *
 * `--points 1,3` picks some, `--minutes N` is for point 5, `--quick` takes a tenth of the time for points 1 and 2.
 *
 * Imports flood-points, machine, program. Nobody imports it.
 */
import { parseArgs } from 'node:util';
import {
  costOfCollisions,
  type Finding,
  flatMemory,
  fullRings,
  millionExpiring,
  sameSeedTwice,
  sessionsUnderFlood,
} from './flood-points.js';
import { currentCommit, describeMachine } from './machine.js';
import { runProgram } from './program.js';

const VIRTUAL_SECONDS = 120;
const WALL_SECONDS = 60;
const QUICK = 10;
const QUICK_LOOK_MS = 1000;
const RING_SECONDS = 2;

interface Wish {
  readonly points: readonly string[];
  /** Of point 5. */
  readonly minutes: number;
  readonly quick: boolean;
}

type Findings = AsyncIterable<Finding> | Iterable<Finding> | Promise<Iterable<Finding>>;

const POINTS: Readonly<Record<string, (wish: Wish) => Findings>> = {
  1: ({ quick }) => underFloods(['syn'], quick),
  2: async function* ({ quick }) {
    yield* underFloods(['udp', 'frag', 'icmp-error', 'collide'], quick);
    yield* costOfCollisions();
  },
  3: millionExpiring,
  4: sameSeedTwice,
  5: ({ minutes }) => flatMemory(minutes),
  generators: () => fullRings(RING_SECONDS),
};

function underFloods(kinds: Parameters<typeof sessionsUnderFlood>[0], quick: boolean) {
  const [virtualSeconds, wallSeconds] = [VIRTUAL_SECONDS, WALL_SECONDS].map(s => (quick ? s / QUICK : s));
  return sessionsUnderFlood(kinds, virtualSeconds, wallSeconds, quick ? QUICK_LOOK_MS : undefined);
}

/** @throws Error for an option that is unknown or out of range */
function readWish(): Wish {
  const { values } = parseArgs({
    options: {
      points: { type: 'string', default: Object.keys(POINTS).join() },
      minutes: { type: 'string', default: '10' },
      quick: { type: 'boolean', default: false },
    },
  });
  const points = values.points.split(',');
  const unknown = points.find(point => !Object.hasOwn(POINTS, point));
  if (unknown !== undefined) throw new Error(`--points: there is no point ${unknown}`);
  const minutes = Number(values.minutes);
  if (!Number.isInteger(minutes) || minutes < 2) {
    throw new Error(`--minutes must be a whole number from 2 on: ${values.minutes}`);
  }
  return { points, minutes, quick: values.quick };
}

/** @returns whether every promise is kept */
async function run(wish: Wish): Promise<boolean> {
  const { cpu, cores } = describeMachine();
  console.log(`${cpu}, ${cores} processors, Node ${process.version}, commit ${currentCommit() ?? 'unknown'}`);
  let missed = 0;
  for (const point of wish.points) {
    for await (const { what, found, limit, isKept } of await POINTS[point](wish)) {
      if (!isKept) missed++;
      console.log(`${isKept ? 'kept  ' : 'MISSED'} ${point}  ${what}`);
      console.log(`          ${found}`);
      console.log(`          limit: ${limit}`);
    }
  }
  console.log(missed === 0 ? 'all kept' : `${missed} missed`);
  return missed === 0;
}

await runProgram('bench:floods', readWish, run);
