/**
 * The fast path of parseFrame() and hashKey() for IPv6: TCP or UDP right behind the header.
 *
 * Imports bytes, facts, hash, ipv4, ipv6, ports, rows, ../reason. Imported by wire/plain.
 */
import { REASON } from '../reason.js';
import { i32be, u8, u16be } from './bytes.js';
import { FACT, FAMILY_IPV6, IPPROTO } from './facts.js';
import { hashKey } from './hash.js';
import { MAX_PADDING } from './ipv4.js';
import { IPV6_ADDRESSES_AT, IPV6_HEADER_BYTES, NEXT_HEADER_AT, PAYLOAD_LENGTH_AT } from './ipv6.js';
import { parseTcp, parseUdp } from './ports.js';
import { ROWS } from './rows.js';

const { SRC0, PROTOCOL, L3, L4, L4_END, FLAGS } = FACT;
const { TCP, UDP } = IPPROTO;

/**
 * Parses the packet in [l3, end) into the row of ROWS at `base` and hashes its key.
 * @returns false when only parseFrame() can say what it is
 */
export function parsePlainIpv6(
  view: DataView,
  l3: number,
  end: number,
  known: number,
  base: number,
  key0: number,
  key1: number,
): boolean {
  const l4 = l3 + IPV6_HEADER_BYTES;
  if (l4 > end) return false;
  const payloadEnd = l4 + u16be(view, l3 + PAYLOAD_LENGTH_AT);
  if (payloadEnd > end || end - payloadEnd > MAX_PADDING) return false;
  const protocol = u8(view, l3 + NEXT_HEADER_AT);
  if (protocol !== TCP && protocol !== UDP) return false;
  // Source and destination lie one behind the other, in the header as in the facts.
  for (let word = 0; word < 8; word++) ROWS[base + SRC0 + word] = i32be(view, l3 + IPV6_ADDRESSES_AT + word * 4);
  ROWS[base + PROTOCOL] = protocol | FAMILY_IPV6;
  ROWS[base + L3] = l3;
  ROWS[base + L4] = l4;
  ROWS[base + L4_END] = payloadEnd;
  ROWS[base + FLAGS] = 0;
  const reason = protocol === TCP ? parseTcp(view, known, ROWS, base) : parseUdp(view, known, ROWS, base);
  if (reason !== REASON.none) return false;
  hashKey(ROWS, base, key0, key1);
  return true;
}
