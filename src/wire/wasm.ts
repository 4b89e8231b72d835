/**
 * The WebAssembly instructions that the kernels are made of, and how functions of them become a module
 * (WebAssembly Core Specification 2.0, chapter 5: binary format).
 *
 * An expression is the bytes that leave its value on the stack, so that expressions nest as in any other language:
 * `add(get(A), get(B))`. Nothing is checked here; `WebAssembly.validate()` checks what comes out.
 *
 * Imports nothing. Imported by the other files of wire/ and engine/ that are kernels or have to do with their memory.
 */

/**
 * Bytes of instructions; those of the expressions in it as they are, in one piece each, so that nothing is copied before
 * the module is put together: loading the kernels takes 45 ms in each thread, with flat lists it took 75.
 */
export type Code = readonly (number | Code)[];

/** What Node knows of WebAssembly and its type declarations do not. A memory can be posted to other threads. */
export interface WasmMemory {
  readonly buffer: SharedArrayBuffer;
  grow(pages: number): number;
}
/** Compiled functions that have no memory yet. */
export type WasmModule = object;
/** Takes words and returns one. */
export type WasmFunction = (...given: readonly number[]) => number;
declare const WebAssembly: {
  validate(bytes: Uint8Array): boolean;
  readonly Module: new (bytes: Uint8Array) => WasmModule;
  readonly Instance: new (
    module: WasmModule,
    imports: Readonly<Record<string, Readonly<Record<string, WasmMemory>>>>,
  ) => { readonly exports: Readonly<Record<string, WasmFunction>> };
  readonly Memory: new (limits: {
    readonly initial: number;
    readonly maximum: number;
    readonly shared: true;
  }) => WasmMemory;
};

/** An unsigned number as LEB128: seven bits per byte, the least significant first. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

/** A signed number as LEB128. */
function signed(value: number): number[] {
  return value >= -0x40 && value < 0x40 ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...signed(value >> 7)];
}

// Locals and control.
export const get = (local: number): Code => [0x20, unsigned(local)];
export const set = (local: number, value: Code): Code => [value, 0x21, unsigned(local)];
const NO_RESULT = 0x40;
/** Does `body` at least once, and again as long as `condition` then holds. */
export const repeat = (body: Code, condition: Code): Code => [0x03, NO_RESULT, body, condition, 0x0d, 0x00, 0x0b];
/** The same; a leaveIf() that stands in `body` itself, not in a when() there, ends it. */
export const repeatOrLeave = (body: Code, condition: Code): Code => [0x02, NO_RESULT, repeat(body, condition), 0x0b];
/** Calls the function at a place in the list of its module. */
export const call = (place: number, ...given: readonly Code[]): Code => [given, 0x10, unsigned(place)];
/** Forgets a value. */
export const drop = (value: Code): Code => [value, 0x1a];
export const leaveIf = (condition: Code): Code => [condition, 0x0d, 0x01];
export const when = (condition: Code, body: Code): Code => [condition, 0x04, NO_RESULT, body, 0x0b];
export const either = (condition: Code, body: Code, otherwise: Code): Code => [
  condition,
  0x04,
  NO_RESULT,
  body,
  0x05,
  otherwise,
  0x0b,
];
/** Numbers for so many names, from the first one on: locals, or whatever else is counted. */
export const numbered = <Name extends string>(names: readonly Name[], first: number): Readonly<Record<Name, number>> =>
  Object.fromEntries(names.map((name, at) => [name, first + at])) as Readonly<Record<Name, number>>;

const plain =
  (instruction: number) =>
  (...operands: readonly Code[]): Code => [operands, instruction];

