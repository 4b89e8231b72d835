/**
 * Addresses as text in a payload: reading them from frame memory and writing them to a buffer, without a string between.
 *
 * An address is four words of an Int32Array, most significant first, as in FACT.SRC0 … FACT.SRC; an IPv4 address is the
 * last of them and the others are zero. What is accepted is what `inet_pton()` accepts, and what is written is what
 * `inet_ntop()` writes: the functions that Open vSwitch uses.
 *
 * Imports wire/bytes. Imported by alg/.
 */
import { setU8, u8 } from '../wire/bytes.js';

/** Where reading goes on; -1 when there is no such address. */
export const NO_TEXT = -1;

/** Longest text of an address: eight groups of four digits, or six of them and four numbers. */
export const MAX_ADDRESS_TEXT = 45;

const DOT = 0x2e;
const COMMA = 0x2c;
const COLON = 0x3a;
const ZERO = 0x30;
const LOWER_A = 0x61;
/** Commas that may stand for dots: the fourth one ends the address (RFC 959, section 4.1.2). */
const COMMAS = 3;
const GROUPS = 8;

export function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= ZERO + 9;
}

/** Value of a hexadecimal digit, or -1. */
function hexDigit(byte: number): number {
  if (isDigit(byte)) return byte - ZERO;
  const letter = byte | 0x20;
  return letter >= LOWER_A && letter <= LOWER_A + 5 ? letter - LOWER_A + 10 : -1;
}

/**
 * Reads the IPv4 address that begins at `at` and goes on as far as its characters do, with dots or commas between its
 * numbers, into four words at word `to`.
 * @returns the place behind it, or NO_TEXT
 */
export function readIpv4Text(view: DataView, at: number, end: number, words: Int32Array, to: number): number {
  let address = 0;
  let octet = 0;
  let digits = 0;
  let octets = 0;
  let commas = 0;
  let place = at;
  for (; place < end; place++) {
    const byte = u8(view, place);
    if (isDigit(byte)) {
      if (digits > 0 && octet === 0) return NO_TEXT;
      octet = octet * 10 + byte - ZERO;
      digits++;
      if (octet > 255) return NO_TEXT;
      continue;
    }
    if (byte !== DOT && (byte !== COMMA || commas++ === COMMAS)) break;
    if (digits === 0 || ++octets === 4) return NO_TEXT;
    address = (address << 8) | octet;
    octet = 0;
    digits = 0;
  }
  if (digits === 0 || octets !== 3) return NO_TEXT;
  words.fill(0, to, to + 3);
  words[to + 3] = (address << 8) | octet;
  return place;
}

/**
 * Reads the IPv6 address that begins at `at` and goes on as far as hexadecimal digits, colons and dots do, into four
 * words at word `to`. The words are spoilt when there is none.
 * @returns the place behind it, or NO_TEXT
 */
export function readIpv6Text(view: DataView, at: number, end: number, words: Int32Array, to: number): number {
  let stop = at;
  while (stop < end && isAddressByte(u8(view, stop))) stop++;
  words.fill(0, to, to + 4);
  let place = at;
  let groups = 0;
  let gap = -1;
  if (place < stop && u8(view, place) === COLON) {
    if (place + 1 === stop || u8(view, place + 1) !== COLON) return NO_TEXT;
    gap = 0;
    place += 2;
  }
  while (place < stop) {
    const start = place;
    let value = 0;
    for (; place < stop && hexDigit(u8(view, place)) >= 0; place++) {
      if (place - start === 4) return NO_TEXT;
      value = (value << 4) | hexDigit(u8(view, place));
    }
    if (place < stop && u8(view, place) === DOT) {
      if (groups > GROUPS - 2 || !readDotted(view, start, stop, words, to, groups)) return NO_TEXT;
      groups += 2;
      place = stop;
      break;
    }
    if (place === start || groups === GROUPS) return NO_TEXT;
    setGroup(words, to, groups++, value);
    if (place === stop) break;
    place++;
    if (place === stop) return NO_TEXT;
    if (u8(view, place) !== COLON) continue;
    if (gap >= 0) return NO_TEXT;
    gap = groups;
    place++;
  }
  return spread(words, to, groups, gap) ? stop : NO_TEXT;
}

function isAddressByte(byte: number): boolean {
  return hexDigit(byte) >= 0 || byte === COLON || byte === DOT;
}

