/**
 * The TCP tracker: states of both sides, windows with their scale, and what lies outside of them.
 *
 * Read first: RFC 9293 section 3.10.7.4 (which segments are acceptable), RFC 7323 section 2 (window scale), and Guido
 * van Rooij, "Real Stateful TCP Packet Filtering in IP Filter" (2001), whose four bounds this is. Behaviour: OVS
 * `conntrack-tcp.c`, which has it from OpenBSD's pf.
 *
 * A connection has two peers. `src` is the one that sent the packet at hand and `dst` the other one, whichever
 * direction that is; below the line that picks them nothing knows of directions.
 *
 * Imports connection, expiry, protocol, sequence, timeouts, wire/, ../reason. Imported by track/trackers, control/.
 */
import { REASON } from '../reason.js';
import { i32be, u8, u16be } from '../wire/bytes.js';
import { FACT } from '../wire/facts.js';
import { tcpHeaderLength } from '../wire/ports.js';
import { CONN } from './connection.js';
import { restartTimeout } from './expiry.js';
import { CLASS, type L4Protocol, type TrackContext, UPDATE } from './protocol.js';
import { seqAfter, seqNotBefore } from './sequence.js';
import { TIMEOUT } from './timeouts.js';

const { ORIG_SEQ_LOW, REPLY_SEQ_LOW } = CONN;
const { L4, L4_END } = FACT;
const { VALID, VALID_NEW, REPLACE, CHANGED } = UPDATE;
const NONE = REASON.none;

/** States of a peer, numbered and named as in OVS: the dump compares them by number. */
export const TCP_STATES = [
  'CLOSED',
  'LISTEN',
  'SYN_SENT',
  'SYN_RECV',
  'ESTABLISHED',
  'CLOSE_WAIT',
  'FIN_WAIT_1',
  'CLOSING',
  'LAST_ACK',
  'FIN_WAIT_2',
  'TIME_WAIT',
] as const;
export type TcpState = (typeof TCP_STATES)[number];
const CLOSED = 0;
export const SYN_SENT = 2;
export const ESTABLISHED = 4;
const CLOSING = 7;
const FIN_WAIT_2 = 9;
const TIME_WAIT = 10;

/** Flag bits of byte 13 of the header. */
export const TCP_FLAG = { FIN: 0x01, SYN: 0x02, RST: 0x04, PSH: 0x08, ACK: 0x10, URG: 0x20 } as const;
const { FIN, SYN, RST, PSH, ACK, URG } = TCP_FLAG;

const SEQUENCE_AT = 4;
const ACKNOWLEDGEMENT_AT = 8;
const DATA_OFFSET_AT = 12;
const FLAGS_AT = 13;
const WINDOW_AT = 14;
const HEADER_BYTES = 20;

/** Words of a peer, relative to its first. */
export const SEQ_LOW = 0;
export const SEQ_HIGH = 1;
export const PEER = 2;
export const PEER_WORDS = 3;
/** Where the peers of both directions begin in a connection's record. */
export const { ORIG_SEQ_LOW: ORIGINAL_PEER, REPLY_SEQ_LOW: REPLY_PEER } = CONN;
/** Parts of the PEER word. */
export const STATE_MASK = 0xff;
export const SCALE_SHIFT = 8;
export const WINDOW_SHIFT = 16;
const WITHOUT_WINDOW = 0xffff;

/** Bits of the window scale byte: the side offered a scale; or the handshake was not seen. Below them the factor. */
export const SCALE_OFFERED = 0x80;
export const SCALE_UNKNOWN = 0x40;
export const SCALE_MASK = 0x0f;
/** The largest factor (RFC 7323 section 2.3), also assumed when the handshake was not seen. */
export const MAX_SCALE = 14;

const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_WINDOW_SCALE = 3;

/** How far an acknowledgement may be off: the largest unscaled window and a full segment (pf, OVS). */
export const MAX_ACK_WINDOW = 0xffff + 1500;

/** SEQ_HIGH of a side that has not been seen yet. */
const UNSEEN = 1;

