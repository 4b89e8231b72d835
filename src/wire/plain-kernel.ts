/**
 * The second half of wire/plain: checks the headers of four packets at a time, and hashes their keys.
 *
 * The first half has put what the headers say into columns: one word of all headers of a batch one behind the other,
 * then the next one, and so on. A vector of four words takes four packets through the same instructions. That matters
 * most for the hash, one long chain of operations on words. JavaScript has no vectors, WebAssembly has; the functions,
 * one for each family, are put together here when the module is loaded.
 *
 * With the first half a packet takes 13 ns over IPv4 and 22 ns over IPv6, where one loop in JavaScript took 17 and 54
 * (batches of 32, L4 checksums declared; AMD EPYC, Node 20). Batches of one or two are better off without: 150 ns for all
 * that the engine does, against 115.
 *
 * Imports facts, hash, ipv4, ipv6, known, ports, rows, wasm. Imported by wire/plain.
 */
import { FACT, FAMILY_IPV6, IPPROTO } from './facts.js';
import { HALF_SIP_HASH, IPV4_KEY, IPV6_KEY } from './hash.js';
import { IPV4_HEADER_BYTES, MAX_PADDING } from './ipv4.js';
import { IPV6_HEADER_BYTES } from './ipv6.js';
import { KNOWN } from './known.js';
import { TCP_HEADER_BYTES, UDP_HEADER_BYTES } from './ports.js';
import { columnAt, createColumn, FIRST_COLUMN, ROW_BYTES, ROW_MEMORY, ROW_REASON, SPARE_ROW } from './rows.js';
import {
  add,
  and,
  atLeast,
  atMostUnsigned,
  broadcast,
  type Code,
  compileFunction,
  constant,
  equal,
  get,
  greater,
  i32,
  i32add,
  i32bitCount,
  i32less,
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
  VECTOR_BYTES,
  type WasmFunction,
  WORD_BYTES,
  xor,
} from './wasm.js';

const L3_UNCHECKED = KNOWN.L3_CHECKSUM_GOOD | KNOWN.NO_CHECKSUMS;
const L4_UNCHECKED = KNOWN.L4_CHECKSUM_GOOD | KNOWN.NO_CHECKSUMS;

/** One list for both families; over IPv4 some are not used. */
const COLUMN_NAMES = [
  // In: over IPv6 the first byte of the packet's row in ROW_MEMORY, bits of KNOWN, the offset of the IP header in the frame memory, and
  // the bytes from there to the end of the frame, …
  'ROW',
  'KNOWN',
  'L3',
  'BYTES',
  // … the first words of the IP header, in host order, and the addresses, …
  'WORD0',
  'WORD1',
  'WORD2',
  'SRC0',
  'SRC1',
  'SRC2',
  'SRC',
  'DST0',
  'DST1',
  'DST2',
  'DST',
  // … and words 0, 1 and 3 of what follows it; where it ends before word 3, 0.
  'PORTS',
  'L4_WORD1',
  'L4_WORD3',
  // … and, where the L4 checksum is to be verified, the sum of what it covers but the pseudo header, folded.
  'L4_SUM',
] as const;
type ColumnName = (typeof COLUMN_NAMES)[number];
export type PlainColumns = Readonly<Record<ColumnName, Int32Array>>;

interface Family {
  readonly firstColumn: number;
  readonly headerBytes: number;
  /** Columns of the addresses, as many as the family has, and the facts they become. */
  readonly src: readonly ColumnName[];
  readonly dst: readonly ColumnName[];
  readonly bit: number;
  readonly lengthOfKey: number;
}

const IPV4: Family = {
  firstColumn: FIRST_COLUMN.PLAIN_IPV4,
  headerBytes: IPV4_HEADER_BYTES,
  src: ['SRC'],
  dst: ['DST'],
  bit: 0,
  lengthOfKey: IPV4_KEY,
};
const IPV6: Family = {
  firstColumn: FIRST_COLUMN.PLAIN_IPV6,
  headerBytes: IPV6_HEADER_BYTES,
  src: ['SRC0', 'SRC1', 'SRC2', 'SRC'],
  dst: ['DST0', 'DST1', 'DST2', 'DST'],
  bit: FAMILY_IPV6,
  lengthOfKey: IPV6_KEY,
};

