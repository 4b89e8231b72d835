/**
 * Where the parts of a map lie, what attachMap() accepts, and which options createMap() refuses.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  annexAt,
  attachMap,
  createMap,
  LINE_WORDS,
  type MapOptions,
  recordAt,
  regionAt,
  regionOfRecord,
  type SharedMap,
  touchMap,
} from '../../src/sharedarraybuffer-hashmap/index.js';
import {
  BUCKET,
  BUCKET_WORDS,
  HEADER,
  HEADER_WORDS,
  RECORD,
  REGION,
} from '../../src/sharedarraybuffer-hashmap/layout.js';

const USUAL: MapOptions = {
  regions: 3,
  recordsPerRegion: 100,
  recordWords: 32,
  annexesPerRegion: 10,
  annexWords: 16,
  regionUserWords: 5,
};

const SHAPES: readonly [name: string, options: Partial<MapOptions>][] = [
  ['the usual shape', {}],
  ['one of everything', { regions: 1, recordsPerRegion: 1, annexesPerRegion: 1, regionUserWords: 1 }],
  ['no annexes and no user words', { annexesPerRegion: 0, regionUserWords: 0 }],
  ['user words that fill their line', { regionUserWords: 16 }],
  ['user words that overflow their line', { regionUserWords: 17 }],
  ['small records', { recordWords: 16, recordsPerRegion: 77 }],
  ['records of three lines', { recordWords: 48, annexWords: 32 }],
  ['annexes of half a line', { annexWords: 8, annexesPerRegion: 33 }],
  ['annexes of a line and a half', { annexWords: 24 }],
  ['many regions', { regions: 1024, recordsPerRegion: 3 }],
  ['a load at its limit', { recordsPerRegion: 24 }],
];

/** The parts of a map: name, first word, number of words. */
function parts(map: SharedMap): [name: string, at: number, words: number][] {
  const list: [string, number, number][] = [['header', 0, HEADER_WORDS]];
  for (let region = 0; region < map.regions; region++) {
    list.push([`region ${region}`, regionAt(map, region), REGION.USER + map.regionUserWords]);
  }
  for (let bucket = 0; bucket < map.regions * map.bucketsPerRegion; bucket++) {
    list.push([`bucket ${bucket}`, map.bucketsAt + bucket * BUCKET_WORDS, BUCKET_WORDS]);
  }
  for (let record = 1; record <= map.regions * map.recordsPerRegion; record++) {
    list.push([`record ${record}`, recordAt(map, record), map.recordWords]);
  }
  for (let annex = 1; annex <= map.regions * map.annexesPerRegion; annex++) {
    list.push([`annex ${annex}`, annexAt(map, annex), map.annexWords]);
  }
  return list;
}

for (const [name, options] of SHAPES) {
  test(`no two parts overlap, and each is aligned: ${name}`, () => {
    const map = createMap({ ...USUAL, ...options });
    const owner = new Map<number, string>();
    for (const [part, at, words] of parts(map)) {
      // Annexes may be half a line long, and may then share one.
      const unit = words % LINE_WORDS === 0 || !part.startsWith('annex') ? LINE_WORDS : LINE_WORDS / 2;
      assert.equal(at % unit, 0, `${part} starts at word ${at}`);
      assert.ok(at + words <= map.words.length, `${part} ends within the memory`);
      for (let word = at; word < at + words; word++) {
        assert.equal(owner.get(word), undefined, `${part} overlaps at word ${word}`);
        owner.set(word, part);
      }
    }
  });

  test(`attachMap() sees what createMap() wrote: ${name}`, () => {
    const map = createMap({ ...USUAL, ...options });
    const { words, doubles, ...rest } = attachMap(map.buffer);
    const { words: _words, doubles: _doubles, ...created } = map;
    assert.deepEqual(rest, created);
    assert.deepEqual([words.length, doubles.length], [map.words.length, map.doubles.length]);
    const last = recordAt(map, map.regions * map.recordsPerRegion) + map.recordWords - 1;
    map.words[last] = 0x600df00d;
    assert.equal(words[last], 0x600df00d);
    assert.equal(regionOfRecord(map, map.regions * map.recordsPerRegion), map.regions - 1);
  });
}

test('a record of two lines starts at a multiple of 128 bytes', () => {
  for (const regionUserWords of [0, 1, 16, 17, 33]) {
    const map = createMap({ ...USUAL, regionUserWords });
    for (let record = 1; record <= 300; record++) assert.equal((recordAt(map, record) * 4) % 128, 0);
  }
});

test('a new map is empty: nothing but its header is written', () => {
  const map = createMap(USUAL);
  assert.ok(map.words.subarray(HEADER_WORDS).every(word => word === 0));
});