function stateOf(peer: number): number {
  return peer & STATE_MASK;
}
function scaleOf(peer: number): number {
  return (peer >>> SCALE_SHIFT) & 0xff;
}
function windowOf(peer: number): number {
  return peer >>> WINDOW_SHIFT;
}
function makePeer(state: number, scale: number, window: number): number {
  return state | (scale << SCALE_SHIFT) | (window << WINDOW_SHIFT);
}
/** Number of the later of the states of both peers of the connection at word `conn`. */
export function laterTcpState(words: Int32Array, conn: number): number {
  return Math.max(stateOf(words[conn + ORIG_SEQ_LOW + PEER]), stateOf(words[conn + REPLY_SEQ_LOW + PEER]));
}
/** The state that stands for a connection whose later peer is in the state numbered `later`: with OVS's two renamings. */
export function shownTcpState(later: number): TcpState {
  const state = TCP_STATES[later];
  if (state === 'FIN_WAIT_2') return 'TIME_WAIT';
  return state === 'SYN_RECV' ? 'ESTABLISHED' : state;
}
function withState(peer: number, state: number): number {
  return (peer & ~STATE_MASK) | state;
}

/** False for flags that no sender may combine: SYN with RST or FIN, nothing at all, FIN, PSH or URG without ACK. */
function flagsAllowed(flags: number): boolean {
  if ((flags & SYN) !== 0 ? (flags & (RST | FIN)) !== 0 : (flags & (ACK | RST)) === 0) return false;
  return (flags & ACK) !== 0 || (flags & (FIN | PSH | URG)) === 0;
}

/** The last window scale option of a SYN as a scale byte, 0 when there is none. Lengths below 2 count as 2, as in OVS. */
function offeredScale(view: DataView, l4: number): number {
  let scale = 0;
  let at = l4 + HEADER_BYTES;
  for (const end = l4 + tcpHeaderLength(view, l4); end - at >= 3; ) {
    const kind = u8(view, at);
    if (kind === OPTION_END) return scale;
    if (kind === OPTION_NOP) {
      at++;
      continue;
    }
    if (kind === OPTION_WINDOW_SCALE) scale = SCALE_OFFERED | Math.min(u8(view, at + 2), MAX_SCALE);
    at += Math.max(u8(view, at + 1), 2);
  }
  return scale;
}

/** A window as it stands in a SYN, which is never scaled, in units of the scale; rounded up. */
function unscaled(window: number, scale: number): number {
  const factor = scale & SCALE_MASK;
  return (window + (1 << factor) - 1) >>> factor;
}

function payloadLength(context: TrackContext, facts: number): number {
  const l4 = context.facts[facts + L4];
  return context.facts[facts + L4_END] - l4 - tcpHeaderLength(context.frames, l4);
}

function timeoutFor(src: number, dst: number): number {
  if (src >= FIN_WAIT_2 && dst >= FIN_WAIT_2) return TIMEOUT.tcp_close;
  if (src >= CLOSING && dst >= CLOSING) return TIMEOUT.tcp_time_wait;
  if (src < ESTABLISHED || dst < ESTABLISHED) return TIMEOUT.tcp_syn_recv;
  if (src >= CLOSING || dst >= CLOSING) return TIMEOUT.tcp_fin_wait;
  return TIMEOUT.tcp_established;
}

/** Takes an accepted segment into the windows of both sides. */
function slideWindows(
  words: Int32Array,
  src: number,
  dst: number,
  end: number,
  ack: number,
  window: number,
  srcScale: number,
): void {
  const peer = words[src + PEER];
  if (windowOf(peer) < window) words[src + PEER] = (peer & WITHOUT_WINDOW) | (window << WINDOW_SHIFT);
  if (seqAfter(end, words[src + SEQ_LOW])) words[src + SEQ_LOW] = end;
  const room = window << srcScale;
  if (seqNotBefore((ack + room) | 0, words[dst + SEQ_HIGH])) words[dst + SEQ_HIGH] = ack + Math.max(room, 1);
}