// Words.
export const i32 = (value: number): Code => [0x41, signed(value)];
export const i32isZero = plain(0x45);
/** 1 when it is true, otherwise 0. */
export const i32equal = plain(0x46);
export const i32differ = plain(0x47);
export const i32less = plain(0x48);
export const i32lessUnsigned = plain(0x49);
export const i32greater = plain(0x4a);
export const i32atMost = plain(0x4c);
export const i32atLeast = plain(0x4e);
export const i32trailingZeros = plain(0x68);
export const i32bitCount = plain(0x69);
export const i32subtract = plain(0x6b);
export const i32multiply = plain(0x6c);
export const i32left = plain(0x74);
/** Fills up with zeros. */
export const i32right = plain(0x76);
const folded =
  (instruction: number) =>
  (...all: readonly Code[]): Code =>
    all.reduce((a, b) => plain(instruction)(a, b));
export const i32add = folded(0x6a);
export const i32and = folded(0x71);
export const i32or = folded(0x72);
export const i32xor = folded(0x73);
/** The first where the condition is not 0, otherwise the second; both are worked out. */
export const i32choose = (a: Code, b: Code, condition: Code): Code => [a, b, condition, 0x1b];

// Doubles.
export const f64less = plain(0x63);
export const f64add = plain(0xa0);
export const f64greatest = plain(0xa5);
const DOUBLE_ALIGNED = 3;
export const f64load = (address: Code, offset: number): Code => [address, 0x2b, DOUBLE_ALIGNED, unsigned(offset)];
export const f64store = (address: Code, offset: number, value: Code): Code => [
  address,
  value,
  0x39,
  DOUBLE_ALIGNED,
  unsigned(offset),
];

// Vectors of four words.
export const LANES = 4;
export const WORD_BYTES = 4;
/** Bytes that so many words take. */
export const i32bytes = (words: Code): Code => i32left(words, i32(Math.log2(WORD_BYTES)));
export const VECTOR_BYTES = LANES * WORD_BYTES;
/** Bytes from the start of a row to one of its words. */
export const offsetOf = (word: number): number => word * WORD_BYTES;
const simd =
  (instruction: number) =>
  (...operands: readonly Code[]): Code => [operands, 0xfd, unsigned(instruction)];
const and2 = simd(0x4e);
export const and = (...all: readonly Code[]): Code => all.reduce((a, b) => and2(a, b));
export const or = simd(0x50);
export const xor = simd(0x51);
export const not = simd(0x4d);
/** Bits of the first operand where those of the third are set, bits of the second elsewhere. */
export const select = simd(0x52);
const add2 = simd(0xae);
export const add = (...all: readonly Code[]): Code => all.reduce((a, b) => add2(a, b));
export const subtract = simd(0xb1);
export const multiply = simd(0xb5);
/** All ones in each word of which it is true, otherwise 0. */
export const equal = simd(0x37);
export const notEqual = simd(0x38);
/** … signed. */
export const greater = simd(0x3b);
export const atLeast = simd(0x3f);
export const atMostUnsigned = simd(0x3e);
/** Whether any word is not 0. */
export const anyTrue = simd(0x53);
/** One bit for each word, its sign. */
export const signs = simd(0xa4);
/** Four words. */
export const words = (...four: readonly number[]): Code => [
  0xfd,
  0x0c,
  ...four.flatMap(word => [0, 8, 16, 24].map(shift => (word >>> shift) & 0xff)),
];
/** A word four times. */
const splat = simd(0x11);
export const broadcast = (local: number): Code => splat(get(local));
export const constant = (word: number): Code => splat(i32(word));
export const shiftLeft = (word: Code, bits: number): Code => simd(0xab)(word, i32(bits));
/** Fills up with zeros. */
export const shiftRight = (word: Code, bits: number): Code => simd(0xad)(word, i32(bits));
/** … by as many bits as a local says. */
export const shiftRightBy = (word: Code, local: number): Code => simd(0xad)(word, get(local));

/** Words of two vectors: the first has words 0 to 3, the second 4 to 7. */
const pick = (a: Code, b: Code, words: readonly number[]): Code => [
  a,
  b,
  0xfd,
  0x0d,
  ...words.flatMap(word => [0, 1, 2, 3].map(byte => word * WORD_BYTES + byte)),
];