test('doubles lie on the words of the same record', () => {
  const map = createMap(USUAL);
  for (const at of [recordAt(map, 7) + 4, annexAt(map, 30) + 14]) {
    map.doubles[at / 2] = 1.5;
    assert.deepEqual([map.words[at], map.words[at + 1]], [0, 0x3ff80000]);
  }
});

test('every record lies in the region that its number says', () => {
  const map = createMap(USUAL);
  for (let record = 1; record <= 300; record++) {
    assert.equal(regionOfRecord(map, record), Math.ceil(record / 100) - 1, `record ${record}`);
  }
});

test('words that are locked, waited for and counted lie on different lines', () => {
  const line = (word: number) => Math.floor(word / LINE_WORDS);
  const { LOCK, WAITERS, USER, ...counts } = REGION;
  assert.equal(new Set([line(LOCK), line(WAITERS), line(USER), line(counts.RECORDS_USED)]).size, 4);
  assert.ok(Object.values(counts).every(word => line(word) === line(counts.RECORDS_USED)));
  assert.equal(new Set(Object.values(REGION)).size, Object.keys(REGION).length, 'every word has one use');
  assert.deepEqual([BUCKET.OVERFLOW, BUCKET.SLOTS, BUCKET_WORDS], [0, 1, 16]);
  assert.equal(new Set(Object.values(RECORD)).size, 3);
});

/** The buffer of a good map whose header words were changed. */
function bufferWith(changes: Partial<Record<keyof typeof HEADER, number>>): SharedArrayBuffer {
  const { buffer, words } = createMap(USUAL);
  for (const [name, value] of Object.entries(changes)) words[HEADER[name as keyof typeof HEADER]] = value;
  return buffer;
}

test('attachMap() refuses a buffer that is too small for a header', () => {
  for (const bytes of [0, 4, 60]) assert.throws(() => attachMap(new SharedArrayBuffer(bytes)), TypeError);
});

test('attachMap() refuses a buffer of something else', () => {
  assert.throws(() => attachMap(new SharedArrayBuffer(65_536)), TypeError);
  assert.throws(() => attachMap(bufferWith({ MAGIC: 0x4d485346 })), TypeError);
});

test('attachMap() refuses another version', () => {
  for (const VERSION of [0, 2, -1]) assert.throws(() => attachMap(bufferWith({ VERSION })), /version/);
});

test('attachMap() refuses a buffer shorter than its map', () => {
  const map = createMap(USUAL);
  const bytes = map.words.length * 4;
  const whole = new Int32Array(new SharedArrayBuffer(bytes));
  whole.set(map.words);
  assert.equal(attachMap(whole.buffer).regions, 3);
  const short = new Int32Array(new SharedArrayBuffer(bytes - 4));
  short.set(map.words.subarray(0, short.length));
  assert.throws(() => attachMap(short.buffer), TypeError);
  assert.throws(() => attachMap(bufferWith({ RECORDS_PER_REGION: 1_000_000 })), TypeError);
});

test('attachMap() refuses a damaged header', () => {
  assert.throws(() => attachMap(bufferWith({ REGIONS: 0 })), /regions/);
  assert.throws(() => attachMap(bufferWith({ REGIONS: 1025 })), /regions/);
  assert.throws(() => attachMap(bufferWith({ RECORD_WORDS: 33 })), /recordWords/);
  assert.throws(() => attachMap(bufferWith({ RECORDS_PER_REGION: -5 })), /recordsPerRegion/);
});

const REFUSED: Readonly<Record<keyof MapOptions, readonly number[]>> = {
  regions: [0, -1, 1.5, 1025, Number.NaN, Number.POSITIVE_INFINITY],
  recordsPerRegion: [0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY],
  recordWords: [0, 1, 15, 17, 31, -16, Number.NaN],
  annexesPerRegion: [-1, 0.5, Number.NaN],
  annexWords: [0, 4, 12, 20, -8, Number.NaN],
  regionUserWords: [-1, 2.5, Number.NaN],
};

for (const [option, values] of Object.entries(REFUSED)) {
  test(`createMap() refuses bad ${option} by name`, () => {
    for (const value of values) {
      const bad = { ...USUAL, [option]: value };
      assert.throws(() => createMap(bad), { name: 'RangeError', message: new RegExp(`^${option} `) }, String(value));
    }
  });
}

test('touchMap() changes no word of a map that nobody has used', () => {
  const map = createMap({ ...USUAL, recordsPerRegion: 1000 });
  const before = map.words.slice();
  touchMap(map);
  assert.deepEqual(map.words, before);
});

test('createMap() refuses a map beyond what a memory can hold', () => {
  assert.throws(() => createMap({ ...USUAL, recordsPerRegion: 2 ** 26 }), RangeError);
  assert.throws(() => createMap({ ...USUAL, recordsPerRegion: Number.MAX_SAFE_INTEGER }), RangeError);
});
