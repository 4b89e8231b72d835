/**
 * All 64 combinations of FIN, SYN, RST, PSH, ACK and URG, as a first packet and on an open connection.
 *
 * What no sender may combine, by RFC 9293 and in OVS (`tcp_invalid_flags()`): SYN with RST or FIN; none of SYN, ACK and
 * RST; FIN, PSH or URG without ACK. Spelled out here rather than computed. Played to Open vSwitch 3.1.0 and 4.0.90.
 */
import { C, HANDSHAKE, NONE, S, type Tape, tcpTape } from './tape.js';

const OPENING = new Set(['S', 'R', 'A', 'FA', 'PA', 'AU', 'FPA', 'FAU', 'PAU', 'FPAU', 'RA', 'FRA', 'RPA', 'RAU']);
for (const flags of ['FRPA', 'FRAU', 'RPAU', 'FRPAU']) OPENING.add(flags);
const ANSWERING = new Set(['SA', 'SPA', 'SAU', 'SPAU']);

const COMBINATIONS = Array.from({ length: 64 }, (_, bits) =>
  [...'FSRPAU'].filter((_letter, bit) => bits & (1 << bit)).join(''),
);

function opening(flags: string): Tape {
  const segment = { seq: C + 1, ack: S + 1 };
  if (OPENING.has(flags)) {
    return tcpTape(`${flags} first`, 'OVS', [[0, 'orig', flags, segment, 'new|trk', 'SYN_SENT CLOSED']]);
  }
  const reason = ANSWERING.has(flags) ? 'tcp-syn-ack' : 'tcp-flags';
  return tcpTape(`${flags || 'no flag'} first`, 'OVS', [[0, 'orig', flags, segment, reason, NONE]]);
}

function open(flags: string): Tape {
  const isAllowed = OPENING.has(flags) || ANSWERING.has(flags);
  const verdict = isAllowed ? 'est|trk' : 'tcp-flags';
  const states = isAllowed ? ([] as const) : (['ESTABLISHED ESTABLISHED'] as const);
  return tcpTape(`${flags || 'no flag'} on an open connection`, 'OVS', [
    ...HANDSHAKE,
    [3, 'orig', flags, { seq: C + 1, ack: S + 1 }, verdict, ...states],
  ]);
}

export const FLAG_TAPES: readonly Tape[] = [...COMBINATIONS.map(opening), ...COMBINATIONS.map(open)];
