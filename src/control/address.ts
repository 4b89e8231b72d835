/**
 * IP addresses from the words of a key to text.
 *
 * Imports nothing. Imported by control/ and cli/.
 */

/** Dotted decimals of an address in host order. */
export function formatIpv4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 0xff}.${(address >>> 8) & 0xff}.${address & 0xff}`;
}

/** The longest run of zero groups, at least two long (RFC 5952, section 4.2); the first of equals. */
function zeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: -1, length: 1 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (start + length < groups.length && groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}

/** The text form of RFC 5952 of the four words at `at`, IPv4-mapped and -compatible addresses with dots as in glibc. */
export function formatIpv6(words: Int32Array, at: number): string {
  const groups = Array.from({ length: 8 }, (_, group) => (words[at + (group >>> 1)] >>> (group & 1 ? 0 : 16)) & 0xffff);
  const { start, length } = zeroRun(groups);
  const isMapped = start === 0 && (length === 6 || (length === 5 && groups[5] === 0xffff));
  const hex = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map(group => group.toString(16))
      .join(':');
  if (isMapped) return `::${groups[5] === 0xffff ? 'ffff:' : ''}${formatIpv4(words[at + 3])}`;
  return start < 0 ? hex(0, 8) : `${hex(0, start)}::${hex(start + length, 8)}`;
}
