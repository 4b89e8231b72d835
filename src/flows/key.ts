/**
 * The flow key: everything of a packet that a rule can match or move, in FLOW_KEY_WORDS words of an Int32Array.
 *
 * Gathered once per pass; the tables are looked up in it, registers are written to it, and it never changes under a
 * pass because of what the frame or the tracker does meanwhile. A field of more than 32 bits takes consecutive words,
 * the most significant first; a smaller one is right-aligned in its word.
 *
 * Imports nothing. Imported by the other files of flows/.
 */
const KEY_FIELDS = [
  ['IN_PORT', 1, 'OpenFlow port number'],
  ['DL_TYPE', 1, 'ethertype behind the VLAN tags; NO_ETHERTYPE for plain LLC'],
  ['VLAN_TCI', 1, 'outermost tag, with VLAN_PRESENT; 0 without a tag'],
  ['DL_SRC', 2, ''],
  ['DL_DST', 2, ''],
  ['NW_PROTO', 1, 'IP protocol; ARP: the operation'],
  ['NW_FRAG', 1, 'bits of NW_FRAG'],
  ['SRC', 4, 'an IPv4 address, also the sender of an ARP packet, is in the last word, the others are 0'],
  ['DST', 4, ''],
  ['TP_SRC', 1, 'source port; ICMP: type'],
  ['TP_DST', 1, 'destination port; ICMP: code'],
  ['TCP_FLAGS', 1, 'the twelve bits behind the data offset'],
  ['CT_STATE', 1, '0: not tracked, and so are all of the words that begin with CT'],
  ['CT_ZONE', 1, ''],
  ['CT_MARK', 1, ''],
  ['CT_LABEL', 4, ''],
  ['CT_NW_PROTO', 1, 'original tuple; all 0 when its family is not that of the packet'],
  ['CT_SRC', 4, ''],
  ['CT_DST', 4, ''],
  ['CT_TP_SRC', 1, ''],
  ['CT_TP_DST', 1, ''],
  ['METADATA', 2, ''],
  ['REG', 16, 'reg0 to reg15'],
] as const satisfies readonly (readonly [name: string, words: number, note: string])[];

/** Words in front of the field number `index`. */
function wordsBefore(index: number): number {
  return KEY_FIELDS.slice(0, index).reduce((words, [, size]) => words + size, 0);
}

/** First word of each field. */
export const KEY = Object.fromEntries(KEY_FIELDS.map(([name], index) => [name, wordsBefore(index)])) as Readonly<
  Record<(typeof KEY_FIELDS)[number][0], number>
>;
export const FLOW_KEY_WORDS = wordsBefore(KEY_FIELDS.length);

/** Where the words that only the tracker fills begin and end. */
export const CT_FIRST = KEY.CT_STATE;
export const CT_END = KEY.METADATA;

/** Set in VLAN_TCI when there is a tag: the bit that 802.1Q calls DEI. */
export const VLAN_PRESENT = 0x1000;
/** DL_TYPE of a frame that has a length instead of an ethertype. */
export const NO_ETHERTYPE = 0x05ff;
/** Bits of NW_FRAG: the packet is a fragment; it is not the first one. */
export const NW_FRAG = { ANY: 1, LATER: 2 } as const;

/** Ethertypes that fields depend on. */
export const DL_TYPE = { IP: 0x0800, ARP: 0x0806, RARP: 0x8035, IPV6: 0x86dd } as const;

/**
 * A bit of the key as one number, its address: bit k of a field that ends in word L is at addressOf(L) + k, also when
 * the field is longer than a word, since addresses grow towards the more significant words.
 */
export function addressOf(lastWord: number): number {
  return (FLOW_KEY_WORDS - 1 - lastWord) * 32;
}

function wordOf(address: number): number {
  return FLOW_KEY_WORDS - 1 - (address >>> 5);
}

/** The `count` bits (1 to 32) at `address`, right-aligned. */
export function readBits(key: Int32Array, address: number, count: number): number {
  const word = wordOf(address);
  const bit = address & 31;
  let bits = key[word] >>> bit;
  if (bit + count > 32) bits |= key[word - 1] << (32 - bit);
  return count === 32 ? bits : bits & ((1 << count) - 1);
}

/** Writes the `count` least significant bits (1 to 32) of `bits` at `address`. */
export function writeBits(key: Int32Array, address: number, count: number, bits: number): void {
  const word = wordOf(address);
  const bit = address & 31;
  const mask = count === 32 ? -1 : (1 << count) - 1;
  key[word] = (key[word] & ~(mask << bit)) | ((bits & mask) << bit);
  if (bit + count <= 32) return;
  const above = mask >>> (32 - bit);
  key[word - 1] = (key[word - 1] & ~above) | ((bits & mask) >>> (32 - bit));
}
