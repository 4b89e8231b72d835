/**
 * The memory that the threads of an engine share, beside its rings: the connection table and a small control block
 * with settings, timeouts, actions and counts.
 *
 * Imports alg/expectation, sharedarraybuffer-hashmap, track/, wire/, counters, action, region, nat/used-ports.
 * Imported by engine/.
 */

import { createExpectations } from '../alg/expectation.js';
import { createUsedPorts } from '../nat/used-ports.js';
import { attachMap, createMap, mapBytes, type SharedMap, touchMap } from '../sharedarraybuffer-hashmap/index.js';
import { ANNEX_WORDS, CONN_WORDS } from '../track/connection.js';
import { defaultTimeoutsMs, MAX_TIMEOUT_POLICIES, TIMEOUT_POLICY_SIZE } from '../track/timeouts.js';
import { ROWS_BYTES } from '../wire/rows.js';
import { createWasmMemory, MAX_MEMORY, type WasmMemory } from '../wire/wasm.js';
import { ACTION_WORDS, MAX_ACTIONS } from './action.js';
import { COUNTER_ROW } from './counters.js';
import { HISTOGRAM_ROW } from './histogram.js';
import { REGION_USER_WORDS, ZONES } from './region.js';

/**
 * Words of the control block. `init` is written before any other thread is started and read-only from then on,
 * `atomic` only touched through Atomics. CONNECTIONS has a line of its own, since every creation writes it.
 */
const CONTROL_FIELDS = [
  ['THREADS', 0, 'init', 'rows of counts'],
  ['KEY0', 1, 'init', 'first word of the secret key of the hash'],
  ['KEY1', 2, 'init', 'second word'],
  ['IS_WALL_CLOCK', 3, 'init', '1: the sweeper goes by the wall clock; 0: by the times of the packets'],
  ['MAX_CONNECTIONS', 4, 'atomic', 'connections that may exist'],
  ['CHECKS_SEQUENCE', 5, 'atomic', '1: TCP sequence numbers are checked'],
  ['SWEEP_INTERVAL_MS', 6, 'atomic', 'pause of the sweeper between two passes'],
  ['STOP', 7, 'atomic', 'what the workers are to do: a WISH of park.ts'],
  ['SWEEP_WAKE', 8, 'atomic', 'the sweeper sleeps on this word; changed and notified to wake it'],
  ['ACTIONS', 9, 'atomic', 'ct() actions defined so far'],
  ['DEFAULT_ZONE_LIMIT', 11, 'atomic', 'connections that a zone without a limit of its own may have; 0: any number'],
  ['READY', 10, 'atomic', 'workers that have attached and entered their loops'],
  ['HAS_POLICIES', 12, 'atomic', '1: the policy of some zone does something about floods'],
  ['EXPECTATIONS', 13, 'atomic', 'expectations that exist; 0 spares new connections the look'],
  ['EMERGENCY', 14, 'atomic', 'beginnings and ends of emergencies: odd while there is one; see overload.ts'],
  ['SWEEPER_PARKED', 15, 'atomic', '1 while the sweeper is parked: see park.ts'],
  ['CONNECTIONS', 16, 'atomic', 'connections that exist'],
  ['IPV4_REASSEMBLY', 32, 'atomic', '1: fragments of IPv4 are reassembled'],
  ['IPV6_REASSEMBLY', 33, 'atomic', '… of IPv6'],
  ['IPV4_MIN_FRAGMENT', 34, 'atomic', 'bytes of an IPv4 fragment that is not the last, at least'],
  ['IPV6_MIN_FRAGMENT', 35, 'atomic', '… of an IPv6 fragment'],
  ['MAX_FRAGMENTS', 36, 'atomic', 'fragments that may be held'],
  ['FRAGMENTS', 37, 'atomic', 'fragments that are held'],
] as const satisfies readonly (readonly [name: string, word: number, guard: 'init' | 'atomic', note: string])[];

export const CONTROL = Object.fromEntries(CONTROL_FIELDS.map(([name, word]) => [name, word])) as Readonly<
  Record<(typeof CONTROL_FIELDS)[number][0], number>
>;

