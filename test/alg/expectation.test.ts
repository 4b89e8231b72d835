/**
 * The table of expectations: found, renewed, bounded per parent and in all, ended, and gone with their parent.
 *
 * What is bounded and ends is this project's own (Open vSwitch has neither); that of two with the same key the first one
 * counts, and that one is not used up, is OVS's `expectation_create()`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ADDED,
  addExpectationLocked,
  createExpectations,
  EXPECTATION,
  EXPECTATION_TIMEOUT_MS,
  EXPECTATION_WORDS,
  findExpectation,
  MAX_PER_PARENT,
  reapExpectationsLocked,
} from '../../src/alg/expectation.js';
import {
  createMap,
  insertLocked,
  RECORD,
  recordAt,
  recordsUsedLocked,
  removeLocked,
  type SharedMap,
  takeRecordLocked,
} from '../../src/sharedarraybuffer-hashmap/index.js';
import { ANNEX_WORDS, CONN, CONN_WORDS } from '../../src/track/connection.js';
import { FACT, FACT_WORDS } from '../../src/wire/facts.js';
import { withSeed } from '../support/random.js';

const KEY = 6;

class Table {
  readonly connections = createMap({
    regions: 1,
    recordsPerRegion: 2000,
    recordWords: CONN_WORDS,
    annexesPerRegion: 0,
    annexWords: ANNEX_WORDS,
    regionUserWords: 0,
  });
  readonly map: SharedMap;
  nowMs = 1000;

  constructor(most = 100) {
    this.map = createExpectations(most);
  }

  parent(expiresMs = 1e9): number {
    const record = takeRecordLocked(this.connections, 0);
    this.connections.doubles[(recordAt(this.connections, record) + CONN.EXPIRES) >>> 1] = expiresMs;
    insertLocked(this.connections, 0, record * 7, record);
    return record;
  }

  end(parent: number): void {
    removeLocked(this.connections, parent);
  }

  add(parent: number, port: number, source = 1): number {
    const draft = new Int32Array(EXPECTATION_WORDS);
    draft[EXPECTATION.KEY] = KEY;
    draft[EXPECTATION.SRC0 + 3] = source;
    draft[EXPECTATION.DST0 + 3] = 2;
    draft[EXPECTATION.PORT] = port;
    draft[EXPECTATION.MARK] = port * 3;
    draft[EXPECTATION.PARENT] = parent;
    const at = recordAt(this.connections, parent);
    draft[EXPECTATION.PARENT_GENERATION] = this.connections.words[at + RECORD.GENERATION];
    new Float64Array(draft.buffer)[EXPECTATION.EXPIRES >>> 1] = this.nowMs + EXPECTATION_TIMEOUT_MS;
    return addExpectationLocked(this.map, this.connections, draft, hashOf(source, port), this.nowMs);
  }

  /** The parent of the expectation that a packet meets, 0 when there is none. */
  find(port: number, source = 1): number {
    const facts = new Int32Array(FACT_WORDS);
    facts[FACT.SRC] = source;
    facts[FACT.DST] = 2;
    facts[FACT.PORTS] = port;
    const into = new Int32Array(EXPECTATION_WORDS);
    const doubles = new Float64Array(into.buffer);
    const hash = hashOf(source, port);
    if (!findExpectation(this.map, this.connections, facts, 0, KEY, hash, this.nowMs, into, doubles)) return 0;
    assert.equal(into[EXPECTATION.MARK], port * 3);
    return into[EXPECTATION.PARENT];
  }

  reap(): void {
    reapExpectationsLocked(this.map, this.connections, () => this.nowMs);
  }

  get count(): number {
    return recordsUsedLocked(this.map, 0);
  }
}

function hashOf(source: number, port: number): number {
  return Math.imul(source * 65536 + port, 0x9e3779b1);
}

test('an expectation is found by its key, again and again, until its parent goes', () => {
  const table = new Table();
  const parent = table.parent();
  assert.equal(table.find(50000), 0);
  assert.equal(table.add(parent, 50000), ADDED.CREATED);
  for (let times = 0; times < 3; times++) assert.equal(table.find(50000), parent);
  assert.deepEqual([table.find(50001), table.find(50000, 3)], [0, 0]);
  table.end(parent);
  assert.equal(table.find(50000), 0);
  assert.equal(table.count, 1);
  table.reap();
  assert.equal(table.count, 0);
});

