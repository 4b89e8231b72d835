/**
 * What a packet of a flood costs the engine: UDP whose tuples are spread by chance, and UDP whose tuples collide, family
 * by family, in a full table that evicts. Only judging is timed.
 *
 * Rounds of all floods take turns, so that a disturbance hits all of them. Each flood has an engine of its own, filled
 * before.
 *
 * Imports statistics, engine/, flood/. Imported by flood-points.
 */
import { PacketBatch } from '../src/engine/batch.js';
import { LocalEngine } from '../src/engine/local.js';
import { COLLISIONS, Collide } from '../src/flood/collide.js';
import type { FloodOptions, Generator } from '../src/flood/generator.js';
import { FLOODS } from '../src/flood/kinds.js';
import { watchedHomes } from '../src/flood/watched.js';
import { type Figure, figureOf } from './statistics.js';

const CONNECTIONS = 200_000;
const BATCH = 32;
const ROUND_PACKETS = 100_000;
/** Enough to fill the table and have it evict, whatever part of the tuples comes again. */
const FILL_PACKETS = 400_000;
const NS_PER_MS = 1e6;
const FRAME_BYTES = 64;

class Subject {
  readonly name: string;
  readonly times: number[] = [];
  readonly #engine: LocalEngine;
  readonly #batch = new PacketBatch(BATCH, BATCH * FRAME_BYTES);
  readonly #generator: Generator;
  #packets = 0;

  constructor(name: string, create: (options: FloodOptions) => Generator) {
    this.name = name;
    const table = { maxConnections: CONNECTIONS, maxIpv6Connections: 0, seed: 1 };
    this.#engine = new LocalEngine({ ...table, profile: 'resilient' });
    this.#engine.defineAction({});
    const options: FloodOptions = {
      seed: 1,
      family: 4,
      sources: 'uniform',
      destinations: 'one',
      ports: 'uniform',
      sizes: [],
      zones: 1,
      homeOf: watchedHomes(this.#engine.memory, 4),
    };
    // Whatever comes, the table is full: tuples that come again and again open no more than a few connections.
    this.#pass(FLOODS.udp.create({ ...options, seed: 2 }), FILL_PACKETS);
    this.#generator = create(options);
    this.#pass(this.#generator, FILL_PACKETS);
  }

  round(): void {
    this.times.push(this.#pass(this.#generator, ROUND_PACKETS));
  }

  /** @returns nanoseconds of judging per packet */
  #pass(generator: Generator, packets: number): number {
    const batch = this.#batch;
    let ms = 0;
    for (let done = 0; done < packets; done += BATCH) {
      batch.clear();
      for (let count = 0; count < BATCH; count++) {
        const { length } = generator;
        generator.write(batch.frames, batch.tryReserve(length));
        // A million packets per second.
        batch.addReserved(length, 0, 0, 1000 + this.#packets++ / 1000, 0, 0);
      }
      const startedMs = performance.now();
      this.#engine.execute(batch);
      ms += performance.now() - startedMs;
    }
    return (ms * NS_PER_MS) / packets;
  }
}

export interface Cost extends Figure {
  /** `udp`, `collide`, or a family of it. */
  readonly name: string;
}

/** Nanoseconds per packet of `udp`, `collide` and each family of it, in this order. */
export function measureCosts(rounds: number): Cost[] {
  const subjects = [
    new Subject('udp', options => FLOODS.udp.create(options)),
    new Subject('collide', options => new Collide(options)),
    ...COLLISIONS.map(family => new Subject(family, options => new Collide(options, [family]))),
  ];
  for (let round = 0; round < rounds; round++) {
    for (const subject of subjects) subject.round();
  }
  return subjects.map(({ name, times }) => ({ name, ...figureOf(times) }));
}
