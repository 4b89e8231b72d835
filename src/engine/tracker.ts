/**
 * One thread's hold on the engine's memory: the views it works through, its number as owner of locks, its row of
 * counts and its scratch. Workers, the sweeper, the control side and the in-thread engine each have one.
 *
 * Imports memory, counters, row, succession, judge-kernel, loop-kernel, alg/, nat/, track/, wire/. Imported by the other
 * files of engine/, by control/ and workers/.
 */

import { EXPECTATION_WORDS } from '../alg/expectation.js';
import { MESSAGE_WORDS } from '../alg/helper.js';
import { MAX_ADDRESS_TEXT } from '../alg/text.js';
import { CHOICE_WORDS } from '../nat/choice.js';
import type { SharedMap } from '../sharedarraybuffer-hashmap/index.js';
import type { TrackContext } from '../track/protocol.js';
import { FACT_WORDS } from '../wire/facts.js';
import { columnAt, createRows, FIRST_COLUMN, MAX_BATCH, ROW_WORDS, type Rows } from '../wire/rows.js';
import { ACTION_WORDS, type CtAction, MAX_ACTIONS, writeAction } from './action.js';
import { COUNTER_ROW } from './counters.js';
import { HISTOGRAM_ROW } from './histogram.js';
import { LATEST } from './judge-kernel.js';
import { createLoopKernels, type LoopKernels } from './loop-kernel.js';
import { CONTROL, type EngineMemory, rowsAt } from './memory.js';
import type { Reassembly } from './reassembly.js';
import { NO_REGION } from './row.js';
import { createSuccession, type Succession } from './succession.js';
import type { TopSketches } from './top.js';

/** First word of the column that holds an action. */
const OWN_ACTION = columnAt(FIRST_COLUMN.ACTION);

/** Row of `facts` of a datagram that was put together, behind the row of NAT. */
export const WHOLE_ROW = MAX_BATCH + 1;

/** Entries of removed connections in other regions that wait for this thread to hold no lock: see hold.ts. */
export const MAX_LEAVING = 512;
export const LEAVING_WORDS = 6;

export interface Tracker extends TrackContext {
  readonly memory: EngineMemory;
  /** The actions that packets name, of ACTION_WORDS words each: the engine's, or during one packet `ownAction`. */
  actions: Int32Array;
  /** Their first byte in the memory of the rows. */
  actionsAt: number;
  /** An action of this thread's own, which it alone writes and reads. */
  readonly ownAction: Int32Array;
  readonly map: SharedMap;
  /** This thread's number: 1 or more, unique among the threads of the engine. */
  readonly owner: number;
  /** This thread's row of the counters. */
  readonly counts: Float64Array;
  /** This thread's histograms of sweep steps and of lags of removals. */
  readonly sweepStepTimes: Float64Array;
  readonly sweepLags: Float64Array;
  /** The rows of the batch at hand; `facts` are their words. */
  readonly rows: Rows;
  readonly kernels: LoopKernels;
  /** The frames of the batch at hand; set by whoever brings the batch. */
  frames: DataView;
  /** Read from the settings once per batch. */
  checksSequence: boolean;
  /** The region whose lock this thread holds, or NO_REGION. */
  held: number;
  /** Follows `held`. */
  tcpCountsAt: number;
  /** One double, in the memory of the rows: the time of the latest packet judged since. */
  readonly latestMs: Float64Array;
  /** First word of the row of `facts` behind the batch's: the key of a reply direction that NAT considers. */
  readonly replyRow: number;
  /** Where this thread holds fragments; undefined for one that judges no packets. */
  readonly reassembly: Reassembly | undefined;
  /** Where this thread counts who sends and opens how much; undefined unless that is asked for. */
  readonly top: TopSketches | undefined;
  readonly choice: Int32Array;
  /** State of the generator behind the random choices of NAT; never 0. */
  random: number;
  /** The tuple that a packet is to be rewritten to. */
  readonly tuple: Int32Array;
  /** What a packet of a control connection says, and the text of the address that is to stand there instead. */
  readonly message: Int32Array;
  readonly text: DataView;
  /** The expectation that the packet at hand meets, and the one that it announces if `isAnnounced`. */
  readonly expected: Expectation;
  readonly announced: Expectation;
  isAnnounced: boolean;
  /** Name of the map of used ports that a reply tuple belongs to, two words, and the port: see reply.ts. */
  readonly ports: Int32Array;
  /** Rows of region, hash, record and what stood in `ports`, and how many there are. */
  readonly leaving: Int32Array;
  leavingCount: number;
  /** What has given way to the connections that openRows() opens: see succession.ts. */
  readonly succession: Succession;
}

