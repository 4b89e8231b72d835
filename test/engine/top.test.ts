/**
 * Heavy hitters against exact counts. The bounds are those of Space-Saving: what is reported has a true count between
 * least and most, and whatever has more than its share of the sketch is reported.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatTopEntry } from '../../src/control/top.js';
import { PacketBatch } from '../../src/engine/batch.js';
import { Engine } from '../../src/engine/engine.js';
import { LocalEngine } from '../../src/engine/local.js';
import { createMemory } from '../../src/engine/memory.js';
import { memoryOptions, resolveOptions } from '../../src/engine/options.js';
import { createTopMemory, readTop, TopSketches } from '../../src/engine/top.js';
import { Random } from '../../src/flood/random.js';
import { SPREADS, Spread } from '../../src/flood/spread.js';
import { FACT, FACT_WORDS, FAMILY_IPV6 } from '../../src/wire/facts.js';
import { frame, ipv4, ipv6, udp } from '../support/frames.js';
import { seedFor } from '../support/random.js';

const SEED = seedFor(1);
const MEMORY = createMemory(memoryOptions(resolveOptions({ shards: 1, maxConnections: 10, seed: SEED }), 0));
const NOW = Float64Array.of(1000);
const MINUTE_MS = 60_000;
/** Entries of a sketch. */
const PLACES = 512;

/** New connections from sources of a spread, into as many shards; and what was really counted. */
function counted(
  spread: Spread,
  draws: number,
  shards: number,
): { buffer: SharedArrayBuffer; exact: Map<number, number> } {
  const buffer = createTopMemory(shards);
  const rows = Array.from({ length: shards }, (_, shard) => new TopSketches(buffer, shard, MEMORY));
  const random = new Random(SEED);
  const facts = new Int32Array(FACT_WORDS);
  const exact = new Map<number, number>();
  for (let draw = 0; draw < draws; draw++) {
    const source = spread.next(random);
    facts[FACT.SRC] = source;
    rows[random.below(shards)].countNew(facts, 0, source & 0xff, NOW);
    exact.set(source, (exact.get(source) ?? 0) + 1);
  }
  return { buffer, exact };
}

for (const kind of SPREADS) {
  for (const shards of [1, 3]) {
    test(`${kind} sources in ${shards} shards: true counts lie within the bounds, and no large one is missing`, () => {
      const draws = 300_000;
      const { buffer, exact } = counted(Spread.ofAddresses(kind, 0x0a000000), draws, shards);
      const entries = readTop(buffer, MEMORY, { by: 'source', what: 'new', count: 100_000 });
      assert.ok(entries.length <= PLACES * shards);
      const found = new Set<number>();
      for (const { family, words, least, most } of entries) {
        assert.equal(family, 4);
        const count = exact.get(words[3]) ?? 0;
        assert.ok(least <= count && count <= most, `FLOWSHARD_TEST_SEED=${SEED}: ${least} <= ${count} <= ${most}`);
        found.add(words[3]);
      }
      // Twice the average share of a place, since sets are not filled evenly.
      for (const [source, count] of exact) assert.ok(count < (2 * draws) / PLACES || found.has(source), `${count}`);
    });
  }
}

test('Zipf: the ten first are the ten largest, in their order but for neighbours that are as good as equal', () => {
  const { buffer, exact } = counted(Spread.ofAddresses('zipf', 0x0a000000), 1_000_000, 2);
  const largest = [...exact].sort((a, b) => b[1] - a[1]).slice(0, 10);
  const entries = readTop(buffer, MEMORY, { by: 'source', what: 'new', count: 10 });
  assert.deepEqual(entries.map(({ words }) => words[3]).sort(), largest.map(([source]) => source).sort());
  entries.forEach(({ least, most }, index) => {
    const [, count] = largest[index];
    assert.ok(Math.abs(least - count) < 0.02 * count && most - least < 0.05 * count, `${least} to ${most}: ${count}`);
  });
});

test('zones are counted beside the sources, all 256 of them exactly', () => {
  const { buffer, exact } = counted(Spread.ofAddresses('uniform', 0), 100_000, 1);
  const byZone = new Map<number, number>();
  for (const [source, count] of exact) byZone.set(source & 0xff, (byZone.get(source & 0xff) ?? 0) + count);
  const entries = readTop(buffer, MEMORY, { by: 'zone', what: 'new', count: 1000 });
  const sum = entries.reduce((total, { least }) => total + least, 0);
  // A set may have more than its eight; what is in no such set is exact.
  assert.ok(sum > 60_000, `${sum}`);
  for (const { family, words, least, most } of entries) {
    const count = byZone.get(words[3]) ?? 0;
    assert.ok(family === 0 && least <= count && count <= most);
  }
});

test('packets: samples, each for 64, come out as many as there were', () => {
  const buffer = createTopMemory(1);
  const sketches = new TopSketches(buffer, 0, MEMORY);
  const random = new Random(SEED);
  const facts = new Int32Array(FACT_WORDS);
  let packets = 0;
  while (packets < 3_000_000) {
    const count = 1 + random.below(64);
    for (let at = sketches.nextSample(0, count); at >= 0; at = sketches.nextSample(at + 1, count)) {
      assert.ok(at < count);
      facts[FACT.SRC] = at & 1;
      sketches.countSample(facts, 0, 0, NOW);
    }
    packets += count;
  }
  const [zone] = readTop(buffer, MEMORY, { by: 'zone', what: 'packets' });
  // 47,000 samples: a hundredth is more than two standard deviations of gaps that are uniform.
  assert.ok(Math.abs(zone.least / packets - 1) < 0.01, `${zone.least} of ${packets}`);
  assert.equal(readTop(buffer, MEMORY, { by: 'source', what: 'packets' }).length, 2);
});

