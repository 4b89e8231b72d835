/**
 * A packet on its way through the engine: what the caller says of it and what the engine answers, PACKET_WORDS words
 * of shared or private memory. Rings and batches are rows of these, so the same loop works on both, and a driver can
 * write them without knowing more than this list.
 *
 * A frame may become longer or shorter under NAT: FRAME_LENGTH and FRAME_ROOM then change with it.
 *
 * The words of the input part belong to the caller, those of the output part to the engine until it has published the
 * packet. A packet that comes again (recirculation) brings its output words back as input, as OVS's metadata does.
 *
 * Imports nothing. Imported by engine/, control/, cli/ and the public API.
 */
const PACKET_FIELDS = [
  // Input. The first four are a SPAN of wire/plain.
  ['FRAME_OFFSET', 0, 'first byte of the frame in the frame memory'],
  ['FRAME_LENGTH', 1, 'its bytes'],
  ['INPUT', 2, 'bits of KNOWN'],
  ['L3_OFFSET', 3, 'first byte of the IP header in the frame memory; read only when INPUT names the network layer'],
  ['TIME', 4, 'milliseconds, a double in two words'],
  ['ACTION', 6, 'number of the ct() action to run; with flow tables, of the port that the packet came in by'],
  ['COOKIE', 7, 'the caller’s own; the engine does not look at it'],
  ['FRAME_ROOM', 30, 'bytes behind the frame that are its own: room for a payload that becomes longer'],
  // Output.
  ['STATE', 8, 'ct_state; 0 before the first ct()'],
  ['REASON', 9, 'why: a code of REASON'],
  ['ZONE', 10, 'ct_zone'],
  ['MARK', 11, 'ct_mark'],
  ['LABEL', 12, 'ct_label, four words, least significant first'],
  ['TUPLE_PROTOCOL', 16, 'original tuple: protocol and family as in FACT.PROTOCOL; 0 when there is none'],
  ['TUPLE_PORTS', 17, 'source port << 16 | destination port; ICMP: type << 16 | code'],
  ['TUPLE_SRC', 18, 'four words; an IPv4 address is in the last, the others are then not written'],
  ['TUPLE_DST', 22, ''],
  ['CONNECTION', 26, 'record number of the packet’s connection, 0 when it has none'],
  ['GENERATION', 27, 'generation of that record'],
  ['OUTPUTS', 28, 'with flow tables: how many times the packet left; frame and row are as it left last'],
  ['OUTPUT', 29, '… and by which port'],
  ['COMPLETED_BY', 30, 'of a fragment that comes back: COOKIE of the packet that made its datagram whole'],
] as const satisfies readonly (readonly [name: string, word: number, note: string])[];

export const PACKET = Object.fromEntries(PACKET_FIELDS.map(([name, word]) => [name, word])) as Readonly<
  Record<(typeof PACKET_FIELDS)[number][0], number>
>;

/** Room that rings and batches leave behind a frame: the longest address instead of the shortest one, and some. */
export const FRAME_TAIL = 64;

/** FRAME_ROOM of a packet that came in fragments: its payload stays as it is, so that they keep their lengths. */
export const NO_REWRITING = -1;

/** Two cache lines. */
export const PACKET_WORDS = 32;
