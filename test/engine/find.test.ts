/**
 * The vectors of FIND against the index itself, which is walked for each packet.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FIND } from '../../src/engine/find-kernel.js';
import { ROW } from '../../src/engine/row.js';
import {
  createMap,
  firstCandidateLocked,
  homeBucketAt,
  insertLocked,
  mapBytes,
  NO_SLOT,
  NONE,
  nextCandidateLocked,
  recordAt,
  recordInSlot,
  regionOfRecord,
  removeLocked,
  type SharedMap,
  takeRecordLocked,
} from '../../src/sharedarraybuffer-hashmap/index.js';
import { FACT } from '../../src/wire/facts.js';
import { createRows, MAX_BATCH, ROW_WORDS, ROWS_BYTES } from '../../src/wire/rows.js';
import { bind, compileFunctions, createWasmMemory, growMemory } from '../../src/wire/wasm.js';
import { withSeed } from '../support/random.js';

/** All records that the index names under a hash. */
function candidatesOf(map: SharedMap, region: number, hash: number): number[] {
  const found: number[] = [];
  let slot = firstCandidateLocked(map, region, hash);
  for (; slot !== NO_SLOT; slot = nextCandidateLocked(map, region, hash, slot)) found.push(recordInSlot(map, slot));
  return found;
}

for (const [regions, records] of [
  [1, 1],
  [1, 2000],
  [2, 700],
  [3, 50],
] as const) {
  test(`candidates are those of the index: ${regions} regions of ${records} records`, () => {
    const options = {
      regions,
      recordsPerRegion: records,
      recordWords: 16,
      annexesPerRegion: 0,
      annexWords: 8,
      regionUserWords: 0,
    };
    const wasm = createWasmMemory(mapBytes(options));
    const map = createMap(options, wasm.buffer);
    const rows = createRows(wasm, growMemory(wasm, ROWS_BYTES));
    const { words } = rows;
    const [find] = bind(compileFunctions([FIND]), wasm);
    const { recordBits, recordsAt, recordWords, annexesAt, annexWords } = map;
    const sizes = [records, recordBits, recordsAt, recordWords, 1, annexesAt, annexWords];
    withSeed(30, random => {
      const hashes = Array.from({ length: regions }, () => [] as number[]);
      for (let region = 0; region < regions; region++) {
        for (let record = takeRecordLocked(map, region); record !== NONE; record = takeRecordLocked(map, region)) {
          const hash = random.u32() | 0;
          assert.ok(insertLocked(map, region, hash, record));
          hashes[region].push(hash);
          // Entries of records of other regions, as NAT makes them, are none of this region's business.
          if (regions > 1 && random.below(10) === 0) removeLocked(map, region, record);
        }
      }
      let known = 0;
      let found = 0;
      for (let round = 0; round < 300; round++) {
        const region = random.below(regions);
        const count = 1 + random.below(MAX_BATCH);
        const from = random.below(count);
        const isKnown: boolean[] = [];
        for (let index = 0; index < MAX_BATCH; index++) {
          const base = index * ROW_WORDS;
          const of = random.below(4) === 0 ? random.below(regions) : region;
          isKnown[index] = random.below(4) !== 0;
          const hash = isKnown[index] ? random.pick(hashes[of]) : random.u32() | 0;
          words[base + FACT.HASH] = hash;
          words[base + ROW.REGION] = of;
          words[base + ROW.HOME] = homeBucketAt(map, of, hash);
          words[base + ROW.CANDIDATE] = -7;
        }
        find(rows.at, from & -4, count, region, region * records, ...sizes);
        for (let index = from; index < count; index++) {
          const base = index * ROW_WORDS;
          const record = words[base + ROW.CANDIDATE];
          assert.equal(words[base + ROW.CANDIDATE_AT], recordAt(map, record));
          const isOurs = words[base + ROW.REGION] === region;
          const all = candidatesOf(map, words[base + ROW.REGION], words[base + FACT.HASH]);
          if (!isOurs) assert.equal(record, NONE);
          if (record !== NONE) assert.ok(all.includes(record) && regionOfRecord(map, record) === region);
          if (!isOurs || all.length === 0) continue;
          known++;
          if (record !== NONE) found++;
        }
      }
      // One in two thousand goes on to another bucket at the most.
      assert.ok(found > known * 0.995, `${found} of ${known}`);
    });
  });
}
