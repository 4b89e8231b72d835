/**
 * TCP tapes, in order of what they show. Each names the rule that it follows; all of them were played to Open vSwitch
 * 3.1.0 and 4.0.90 (ovs.test.ts plays them again wherever an OVS is installed).
 */

import { ACK_LIMIT, at, C, CLOSE, HANDSHAKE, NONE, type Row, S, type Tape, tcpTape, WINDOW } from './tape.js';
import { PICKUP, SCALING } from './window-tapes.js';

const RFC = 'RFC 9293';
const OVS = 'OVS conntrack-tcp.c';
const RST_RULE = 'OVS: the next sequence number, or off by one';

const EST = 'ESTABLISHED ESTABLISHED';
const CLOSED = 'FIN_WAIT_2 FIN_WAIT_2';
const RESET = 'TIME_WAIT TIME_WAIT';
const ACKED = { seq: C + 1, ack: S + 1 } as const;

function established(name: string, rule: string, ...rows: readonly Row[]): Tape {
  return tcpTape(name, rule, [...HANDSHAKE, ...rows]);
}

const OPENING: readonly Tape[] = [
  tcpTape('handshake', `${RFC} 3.5`, HANDSHAKE),
  tcpTape('SYN sent again', `${RFC} 3.8.1`, [
    [0, 'orig', 'S', {}, 'new|trk', 'SYN_SENT CLOSED'],
    [1000, 'orig', 'S', {}, 'new|trk', 'SYN_SENT CLOSED'],
    [3000, 'orig', 'S', {}, 'new|trk', 'SYN_SENT CLOSED'],
    [3001, 'reply', 'SA', { ack: C + 1 }, 'est|rpl|trk', 'ESTABLISHED SYN_SENT'],
    [3002, 'reply', 'SA', { ack: C + 1 }, 'est|rpl|trk', 'ESTABLISHED SYN_SENT'],
    [3003, 'orig', 'A', ACKED, 'est|trk', EST],
  ]),
  tcpTape('SYN with another sequence number', OVS, [
    [0, 'orig', 'S', {}, 'new|trk'],
    [1, 'orig', 'S', { seq: C + 1_000_000 }, 'new|trk', 'SYN_SENT CLOSED'],
    [2, 'reply', 'SA', { ack: C + 1_000_001 }, 'est|rpl|trk', 'ESTABLISHED SYN_SENT'],
  ]),
  tcpTape('SYN with data', `${RFC} 3.4, OVS`, [
    [0, 'orig', 'S', { length: 100 }, 'new|trk', 'SYN_SENT CLOSED'],
    [1, 'reply', 'SA', { ack: C + 101 }, 'est|rpl|trk', 'ESTABLISHED SYN_SENT'],
  ]),
  tcpTape('SYN+ACK opens nothing', OVS, [
    [0, 'orig', 'SA', { ack: 1 }, 'tcp-syn-ack', NONE],
    [1, 'reply', 'SA', { ack: 1 }, 'tcp-syn-ack', NONE],
  ]),
  tcpTape('simultaneous open', OVS, [
    [0, 'orig', 'S', {}, 'new|trk', 'SYN_SENT CLOSED'],
    [1, 'reply', 'S', {}, 'new|trk', 'SYN_SENT SYN_SENT'],
    // OVS takes no sequence number from the second SYN: what acknowledges it is out of any window.
    [2, 'orig', 'SA', { ack: S + 1 }, 'tcp-window', 'SYN_SENT SYN_SENT'],
  ]),
  tcpTape('port closed', `${RFC} 3.5.2`, [
    [0, 'orig', 'S', {}, 'new|trk'],
    [1, 'reply', 'RA', { seq: 0, ack: C + 1 }, 'est|rpl|trk', RESET],
  ]),
  tcpTape('port closed, answer without a number', OVS, [
    [0, 'orig', 'S', {}, 'new|trk'],
    [1, 'reply', 'RA', { seq: 0, ack: 0 }, 'est|rpl|trk', RESET],
  ]),
  tcpTape('gives up its SYN', RST_RULE, [
    [0, 'orig', 'S', {}, 'new|trk'],
    [1, 'orig', 'R', { seq: C + 1 }, 'est|trk', RESET],
  ]),
  established('SYN once more on an open connection', OVS, [3, 'orig', 'S', {}, 'est|trk', EST]),
  established('SYN from afar on an open connection', OVS, [3, 'orig', 'S', { seq: C + 1e6 }, 'tcp-window', EST]),
];