const swizzle = simd(0x0e);
/** Turns each word of a local left by so many bits: by whole bytes in one instruction, otherwise in three. */
export function rotate(word: number, bits: number): Code {
  const value = get(word);
  if (bits % 8 !== 0) return or(shiftLeft(value, bits), shiftRight(value, 32 - bits));
  const bytes = Array.from({ length: 16 }, (_, byte) => (byte & ~3) | ((byte - bits / 8) & 3));
  return swizzle(value, [0xfd, 0x0c, ...bytes]);
}

const WORD_ALIGNED = 2;
export const i32load = (address: Code, offset: number): Code => [address, 0x28, WORD_ALIGNED, unsigned(offset)];
export const i32store = (address: Code, offset: number, value: Code): Code => [
  address,
  value,
  0x36,
  WORD_ALIGNED,
  unsigned(offset),
];
export const load = (address: Code, offset: number): Code => [address, 0xfd, 0x00, WORD_ALIGNED, unsigned(offset)];
export const store = (address: Code, offset: number, value: Code): Code => [
  address,
  value,
  0xfd,
  0x0b,
  WORD_ALIGNED,
  unsigned(offset),
];
/** An address, and so many bytes behind it. */
export interface Place {
  readonly address: Code;
  readonly offset: number;
}

/** The byte at an address; the two bytes there, as a little-endian number. */
export const i32load8 = (address: Code, offset: number): Code => [address, 0x2d, 0, unsigned(offset)];
export const i32load16 = (address: Code, offset: number): Code => [address, 0x2f, 0, unsigned(offset)];

/** Sums of pairs of 16-bit halves, without sign. */
export const addHalves = simd(0x7f);
const swapped = [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12];
/** Each word with its bytes in the other order. */
const swapBytes = (words: Code): Code => swizzle(words, [0xfd, 0x0c, ...swapped]);

/** One word of a vector, by a number from 0 to 3. */
export const lane = (vector: Code, number: number): Code => [vector, 0xfd, 0x1b, number];

/** The vector with another word in one place. */
export const withLane = (vector: Code, number: number, word: Code): Code => [vector, word, 0xfd, 0x1c, number];

/** A vector of the words that are `offset` bytes behind each of four places. */
export function gather(places: readonly Place[], offset: number): Code {
  const at = places.map(place => [WORD_ALIGNED, unsigned(place.offset + offset)]);
  const first = [places[0].address, 0xfd, 0x5c, at[0]];
  const more = (vector: Code, number: number): Code => [places[number].address, vector, 0xfd, 0x56, at[number], number];
  return more(more(more(first, 1), 2), 3);
}

/** Writes the words of a vector to `offset` bytes behind each of four places. */
export const scatter = (places: readonly Place[], offset: number, vector: number): Code =>
  places.flatMap((place, number) => [
    place.address,
    get(vector),
    0xfd,
    0x5a,
    WORD_ALIGNED,
    unsigned(place.offset + offset),
    number,
  ]);

/**
 * Writes four vectors as rows, to `offset` bytes behind each of four places: the first word of each vector one behind the
 * other, then the second ones, and so on. `spare` are four locals that are free.
 */
export function transpose(
  places: readonly Place[],
  offset: number,
  [a, b, c, d]: readonly Code[],
  spare: readonly number[],
): Code {
  const [ab01, ab23, cd01, cd23] = spare;
  const row = (number: number, ab: number, cd: number, words: readonly number[]): Code =>
    store(places[number].address, places[number].offset + offset, pick(get(ab), get(cd), words));
  return [
    ...set(ab01, pick(a, b, [0, 4, 1, 5])),
    ...set(ab23, pick(a, b, [2, 6, 3, 7])),
    ...set(cd01, pick(c, d, [0, 4, 1, 5])),
    ...set(cd23, pick(c, d, [2, 6, 3, 7])),
    ...row(0, ab01, cd01, [0, 1, 4, 5]),
    ...row(1, ab01, cd01, [2, 3, 6, 7]),
    ...row(2, ab23, cd23, [0, 1, 4, 5]),
    ...row(3, ab23, cd23, [2, 3, 6, 7]),
  ];
}

