/**
 * One pass of a packet through the tables: from the flow key to a list of steps, what is to be done with the packet.
 * Nothing is done yet, so that a pass that runs in circles does nothing at all, as in Open vSwitch.
 *
 * The key is what the packet was when the pass began. A ct() of the pass does not change it, except that the packet
 * counts as untracked from there on; what the tracker finds is seen where the packet goes with `ct(table=N)`, in a pass
 * of its own.
 *
 * Imports classifier, compile, context, key, ports. Imported by flows/run.
 */
import { lookup, NO_RULE } from './classifier.js';
import { type CompiledFlows, FROM_FIELD, OP, OP_WORDS, OWN } from './compile.js';
import { CT_PARAMETER } from './context.js';
import { CT_END, CT_FIRST, FLOW_KEY_WORDS, KEY, readBits, writeBits } from './key.js';
import { PORT } from './ports.js';

/** Kinds of steps. The operand is the port, the number of the ct() among all, or the table. */
export const STEP = { OUTPUT: 0, CT: 1, CT_CLEAR: 2, RECIRCULATE: 3 } as const;
/** Words of a step: kind, operand, then the CtParameters of a CT or the registers of a RECIRCULATE. */
export const STEP_WORDS = 24;
export const STEP_OPERAND = 1;
export const STEP_MORE = 2;

/** What a recirculated packet keeps of the key: metadata and registers, which are its last words. */
export const KEPT_FIRST = KEY.METADATA;
export const KEPT_WORDS = FLOW_KEY_WORDS - KEPT_FIRST;

/** Lookups and steps together that one packet may cost, all of its passes counted. */
export const MAX_STEPS = 4096;
/** Resubmissions to the same or an earlier table, one inside the other. */
const MAX_DEPTH = 64;

/** Why a packet, or a copy of it, went no further. */
export const FLOW_OUTCOME = { NONE: 0, DEPTH: 1, STEPS: 2 } as const;

/** Words of a rule that waits for a resubmission to come back: next instruction, table, depth. */
const RETURN_WORDS = 3;
/** Bits that a move takes at a time. */
const MOVE_BITS = 32;

export interface Translator {
  readonly flows: CompiledFlows;
  /** Masks of ct_mark and ct_label of each ct(): as the CtParameters from MARK on, values left 0. */
  readonly ctMasks: Int32Array;
  readonly key: Int32Array;
  readonly steps: Int32Array;
  readonly returns: Int32Array;
  readonly moved: Int32Array;
  /** What is left of MAX_STEPS. */
  budget: number;
  outcome: number;
  /** Number of steps in the list; those of a pass lie behind those of the pass that it is part of. */
  used: number;
  /** What the last ZONE instruction read. */
  zone: number;
  /** Where translate() is: table and depth of the rule. */
  table: number;
  depth: number;
}

/** @param ctMasks see Translator */
export function makeTranslator(flows: CompiledFlows, ctMasks: Int32Array): Translator {
  return {
    flows,
    ctMasks,
    key: new Int32Array(FLOW_KEY_WORDS),
    steps: new Int32Array(MAX_STEPS * STEP_WORDS),
    returns: new Int32Array(MAX_STEPS * RETURN_WORDS),
    moved: new Int32Array(4),
    budget: 0,
    outcome: FLOW_OUTCOME.NONE,
    used: 0,
    zone: 0,
    table: 0,
    depth: 0,
  };
}

const DONE = -1;

function fail(translator: Translator, outcome: number): false {
  if (translator.outcome === FLOW_OUTCOME.NONE) translator.outcome = outcome;
  return false;
}

/** First word of a new step, or -1 when the packet has had too many. */
function addStep(translator: Translator, kind: number, operand: number): number {
  if (--translator.budget < 0) return -1;
  const at = translator.used++ * STEP_WORDS;
  translator.steps[at] = kind;
  translator.steps[at + STEP_OPERAND] = operand;
  return at;
}

/** Start of the program of the rule that matches in `table`, or DONE. */
function findRule(translator: Translator, table: number, port: number): number {
  const { flows, key } = translator;
  const compiled = flows.tables[table];
  if (compiled === undefined) return DONE;
  // Another port counts for this lookup only: "in_port" in the rules found is where the packet came from.
  const own = key[KEY.IN_PORT];
  if (port !== OWN) key[KEY.IN_PORT] = port;
  const rank = lookup(compiled.classifier, key);
  key[KEY.IN_PORT] = own;
  return rank === NO_RULE ? DONE : compiled.starts[rank];
}

/**
 * Looks the key up from `table` on and adds the steps that follow from the rules.
 * @returns false when the pass ran in circles: `outcome` says how, and there are no steps of it
 */
export function translate(translator: Translator, table: number): boolean {
  const first = translator.used;
  translator.table = table;
  translator.depth = 0;
  const isWhole = runProgram(translator, table);
  if (!isWhole) translator.used = first;
  return isWhole;
}