/** The four numbers with dots that may end an IPv6 address, as two groups. */
function readDotted(view: DataView, at: number, end: number, words: Int32Array, to: number, group: number): boolean {
  let address = 0;
  let place = at;
  for (let octets = 0; octets < 4; octets++) {
    let octet = 0;
    const start = place;
    for (; place < end && isDigit(u8(view, place)); place++) {
      if (place > start && octet === 0) return false;
      octet = octet * 10 + u8(view, place) - ZERO;
      if (octet > 255) return false;
    }
    if (place === start) return false;
    address = (address << 8) | octet;
    if (octets === 3) break;
    if (place === end || u8(view, place++) !== DOT) return false;
  }
  setGroup(words, to, group, address >>> 16);
  setGroup(words, to, group + 1, address & 0xffff);
  return place === end;
}

function groupOf(words: Int32Array, at: number, group: number): number {
  const word = words[at + (group >>> 1)];
  return (group & 1) === 0 ? word >>> 16 : word & 0xffff;
}

function setGroup(words: Int32Array, at: number, group: number, value: number): void {
  const word = at + (group >>> 1);
  words[word] = (group & 1) === 0 ? (words[word] & 0xffff) | (value << 16) : (words[word] & ~0xffff) | value;
}

/** Moves the groups behind `::` to the end. @returns false when the number of groups does not fit */
function spread(words: Int32Array, at: number, groups: number, gap: number): boolean {
  if (gap < 0) return groups === GROUPS;
  if (groups === GROUPS) return false;
  const behind = groups - gap;
  for (let nth = 1; nth <= behind; nth++) {
    const value = groupOf(words, at, groups - nth);
    setGroup(words, at, groups - nth, 0);
    setGroup(words, at, GROUPS - nth, value);
  }
  return true;
}

/** Writes a number in decimals. @returns the place behind it */
function writeDecimal(text: DataView, at: number, value: number): number {
  let place = at;
  if (value >= 100) setU8(text, place++, ZERO + Math.floor(value / 100));
  if (value >= 10) setU8(text, place++, ZERO + (Math.floor(value / 10) % 10));
  setU8(text, place++, ZERO + (value % 10));
  return place;
}

/**
 * Writes the IPv4 address in word `from` to `at` of `text`.
 * @param isComma with commas between the numbers (RFC 959) instead of dots
 * @returns the place behind it
 */
export function writeIpv4Text(text: DataView, at: number, words: Int32Array, from: number, isComma: boolean): number {
  let place = at;
  for (let octet = 0; octet < 4; octet++) {
    if (octet > 0) setU8(text, place++, isComma ? COMMA : DOT);
    place = writeDecimal(text, place, (words[from] >>> (24 - octet * 8)) & 0xff);
  }
  return place;
}

/** Writes the IPv6 address in four words at word `from` to `at` of `text`. @returns the place behind it */
export function writeIpv6Text(text: DataView, at: number, words: Int32Array, from: number): number {
  let zeros = -1;
  let most = 1;
  for (let group = 0; group < GROUPS; group++) {
    let run = 0;
    while (group + run < GROUPS && groupOf(words, from, group + run) === 0) run++;
    if (run > most) {
      zeros = group;
      most = run;
    }
  }
  let place = at;
  for (let group = 0; group < GROUPS; group++) {
    if (zeros === 0 && group === 6 && (most === 6 || (most === 5 && groupOf(words, from, 5) === 0xffff))) {
      setU8(text, place++, COLON);
      return writeIpv4Text(text, place, words, from + 3, false);
    }
    if (zeros >= 0 && group >= zeros && group < zeros + most) {
      if (group === zeros) setU8(text, place++, COLON);
      continue;
    }
    if (group > 0) setU8(text, place++, COLON);
    place = writeGroup(text, place, groupOf(words, from, group));
  }
  if (zeros >= 0 && zeros + most === GROUPS) setU8(text, place++, COLON);
  return place;
}

function writeGroup(text: DataView, at: number, group: number): number {
  let place = at;
  for (let shift = 12; shift >= 0; shift -= 4) {
    if (shift > 0 && group >>> shift === 0) continue;
    const digit = (group >>> shift) & 0x0f;
    setU8(text, place++, digit < 10 ? ZERO + digit : LOWER_A + digit - 10);
  }
  return place;
}