/**
 * Sets four vectors to the four words in network order that lie `offset` bytes behind each of four places: the first to
 * the first word of all places, and so on. `spare` are four locals that are free.
 */
export function turn(
  places: readonly Place[],
  offset: number,
  targets: readonly number[],
  spare: readonly number[],
): Code {
  const [ab01, ab23, cd01, cd23] = spare;
  const [a, b, c, d] = places.map(place => load(place.address, place.offset + offset));
  const word = (target: number, ab: number, cd: number, words: readonly number[]): Code =>
    set(target, swapBytes(pick(get(ab), get(cd), words)));
  return [
    ...set(ab01, pick(a, b, [0, 4, 1, 5])),
    ...set(ab23, pick(a, b, [2, 6, 3, 7])),
    ...set(cd01, pick(c, d, [0, 4, 1, 5])),
    ...set(cd23, pick(c, d, [2, 6, 3, 7])),
    ...word(targets[0], ab01, cd01, [0, 1, 4, 5]),
    ...word(targets[1], ab01, cd01, [2, 3, 6, 7]),
    ...word(targets[2], ab23, cd23, [0, 1, 4, 5]),
    ...word(targets[3], ab23, cd23, [2, 3, 6, 7]),
  ];
}

/** Writes two vectors as pairs, to `offset` bytes behind each of four places. `spare` is a local that is free. */
export function pair(places: readonly Place[], offset: number, a: Code, b: Code, spare: number): Code {
  const half = (place: Place, number: number): Code => [
    place.address,
    get(spare),
    0xfd,
    0x5b,
    WORD_ALIGNED,
    unsigned(place.offset + offset),
    number,
  ];
  return [
    ...set(spare, pick(a, b, [0, 4, 1, 5])),
    ...half(places[0], 0),
    ...half(places[1], 1),
    ...set(spare, pick(a, b, [2, 6, 3, 7])),
    ...half(places[2], 0),
    ...half(places[3], 1),
  ];
}

const PAGE_BYTES = 65_536;
const MAX_PAGES = 65_536;
/** Bytes of the largest memory. */
export const MAX_MEMORY = MAX_PAGES * PAGE_BYTES;

/**
 * Memory of so many bytes at least, for several threads. It begins on a page, unlike other shared memory, which begins in
 * the middle of a cache line.
 * @throws Error when Node runs without WebAssembly; RangeError when the memory is not to be had
 */
export function createWasmMemory(bytes: number): WasmMemory {
  if (typeof WebAssembly === 'undefined') throw new Error('flowshard needs WebAssembly, which --jitless switches off');
  return new WebAssembly.Memory({ initial: Math.ceil(bytes / PAGE_BYTES), maximum: MAX_PAGES, shared: true });
}

/**
 * Makes a memory longer; views on what there was stay good. Any thread may.
 * @returns the first of the new bytes, of which there are so many at least and which are 0; `buffer` has them then
 * @throws RangeError when the memory is not to be had
 */
export function growMemory(memory: WasmMemory, bytes: number): number {
  const all = memory.buffer.byteLength + bytes;
  if (!(all <= MAX_MEMORY)) {
    throw new RangeError(`table, rings and frames would take ${all} bytes together, the most is ${MAX_MEMORY}`);
  }
  return memory.grow(Math.ceil(bytes / PAGE_BYTES)) * PAGE_BYTES;
}

const MAGIC = [0x00, 0x61, 0x73, 0x6d];
const VERSION = [0x01, 0x00, 0x00, 0x00];
const I32 = 0x7f;
const F64 = 0x7c;
const V128 = 0x7b;
const SHARED = 0x03;
const list = (items: readonly Code[]): Code => [unsigned(items.length), items];
const text = (value: string): Code => list([...new TextEncoder().encode(value)].map(byte => [byte]));

