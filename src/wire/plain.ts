/**
 * The fast path of parseFrame() and hashKey(): TCP or UDP over IPv4 without options or fragmentation, or over IPv6
 * without extension headers, everything in order. That is nearly every packet.
 *
 * It is allowed because it never says more than parseFrame() would: it either writes the same facts, or says no and
 * leaves the packet, good or bad, to parseFrame(), which knows the reasons. A test runs all input through both.
 *
 * It goes through all frames of a batch in one loop that only looks where the headers lie and takes their words along,
 * column by column; plain-kernel.ts then looks at four packets at a time.
 *
 * Imports bytes, checksum, ethernet, ipv4, ipv6, known, plain-kernel, ports, rows. Imported by engine/.
 */
import { i32be as readI32be, u16be as readU16be } from './bytes.js';
import { onesSum as sumOf } from './checksum.js';
import { ETHERTYPE } from './ethernet.js';
import { IPV4_HEADER_BYTES } from './ipv4.js';
import { IPV6_HEADER_BYTES } from './ipv6.js';
import { KNOWN } from './known.js';
import {
  NO_BYTES as BYTES_OF_NONE,
  IPV4_COLUMNS,
  IPV6_COLUMNS,
  parseIpv4Columns,
  parseIpv6Columns,
} from './plain-kernel.js';
import { TCP_HEADER_BYTES, UDP_HEADER_BYTES } from './ports.js';
import {
  ROWS as ALL_ROWS,
  ROW_BYTES as BYTES_OF_ROW,
  ROW_MASK as MASK_OF_ROW,
  ROW_REASON as REASON_OF_ROW,
  ROW_WORDS as WORDS_OF_ROW,
} from './rows.js';

// Bound again: what this module defines is folded into the code, what it imports is looked up at each use, and an
// imported function compared with the one that was inlined.
const i32be = readI32be;
const u16be = readU16be;
const onesSum = sumOf;
const ROWS = ALL_ROWS;
const NO_BYTES = BYTES_OF_NONE;
const ROW_WORDS = WORDS_OF_ROW;
const ROW_BYTES = BYTES_OF_ROW;
const ROW_MASK = MASK_OF_ROW;
const ROW_REASON = REASON_OF_ROW;
const { KNOWN: KNOWN_V4, L3: L3_V4, BYTES: BYTES_V4, WORD0: WORD0_V4, WORD1: WORD1_V4 } = IPV4_COLUMNS;
const { WORD2: WORD2_V4, SRC: SRC_V4, DST: DST_V4, PORTS: PORTS_V4 } = IPV4_COLUMNS;
const { L4_WORD1: L4_WORD1_V4, L4_WORD3: L4_WORD3_V4, L4_SUM: L4_SUM_V4 } = IPV4_COLUMNS;
const { ROW: ROW_V6, KNOWN: KNOWN_V6, L3: L3_V6, BYTES: BYTES_V6, WORD1: WORD1_V6, PORTS: PORTS_V6 } = IPV6_COLUMNS;
const { SRC0: SRC0_V6, SRC1: SRC1_V6, SRC2: SRC2_V6, SRC: SRC_V6 } = IPV6_COLUMNS;
const { DST0: DST0_V6, DST1: DST1_V6, DST2: DST2_V6, DST: DST_V6 } = IPV6_COLUMNS;
const { L4_WORD1: L4_WORD1_V6, L4_WORD3: L4_WORD3_V6, L4_SUM: L4_SUM_V6 } = IPV6_COLUMNS;
const { L4_CHECKSUM_GOOD, L3_CHECKSUM_BAD, L4_CHECKSUM_BAD, L3_IPV4, L3_IPV6, L3_OTHER } = KNOWN;
const { NO_CHECKSUMS } = KNOWN;
const { IPV4, IPV6 } = ETHERTYPE;

/** What only parseFrame() deals with. */
const UNUSUAL = L3_CHECKSUM_BAD | L4_CHECKSUM_BAD | L3_OTHER;
const L3_NAMED = L3_IPV4 | L3_IPV6;
const L4_UNCHECKED = L4_CHECKSUM_GOOD | NO_CHECKSUMS;

const ETHERNET_BYTES = 14;
const TYPE_AT = 12;
const IPV4_BYTES = IPV4_HEADER_BYTES;
const IPV6_BYTES = IPV6_HEADER_BYTES;
const UDP_BYTES = UDP_HEADER_BYTES;
const TCP_BYTES = TCP_HEADER_BYTES;

/** Words of a span: where a frame lies and what is known of it. */
export const SPAN = {
  /** First byte of the frame in the view, and its bytes. */
  START: 0,
  LENGTH: 1,
  /** Bits of KNOWN. */
  KNOWN: 2,
  /** Offset of the network layer; read only when KNOWN names it. */
  L3: 3,
} as const;
const { START, LENGTH, KNOWN: KNOWN_BITS, L3: L3_KNOWN } = SPAN;