const columnsOf = ({ firstColumn }: Family): PlainColumns =>
  Object.fromEntries(COLUMN_NAMES.map((name, at) => [name, createColumn(firstColumn + at)])) as PlainColumns;
/** A word for each packet of the family in the batch, one behind the other. */
export const IPV4_COLUMNS = columnsOf(IPV4);
export const IPV6_COLUMNS = columnsOf(IPV6);

// Locals of the functions. Given: bytes of each column that are in use, and the secret key.
const [END, KEY0, KEY1] = [0, 1, 2];
const PARAMETERS = 3;
/** Place of the four packets at hand in the columns, in bytes; how many are plain so far; their rows. */
const [AT, TAKEN, ...ROW_LOCALS] = [3, 4, 5, 6, 7, 8];
const WORDS = 6;
const VECTOR_NAMES = ['ports', 'reversed', 'protocol', 'size', 'sum', 'good', 'isUdp', 'swap', 'word'] as const;
const MORE_NAMES = ['v0', 'v1', 'v2', 'v3', 'spare0', 'spare1', 'spare2', 'spare3'] as const;
const ALL_NAMES = [...VECTOR_NAMES, ...MORE_NAMES];
const V = Object.fromEntries(ALL_NAMES.map((name, at) => [name, PARAMETERS + WORDS + at])) as Readonly<
  Record<(typeof ALL_NAMES)[number], number>
>;
const SPARE = [V.spare0, V.spare1, V.spare2, V.spare3];

/** First byte of a column of a family. */
const placeOf = ({ firstColumn }: Family, name: ColumnName): number =>
  columnAt(firstColumn + COLUMN_NAMES.indexOf(name));
type Column = (name: ColumnName) => Code;
const columnOf =
  (family: Family): Column =>
  name =>
    load(get(AT), placeOf(family, name));

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
  ...set(V.v0, broadcast(KEY0)),
  ...set(V.v1, broadcast(KEY1)),
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
  const words = (['WORD0', 'WORD1', 'WORD2'] as const).map(name => halves(column(name)));
  return [
    ...set(V.protocol, and(highHalf(column('WORD2')), constant(0xff))),
    ...set(V.size, subtract(lowHalf(column('WORD0')), constant(IPV4.headerBytes))),
    ...set(V.word, add(get(V.sum), ...words)),
    ...set(
      V.good,
      and(
        // Version 4, and a header of five words.
        equal(shiftRight(column('WORD0'), 24), constant(0x45)),
        // Neither more fragments nor a fragment offset.
        equal(and(column('WORD1'), constant(0x3fff)), constant(0)),
        or(isSumGood(V.word), isSet(column('KNOWN'), L3_UNCHECKED)),
      ),
    ),
  ];
}

/** The same; the version is not looked at, as in parseIpv6(). */
const checkIpv6 = (column: Column): Code => [
  ...set(V.protocol, and(shiftRight(column('WORD1'), 8), constant(0xff))),
  ...set(V.size, highHalf(column('WORD1'))),
  ...set(V.good, constant(-1)),
];

