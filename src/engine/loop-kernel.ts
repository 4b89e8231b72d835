/**
 * The passes of the packet loop that are WebAssembly, put together: one module, one set of functions for each thread.
 *
 * What does not change while an engine lives lies in a column of the thread's rows, so that a call takes a few numbers;
 * a call costs 5 ns (Node 20), as much as a packet takes in most of the passes.
 *
 * Imports find-kernel, judge-kernel, place-kernel, packet, memory, wire/. Imported by tracker, process.
 */
import { PARSE_PLACE, PLAIN_FUNCTIONS, prepareScan } from '../wire/plain.js';
import { columnAt, FIRST_COLUMN, ROW_BYTES, type Rows } from '../wire/rows.js';
import {
  bind,
  type Code,
  call,
  compileFunctions,
  declareLocals,
  drop,
  type FunctionCode,
  get,
  i32,
  i32add,
  i32and,
  i32bytes,
  i32isZero,
  i32left,
  i32load,
  i32multiply,
  LANES,
  numbered,
  offsetOf,
  set,
  type WasmFunction,
  WORD_BYTES,
  when,
} from '../wire/wasm.js';
import { FIND } from './find-kernel.js';
import { JUDGE } from './judge-kernel.js';
import { CONTROL, type EngineMemory } from './memory.js';
import { PACKET, PACKET_WORDS } from './packet.js';
import { PLACE } from './place-kernel.js';

const PACKET_BYTES = PACKET_WORDS * WORD_BYTES;

/** Words of the column. */
const SETUP_NAMES = [
  'KEY0',
  'KEY1',
  'REGIONS',
  'BUCKETS_AT',
  'BUCKETS_PER_REGION',
  'BUCKET_SHIFT',
  'RECORDS_PER_REGION',
  'RECORD_BITS',
  'RECORDS_AT',
  'RECORD_WORDS',
  'ANNEXES_AT',
  'ANNEX_WORDS',
  'TIMEOUTS_AT',
] as const;
const SETUP = numbered(SETUP_NAMES, columnAt(FIRST_COLUMN.SETUP));

function writeSetup(words: Int32Array, { control, map, timeoutsAt }: EngineMemory): void {
  words[SETUP.KEY0] = control[CONTROL.KEY0];
  words[SETUP.KEY1] = control[CONTROL.KEY1];
  words[SETUP.REGIONS] = map.regions;
  words[SETUP.BUCKETS_AT] = map.bucketsAt;
  words[SETUP.BUCKETS_PER_REGION] = map.bucketsPerRegion;
  words[SETUP.BUCKET_SHIFT] = map.bucketShift;
  words[SETUP.RECORDS_PER_REGION] = map.recordsPerRegion;
  words[SETUP.RECORD_BITS] = map.recordBits;
  words[SETUP.RECORDS_AT] = map.recordsAt;
  words[SETUP.RECORD_WORDS] = map.recordWords;
  words[SETUP.ANNEXES_AT] = map.annexesAt;
  words[SETUP.ANNEX_WORDS] = map.annexWords;
  words[SETUP.TIMEOUTS_AT] = timeoutsAt;
}

/** Places of the functions in the module. */
const AT = numbered(
  ['place', 'find', 'judge', 'enter', 'placeAll', 'judgeFrom', 'findAndJudge'] as const,
  PARSE_PLACE + 1,
);

/** All of the functions below are given this first: the first byte of the rows. */
const ROWS_AT = 0;
const setup = (name: (typeof SETUP_NAMES)[number]): Code => i32load(get(ROWS_AT), offsetOf(SETUP[name]));
/** First byte of the row at a place in the batch. */
const rowAt = (place: number): Code => i32add(get(ROWS_AT), i32multiply(get(place), i32(ROW_BYTES)));

const callPlace = (count: number, packetsAt: number, actionsAt: number): Code =>
  call(
    AT.place,
    get(ROWS_AT),
    rowAt(count),
    get(packetsAt),
    get(actionsAt),
    setup('REGIONS'),
    setup('BUCKETS_AT'),
    setup('BUCKETS_PER_REGION'),
    i32add(setup('BUCKET_SHIFT'), i32(-1)),
  );

const callFind = (from: number, count: number, region: number, hasIpv6: number): Code =>
  call(
    AT.find,
    get(ROWS_AT),
    i32and(get(from), i32(-LANES)),
    get(count),
    get(region),
    i32multiply(get(region), setup('RECORDS_PER_REGION')),
    setup('RECORDS_PER_REGION'),
    setup('RECORD_BITS'),
    setup('RECORDS_AT'),
    setup('RECORD_WORDS'),
    get(hasIpv6),
    setup('ANNEXES_AT'),
    setup('ANNEX_WORDS'),
  );

