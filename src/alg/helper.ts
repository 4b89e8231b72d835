/**
 * The application helpers, by the name that actions and rules call them by and by the number that words hold.
 *
 * Imports nothing. Imported by engine/, flows/ and the public API.
 */
export const HELPERS = ['ftp', 'tftp'] as const;

export type HelperName = (typeof HELPERS)[number];

/** Numbers of the helpers; 0 is none. */
export const HELPER = { NONE: 0, FTP: 1, TFTP: 2 } as const;

/** Number of the helper of that name. @throws RangeError when there is none */
export function helperNumber(name: HelperName): number {
  const index = HELPERS.indexOf(name);
  if (index < 0) throw new RangeError(`helper must be ${HELPERS.join(' or ')}: ${JSON.stringify(name)}`);
  return index + 1;
}