const DATA: readonly Tape[] = [
  established(
    'data both ways, across 2^32 and 2^31',
    `${RFC} 3.4`,
    [3, 'orig', 'PA', { ...ACKED, length: 100 }, 'est|trk', EST],
    [4, 'reply', 'A', { seq: S + 1, ack: C + 101 }, 'est|rpl|trk', EST],
    [5, 'reply', 'PA', { seq: S + 1, ack: C + 101, length: 1000 }, 'est|rpl|trk', EST],
    [6, 'orig', 'A', { seq: C + 101, ack: S + 1001 }, 'est|trk', EST],
    [7, 'orig', 'PA', { seq: C + 1, ack: S + 1001, length: 100 }, 'est|trk', EST],
    [8, 'orig', 'PAU', { seq: C + 101, ack: S + 1001, length: 1 }, 'est|trk', EST],
  ),
  established('the last octet of the window', `${RFC} 3.10.7.4`, [
    3,
    'orig',
    'A',
    { seq: C + 1 + WINDOW - 100, ack: S + 1, length: 100 },
    'est|trk',
    EST,
  ]),
  established(
    'one octet beyond the window changes nothing',
    `${RFC} 3.10.7.4`,
    [3, 'orig', 'A', { seq: C + 1 + WINDOW - 99, ack: S + 1, length: 100 }, 'tcp-window', EST],
    [4, 'orig', 'A', { ...ACKED, length: 100 }, 'est|trk', EST],
    [5, 'reply', 'A', { seq: S + 2 + WINDOW - 100, ack: C + 101, length: 100 }, 'tcp-window', EST],
  ),
  established(
    'a whole window back, and an octet more',
    'OVS: not more than one window back',
    [3, 'orig', 'A', { ...ACKED, length: 200 }, 'est|trk', EST],
    [4, 'orig', 'A', { seq: C + 201 - WINDOW, ack: S + 1, length: 10 }, 'est|trk', EST],
    [5, 'orig', 'A', { seq: C + 200 - WINDOW, ack: S + 1, length: 10 }, 'tcp-window', EST],
  ),
  established('without data any sequence number will do', OVS, [3, 'orig', 'A', { ...ACKED, seq: 1 }, 'est|trk', EST]),
  established(
    'keepalives and their answers',
    `${RFC} 3.8.4`,
    [3, 'orig', 'A', { seq: C, ack: S + 1 }, 'est|trk', EST],
    [4, 'reply', 'A', { seq: S + 1, ack: C + 1 }, 'est|rpl|trk', EST],
    [5, 'orig', 'A', { seq: C, ack: S + 1, length: 1 }, 'est|trk', EST],
    [6, 'reply', 'A', { seq: S + 1, ack: C + 1 }, 'est|rpl|trk', EST],
  ),
  established('an ACK as far ahead as may be', OVS, [
    3,
    'orig',
    'A',
    { seq: C + 1, ack: S + 1 + ACK_LIMIT },
    'est|trk',
  ]),
  established(
    'an ACK further ahead',
    OVS,
    [3, 'orig', 'A', { seq: C + 1, ack: S + 2 + ACK_LIMIT }, 'tcp-window', EST],
    [4, 'orig', 'A', ACKED, 'est|trk', EST],
  ),
  established('an ACK as far back as may be', OVS, [3, 'orig', 'A', { seq: C + 1, ack: S + 1 - ACK_LIMIT }, 'est|trk']),
  established('an ACK further back', OVS, [3, 'orig', 'A', { seq: C + 1, ack: S - ACK_LIMIT }, 'tcp-window', EST]),
  established(
    'a window that closes lets nothing more through',
    'OVS: the limit never moves back',
    [3, 'orig', 'A', { ...ACKED, window: 0 }, 'est|trk', EST],
    [4, 'reply', 'A', { seq: S + 1, ack: C + 1, length: WINDOW }, 'est|rpl|trk', EST],
    [5, 'orig', 'A', { seq: C + 1, ack: S + 1 + WINDOW, window: 0 }, 'est|trk', EST],
    // A probe of one octet is within the window of one that OVS assumes.
    [6, 'reply', 'A', { seq: S + 1 + WINDOW, ack: C + 1, length: 1 }, 'est|rpl|trk', EST],
    [7, 'reply', 'A', { seq: S + 1 + WINDOW, ack: C + 1, length: 2 }, 'tcp-window', EST],
  ),
];