/** Changes no offset, but says that it is not negative. */
const OFFSET_MASK = 0x7fffffff;

/** In place of a reason: parseFrame() is to be asked. */
const NOT_PLAIN = -1;

/**
 * Parses `count` frames, at most MAX_BATCH, into the first rows of ROWS, and hashes their keys under the two words of the
 * secret key. ROW_REASON of a row becomes REASON.none, or negative when the frame is not that plain or does not lie in the
 * view; the facts of the row are then undefined.
 *
 * @param spans rows of `spanWords` words that begin with those of SPAN; the first row is at word `span`
 * @returns how many frames are left to parseFrame()
 */
export function parsePlainRows(
  view: DataView,
  spans: Int32Array,
  span: number,
  spanWords: number,
  count: number,
  key0: number,
  key1: number,
): number {
  const bytes = view.byteLength | 0;
  const first = span | 0;
  const words = spanWords | 0;
  const rows = count | 0;
  let ipv4 = 0;
  let ipv6 = 0;
  for (let index = 0; index < rows; index++) {
    const at = (first + Math.imul(index, words)) & OFFSET_MASK;
    BYTES_V4[index] = NO_BYTES;
    const start = spans[at + START];
    const end = (start + spans[at + LENGTH]) | 0;
    const known = spans[at + KNOWN_BITS];
    const isNamed = (known & L3_NAMED) !== 0;
    const named = isNamed ? spans[at + L3_KNOWN] : start + ETHERNET_BYTES;
    if (start < 0 || end > bytes || named < start || end < named || (known & UNUSUAL) !== 0) continue;
    const l3 = named & OFFSET_MASK;
    const size = (end - l3) | 0;
    if (size < IPV4_BYTES + UDP_BYTES) continue;
    const type = isNamed ? known & L3_NAMED : u16be(view, start + TYPE_AT);
    if (type === IPV4 || type === L3_IPV4) {
      ipv4++;
      KNOWN_V4[index] = known;
      L3_V4[index] = l3;
      BYTES_V4[index] = size;
      WORD0_V4[index] = i32be(view, l3);
      WORD1_V4[index] = i32be(view, l3 + 4);
      WORD2_V4[index] = i32be(view, l3 + 8);
      SRC_V4[index] = i32be(view, l3 + 12);
      DST_V4[index] = i32be(view, l3 + 16);
      PORTS_V4[index] = i32be(view, l3 + 20);
      L4_WORD1_V4[index] = i32be(view, l3 + 24);
      L4_WORD3_V4[index] = size < IPV4_BYTES + TCP_BYTES ? 0 : i32be(view, l3 + 32);
      const length = WORD0_V4[index] & 0xffff;
      const isSummed = (known & L4_UNCHECKED) === 0 && length >= IPV4_BYTES && length <= size;
      if (isSummed) L4_SUM_V4[index] = onesSum(view, l3 + IPV4_BYTES, l3 + length);
    } else if ((type === IPV6 || type === L3_IPV6) && size >= IPV6_BYTES + UDP_BYTES) {
      const place = ipv6++;
      ROW_V6[place] = index * ROW_BYTES;
      KNOWN_V6[place] = known;
      L3_V6[place] = l3;
      BYTES_V6[place] = size;
      WORD1_V6[place] = i32be(view, l3 + 4);
      SRC0_V6[place] = i32be(view, l3 + 8);
      SRC1_V6[place] = i32be(view, l3 + 12);
      SRC2_V6[place] = i32be(view, l3 + 16);
      SRC_V6[place] = i32be(view, l3 + 20);
      DST0_V6[place] = i32be(view, l3 + 24);
      DST1_V6[place] = i32be(view, l3 + 28);
      DST2_V6[place] = i32be(view, l3 + 32);
      DST_V6[place] = i32be(view, l3 + 36);
      PORTS_V6[place] = i32be(view, l3 + 40);
      L4_WORD1_V6[place] = i32be(view, l3 + 44);
      L4_WORD3_V6[place] = size < IPV6_BYTES + TCP_BYTES ? 0 : i32be(view, l3 + 52);
      const length = WORD1_V6[place] >>> 16;
      const isSummed = (known & L4_UNCHECKED) === 0 && length <= size - IPV6_BYTES;
      if (isSummed) L4_SUM_V6[place] = onesSum(view, l3 + IPV6_BYTES, l3 + IPV6_BYTES + length);
    }
  }
  let taken = 0;
  if (ipv4 > 0) {
    taken += parseIpv4Columns(rows, key0, key1);
  } else {
    for (let index = 0; index < rows; index++) ROWS[((index * ROW_WORDS) & ROW_MASK) + ROW_REASON] = NOT_PLAIN;
  }
  if (ipv6 > 0) taken += parseIpv6Columns(ipv6, key0, key1);
  return rows - taken;
}