/** What the flags of an accepted segment do to the states of both sides; as a rule nothing. */
function advanceStates(context: TrackContext, src: number, dst: number, flags: number): void {
  const { words } = context;
  const wasFrom = stateOf(words[src + PEER]);
  const wasTo = stateOf(words[dst + PEER]);
  let from = wasFrom;
  let to = wasTo;
  if ((flags & FIN) !== 0 && from < CLOSING) from = CLOSING;
  if ((flags & ACK) !== 0) {
    if (to === SYN_SENT) to = ESTABLISHED;
    else if (to === CLOSING) to = FIN_WAIT_2;
  }
  if ((flags & RST) !== 0) from = to = TIME_WAIT;
  if (from === wasFrom && to === wasTo) return;
  words[src + PEER] = withState(words[src + PEER], from);
  words[dst + PEER] = withState(words[dst + PEER], to);
  countChange(context, Math.max(wasFrom, wasTo), Math.max(from, to));
}

/** Counts the connection under another state. Other changes lift a side to SYN_SENT only, where the first has been. */
function countChange(context: TrackContext, before: number, after: number): void {
  const { words, tcpCountsAt } = context;
  words[tcpCountsAt + before]--;
  words[tcpCountsAt + after]++;
}

/**
 * The SYN of the second side settles the window scale: it is used only if both sides offer one (RFC 7323 section 2.2).
 * Otherwise the first side's window, which was noted in units of its scale, is put back.
 */
function settleScale(words: Int32Array, src: number, dst: number, offered: number): void {
  const from = words[src + PEER];
  words[src + PEER] = makePeer(stateOf(from), offered, windowOf(from));
  if ((offered & SCALE_OFFERED) !== 0) return;
  const to = words[dst + PEER];
  const window = (windowOf(to) << (scaleOf(to) & SCALE_MASK)) & 0xffff;
  words[dst + PEER] = makePeer(stateOf(to), 0, window);
}

/**
 * Notes the first segment that a side sends.
 * @returns true when its window had to be guessed anew: then its acknowledgement is not held against it
 */
function meetPeer(
  words: Int32Array,
  src: number,
  dst: number,
  seq: number,
  end: number,
  window: number,
  dstScale: number,
): boolean {
  words[src + SEQ_LOW] = seq;
  const peer = withState(words[src + PEER], SYN_SENT);
  const largest = Math.max(window, windowOf(peer));
  words[src + PEER] = (peer & WITHOUT_WINDOW) | (largest << WINDOW_SHIFT);
  const limit = (end + Math.max(1, windowOf(words[dst + PEER]) << dstScale)) | 0;
  const high = words[src + SEQ_HIGH];
  const isGuessed = high === UNSEEN || seqNotBefore(limit, high);
  if (isGuessed) words[src + SEQ_HIGH] = limit;
  return isGuessed;
}

/** A RST must hit the next sequence number, or be off by one. */
function resetAllowed(flags: number, seq: number, low: number): boolean {
  return (flags & RST) === 0 || Math.abs((seq - low) | 0) <= 1;
}

/**
 * The factors by which the windows of a segment's two sides are to be multiplied, as src << 4 | dst. A SYN is never
 * scaled, but for the one that settles the scale, where OVS applies the factors already.
 */
function scalesInForce(src: number, dst: number, isUnscaledSyn: boolean): number {
  if (isUnscaledSyn) return 0;
  const both = src & dst;
  if ((both & SCALE_OFFERED) !== 0) return ((src & SCALE_MASK) << 4) | (dst & SCALE_MASK);
  return (both & SCALE_UNKNOWN) !== 0 ? (MAX_SCALE << 4) | MAX_SCALE : 0;
}

/**
 * The four bounds: a segment's end and beginning, and how far its acknowledgement is off in either direction.
 * @param scales as scalesInForce() says
 */
function inWindow(
  words: Int32Array,
  src: number,
  dst: number,
  seq: number,
  end: number,
  skew: number,
  scales: number,
): boolean {
  return (
    seqNotBefore(words[src + SEQ_HIGH], end) &&
    seqNotBefore(seq, (words[src + SEQ_LOW] - (windowOf(words[dst + PEER]) << (scales & 0x0f))) | 0) &&
    skew >= -MAX_ACK_WINDOW &&
    skew <= MAX_ACK_WINDOW << (scales >>> 4)
  );
}

