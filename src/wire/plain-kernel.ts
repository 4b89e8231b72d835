/**
 * The second part of wire/plain: reads and checks the headers of four packets at a time, and hashes their keys.
 *
 * The first part has found out where the headers lie. A vector of four words takes four packets through the same
 * instructions, which matters most for the hash, one long chain of operations on words. JavaScript has no vectors,
 * WebAssembly has; the functions, one for each family, are put together here when the module is loaded.
 *
 * Imports facts, hash, ipv4, ipv6, known, ports, rows, wasm. Imported by wire/plain, wire/scan-kernel.
 */
import { FACT, FAMILY_IPV6, IPPROTO } from './facts.js';
import { HALF_SIP_HASH, IPV4_KEY, IPV6_KEY } from './hash.js';
import { IPV4_HEADER_BYTES, MAX_PADDING } from './ipv4.js';
import { IPV6_HEADER_BYTES } from './ipv6.js';
import { KNOWN } from './known.js';
import { TCP_HEADER_BYTES, UDP_HEADER_BYTES } from './ports.js';
import { columnAt, FIRST_COLUMN, ROW_BYTES, ROW_REASON, ROW_SEGMENT } from './rows.js';
import {
  add,
  and,
  anyTrue,
  atLeast,
  atMostUnsigned,
  broadcast,
  type Code,
  constant,
  declareLocals,
  equal,
  type FunctionCode,
  get,
  greater,
  i32,
  i32add,
  i32bitCount,
  i32lessUnsigned,
  i32load,
  LANES,
  load,
  not,
  notEqual,
  offsetOf,
  or,
  type Place,
  repeat,
  rotate,
  scatter,
  select,
  set,
  shiftRight,
  signs,
  subtract,
  transpose,
  turn,
  VECTOR_BYTES,
  WORD_BYTES,
  when,
  xor,
} from './wasm.js';

const L3_UNCHECKED = KNOWN.L3_CHECKSUM_GOOD | KNOWN.NO_CHECKSUMS;
const L4_UNCHECKED = KNOWN.L4_CHECKSUM_GOOD | KNOWN.NO_CHECKSUMS;

/** What the first part leaves of each packet; one list for both families. */
const COLUMN_NAMES = [
  // First byte of the packet's row, used over IPv6 only, and that of its IP header; bits of KNOWN.
  'ROW',
  'HEADER',
  'KNOWN',
  // Offset of the IP header in the frame memory, and the bytes from there to the end of the frame; NO_BYTES when the
  // packet is of another family.
  'L3',
  'BYTES',
  // Where the L4 checksum is to be verified, the sum of what it covers but the pseudo header, folded.
  'L4_SUM',
] as const;
export type ColumnName = (typeof COLUMN_NAMES)[number];

/** In BYTES. */
export const NO_BYTES = -1;

type AddressName = 'src0' | 'src1' | 'src2' | 'src' | 'dst0' | 'dst1' | 'dst2' | 'dst';
export interface Family {
  readonly firstColumn: number;
  readonly headerBytes: number;
  /** Locals of the addresses, as many as the family has. */
  readonly src: readonly AddressName[];
  readonly dst: readonly AddressName[];
  readonly bit: number;
  readonly lengthOfKey: number;
}

export const IPV4: Family = {
  firstColumn: FIRST_COLUMN.PLAIN_IPV4,
  headerBytes: IPV4_HEADER_BYTES,
  src: ['src'],
  dst: ['dst'],
  bit: 0,
  lengthOfKey: IPV4_KEY,
};
export const IPV6: Family = {
  firstColumn: FIRST_COLUMN.PLAIN_IPV6,
  headerBytes: IPV6_HEADER_BYTES,
  src: ['src0', 'src1', 'src2', 'src'],
  dst: ['dst0', 'dst1', 'dst2', 'dst'],
  bit: FAMILY_IPV6,
  lengthOfKey: IPV6_KEY,
};

/** From the first byte of the rows to that of a column of a family, which has a word for each packet of it. */
export const placeOf = ({ firstColumn }: Family, name: ColumnName): number =>
  columnAt(firstColumn + COLUMN_NAMES.indexOf(name)) * WORD_BYTES;

/** Given: first byte of the rows, that and the bytes of a column that are in use, and the secret key. Words: where the four
 * packets at hand lie in a column, counted from the rows; how many are plain so far; their rows and headers. */