const CONTROL_WORDS = 48;
/** What OVS has when nobody sets it: bytes of a fragment that is not the last, and fragments that may be held. */
const DEFAULT_MIN_FRAGMENT = { ipv4: 1200, ipv6: 1280 } as const;
const DEFAULT_MAX_FRAGMENTS = 1000;
const TIMEOUT_DOUBLES = MAX_TIMEOUT_POLICIES * TIMEOUT_POLICY_SIZE;
const TIMEOUT_BYTES = TIMEOUT_DOUBLES * Float64Array.BYTES_PER_ELEMENT;
const ACTION_BYTES = MAX_ACTIONS * ACTION_WORDS * Int32Array.BYTES_PER_ELEMENT;
const ZONE_COUNTS_AT = CONTROL_WORDS;
const ZONE_LIMITS_AT = ZONE_COUNTS_AT + ZONES;
const ZONE_POLICIES_AT = ZONE_LIMITS_AT + ZONES;
/** Different policies of zones that there may be, and words of one, of that of the table, and of a token bucket. */
export const MAX_FLOOD_POLICIES = 64;
export const FLOOD_POLICY_WORDS = 8;
const TABLE_POLICY_WORDS = 8;
const RATE_WORDS = 2;
/** Cells of each of the two rows that sources are counted in; a power of two. */
export const SOURCE_CELLS = 32_768;
/** ZONE_POLICIES is a byte for each zone. */
const ZONE_FLOOD_POLICIES_AT = ZONE_POLICIES_AT + ZONES / 4;
const FLOOD_POLICIES_AT = ZONE_FLOOD_POLICIES_AT + ZONES;
const TABLE_POLICY_AT = FLOOD_POLICIES_AT + MAX_FLOOD_POLICIES * FLOOD_POLICY_WORDS;
const ZONE_RATES_AT = TABLE_POLICY_AT + TABLE_POLICY_WORDS;
const ZONE_HALF_OPEN_AT = ZONE_RATES_AT + ZONES * RATE_WORDS;
const SOURCE_RATES_AT = ZONE_HALF_OPEN_AT + ZONES;
const SOURCE_HALF_OPEN_AT = SOURCE_RATES_AT + 2 * SOURCE_CELLS * RATE_WORDS;
const COUNTERS_AT = SOURCE_HALF_OPEN_AT + 2 * SOURCE_CELLS;

/** What a worker needs to attach to; can be posted to another thread. */
export interface MemoryHandle {
  readonly table: WasmMemory;
  readonly expectations: SharedArrayBuffer;
  readonly control: SharedArrayBuffer;
  readonly usedPorts: SharedArrayBuffer;
}

/**
 * What the packet loop's WebAssembly reaches lies in one memory: the table from its first byte on, then timeouts and
 * actions, then the rows of each thread, and behind them, as it grows, the packets (packet-memory.ts).
 */
export interface EngineMemory {
  readonly wasm: WasmMemory;
  readonly map: SharedMap;
  /** First byte of the timeouts in that memory. */
  readonly timeoutsAt: number;
  /** Connections that others have announced: alg/expectation. */
  readonly expectations: SharedMap;
  readonly control: Int32Array;
  /** Milliseconds, indexed by policy * TIMEOUT_POLICY_SIZE + TIMEOUT. */
  readonly timeoutsMs: Float64Array;
  /** Connections of each zone. Touched only through Atomics. */
  readonly zoneCounts: Int32Array;
  /** Limit of each zone plus one, 0 for a zone that has none of its own. Touched only through Atomics. */
  readonly zoneLimits: Int32Array;
  /** Timeout policy of each zone, 0 for the default one. Touched only through Atomics. */
  readonly zonePolicies: Uint8Array;
  /** Number of the policy that each zone follows, 0 for the default: see policy.ts. Touched only through Atomics. */
  readonly zoneFloodPolicies: Int32Array;
  /** MAX_FLOOD_POLICIES policies of FLOOD_POLICY_WORDS words (ZONE_POLICY), and that of the table (TABLE_POLICY). */
  readonly floodPolicies: Int32Array;
  readonly tablePolicy: Int32Array;
  /** Token buckets of each zone and of each cell of sources: see rate.ts. Touched only through Atomics. */
  readonly zoneRates: Int32Array;
  readonly sourceRates: Int32Array;
  /** Half-open connections of each zone and of each cell of sources. Touched only through Atomics. */
  readonly zoneHalfOpen: Int32Array;
  readonly sourceHalfOpen: Int32Array;
  /** MAX_ACTIONS actions of ACTION_WORDS words. */
  readonly actions: Int32Array;
  /** One row of COUNTER_ROW doubles per thread. */
  readonly counters: Float64Array;
  /** Ports of crowded addresses under NAT: see nat/used-ports. */
  readonly usedPorts: Int32Array;
  /** Histograms of HISTOGRAM_ROW doubles per thread: durations of sweep steps, and lags of removals. */
  readonly sweepStepTimes: Float64Array;
  readonly sweepLags: Float64Array;
}

