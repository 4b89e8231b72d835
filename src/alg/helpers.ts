/**
 * The table of application helpers. A new one is a file beside ftp.ts and a line in HELPERS.
 *
 * Imports ftp, tftp, helper, ../given. Imported by engine/, flows/, control/ and the public API.
 */
import { checkOneOf } from '../given.js';
import { ftp } from './ftp.js';
import type { Helper } from './helper.js';
import { tftp } from './tftp.js';

/** Helper number n is at place n - 1. Two bits of a connection's STATUS hold the number. */
const TABLE = [ftp, tftp] as const satisfies readonly Helper[];

export type HelperName = (typeof TABLE)[number]['name'];

export const HELPERS: readonly Helper[] = TABLE;
export const HELPER_NAMES: readonly HelperName[] = TABLE.map(({ name }) => name);

/** In place of a number. */
export const NO_HELPER = 0;

/** Number of the helper of that name. @throws RangeError when there is none */
export function helperNumber(name: HelperName): number {
  checkOneOf('helper', name, HELPER_NAMES);
  return HELPER_NAMES.indexOf(name) + 1;
}
