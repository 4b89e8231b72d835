/**
 * Checks of what callers give by name. A program in plain JavaScript can hand over anything, and a field whose name is
 * wrong would count as one that is left out: every such mistake is one line that names the field and shows the value.
 *
 * A value of another type is a TypeError, but a number that is none of those that may be is a RangeError, whatever it is.
 *
 * Imports nothing. Imported by alg/helpers, control/, engine/, flows/, nat/spec, track/timeouts.
 */

/** Characters of a text that a message repeats. */
const MAX_SHOWN = 60;

/** A text as messages show it: in quotes, cut short, on one line whatever it holds. */
export function quoted(text: string): string {
  const cut = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
  return JSON.stringify(cut).replaceAll(/[\u007f-\u009f\u2028\u2029]/g, '?');
}

/** Any value as messages show it. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return quoted(value);
  if (typeof value === 'function') return 'a function';
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}

/** @throws RangeError unless it is a whole number from `least` to `most` */
export function checkWhole(name: string, value: unknown, least: number, most: number): void {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return;
  throw new RangeError(`${name} must be a whole number from ${least} to ${most}: ${shown(value)}`);
}

/** @throws RangeError unless it is one of the names, of which there are two at least */
export function checkOneOf(name: string, value: unknown, names: readonly string[]): void {
  if (typeof value === 'string' && names.includes(value)) return;
  const list = `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
  throw new RangeError(`${name} must be ${list}: ${shown(value)}`);
}

/** @throws RangeError unless it is a number, infinite or not */
export function checkTime(name: string, ms: unknown): void {
  if (typeof ms === 'number' && !Number.isNaN(ms)) return;
  throw new RangeError(`${name} must be a number of milliseconds: ${shown(ms)}`);
}

/** @throws TypeError unless it is true or false */
export function checkSwitch(name: string, value: unknown): void {
  if (typeof value !== 'boolean') throw new TypeError(`${name} must be true or false: ${shown(value)}`);
}

/** @throws TypeError unless it is a text */
export function checkText(name: string, value: unknown): void {
  if (typeof value !== 'string') throw new TypeError(`${name} must be a text: ${shown(value)}`);
}

/** @throws TypeError unless it is an array */
export function checkArray(name: string, value: unknown): void {
  if (!Array.isArray(value)) throw new TypeError(`${name} must be an array: ${shown(value)}`);
}

/** An array, a Map or an instance of a class has other fields than those that a caller writes: it would be taken for {}. */
function isPlain(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** @throws TypeError unless it is an object as literals make them, of any realm */
export function checkObject(name: string, value: unknown): void {
  if (!isPlain(value)) throw new TypeError(`${name} must be a plain object: ${shown(value)}`);
}

/**
 * Refuses fields that nobody knows.
 * @param others what is left of a caller's object when all that is known is taken out of it
 * @throws RangeError that names the first one
 */
export function refuseOthers(name: string, others: object): void {
  const [first] = Object.keys(others);
  if (first !== undefined) throw new RangeError(`${name} has no field ${quoted(first)}`);
}
