/**
 * What flow rules can say, as lists: for the README to be checked against, and for anybody who writes rules by
 * program.
 *
 * Imports actions, vocabulary, ../alg/helpers. Imported by the public API and tests.
 */
import { HELPER_NAMES } from '../alg/helpers.js';
import { ACTION_NAMES } from './actions.js';
import { FIELDS, MOVABLE_BY_NAME, PROTOCOLS } from './vocabulary.js';

export const SUPPORTED = {
  /** In front of the matches. */
  options: ['table', 'priority'],
  /** Words that match by themselves. */
  protocols: [...PROTOCOLS.keys()],
  /** Words that take a value; aliases are here too. */
  matches: FIELDS.flatMap(({ names }) => names),
  actions: ACTION_NAMES,
  /** Arguments of ct(). */
  ct: ['commit', 'force', 'table', 'zone', 'nat', 'alg', 'exec'],
  /** Arguments of nat(). */
  nat: ['src', 'dst', 'random', 'hash', 'persistent'],
  /** Helpers of alg=. */
  alg: HELPER_NAMES,
  /** Actions inside exec(). */
  exec: ['set_field', 'load', 'move'],
  /** Fields that load, move, zone= and their like can read. */
  readable: [...MOVABLE_BY_NAME.keys()],
  /** Of those, what load, move and set_field can write; `exec` only inside ct(exec()). */
  writable: {
    rule: FIELDS.filter(({ writable }) => writable === 'always').map(({ names }) => names[0]),
    exec: FIELDS.filter(({ writable }) => writable === 'in-ct').map(({ names }) => names[0]),
  },
} as const;
