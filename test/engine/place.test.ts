/**
 * The vectors of placeRows() against what zoneHash(), partOf() and bucketAtHome() say of each row.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PLACE_COLUMNS, placeRows } from '../../src/engine/place-kernel.js';
import { NO_KEY, NO_REGION, ROW } from '../../src/engine/tracker.js';
import { bucketAtHome, createMap } from '../../src/sharedarraybuffer-hashmap/index.js';
import { FACT, FACT_RELATED, FAMILY_IPV6, IPPROTO } from '../../src/wire/facts.js';
import { partOf, zoneHash } from '../../src/wire/hash.js';
import { MAX_BATCH, ROW_REASON, ROW_WORDS, ROWS } from '../../src/wire/rows.js';
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
    const map = createMap({ regions, recordsPerRegion: records, ...sizes });
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
          PLACE_COLUMNS.ACTION[index] = random.below(4096) * 32;
          PLACE_COLUMNS.ZONE[index] = random.below(65_536);
          PLACE_COLUMNS.UNUSUAL[index] = random.below(4) === 0 ? 1 << random.below(32) : 0;
        }
        const before = Int32Array.from(ROWS);
        let hasIpv6 = 0;
        const actual = placeRows(map, count);
        for (let index = 0; index < count; index++) {
          const base = index * ROW_WORDS;
          const hash = before[base + FACT.HASH];
          const protocol = before[base + FACT.PROTOCOL];
          const zone = PLACE_COLUMNS.ZONE[index];
          const isRefused = before[base + ROW_REASON] !== 0;
          if (!isRefused && (protocol & FAMILY_IPV6) !== 0) hasIpv6 = 1;
          const zoned = zoneHash(hash, zone);
          const region = partOf(hash, regions);
          const home = bucketAtHome(map.bucketsAt, map.bucketsPerRegion, map.bucketShift, region, zoned);
          const number = protocol & 0xff;
          const isPlain =
            (number === IPPROTO.TCP || number === IPPROTO.UDP) &&
            before[base + FACT.FLAGS] === 0 &&
            PLACE_COLUMNS.UNUSUAL[index] === 0;
          const expected = {
            reason: before[base + ROW_REASON],
            hash: zoned,
            region: isRefused ? NO_REGION : region,
            home: isRefused ? 0 : home,
            action: PLACE_COLUMNS.ACTION[index],
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
