/**
 * Packets through flow tables. A packet enters at table 0. Each pass gathers the flow key, translates it to steps and
 * runs them in order; `ct(table=N)` is the step after which a copy of the packet runs a pass of its own from table N,
 * before the steps behind it, which go on with the packet as the ct() left it.
 *
 *     key ◄── frame, row          fields
 *     key ──► steps               translate: tables, rules, registers
 *     steps ─► ct(), output()     here: the engine's side, and passes inside passes
 *
 * A packet that no rule wants has no step and is thereby dropped. Runs that would go on for too long lose what is left
 * of them, with an outcome of their own. Allocates nothing per packet, but for memory of frames that are copied.
 *
 * Imports compile, context, fields, key, parse, translate, ../engine/packet, ../wire/known. Imported by the engine's side
 * and the public API.
 */
import { PACKET, PACKET_WORDS } from '../engine/packet.js';
import { KNOWN } from '../wire/known.js';
import { compileFlows } from './compile.js';
import { CT_OUTCOME, CT_PARAMETER_WORDS, type CtSpec, type FlowContext } from './context.js';
import { gatherHeaders, gatherTracking } from './fields.js';
import { KEY } from './key.js';
import type { FlowTable } from './parse.js';
import {
  CT_MASK_WORDS,
  FLOW_OUTCOME,
  KEPT_FIRST,
  KEPT_WORDS,
  MAX_STEPS,
  makeTranslator,
  STEP,
  STEP_MORE,
  STEP_OPERAND,
  STEP_WORDS,
  type Translator,
  translate,
} from './translate.js';

/** Passes inside passes that one packet may have. */
const MAX_RECIRCULATIONS = 64;

/** Why a packet went no further, by outcome: what a verdict can carry as its reason. */
export const FLOW_REASONS: readonly string[] = ['none', 'flow-depth', 'flow-steps'];

const { FRAME_OFFSET, FRAME_LENGTH, INPUT, L3_OFFSET } = PACKET;
const NAMES_L3 = KNOWN.L3_IPV4 | KNOWN.L3_IPV6;
/** Frame bytes that can be kept at first. */
const FIRST_KEPT_BYTES = 2048;

/** Loaded flow tables and the memory that running them needs: one for each thread that runs packets. */
export interface FlowMachine {
  readonly context: FlowContext;
  readonly translator: Translator;
  /** The context's number of each ct(). */
  readonly actions: Int32Array;
  readonly parameters: Int32Array;
  /** Rows and frames of the packets that a pass inside a pass must not change. */
  readonly keptRows: Int32Array;
  keptFrames: Uint8Array;
  keptBytes: number;
  /** The frame memory as bytes. */
  frameBytes: Uint8Array;
}

function masksOf(specs: readonly CtSpec[]): Int32Array {
  const masks = new Int32Array(specs.length * CT_MASK_WORDS);
  for (const [index, { mark, label }] of specs.entries()) {
    const at = index * CT_MASK_WORDS;
    masks[at] = mark?.mask ?? 0;
    const labelMask = label?.mask ?? 0n;
    for (let word = 0; word < 4; word++) masks[at + 1 + word] = Number((labelMask >> BigInt(32 * word)) & 0xffffffffn);
  }
  return masks;
}

/**
 * Compiles the rules and gives their ct() actions to the context.
 * @throws whatever the context throws of an action that it cannot run
 */
export function loadFlows(table: FlowTable, context: FlowContext): FlowMachine {
  const flows = compileFlows(table);
  const specs = flows.cts.map(({ spec }) => spec);
  return {
    context,
    translator: makeTranslator(flows, masksOf(specs)),
    actions: Int32Array.from(specs, spec => context.defineAction(spec)),
    parameters: new Int32Array(CT_PARAMETER_WORDS),
    keptRows: new Int32Array(MAX_RECIRCULATIONS * PACKET_WORDS),
    keptFrames: new Uint8Array(FIRST_KEPT_BYTES),
    keptBytes: 0,
    frameBytes: new Uint8Array(0),
  };
}

/**
 * Runs the packet whose row begins at word `packet` of the context's rows, as one that came in at port `inPort`.
 * @returns a FLOW_OUTCOME: NONE, or why the packet or a copy of it went no further
 */
export function runFlows(machine: FlowMachine, packet: number, inPort: number): number {
  const { translator } = machine;
  translator.key.fill(0);
  translator.key[KEY.IN_PORT] = inPort;
  translator.budget = MAX_STEPS;
  translator.outcome = FLOW_OUTCOME.NONE;
  translator.used = 0;
  machine.keptBytes = 0;
  runPass(machine, packet, 0, 0);
  return translator.outcome;
}

/** @param depth number of passes that this one is inside of */
function runPass(machine: FlowMachine, packet: number, table: number, depth: number): void {
  const { translator, context } = machine;
  gatherKey(context, packet, translator.key);
  const first = translator.used;
  if (!translate(translator, table)) return;
  const end = translator.used;
  runSteps(machine, packet, first, end, depth);
  translator.used = first;
}

function isFrameInside({ frames, packets }: FlowContext, packet: number): boolean {
  const start = packets[packet + FRAME_OFFSET];
  const length = packets[packet + FRAME_LENGTH];
  return start >= 0 && length >= 0 && start + length <= frames.byteLength;
}