test('counts are of this minute and the one before', () => {
  const buffer = createTopMemory(1);
  const sketches = new TopSketches(buffer, 0, MEMORY);
  const facts = new Int32Array(FACT_WORDS);
  const sources = () =>
    readTop(buffer, MEMORY, { by: 'source', what: 'new' }).map(({ words, least }) => [words[3], least]);
  const count = (source: number, minute: number) => {
    facts[FACT.SRC] = source;
    sketches.countNew(facts, 0, 0, Float64Array.of(minute * MINUTE_MS + 5));
  };
  count(1, 100);
  count(1, 100);
  count(2, 101);
  assert.deepEqual(sources(), [
    [1, 2],
    [2, 1],
  ]);
  count(2, 102);
  assert.deepEqual(sources(), [[2, 2]]);
  // Packets that are late do not bring the past back.
  count(3, 100);
  assert.deepEqual(sources(), [
    [2, 2],
    [3, 1],
  ]);
  count(4, 200);
  assert.deepEqual(sources(), [[4, 1]]);
});

for (const strayMs of [Number.POSITIVE_INFINITY, Number.NaN, 1.79e15]) {
  test(`a packet at ${strayMs} ms is counted in the minute at hand, which ends all the same`, () => {
    const buffer = createTopMemory(1);
    const sketches = new TopSketches(buffer, 0, MEMORY);
    const facts = new Int32Array(FACT_WORDS);
    for (let minute = 0; minute < 10; minute++) {
      sketches.countNew(facts, 0, 0, Float64Array.of(1.79e12 + minute * MINUTE_MS));
      sketches.countNew(facts, 0, 0, Float64Array.of(strayMs));
    }
    const [first] = readTop(buffer, MEMORY, { by: 'source', what: 'new' });
    assert.equal(first.least, 4, 'of this minute and the one before');
  });
}

test('addresses of IPv6 are told apart by all their words', () => {
  const buffer = createTopMemory(1);
  const sketches = new TopSketches(buffer, 0, MEMORY);
  const facts = new Int32Array(FACT_WORDS);
  facts[FACT.PROTOCOL] = FAMILY_IPV6;
  for (let word = 0; word < 4; word++) {
    for (let times = 0; times <= word; times++) {
      facts.fill(0, FACT.SRC0, FACT.SRC0 + 4);
      facts[FACT.SRC0 + word] = 1;
      sketches.countNew(facts, 0, 7, NOW);
    }
  }
  const entries = readTop(buffer, MEMORY, { by: 'source', what: 'new' });
  assert.deepEqual(
    entries.map(entry => [formatTopEntry(entry), entry.least]),
    [
      ['::1', 4],
      ['::1:0:0', 3],
      ['0:0:0:1::', 2],
      ['0:1::', 1],
    ],
  );
});

for (const shards of [0, 2]) {
  test(`an engine with ${shards} workers: who opened connections and who sent packets`, async () => {
    const options = { maxConnections: 1000, tracksTop: true, seed: SEED };
    const engine = shards === 0 ? new LocalEngine(options) : await Engine.open({ ...options, shards });
    try {
      const action = engine.defineAction({ zone: 9 });
      const batch = new PacketBatch(64);
      for (let sport = 1; sport <= 20; sport++) {
        batch.add(frame(ipv4({ src: '10.0.0.1', dst: '10.0.0.9' }, udp({ sport }))), 1000, { action });
      }
      for (let sport = 1; sport <= 5; sport++) {
        batch.add(frame(ipv6({ src: '2001:db8::1', dst: '2001:db8::9' }, udp({ sport }))), 1000, { action });
      }
      // The same again opens nothing.
      batch.add(frame(ipv4({ src: '10.0.0.1', dst: '10.0.0.9' }, udp({ sport: 1 }))), 1000, { action });
      await engine.execute(batch);
      const text = (by: 'source' | 'destination' | 'zone') =>
        engine.top({ by, what: 'new' }).map(entry => `${formatTopEntry(entry)} ${entry.least}-${entry.most}`);
      assert.deepEqual(text('source'), ['10.0.0.1 20-20', '2001:db8::1 5-5']);
      assert.deepEqual(text('destination'), ['10.0.0.9 20-20', '2001:db8::9 5-5']);
      assert.deepEqual(text('zone'), ['9 25-25']);
      for (let round = 0; round < 1000; round++) {
        batch.clear();
        for (let sport = 1; sport <= 10; sport++) {
          batch.add(frame(ipv4({ src: '10.0.0.1', dst: '10.0.0.9' }, udp({ sport }))), 1000, { action });
        }
        await engine.execute(batch);
      }
      const [first] = engine.top({ by: 'source', what: 'packets', count: 1 });
      assert.equal(formatTopEntry(first), '10.0.0.1');
      assert.ok(Math.abs(first.least / 10_000 - 1) < 0.25, `${first.least}`);
    } finally {
      if (engine instanceof Engine) await engine.close();
    }
  });
}

test('an engine that does not count says so; a query that makes no sense is refused', () => {
  const engine = new LocalEngine({ maxConnections: 10 });
  assert.throws(() => engine.top({ by: 'source', what: 'new' }), /^Error: the engine was opened without tracksTop$/);
  const counting = new LocalEngine({ maxConnections: 10, tracksTop: true });
  assert.deepEqual(counting.top({ by: 'source', what: 'new' }), []);
  assert.throws(() => counting.top({ by: 'source', what: 'new', count: 0 }), /^RangeError: count must be/);
  assert.throws(() => counting.top({ by: 'port' as 'zone', what: 'new' }), /^RangeError: by must be/);
  assert.throws(() => counting.top({ by: 'zone', what: 'bytes' as 'new' }), /^RangeError: what must be/);
});
