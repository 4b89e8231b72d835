/**
 * TCP sequence numbers: comparison modulo 2^32 (RFC 9293, section 3.4). No other file compares them.
 *
 * Imports nothing. Imported by track/tcp.
 */

/** a comes after b. */
export function seqAfter(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}

/** a comes after b or is b. */
export function seqNotBefore(a: number, b: number): boolean {
  return ((a - b) | 0) >= 0;
}
