/**
 * The connection record: which word of a map record holds what. One list decides every offset.
 *
 * The first line of 64 bytes holds all that an ordinary packet reads and writes; the second is for what few packets
 * need. All words are guarded by the lock of the record's region, EXPIRES can be read without it as a hint.
 *
 * Imports sharedarraybuffer-hashmap's record header, wire/facts. Imported by track/, engine/, control/.
 */
import { RECORD } from '../sharedarraybuffer-hashmap/index.js';
import { FAMILY_IPV6 } from '../wire/facts.js';

const FIRST = RECORD.RECORD_USER;

const CONN_FIELDS = [
  ['SRC', 0, 'source address of the original direction; IPv6: number of the annex with all addresses'],
  ['DST', 1, 'destination address of the original direction; IPv6: 0'],
  ['PORTS', 2, 'ports or ICMP words of the original direction, as in FACT.PORTS'],
  ['KEY', 3, 'zone << 16 | family and protocol, as in FACT.PROTOCOL'],
  ['EXPIRES', 4, 'when the connection ends unless a packet comes: milliseconds, a double in two words'],
  ['ORIG_SEQ_LOW', 6, 'TCP peer of the original direction: highest sequence number sent'],
  ['ORIG_SEQ_HIGH', 7, '… highest sequence number the other side lets it send'],
  ['ORIG_PEER', 8, '… state | window scale << 8 | largest window << 16'],
  ['REPLY_SEQ_LOW', 9, 'TCP peer of the reply direction, the same three words'],
  ['REPLY_SEQ_HIGH', 10, ''],
  ['REPLY_PEER', 11, ''],
  ['MARK', 12, 'ct_mark'],
  ['STATUS', 13, 'L4 state of other protocols and ICMP, and STATUS_ bits'],
  ['LABEL', 14, 'ct_label, four words, least significant first; only read when STATUS_LABEL is set'],
  ['REPLY_SRC', 18, 'under NAT, source address of the reply direction; IPv6: number of the annex with both'],
  ['REPLY_DST', 19, 'under NAT, destination address of the reply direction; IPv6: 0'],
  ['REPLY_PORTS', 20, 'under NAT, ports or ICMP words of the reply direction'],
  ['REPLY_HASH', 21, 'under STATUS_REVERSED, the hash under which the reply direction is entered'],
  ['REPLY_REGION', 22, '… and the region of that entry'],
  ['ZONE_NEXT', 23, 'list of the zone: record that was made next'],
  ['ZONE_PREVIOUS', 24, '… and the one made before'],
  ['CLASS_LINK', 25, 'two words of the list of its class: see engine/classes'],
  ['PARENT', 27, 'under STATUS_RELATED, the annex with the addresses of the connection that announced this one, or 0'],
  ['PARENT_PORTS', 28, '… and its ports'],
  ['EDITS', 29, 'under STATUS_EDITED, the annex with what was rewritten in its payload (alg/edits)'],
] as const satisfies readonly (readonly [name: string, word: number, note: string])[];

export const CONN = Object.fromEntries(CONN_FIELDS.map(([name, word]) => [name, FIRST + word])) as Readonly<
  Record<(typeof CONN_FIELDS)[number][0], number>
>;

/** Words of a record and of an annex: two lines, and half a line for the two addresses of an IPv6 connection. */
export const CONN_WORDS = 32;
export const ANNEX_WORDS = 8;
/** Words of an annex that holds addresses; an IPv4 one is in the last of its four words. */
export const ANNEX = { SRC: 0, DST: 4 } as const;

/** Bits of STATUS that hold the state of the connection's L4 tracker, unless that is TCP's. */
export const STATUS_L4_MASK = 0xff;
/** The label is not zero. */
export const STATUS_LABEL = 1 << 8;

/** The source was translated; the destination was. */
export const STATUS_SNAT = 1 << 9;
export const STATUS_DNAT = 1 << 10;
/** The reply direction is not the mirror of the original one and has an entry of its own in the index. */
export const STATUS_REVERSED = 1 << 11;
export const STATUS_NAT = STATUS_SNAT | STATUS_DNAT;
/** Number of the connection's application helper, two bits. */
export const STATUS_HELPER_SHIFT = 12;
export const STATUS_HELPER = 3 << STATUS_HELPER_SHIFT;
/** Another connection has announced this one. */
export const STATUS_RELATED = 1 << 14;
/** A helper has rewritten its payload. */
export const STATUS_EDITED = 1 << 15;
/** What application helpers have to do with. */
export const STATUS_HELPED = STATUS_HELPER | STATUS_RELATED | STATUS_EDITED;
/** The class that the connection is listed under (CLASS), three bits; 0 for one that is on no list. */
export const STATUS_CLASS_SHIFT = 16;
export const STATUS_CLASS_MASK = 7 << STATUS_CLASS_SHIFT;
/** Counted among the half-open connections of its zone and of its source: see engine/admission. */
export const STATUS_COUNTED = 1 << 19;
/** Number of the timeout policy, in the upper byte. */
export const STATUS_POLICY_SHIFT = 24;

export function isIpv6(key: number): boolean {
  return (key & FAMILY_IPV6) !== 0;
}

export function protocolOf(key: number): number {
  return key & 0xff;
}

export function zoneOf(key: number): number {
  return key >>> 16;
}

/** The annex of the record at a word offset with the addresses of the reply direction, 0 when it has none. */
export function replyAnnexOfConn(words: Int32Array, at: number): number {
  const isTranslated = isIpv6(words[at + CONN.KEY]) && (words[at + CONN.STATUS] & STATUS_NAT) !== 0;
  return isTranslated ? words[at + CONN.REPLY_SRC] : 0;
}

/** The annex of the record at a word offset with the addresses of its parent, 0 when it has none. */
export function parentAnnexOfConn(words: Int32Array, at: number): number {
  return (words[at + CONN.STATUS] & STATUS_RELATED) !== 0 ? words[at + CONN.PARENT] : 0;
}

/** The annex of the record at a word offset with what was rewritten in its payload, 0 when it has none. */
export function editsAnnexOfConn(words: Int32Array, at: number): number {
  return (words[at + CONN.STATUS] & STATUS_EDITED) !== 0 ? words[at + CONN.EDITS] : 0;
}

/** The annex of the record at a word offset, 0 when it has none. */
export function annexOfConn(words: Int32Array, at: number): number {
  return isIpv6(words[at + CONN.KEY]) ? words[at + CONN.SRC] : 0;
}