/** The update, once the flags are in order and the segment is no SYN that starts over. */
function updateWindows(
  context: TrackContext,
  facts: number,
  conn: number,
  src: number,
  dst: number,
  flags: number,
): number {
  const { words, frames } = context;
  const l4 = context.facts[facts + L4];
  const sequence = i32be(frames, l4 + SEQUENCE_AT);
  const length = payloadLength(context, facts);
  const isSyn = (flags & SYN) !== 0;
  const isFirst = stateOf(words[src + PEER]) < SYN_SENT;
  const settles = isSyn && isFirst && (scaleOf(words[dst + PEER]) & SCALE_OFFERED) !== 0;
  if (settles) settleScale(words, src, dst, offeredScale(frames, l4));

  const scales = scalesInForce(scaleOf(words[src + PEER]), scaleOf(words[dst + PEER]), isSyn && !settles);
  const srcScale = scales >>> 4;
  const dstScale = scales & 0x0f;
  let window = u16be(frames, l4 + WINDOW_AT);
  if (settles) window = unscaled(window, srcScale);

  let seq = sequence;
  let end = (sequence + length + (isSyn ? 1 : 0) + (flags & FIN)) | 0;
  const isGuessed = isFirst && meetPeer(words, src, dst, seq, end, window, dstScale);

  const other = words[dst + SEQ_LOW];
  let ack = i32be(frames, l4 + ACKNOWLEDGEMENT_AT);
  // Without ACK there is nothing to check; some stacks answer a SYN that timed out with RST+ACK and no number.
  if ((flags & ACK) === 0 || (ack === 0 && (flags & RST) !== 0)) ack = other;
  // A segment that carries nothing may lie anywhere.
  if (seq === end) seq = end = words[src + SEQ_LOW];

  const skew = isGuessed ? 0 : (other - ack) | 0;
  const isInWindow =
    inWindow(words, src, dst, seq, end, skew, scales) && resetAllowed(flags, sequence, words[src + SEQ_LOW]);
  if (isInWindow || !context.checksSequence) {
    slideWindows(words, src, dst, end, ack, window, srcScale);
    advanceStates(context, src, dst, flags);
    const timeout = timeoutFor(stateOf(words[src + PEER]), stateOf(words[dst + PEER]));
    restartTimeout(context, conn, timeout);
    return VALID;
  }
  return updateLoosely(context, src, dst, flags, seq, end, ack, window, srcScale);
}

/**
 * Reads the words that the windows go by, of the TCP header at `l4`, as the parser's fast path leaves them in a row.
 * @param at word of `row` that the first of the three goes to
 */
export function readSegment(frames: DataView, l4: number, row: Int32Array, at: number): void {
  row[at] = i32be(frames, l4 + SEQUENCE_AT);
  row[at + 1] = i32be(frames, l4 + ACKNOWLEDGEMENT_AT);
  row[at + 2] = i32be(frames, l4 + DATA_OFFSET_AT);
}

/**
 * Near misses while a connection opens or has just closed: SYNs sent in a row, connections picked up in the middle,
 * stragglers after the end. They may move the window, but not the timeout, so that a flood of them gains nothing.
 */
function updateLoosely(
  context: TrackContext,
  src: number,
  dst: number,
  flags: number,
  seq: number,
  end: number,
  ack: number,
  window: number,
  srcScale: number,
): number {
  const { words } = context;
  const from = stateOf(words[src + PEER]);
  const to = stateOf(words[dst + PEER]);
  const isNear =
    (to < SYN_SENT || to >= FIN_WAIT_2 || from >= FIN_WAIT_2) &&
    seqNotBefore((words[src + SEQ_HIGH] + MAX_ACK_WINDOW) | 0, end) &&
    seqNotBefore(seq, (words[src + SEQ_LOW] - MAX_ACK_WINDOW) | 0);
  if (!isNear) return -REASON['tcp-window'];
  slideWindows(words, src, dst, end, ack, window, srcScale);
  if ((flags & FIN) !== 0 && from < CLOSING) words[src + PEER] = withState(words[src + PEER], CLOSING);
  if ((flags & RST) !== 0) {
    words[src + PEER] = withState(words[src + PEER], TIME_WAIT);
    words[dst + PEER] = withState(words[dst + PEER], TIME_WAIT);
  }
  countChange(context, Math.max(from, to), Math.max(stateOf(words[src + PEER]), stateOf(words[dst + PEER])));
  return VALID;
}

