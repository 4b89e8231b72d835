/**
 * FTP: the commands and replies that announce a data connection.
 *
 * PORT and the reply 227 (RFC 959, section 4.1.2) over IPv4, EPRT and the reply 229 (RFC 2428) over IPv4 and IPv6. Read
 * as Open vSwitch reads them: at the beginning of a segment only, the first 128 bytes of it, upper or lower case, with
 * any text between the code of a reply and its numbers; the last byte that is looked at only ends what comes before it.
 * Unlike there, a number that goes on in that byte is not taken: it may go on in the next segment, too.
 *
 * Imports helper, text, wire/bytes, wire/facts. Imported by alg/helpers.
 */
import { u8 } from '../wire/bytes.js';
import { IPPROTO } from '../wire/facts.js';
import { END, FORM, type Helper, MESSAGE, SAYS } from './helper.js';
import { isDigit, NO_TEXT, readIpv4Text, readIpv6Text } from './text.js';

/** Bytes of a segment that are looked at, the last one to see what ends there. */
const MOST_BYTES = 128;
const MAX_PORT = 0xffff;
const MAX_BYTE = 0xff;
/** Digits that a number may have before it is taken for nonsense. */
const MAX_BYTE_DIGITS = 4;
const MAX_PORT_DIGITS = 6;
const NO_NUMBER = -1;
const DIGIT_BITS = 3;

const SPACE = 0x20;
const ZERO = 0x30;
const OPENING = 0x28;
/** Protocol numbers of EPRT (RFC 2428, section 2). */
const EPRT_IPV4 = 0x31;
const EPRT_IPV6 = 0x32;

const bytesOf = (text: string): Uint8Array => Uint8Array.from(text, letter => letter.charCodeAt(0));
/** In small letters, since a byte is compared with its bit for upper case set. */
const PORT = bytesOf('port');
const EPRT = bytesOf('eprt');
const PASSIVE = bytesOf('227');
const EXTENDED_PASSIVE = bytesOf('229');
const EXTENDED_PASSIVE_TEXT = bytesOf('extended passive');

/** Whether `word` stands at `at`. Letters only count without their case, digits and blanks have that bit set anyway. */
function standsAt(view: DataView, at: number, end: number, word: Uint8Array): boolean {
  if (at + word.length > end) return false;
  for (let index = 0; index < word.length; index++) {
    const byte = u8(view, at + index);
    const isLetter = byte >= 0x41 && byte <= 0x5a;
    if ((isLetter ? byte | 0x20 : byte) !== word[index]) return false;
  }
  return true;
}

/** Whether `word` stands anywhere in [from, end). */
function holds(view: DataView, from: number, end: number, word: Uint8Array): boolean {
  for (let at = from; at + word.length <= end; at++) if (standsAt(view, at, end, word)) return true;
  return false;
}

/** First place from `at` on with the byte, or `end`. */
function findByte(view: DataView, at: number, end: number, byte: number): number {
  let place = at;
  while (place < end && u8(view, place) !== byte) place++;
  return place;
}

/** First place from `at` on with a digit, or `end`. */
function findDigit(view: DataView, at: number, end: number): number {
  let place = at;
  while (place < end && !isDigit(u8(view, place))) place++;
  return place;
}

/**
 * Reads the number at `at`; there is a byte at `end`, which must not go on with it.
 * @returns value << DIGIT_BITS | digits; NO_NUMBER when there is no digit, one too many or a value above `most`
 */
function readNumber(view: DataView, at: number, end: number, mostDigits: number, most: number): number {
  let value = 0;
  let digits = 0;
  while (at + digits < end && digits < mostDigits && isDigit(u8(view, at + digits))) {
    value = value * 10 + u8(view, at + digits++) - ZERO;
  }
  const behind = at + digits;
  if (digits === 0 || isDigit(u8(view, behind)) || value > most) return NO_NUMBER;
  return (value << DIGIT_BITS) | digits;
}

/** The value in what readNumber() returns. */
function numberOf(number: number): number {
  return number >>> DIGIT_BITS;
}

