/**
 * Heavy hitters as text: who is filling the table.
 *
 * Imports address, engine/top. Imported by cli/flood-summary and the public API.
 */
import type { TopEntry } from '../engine/top.js';
import { formatIpv4, formatIpv6 } from './address.js';

/** The address, or the number of the zone. */
export function formatTopEntry({ family, words }: TopEntry): string {
  if (family === 6) return formatIpv6(Int32Array.from(words), 0);
  return family === 4 ? formatIpv4(words[3]) : String(words[3]);
}