const { locals, G, L, V } = declareLocals({
  given: ['rowsAt', 'end', 'key0', 'key1'],
  words: ['at', 'taken', 'row0', 'row1', 'row2', 'row3', 'header0', 'header1', 'header2', 'header3'],
  vectors: [
    // Words of the headers, in host order; those of IPv4 and those of both.
    ...(['word0', 'word1', 'word2', 'src0', 'src1', 'src2', 'src', 'dst0', 'dst1', 'dst2', 'dst'] as const),
    ...(['ports', 'l4Word1', 'l4Word2', 'l4Word3'] as const),
    ...(['reversed', 'protocol', 'size', 'sum', 'good', 'isUdp', 'swap', 'word'] as const),
    ...(['v0', 'v1', 'v2', 'v3', 'spare0', 'spare1', 'spare2', 'spare3'] as const),
  ],
});
const ROW_LOCALS = [L.row0, L.row1, L.row2, L.row3];
const HEADERS = [L.header0, L.header1, L.header2, L.header3];
const SPARE = [V.spare0, V.spare1, V.spare2, V.spare3];

type Column = (name: ColumnName) => Code;
const columnOf =
  (family: Family): Column =>
  name =>
    load(get(L.at), placeOf(family, name));

const lowHalf = (word: Code): Code => and(word, constant(0xffff));
const highHalf = (word: Code): Code => shiftRight(word, 16);
/** Sum of the two halves of a word, to be folded later. */
const halves = (word: Code): Code => add(lowHalf(word), highHalf(word));
/** All ones is the only good sum (RFC 1071). Of so few halves one fold says that: k times 0xffff becomes 0xffff. */
const isSumGood = (sum: number): Code => equal(halves(get(sum)), constant(0xffff));
const isSet = (word: Code, bits: number): Code => notEqual(and(word, constant(bits)), constant(0));

// HalfSipHash-1-3, as in hash.ts.
const round = (): Code => [
  ...set(V.v0, add(get(V.v0), get(V.v1))),
  ...set(V.v1, xor(rotate(V.v1, 5), get(V.v0))),
  ...set(V.v0, rotate(V.v0, 16)),
  ...set(V.v2, add(get(V.v2), get(V.v3))),
  ...set(V.v3, xor(rotate(V.v3, 8), get(V.v2))),
  ...set(V.v0, add(get(V.v0), get(V.v3))),
  ...set(V.v3, xor(rotate(V.v3, 7), get(V.v0))),
  ...set(V.v2, add(get(V.v2), get(V.v1))),
  ...set(V.v1, xor(rotate(V.v1, 13), get(V.v2))),
  ...set(V.v2, rotate(V.v2, 16)),
];
const absorb = (word: Code): Code => [
  ...set(V.word, word),
  ...set(V.v3, xor(get(V.v3), get(V.word))),
  ...round(),
  ...set(V.v0, xor(get(V.v0), get(V.word))),
];
const hash = (words: readonly Code[]): Code => [
  ...set(V.v0, broadcast(G.key0)),
  ...set(V.v1, broadcast(G.key1)),
  ...set(V.v2, xor(get(V.v0), constant(HALF_SIP_HASH.V2))),
  ...set(V.v3, xor(get(V.v1), constant(HALF_SIP_HASH.V3))),
  ...words.flatMap(absorb),
  ...set(V.v2, xor(get(V.v2), constant(0xff))),
  ...round(),
  ...round(),
  ...round(),
];

/** Sets `protocol`, `size` (of what follows the header) and `good`, `sum` being that of the addresses. */
function checkIpv4(column: Column): Code {
  const words = [V.word0, V.word1, V.word2].map(word => halves(get(word)));
  return [
    ...set(V.protocol, and(highHalf(get(V.word2)), constant(0xff))),
    ...set(V.size, subtract(lowHalf(get(V.word0)), constant(IPV4.headerBytes))),
    ...set(V.word, add(get(V.sum), ...words)),
    ...set(
      V.good,
      and(
        // Version 4, and a header of five words.
        equal(shiftRight(get(V.word0), 24), constant(0x45)),
        // Neither more fragments nor a fragment offset.
        equal(and(get(V.word1), constant(0x3fff)), constant(0)),
        or(isSumGood(V.word), isSet(column('KNOWN'), L3_UNCHECKED)),
      ),
    ),
  ];
}

