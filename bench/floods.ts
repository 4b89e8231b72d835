/**
 * The program behind `npm run bench:floods`: what floods may do to an engine, point by point, each with its limit and
 * whether it is kept. It exits with 1 when one is not.
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
 * Imports flood-points, machine. Nobody imports it.
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

const VIRTUAL_SECONDS = 120;
const WALL_SECONDS = 60;
const QUICK = 10;
const QUICK_LOOK_MS = 1000;
const RING_SECONDS = 2;

const { values } = parseArgs({
  options: {
    points: { type: 'string', default: '1,2,3,4,5,generators' },
    minutes: { type: 'string', default: '10' },
    quick: { type: 'boolean', default: false },
  },
});
const minutes = Number(values.minutes);
if (!Number.isInteger(minutes) || minutes < 2)
  throw new Error(`--minutes must be a whole number from 2 on: ${minutes}`);

const [virtualSeconds, wallSeconds] = [VIRTUAL_SECONDS, WALL_SECONDS].map(s => (values.quick ? s / QUICK : s));
const lookMs = values.quick ? QUICK_LOOK_MS : undefined;

const POINTS: Readonly<Record<string, () => AsyncIterable<Finding> | Iterable<Finding> | Promise<Iterable<Finding>>>> =
  {
    1: () => sessionsUnderFlood(['syn'], virtualSeconds, wallSeconds, lookMs),
    2: async function* () {
      yield* sessionsUnderFlood(['udp', 'frag', 'icmp-error', 'collide'], virtualSeconds, wallSeconds, lookMs);
      yield* costOfCollisions();
    },
    3: millionExpiring,
    4: sameSeedTwice,
    5: () => flatMemory(minutes),
    generators: () => fullRings(RING_SECONDS),
  };

const { cpu, cores } = describeMachine();
console.log(`${cpu}, ${cores} processors, Node ${process.version}, commit ${currentCommit() ?? 'unknown'}`);
let missed = 0;
for (const point of values.points.split(',')) {
  if (!Object.hasOwn(POINTS, point)) throw new Error(`--points: there is no point ${point}`);
  for await (const { what, found, limit, isKept } of await POINTS[point]()) {
    if (!isKept) missed++;
    console.log(`${isKept ? 'kept  ' : 'MISSED'} ${point}  ${what}`);
    console.log(`          ${found}`);
    console.log(`          limit: ${limit}`);
  }
}
console.log(missed === 0 ? 'all kept' : `${missed} missed`);
if (missed > 0) process.exitCode = 1;