function runProgram(translator: Translator, table: number): boolean {
  const { flows, returns } = translator;
  const { program } = flows;
  if (--translator.budget < 0) return fail(translator, FLOW_OUTCOME.STEPS);
  let at = findRule(translator, table, OWN);
  let waiting = 0;
  while (at !== DONE) {
    const op = program[at];
    if (op === OP.END) {
      if (waiting === 0) return true;
      waiting -= RETURN_WORDS;
      at = returns[waiting];
      translator.table = returns[waiting + 1];
      translator.depth = returns[waiting + 2];
      continue;
    }
    if (op === OP.RESUBMIT || op === OP.GOTO) {
      const isGoto = op === OP.GOTO;
      const wanted = isGoto ? program[at + 1] : program[at + 2];
      const next = wanted === OWN ? translator.table : wanted;
      if (translator.depth >= MAX_DEPTH) return fail(translator, FLOW_OUTCOME.DEPTH);
      if (--translator.budget < 0) return fail(translator, FLOW_OUTCOME.STEPS);
      const rule = findRule(translator, next, isGoto ? OWN : program[at + 1]);
      at += OP_WORDS;
      if (rule === DONE) continue;
      returns[waiting] = at;
      returns[waiting + 1] = translator.table;
      returns[waiting + 2] = translator.depth;
      waiting += RETURN_WORDS;
      if (next <= translator.table) translator.depth++;
      translator.table = next;
      at = rule;
      continue;
    }
    if (!runInstruction(translator, op, at)) return fail(translator, FLOW_OUTCOME.STEPS);
    at += OP_WORDS;
  }
  return true;
}

/** Any instruction that leads nowhere else. @returns false when the packet has had too many steps */
function runInstruction(translator: Translator, op: number, at: number): boolean {
  const { key, flows } = translator;
  const { program } = flows;
  const operand = program[at + 1];
  switch (op) {
    case OP.OUTPUT:
      return addOutput(translator, operand);
    case OP.LOAD:
      key[operand] = (key[operand] & ~program[at + 2]) | program[at + 3];
      return true;
    case OP.MOVE:
      moveBits(translator, operand, program[at + 2], program[at + 3]);
      return true;
    case OP.ZONE:
      translator.zone = readBits(key, operand, 16);
      return true;
    case OP.CT:
      return addCt(translator, operand, program[at + 2], program[at + 3]);
    default:
      return addClear(translator);
  }
}

function addOutput(translator: Translator, port: number): boolean {
  const inPort = translator.key[KEY.IN_PORT];
  // Only "in_port" leads back to where the packet came from; its number does not.
  if (port === inPort) return true;
  return addStep(translator, STEP.OUTPUT, port === PORT.IN_PORT ? inPort : port) >= 0;
}

/** Bits are read before any is written, since source and destination may overlap. */
function moveBits(translator: Translator, from: number, to: number, count: number): void {
  const { key, moved } = translator;
  for (let done = 0; done < count; done += MOVE_BITS) {
    moved[done / MOVE_BITS] = readBits(key, from + done, Math.min(MOVE_BITS, count - done));
  }
  for (let done = 0; done < count; done += MOVE_BITS) {
    writeBits(key, to + done, Math.min(MOVE_BITS, count - done), moved[done / MOVE_BITS]);
  }
}

function addCt(translator: Translator, number: number, table: number, zone: number): boolean {
  const { key, steps, ctMasks } = translator;
  const { MARK, MARK_MASK, LABEL, LABEL_MASK } = CT_PARAMETER;
  const step = addStep(translator, STEP.CT, number);
  if (step < 0) return false;
  const parameters = step + STEP_MORE;
  const masks = number * CT_MASK_WORDS;
  steps[parameters + CT_PARAMETER.ZONE] = zone === FROM_FIELD ? translator.zone : zone;
  steps[parameters + MARK_MASK] = ctMasks[masks];
  steps[parameters + MARK] = key[KEY.CT_MARK] & ctMasks[masks];
  for (let word = 0; word < 4; word++) {
    const mask = ctMasks[masks + 1 + word];
    steps[parameters + LABEL_MASK + word] = mask;
    steps[parameters + LABEL + word] = key[KEY.CT_LABEL + 3 - word] & mask;
  }
  key.fill(0, CT_FIRST, CT_END);
  if (table === OWN) return true;
  const recirculate = addStep(translator, STEP.RECIRCULATE, table);
  if (recirculate < 0) return false;
  for (let word = 0; word < KEPT_WORDS; word++) steps[recirculate + STEP_MORE + word] = key[KEPT_FIRST + word];
  return true;
}

/** Words of Translator.ctMasks for each ct(): of ct_mark, then of ct_label, least significant first. */
export const CT_MASK_WORDS = 5;

function addClear(translator: Translator): boolean {
  const { key } = translator;
  // A packet that is untracked already, as after a ct() of the same pass, has nothing to clear.
  if (key[KEY.CT_STATE] === 0) return true;
  key.fill(0, CT_FIRST, CT_END);
  return addStep(translator, STEP.CT_CLEAR, 0) >= 0;
}
