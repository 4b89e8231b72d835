/**
 * ct_mark and ct_label with masks, as actions set them and filters compare them: what a caller writes, its checks, and
 * the words of a label.
 *
 * Imports ../given. Imported by action and control/filter.
 */
import { checkObject, checkWhole, refuseOthers, shown } from '../given.js';

const ALL_MARK_BITS = 0xffffffff;
const ALL_LABEL_BITS = (1n << 128n) - 1n;

/** A value, and which of its bits count: all of them when there is no mask. */
export interface Masked<Value> {
  readonly value: Value;
  readonly mask?: Value;
}

/** A mark with its mask. @throws TypeError or RangeError that names the field at fault */
export function readMark(mark: Masked<number>): Required<Masked<number>> {
  checkObject('mark', mark);
  const { value, mask = ALL_MARK_BITS, ...others } = mark;
  refuseOthers('mark', others);
  checkWhole('mark.value', value, 0, ALL_MARK_BITS);
  checkWhole('mark.mask', mask, 0, ALL_MARK_BITS);
  return { value, mask };
}

function checkLabelBits(name: string, bits: unknown): void {
  if (typeof bits !== 'bigint') throw new TypeError(`${name} must be a bigint: ${shown(bits)}`);
  if (bits < 0n || bits > ALL_LABEL_BITS) throw new RangeError(`${name} must have 128 bits at most: ${bits}`);
}

/** A label with its mask. @throws TypeError or RangeError that names the field at fault */
export function readMaskedLabel(label: Masked<bigint>): Required<Masked<bigint>> {
  checkObject('label', label);
  const { value, mask = ALL_LABEL_BITS, ...others } = label;
  refuseOthers('label', others);
  checkLabelBits('label.value', value);
  checkLabelBits('label.mask', mask);
  return { value, mask };
}

/** Writes a label into the four words from `at` on, least significant first. */
export function writeLabel(words: Int32Array, at: number, label: bigint): void {
  for (let word = 0; word < 4; word++) words[at + word] = Number((label >> BigInt(32 * word)) & 0xffffffffn) | 0;
}
