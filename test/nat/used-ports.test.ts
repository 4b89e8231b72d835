/** Maps of used ports: against a set per name, and that a map never passes to another name while it holds a port. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  claimMap,
  clearUsedLocked,
  createUsedPorts,
  findMap,
  forgetUsedPorts,
  isUsed,
  NO_MAP,
  nextUnused,
  setUsedLocked,
} from '../../src/nat/used-ports.js';
import { withSeed } from '../support/random.js';

const OWNER = 3;

test('ports come and go as in a set', () => {
  withSeed(71, random => {
    const words = createUsedPorts(1);
    const names = [
      [5, 1],
      [5, 3],
      [6, 1],
      [-9, -1],
    ] as const;
    const models = names.map(() => new Set<number>());
    for (let step = 0; step < 20_000; step++) {
      const grows = step % 4000 < 2000;
      const which = random.below(names.length);
      const [hash0, hash1] = names[which];
      const model = models[which];
      const port = random.chance(0.5) ? random.below(70) : 65_470 + random.below(66);
      const map = findMap(words, hash0, hash1) || claimMap(words, OWNER, hash0, hash1);
      assert.notEqual(map, NO_MAP);
      assert.equal(isUsed(words, map, port), model.has(port));
      if (random.chance(grows ? 0.95 : 0.05)) {
        setUsedLocked(words, map, hash0, hash1, port);
        model.add(port);
      } else {
        clearUsedLocked(words, hash0, hash1, port);
        model.delete(port);
      }
      const from = random.pick([0, port, 65_470]);
      const end = random.pick([from, from + 1, 69, 65_536]);
      let next = from;
      while (next < end && model.has(next)) next++;
      assert.equal(nextUnused(words, map, from, end), from < end ? next : end);
    }
  });
});

test('the one free port of all is found, and none when there is none', () => {
  const words = createUsedPorts(1);
  const map = claimMap(words, OWNER, 5, 1);
  for (let port = 0; port < 65_536; port++) setUsedLocked(words, map, 5, 1, port);
  assert.deepEqual([nextUnused(words, map, 0, 65_536), nextUnused(words, map, 1024, 2048)], [65_536, 2048]);
  for (const port of [65_535, 40_000, 31, 0]) {
    clearUsedLocked(words, 5, 1, port);
    assert.equal(nextUnused(words, map, 0, 65_536), port);
    assert.equal(nextUnused(words, map, port + 1, 65_536), port === 65_535 ? 65_536 : 65_535);
    if (port !== 65_535) setUsedLocked(words, map, 5, 1, port);
  }
});

test('as many names as there are maps; one without ports makes room', () => {
  const words = createUsedPorts(1);
  const maps = Array.from({ length: 8 }, (_, name) => claimMap(words, OWNER, name, 1));
  assert.equal(new Set(maps).size, 8);
  maps.forEach((map, name) => {
    setUsedLocked(words, map, name, 1, 1024 + name);
  });
  assert.equal(claimMap(words, OWNER, 100, 1), NO_MAP);
  assert.equal(claimMap(words, OWNER, 4, 1), maps[4], 'a name keeps its map');
  clearUsedLocked(words, 4, 1, 1028);
  assert.equal(claimMap(words, OWNER, 100, 1), maps[4]);
  assert.equal(findMap(words, 4, 1), NO_MAP);
  // The choice that still holds the map of the old name leaves the new one's alone.
  setUsedLocked(words, maps[4], 4, 1, 7);
  assert.equal(isUsed(words, maps[4], 7), false);
  clearUsedLocked(words, 4, 1, 7);
  assert.equal(claimMap(words, OWNER, 101, 1), maps[4], 'and its map can be claimed: nothing was counted');
});

test('a thread that ends while it claims keeps others from it until all is forgotten', () => {
  const words = createUsedPorts(1);
  words[0] = 9; // the claimer's number, as the dead thread has left it
  assert.equal(claimMap(words, OWNER, 1, 1), NO_MAP);
  forgetUsedPorts(words);
  assert.notEqual(claimMap(words, OWNER, 1, 1), NO_MAP);
});

/** Does what another thread does, before call `nth` of a function of Atomics that `run` makes. */
function interrupted(name: 'or' | 'store', nth: number, other: () => void, run: () => void): void {
  const own = Atomics[name] as (array: Int32Array, index: number, value: number) => number;
  let calls = 0;
  Atomics[name] = ((array: Int32Array, index: number, value: number) => {
    if (++calls === nth) other();
    return own(array, index, value);
  }) as never;
  try {
    run();
  } finally {
    Atomics[name] = own as never;
  }
  assert.ok(calls >= nth);
}

test('a port that another thread clears while its word is noted as full is found again', () => {
  const words = createUsedPorts(1);
  const map = claimMap(words, OWNER, 5, 1);
  const set = (port: number) => setUsedLocked(words, map, 5, 1, port);
  for (let port = 32; port < 95; port++) set(port);
  // Between the bit of the last port of a word and the bit of the word.
  interrupted(
    'or',
    2,
    () => clearUsedLocked(words, 5, 1, 70),
    () => set(95),
  );
  assert.equal(nextUnused(words, map, 32, 65_536), 70);
});

test('a port of the old name that comes while a map passes to a new one is not the new one’s', () => {
  const words = createUsedPorts(1);
  const map = claimMap(words, OWNER, 5, 1);
  for (let name = 6; name < 13; name++) setUsedLocked(words, claimMap(words, OWNER, name, 1), name, 1, 9);
  // The map is taken, and TAKEN is stored; the new name is not.
  interrupted(
    'store',
    2,
    () => setUsedLocked(words, map, 5, 1, 7),
    () => assert.equal(claimMap(words, OWNER, 13, 1), map),
  );
  assert.equal(isUsed(words, map, 7), false);
  assert.equal(claimMap(words, OWNER, 14, 1), map, 'nor was it counted');
});

test('without a map nothing is written', () => {
  const words = createUsedPorts(1);
  for (let name = 0; name < 8; name++) setUsedLocked(words, claimMap(words, OWNER, name, 1), name, 1, 2);
  const before = words.slice();
  assert.equal(claimMap(words, OWNER, 100, 1), NO_MAP);
  for (let port = 0; port < 65_536; port++) clearUsedLocked(words, 100, 1, port);
  assert.deepEqual(words, before);
});

test('maps grow with the table, up to a limit', () => {
  const bytes = (connections: number) => createUsedPorts(connections).byteLength;
  assert.equal(bytes(1), bytes(8 * 4096));
  assert.ok(bytes(1_000_000) < 1_000_000 * 4);
  assert.equal(bytes(100_000_000), bytes(5_000_000));
});
