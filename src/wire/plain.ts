/**
 * The fast path of parseFrame() and hashKey(): TCP or UDP over IPv4 without options or fragmentation, or over IPv6
 * without extension headers, everything in order. That is nearly every packet.
 *
 * It is allowed because it never says more than parseFrame() would: it either writes the same facts, or says no and
 * leaves the packet, good or bad, to parseFrame(), which knows the reasons. A test runs all input through both.
 *
 * It goes through the frames of a batch in two steps: scan-kernel looks where the headers lie and adds up checksums,
 * plain-kernel then looks at four packets at a time. Both are WebAssembly, so that frames, and the spans that say where
 * they lie, have to be in its memory.
 *
 * Imports plain-kernel, rows, scan-kernel, wasm. Imported by engine/.
 */
import { type Family, IPV4, IPV6, ipv4Module, ipv6Module, NO_BYTES, placeOf } from './plain-kernel.js';
import { ROW_BYTES, type Rows, SPARE_ROW } from './rows.js';
import { IPV4_COUNT, IPV6_COUNT_SHIFT, prepareScan, scanModule } from './scan-kernel.js';
import { bind, LANES, type WasmFunction, WORD_BYTES } from './wasm.js';

export { SPAN } from './scan-kernel.js';

/** The functions over the rows of a thread. */
export interface PlainKernels {
  readonly rows: Rows;
  readonly scan: WasmFunction;
  readonly ipv4: WasmFunction;
  readonly ipv6: WasmFunction;
}

export function createPlainKernels(rows: Rows): PlainKernels {
  prepareScan(rows.words);
  const [scan, ipv4, ipv6] = [scanModule, ipv4Module, ipv6Module].map(module => bind(module, rows.memory));
  return { rows, scan, ipv4, ipv6 };
}

/** Words of the columns that vectors are filled up in. */
const columnsOf = (family: Family) => ({
  ROW: placeOf(family, 'ROW') / WORD_BYTES,
  BYTES: placeOf(family, 'BYTES') / WORD_BYTES,
});
const IPV4_COLUMNS = columnsOf(IPV4);
const IPV6_COLUMNS = columnsOf(IPV6);

/**
 * Vectors are whole: what is behind the last of `count` packets is not plain, and its row is one that nobody reads.
 * @returns the first byte of the rows and the bytes of a column that are in use
 */
function fillUp({ at, words }: Rows, columns: ReturnType<typeof columnsOf>, count: number): number {
  const end = (count + LANES - 1) & -LANES;
  for (let place = count; place < end; place++) {
    words[columns.ROW + place] = at + SPARE_ROW * ROW_BYTES;
    words[columns.BYTES + place] = NO_BYTES;
  }
  return at + end * WORD_BYTES;
}

/**
 * Parses `count` frames, at least one and at most MAX_BATCH, into the first rows, and hashes their keys under the two words
 * of the secret key. ROW_REASON of a row becomes REASON.none, or negative when the frame is not that plain or does not
 * lie in the frame memory; the facts of the row are then undefined, as are those of up to three rows behind the last.
 *
 * All places are bytes of the memory of the rows, of which up to SLACK_BYTES behind a frame are read.
 *
 * @param spansAt the first span: words as in SPAN, `spanBytes` from one to the next
 * @param framesAt the frame memory, `frameBytes` long
 * @returns how many frames are left to parseFrame()
 */
export function parsePlainRows(
  { rows, scan, ipv4, ipv6 }: PlainKernels,
  spansAt: number,
  spanBytes: number,
  framesAt: number,
  frameBytes: number,
  count: number,
  key0: number,
  key1: number,
): number {
  const { at } = rows;
  const families = scan(at, at + count * WORD_BYTES, spansAt, spanBytes, framesAt, frameBytes);
  let taken = 0;
  if ((families & IPV4_COUNT) !== 0) taken += ipv4(at, fillUp(rows, IPV4_COLUMNS, count), key0, key1);
  const ipv6Count = families >>> IPV6_COUNT_SHIFT;
  if (ipv6Count > 0) taken += ipv6(at, fillUp(rows, IPV6_COLUMNS, ipv6Count), key0, key1);
  return count - taken;
}
