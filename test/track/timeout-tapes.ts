/**
 * How long a connection stays in each of its states, to the millisecond: at one millisecond before the timeout a packet
 * still belongs to it, at the timeout it does not. The limits are the defaults of OVS (`conntrack-tp.c`), in which an
 * entry has ended once `now >= expiration`. Played to Open vSwitch 3.1.0 and 4.0.90.
 */
import { icmp, tcp, udp } from '../support/frames.js';
import { tape } from './other-tapes.js';
import { C, CLOSE, HANDSHAKE, type Row, S, type Segment, type Tape, tcpTape, type Verdict } from './tape.js';

const SECOND = 1000;
const ACK = ['orig', 'A', { seq: C + 1, ack: S + 1 }] as const;
const SYN_ACK = ['reply', 'SA', { ack: C + 1 }] as const;
type Probe = readonly [direction: Row[1], flags: string, segment: Segment];

interface State {
  readonly name: string;
  readonly rows: readonly Row[];
  readonly limitMs: number;
  readonly probe: Probe;
  readonly before: Verdict;
  readonly after: Verdict;
}

const RESET: Row = [3, 'reply', 'R', { seq: S + 1 }, 'est|rpl|trk', 'TIME_WAIT TIME_WAIT'];

const STATES: readonly State[] = [
  {
    name: 'tcp_syn_sent',
    rows: HANDSHAKE.slice(0, 1),
    limitMs: 30 * SECOND,
    probe: SYN_ACK,
    before: 'est|rpl|trk',
    after: 'tcp-syn-ack',
  },
  {
    name: 'tcp_syn_sent, the SYN sent again',
    rows: [...HANDSHAKE.slice(0, 1), [20_000, 'orig', 'S', {}, 'new|trk']],
    limitMs: 30 * SECOND,
    probe: SYN_ACK,
    before: 'est|rpl|trk',
    after: 'tcp-syn-ack',
  },
  {
    name: 'tcp_syn_recv',
    rows: HANDSHAKE.slice(0, 2),
    limitMs: 30 * SECOND,
    probe: ACK,
    before: 'est|trk',
    after: 'new|trk',
  },
  {
    name: 'tcp_established',
    rows: HANDSHAKE,
    limitMs: 86_400 * SECOND,
    probe: ACK,
    before: 'est|trk',
    after: 'new|trk',
  },
  {
    name: 'tcp_fin_wait, one FIN',
    rows: [...HANDSHAKE, ...CLOSE.slice(0, 1)],
    limitMs: 900 * SECOND,
    probe: ACK,
    before: 'est|trk',
    after: 'new|trk',
  },
  {
    name: 'tcp_fin_wait, one FIN acknowledged',
    rows: [...HANDSHAKE, ...CLOSE.slice(0, 2)],
    limitMs: 900 * SECOND,
    probe: ACK,
    before: 'est|trk',
    after: 'new|trk',
  },
  {
    name: 'tcp_time_wait',
    rows: [...HANDSHAKE, ...CLOSE.slice(0, 3)],
    limitMs: 45 * SECOND,
    probe: ACK,
    before: 'est|trk',
    after: 'new|trk',
  },
  {
    name: 'tcp_close, both FINs acknowledged',
    rows: [...HANDSHAKE, ...CLOSE],
    limitMs: 30 * SECOND,
    probe: ACK,
    before: 'est|trk',
    after: 'new|trk',
  },
  {
    name: 'tcp_close, a RST',
    rows: [...HANDSHAKE, RESET],
    limitMs: 30 * SECOND,
    probe: ACK,
    before: 'est|trk',
    after: 'new|trk',
  },
  {
    name: 'an invalid packet does not prolong',
    rows: [...HANDSHAKE.slice(0, 1), [20_000, 'orig', 'SF', {}, 'tcp-flags']],
    limitMs: 10 * SECOND,
    probe: SYN_ACK,
    before: 'est|rpl|trk',
    after: 'tcp-syn-ack',
  },
];

function edges({ name, rows, limitMs, probe, before, after }: State): Tape[] {
  const startMs = rows[rows.length - 1][0];
  const endMs = startMs + limitMs;
  return [
    tcpTape(`${name} at ${limitMs - 1} ms`, 'OVS', [...rows, [endMs - 1, ...probe, before]]),
    tcpTape(`${name} at ${limitMs} ms`, 'OVS', [...rows, [endMs, ...probe, after]]),
  ];
}

const THERE = udp();
const BACK = udp({ sport: 53, dport: 40000 });
const PING = icmp({ type: 8 });
const PONG = icmp({ type: 0 });

const OTHERS: readonly Tape[] = [
  tape('udp_first at 59999 ms', [
    [0, 'orig', THERE, 'new|trk'],
    [59_999, 'reply', BACK, 'est|rpl|trk'],
  ]),
  tape('udp_first at 60000 ms', [
    [0, 'orig', THERE, 'new|trk'],
    [60_000, 'reply', BACK, 'new|trk'],
  ]),
  tape('udp_single at 59999 ms', [
    [0, 'orig', THERE, 'new|trk'],
    [50_000, 'orig', THERE, 'new|trk'],
    [109_999, 'reply', BACK, 'est|rpl|trk'],
  ]),
  tape('udp_single at 60000 ms', [
    [0, 'orig', THERE, 'new|trk'],
    [50_000, 'orig', THERE, 'new|trk'],
    [110_000, 'reply', BACK, 'new|trk'],
  ]),
  tape('udp_multiple at 29999 ms, again and again', [
    [0, 'orig', THERE, 'new|trk'],
    [1, 'reply', BACK, 'est|rpl|trk'],
    [30_000, 'orig', THERE, 'est|trk'],
    [59_999, 'orig', THERE, 'est|trk'],
  ]),
  tape('udp_multiple at 30000 ms', [
    [0, 'orig', THERE, 'new|trk'],
    [1, 'reply', BACK, 'est|rpl|trk'],
    [30_001, 'orig', THERE, 'new|trk'],
  ]),
  tape('icmp_first at 59999 ms', [
    [0, 'orig', PING, 'new|trk'],
    [59_999, 'reply', PONG, 'est|rpl|trk'],
  ]),
  tape('icmp_first at 60000 ms', [
    [0, 'orig', PING, 'new|trk'],
    [60_000, 'reply', PONG, 'icmp-not-request'],
  ]),
  tape('icmp_first, the request sent again', [
    [0, 'orig', PING, 'new|trk'],
    [50_000, 'orig', PING, 'new|trk'],
    [109_999, 'reply', PONG, 'est|rpl|trk'],
  ]),
  tape('icmp_reply at 29999 ms', [
    [0, 'orig', PING, 'new|trk'],
    [1, 'reply', PONG, 'est|rpl|trk'],
    [30_000, 'orig', PING, 'est|trk'],
  ]),
  tape('icmp_reply at 30000 ms', [
    [0, 'orig', PING, 'new|trk'],
    [1, 'reply', PONG, 'est|rpl|trk'],
    [30_001, 'orig', PING, 'new|trk'],
  ]),
  tape('an ended connection makes way for one the other way round', [
    [0, 'orig', tcp(), 'new|trk', 'SYN_SENT CLOSED'],
    [30_000, 'reply', tcp({ sport: 80, dport: 40000 }), 'new|trk', 'SYN_SENT CLOSED'],
    [30_001, 'orig', tcp({ flags: 'SA', ack: 0xffff_fff1 }), 'est|rpl|trk', 'ESTABLISHED SYN_SENT'],
  ]),
];

export const TIMEOUT_TAPES: readonly Tape[] = [...STATES.flatMap(edges), ...OTHERS];