test('it ends after its time, and a parent that has ended counts as gone', () => {
  const table = new Table();
  const parent = table.parent();
  const ending = table.parent(2000);
  table.add(parent, 1);
  table.add(ending, 2);
  table.nowMs = 1999;
  assert.deepEqual([table.find(1), table.find(2)], [parent, ending]);
  table.nowMs = 2000;
  assert.deepEqual([table.find(1), table.find(2)], [parent, 0]);
  table.nowMs = 1000 + EXPECTATION_TIMEOUT_MS - 1;
  assert.equal(table.find(1), parent);
  table.nowMs++;
  assert.equal(table.find(1), 0);
});

test('announced again it lasts longer; by another parent it stays the first one’s, while that lives', () => {
  const table = new Table();
  const [first, second] = [table.parent(), table.parent()];
  table.add(first, 1);
  table.nowMs += 1000;
  assert.equal(table.add(first, 1), ADDED.RENEWED);
  assert.equal(table.add(second, 1), ADDED.TAKEN);
  table.nowMs = 1000 + EXPECTATION_TIMEOUT_MS;
  assert.equal(table.find(1), first);
  table.end(first);
  assert.equal(table.add(second, 1), ADDED.CREATED);
  assert.equal(table.find(1), second);
  assert.equal(table.count, 1);
});

test('a parent has a few, the newest ones', () => {
  const table = new Table();
  const [parent, other] = [table.parent(), table.parent()];
  table.add(other, 99);
  for (let port = 1; port <= MAX_PER_PARENT + 3; port++) {
    table.nowMs++;
    assert.equal(table.add(parent, port), port <= MAX_PER_PARENT ? ADDED.CREATED : ADDED.REPLACED);
  }
  assert.deepEqual(
    [1, 2, 3, 4, 11, 99].map(port => table.find(port)),
    [0, 0, 0, parent, parent, other],
  );
  assert.equal(table.count, MAX_PER_PARENT + 1);
});

test('a full table refuses, unless what it holds has ended or lost its parent', () => {
  const table = new Table(4);
  const parents = [1, 2, 3, 4, 5].map(() => table.parent());
  for (const [index, parent] of parents.entries()) {
    assert.equal(table.add(parent, index + 1), index < 4 ? ADDED.CREATED : ADDED.FULL);
  }
  assert.equal(table.find(5), 0);
  table.end(parents[2]);
  assert.equal(table.add(parents[4], 5), ADDED.CREATED);
  table.nowMs += EXPECTATION_TIMEOUT_MS;
  assert.equal(table.add(parents[4], 6), ADDED.CREATED);
  assert.equal(table.count, 1);
});

test('random additions, ends and deaths leave what a model says', () => {
  withSeed(2605, random => {
    const table = new Table(64);
    const parents: number[] = [];
    const model = new Map<string, { parent: number; untilMs: number }>();
    for (let step = 0; step < 20_000; step++) {
      table.nowMs += random.below(200);
      const isLive = (entry: { parent: number; untilMs: number } | undefined) =>
        entry !== undefined && parents.includes(entry.parent) && table.nowMs < entry.untilMs;
      if (parents.length < 8 || random.chance(0.02)) parents.push(table.parent());
      if (parents.length > 20 || random.chance(0.02)) table.end(parents.splice(random.below(parents.length), 1)[0]);
      const [source, port] = [random.between(1, 3), random.between(1, 30)];
      const name = `${source}:${port}`;
      assert.equal(table.find(port, source) !== 0, isLive(model.get(name)), `step ${step}`);
      if (random.chance(0.3)) table.reap();
      const parent = random.pick(parents);
      const did = table.add(parent, port, source);
      if (did === ADDED.FULL) continue;
      if (did === ADDED.TAKEN) {
        assert.ok(isLive(model.get(name)) && model.get(name)?.parent !== parent);
        continue;
      }
      model.set(name, { parent, untilMs: table.nowMs + EXPECTATION_TIMEOUT_MS });
      const own = [...model].filter(([, entry]) => entry.parent === parent && isLive(entry));
      own.sort(([, a], [, b]) => a.untilMs - b.untilMs);
      // Of those that are equally old either may have gone.
      if (did === ADDED.REPLACED) {
        const gone = own.slice(0, 8).filter(([key]) => {
          const [from, to] = key.split(':').map(Number);
          return table.find(to, from) === 0;
        });
        assert.equal(gone.length, own.length - MAX_PER_PARENT);
        for (const [key] of gone) model.delete(key);
      }
    }
  });
});
