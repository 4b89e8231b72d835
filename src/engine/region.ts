/**
 * What the engine keeps in each region of the table beside its connections: a clock, counts, and the heads of lists.
 * All of it is guarded by the region's lock.
 *
 * Imports sharedarraybuffer-hashmap, track/. Imported by engine/ and control/.
 */
import { REGION } from '../sharedarraybuffer-hashmap/index.js';
import { CLASS_NAMES } from '../track/protocol.js';
import { TCP_STATES } from '../track/tcp.js';

/** Conntrack zones: 16 bits. */
export const ZONES = 65536;

/** Kinds of protocols that connections are counted by: those of OVS's `dpctl/ct-stats-show`. */
export const PROTOCOL_KINDS = ['tcp', 'udp', 'udplite', 'sctp', 'icmp', 'icmpv6', 'dccp', 'igmp', 'other'] as const;

/** Words by class, that of class 0, which stands for none, included. */
const CLASS_WORDS = CLASS_NAMES.length + 1;

const REGION_WORDS = [
  ['CLOCK', 2, 'time of the latest packet that touched the region: milliseconds, a double in two words'],
  ['PROTOCOLS', PROTOCOL_KINDS.length, 'live connections by PROTOCOL_KINDS'],
  ['TCP_STATES', TCP_STATES.length, 'of which TCP, by the state of the peer that is further on'],
  ['CLASS_COUNTS', CLASS_WORDS, 'connections on the list of each class'],
  [
    'CLASS_HEADS',
    CLASS_WORDS,
    'the one that has been in each class for longest; the lists run through CONN.CLASS_LINK',
  ],
  ['ZONES', ZONES, 'first connection of each zone, 0 where there is none; the lists run through CONN.ZONE_NEXT'],
] as const satisfies readonly (readonly [name: string, words: number, note: string])[];

/** First word of each, counted from the region's own first word: regionAt() + REGION_WORD.CLOCK. */
export const REGION_WORD = Object.fromEntries(
  REGION_WORDS.map(([name], place) => {
    const before = REGION_WORDS.slice(0, place).reduce((sum, [, words]) => sum + words, 0);
    return [name, REGION.USER + before];
  }),
) as Readonly<Record<(typeof REGION_WORDS)[number][0], number>>;

/** Words of a region that the engine asks the map for. */
export const REGION_USER_WORDS = REGION_WORDS.reduce((sum, [, words]) => sum + words, 0);
