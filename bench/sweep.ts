/**
 * The program behind `npm run bench:sweep`: what packets feel of the sweeper.
 *
 * This thread is a shard and passes UDP packets of known connections in batches of 32 at a set rate; the sweeper has a
 * thread of its own, as in the engine. First nothing ends, for a few seconds; then a million connections end within one
 * second, and the batches are timed until all of them are gone. A batch's time holds whatever it waited for the lock.
 * Time is that of the packets, so that it waits for the connections to be made. Before, the cost of a pass over all of
 * them, when the sweeper knows nothing of them and when it does.
 *
 * Imports chunk, machine, sweeper, traffic, engine/, flood/template. Nobody imports it.
 */
import { COUNTER_ROW, EVENT } from '../src/engine/counters.js';
import { createHistograms, histogramRow, readHistograms, recordDuration } from '../src/engine/histogram.js';
import { CONTROL, createMemory } from '../src/engine/memory.js';
import { PACKET, PACKET_WORDS } from '../src/engine/packet.js';
import { applyProfile, type ProfileName } from '../src/engine/policy.js';
import { processPackets } from '../src/engine/process.js';
import { createSweepCursor, readSweepTimes, sweepStep } from '../src/engine/sweep.js';
import { createTracker, defineAction } from '../src/engine/tracker.js';
import { createTemplate } from '../src/flood/template.js';
import { TIMEOUT } from '../src/track/timeouts.js';
import { KNOWN } from '../src/wire/known.js';
import { Chunk, STATE } from './chunk.js';
import { currentCommit, describeMachine } from './machine.js';
import { withSweeper } from './sweeper.js';
import { UDP4 } from './traffic.js';

const ENDING = 1_000_000;
const OTHERS = 100_000;
const BATCH = 32;
const PACKETS_PER_SECOND = 1_000_000;
const QUIET_MS = 5000;
const ENDS_WITHIN_MS = 1000;
const TIMEOUT_MS = 600_000;
/** All should be gone long before. */
const GIVE_UP_MS = 20_000;
/** Time of the packets while nothing ends: well after the last creation. */
const LATER_MS = 10_000;
/** The second part begins so long before the first connection ends. */
const START_BEFORE_MS = 200;
const LONGEST = EVENT.sweepLongestLockMs;
const SWEEPER = 2;
const SHARD = 1;

const profile = (process.argv[2] ?? 'resilient') as ProfileName;
const memory = createMemory({
  regions: 1,
  threads: 2,
  maxConnections: ENDING + OTHERS,
  maxIpv6Connections: 0,
  maxExpectations: 16,
  hashKey: [1, 2],
  isWallClock: false,
  checksSequence: true,
  sweepIntervalMs: 1000,
});
applyProfile(memory, profile);
// The table is to be nearly full without an emergency: it is the sweeper that is measured.
memory.tablePolicy.fill(0, 2);
memory.timeoutsMs[TIMEOUT.udp_first] = TIMEOUT_MS;
memory.timeoutsMs[TIMEOUT.udp_single] = TIMEOUT_MS;
defineAction(memory, {});
const tracker = createTracker(memory, SHARD);
const chunk = new Chunk([createTemplate(UDP4)], KNOWN.L4_CHECKSUM_GOOD | KNOWN.L3_IPV4);
tracker.frames = chunk.view;

function connections(): number {
  return Atomics.load(memory.control, CONTROL.CONNECTIONS); // a count
}

/** Creates flows whose last packet was seen at times spread from `firstMs` over a span. */
function create(first: number, count: number, firstMs: number, spanMs: number): number {
  const startMs = performance.now();
  for (let done = 0; done < count; done += chunk.capacity) {
    const size = Math.min(chunk.capacity, count - done);
    for (let slot = 0; slot < size; slot++) {
      chunk.write(slot, first + done + slot, STATE.NEW);
      chunk.address(slot, 0, firstMs + ((done + slot) * spanMs) / count);
    }
    processPackets(tracker, chunk.packets, chunk.times, 0, size);
    chunk.check(size);
  }
  return performance.now() - startMs;
}

/**
 * Passes packets of the other connections at the set rate until it is over, and times the batches.
 * @param fromMs the time of the first packet; then it goes on as the clock does
 */