/** All bytes one behind the other, at the end of `bytes`. */
function flatten(code: Code, bytes: number[] = []): number[] {
  for (const item of code) {
    if (typeof item === 'number') bytes.push(item);
    else flatten(item, bytes);
  }
  return bytes;
}

/** How many bytes there are, and the bytes. */
function sized(content: Code): Code {
  const bytes = flatten(content);
  return [unsigned(bytes.length), bytes];
}
const section = (id: number, content: Code): Code => [id, sized(content)];

/** How many locals a function has, which are numbered in this order. */
interface Locals {
  /** Words that are given. */
  readonly parameters: number;
  readonly words: number;
  readonly doubles: number;
  readonly vectors: number;
}

type Names<Name extends string> = Readonly<Record<Name, number>>;

/**
 * Gives the locals of a function their numbers: `G` of the words that are given, `L` of further words, `D` of doubles and `V`
 * of vectors.
 */
export function declareLocals<
  Given extends string,
  Word extends string = never,
  Double extends string = never,
  Vector extends string = never,
>(names: {
  readonly given: readonly Given[];
  readonly words?: readonly Word[];
  readonly doubles?: readonly Double[];
  readonly vectors?: readonly Vector[];
}): { locals: Locals; G: Names<Given>; L: Names<Word>; D: Names<Double>; V: Names<Vector> } {
  const { given, words = [], doubles = [], vectors = [] } = names;
  const firstDouble = given.length + words.length;
  return {
    locals: { parameters: given.length, words: words.length, doubles: doubles.length, vectors: vectors.length },
    G: numbered(given, 0),
    L: numbered(words, given.length),
    D: numbered(doubles, firstDouble),
    V: numbered(vectors, firstDouble + doubles.length),
  };
}

/** A function that returns a word. */
export interface FunctionCode {
  readonly locals: Locals;
  /** Leaves the word. */
  readonly body: Code;
}

const repeated = (count: number, item: Code): Code => list(Array.from({ length: count }, () => item));

/**
 * Functions over a memory that bind() brings. They call one another by their places in the list.
 * @throws Error when the processor has no vectors; all that Node runs on by x64 and arm64 have
 */
export function compileFunctions(functions: readonly FunctionCode[]): WasmModule {
  if (typeof WebAssembly === 'undefined') throw new Error('flowshard needs WebAssembly, which --jitless switches off');
  const types = functions.map(({ locals }): Code => [0x60, repeated(locals.parameters, [I32]), list([[I32]])]);
  const memory: Code = [text('shared'), text('memory'), 0x02, SHARED, unsigned(0), unsigned(MAX_PAGES)];
  const codes = functions.map(({ locals: { words, doubles, vectors }, body }) => {
    const groups = [
      [unsigned(words), I32],
      [unsigned(doubles), F64],
      [unsigned(vectors), V128],
    ];
    return sized([list(groups), body, 0x0b]);
  });
  const all: Code = [
    MAGIC,
    VERSION,
    section(1, list(types)),
    section(2, list([memory])),
    section(3, list(functions.map((_, number) => unsigned(number)))),
    section(7, list(functions.map((_, number) => [text(String(number)), 0x00, unsigned(number)]))),
    section(10, list(codes)),
  ];
  const bytes = Uint8Array.from(flatten(all));
  if (!WebAssembly.validate(bytes)) throw new Error('flowshard needs a processor with vectors of 128 bits');
  return new WebAssembly.Module(bytes);
}

/** The functions of a module over this memory, in their order. */
export function bind(module: WasmModule, memory: WasmMemory): readonly WasmFunction[] {
  const { exports } = new WebAssembly.Instance(module, { shared: { memory } });
  return Object.keys(exports).map(name => exports[name]);
}
