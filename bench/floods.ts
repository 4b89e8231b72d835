/**
 * What a packet of a flood costs the engine: UDP whose tuples are spread by chance, and UDP whose tuples collide, family
 * by family, in a full table that evicts. Only judging is timed; the ratio is to be below 1.5.
 *
 * Rounds of all floods take turns, so that a disturbance hits all of them. Each flood has an engine of its own, filled
 * before.
 *
 * Imports machine, statistics, engine/, flood/. Run by `npm run bench:floods`.
 */
import { PacketBatch } from '../src/engine/batch.js';
import { LocalEngine } from '../src/engine/local.js';
import { COLLISIONS, Collide } from '../src/flood/collide.js';
import type { FloodOptions, Generator } from '../src/flood/generator.js';
import { FLOODS } from '../src/flood/kinds.js';
import { watchedHomes } from '../src/flood/watched.js';
import { describeMachine } from './machine.js';
import { figureOf } from './statistics.js';

const CONNECTIONS = 200_000;
const BATCH = 32;
const ROUNDS = 15;
const ROUND_PACKETS = 100_000;
/** Enough to fill the table and have it evict, whatever part of the tuples comes again. */
const FILL_PACKETS = 400_000;
const NS_PER_MS = 1e6;
const FRAME_BYTES = 64;

class Subject {
  readonly name: string;
  readonly times: number[] = [];
  readonly #engine: LocalEngine;
  readonly #generator: Generator;
  readonly #batch = new PacketBatch(BATCH, BATCH * FRAME_BYTES);
  #packets = 0;

  constructor(name: string, create: (options: FloodOptions) => Generator) {
    this.name = name;
    const table = { maxConnections: CONNECTIONS, maxIpv6Connections: 0, seed: 1 };
    this.#engine = new LocalEngine({ ...table, profile: 'resilient' });
    this.#engine.defineAction({});
    this.#generator = create({
      seed: 1,
      family: 4,
      sources: 'uniform',
      destinations: 'one',
      ports: 'uniform',
      sizes: [],
      zones: 1,
      homeOf: watchedHomes(this.#engine.memory, 4),
    });
  }

  /** @returns nanoseconds of judging per packet */
  run(packets: number): number {
    const batch = this.#batch;
    let ms = 0;
    for (let done = 0; done < packets; done += BATCH) {
      batch.clear();
      for (let count = 0; count < BATCH; count++) {
        const { length } = this.#generator;
        this.#generator.write(batch.frames, batch.tryReserve(length));
        // A million packets per second.
        batch.addReserved(length, 0, 0, 1000 + this.#packets++ / 1000, 0, 0);
      }
      const startedMs = performance.now();
      this.#engine.execute(batch);
      ms += performance.now() - startedMs;
    }
    return (ms * NS_PER_MS) / packets;
  }

  get counts(): { created: number; refused: number } {
    const { events, reasons } = this.#engine.counters();
    const { none: judged = 0 } = reasons;
    return { created: events.created, refused: events.packets - judged };
  }
}

const subjects = [
  new Subject('udp', options => FLOODS.udp.create(options)),
  new Subject('collide', options => new Collide(options)),
  ...COLLISIONS.map(family => new Subject(`  ${family}`, options => new Collide(options, [family]))),
];
for (const subject of subjects) subject.run(FILL_PACKETS);
for (let round = 0; round < ROUNDS; round++) {
  for (const subject of subjects) subject.times.push(subject.run(ROUND_PACKETS));
}
const { cpu, cores } = describeMachine();
console.log(`${cpu}, ${cores} processors, Node ${process.version}`);
console.log(`${CONNECTIONS} connections, full, profile resilient, batches of ${BATCH}, median of ${ROUNDS} rounds`);
const [udp] = subjects.map(subject => figureOf(subject.times).median);
for (const subject of subjects) {
  const { median, least } = figureOf(subject.times);
  const { created, refused } = subject.counts;
  const figures = `${median.toFixed(0).padStart(5)} ns  least ${least.toFixed(0).padStart(5)}  ${(median / udp).toFixed(2)} of udp`;
  console.log(`${subject.name.padEnd(9)} ${figures}  ${created} created, ${refused} refused`);
}