function pass(fromMs: number, isOver: (passedMs: number) => boolean) {
  const buffer = createHistograms(1);
  const row = histogramRow(buffer, 0);
  const slots = Math.floor(chunk.capacity / BATCH) * BATCH;
  const startMs = performance.now();
  let flow = 0;
  let batches = 0;
  let over1Ms = 0;
  for (let slot = 0; slot < slots; slot++) chunk.write(slot, ENDING + ((slot * 7919) % OTHERS), STATE.NEW);
  for (; !isOver(performance.now() - startMs); batches++) {
    const first = (batches * BATCH) % slots;
    const nowMs = fromMs + performance.now() - startMs;
    for (let slot = first; slot < first + BATCH; slot++) {
      flow = (flow + 7919) % OTHERS;
      chunk.write(slot, ENDING + flow, STATE.NEW);
      chunk.address(slot, 0, nowMs);
    }
    // A batch is due every 32 µs at a million per second; late ones follow at once.
    const dueMs = startMs + (batches * BATCH * 1000) / PACKETS_PER_SECOND;
    let beganMs = performance.now();
    while (beganMs < dueMs) beganMs = performance.now();
    processPackets(tracker, chunk.packets, chunk.times, first, BATCH);
    const tookMs = performance.now() - beganMs;
    recordDuration(row, tookMs);
    if (tookMs > 1) over1Ms++;
    if (chunk.packets[first * PACKET_WORDS + PACKET.STATE] !== STATE.NEW) throw new Error('the benchmark is void');
  }
  const seconds = (performance.now() - startMs) / 1000;
  return { mpps: (batches * BATCH) / seconds / 1e6, seconds, over1Ms, ...readHistograms(buffer) };
}

function passTwice(): void {
  const cursor = createSweepCursor(memory.map);
  for (const what of ['that nothing is known of', 'that was looked at before']) {
    const startMs = performance.now();
    while (sweepStep(tracker, cursor, 0)) {}
    const ms = performance.now() - startMs;
    console.log(`pass over ${connections()} connections ${what}: ${ms.toFixed(2)} ms`);
  }
}

const { cpu, cores, platform } = describeMachine();
console.log(
  `machine  ${cpu}, ${cores} cores, ${platform}; node ${process.version}; commit ${currentCommit() ?? 'unknown'}`,
);
console.log(
  `profile  ${profile}; ${ENDING} connections end within ${ENDS_WITHIN_MS} ms, ${OTHERS} others, batches of ${BATCH}`,
);
const createMs = create(0, ENDING, 0, ENDS_WITHIN_MS);
create(ENDING, OTHERS, LATER_MS, 0);
console.log(`created  ${Math.round((createMs * 1e6) / ENDING)} ns for each, building frames included`);
passTwice();

const [quiet, storm] = await withSweeper(memory, SWEEPER, async () => {
  while (Atomics.load(memory.control, CONTROL.READY) === 0) await new Promise(resolve => setTimeout(resolve, 5));
  return [
    pass(LATER_MS, passedMs => passedMs >= QUIET_MS),
    pass(TIMEOUT_MS - START_BEFORE_MS, passedMs => connections() <= OTHERS || passedMs > GIVE_UP_MS),
  ];
});

for (const [name, figures] of [
  ['nothing ends', quiet],
  ['a million end', storm],
] as const) {
  const { mpps, seconds, p50, p99, p999, max, over1Ms } = figures;
  const times = `p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)}, p99.9 ${p999.toFixed(1)}, max ${max.toFixed(1)} µs`;
  console.log(
    `${name.padEnd(14)} ${mpps.toFixed(2)} Mpps for ${seconds.toFixed(1)} s; batch ${times}; ${over1Ms} over 1 ms`,
  );
}
const { stepUs, lagMs } = readSweepTimes(memory);
const lockMs = memory.counters.reduce(
  (most, count, at) => (at % COUNTER_ROW === LONGEST ? Math.max(most, count) : most),
  0,
);
console.log(
  `sweeper        step p50 ${stepUs.p50.toFixed(1)}, p99.9 ${stepUs.p999.toFixed(1)}, max ${stepUs.max.toFixed(1)} µs; longest lock ${(lockMs * 1000).toFixed(1)} µs`,
);
console.log(
  `lag            p50 ${lagMs.p50.toFixed(0)}, p99.9 ${lagMs.p999.toFixed(0)}, max ${lagMs.max.toFixed(0)} ms of ${lagMs.count} connections`,
);
console.log(`p99.9 grew by  ${(storm.p999 - quiet.p999).toFixed(1)} µs`);
if (connections() > OTHERS) throw new Error('the benchmark is void: not all of the million are gone');
