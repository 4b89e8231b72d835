/**
 * The vectors of PLACE against what zoneHash(), partOf() and homeBucketAt() say of each row.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ACTION, ACTION_WORDS, MAX_ACTIONS, NOT_PLAIN_ACTION } from '../../src/engine/action.js';
import { PACKET, PACKET_WORDS } from '../../src/engine/packet.js';
import { allocatePackets } from '../../src/engine/packet-memory.js';
import { PLACE } from '../../src/engine/place-kernel.js';
import { NO_KEY, NO_REGION, ROW } from '../../src/engine/row.js';
import { createMap, homeBucketAt, mapBytes } from '../../src/sharedarraybuffer-hashmap/index.js';
import { FACT, FACT_RELATED, FAMILY_IPV6, IPPROTO } from '../../src/wire/facts.js';
import { partOf, zoneHash } from '../../src/wire/hash.js';
import { createRows, MAX_BATCH, ROW_BYTES, ROW_REASON, ROW_WORDS, ROWS_BYTES, SPARE_ROW } from '../../src/wire/rows.js';
import { bind, compileFunctions, createWasmMemory, growMemory } from '../../src/wire/wasm.js';
import { withSeed } from '../support/random.js';

const PROTOCOLS = [IPPROTO.TCP, IPPROTO.UDP, IPPROTO.ICMP, IPPROTO.SCTP, 0, 255];

for (const [regions, records] of [
  [1, 1],
  [1, 1000],
  [2, 5000],
  [3, 100],
  [256, 10],
] as const) {
  test(`rows are placed as one at a time: ${regions} regions of ${records} records`, () => {
    const sizes = { recordWords: 16, annexesPerRegion: 0, annexWords: 8, regionUserWords: 0 };
    const options = { regions, recordsPerRegion: records, ...sizes };
    const wasm = createWasmMemory(mapBytes(options));
    const map = createMap(options, wasm.buffer);
    const actionBytes = MAX_ACTIONS * ACTION_WORDS * 4;
    const actionsAt = growMemory(wasm, actionBytes);
    const actions = new Int32Array(wasm.buffer, actionsAt, MAX_ACTIONS * ACTION_WORDS);
    const { packets } = allocatePackets(wasm, MAX_BATCH, 0);
    const memory = createRows(wasm, growMemory(wasm, ROWS_BYTES));
    const [place] = bind(compileFunctions([PLACE]), wasm);
    const { bucketsAt, bucketsPerRegion, bucketShift } = map;
    const ROWS = memory.words.subarray(0, (SPARE_ROW + 1) * ROW_WORDS);
    withSeed(2026, random => {
      for (let round = 0; round < 200; round++) {
        const count = 1 + random.below(MAX_BATCH);
        ROWS.fill(0x5a5a5a5a);
        for (let index = 0; index < count; index++) {
          const base = index * ROW_WORDS;
          ROWS[base + FACT.HASH] = random.u32();
          ROWS[base + FACT.PROTOCOL] = PROTOCOLS[random.below(6)] | (random.below(2) * FAMILY_IPV6);
          ROWS[base + FACT.FLAGS] = random.below(4) === 0 ? FACT_RELATED : 0;
          ROWS[base + ROW_REASON] = random.below(4) === 0 ? 1 + random.below(50) : 0;
          // A number beyond the actions is taken modulo their number.
          const action = random.u32() | 0;
          const first = (action & (MAX_ACTIONS - 1)) * ACTION_WORDS;
          packets[index * PACKET_WORDS + PACKET.ACTION] = action;
          packets[index * PACKET_WORDS + PACKET.STATE] = random.below(4) === 0 ? 1 << random.below(32) : 0;
          actions[first + ACTION.ZONE] = random.below(65_536);
          actions[first + ACTION.FLAGS] = random.below(4) === 0 ? 1 << random.below(6) : 0;
        }
        const before = Int32Array.from(ROWS);
        let hasIpv6 = 0;
        const end = memory.at + count * ROW_BYTES;
        const buckets = [bucketsAt, bucketsPerRegion, bucketShift - 1];
        const actual = place(memory.at, end, packets.byteOffset, actionsAt, regions, ...buckets);
        for (let index = 0; index < count; index++) {
          const base = index * ROW_WORDS;
          const hash = before[base + FACT.HASH];
          const protocol = before[base + FACT.PROTOCOL];
          const action = (packets[index * PACKET_WORDS + PACKET.ACTION] & (MAX_ACTIONS - 1)) * ACTION_WORDS;
          const zone = actions[action + ACTION.ZONE];
          const isRefused = before[base + ROW_REASON] !== 0;
          if (!isRefused && (protocol & FAMILY_IPV6) !== 0) hasIpv6 = 1;
          const zoned = zoneHash(hash, zone);
          const region = partOf(hash, regions);
          const home = homeBucketAt(map, region, zoned);
          const number = protocol & 0xff;
          const isPlain =
            (number === IPPROTO.TCP || number === IPPROTO.UDP) &&
            before[base + FACT.FLAGS] === 0 &&
            (actions[action + ACTION.FLAGS] & NOT_PLAIN_ACTION) === 0 &&
            packets[index * PACKET_WORDS + PACKET.STATE] === 0;
          const expected = {
            reason: before[base + ROW_REASON],
            hash: zoned,
            region: isRefused ? NO_REGION : region,
            home: isRefused ? 0 : home,
            action,
            key: isPlain ? (zone << 16) | protocol : NO_KEY,
          };
          const seen = {
            reason: ROWS[base + ROW_REASON],
            hash: ROWS[base + FACT.HASH],
            region: ROWS[base + ROW.REGION],
            home: ROWS[base + ROW.HOME],
            action: ROWS[base + ROW.ACTION],
            key: ROWS[base + ROW.KEY],
          };
          assert.deepEqual(seen, expected, `row ${index} of ${count}`);
          // The rest of the facts stays.
          for (const word of [0, 3, 7, 8, 9, 10, 12, 13, 14, 15]) assert.equal(ROWS[base + word], before[base + word]);
        }
        assert.equal(actual, hasIpv6);
        // The rows of NAT and of datagrams lie behind those of the batch.
        assert.deepEqual(ROWS.subarray(MAX_BATCH * ROW_WORDS), before.subarray(MAX_BATCH * ROW_WORDS));
      }
    });
  });
}