function gatherKey(context: FlowContext, packet: number, key: Int32Array): void {
  const { frames, packets } = context;
  const start = packets[packet + FRAME_OFFSET];
  const known = packets[packet + INPUT];
  const l3 = packets[packet + L3_OFFSET];
  // A row that names memory outside the frames has an empty frame: only in_port and the like can match.
  const isInside = isFrameInside(context, packet) && ((known & NAMES_L3) === 0 || l3 >= start);
  gatherHeaders(
    frames,
    start,
    isInside ? start + packets[packet + FRAME_LENGTH] : start,
    isInside ? known : 0,
    l3,
    key,
  );
  gatherTracking(packets, packet, key);
}

function runSteps(machine: FlowMachine, packet: number, first: number, end: number, depth: number): void {
  const { context, translator, parameters } = machine;
  const { steps } = translator;
  for (let step = first; step < end; step++) {
    const at = step * STEP_WORDS;
    const operand = steps[at + STEP_OPERAND];
    switch (steps[at]) {
      case STEP.OUTPUT:
        context.output(packet, operand);
        break;
      case STEP.CT:
        for (let word = 0; word < CT_PARAMETER_WORDS; word++) parameters[word] = steps[at + STEP_MORE + word];
        switch (context.ct(packet, machine.actions[operand], parameters, depth)) {
          case CT_OUTCOME.GOES_ON:
            break;
          case CT_OUTCOME.COMPLETED:
            runCompleted(machine, step + 1, end, depth);
            return;
          default:
            return;
        }
        break;
      case STEP.CT_CLEAR:
        context.ctClear(packet);
        break;
      default:
        recirculate(machine, packet, at, depth, step + 1 === end);
    }
  }
}

/** Fragments that a ct() has held go on with the steps behind it, each with as many steps as a packet may run. */
function runCompleted(machine: FlowMachine, first: number, end: number, depth: number): void {
  const { context, translator } = machine;
  const { budget } = translator;
  context.beginCompleted();
  for (let packet = context.nextCompleted(); packet >= 0; packet = context.nextCompleted()) {
    translator.budget = MAX_STEPS;
    runSteps(machine, packet, first, end, depth);
  }
  translator.budget = budget;
}

/** Runs the copy of a packet that ct(table=N) makes; when nothing follows, the packet itself. */
function recirculate(machine: FlowMachine, packet: number, step: number, depth: number, isLast: boolean): void {
  const { translator } = machine;
  const { steps, key } = translator;
  if (depth === MAX_RECIRCULATIONS) {
    if (translator.outcome === FLOW_OUTCOME.NONE) translator.outcome = FLOW_OUTCOME.DEPTH;
    return;
  }
  for (let word = 0; word < KEPT_WORDS; word++) key[KEPT_FIRST + word] = steps[step + STEP_MORE + word];
  const table = steps[step + STEP_OPERAND];
  if (isLast) {
    runPass(machine, packet, table, depth + 1);
    return;
  }
  const keptAt = machine.keptBytes;
  keepPacket(machine, packet, depth);
  runPass(machine, packet, table, depth + 1);
  bringBackPacket(machine, packet, depth, keptAt);
}

function keepPacket(machine: FlowMachine, packet: number, depth: number): void {
  const { context, keptRows, keptBytes } = machine;
  const { frames, packets } = context;
  for (let word = 0; word < PACKET_WORDS; word++) keptRows[depth * PACKET_WORDS + word] = packets[packet + word];
  if (!isFrameInside(context, packet)) return;
  const length = packets[packet + FRAME_LENGTH];
  useFrames(machine, frames);
  if (keptBytes + length > machine.keptFrames.length) {
    const larger = new Uint8Array(Math.max(2 * machine.keptFrames.length, keptBytes + length));
    larger.set(machine.keptFrames);
    machine.keptFrames = larger;
  }
  const from = packets[packet + FRAME_OFFSET];
  for (let byte = 0; byte < length; byte++) machine.keptFrames[keptBytes + byte] = machine.frameBytes[from + byte];
  machine.keptBytes = keptBytes + length;
}

/** Looks at the frame memory as bytes; completed fragments may have run in another one since. */
function useFrames(machine: FlowMachine, frames: DataView): void {
  const { buffer, byteOffset, byteLength } = machine.frameBytes;
  if (buffer !== frames.buffer || byteOffset !== frames.byteOffset || byteLength !== frames.byteLength) {
    machine.frameBytes = new Uint8Array(frames.buffer, frames.byteOffset, frames.byteLength);
  }
}

/** @param keptAt where the packet's frame lies among those kept */
function bringBackPacket(machine: FlowMachine, packet: number, depth: number, keptAt: number): void {
  const { context, keptRows, keptFrames } = machine;
  const { packets } = context;
  useFrames(machine, context.frames);
  const { frameBytes } = machine;
  for (let word = 0; word < PACKET_WORDS; word++) packets[packet + word] = keptRows[depth * PACKET_WORDS + word];
  const to = packets[packet + FRAME_OFFSET];
  const length = machine.keptBytes - keptAt;
  for (let byte = 0; byte < length; byte++) frameBytes[to + byte] = keptFrames[keptAt + byte];
  machine.keptBytes = keptAt;
}
