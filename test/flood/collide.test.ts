/**
 * Tuples that collide, and addresses that are spread as they say. MurmurHash3 is held to a value that its author's
 * implementation gives: 0xba6bd213 for "test" with seed 0 (x86, 32 bits).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Collide, solveMurmurStep } from '../../src/flood/collide.js';
import { Random } from '../../src/flood/random.js';
import { SPREADS, Spread, type SpreadKind } from '../../src/flood/spread.js';
import { IPPROTO } from '../../src/wire/facts.js';
import { framesOf, OPTIONS } from './made.js';

interface Tuple {
  readonly src: number;
  readonly dst: number;
  readonly ports: number;
}

function tuplesOf(generator: Collide, count: number): Tuple[] {
  return framesOf(generator, count).map(({ frame }) => {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    return { src: view.getInt32(26), dst: view.getInt32(30), ports: view.getInt32(34) };
  });
}

/** All different, none with a port of zero. */
function checkTuples(tuples: readonly Tuple[]): void {
  assert.equal(new Set(tuples.map(({ src, dst, ports }) => `${src} ${dst} ${ports}`)).size, tuples.length);
  for (const { ports } of tuples) assert.ok(ports >>> 16 !== 0 && (ports & 0xffff) !== 0);
}

test('equal: both ends of a tuple are the same', () => {
  const tuples = tuplesOf(new Collide(OPTIONS, ['equal']), 5000);
  checkTuples(tuples);
  for (const { src, dst, ports } of tuples) assert.ok(src === dst && ports >>> 16 === (ports & 0xffff));
});

test('xor: addresses and ports of all tuples XOR to the same', () => {
  const tuples = tuplesOf(new Collide(OPTIONS, ['xor']), 5000);
  checkTuples(tuples);
  assert.equal(new Set(tuples.map(({ src, dst }) => src ^ dst)).size, 1);
  assert.equal(new Set(tuples.map(({ ports }) => (ports >>> 16) ^ (ports & 0xffff))).size, 1);
});

test('murmur: all tuples have the same MurmurHash3', () => {
  const tuples = tuplesOf(new Collide(OPTIONS, ['murmur']), 5000);
  checkTuples(tuples);
  assert.equal(new Set(tuples.map(({ src, dst, ports }) => murmurOfTuple(src, dst, ports))).size, 1);
});

test('murmur: the step that is undone is that of MurmurHash3', () => {
  const final = (hash: number) => {
    let bits = hash ^ (hash >>> 16);
    bits = Math.imul(bits, 0x85ebca6b);
    bits ^= bits >>> 13;
    bits = Math.imul(bits, 0xc2b2ae35);
    return (bits ^ (bits >>> 16)) >>> 0;
  };
  const [word] = new Int32Array(new TextEncoder().encode('test').slice().buffer);
  const reached = murmurStep(0, word);
  assert.equal(final(reached ^ 4), 0xba6bd213);
  const random = new Random(3);
  for (let round = 0; round < 1000; round++) {
    const any = random.u32() | 0;
    assert.equal(solveMurmurStep(0, murmurStep(0, any)), any);
  }
});

/** One word of MurmurHash3 (x86, 32 bits), as published. */
function murmurStep(state: number, word: number): number {
  let mixed = Math.imul(word, 0xcc9e2d51);
  mixed = (mixed << 15) | (mixed >>> 17);
  mixed = Math.imul(mixed, 0x1b873593);
  const whole = state ^ mixed;
  return (Math.imul((whole << 13) | (whole >>> 19), 5) + 0xe6546b64) | 0;
}

/** MurmurHash3 of the words of a UDP tuple, seed 0, without the final mix, which cannot tell what is equal apart. */
function murmurOfTuple(src: number, dst: number, ports: number): number {
  return [src, dst, ports, IPPROTO.UDP].reduce(murmurStep, 0);
}

test('timing: what is kept begins in few places of those that a hash with a secret spreads it over', () => {
  const places = 4096;
  const homeOf = (src: number, _dst: number, ports: number) => {
    const mixed = Math.imul(src ^ 0x1234567, 0x9e3779b1) ^ Math.imul(ports ^ 0x7654321, 0x85ebca6b);
    return (mixed ^ (mixed >>> 15)) & (places - 1);
  };
  const tuples = tuplesOf(new Collide({ ...OPTIONS, homeOf }, ['timing']), 5000);
  const homes = new Set(tuples.map(({ src, dst, ports }) => homeOf(src, dst, ports)));
  assert.ok(homes.size <= 20, `${homes.size} places`);
});

test('timing: where tuples are thickest is where they are kept', () => {
  const homeOf = (src: number, _dst: number, ports: number) => {
    const mixed = Math.imul(src ^ 0x1234567, 0x9e3779b1) ^ Math.imul(ports ^ 0x7654321, 0x85ebca6b);
    const place = (mixed ^ (mixed >>> 15)) & 0xffff;
    // A sixteenth of all in 64 places, the rest in 65,536.
    return mixed >>> 28 === 5 ? 30_000 + (place & 63) : place;
  };
  for (const { src, dst, ports } of tuplesOf(new Collide({ ...OPTIONS, homeOf }, ['timing']), 5000)) {
    const home = homeOf(src, dst, ports);
    assert.ok(home >= 30_000 && home < 30_064, `${home}`);
  }
});

test('without an engine to watch the other families take turns', () => {
  const tuples = tuplesOf(new Collide(OPTIONS), 3000);
  const equal = tuples.filter(({ src, dst }) => src === dst).length;
  assert.equal(equal, 1000);
});

test('spreads: as wide as they say, and Zipf as steep', () => {
  const random = new Random(5);
  const draws = 200_000;
  const counted = Object.fromEntries(
    SPREADS.map(kind => {
      const spread = Spread.ofAddresses(kind, 0x0a000000);
      const counts = new Map<number, number>();
      for (let draw = 0; draw < draws; draw++) {
        const address = spread.next(random);
        counts.set(address, (counts.get(address) ?? 0) + 1);
      }
      return [kind, counts];
    }),
  ) as Record<SpreadKind, Map<number, number>>;
  assert.equal(counted.one.size, 1);
  assert.ok(counted.uniform.size > draws * 0.99);
  assert.ok(counted.subnet.size > 60_000 && counted.subnet.size <= 65_536);
  for (const address of counted.subnet.keys()) assert.equal(address >>> 16, 0x0a00);
  // The first of 2^20 has ln 2 / ln 2^20 = 1/20 of all, the first eight have 3 times that and a bit.
  const share = (ranks: number) => {
    let sum = 0;
    for (let rank = 0; rank < ranks; rank++) sum += counted.zipf.get(0x0a000000 + rank) ?? 0;
    return sum / draws;
  };
  assert.ok(Math.abs(share(1) - 1 / 20) < 0.003, `${share(1)}`);
  assert.ok(Math.abs(share(7) - 3 / 20) < 0.005, `${share(7)}`);
});

test('spreads of ports: never 0', () => {
  const random = new Random(7);
  for (const kind of SPREADS) {
    const spread = Spread.ofPorts(kind, 80);
    for (let draw = 0; draw < 100_000; draw++) {
      const port = spread.next(random);
      assert.ok(port >= 1 && port <= 65_535, `${kind}: ${port}`);
    }
  }
});
