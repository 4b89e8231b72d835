/**
 * Packets of control connections: read by their helper, and under NAT rewritten.
 *
 * The tracker follows the sequence numbers that the sender of the rewritten direction counts. So what acknowledges them
 * is turned back before the update, and the sequence number of the direction itself is moved after it, as in OVS.
 *
 * A payload is rewritten as a whole or not at all: first everything is read and checked, the room behind the frame
 * included, then it is written. A segment that is sent again is rewritten as it was the first time, which is known by its
 * place in the stream; one that holds only a part of what was rewritten is invalid.
 *
 * Behaviour: OVS `handle_ftp_ctl()`, `process_ftp_ctl_v4()`, `process_ftp_ctl_v6()`, `handle_tftp_ctl()`.
 *
 * Imports alg/, expected, counters, packet, tracker, sharedarraybuffer-hashmap, track/, wire/, reason. Imported by
 * judge.ts.
 */
import {
  addEdit,
  areInReply,
  countEdits,
  editAt,
  editLength,
  isBehindEdits,
  OVERLAP,
  overlapWith,
  shiftAt,
  startEdits,
} from '../alg/edits.js';
import { END, FORM, type Helper, MESSAGE, SAYS } from '../alg/helper.js';
import { HELPERS } from '../alg/helpers.js';
import {
  canGrow,
  replaceText,
  restoreAcknowledgements,
  sealSegment,
  sequenceOf,
  shiftSequence,
} from '../alg/segment.js';
import { NO_TEXT, readIpv4Text, readIpv6Text, writeIpv4Text, writeIpv6Text } from '../alg/text.js';
import { REASON } from '../reason.js';
import { annexAt, NONE, recordAt, regionOfRecord, takeAnnexLocked } from '../sharedarraybuffer-hashmap/index.js';
import {
  CONN,
  editsAnnexOfConn,
  STATUS_EDITED,
  STATUS_HELPER,
  STATUS_HELPER_SHIFT,
  STATUS_SNAT,
} from '../track/connection.js';
import { u8 } from '../wire/bytes.js';
import { FACT, FAMILY_IPV6, IPPROTO } from '../wire/facts.js';
import { tcpHeaderLength } from '../wire/ports.js';
import { EVENT } from './counters.js';
import { copyAddress, draftExpectation, TUPLE_END } from './expected.js';
import { NO_REWRITING, PACKET } from './packet.js';
import type { Tracker } from './tracker.js';

const { L4, L4_END, PROTOCOL } = FACT;
const { FRAME_OFFSET, FRAME_LENGTH, FRAME_ROOM } = PACKET;
const { STATUS, EDITS } = CONN;
const NO_REASON = REASON.none;
const UDP_HEADER_BYTES = 8;
const COMMA = 0x2c;
/** Words of the scratch tuple: the address that is to stand in the payload, the one that its sender writes, one read. */
const OUTSIDE = 0;
const INSIDE = 4;
const READ = 8;

/** The edits of a connection at word `at`, as a word offset, or 0. */
function editsOf(tracker: Tracker, at: number): number {
  const annex = editsAnnexOfConn(tracker.words, at);
  return annex === NONE ? 0 : annexAt(tracker.map, annex);
}

/** Turns acknowledgements of a rewritten payload back, before the tracker looks at them. */
export function restoreSegment(tracker: Tracker, base: number, at: number, isReply: boolean): void {
  const { words, frames, facts } = tracker;
  const edits = editsOf(tracker, at);
  if (edits === 0 || areInReply(words, edits) === isReply) return;
  restoreAcknowledgements(frames, facts[base + L4], words, edits);
  sealSegment(frames, facts, base);
}

/**
 * Reads a packet of a control connection that the tracker has seen and NAT has rewritten, and rewrites its payload.
 * Needs the lock of the connection's region.
 * @param isTranslating the action asks for NAT, and no action before has done it
 * @param isValid the tracker takes the packet for one of the connection's: only then it can announce anything
 * @returns why the packet is invalid, or REASON.none
 */
export function handlePayload(
  tracker: Tracker,
  packets: Int32Array,
  packet: number,
  base: number,
  record: number,
  isReply: boolean,
  isTranslating: boolean,
  isValid: boolean,
): number {
  const { words, facts, frames, map, message } = tracker;
  const at = recordAt(map, record);
  const number = (words[at + STATUS] & STATUS_HELPER) >>> STATUS_HELPER_SHIFT;
  if (number === 0) return NO_REASON;
  const helper = HELPERS[number - 1];
  if (helper.protocol === IPPROTO.TCP) {
    return handleSegment(tracker, packets, packet, base, record, helper, isReply, isTranslating, isValid);
  }
  const from = facts[base + L4] + UDP_HEADER_BYTES;
  const isIpv6 = (facts[base + PROTOCOL] & FAMILY_IPV6) !== 0;
  if (isValid && helper.read(frames, from, facts[base + L4_END], isIpv6, message) === SAYS.ANNOUNCES) {
    draftExpectation(tracker, record, isReply, message[MESSAGE.PORT]);
  }
  return NO_REASON;
}