/** The same; the version is not looked at, as in parseIpv6(). */
const checkIpv6: Code = [
  ...set(V.protocol, and(shiftRight(get(V.word1), 8), constant(0xff))),
  ...set(V.size, highHalf(get(V.word1))),
  ...set(V.good, constant(-1)),
];

/** Clears `good` where lengths, ports or the L4 checksum are not in order. */
function checkL4(family: Family, column: Column): Code {
  const isUdp = get(V.isUdp);
  const udpLength = highHalf(get(V.l4Word1));
  const tcpLength = and(shiftRight(get(V.l4Word3), 26), constant(0x3c));
  const padding = subtract(column('BYTES'), add(get(V.size), constant(family.headerBytes)));
  // A UDP checksum of 0 is none, over IPv4 only (RFC 768, RFC 8200 section 8.1).
  const isUnsummed = and(isUdp, equal(lowHalf(get(V.l4Word1)), constant(family === IPV4 ? 0 : -1)));
  return [
    ...set(V.isUdp, equal(get(V.protocol), constant(IPPROTO.UDP))),
    ...set(V.sum, add(get(V.sum), get(V.protocol), get(V.size), column('L4_SUM'))),
    ...set(
      V.good,
      and(
        get(V.good),
        atMostUnsigned(padding, constant(MAX_PADDING)),
        or(
          and(isUdp, atLeast(udpLength, constant(UDP_HEADER_BYTES)), atLeast(get(V.size), udpLength)),
          and(
            equal(get(V.protocol), constant(IPPROTO.TCP)),
            atLeast(tcpLength, constant(TCP_HEADER_BYTES)),
            atLeast(get(V.size), tcpLength),
          ),
        ),
        notEqual(lowHalf(get(V.ports)), constant(0)),
        notEqual(highHalf(get(V.ports)), constant(0)),
        or(or(isSumGood(V.sum), isUnsummed), isSet(column('KNOWN'), L4_UNCHECKED)),
      ),
    ),
  ];
}

/** The key with its ends in order: `swap` where the source comes after the destination, word by word, signed. */
function hashKeys({ src, dst, lengthOfKey }: Family): Code {
  const ends = src.map((name, word) => [get(V[name]), get(V[dst[word]])] as const);
  const ports = [get(V.ports), get(V.reversed)] as const;
  const isAfter = [...ends, ports].reduceRight<Code>(
    (rest, [source, destination]) =>
      rest.length === 0
        ? greater(source, destination)
        : or(greater(source, destination), and(equal(source, destination), rest)),
    [],
  );
  const lower = ([source, destination]: readonly [Code, Code]): Code => select(destination, source, get(V.swap));
  const upper = ([source, destination]: readonly [Code, Code]): Code => select(source, destination, get(V.swap));
  return [
    ...set(V.swap, isAfter),
    ...hash([...ends.map(lower), ...ends.map(upper), lower(ports), or(get(V.protocol), constant(lengthOfKey))]),
  ];
}

function writeAddresses({ src, dst }: Family, rows: readonly Place[]): Code {
  if (src.length === 1) {
    return [...scatter(rows, offsetOf(FACT.SRC), V.src), ...scatter(rows, offsetOf(FACT.DST), V.dst)];
  }
  return [
    ...transpose(
      rows,
      offsetOf(FACT.SRC0),
      src.map(name => get(V[name])),
      SPARE,
    ),
    ...transpose(
      rows,
      offsetOf(FACT.DST0),
      dst.map(name => get(V[name])),
      SPARE,
    ),
  ];
}

/**
 * PORTS, PORTS_REVERSED, PROTOCOL and HASH lie one behind the other, and so do L3, L4, L4_END and FLAGS, and the words of
 * ROW_SEGMENT.
 */
