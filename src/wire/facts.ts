/**
 * What a frame says, in numbers: the record that wire/ fills for each packet and everything after it reads.
 *
 * One packet's facts are FACT_WORDS consecutive words of an Int32Array that the caller owns and reuses. The key part
 * (SRC … PROTOCOL) names the connection; for an ICMP error it is the key of the packet that the error quotes, turned
 * round, so that it looks up the connection in the direction in which the error travels.
 *
 * Imports nothing. Imported by wire/, track/, engine/.
 */

/** One list is the only place where a word's offset is decided. IPv4 addresses use the last of four words. */
const FACT_FIELDS = [
  ['SRC0', 'source address; IPv6 only'],
  ['SRC1', ''],
  ['SRC2', ''],
  ['SRC', 'source address of IPv4, last word of an IPv6 one'],
  ['DST0', 'destination address; IPv6 only'],
  ['DST1', ''],
  ['DST2', ''],
  ['DST', 'destination address of IPv4, last word of an IPv6 one'],
  ['PORTS', 'source port << 16 | destination port; ICMP: id << 16 | type << 8 | type of the reply; else 0'],
  ['PORTS_REVERSED', 'the same as seen from the other end'],
  ['PROTOCOL', 'IP protocol | FAMILY_IPV6'],
  ['HASH', 'symmetric keyed hash of the key; written by wire/hash or wire/plain-kernel'],
  ['L3', 'offset of the IP header in the frame memory'],
  ['L4', 'offset of what follows the IP header and its extensions'],
  ['L4_END', 'offset just behind the IP payload; padding of the link layer lies beyond'],
  ['FLAGS', 'FACT_RELATED'],
] as const satisfies readonly (readonly [name: string, note: string])[];

export const FACT_WORDS = FACT_FIELDS.length;

export const FACT = Object.fromEntries(FACT_FIELDS.map(([name], word) => [name, word])) as Readonly<
  Record<(typeof FACT_FIELDS)[number][0], number>
>;

/** Bit of PROTOCOL that tells IPv6 from IPv4, above the eight bits of the IP protocol. */
export const FAMILY_IPV6 = 0x100;
/** Mask of the IP protocol in PROTOCOL. */
export const PROTOCOL_MASK = 0xff;

/** Bit of FLAGS: an ICMP error; the key is that of the packet it quotes. */
export const FACT_RELATED = 1;

/** IP protocol numbers that have rules of their own (IANA). */
export const IPPROTO = { ICMP: 1, TCP: 6, UDP: 17, ICMPV6: 58, SCTP: 132 } as const;

/** The PORTS word of a key as seen from the other end. @param protocol IP protocol, without family */
export function mirrorPorts(protocol: number, ports: number): number {
  if (protocol === IPPROTO.ICMP || protocol === IPPROTO.ICMPV6) {
    return (ports & ~0xffff) | ((ports & 0xff) << 8) | ((ports >>> 8) & 0xff);
  }
  return (ports << 16) | (ports >>> 16);
}
