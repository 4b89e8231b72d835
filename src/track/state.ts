/**
 * ct_state: what the tracker says of a packet, as the bits and in the words of Open vSwitch (`ovs-fields(7)`).
 *
 * Imports nothing. Imported by track/, engine/, control/ and cli/.
 */
export const CT = {
  /** The packet opens a connection, or belongs to one that no answer was seen for. */
  NEW: 0x01,
  /** Established: the connection has seen both sides. */
  EST: 0x02,
  /** Related: an ICMP error about the connection, or a connection that another one announced. */
  REL: 0x04,
  /** Travels in the reply direction. */
  RPL: 0x08,
  /** Invalid: the tracker can make nothing of it. */
  INV: 0x10,
  /** Was given to the tracker. Every verdict has this bit. */
  TRK: 0x20,
  /** Its source was translated. */
  SNAT: 0x40,
  /** Its destination was translated. */
  DNAT: 0x80,
} as const;

const NAMES = ['new', 'est', 'rel', 'rpl', 'inv', 'trk', 'snat', 'dnat'] as const;

/** All 256 texts, made once. */
const TEXTS = Array.from({ length: 256 }, (_, bits) =>
  bits === 0 ? '0' : NAMES.filter((_name, bit) => (bits & (1 << bit)) !== 0).join('|'),
);

/** The text form of a ct_state, such as `est|rpl|trk`; `0` when no bit is set. */
export function formatCtState(bits: number): string {
  return TEXTS[bits & 0xff];
}
