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
  forgetExpectations,
  MAX_PER_PARENT,
  reapExpectationsLocked,
} from '../../src/alg/expectation.js';
import {
  createMap,
  firstCandidateLocked,
  giveRecordLocked,
  insertLocked,
  MAX_PROBES,
  RECORD,
  REGION,
  recordAt,
  recordsUsedLocked,
  regionAt,
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
  /** What was found last, as a tracker keeps it. */
  readonly #found = new Int32Array(EXPECTATION_WORDS);

  readonly hashOf: typeof spread;

  constructor(most = 100, hashOf = spread) {
    this.hashOf = hashOf;
    this.map = createExpectations(most);
  }

  parent(expiresMs = 1e9): number {
    const record = takeRecordLocked(this.connections, 0);
    this.connections.doubles[(recordAt(this.connections, record) + CONN.EXPIRES) >>> 1] = expiresMs;
    insertLocked(this.connections, 0, record * 7, record);
    return record;
  }

  end(parent: number): void {
    removeLocked(this.connections, 0, parent);
  }

  /** Ends a parent, and gives its record to a new one. */
  replace(parent: number): void {
    this.end(parent);
    giveRecordLocked(this.connections, 0, parent);
    assert.equal(this.parent(), parent);
  }

  add(parent: number, port: number, source = 1, destination = 2, key = KEY): number {
    const draft = new Int32Array(EXPECTATION_WORDS);
    draft[EXPECTATION.KEY] = key;
    draft[EXPECTATION.SRC0 + 3] = source;
    draft[EXPECTATION.DST0 + 3] = destination;
    draft[EXPECTATION.PORT] = port;
    draft[EXPECTATION.MARK] = port * 3;
    draft[EXPECTATION.PARENT] = parent;
    const at = recordAt(this.connections, parent);
    draft[EXPECTATION.PARENT_GENERATION] = this.connections.words[at + RECORD.GENERATION];
    new Float64Array(draft.buffer)[EXPECTATION.EXPIRES >>> 1] = this.nowMs + EXPECTATION_TIMEOUT_MS;
    return addExpectationLocked(this.map, this.connections, draft, this.hashOf(source, port), this.nowMs);
  }

  /** The parent of the expectation that a packet meets, 0 when there is none. */
  find(port: number, source = 1, destination = 2, key = KEY): number {
    const facts = new Int32Array(FACT_WORDS);
    facts[FACT.SRC] = source;
    facts[FACT.DST] = destination;
    facts[FACT.PORTS] = port;
    const into = this.#found;
    const doubles = new Float64Array(into.buffer);
    const hash = this.hashOf(source, port);
    if (!findExpectation(this.map, this.connections, facts, 0, key, hash, this.nowMs, into, doubles)) return 0;
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

function spread(source: number, port: number): number {
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
  const other = table.parent();
  assert.equal(table.add(other, 1), ADDED.CREATED, 'though the first parent lives');
  assert.equal(table.find(1), other);
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

test('keys with one hash are kept apart', () => {
  const table = new Table(100, () => 7);
  const keys = [
    [1, 1, 2, KEY],
    [2, 1, 2, KEY],
    [1, 3, 2, KEY],
    [1, 1, 4, KEY],
    [1, 1, 2, KEY | (9 << 16)],
  ] as const;
  const parents = keys.map(() => table.parent());
  for (const [index, [port, source, destination, key]] of keys.entries()) {
    assert.equal(table.add(parents[index], port, source, destination, key), ADDED.CREATED);
  }
  for (const [index, [port, source, destination, key]] of keys.entries()) {
    assert.equal(table.find(port, source, destination, key), parents[index]);
  }
  assert.deepEqual([table.find(2, 3), table.find(1, 1, 2, 17)], [0, 0]);
});

test('what the record of a parent that is gone had announced does not count for the next one', () => {
  const table = new Table();
  const parent = table.parent();
  for (let port = 1; port <= MAX_PER_PARENT; port++) assert.equal(table.add(parent, port), ADDED.CREATED);
  table.replace(parent);
  for (let port = 1; port <= MAX_PER_PARENT; port++) {
    assert.equal(table.find(port), 0);
    assert.equal(table.add(parent, 100 + port), ADDED.CREATED);
  }
  assert.equal(table.count, 2 * MAX_PER_PARENT);
  table.reap();
  assert.equal(table.count, MAX_PER_PARENT);
});

test('each addition clears away eight that have ended, the oldest first', () => {
  const table = new Table();
  for (let port = 1; port <= 20; port++) table.add(table.parent(), port);
  table.nowMs += EXPECTATION_TIMEOUT_MS;
  const counts = [30, 31, 32, 33].map(port => {
    assert.equal(table.add(table.parent(), port), ADDED.CREATED);
    return table.count;
  });
  assert.deepEqual(counts, [20 - 8 + 1, 20 - 16 + 2, 3, 4]);
});

/** Hash under which the expectations of a parent are entered, as hashOfParent() has it. */
const hashOfParent = (parent: number) => Math.imul(parent, 0xbb67ae85);

test('an index without a slot within reach refuses, and the table is as it was', () => {
  // All keys of port 1 to 999 have the hash of one parent's entries; it comes last.
  const last = 40;
  const table = new Table(500, (source, port) => (port < 1000 ? hashOfParent(last) : spread(source, port)));
  const parents = Array.from({ length: last }, () => table.parent());
  let held = 0;
  while (table.add(parents[held >> 3], held + 1) === ADDED.CREATED) held++;
  assert.ok(held > 15 && held <= MAX_PROBES * 15, `${held} entries, and some of parents, in the buckets within reach`);
  for (const port of [held + 1, 1000]) {
    assert.equal(table.add(parents[last - 1], port), ADDED.FULL, `no slot for the ${port < 1000 ? 'key' : 'parent'}`);
    assert.deepEqual([table.find(port), table.count], [0, held]);
  }
  assert.equal(table.find(held), parents[(held - 1) >> 3]);
  table.end(parents[0]);
  table.reap();
  for (const port of [held + 1, 1000]) {
    assert.equal(table.add(parents[last - 1], port), ADDED.CREATED);
    assert.equal(table.find(port), parents[last - 1]);
  }
});

test('an expectation that is being written, or whose slot is damaged, is passed over', () => {
  const table = new Table();
  const parent = table.parent();
  table.add(parent, 1);
  const { map } = table;
  assert.equal(table.find(1), parent);
  const stampAt = recordAt(map, 1) + EXPECTATION.STAMP;
  const stamp = map.words[stampAt];
  map.words[stampAt] = 0;
  assert.equal(table.find(1), 0);
  map.words[stampAt] = stamp;
  const slot = firstCandidateLocked(map, 0, spread(1, 1));
  const right = map.words[slot];
  for (const record of [0, map.recordsPerRegion + 1, map.recordMask]) {
    map.words[slot] = (right & ~map.recordMask) | record;
    assert.equal(table.find(1), 0, `record ${record}`);
  }
  map.words[slot] = right;
  assert.equal(table.find(1), parent);
});

test('after 2^32 stamps none is 0', () => {
  const table = new Table();
  const parent = table.parent();
  table.map.words[regionAt(table.map, 0) + REGION.USER + 1] = -2; // the last stamp given
  for (const port of [1, 2, 3]) {
    table.add(parent, port);
    assert.equal(table.find(port), parent);
  }
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

test('all are forgotten after a thread has died while it wrote one, and others come', () => {
  const table = new Table();
  const parent = table.parent();
  for (let port = 1; port <= MAX_PER_PARENT; port++) table.add(parent, port);
  // As a thread leaves it that dies between the entry by key and that by parent, with its stamp still to be written.
  const { map } = table;
  const half = takeRecordLocked(map, 0);
  insertLocked(map, 0, spread(1, 9), half);
  forgetExpectations(map);
  for (let port = 1; port <= MAX_PER_PARENT; port++) assert.equal(table.find(port), 0, `port ${port}`);
  assert.equal(recordsUsedLocked(map, 0), 0);
  for (let port = 1; port <= MAX_PER_PARENT; port++) assert.equal(table.add(parent, port), ADDED.CREATED);
  for (let port = 1; port <= MAX_PER_PARENT; port++) assert.equal(table.find(port), parent, `port ${port}`);
  assert.equal(recordsUsedLocked(map, 0), MAX_PER_PARENT);
});
