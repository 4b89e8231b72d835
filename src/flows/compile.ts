/**
 * Rules to what runs per packet: a classifier for each table, and the actions of all rules as one program of fixed-
 * width instructions.
 *
 * Imports actions, classifier, ct, parse, subfield. Imported by flows/run and tests.
 */
import type { FlowAction } from './actions.js';
import { type Classifier, makeClassifier } from './classifier.js';
import type { CtAction } from './ct.js';
import type { FlowRule, FlowTable } from './parse.js';
import type { KeyWrite } from './subfield.js';

/** First word of an instruction; the other three are its operands. */
export const OP = {
  /** The rule ends. */
  END: 0,
  /** port */
  OUTPUT: 1,
  /** port or OWN, table or OWN */
  RESUBMIT: 2,
  /** table */
  GOTO: 3,
  /** word of the key, mask, value */
  LOAD: 4,
  /** from address, to address, number of bits */
  MOVE: 5,
  /** address of the 16 bits that are the zone of the ct() that follows */
  ZONE: 6,
  /** number of the ct() among all, table or OWN, zone or FROM_FIELD */
  CT: 7,
  CT_CLEAR: 8,
} as const;
export const OP_WORDS = 4;

/** The packet's own port, the rule's own table, or no table at all. */
export const OWN = -1;
/** The zone is the one that a ZONE instruction has read. */
export const FROM_FIELD = -1;

/** A table and where the program of each of its rules starts, by rank. */
export interface CompiledTable {
  readonly classifier: Classifier;
  readonly starts: Int32Array;
}

export interface CompiledFlows {
  /** By number; undefined for a table without rules. */
  readonly tables: readonly (CompiledTable | undefined)[];
  readonly program: Int32Array;
  /** The ct() actions by the number that CT instructions have. */
  readonly cts: readonly CtAction[];
}

const TABLES = 255;

interface Output {
  readonly program: number[];
  readonly cts: CtAction[];
}

function emit(output: Output, op: number, a = 0, b = 0, c = 0): void {
  output.program.push(op, a, b, c);
}

function emitWrite(output: Output, write: KeyWrite): void {
  if (write.kind === 'move') {
    emit(output, OP.MOVE, write.from.address, write.to.address, write.to.bits);
    return;
  }
  let { value, mask } = write;
  for (let word = write.field.lastWord; mask !== 0n; word--) {
    const bits = Number(mask & 0xffffffffn);
    if (bits !== 0) emit(output, OP.LOAD, word, bits, Number(value & 0xffffffffn));
    value >>= 32n;
    mask >>= 32n;
  }
}

function emitCt(output: Output, action: CtAction): void {
  const { zoneFrom, spec, table, writes } = action;
  if (zoneFrom !== undefined) emit(output, OP.ZONE, zoneFrom.address);
  for (const write of writes) emitWrite(output, write);
  const number = output.cts.push(action) - 1;
  emit(output, OP.CT, number, table ?? OWN, zoneFrom === undefined ? spec.zone : FROM_FIELD);
}

function emitAction(output: Output, action: FlowAction): void {
  switch (action.kind) {
    case 'output':
      emit(output, OP.OUTPUT, action.port);
      break;
    case 'resubmit':
      emit(output, OP.RESUBMIT, action.port ?? OWN, action.table ?? OWN);
      break;
    case 'goto':
      emit(output, OP.GOTO, action.table);
      break;
    case 'write':
      emitWrite(output, action.write);
      break;
    case 'ct-clear':
      emit(output, OP.CT_CLEAR);
      break;
    case 'ct':
      emitCt(output, action);
      break;
  }
}

function compileTable(output: Output, rules: readonly FlowRule[]): CompiledTable {
  const ranked = rules.toSorted((one, other) => other.priority - one.priority);
  const starts = ranked.map(rule => {
    const start = output.program.length;
    for (const action of rule.actions) emitAction(output, action);
    emit(output, OP.END);
    return start;
  });
  return { classifier: makeClassifier(ranked.map(({ match }) => match)), starts: Int32Array.from(starts) };
}

export function compileFlows({ rules }: FlowTable): CompiledFlows {
  const output: Output = { program: [], cts: [] };
  const byTable = Array.from({ length: TABLES }, (): FlowRule[] => []);
  for (const rule of rules) byTable[rule.table].push(rule);
  const tables = byTable.map(own => (own.length === 0 ? undefined : compileTable(output, own)));
  return { tables, program: Int32Array.from(output.program), cts: output.cts };
}
