/**
 * Lists through records, against arrays.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  firstOfListLocked,
  joinListLocked,
  leaveListLocked,
  NONE,
  nextOfListLocked,
  REGION,
  regionAt,
  type SharedMap,
  takeRecordLocked,
} from '../../src/sharedarraybuffer-hashmap/index.js';
import { withSeed } from '../support/random.js';
import { newMap } from './entries.js';

const RECORDS = 40;
const LISTS = 3;
/** Two lists of words, so that a record is on two lists at once. */
const LINKS = [4, 6] as const;

function headAt(map: SharedMap, link: number, list: number): number {
  return regionAt(map, 0) + REGION.USER + LINKS.indexOf(link as (typeof LINKS)[number]) * LISTS + list;
}

function membersOf(map: SharedMap, head: number, link: number): number[] {
  const met: number[] = [];
  let record = firstOfListLocked(map, head);
  while (record !== NONE && met.length <= RECORDS) {
    met.push(record);
    record = nextOfListLocked(map, head, record, link);
  }
  return met;
}

test('records join and leave lists in any order, and walk first in first out', () => {
  withSeed(1, random => {
    const map = newMap({ regions: 1, recordsPerRegion: RECORDS, regionUserWords: LINKS.length * LISTS });
    const records = Array.from({ length: RECORDS }, () => takeRecordLocked(map, 0));
    const model = LINKS.map(() => Array.from({ length: LISTS }, (): number[] => []));
    for (let step = 0; step < 20_000; step++) {
      const record = random.pick(records);
      const which = random.below(LINKS.length);
      const link = LINKS[which];
      const on = model[which].findIndex(list => list.includes(record));
      if (on >= 0) {
        leaveListLocked(map, headAt(map, link, on), record, link);
        model[which][on].splice(model[which][on].indexOf(record), 1);
      } else {
        const to = random.below(LISTS);
        joinListLocked(map, headAt(map, link, to), record, link);
        model[which][to].push(record);
      }
      if (step % 50 !== 0) continue;
      LINKS.forEach((checked, row) => {
        for (let list = 0; list < LISTS; list++) {
          assert.deepEqual(membersOf(map, headAt(map, checked, list), checked), model[row][list]);
        }
      });
    }
  });
});

test('a list that was emptied is as one that was never used', () => {
  const map = newMap({ regions: 1, recordsPerRegion: 2, regionUserWords: 1 });
  const head = regionAt(map, 0) + REGION.USER;
  const record = takeRecordLocked(map, 0);
  joinListLocked(map, head, record, 4);
  leaveListLocked(map, head, record, 4);
  assert.equal(firstOfListLocked(map, head), NONE);
  joinListLocked(map, head, record, 4);
  assert.deepEqual(membersOf(map, head, 4), [record]);
});