const CLOSING: readonly Tape[] = [
  established('close, first side first', `${RFC} 3.6`, ...CLOSE),
  established(
    'close, second side first',
    `${RFC} 3.6`,
    [3, 'reply', 'FA', { seq: S + 1, ack: C + 1 }, 'est|rpl|trk', 'ESTABLISHED CLOSING'],
    [4, 'orig', 'A', { seq: C + 1, ack: S + 2 }, 'est|trk', 'ESTABLISHED FIN_WAIT_2'],
    [5, 'orig', 'PA', { seq: C + 1, ack: S + 2, length: 500 }, 'est|trk', 'ESTABLISHED FIN_WAIT_2'],
    [6, 'reply', 'A', { seq: S + 2, ack: C + 501 }, 'est|rpl|trk', 'ESTABLISHED FIN_WAIT_2'],
    [7, 'orig', 'FA', { seq: C + 501, ack: S + 2 }, 'est|trk', 'CLOSING FIN_WAIT_2'],
    [8, 'reply', 'A', { seq: S + 2, ack: C + 502 }, 'est|rpl|trk', CLOSED],
  ),
  established(
    'both close at once',
    `${RFC} 3.6`,
    [3, 'orig', 'FA', ACKED, 'est|trk', 'CLOSING ESTABLISHED'],
    [4, 'reply', 'FA', { seq: S + 1, ack: C + 1 }, 'est|rpl|trk', 'FIN_WAIT_2 CLOSING'],
    [5, 'orig', 'A', { seq: C + 2, ack: S + 2 }, 'est|trk', CLOSED],
    [6, 'reply', 'A', { seq: S + 2, ack: C + 2 }, 'est|rpl|trk', CLOSED],
  ),
  established(
    'FIN sent again, with the data before it',
    `${RFC} 3.8.1`,
    [3, 'orig', 'FPA', { ...ACKED, length: 10 }, 'est|trk', 'CLOSING ESTABLISHED'],
    [4, 'orig', 'FPA', { ...ACKED, length: 10 }, 'est|trk', 'CLOSING ESTABLISHED'],
    [5, 'reply', 'FA', { seq: S + 1, ack: C + 12 }, 'est|rpl|trk', 'FIN_WAIT_2 CLOSING'],
    [6, 'reply', 'FA', { seq: S + 1, ack: C + 12 }, 'est|rpl|trk', 'FIN_WAIT_2 CLOSING'],
  ),
  established(
    'stragglers after the end',
    OVS,
    ...CLOSE,
    [7, 'reply', 'FA', { seq: S + 1, ack: C + 2 }, 'est|rpl|trk', CLOSED],
    // Beyond the window, but near: 66035 octets are allowed once the connection is over.
    [8, 'orig', 'A', { seq: C + 2 + WINDOW, ack: S + 2, length: 100 }, 'est|trk', CLOSED],
    [9, 'orig', 'A', { seq: C + 200_000, ack: S + 2, length: 100 }, 'tcp-window', CLOSED],
  ),
  established('RST instead of the last ACK', RST_RULE, ...CLOSE.slice(0, 3), [
    6,
    'orig',
    'R',
    { seq: C + 2 },
    'est|trk',
    RESET,
  ]),
  established(
    'RST+ACK without a number on an open connection, which ACK alone may not do without',
    OVS,
    [3, 'orig', 'A', { ...ACKED, ack: 0 }, 'tcp-window', EST],
    [4, 'orig', 'RA', { ...ACKED, ack: 0 }, 'est|trk', RESET],
  ),
];

/** After data both ways the next sequence numbers are C + 101 and S + 101. */
const TALK: readonly Row[] = [
  ...HANDSHAKE,
  [3, 'orig', 'PA', { ...ACKED, length: 100 }, 'est|trk', EST],
  [4, 'reply', 'PA', { seq: S + 1, ack: C + 101, length: 100 }, 'est|rpl|trk', EST],
];

function talked(name: string, rule: string, ...rows: readonly Row[]): Tape {
  return tcpTape(name, rule, [...TALK, ...rows]);
}