/** Reads the port of EPRT and 229. */
function readPort(view: DataView, at: number, end: number, message: Int32Array): number {
  const port = readNumber(view, at, end, MAX_PORT_DIGITS, MAX_PORT);
  if (port === NO_NUMBER) return SAYS.MALFORMED;
  message[MESSAGE.PORT] = numberOf(port);
  return SAYS.ANNOUNCES;
}

/** Reads the port of PORT and 227, two numbers with something between them. */
function readPortPair(view: DataView, at: number, end: number, message: Int32Array): number {
  const high = readNumber(view, at, end, MAX_BYTE_DIGITS, MAX_BYTE);
  if (high === NO_NUMBER) return SAYS.MALFORMED;
  const digits = high & ((1 << DIGIT_BITS) - 1);
  const low = readNumber(view, at + digits + 1, end, MAX_PORT_DIGITS, MAX_BYTE);
  if (low === NO_NUMBER) return SAYS.MALFORMED;
  message[MESSAGE.PORT] = (numberOf(high) << 8) | numberOf(low);
  return SAYS.ANNOUNCES;
}

/** Reads the IPv4 address at `at` and notes where its text is. @returns the place behind it, or NO_TEXT */
function readIpv4(view: DataView, at: number, end: number, form: number, message: Int32Array): number {
  const behind = readIpv4Text(view, at, end, message, MESSAGE.ADDRESS0);
  message[MESSAGE.AT] = at;
  message[MESSAGE.LENGTH] = behind - at;
  message[MESSAGE.FORM] = form;
  return behind;
}

function readOverIpv4(view: DataView, from: number, end: number, message: Int32Array): number {
  const isPort = standsAt(view, from, end, PORT);
  const isEprt = !isPort && standsAt(view, from, end, EPRT);
  const isExtended = isEprt || standsAt(view, from, end, EXTENDED_PASSIVE);
  const isActive = isPort || isEprt;
  if (!isActive && !isExtended && !standsAt(view, from, end, PASSIVE)) return SAYS.NOTHING;
  const word = isActive ? PORT.length : PASSIVE.length;
  let at = findDigit(view, findByte(view, from + word, end, SPACE), end);
  message[MESSAGE.END] = END.NONE;
  if (isExtended && !isActive) return readPort(view, at, end, message);
  if (isEprt) {
    if (at + 1 >= end || u8(view, at) !== EPRT_IPV4 || isDigit(u8(view, at + 1))) return SAYS.MALFORMED;
    at = findDigit(view, at + 1, end);
  }
  const behind = readIpv4(view, at, end, isEprt ? FORM.DOTS : FORM.COMMAS, message);
  if (behind === NO_TEXT) return SAYS.MALFORMED;
  message[MESSAGE.END] = isActive ? END.CLIENT : END.SERVER;
  return isEprt ? readPort(view, behind + 1, end, message) : readPortPair(view, behind + 1, end, message);
}

function readOverIpv6(view: DataView, from: number, end: number, message: Int32Array): number {
  message[MESSAGE.END] = END.NONE;
  if (!standsAt(view, from, end, EPRT)) {
    if (!holds(view, from, end, EXTENDED_PASSIVE_TEXT)) return SAYS.NOTHING;
    return readPort(view, findDigit(view, findByte(view, from, end, OPENING), end), end, message);
  }
  let at = findDigit(view, from + EPRT.length, end);
  if (at + 1 >= end || u8(view, at) !== EPRT_IPV6 || isDigit(u8(view, at + 1))) return SAYS.MALFORMED;
  at += 2;
  const behind = readIpv6Text(view, at, end, message, MESSAGE.ADDRESS0);
  if (behind === NO_TEXT) return SAYS.MALFORMED;
  message[MESSAGE.END] = END.CLIENT;
  message[MESSAGE.AT] = at;
  message[MESSAGE.LENGTH] = behind - at;
  message[MESSAGE.FORM] = FORM.IPV6;
  return readPort(view, behind + 1, end, message);
}

export const ftp: Helper<'ftp'> = {
  name: 'ftp',
  protocol: IPPROTO.TCP,

  read(view, from, end, isIpv6, message) {
    // A zero byte ends the text, as it does in C.
    const stop = findByte(view, from, Math.min(end, from + MOST_BYTES) - 1, 0);
    return isIpv6 ? readOverIpv6(view, from, stop, message) : readOverIpv4(view, from, stop, message);
  },
};
