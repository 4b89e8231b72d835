/**
 * The map against a `Map`, under a good hash, the identity and a constant, in small and larger shapes.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  annexesUsedLocked,
  lockRegion,
  MAX_PROBES,
  NONE,
  recordsUsedLocked,
  type SharedMap,
  unlockRegion,
} from '../../src/sharedarraybuffer-hashmap/index.js';
import { SLOTS_PER_BUCKET } from '../../src/sharedarraybuffer-hashmap/layout.js';
import { type Random, withSeed } from '../support/random.js';
import { auditLocked } from './audit.js';
import {
  addLocked,
  constantHash,
  dropLocked,
  findLocked,
  goodHash,
  type Hash,
  hasAnnex,
  identityHash,
  isWhole,
  keyOf,
  newMap,
  versionOf,
} from './entries.js';

interface Shape {
  readonly regions: number;
  readonly recordsPerRegion: number;
  readonly annexesPerRegion: number;
  /** Keys in play; more than fit, so that the map is full at times. */
  readonly keys: number;
  readonly steps: number;
  /** A whole comparison after so many steps. */
  readonly every: number;
}

const SHAPES: readonly Shape[] = [
  { regions: 1, recordsPerRegion: 1, annexesPerRegion: 1, keys: 3, steps: 500, every: 1 },
  { regions: 1, recordsPerRegion: 15, annexesPerRegion: 1, keys: 25, steps: 1_500, every: 1 },
  { regions: 3, recordsPerRegion: 7, annexesPerRegion: 2, keys: 40, steps: 2_000, every: 1 },
  { regions: 2, recordsPerRegion: 60, annexesPerRegion: 60, keys: 160, steps: 3_000, every: 5 },
  { regions: 5, recordsPerRegion: 200, annexesPerRegion: 30, keys: 1_400, steps: 30_000, every: 1_000 },
  { regions: 1, recordsPerRegion: 4_000, annexesPerRegion: 400, keys: 5_000, steps: 60_000, every: 6_000 },
];

const HASHES: readonly [name: string, hash: Hash][] = [
  ['a good hash', goodHash],
  ['the identity', identityHash],
  ['a constant', constantHash],
];

const OWNER = 1;

class Comparison {
  readonly #model = new Map<number, number>();
  readonly #map: SharedMap;
  readonly #shape: Shape;
  readonly #hash: Hash;
  #version = 0;
  refusals = 0;

  constructor(shape: Shape, hash: Hash) {
    this.#map = newMap(shape);
    this.#shape = shape;
    this.#hash = hash;
  }

  step(random: Random): void {
    const key = random.below(this.#shape.keys);
    const region = this.#regionOf(key);
    assert.ok(lockRegion(this.#map, region, OWNER));
    const record = findLocked(this.#map, region, this.#hash(key), key);
    this.#checkEntry(key, record);
    if (record === NONE) this.#add(region, key);
    else if (random.chance(0.6)) this.#drop(region, key, record);
    unlockRegion(this.#map, region);
  }

  /** Everything that can be asked of the map is asked and compared. */
  checkAll(): void {
    for (let region = 0; region < this.#shape.regions; region++) {
      assert.ok(lockRegion(this.#map, region, OWNER));
      const present = auditLocked(this.#map, region).map(record => keyOf(this.#map, record));
      assert.deepEqual(
        present.sort((a, b) => a - b),
        this.#keysOf(region),
        `the walk through region ${region}`,
      );
      assert.equal(recordsUsedLocked(this.#map, region), present.length);
      assert.equal(annexesUsedLocked(this.#map, region), present.filter(hasAnnex).length);
      unlockRegion(this.#map, region);
    }
    for (let key = 0; key < this.#shape.keys; key++) {
      const region = this.#regionOf(key);
      this.#checkEntry(key, findLocked(this.#map, region, this.#hash(key), key));
    }
  }

  #regionOf(key: number): number {
    return key % this.#shape.regions;
  }

  #keysOf(region: number): number[] {
    return [...this.#model.keys()].filter(key => this.#regionOf(key) === region).sort((a, b) => a - b);
  }

  #checkEntry(key: number, record: number): void {
    const version = this.#model.get(key);
    assert.equal(record !== NONE, version !== undefined, `key ${key} is found when it is there`);
    if (version === undefined) return;
    assert.equal(versionOf(this.#map, record), version, `key ${key} has its last version`);
    assert.ok(isWhole(this.#map, record, key), `key ${key} has its own words`);
  }

  #add(region: number, key: number): void {
    const before = [recordsUsedLocked(this.#map, region), annexesUsedLocked(this.#map, region)];
    const version = ++this.#version;
    if (addLocked(this.#map, region, this.#hash(key), key, version) !== NONE) {
      this.#model.set(key, version);
      return;
    }
    this.refusals++;
    assert.deepEqual([recordsUsedLocked(this.#map, region), annexesUsedLocked(this.#map, region)], before);
    assert.ok(this.#isFull(region, key, before[0]), `key ${key} was refused by ${before[0]} records`);
  }

  /** Why an entry may be refused: no record, no annex, or every slot within reach taken. */
  #isFull(region: number, key: number, records: number): boolean {
    const { recordsPerRegion, annexesPerRegion } = this.#shape;
    if (records === recordsPerRegion) return true;
    if (hasAnnex(key) && annexesUsedLocked(this.#map, region) === annexesPerRegion) return true;
    return this.#hash === constantHash && records === MAX_PROBES * SLOTS_PER_BUCKET;
  }

  #drop(region: number, key: number, record: number): void {
    dropLocked(this.#map, record);
    this.#model.delete(key);
    assert.equal(findLocked(this.#map, region, this.#hash(key), key), NONE, `key ${key} is gone`);
  }
}

for (const shape of SHAPES) {
  for (const [name, hash] of HASHES) {
    test(`equals a Map: ${shape.regions} × ${shape.recordsPerRegion} records under ${name}`, () => {
      withSeed(4_711, random => {
        const comparison = new Comparison(shape, hash);
        for (let step = 1; step <= shape.steps; step++) {
          comparison.step(random);
          if (step % shape.every === 0) comparison.checkAll();
        }
        assert.ok(comparison.refusals > 0, 'the map was never full');
      });
    });
  }
}
