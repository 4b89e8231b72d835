/**
 * The parts that work on the table: finding, inserting and removing, one lock, updating, and the whole batch.
 *
 * Input is picked anew before each call, so that a large table is as cold as uniform traffic leaves it.
 *
 * Imports chunk, part, traffic, whole, engine/, flood/, sharedarraybuffer-hashmap, track/, wire/. Imported by
 * parts.
 */
import { findConnectionLocked } from '../src/engine/connections.js';
import type { LocalEngine } from '../src/engine/local.js';
import { CONTROL } from '../src/engine/memory.js';
import { processPackets } from '../src/engine/process.js';
import { Random } from '../src/flood/random.js';
import { createTemplate } from '../src/flood/template.js';
import { REASON } from '../src/reason.js';
import {
  createMap,
  giveRecordLocked,
  insertLocked,
  LINE_WORDS,
  lockRegion,
  NONE,
  recordAt,
  removeLocked,
  takeRecordLocked,
  unlockRegion,
} from '../src/sharedarraybuffer-hashmap/index.js';
import { UPDATE } from '../src/track/protocol.js';
import { updateConnection } from '../src/track/trackers.js';
import { FACT, FACT_WORDS } from '../src/wire/facts.js';
import { hashKey } from '../src/wire/hash.js';
import { KNOWN } from '../src/wire/known.js';
import { parseFrame } from '../src/wire/parse.js';
import { MAX_BATCH } from '../src/wire/rows.js';
import { CHUNK_PACKETS, Chunk, PACKET_MS, STATE } from './chunk.js';
import type { Part, PartGroup } from './part.js';
import { createTraffic, type Mix, type Traffic, UDP4 } from './traffic.js';
import { create, openEngine, settle } from './whole.js';

const DECLARED = KNOWN.L4_CHECKSUM_GOOD;
const BATCH = 32;
const OWNER = 1;
const REGION = 0;
const COUNT = MAX_BATCH;

/** An engine full of connections, and the traffic that updates them. */
function filled(mix: Mix, connections: number, seed: number): { engine: LocalEngine; traffic: Traffic } {
  const engine = openEngine(mix, connections, seed);
  const traffic = createTraffic({ wasm: engine.memory.wasm, mix, connections, seed, known: DECLARED });
  create(engine, traffic, connections, BATCH);
  settle(engine, traffic, connections, BATCH);
  return { engine, traffic };
}

/** Parses and hashes the first COUNT packets of a chunk into the engine's rows of facts. */
function readFacts(engine: LocalEngine, chunk: Chunk): void {
  const { facts, memory } = engine.tracker;
  const { view, stride } = chunk;
  const bytes = chunk.template(0).bytes.length;
  for (let slot = 0; slot < COUNT; slot++) {
    const start = slot * stride;
    const base = slot * FACT_WORDS;
    const reason = parseFrame(view, start, start + bytes, DECLARED, 0, facts, base);
    if (reason !== REASON.none) throw new Error('a frame was refused');
    hashKey(facts, base, memory.control[CONTROL.KEY0], memory.control[CONTROL.KEY1]);
  }
}

function findInRow(engine: LocalEngine, slot: number): number {
  const { tracker } = engine;
  const base = slot * FACT_WORDS;
  const { facts } = tracker;
  tracker.now[0] = PACKET_MS;
  return findConnectionLocked(tracker, REGION, base, facts[base + FACT.PROTOCOL], facts[base + FACT.HASH]);
}

/** Both parts hold the one lock for good: nobody else is there. */
function findParts(connections: number): PartGroup {
  return seed => {
    const { engine } = filled('udp4', connections, seed);
    lockRegion(engine.memory.map, REGION, OWNER);
    const random = new Random(seed);
    const chunk = new Chunk(engine.memory.wasm, [createTemplate(UDP4)], DECLARED, COUNT);
    const part = (what: string, firstFlow: number, expected: number): Part => {
      const name = `find ${COUNT} ${what} ${connections} records`;
      return {
        name,
        packets: COUNT,
        prepare() {
          for (let slot = 0; slot < COUNT; slot++) {
            chunk.write(slot, firstFlow + random.below(connections), STATE.NEW);
          }
          readFacts(engine, chunk);
        },
        run() {
          let hits = 0;
          let sum = 0;
          for (let slot = 0; slot < COUNT; slot++) {
            const found = findInRow(engine, slot);
            sum ^= found;
            if (found > 0) hits++;
          }
          if (hits !== expected) throw new Error(`${name}: ${hits} hits`);
          return sum;
        },
      };
    };
    return [part('keys that are among', 0, COUNT), part('keys that are not among', connections, 0)];
  };
}

const TABLE_RECORDS = 100_000;

