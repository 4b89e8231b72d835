/**
 * Fields and parts of fields in actions: `NXM_NX_REG0[0..15]`, and what writes them: load, move and set_field.
 *
 * Imports error, key, match, numbers, vocabulary, ../given. Imported by flows/actions, flows/ct and flows/compile.
 */
import { quoted } from '../given.js';
import { wrong } from './error.js';
import { addressOf } from './key.js';
import { checkNeed, type Match } from './match.js';
import { allOnes, parseInteger } from './numbers.js';
import { FIELD_BY_NAME, type Field, MOVABLE_BY_NAME } from './vocabulary.js';

/** Some consecutive bits of a field. */
export interface Subfield {
  readonly field: Field;
  /** First of the bits, counted from the least significant one of the field. */
  readonly offset: number;
  readonly bits: number;
  /** The same as an address in the flow key. */
  readonly address: number;
}

/** A change of the flow key. */
export type KeyWrite =
  | {
      readonly kind: 'load';
      readonly field: Field;
      /** Bits of the field; those that are not in the mask are 0. */
      readonly value: bigint;
      readonly mask: bigint;
    }
  | { readonly kind: 'move'; readonly from: Subfield; readonly to: Subfield };

/** Where a write stands: in a rule's own actions, or in the exec() of a ct(). */
export type WritePlace = 'rule' | 'exec';

/** `NAME`, `NAME[]`, `NAME[bit]` or `NAME[first..last]`. @throws FlowError */
export function parseSubfield(text: string): Subfield {
  const parts = /^([A-Za-z0-9_]+)(?:\[(?:(\d{1,3})(?:\.\.(\d{1,3}))?)?\])?$/.exec(text);
  if (parts === null) throw wrong(text, 'is not a field, as in NXM_NX_REG0[0..15]');
  const [, name, first, last] = parts;
  const field = MOVABLE_BY_NAME.get(name);
  if (field === undefined) throw wrong(name, 'is not a field that actions can use');
  const offset = Number(first ?? 0);
  const end = Number(last ?? first ?? field.bits - 1);
  if (offset > end) throw wrong(text, 'the first bit comes after the last one');
  if (end >= field.bits) throw wrong(text, `${name} has ${field.bits} bits`);
  return { field, offset, bits: end - offset + 1, address: addressOf(field.lastWord) + offset };
}

/** `source->destination`, both of which may hold anything but the arrow. */
function splitArrow(text: string): readonly [string, string] {
  const arrow = text.indexOf('->');
  if (arrow < 0) throw wrong(text, 'needs "->" and a field');
  const to = text.slice(arrow + 2);
  if (to === '') throw wrong(text, 'needs a field behind "->"');
  return [text.slice(0, arrow), to];
}

function checkWritable(field: Field, place: WritePlace, text: string): void {
  const name = field.names[0];
  if (field.writable === 'in-ct' && place === 'rule') throw wrong(text, `${name} can only be set in ct(exec(…))`);
  if (field.writable === 'always' && place === 'exec') throw wrong(text, 'exec can only set ct_mark and ct_label');
  if (field.writable === 'never') throw wrong(text, `setting ${name} is not supported`);
}

/** `value->FIELD[first..last]`: the bits named become the value. */
export function parseLoad(text: string, place: WritePlace): KeyWrite {
  const [valueText, target] = splitArrow(text);
  const { field, offset, bits } = parseSubfield(target);
  checkWritable(field, place, target);
  const value = parseInteger(valueText, bits);
  return { kind: 'load', field, value: value << BigInt(offset), mask: allOnes(bits) << BigInt(offset) };
}

/** `value[/mask]->field`. */
export function parseSetField(text: string, place: WritePlace): KeyWrite {
  const [valueText, name] = splitArrow(text);
  const field = FIELD_BY_NAME.get(name);
  if (field === undefined) throw wrong(name, `no field is called ${quoted(name)}`);
  checkWritable(field, place, name);
  if (valueText === '') throw wrong(text, 'needs a value');
  const { value, mask } = field.parse(valueText);
  return { kind: 'load', field, value: value & mask, mask };
}

/** `FIELD[first..last]->FIELD[first..last]`. */
export function parseMove(text: string, place: WritePlace, match: Match): KeyWrite {
  const [source, target] = splitArrow(text);
  const from = parseSubfield(source);
  const to = parseSubfield(target);
  checkWritable(to.field, place, target);
  checkNeed(match, from.field, source);
  if (from.bits !== to.bits) throw wrong(text, `moves ${from.bits} bits to ${to.bits}`);
  return { kind: 'move', from, to };
}
