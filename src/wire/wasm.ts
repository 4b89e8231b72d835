/**
 * The WebAssembly instructions that the kernels are made of, and how a function of them becomes a module
 * (WebAssembly Core Specification 2.0, chapter 5: binary format).
 *
 * An expression is the bytes that leave its value on the stack, so that expressions nest as in any other language:
 * `add(get(A), get(B))`. Nothing is checked here; `WebAssembly.validate()` checks what comes out.
 *
 * Imports nothing. Imported by wire/rows, wire/plain-kernel and engine/place-kernel.
 */

/** Bytes of instructions. */
export type Code = readonly number[];

/** What Node knows of WebAssembly and its type declarations do not. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
}
/** Takes words and returns one. */
export type WasmFunction = (...given: readonly number[]) => number;
declare const WebAssembly: {
  validate(bytes: Uint8Array): boolean;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: Readonly<Record<string, Readonly<Record<string, WasmMemory>>>>,
  ) => { readonly exports: { readonly run: WasmFunction } };
  readonly Memory: new (limits: { readonly initial: number; readonly maximum: number }) => WasmMemory;
};

/** An unsigned number as LEB128: seven bits per byte, the least significant first. */
function unsigned(value: number): Code {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

/** A signed number as LEB128. */
function signed(value: number): Code {
  return value >= -0x40 && value < 0x40 ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...signed(value >> 7)];
}

// Words and control.
export const get = (local: number): Code => [0x20, ...unsigned(local)];
export const set = (local: number, value: Code): Code => [...value, 0x21, ...unsigned(local)];
export const i32 = (value: number): Code => [0x41, ...signed(value)];
export const i32add = (a: Code, b: Code): Code => [...a, ...b, 0x6a];
export const i32less = (a: Code, b: Code): Code => [...a, ...b, 0x48];
export const i32bitCount = (a: Code): Code => [...a, 0x69];
const NO_RESULT = 0x40;
/** Does `body` at least once, and again as long as `condition` then holds. */
export const repeat = (body: Code, condition: Code): Code => [0x03, NO_RESULT, ...body, ...condition, 0x0d, 0x00, 0x0b];

// Vectors of four words.
export const LANES = 4;
export const WORD_BYTES = 4;
export const VECTOR_BYTES = LANES * WORD_BYTES;
/** Bytes from the start of a row to one of its words. */
export const offsetOf = (word: number): number => word * WORD_BYTES;
const simd =
  (instruction: number) =>
  (...operands: readonly Code[]): Code => [...operands.flat(), 0xfd, ...unsigned(instruction)];
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
  ...a,
  ...b,
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
export const i32load = (address: Code, offset: number): Code => [...address, 0x28, WORD_ALIGNED, ...unsigned(offset)];
export const load = (address: Code, offset: number): Code => [
  ...address,
  0xfd,
  0x00,
  WORD_ALIGNED,
  ...unsigned(offset),
];
export const store = (address: Code, offset: number, value: Code): Code => [
  ...address,
  ...value,
  0xfd,
  0x0b,
  WORD_ALIGNED,
  ...unsigned(offset),
];
/** An address, and so many bytes behind it. */
export interface Place {
  readonly address: Code;
  readonly offset: number;
}

/** A vector of the words that are `offset` bytes behind each of four places. */
export function gather(places: readonly Place[], offset: number): Code {
  const at = places.map(place => [WORD_ALIGNED, ...unsigned(place.offset + offset)]);
  const first = [...places[0].address, 0xfd, 0x5c, ...at[0]];
  const lane = (vector: Code, number: number): Code => [
    ...places[number].address,
    ...vector,
    0xfd,
    0x56,
    ...at[number],
    number,
  ];
  return lane(lane(lane(first, 1), 2), 3);
}

/** Writes the words of a vector to `offset` bytes behind each of four places. */
export const scatter = (places: readonly Place[], offset: number, vector: number): Code =>
  places.flatMap((place, lane) => [
    ...place.address,
    ...get(vector),
    0xfd,
    0x5a,
    WORD_ALIGNED,
    ...unsigned(place.offset + offset),
    lane,
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

/** Memory of so many bytes at least, which never grows. @throws Error when Node runs without WebAssembly */
export function createWasmMemory(bytes: number): WasmMemory {
  if (typeof WebAssembly === 'undefined') throw new Error('flowshard needs WebAssembly, which --jitless switches off');
  const pages = Math.ceil(bytes / 65_536);
  return new WebAssembly.Memory({ initial: pages, maximum: pages });
}

const MAGIC = [0x00, 0x61, 0x73, 0x6d];
const VERSION = [0x01, 0x00, 0x00, 0x00];
const I32 = 0x7f;
const V128 = 0x7b;
const list = (items: readonly Code[]): Code => [...unsigned(items.length), ...items.flat()];
const text = (value: string): Code => list([...new TextEncoder().encode(value)].map(byte => [byte]));
const section = (id: number, content: Code): Code => [id, ...unsigned(content.length), ...content];

/**
 * A function over `memory`. Its locals are, in this order, `parameters` words that are given, `words` more, and
 * `vectors`.
 * @param body leaves the word that the function returns
 * @throws Error when the processor has no vectors; all that Node runs on by x64 and arm64 have
 */
export function compileFunction(
  memory: WasmMemory,
  parameters: number,
  words: number,
  vectors: number,
  body: Code,
): WasmFunction {
  const type: Code = [0x60, ...list(Array.from({ length: parameters }, () => [I32])), ...list([[I32]])];
  const memoryImport: Code = [...text('wire'), ...text('rows'), 0x02, 0x00, 0x01];
  const locals = list([
    [...unsigned(words), I32],
    [...unsigned(vectors), V128],
  ]);
  const code: Code = [...locals, ...body, 0x0b];
  const bytes = Uint8Array.from([
    ...MAGIC,
    ...VERSION,
    ...section(1, list([type])),
    ...section(2, list([memoryImport])),
    ...section(3, list([[0x00]])),
    ...section(7, list([[...text('run'), 0x00, 0x00]])),
    ...section(10, list([[...unsigned(code.length), ...code]])),
  ]);
  if (!WebAssembly.validate(bytes)) throw new Error('flowshard needs a processor with vectors of 128 bits');
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { wire: { rows: memory } });
  return instance.exports.run;
}
