/**
 * What was rewritten in the payload of one direction of a control connection, and how sequence numbers follow from it.
 *
 * The sender counts the bytes that it sent, the receiver those that arrived. An edit is the place of a text in the
 * sender's count with its length before and after. The last three are kept, so that whatever is sent again is rewritten
 * in the same way: FTP's commands take turns with replies, so that there is seldom more than one under way.
 *
 * Edits are ANNEX_WORDS words of an annex of the connection, guarded by the lock of its region. Sequence numbers compare
 * modulo 2^32 (RFC 9293, section 3.4).
 *
 * Imports track/sequence. Imported by engine/.
 */
import { seqAfter, seqNotBefore } from '../track/sequence.js';

/** Words of the annex: direction and number of edits, the shift of what lies before them, then two words per edit. */
const META = 0;
const BASE = 1;
const FIRST = 2;
const EDIT_WORDS = 2;
/** Words of an edit: first byte of the text in the sender's count; its length before << 16 | its length after. */
const AT = 0;
const LENGTHS = 1;

const REPLY = 1;
const ONE_EDIT = 2;
const COUNT_SHIFT = 1;
/** Edits that an annex of eight words has room for. */
export const MAX_EDITS = 3;

/** How a segment lies to the edits. */
export const OVERLAP = {
  /** It has no byte of a text that was rewritten. */
  NONE: 0,
  /** It has one or more of them whole. */
  WHOLE: 1,
  /** It has a part of one. */
  PART: 2,
} as const;

function before(words: Int32Array, edit: number): number {
  return words[edit + LENGTHS] >>> 16;
}

function after(words: Int32Array, edit: number): number {
  return words[edit + LENGTHS] & 0xffff;
}

function growth(words: Int32Array, edit: number): number {
  return after(words, edit) - before(words, edit);
}

/** Begins without an edit. @param isReply the direction whose payload is rewritten */
export function startEdits(words: Int32Array, at: number, isReply: boolean): void {
  words[at + META] = isReply ? REPLY : 0;
  words[at + BASE] = 0;
}

export function areInReply(words: Int32Array, at: number): boolean {
  return (words[at + META] & REPLY) !== 0;
}

export function countEdits(words: Int32Array, at: number): number {
  return words[at + META] >>> COUNT_SHIFT;
}

/** First byte of the text that edit `index` has replaced, in the sender's count. */
export function editAt(words: Int32Array, at: number, index: number): number {
  return words[at + FIRST + index * EDIT_WORDS + AT];
}

/** Bytes of that text. */
export function editLength(words: Int32Array, at: number, index: number): number {
  return before(words, at + FIRST + index * EDIT_WORDS);
}

/** True when the byte `seq` comes behind all that was rewritten. */
export function isBehindEdits(words: Int32Array, at: number, seq: number): boolean {
  const count = countEdits(words, at);
  if (count === 0) return true;
  const last = at + FIRST + (count - 1) * EDIT_WORDS;
  return seqNotBefore(seq, (words[last + AT] + before(words, last)) | 0);
}

/** Notes that `oldLength` bytes from `seq` on were replaced by `newLength` ones; they come behind all earlier edits. */
export function addEdit(words: Int32Array, at: number, seq: number, oldLength: number, newLength: number): void {
  let count = countEdits(words, at);
  if (count === MAX_EDITS) {
    words[at + BASE] += growth(words, at + FIRST);
    words.copyWithin(at + FIRST, at + FIRST + EDIT_WORDS, at + FIRST + MAX_EDITS * EDIT_WORDS);
    words[at + META] -= ONE_EDIT;
    count--;
  }
  const edit = at + FIRST + count * EDIT_WORDS;
  words[edit + AT] = seq;
  words[edit + LENGTHS] = (oldLength << 16) | newLength;
  words[at + META] += ONE_EDIT;
}

/** What is to be added to the sequence number of a segment that begins with the sender's byte `seq`. */
export function shiftAt(words: Int32Array, at: number, seq: number): number {
  let shift = words[at + BASE];
  const end = at + FIRST + countEdits(words, at) * EDIT_WORDS;
  for (let edit = at + FIRST; edit < end; edit += EDIT_WORDS) {
    if (!seqNotBefore(seq, (words[edit + AT] + before(words, edit)) | 0)) break;
    shift += growth(words, edit);
  }
  return shift;
}

/**
 * The receiver's byte `seq` in the sender's count. One within a text that was rewritten has none: it becomes the first
 * byte of that text, or the one behind it with `roundsUp`.
 */
export function senderSequence(words: Int32Array, at: number, seq: number, roundsUp: boolean): number {
  let shift = words[at + BASE];
  const end = at + FIRST + countEdits(words, at) * EDIT_WORDS;
  for (let edit = at + FIRST; edit < end; edit += EDIT_WORDS) {
    const start = words[edit + AT];
    if (!seqAfter(seq, (start + shift) | 0)) break;
    if (!seqNotBefore(seq, (start + shift + after(words, edit)) | 0)) {
      return roundsUp ? (start + before(words, edit)) | 0 : start;
    }
    shift += growth(words, edit);
  }
  return (seq - shift) | 0;
}

/** Whether edit `index` lies in the segment of `length` bytes that begins with the sender's byte `seq`: OVERLAP. */
export function overlapWith(words: Int32Array, at: number, index: number, seq: number, length: number): number {
  const start = (editAt(words, at, index) - seq) | 0;
  const stop = start + editLength(words, at, index);
  if (length === 0 || stop <= 0 || start >= length) return OVERLAP.NONE;
  return start >= 0 && stop <= length ? OVERLAP.WHOLE : OVERLAP.PART;
}