/**
 * Why the segment at `l4` may open no connection. A SYN opens, anything else picks up one that is under way; a SYN+ACK is
 * neither.
 */
export function tcpRefusal(frames: DataView, l4: number): number {
  const flags = u8(frames, l4 + FLAGS_AT);
  if (!flagsAllowed(flags)) return REASON['tcp-flags'];
  return (flags & (SYN | ACK)) === (SYN | ACK) ? REASON['tcp-syn-ack'] : NONE;
}

/** Fills in both peers of a new connection, which the segment from `l4` to `end` opens. */
export function openPeers(words: Int32Array, frames: DataView, conn: number, l4: number, end: number): void {
  const flags = u8(frames, l4 + FLAGS_AT);
  const isSyn = (flags & SYN) !== 0;
  const sequence = i32be(frames, l4 + SEQUENCE_AT);
  const payload = end - l4 - tcpHeaderLength(frames, l4);
  const scale = isSyn ? offeredScale(frames, l4) : SCALE_UNKNOWN;
  const window = unscaled(Math.max(u16be(frames, l4 + WINDOW_AT), 1), scale);
  const src = conn + ORIG_SEQ_LOW;
  const dst = conn + REPLY_SEQ_LOW;
  words[src + SEQ_LOW] = sequence;
  words[src + SEQ_HIGH] = sequence + payload + 1 + (isSyn ? 1 : 0) + (flags & FIN);
  words[src + PEER] = makePeer(SYN_SENT, scale, window);
  words[dst + SEQ_LOW] = 0;
  words[dst + SEQ_HIGH] = UNSEEN;
  words[dst + PEER] = makePeer(CLOSED, isSyn ? 0 : SCALE_UNKNOWN, 1);
}

export const tcp: L4Protocol = {
  refusal(context, facts) {
    return tcpRefusal(context.frames, context.facts[facts + L4]);
  },

  create(context, conn, facts) {
    openPeers(context.words, context.frames, conn, context.facts[facts + L4], context.facts[facts + L4_END]);
    restartTimeout(context, conn, TIMEOUT.tcp_syn_sent);
  },

  update(context, conn, facts, isReply) {
    const { words } = context;
    const flags = u8(context.frames, context.facts[facts + L4] + FLAGS_AT);
    if (!flagsAllowed(flags)) return -REASON['tcp-flags'];
    const src = conn + (isReply ? REPLY_SEQ_LOW : ORIG_SEQ_LOW);
    const dst = conn + (isReply ? ORIG_SEQ_LOW : REPLY_SEQ_LOW);
    if ((flags & (SYN | ACK)) === SYN) {
      const from = stateOf(words[src + PEER]);
      if (from >= FIN_WAIT_2 && stateOf(words[dst + PEER]) >= FIN_WAIT_2) return REPLACE;
      if (from <= SYN_SENT) {
        words[src + PEER] = withState(words[src + PEER], SYN_SENT);
        restartTimeout(context, conn, TIMEOUT.tcp_syn_sent);
        return from === SYN_SENT ? VALID_NEW : VALID_NEW | CHANGED;
      }
    }
    const from = words[src + PEER];
    const to = words[dst + PEER];
    const result = updateWindows(context, facts, conn, src, dst, flags);
    const changes = (from ^ words[src + PEER]) | (to ^ words[dst + PEER]);
    return (changes & STATE_MASK) === 0 || result !== VALID ? result : VALID | CHANGED;
  },

  classOf(words, conn) {
    const from = stateOf(words[conn + ORIG_SEQ_LOW + PEER]);
    const to = stateOf(words[conn + REPLY_SEQ_LOW + PEER]);
    if (from < ESTABLISHED || to < ESTABLISHED) return CLASS['half-open'];
    return from > ESTABLISHED || to > ESTABLISHED ? CLASS.closing : CLASS.established;
  },

  timeoutOf(words, conn) {
    const from = stateOf(words[conn + ORIG_SEQ_LOW + PEER]);
    const to = stateOf(words[conn + REPLY_SEQ_LOW + PEER]);
    return to === CLOSED ? TIMEOUT.tcp_syn_sent : timeoutFor(from, to);
  },
};
