/**
 * TCP tapes about windows: connections picked up on the way, whose scale is not known, and window scaling. Played to
 * Open vSwitch 3.1.0 and 4.0.90, as those of tcp-tapes.ts.
 */
import { ACK_LIMIT, C, S, type Tape, tcpTape, WINDOW } from './tape.js';

const OVS = 'OVS conntrack-tcp.c';
const EST = 'ESTABLISHED ESTABLISHED';
const ACKED = { seq: C + 1, ack: S + 1 } as const;

const LIBERAL = 'flags_orig=BE_LIBERAL,flags_reply=BE_LIBERAL';
export const PICKUP: readonly Tape[] = [
  tcpTape('picked up by an ACK', OVS, [
    [0, 'orig', 'A', { seq: 5000, ack: 9000 }, 'new|trk', `SYN_SENT CLOSED ${LIBERAL}`],
    [1, 'reply', 'A', { seq: 9000, ack: 5000 }, 'est|rpl|trk', `ESTABLISHED SYN_SENT ${LIBERAL}`],
    [2, 'orig', 'A', { seq: 5000, ack: 9000 }, 'est|trk', `${EST} ${LIBERAL}`],
    // Whatever the scale was: windows are taken for 2^14 times as large.
    [3, 'orig', 'A', { seq: 5000 + WINDOW * 16_384 - 10, ack: 9000, length: 10 }, 'est|trk', EST],
    [4, 'orig', 'A', { seq: 5000 + WINDOW * 16_384 - 9, ack: 9000, length: 10 }, 'tcp-window', EST],
  ]),
  ...['PA', 'FA', 'R', 'RA', 'FPA', 'UA', 'PUA'].map(flags =>
    tcpTape(`picked up by ${flags}`, OVS, [
      [0, 'orig', flags, { seq: 5000, ack: 9000, length: 10 }, 'new|trk', `SYN_SENT CLOSED ${LIBERAL}`],
    ]),
  ),
  tcpTape('picked up in the middle of one-way data', OVS, [
    [0, 'orig', 'A', { seq: 5000, ack: 9000, length: 1000 }, 'new|trk', 'SYN_SENT CLOSED'],
    [1, 'orig', 'A', { seq: 6000, ack: 9000, length: 1000 }, 'est|trk', 'SYN_SENT CLOSED'],
    [2, 'orig', 'A', { seq: 7000, ack: 9000, length: 1000 }, 'est|trk', 'SYN_SENT CLOSED'],
    [3, 'orig', 'A', { seq: 200_000, ack: 9000, length: 1000 }, 'tcp-window', 'SYN_SENT CLOSED'],
    [4, 'reply', 'A', { seq: 9000, ack: 8000 }, 'est|rpl|trk', 'ESTABLISHED SYN_SENT'],
  ]),
  // An acknowledgement further off than may be is forgiven where the window of its sender has to be guessed, not where
  // the other side's acknowledgements have told of it.
  ...([9000, 8000] as const).map(seq =>
    tcpTape(`first seen from ${seq} on, when 9000 is acknowledged`, OVS, [
      [0, 'orig', 'A', { seq: 5000, ack: 9000 }, 'new|trk', 'SYN_SENT CLOSED'],
      [1, 'orig', 'A', { seq: 5000, ack: 9000 }, 'est|trk', 'SYN_SENT CLOSED'],
      seq === 9000
        ? [2, 'reply', 'A', { seq, ack: 5001 + ACK_LIMIT, length: 500 }, 'est|rpl|trk', 'ESTABLISHED SYN_SENT']
        : [2, 'reply', 'A', { seq, ack: 5001 + ACK_LIMIT, length: 500 }, 'tcp-window', 'SYN_SENT SYN_SENT'],
    ]),
  ),
  tcpTape('a near miss may end a connection, by FIN', OVS, [
    [0, 'orig', 'A', { seq: 5000, ack: 9000, length: 1000 }, 'new|trk', 'SYN_SENT CLOSED'],
    [1, 'orig', 'FA', { seq: 7000, ack: 9000, length: 100 }, 'est|trk', 'CLOSING CLOSED'],
    [2, 'orig', 'FA', { seq: 8000, ack: 9000, length: 100 }, 'est|trk', 'CLOSING CLOSED'],
  ]),
  tcpTape('a near miss may end a connection, by RST', OVS, [
    [0, 'orig', 'A', { seq: 5000, ack: 9000, length: 1000 }, 'new|trk', 'SYN_SENT CLOSED'],
    [1, 'orig', 'R', { seq: 7000 }, 'est|trk', 'TIME_WAIT TIME_WAIT'],
  ]),
  tcpTape('near misses do not keep a connection alive', OVS, [
    [0, 'orig', 'A', { seq: 5000, ack: 9000, length: 1000 }, 'new|trk'],
    [29_999, 'orig', 'A', { seq: 7000, ack: 9000, length: 1000 }, 'est|trk', 'SYN_SENT CLOSED'],
    [30_000, 'orig', 'A', { seq: 8000, ack: 9000, length: 1000 }, 'new|trk', 'SYN_SENT CLOSED'],
  ]),
];