const callJudge = (from: number, count: number, packetsAt: number, region: number, checksSequence: number): Code =>
  call(
    AT.judge,
    get(ROWS_AT),
    rowAt(from),
    rowAt(count),
    i32add(get(packetsAt), i32multiply(get(from), i32(PACKET_BYTES))),
    get(region),
    i32bytes(setup('ANNEXES_AT')),
    i32bytes(setup('ANNEX_WORDS')),
    setup('TIMEOUTS_AT'),
    get(checksSequence),
  );

/** Of what `enter` returns: the lowest bit says that there is IPv6 among the packets, those above how many are left. */
export const LEFT_SHIFT = 1;

/** Parses all packets, and places them when none is left to parseFrame(). */
function enterCode(): FunctionCode {
  const { locals, G, L } = declareLocals({
    given: ['rowsAt', 'count', 'packetsAt', 'framesAt', 'frameBytes', 'actionsAt'],
    words: ['left'],
  });
  const spansAt = i32add(get(G.packetsAt), i32(offsetOf(PACKET.FRAME_OFFSET)));
  const parse = call(
    PARSE_PLACE,
    get(ROWS_AT),
    get(G.count),
    spansAt,
    i32(PACKET_BYTES),
    get(G.framesAt),
    get(G.frameBytes),
    setup('KEY0'),
    setup('KEY1'),
  );
  return {
    locals,
    body: [
      ...set(L.left, i32left(parse, i32(LEFT_SHIFT))),
      ...when(i32isZero(get(L.left)), set(L.left, callPlace(G.count, G.packetsAt, G.actionsAt))),
      ...get(L.left),
    ],
  };
}

function placeAllCode(): FunctionCode {
  const { locals, G } = declareLocals({ given: ['rowsAt', 'count', 'packetsAt', 'actionsAt'] });
  return { locals, body: callPlace(G.count, G.packetsAt, G.actionsAt) };
}

function judgeFromCode(): FunctionCode {
  const { locals, G } = declareLocals({ given: ['rowsAt', 'from', 'count', 'packetsAt', 'region', 'checksSequence'] });
  return { locals, body: callJudge(G.from, G.count, G.packetsAt, G.region, G.checksSequence) };
}

function findAndJudgeCode(): FunctionCode {
  const { locals, G } = declareLocals({
    given: ['rowsAt', 'from', 'count', 'packetsAt', 'region', 'checksSequence', 'hasIpv6'],
  });
  const find = drop(callFind(G.from, G.count, G.region, G.hasIpv6));
  return { locals, body: [...find, ...callJudge(G.from, G.count, G.packetsAt, G.region, G.checksSequence)] };
}

const module = compileFunctions([
  ...PLAIN_FUNCTIONS,
  PLACE,
  FIND,
  JUDGE,
  enterCode(),
  placeAllCode(),
  judgeFromCode(),
  findAndJudgeCode(),
]);

/** The functions over the rows of a thread. All places are bytes of the engine's memory. */
export interface LoopKernels {
  /**
   * Parses `count` packets, and if that is all that is to be parsed, places them: (first byte of the rows, count, first
   * byte of the packets, of the frame memory, its length, first byte of the actions). Returns 1 when there is IPv6 among
   * them, otherwise 0, and from LEFT_SHIFT on how many packets are left to parseFrame(): nothing is placed then.
   */
  readonly enter: WasmFunction;
  /** Places them: (rows, count, packets, actions). Returns 1 when there is IPv6 among those that have a region, otherwise 0. */
  readonly place: WasmFunction;
  /**
   * Judges the packets from place `from` on: (rows, from, count, packets, the region that is held, 1 where sequence numbers
   * are checked). Returns how many, up to the first that is judgePacket()'s.
   */
  readonly judge: WasmFunction;
  /** The same after a look at the index for each of them: one more number, 1 when there is IPv6 among them. */
  readonly findAndJudge: WasmFunction;
}

export function createLoopKernels({ memory: wasm, words }: Rows, memory: EngineMemory): LoopKernels {
  prepareScan(words);
  writeSetup(words, memory);
  const functions = bind(module, wasm);
  return {
    enter: functions[AT.enter],
    place: functions[AT.placeAll],
    judge: functions[AT.judgeFrom],
    findAndJudge: functions[AT.findAndJudge],
  };
}