export interface MemoryOptions {
  /** Regions of the table, each with a lock: as many as threads work on it. */
  readonly regions: number;
  /** Threads that have a row of counts. */
  readonly threads: number;
  readonly maxConnections: number;
  /** How many of them may be IPv6. */
  readonly maxIpv6Connections: number;
  /** Expectations that may exist. */
  readonly maxExpectations: number;
  /** Secret key of the hash, two 32-bit words. */
  readonly hashKey: readonly [number, number];
  readonly isWallClock: boolean;
  readonly checksSequence: boolean;
  readonly sweepIntervalMs: number;
}

/**
 * Records each region must have room for, so that `total` fit into all of them although a hash fills them unevenly:
 * the average and six standard deviations of the binomial distribution.
 */
function shareOf(total: number, regions: number): number {
  if (regions === 1) return total;
  const mean = total / regions;
  return Math.min(total, Math.ceil(mean + 6 * Math.sqrt(mean) + 8));
}

/** First byte of the rows (wire/rows) of thread number `owner`. */
export function rowsAt({ timeoutsAt }: EngineMemory, owner: number): number {
  return timeoutsAt + TIMEOUT_BYTES + ACTION_BYTES + (owner - 1) * ROWS_BYTES;
}

function tooLarge({ maxConnections, maxIpv6Connections }: MemoryOptions, bytes: number): string {
  const asked = `maxConnections ${maxConnections} and maxIpv6Connections ${maxIpv6Connections}`;
  return `${asked} would take a table of ${bytes} bytes, the most is ${MAX_MEMORY}`;
}

/** @throws RangeError when a size is out of range or the memory is not to be had */
export function createMemory(options: MemoryOptions): EngineMemory {
  const memory = reserveMemory(options);
  touchMap(memory.map);
  return memory;
}

/**
 * The same, whose map is still to be touched (touchMap()), before anybody uses it.
 * @throws RangeError when a size is out of range or the memory is not to be had
 */
export function reserveMemory(options: MemoryOptions): EngineMemory {
  const table = {
    regions: options.regions,
    recordsPerRegion: shareOf(options.maxConnections, options.regions),
    recordWords: CONN_WORDS,
    annexesPerRegion: shareOf(options.maxIpv6Connections, options.regions),
    annexWords: ANNEX_WORDS,
    regionUserWords: REGION_USER_WORDS,
  };
  const timeoutsAt = mapBytes(table);
  const bytes = timeoutsAt + TIMEOUT_BYTES + ACTION_BYTES + options.threads * ROWS_BYTES;
  if (bytes > MAX_MEMORY) throw new RangeError(tooLarge(options, bytes));
  const wasm = createWasmMemory(bytes);
  const words = COUNTERS_AT + options.threads * (COUNTER_ROW + 2 * HISTOGRAM_ROW) * 2;
  const memory = viewOf(
    wasm,
    createMap(table, wasm.buffer),
    timeoutsAt,
    createExpectations(options.maxExpectations),
    new SharedArrayBuffer(words * 4),
    options.threads,
    createUsedPorts(options.maxConnections),
  );
  for (let policy = 0; policy < MAX_TIMEOUT_POLICIES; policy++) {
    memory.timeoutsMs.set(defaultTimeoutsMs(), policy * TIMEOUT_POLICY_SIZE);
  }
  const { control } = memory;
  control[CONTROL.KEY0] = options.hashKey[0];
  control[CONTROL.KEY1] = options.hashKey[1];
  control[CONTROL.IS_WALL_CLOCK] = options.isWallClock ? 1 : 0;
  control[CONTROL.MAX_CONNECTIONS] = options.maxConnections;
  control[CONTROL.CHECKS_SEQUENCE] = options.checksSequence ? 1 : 0;
  control[CONTROL.SWEEP_INTERVAL_MS] = options.sweepIntervalMs;
  control[CONTROL.IPV4_REASSEMBLY] = 1;
  control[CONTROL.IPV6_REASSEMBLY] = 1;
  control[CONTROL.IPV4_MIN_FRAGMENT] = DEFAULT_MIN_FRAGMENT.ipv4;
  control[CONTROL.IPV6_MIN_FRAGMENT] = DEFAULT_MIN_FRAGMENT.ipv6;
  control[CONTROL.MAX_FRAGMENTS] = DEFAULT_MAX_FRAGMENTS;
  Atomics.store(control, CONTROL.THREADS, options.threads); // publishes the settings written above
  return memory;
}

