/**
 * The ct() action: what to do with a packet's connection. Compiled once into a few words of shared memory, and named
 * by its number in a packet.
 *
 * Imports masked, alg/helpers, nat/spec, track/timeouts, ../given. Imported by engine/ and the public API.
 */
import { type HelperName, helperNumber, NO_HELPER } from '../alg/helpers.js';
import { checkObject, checkSwitch, checkWhole, refuseOthers } from '../given.js';
import { type NatAction, writeNat } from '../nat/spec.js';
import { MAX_TIMEOUT_POLICIES } from '../track/timeouts.js';
import { type Masked, readMark, readMaskedLabel, writeLabel } from './masked.js';

export interface CtAction {
  /** Conntrack zone, 0 to 65535. Default 0. */
  readonly zone?: number;
  /** Remember a new connection. Default true. */
  readonly commit?: boolean;
  /** A packet in the reply direction replaces the connection by one in its own direction; implies commit. */
  readonly force?: boolean;
  /** Sets the bits of ct_mark that are set in `mask` (default all 32). */
  readonly mark?: Masked<number>;
  /** Sets the bits of ct_label that are set in `mask` (default all 128). */
  readonly label?: Masked<bigint>;
  /** Translates addresses and ports: see NatAction. */
  readonly nat?: NatAction;
  /** Number of the timeout policy that new connections get. Default 0: that of the zone, if it has one. */
  readonly timeoutPolicy?: number;
  /** Application helper that new connections get. Default none. */
  readonly helper?: HelperName;
}

const ACTION_FIELDS = ['FLAGS', 'ZONE', 'MARK', 'MARK_MASK'] as const;
/** Words of an action; LABEL and LABEL_MASK take four each, NAT takes NAT_WORDS. */
export const ACTION = {
  ...(Object.fromEntries(ACTION_FIELDS.map((name, word) => [name, word])) as Record<
    (typeof ACTION_FIELDS)[number],
    number
  >),
  LABEL: 4,
  LABEL_MASK: 8,
  NAT: 12,
  TIMEOUT_POLICY: 24,
  /** Number of the helper, or NO_HELPER. */
  HELPER: 25,
} as const;
export const ACTION_WORDS = 32;
/** Actions that an engine can hold: a power of two. */
export const MAX_ACTIONS = 4096;

/** Bits of FLAGS. */
export const ACTION_COMMIT = 1 << 0;
export const ACTION_FORCE = 1 << 1;
export const ACTION_MARK = 1 << 2;
export const ACTION_LABEL = 1 << 3;
/** Packets of translated connections are rewritten. */
export const ACTION_NAT = 1 << 4;
/** A new connection is translated as NAT says. */
export const ACTION_TRANSLATE = 1 << 5;
/** Bits of actions that do more than look up and commit. */
export const NOT_PLAIN_ACTION = ACTION_FORCE | ACTION_MARK | ACTION_LABEL | ACTION_NAT;

/**
 * Writes an action at word `at`.
 * @throws RangeError when a value is out of range or there is a field that no action has, TypeError when a value is of
 *   another type; nothing is written then
 */
export function writeAction(words: Int32Array, at: number, action: CtAction): void {
  checkObject('action', action);
  const { zone = 0, commit = true, force = false, mark, label, nat, timeoutPolicy = 0, helper, ...others } = action;
  refuseOthers('action', others);
  checkSwitch('commit', commit);
  checkSwitch('force', force);
  checkWhole('zone', zone, 0, 0xffff);
  checkWhole('timeoutPolicy', timeoutPolicy, 0, MAX_TIMEOUT_POLICIES - 1);
  const made = new Int32Array(ACTION_WORDS);
  made[ACTION.FLAGS] = (commit || force ? ACTION_COMMIT : 0) | (force ? ACTION_FORCE : 0);
  made[ACTION.ZONE] = zone;
  made[ACTION.TIMEOUT_POLICY] = timeoutPolicy;
  made[ACTION.HELPER] = helper === undefined ? NO_HELPER : helperNumber(helper);
  if (mark !== undefined) {
    const { value, mask } = readMark(mark);
    made[ACTION.FLAGS] |= ACTION_MARK;
    made[ACTION.MARK] = value & mask;
    made[ACTION.MARK_MASK] = mask;
  }
  if (label !== undefined) {
    const { value, mask } = readMaskedLabel(label);
    made[ACTION.FLAGS] |= ACTION_LABEL;
    writeLabel(made, ACTION.LABEL, value & mask);
    writeLabel(made, ACTION.LABEL_MASK, mask);
  }
  if (nat !== undefined) {
    writeNat(made, ACTION.NAT, nat);
    made[ACTION.FLAGS] |= nat.kind === 'restore' ? ACTION_NAT : ACTION_NAT | ACTION_TRANSLATE;
  }
  words.set(made, at);
}