function handleSegment(
  tracker: Tracker,
  packets: Int32Array,
  packet: number,
  base: number,
  record: number,
  helper: Helper,
  isReply: boolean,
  isTranslating: boolean,
  isValid: boolean,
): number {
  const { words, facts, frames, map } = tracker;
  const at = recordAt(map, record);
  const l4 = facts[base + L4];
  const seq = sequenceOf(frames, l4);
  const edits = isTranslating ? editsOf(tracker, at) : 0;
  const isEdited = edits !== 0 && areInReply(words, edits) === isReply;
  const overlap = isEdited ? overlapOf(tracker, base, edits, seq) : OVERLAP.NONE;
  let reason: number = NO_REASON;
  if (overlap === OVERLAP.PART) reason = REASON['alg-partial'];
  else if (overlap === OVERLAP.WHOLE) reason = rewriteAgain(tracker, packets, packet, base, at, edits, seq);
  else if (isValid) reason = readSegment(tracker, packets, packet, base, record, helper, isReply, isTranslating);
  if (reason !== NO_REASON || !isEdited) return reason;
  shiftSequence(frames, l4, shiftAt(words, edits, seq));
  sealSegment(frames, facts, base);
  return NO_REASON;
}

/** First byte of the payload. */
function payloadAt(tracker: Tracker, base: number): number {
  const l4 = tracker.facts[base + L4];
  return l4 + tcpHeaderLength(tracker.frames, l4);
}

/** How the segment lies to all that was rewritten: OVERLAP. */
function overlapOf(tracker: Tracker, base: number, edits: number, seq: number): number {
  const { words, facts } = tracker;
  const length = facts[base + L4_END] - payloadAt(tracker, base);
  let overlap: number = OVERLAP.NONE;
  for (let index = 0; index < countEdits(words, edits); index++) {
    overlap = Math.max(overlap, overlapWith(words, edits, index, seq, length));
  }
  return overlap;
}

/** Reads new data. */
function readSegment(
  tracker: Tracker,
  packets: Int32Array,
  packet: number,
  base: number,
  record: number,
  helper: Helper,
  isReply: boolean,
  isTranslating: boolean,
): number {
  const { facts, frames, message, map } = tracker;
  const isIpv6 = (facts[base + PROTOCOL] & FAMILY_IPV6) !== 0;
  const says = helper.read(frames, payloadAt(tracker, base), facts[base + L4_END], isIpv6, message);
  if (says === SAYS.NOTHING) return NO_REASON;
  if (says === SAYS.MALFORMED) return REASON['alg-malformed'];
  if (message[MESSAGE.END] !== END.NONE) {
    copyEnds(tracker, recordAt(map, record), message[MESSAGE.END] === END.CLIENT);
    const isOutside = isAddress(tracker, message, MESSAGE.ADDRESS0, OUTSIDE);
    // Somebody else's address would lead the other side's data to a third one.
    if (!isOutside && !isAddress(tracker, message, MESSAGE.ADDRESS0, INSIDE)) return REASON['alg-malformed'];
    const reason = isTranslating && !isOutside ? rewrite(tracker, packets, packet, base, record, isReply) : NO_REASON;
    if (reason !== NO_REASON) return reason;
  }
  draftExpectation(tracker, record, isReply, message[MESSAGE.PORT]);
  return NO_REASON;
}

/** Copies the address of the client, or of the server, as the other side knows it and as it knows itself. */
function copyEnds(tracker: Tracker, at: number, isClient: boolean): void {
  const { REPLY_DST, REPLY_SRC, ORIGINAL_SRC, ORIGINAL_DST } = TUPLE_END;
  copyAddress(tracker, at, isClient ? REPLY_DST : ORIGINAL_DST, tracker.tuple, OUTSIDE);
  copyAddress(tracker, at, isClient ? ORIGINAL_SRC : REPLY_SRC, tracker.tuple, INSIDE);
}

function isAddress(tracker: Tracker, words: Int32Array, at: number, which: number): boolean {
  const { tuple } = tracker;
  for (let word = 0; word < 4; word++) if (words[at + word] !== tuple[which + word]) return false;
  return true;
}

/** Writes the address that the other side knows to the scratch text. @returns its length */
function writeOutside(tracker: Tracker, form: number): number {
  const { text, tuple } = tracker;
  if (form === FORM.IPV6) return writeIpv6Text(text, 0, tuple, OUTSIDE);
  return writeIpv4Text(text, 0, tuple, OUTSIDE + 3, form === FORM.COMMAS);
}