export function handleOf(memory: EngineMemory): MemoryHandle {
  const { wasm, expectations, control, usedPorts } = memory;
  return {
    table: wasm,
    expectations: expectations.buffer,
    control: control.buffer as SharedArrayBuffer,
    usedPorts: usedPorts.buffer as SharedArrayBuffer,
  };
}

/** @throws TypeError when the table is not one of this version */
export function attachMemory(handle: MemoryHandle): EngineMemory {
  const head = new Int32Array(handle.control, 0, CONTROL_WORDS);
  const threads = Atomics.load(head, CONTROL.THREADS); // acquires the settings
  const map = attachMap(handle.table.buffer);
  const expectations = attachMap(handle.expectations);
  const usedPorts = new Int32Array(handle.usedPorts);
  return viewOf(handle.table, map, mapBytes(map), expectations, handle.control, threads, usedPorts);
}

function viewOf(
  wasm: WasmMemory,
  map: SharedMap,
  timeoutsAt: number,
  expectations: SharedMap,
  control: SharedArrayBuffer,
  threads: number,
  usedPorts: Int32Array,
): EngineMemory {
  const stepTimesAt = COUNTERS_AT * 4 + threads * COUNTER_ROW * 8;
  return {
    wasm,
    map,
    timeoutsAt,
    expectations,
    control: new Int32Array(control, 0, COUNTERS_AT),
    timeoutsMs: new Float64Array(wasm.buffer, timeoutsAt, TIMEOUT_DOUBLES),
    zoneCounts: new Int32Array(control, ZONE_COUNTS_AT * 4, ZONES),
    zoneLimits: new Int32Array(control, ZONE_LIMITS_AT * 4, ZONES),
    zonePolicies: new Uint8Array(control, ZONE_POLICIES_AT * 4, ZONES),
    zoneFloodPolicies: new Int32Array(control, ZONE_FLOOD_POLICIES_AT * 4, ZONES),
    floodPolicies: new Int32Array(control, FLOOD_POLICIES_AT * 4, MAX_FLOOD_POLICIES * FLOOD_POLICY_WORDS),
    tablePolicy: new Int32Array(control, TABLE_POLICY_AT * 4, TABLE_POLICY_WORDS),
    zoneRates: new Int32Array(control, ZONE_RATES_AT * 4, ZONES * RATE_WORDS),
    sourceRates: new Int32Array(control, SOURCE_RATES_AT * 4, 2 * SOURCE_CELLS * RATE_WORDS),
    zoneHalfOpen: new Int32Array(control, ZONE_HALF_OPEN_AT * 4, ZONES),
    sourceHalfOpen: new Int32Array(control, SOURCE_HALF_OPEN_AT * 4, 2 * SOURCE_CELLS),
    actions: new Int32Array(wasm.buffer, timeoutsAt + TIMEOUT_BYTES, MAX_ACTIONS * ACTION_WORDS),
    counters: new Float64Array(control, COUNTERS_AT * 4, threads * COUNTER_ROW),
    usedPorts,
    sweepStepTimes: new Float64Array(control, stepTimesAt, threads * HISTOGRAM_ROW),
    sweepLags: new Float64Array(control, stepTimesAt + threads * HISTOGRAM_ROW * 8, threads * HISTOGRAM_ROW),
  };
}
