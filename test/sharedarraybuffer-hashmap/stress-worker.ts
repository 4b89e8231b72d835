/**
 * The threads of stress.test.ts: some add, change and remove entries in all regions, some walk through the regions.
 *
 * Imports src/sharedarraybuffer-hashmap, support/random, support/threads.
 */
import { parentPort, workerData } from 'node:worker_threads';
import {
  attachMap,
  isLive,
  lockRegion,
  NONE,
  nextRecordLocked,
  RECORD,
  recordAt,
  type SharedMap,
  unlockRegion,
} from '../../src/sharedarraybuffer-hashmap/index.js';
import { Random } from '../support/random.js';
import { meet } from '../support/threads.js';
import {
  addLocked,
  annexOf,
  dropLocked,
  fillLocked,
  findLocked,
  goodHash,
  isWhole,
  keyOf,
  versionOf,
} from './entries.js';

export interface StressJob {
  readonly kind: 'churn' | 'walk';
  readonly buffer: SharedArrayBuffer;
  readonly barrier: Int32Array<SharedArrayBuffer>;
  readonly threads: number;
  readonly owner: number;
  readonly seed: number;
  readonly steps: number;
  /** Keys 0 to this are in the map throughout. */
  readonly permanentKeys: number;
  readonly keys: number;
}

export interface StressReport {
  readonly errors: readonly string[];
  /** Entries added less entries removed, by region. */
  readonly grown: readonly number[];
  readonly added: number;
  readonly removed: number;
  readonly refused: number;
  readonly staleReferences: number;
  readonly walks: number;
}

const job = workerData as StressJob;
const map: SharedMap = attachMap(job.buffer);
const random = new Random(job.seed);
const errors: string[] = [];
const grown = new Array<number>(map.regions).fill(0);
const counts = { added: 0, removed: 0, refused: 0, staleReferences: 0, walks: 0 };
let remembered = { key: -1, record: NONE, generation: 0 };

function fail(what: string): void {
  if (errors.length < 5) errors.push(what);
}

function lock(region: number): void {
  if (!lockRegion(map, region, job.owner)) throw new Error('the lock is not to be had');
}

function generationOf(record: number): number {
  return map.words[recordAt(map, record) + RECORD.GENERATION];
}

/** A record and generation that were one key's once are that key's, or the generation has moved on. */
function checkRememberedLocked(region: number): void {
  const { key, record, generation } = remembered;
  if (record === NONE || key % map.regions !== region) return;
  if (generationOf(record) !== generation) counts.staleReferences++;
  else if (keyOf(map, record) !== key) fail(`record ${record} changed its key within one generation`);
}

function addOrRefuseLocked(region: number, key: number): void {
  if (addLocked(map, region, goodHash(key), key, random.u32()) === NONE) {
    counts.refused++;
    return;
  }
  counts.added++;
  grown[region]++;
}

function churnOnce(): void {
  const key = random.below(job.keys);
  const region = key % map.regions;
  lock(region);
  checkRememberedLocked(region);
  const record = findLocked(map, region, goodHash(key), key);
  const isPermanent = key < job.permanentKeys;
  if (record === NONE) {
    if (isPermanent) fail(`key ${key} is not found`);
    else addOrRefuseLocked(region, key);
  } else {
    if (!isWhole(map, record, key)) fail(`key ${key} is torn`);
    remembered = { key, record, generation: generationOf(record) };
    if (isPermanent || random.chance(0.3)) {
      fillLocked(map, record, key, versionOf(map, record) + 1, annexOf(map, recordAt(map, record)));
    } else {
      dropLocked(map, record);
      counts.removed++;
      grown[region]--;
    }
  }
  unlockRegion(map, region);
}

/** Walks one region, giving the lock away after each step. */
function walkOnce(): void {
  const region = random.below(map.regions);
  const met = new Map<number, number>();
  let record = NONE;
  do {
    lock(region);
    record = nextRecordLocked(map, region, record, random.between(1, 40));
    if (record !== NONE && isLive(map, record)) {
      const key = keyOf(map, record);
      if (key % map.regions !== region) fail(`key ${key} in region ${region}`);
      if (!isWhole(map, record, key)) fail(`key ${key} is torn on the walk`);
      met.set(key, (met.get(key) ?? 0) + 1);
    }
    unlockRegion(map, region);
  } while (record !== NONE);
  for (let key = region; key < job.permanentKeys; key += map.regions) {
    if (met.get(key) !== 1) fail(`the walk met key ${key} ${met.get(key) ?? 0} times`);
  }
  counts.walks++;
}

meet(job.barrier, job.threads);
for (let step = 0; step < job.steps && errors.length === 0; step++) {
  if (job.kind === 'churn') churnOnce();
  else walkOnce();
}
parentPort?.postMessage({ errors, grown, ...counts } satisfies StressReport);