const RESETS: readonly Tape[] = [
  ...([-1, 0, 1] as const).flatMap(off => [
    talked(`RST off by ${off}`, RST_RULE, [5, 'orig', 'R', { seq: C + 101 + off }, 'est|trk', RESET]),
    talked(`RST+ACK in reply off by ${off}`, RST_RULE, [
      5,
      'reply',
      'RA',
      { seq: S + 101 + off, ack: C + 101 },
      'est|rpl|trk',
      RESET,
    ]),
    // OVS moves the number on with data only: before the first, it is that of the SYN for the first side.
    established(`RST before any data, off by ${off}`, RST_RULE, [3, 'orig', 'R', { seq: C + off }, 'est|trk', RESET]),
  ]),
  ...([-100_000, -2, 2, 5000, 100_000] as const).flatMap(off => [
    talked(
      `RST off by ${off}`,
      RST_RULE,
      [5, 'orig', 'R', { seq: C + 101 + off }, 'tcp-window', EST],
      [6, 'orig', 'A', { seq: C + 101, ack: S + 101 }, 'est|trk', EST],
    ),
    talked(`RST in reply off by ${off}`, RST_RULE, [5, 'reply', 'R', { seq: S + 101 + off }, 'tcp-window', EST]),
  ]),
  established('RST before any data, off by 2', RST_RULE, [3, 'orig', 'R', { seq: C + 2 }, 'tcp-window', EST]),
  established(
    'after a RST',
    OVS,
    [3, 'reply', 'R', { seq: S + 1 }, 'est|rpl|trk', RESET],
    [4, 'orig', 'A', ACKED, 'est|trk', RESET],
    [5, 'orig', 'R', { seq: C + 1 }, 'est|trk', RESET],
  ),
];

const AGAIN = { seq: C + 1_000_000 };
const REOPENING: readonly Tape[] = [
  established(
    'SYN on a closed connection opens a new one',
    `${RFC} 3.10.7.4 (TIME-WAIT), OVS`,
    ...CLOSE,
    [7, 'orig', 'S', AGAIN, 'new|trk', 'SYN_SENT CLOSED'],
    [8, 'reply', 'SA', { seq: S + 5e6, ack: AGAIN.seq + 1 }, 'est|rpl|trk', 'ESTABLISHED SYN_SENT'],
    [9, 'orig', 'A', { seq: AGAIN.seq + 1, ack: S + 5e6 + 1 }, 'est|trk', EST],
  ),
  established(
    'SYN in the reply direction opens one the other way round',
    OVS,
    ...CLOSE,
    [7, 'reply', 'S', { seq: S + 5e6 }, 'new|trk', 'SYN_SENT CLOSED'],
    [8, 'orig', 'SA', { ...AGAIN, ack: S + 5e6 + 1 }, 'est|rpl|trk', 'ESTABLISHED SYN_SENT'],
    [9, 'reply', 'A', { seq: S + 5e6 + 1, ack: AGAIN.seq + 1 }, 'est|trk', EST],
  ),
  established(
    'SYN after a RST opens a new one',
    OVS,
    [3, 'orig', 'R', { seq: C + 1 }, 'est|trk', RESET],
    [4, 'orig', 'S', AGAIN, 'new|trk', 'SYN_SENT CLOSED'],
  ),
  established(
    'SYN on a connection that is closed by half',
    OVS,
    ...CLOSE.slice(0, 3),
    [6, 'orig', 'S', AGAIN, 'tcp-window', 'FIN_WAIT_2 CLOSING'],
    [7, 'reply', 'S', { seq: S + 5e6 }, 'tcp-window', 'FIN_WAIT_2 CLOSING'],
  ),
  established('SYN+ACK on a closed connection opens nothing', OVS, ...CLOSE, [
    7,
    'orig',
    'SA',
    { ...AGAIN, ack: 1 },
    'tcp-window',
    CLOSED,
  ]),
];

const UNCHECKED: readonly Tape[] = [
  tcpTape(
    'sequence numbers are not checked',
    'dpctl/ct-disable-tcp-seq-chk',
    [
      ...HANDSHAKE,
      [3, 'orig', 'A', { seq: C + 1e6, ack: S + 1, length: 100 }, 'est|trk', EST],
      [4, 'orig', 'A', { seq: C + 1, ack: S + 1e6 }, 'est|trk', EST],
      [5, 'orig', 'F', { seq: C + 1 }, 'tcp-flags', EST],
      [6, 'reply', 'R', { seq: S + 1e6 }, 'est|rpl|trk', RESET],
      ...at(10, [0, 'orig', 'S', {}, 'new|trk', 'SYN_SENT CLOSED'], [1, 'orig', 'R', { seq: 7 }, 'est|trk', RESET]),
    ],
    false,
  ),
];

export const TCP_TAPES: readonly Tape[] = [
  ...OPENING,
  ...DATA,
  ...CLOSING,
  ...RESETS,
  ...REOPENING,
  ...UNCHECKED,
  ...PICKUP,
  ...SCALING,
];