/** Clears `good` where lengths, ports or the L4 checksum are not in order. */
function checkL4(family: Family, column: Column): Code {
  const isUdp = get(V.isUdp);
  const udpLength = highHalf(column('L4_WORD1'));
  const tcpLength = and(shiftRight(column('L4_WORD3'), 26), constant(0x3c));
  const padding = subtract(column('BYTES'), add(get(V.size), constant(family.headerBytes)));
  // A UDP checksum of 0 is none, over IPv4 only (RFC 768, RFC 8200 section 8.1).
  const isUnsummed = and(isUdp, equal(lowHalf(column('L4_WORD1')), constant(family === IPV4 ? 0 : -1)));
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
function hashKeys({ src, dst, lengthOfKey }: Family, column: Column): Code {
  const ends = src.map((name, word) => [column(name), column(dst[word])] as const);
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

function writeAddresses({ src, dst }: Family, column: Column, rows: readonly Place[]): Code {
  if (src.length === 1) {
    return [
      ...set(V.word, column('SRC')),
      ...scatter(rows, offsetOf(FACT.SRC), V.word),
      ...set(V.word, column('DST')),
      ...scatter(rows, offsetOf(FACT.DST), V.word),
    ];
  }
  return [
    ...transpose(rows, offsetOf(FACT.SRC0), src.map(column), SPARE),
    ...transpose(rows, offsetOf(FACT.DST0), dst.map(column), SPARE),
  ];
}

/** PORTS, PORTS_REVERSED, PROTOCOL and HASH lie one behind the other, and so do L3, L4, L4_END and FLAGS. */
function writeFacts(family: Family, column: Column, rows: readonly Place[]): Code {
  const l4 = add(column('L3'), constant(family.headerBytes));
  const key = [get(V.ports), get(V.reversed), get(V.protocol), xor(get(V.v1), get(V.v3))];
  const places = [column('L3'), l4, add(l4, get(V.size)), constant(0)];
  return [
    ...writeAddresses(family, column, rows),
    ...transpose(rows, offsetOf(FACT.PORTS), key, SPARE),
    ...transpose(rows, offsetOf(FACT.L3), places, SPARE),
    ...set(V.word, not(get(V.good))),
    ...scatter(rows, offsetOf(ROW_REASON), V.word),
  ];
}

function compileKernel(family: Family): WasmFunction {
  const column = columnOf(family);
  // IPv4, the usual case, has a place in the columns for every row: 0.8 ns less than to go by ROW.
  const isInPlace = family === IPV4;
  const rows = ROW_LOCALS.map((local, lane) =>
    isInPlace ? { address: get(ROW_LOCALS[0]), offset: lane * ROW_BYTES } : { address: get(local), offset: 0 },
  );
  const rowColumn = placeOf(family, 'ROW');
  const findRows = ROW_LOCALS.flatMap((local, lane) => set(local, i32load(get(AT), rowColumn + lane * WORD_BYTES)));
  const nextRows = set(ROW_LOCALS[0], i32add(get(ROW_LOCALS[0]), i32(LANES * ROW_BYTES)));
  const fourPackets = [
    ...set(V.ports, column('PORTS')),
    ...set(V.reversed, rotate(V.ports, 16)),
    ...set(V.sum, add(...[...family.src, ...family.dst].map(name => halves(column(name))))),
    ...(family === IPV4 ? checkIpv4(column) : checkIpv6(column)),
    ...checkL4(family, column),
    ...set(V.protocol, or(get(V.protocol), constant(family.bit))),
    ...hashKeys(family, column),
    ...(isInPlace ? [] : findRows),
    ...writeFacts(family, column, rows),
    ...set(TAKEN, i32add(get(TAKEN), i32bitCount(signs(get(V.good))))),
    ...(isInPlace ? nextRows : []),
    ...set(AT, i32add(get(AT), i32(VECTOR_BYTES))),
  ];
  const body = [...repeat(fourPackets, i32less(get(AT), get(END))), ...get(TAKEN)];
  return compileFunction(ROW_MEMORY, PARAMETERS, WORDS, ALL_NAMES.length, body);
}

const ipv4Kernel = compileKernel(IPV4);
const ipv6Kernel = compileKernel(IPV6);
/** First byte of the row that nobody reads. */
const SPARE_ROW_AT = SPARE_ROW * ROW_BYTES;
/** In BYTES: the headers are not plain. */
export const NO_BYTES = -1;

/** Vectors are whole: what is behind the last packet is not plain. @returns bytes of each column */
function fillUp({ ROW, BYTES }: PlainColumns, count: number): number {
  const end = (count + LANES - 1) & -LANES;
  for (let place = count; place < end; place++) {
    ROW[place] = SPARE_ROW_AT;
    BYTES[place] = NO_BYTES;
  }
  return end * WORD_BYTES;
}

/**
 * Writes the facts of the first `count` packets in IPV4_COLUMNS, at least one, into the rows with the same numbers, and
 * hashes their keys. ROW_REASON becomes 0, or -1 where the headers are not plain or not in order; the facts are then
 * undefined, as are those of up to three rows behind.
 * @returns how many are plain
 */
export function parseIpv4Columns(count: number, key0: number, key1: number): number {
  return ipv4Kernel(fillUp(IPV4_COLUMNS, count), key0, key1);
}

/** The same of IPV6_COLUMNS, into the rows that ROW names. */
export function parseIpv6Columns(count: number, key0: number, key1: number): number {
  return ipv6Kernel(fillUp(IPV6_COLUMNS, count), key0, key1);
}