function writeFacts(family: Family, column: Column, rows: readonly Place[]): Code {
  const l4 = add(column('L3'), constant(family.headerBytes));
  const key = [get(V.ports), get(V.reversed), get(V.protocol), xor(get(V.v1), get(V.v3))];
  const places = [column('L3'), l4, add(l4, get(V.size)), constant(0)];
  const segment = [get(V.l4Word1), get(V.l4Word2), get(V.l4Word3), constant(0)];
  return [
    ...writeAddresses(family, rows),
    ...transpose(rows, offsetOf(FACT.PORTS), key, SPARE),
    ...transpose(rows, offsetOf(FACT.L3), places, SPARE),
    ...when(anyTrue(not(get(V.isUdp))), transpose(rows, offsetOf(ROW_SEGMENT), segment, SPARE)),
    ...set(V.word, not(get(V.good))),
    ...scatter(rows, offsetOf(ROW_REASON), V.word),
  ];
}

/** Reads the headers of the four packets; what lies behind a frame that is too short for TCP is not taken for a header. */
function readHeaders(family: Family, column: Column): Code {
  const places = HEADERS.map(address => ({ address: get(address), offset: 0 }));
  const headers = HEADERS.flatMap((local, lane) =>
    set(local, i32load(get(L.at), placeOf(family, 'HEADER') + lane * WORD_BYTES)),
  );
  const block = (number: number, targets: readonly number[]): Code =>
    turn(places, number * VECTOR_BYTES, targets, SPARE);
  const blocks =
    family === IPV4
      ? [
          ...block(0, [V.word0, V.word1, V.word2, V.src]),
          ...block(1, [V.dst, V.ports, V.l4Word1, V.l4Word2]),
          ...block(2, [V.l4Word3, V.word, V.word, V.word]),
        ]
      : [
          ...block(0, [V.word0, V.word1, V.src0, V.src1]),
          ...block(1, [V.src2, V.src, V.dst0, V.dst1]),
          ...block(2, [V.dst2, V.dst, V.ports, V.l4Word1]),
          ...block(3, [V.l4Word2, V.l4Word3, V.word, V.word]),
        ];
  const isLong = atLeast(column('BYTES'), constant(family.headerBytes + TCP_HEADER_BYTES));
  return [...headers, ...blocks, ...set(V.l4Word3, and(get(V.l4Word3), isLong))];
}

function createKernel(family: Family): FunctionCode {
  const column = columnOf(family);
  // IPv4, the usual case, has a place in the columns for every row: 0.8 ns less than to go by ROW.
  const isInPlace = family === IPV4;
  const rows = ROW_LOCALS.map((local, lane) =>
    isInPlace ? { address: get(ROW_LOCALS[0]), offset: lane * ROW_BYTES } : { address: get(local), offset: 0 },
  );
  const rowColumn = placeOf(family, 'ROW');
  const findRows = ROW_LOCALS.flatMap((local, lane) => set(local, i32load(get(L.at), rowColumn + lane * WORD_BYTES)));
  const nextRows = set(ROW_LOCALS[0], i32add(get(ROW_LOCALS[0]), i32(LANES * ROW_BYTES)));
  const fourPackets = [
    ...readHeaders(family, column),
    ...set(V.reversed, rotate(V.ports, 16)),
    ...set(V.sum, add(...[...family.src, ...family.dst].map(name => halves(get(V[name]))))),
    ...(family === IPV4 ? checkIpv4(column) : checkIpv6),
    ...checkL4(family, column),
    ...set(V.protocol, or(get(V.protocol), constant(family.bit))),
    ...hashKeys(family),
    ...(isInPlace ? [] : findRows),
    ...writeFacts(family, column, rows),
    ...set(L.taken, i32add(get(L.taken), i32bitCount(signs(get(V.good))))),
    ...(isInPlace ? nextRows : []),
    ...set(L.at, i32add(get(L.at), i32(VECTOR_BYTES))),
  ];
  const body = [
    ...set(L.at, get(G.rowsAt)),
    ...set(ROW_LOCALS[0], get(G.rowsAt)),
    ...repeat(fourPackets, i32lessUnsigned(get(L.at), get(G.end))),
    ...get(L.taken),
  ];
  return { locals, body };
}

/**
 * Given the first byte of the rows, that and the bytes of a column that are in use, and the secret key. Writes the facts of
 * the packets in the columns of the family, over IPv4 into the rows with the same numbers, and hashes their keys.
 * ROW_REASON becomes 0, or -1 where the headers are not plain or not in order; the facts are then undefined.
 * @returns how many are plain
 */
export const READ_IPV4 = createKernel(IPV4);
export const READ_IPV6 = createKernel(IPV6);
