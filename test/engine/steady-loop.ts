/**
 * The program that steady.test.ts watches: updates of every mix of the benchmark in turn, first until the loop is
 * compiled, then the same packets again and again between two lines that say so. They are not built anew meanwhile, for
 * what that leaves on the heap.
 *
 * Imports bench/, engine/packet, wire/known.
 */
import { CHUNK_PACKETS, type Chunk, judgeChunk } from '../../bench/chunk.js';
import { createTraffic, MIXES } from '../../bench/traffic.js';
import { create, openEngine, settle, update } from '../../bench/whole.js';
import { PACKET, PACKET_WORDS } from '../../src/engine/packet.js';
import { KNOWN } from '../../src/wire/known.js';
import { STEADY_BEGINS, STEADY_ENDS, STEADY_WARM } from './steady-lines.js';

const CONNECTIONS = 2000;
const BATCH = 32;
const SEED = 1;
const PACKETS = 65_536;
const WARM_ROUNDS = 30;
/** Of a chunk of each mix: 1.3 million packets. */
const STEADY_ROUNDS = 160;

const runs = MIXES.map(mix => {
  const engine = openEngine(mix, CONNECTIONS, SEED);
  const { wasm } = engine.memory;
  const traffic = createTraffic({ wasm, mix, connections: CONNECTIONS, seed: SEED, known: KNOWN.L4_CHECKSUM_GOOD });
  create(engine, traffic, CONNECTIONS, BATCH);
  settle(engine, traffic, CONNECTIONS, BATCH);
  return { engine, traffic };
});

/** As it came: nothing has judged it. */
function renew({ packets, capacity }: Chunk): void {
  for (let row = 0; row < capacity * PACKET_WORDS; row += PACKET_WORDS) packets[row + PACKET.STATE] = 0;
}

for (let round = 0; round < WARM_ROUNDS; round++) {
  for (const { engine, traffic } of runs) update(engine, traffic, PACKETS, BATCH);
}
const chunks = runs.map(({ engine, traffic }) => ({ engine, chunk: traffic.pick(CHUNK_PACKETS) }));
for (const line of [STEADY_WARM, STEADY_BEGINS]) {
  process.stdout.write(`${line}\n`);
  for (let round = 0; round < STEADY_ROUNDS; round++) {
    for (const { engine, chunk } of chunks) {
      renew(chunk);
      judgeChunk(engine, chunk, CHUNK_PACKETS, BATCH);
    }
  }
}
process.stdout.write(`${STEADY_ENDS}\n`);