/** Rewrites the address of the message that was just read, and notes where. */
function rewrite(
  tracker: Tracker,
  packets: Int32Array,
  packet: number,
  base: number,
  record: number,
  isReply: boolean,
): number {
  const { words, frames, facts, map, message, counts } = tracker;
  const at = recordAt(map, record);
  const place = message[MESSAGE.AT];
  const seq = (sequenceOf(frames, facts[base + L4]) + place - payloadAt(tracker, base)) | 0;
  const oldLength = message[MESSAGE.LENGTH];
  const newLength = writeOutside(tracker, message[MESSAGE.FORM]);
  if (!hasRoom(tracker, packets, packet, base, newLength - oldLength)) return REASON['alg-room'];
  let edits = editsOf(tracker, at);
  if (edits === 0) {
    const annex = takeAnnexLocked(map, regionOfRecord(map, record));
    if (annex === NONE) return REASON['alg-memory'];
    words[at + EDITS] = annex;
    words[at + STATUS] |= STATUS_EDITED;
    edits = annexAt(map, annex);
    startEdits(words, edits, isReply);
  } else if (areInReply(words, edits) !== isReply || !isBehindEdits(words, edits, seq)) {
    return REASON['alg-partial'];
  }
  addEdit(words, edits, seq, oldLength, newLength);
  replace(tracker, packets, packet, base, place, oldLength, newLength);
  sealSegment(frames, facts, base);
  counts[EVENT.edits]++;
  return NO_REASON;
}

function hasRoom(tracker: Tracker, packets: Int32Array, packet: number, base: number, growth: number): boolean {
  const room = packets[packet + FRAME_ROOM];
  if (room === NO_REWRITING) return false;
  return growth <= 0 || (growth <= room && canGrow(tracker.frames, tracker.facts, base, growth));
}

/** Replaces a text of the frame by the scratch text; the frame's row follows. */
function replace(
  tracker: Tracker,
  packets: Int32Array,
  packet: number,
  base: number,
  place: number,
  oldLength: number,
  newLength: number,
): void {
  const { frames, facts, text } = tracker;
  const frameEnd = packets[packet + FRAME_OFFSET] + packets[packet + FRAME_LENGTH];
  replaceText(frames, facts, base, place, oldLength, frameEnd, text, newLength);
  packets[packet + FRAME_LENGTH] += newLength - oldLength;
  packets[packet + FRAME_ROOM] -= newLength - oldLength;
}

/** Rewrites what was rewritten in these bytes before, if they are the same as then. */
function rewriteAgain(
  tracker: Tracker,
  packets: Int32Array,
  packet: number,
  base: number,
  at: number,
  edits: number,
  seq: number,
): number {
  const { words, facts } = tracker;
  const from = payloadAt(tracker, base);
  const length = facts[base + L4_END] - from;
  const isIpv6 = (facts[base + PROTOCOL] & FAMILY_IPV6) !== 0;
  // Source NAT hides the client's address and destination NAT the server's.
  copyEnds(tracker, at, (words[at + STATUS] & STATUS_SNAT) !== 0);
  let growth = 0;
  // The last one first: what lies before it keeps its place.
  for (let pass = 0; pass < 2; pass++) {
    for (let index = countEdits(words, edits) - 1; index >= 0; index--) {
      if (overlapWith(words, edits, index, seq, length) !== OVERLAP.WHOLE) continue;
      const place = from + ((editAt(words, edits, index) - seq) | 0);
      const oldLength = editLength(words, edits, index);
      const form =
        pass === 0 ? formOfInside(tracker, place, oldLength, isIpv6) : formAt(tracker, place, oldLength, isIpv6);
      if (form < 0) return REASON['alg-partial'];
      const newLength = writeOutside(tracker, form);
      growth += newLength - oldLength;
      if (pass === 1) replace(tracker, packets, packet, base, place, oldLength, newLength);
    }
    if (pass === 0 && !hasRoom(tracker, packets, packet, base, growth)) return REASON['alg-room'];
  }
  return NO_REASON;
}

/** FORM of the text in [place, place + length) if it is the address that its sender knows itself by, else -1. */
function formOfInside(tracker: Tracker, place: number, length: number, isIpv6: boolean): number {
  const { frames, tuple } = tracker;
  const end = place + length;
  const behind = isIpv6 ? readIpv6Text(frames, place, end, tuple, READ) : readIpv4Text(frames, place, end, tuple, READ);
  if (behind === NO_TEXT || behind !== end || !isAddress(tracker, tuple, READ, INSIDE)) return -1;
  return formAt(tracker, place, length, isIpv6);
}

function formAt(tracker: Tracker, place: number, length: number, isIpv6: boolean): number {
  if (isIpv6) return FORM.IPV6;
  for (let at = place; at < place + length; at++) if (u8(tracker.frames, at) === COMMA) return FORM.COMMAS;
  return FORM.DOTS;
}