function insertParts(seed: number): readonly Part[] {
  const map = createMap({
    regions: 1,
    recordsPerRegion: TABLE_RECORDS + COUNT,
    recordWords: 2 * LINE_WORDS,
    annexesPerRegion: 0,
    annexWords: LINE_WORDS,
    regionUserWords: 0,
  });
  const random = new Random(seed);
  const insert = (hash: number): number => {
    const record = takeRecordLocked(map, REGION);
    if (record === NONE || !insertLocked(map, REGION, hash, record)) throw new Error('the table is full');
    return record;
  };
  lockRegion(map, REGION, OWNER);
  for (let made = 0; made < TABLE_RECORDS; made++) insert(random.u32() | 0);
  const hashes = new Int32Array(COUNT);
  const records = new Int32Array(COUNT);
  unlockRegion(map, REGION);
  return [
    {
      name: `insert ${COUNT} records beside ${TABLE_RECORDS} others and remove them again`,
      packets: COUNT,
      prepare() {
        for (let index = 0; index < COUNT; index++) hashes[index] = random.u32();
      },
      run() {
        for (let index = 0; index < COUNT; index++) records[index] = insert(hashes[index]);
        for (let index = 0; index < COUNT; index++) {
          removeLocked(map, REGION, records[index]);
          giveRecordLocked(map, REGION, records[index]);
        }
        return records[0];
      },
    },
    {
      name: `lock and unlock a region ${COUNT} times, nobody else wants it`,
      packets: COUNT,
      run() {
        let taken = 0;
        for (let index = 0; index < COUNT; index++) {
          if (lockRegion(map, REGION, OWNER)) taken++;
          unlockRegion(map, REGION);
        }
        if (taken !== COUNT) throw new Error('a lock was not to be had');
        return taken;
      },
    },
  ];
}

/** Connections of the update parts: few, so that the rules are measured and not the memory. */
const FEW = 1000;

function updatePart(mix: Mix, what: string, seed: number): Part {
  const { engine, traffic } = filled(mix, FEW, seed);
  const { tracker } = engine;
  const { facts, map } = tracker;
  const found = new Int32Array(COUNT);
  const name = `update ${FEW} ${what} with ${COUNT} packets`;
  return {
    name,
    packets: COUNT,
    prepare() {
      const chunk = traffic.pick(COUNT);
      tracker.frames = chunk.view;
      readFacts(engine, chunk);
      for (let slot = 0; slot < COUNT; slot++) found[slot] = findInRow(engine, slot);
    },
    run() {
      let refused = 0;
      let sum = 0;
      tracker.now[0] = PACKET_MS;
      for (let slot = 0; slot < COUNT; slot++) {
        const base = slot * FACT_WORDS;
        const isReply = (found[slot] & 1) === 1;
        const at = recordAt(map, found[slot] >>> 1);
        const result = updateConnection(tracker, at, facts[base + FACT.PROTOCOL], base, isReply);
        if (result !== UPDATE.VALID && result !== UPDATE.VALID_NEW) refused++;
        sum += result;
      }
      if (refused > 0) throw new Error(`${name}: ${refused} packets were refused`);
      return sum;
    },
  };
}

function updateParts(seed: number): readonly Part[] {
  return [
    updatePart('udp4', 'UDP connections', seed),
    updatePart('tcp4', 'established TCP connections, 1460 bytes each,', seed),
  ];
}

function batchPart(mix: Mix, connections: number, what: string, seed: number): Part {
  const { engine, traffic } = filled(mix, connections, seed);
  const { tracker } = engine;
  let chunk = traffic.pick(CHUNK_PACKETS);
  let isJudged = false;
  return {
    name: `process ${CHUNK_PACKETS / BATCH} batches of ${BATCH} ${what}, ${connections} connections`,
    packets: CHUNK_PACKETS,
    prepare() {
      if (isJudged) chunk.check(CHUNK_PACKETS);
      chunk = traffic.pick(CHUNK_PACKETS);
      isJudged = true;
    },
    run() {
      for (let first = 0; first < CHUNK_PACKETS; first += BATCH) {
        processPackets(tracker, chunk.memory, first, BATCH);
      }
      return chunk.packets[0];
    },
  };
}

function batchParts(seed: number): readonly Part[] {
  return [
    batchPart('udp4', 1000, 'UDP frames of 64 bytes', seed),
    batchPart('udp4', 100_000, 'UDP frames of 64 bytes', seed),
    batchPart('tcp4', 1000, 'TCP segments of 1460 bytes', seed),
  ];
}

export const TABLE_GROUPS: readonly PartGroup[] = [
  ...[1000, 100_000, 1_000_000].map(findParts),
  insertParts,
  updateParts,
  batchParts,
];
