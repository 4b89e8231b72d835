/**
 * Whether what a thread holds of fragments adds up: every item is in use exactly once or free exactly once.
 *
 * Imports src/fragment, src/engine.
 */
import assert from 'node:assert/strict';
import { CONTROL } from '../../src/engine/memory.js';
import { blocksFor } from '../../src/fragment/blocks.js';
import {
  DATAGRAM,
  type FragmentStore,
  HEADER,
  HELD,
  itemAt,
  NONE,
  PAIR,
  type Pool,
  usedItems,
} from '../../src/fragment/layout.js';
import type { LocalEngine } from '../../src/index.js';

function chain(words: Int32Array, pool: Pool, first: number, link = 0): number[] {
  const items: number[] = [];
  for (let item = first; item !== NONE; item = words[itemAt(pool, item) + link]) {
    assert.ok(item > 0 && item <= pool.capacity, `item ${item} of ${pool.capacity}`);
    items.push(item);
    assert.ok(items.length <= pool.capacity, 'a chain without end');
  }
  return items;
}

function assertAll(store: FragmentStore, pool: Pool, inUse: readonly number[], what: string): void {
  const free = chain(store.words, pool, store.words[pool.free]);
  const fresh = store.words[pool.free + 1];
  assert.equal(usedItems(store, pool), inUse.length, `${what} in use`);
  const all = [...inUse, ...free].sort((a, b) => a - b);
  assert.deepEqual(
    all,
    Array.from({ length: fresh }, (_, index) => index + 1),
    `${what}: each in one place`,
  );
}

/** @throws AssertionError when anything is lost, or in two places */
function auditStore(store: FragmentStore): number {
  const { words, datagrams, pairs, fragments, blocks } = store;
  const byAge = chain(words, datagrams, words[HEADER.OLDEST], DATAGRAM.NEWER);
  const held: number[] = [];
  const inPairs = new Map<number, number>();
  for (const datagram of byAge) {
    const at = itemAt(datagrams, datagram);
    const own = chain(words, fragments, words[at + DATAGRAM.FIRST], HELD.LINK);
    assert.equal(own.length, words[at + DATAGRAM.COUNT]);
    held.push(...own);
    const pair = words[at + DATAGRAM.PAIR];
    inPairs.set(pair, (inPairs.get(pair) ?? 0) + own.length);
  }
  assert.deepEqual([...byAge].reverse(), chain(words, datagrams, words[HEADER.NEWEST], DATAGRAM.OLDER));
  for (const [pair, count] of inPairs) {
    const at = itemAt(pairs, pair);
    assert.equal(words[at + PAIR.FRAGMENTS], count);
    const own = chain(words, datagrams, words[at + PAIR.OLDEST], DATAGRAM.PAIR_NEWER);
    assert.deepEqual(
      own,
      byAge.filter(datagram => words[itemAt(datagrams, datagram) + DATAGRAM.PAIR] === pair),
    );
  }
  const all = [...held, ...chain(words, fragments, words[HEADER.READY], HELD.LINK)];
  const chains = all.map(fragment => {
    const at = itemAt(fragments, fragment);
    const own = chain(words, blocks, words[at + HELD.BLOCK]);
    assert.equal(own.length, blocksFor(words[at + HELD.BYTES]));
    return own;
  });
  assertAll(store, datagrams, byAge, 'datagrams');
  assertAll(store, pairs, [...inPairs.keys()], 'pairs');
  assertAll(store, fragments, all, 'fragments');
  assertAll(store, blocks, chains.flat(), 'blocks');
  return all.length;
}

/** The same of an engine, whose count must agree. @returns fragments that are held */
export function auditFragments(engine: LocalEngine): number {
  const { reassembly } = engine.tracker;
  assert.ok(reassembly);
  const held = auditStore(reassembly.store);
  assert.equal(engine.memory.control[CONTROL.FRAGMENTS], held);
  return held;
}