/** A copy of an expectation: EXPECTATION_WORDS words, and the same memory as doubles. */
export interface Expectation {
  readonly words: Int32Array;
  readonly doubles: Float64Array;
}

function createExpectation(): Expectation {
  const words = new Int32Array(EXPECTATION_WORDS);
  return { words, doubles: new Float64Array(words.buffer) };
}

/**
 * @param owner number of the calling thread, from 1 to the number of threads the memory was made for
 * @param reassembly where it holds fragments; without it they are not reassembled
 * @param top where it counts heavy hitters
 */
export function createTracker(
  memory: EngineMemory,
  owner: number,
  reassembly?: Reassembly,
  top?: TopSketches,
): Tracker {
  const row = (owner - 1) * COUNTER_ROW;
  const histogram = (owner - 1) * HISTOGRAM_ROW;
  const rows = createRows(memory.wasm, rowsAt(memory, owner));
  return {
    memory,
    actions: memory.actions,
    actionsAt: memory.actions.byteOffset,
    ownAction: rows.words.subarray(OWN_ACTION, OWN_ACTION + ACTION_WORDS),
    map: memory.map,
    words: memory.map.words,
    doubles: memory.map.doubles,
    owner,
    counts: memory.counters.subarray(row, row + COUNTER_ROW),
    sweepStepTimes: memory.sweepStepTimes.subarray(histogram, histogram + HISTOGRAM_ROW),
    sweepLags: memory.sweepLags.subarray(histogram, histogram + HISTOGRAM_ROW),
    frames: new DataView(new ArrayBuffer(0)),
    rows,
    kernels: createLoopKernels(rows, memory),
    facts: rows.words,
    timeoutsMs: memory.timeoutsMs,
    checksSequence: true,
    held: NO_REGION,
    tcpCountsAt: 0,
    now: new Float64Array(1),
    latestMs: rows.doubles.subarray(LATEST / 2, LATEST / 2 + 1),
    replyRow: MAX_BATCH * ROW_WORDS,
    reassembly,
    top,
    choice: new Int32Array(CHOICE_WORDS),
    random: (memory.control[CONTROL.KEY0] ^ Math.imul(owner, 0x9e3779b1)) | 1,
    tuple: new Int32Array(FACT_WORDS),
    ports: new Int32Array(3),
    message: new Int32Array(MESSAGE_WORDS),
    text: new DataView(new ArrayBuffer(MAX_ADDRESS_TEXT)),
    expected: createExpectation(),
    announced: createExpectation(),
    isAnnounced: false,
    leaving: new Int32Array(MAX_LEAVING * LEAVING_WORDS),
    leavingCount: 0,
    succession: createSuccession(),
  };
}

/**
 * Defines a ct() action for all threads of the engine. Call it from one thread only.
 * @returns the number that packets name it by
 * @throws RangeError when a value is out of range, a field unknown, or there is no room for another action; TypeError when
 *   a value is of another type
 */
export function defineAction(memory: EngineMemory, action: CtAction): number {
  const number = Atomics.load(memory.control, CONTROL.ACTIONS); // orders nothing: only this thread writes it
  if (number === MAX_ACTIONS) throw new RangeError(`an engine holds ${MAX_ACTIONS} actions at most`);
  writeAction(memory.actions, number * ACTION_WORDS, action);
  Atomics.store(memory.control, CONTROL.ACTIONS, number + 1); // publishes the action written above
  return number;
}