/** A window scale option behind a NOP. */
function scale(shift: number): readonly number[] {
  return [1, 3, 3, shift];
}

/** A handshake with scales, then data of the second side up to `room` octets, and one octet too far. */
function scaled(name: string, orig: readonly number[], reply: readonly number[], window: number, room: number): Tape {
  const far = S + 1 + room;
  return tcpTape(name, 'RFC 7323 2.2', [
    [0, 'orig', 'S', { options: orig }, 'new|trk'],
    [1, 'reply', 'SA', { ack: C + 1, options: reply }, 'est|rpl|trk'],
    [2, 'orig', 'A', { ...ACKED, window }, 'est|trk', EST],
    [3, 'reply', 'A', { seq: far - 99, ack: C + 1, length: 100 }, 'tcp-window', EST],
    [4, 'reply', 'A', { seq: far - 100, ack: C + 1, length: 100 }, 'est|rpl|trk', EST],
  ]);
}

export const SCALING: readonly Tape[] = [
  scaled('both offer a window scale', scale(2), scale(3), 5000, 20_000),
  scaled('both offer the largest window scale', scale(14), scale(14), 5000, 5000 * 16_384),
  scaled('both offer a scale of 0', scale(0), scale(0), 20_000, 20_000),
  scaled('a scale beyond 14 counts as 14', scale(15), scale(200), 5000, 5000 * 16_384),
  scaled('only the first offers a window scale', scale(2), [], 20_000, 20_000),
  scaled('only the second offers a window scale', [], scale(3), 20_000, 20_000),
  scaled('none offers a window scale', [], [], 20_000, 20_000),
  tcpTape('the windows of SYNs are not scaled', 'RFC 7323 2.2', [
    [0, 'orig', 'S', { options: scale(2) }, 'new|trk'],
    [1, 'reply', 'SA', { ack: C + 1, options: scale(3) }, 'est|rpl|trk'],
    [2, 'orig', 'A', { seq: C + 1 + WINDOW - 99, ack: S + 1, length: 100 }, 'tcp-window'],
    [3, 'orig', 'A', { seq: C + 1 + WINDOW - 100, ack: S + 1, length: 100 }, 'est|trk', EST],
  ]),
  tcpTape('the windows of SYNs are rounded up to units of the scale', 'OVS: DIV_ROUND_UP', [
    [0, 'orig', 'S', { options: scale(14), window: 1 }, 'new|trk'],
    [1, 'reply', 'SA', { ack: C + 1, options: scale(14), window: 1 }, 'est|rpl|trk'],
    [2, 'orig', 'A', { ...ACKED, window: 0 }, 'est|trk', EST],
    [3, 'reply', 'A', { seq: S + 1 + 16_384 - 99, ack: C + 1, length: 100, window: 0 }, 'tcp-window'],
    [4, 'reply', 'A', { seq: S + 1 + 16_384 - 100, ack: C + 1, length: 100, window: 0 }, 'est|rpl|trk', EST],
    [5, 'orig', 'A', { seq: C + 1 + 16_384 - 99, ack: S + 1, length: 100 }, 'tcp-window'],
    [6, 'orig', 'A', { seq: C + 1 + 16_384 - 100, ack: S + 1, length: 100 }, 'est|trk', EST],
  ]),
  tcpTape('a scale widens the acknowledgements too', OVS, [
    [0, 'orig', 'S', { options: scale(2) }, 'new|trk'],
    [1, 'reply', 'SA', { ack: C + 1, options: scale(3) }, 'est|rpl|trk'],
    [2, 'orig', 'A', { seq: C + 1, ack: S + 1 - 4 * ACK_LIMIT }, 'est|trk'],
    [3, 'orig', 'A', { seq: C + 1, ack: S - 4 * ACK_LIMIT }, 'tcp-window'],
  ]),
];
