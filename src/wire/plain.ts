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
 * Imports plain-kernel, rows, scan-kernel, wasm. Imported by engine/loop-kernel.
 */
import { type Family, IPV4, IPV6, NO_BYTES, placeOf, READ_IPV4, READ_IPV6 } from './plain-kernel.js';
import { ROW_BYTES, SPARE_ROW } from './rows.js';
import { IPV4_COUNT, IPV6_COUNT_SHIFT, SCAN } from './scan-kernel.js';
import {
  atLeast,
  broadcast,
  type Code,
  call,
  declareLocals,
  type FunctionCode,
  get,
  i32,
  i32add,
  i32and,
  i32bytes,
  i32right,
  i32subtract,
  LANES,
  load,
  select,
  set,
  store,
  when,
  words,
} from './wasm.js';

export { prepareScan, SPAN } from './scan-kernel.js';

/** Given: first byte of the rows, how many packets; first byte of the first span, bytes from one to the next; first byte
 * of the frame memory, its bytes; the secret key. */
const { locals, G, L, V } = declareLocals({
  given: ['rowsAt', 'count', 'spansAt', 'spanBytes', 'framesAt', 'frameBytes', 'key0', 'key1'],
  words: ['families', 'taken', 'left', 'whole', 'last', 'lanes', 'spareRow', 'noBytes'],
  vectors: ['isBehind'],
});

/** First byte behind so many words of a column, counted from the rows. */
const behind = (count: Code): Code => i32add(get(G.rowsAt), i32bytes(count));

/** Puts `value` into the words of the last vector of a column that are behind the last packet. */
const fill = (family: Family, column: 'ROW' | 'BYTES', value: number): Code =>
  store(
    get(L.last),
    placeOf(family, column),
    select(broadcast(value), load(get(L.last), placeOf(family, column)), get(V.isBehind)),
  );

/** Vectors are whole: what is behind the last packet of a family is not plain, and its row is one that nobody reads. */
function read(family: Family, place: number): Code {
  return [
    ...set(L.whole, i32and(i32subtract(get(L.left), i32(1)), i32(-LANES))),
    ...set(L.last, behind(get(L.whole))),
    ...set(L.lanes, i32subtract(get(L.left), get(L.whole))),
    ...set(V.isBehind, atLeast(words(0, 1, 2, 3), broadcast(L.lanes))),
    ...(family === IPV6 ? fill(family, 'ROW', L.spareRow) : []),
    ...fill(family, 'BYTES', L.noBytes),
    ...set(L.taken, i32add(get(L.taken), call(place, get(G.rowsAt), behind(get(L.left)), get(G.key0), get(G.key1)))),
  ];
}

/** Places of the functions in a module. */
const [SCAN_PLACE, IPV4_PLACE, IPV6_PLACE] = [0, 1, 2];

/**
 * Parses `count` frames, at least one and at most MAX_BATCH, into the first rows, and hashes their keys under the two words
 * of the secret key. ROW_REASON of a row becomes REASON.none, or negative when the frame is not that plain or does not
 * lie in the frame memory; the facts of the row are then undefined, as are those of up to three rows behind the last.
 *
 * Given are, all places in bytes of the memory: the first byte of the rows, `count`, the first span (words as in SPAN) and
 * the bytes from one to the next, first byte and length of the frame memory, and the key. Up to SLACK_BYTES behind a frame
 * are read. Returned is how many frames are left to parseFrame().
 */
const PARSE: FunctionCode = {
  locals,
  body: [
    ...set(
      L.families,
      call(
        SCAN_PLACE,
        get(G.rowsAt),
        behind(get(G.count)),
        get(G.spansAt),
        get(G.spanBytes),
        get(G.framesAt),
        get(G.frameBytes),
      ),
    ),
    ...set(L.spareRow, i32add(get(G.rowsAt), i32(SPARE_ROW * ROW_BYTES))),
    ...set(L.noBytes, i32(NO_BYTES)),
    ...set(L.left, get(G.count)),
    // IPv4 has a place in the columns for every packet.
    ...when(i32and(get(L.families), i32(IPV4_COUNT)), read(IPV4, IPV4_PLACE)),
    ...set(L.left, i32right(get(L.families), i32(IPV6_COUNT_SHIFT))),
    ...when(get(L.left), read(IPV6, IPV6_PLACE)),
    ...i32subtract(get(G.count), get(L.taken)),
  ],
};

/** The first functions of a module that parses, and the place of PARSE among them. */
export const PLAIN_FUNCTIONS = [SCAN, READ_IPV4, READ_IPV6, PARSE] as const;
export const PARSE_PLACE = 3;
