/**
 * Tapes of everything but TCP. "First, single, multiple" and the ICMP rules are OVS's (`conntrack-other.c`,
 * `conntrack-icmp.c`, `extract_l4_icmp()`), what an ICMP error quotes is RFC 792 and RFC 4443. Played to Open vSwitch
 * 3.1.0 and 4.0.90.
 */
import { icmp, icmpv6, ipv4, ipv6, raw, sctp, type Transport, tcp, udp } from '../support/frames.js';
import { type Direction, NONE, type Step, type Tape, type Verdict } from './tape.js';

type Row = readonly [atMs: number, direction: Direction, transport: Transport, verdict: Verdict, peers?: string];

export function tape(name: string, rows: readonly Row[], family: 4 | 6 = 4): Tape {
  const steps = rows.map(([atMs, direction, transport, verdict, peers]): Step => {
    return { atMs, direction, transport, verdict, peers };
  });
  return { name, rule: 'OVS', steps, family };
}

/** Both directions of a protocol, by turns. */
const PAIRS: readonly (readonly [name: string, there: Transport, back: Transport])[] = [
  ['UDP', udp(), udp({ sport: 53, dport: 40000 })],
  ['SCTP', sctp(), sctp({ sport: 3868, dport: 40000 })],
  ['GRE', raw(47, [0, 0, 8, 0]), raw(47, [0, 0, 8, 0])],
  ['protocol 253', raw(253), raw(253)],
];

const QUERIES: readonly (readonly [name: string, request: Transport, answer: Transport, family: 4 | 6])[] = [
  ['ICMP echo', icmp({ type: 8 }), icmp({ type: 0 }), 4],
  [
    'ICMP timestamp',
    icmp({ type: 13, payload: new Uint8Array(12) }),
    icmp({ type: 14, payload: new Uint8Array(12) }),
    4,
  ],
  ['ICMP information', icmp({ type: 15 }), icmp({ type: 16 }), 4],
  ['ICMPv6 echo', icmpv6({ type: 128 }), icmpv6({ type: 129 }), 6],
];

function pairTapes([name, there, back]: (typeof PAIRS)[number]): Tape[] {
  return [
    tape(`${name}: first, single, multiple`, [
      [0, 'orig', there, 'new|trk'],
      [1, 'orig', there, 'new|trk'],
      [2, 'orig', there, 'new|trk'],
      [3, 'reply', back, 'est|rpl|trk'],
      [4, 'orig', there, 'est|trk'],
      [5, 'reply', back, 'est|rpl|trk'],
    ]),
    tape(`${name}: answered at once`, [
      [0, 'orig', there, 'new|trk'],
      [1, 'reply', back, 'est|rpl|trk'],
      [2, 'reply', back, 'est|rpl|trk'],
      [3, 'orig', there, 'est|trk'],
    ]),
  ];
}

function queryTapes([name, request, answer, family]: (typeof QUERIES)[number]): Tape[] {
  const rows: readonly Row[] = [
    [0, 'orig', request, 'new|trk'],
    [1, 'orig', request, 'new|trk'],
    [2, 'reply', answer, 'est|rpl|trk'],
    [3, 'orig', request, 'est|trk'],
    [4, 'reply', answer, 'est|rpl|trk'],
  ];
  return [
    tape(name, rows, family),
    tape(`${name}: an answer opens nothing`, [[0, 'orig', answer, 'icmp-not-request', NONE]], family),
    // With the roles changed it is a query of its own, and the first one goes on.
    tape(`${name}: the other side asks too`, [...rows.slice(0, 3), [3, 'reply', request, 'new|trk']], family),
  ];
}

export const OTHER_TAPES: readonly Tape[] = [...PAIRS.flatMap(pairTapes), ...QUERIES.flatMap(queryTapes)];

const THERE = { src: '10.0.0.1', dst: '10.0.0.2' };
const BACK = { src: '10.0.0.2', dst: '10.0.0.1' };
const REQUEST = ipv4(THERE, udp()).bytes;
const ANSWER = ipv4(BACK, udp({ sport: 53, dport: 40000 })).bytes;
const THERE6 = { src: '2001:db8::1', dst: '2001:db8::2' };
const BACK6 = { src: '2001:db8::2', dst: '2001:db8::1' };

function error(type: number, payload: Uint8Array): Transport {
  return icmp({ type, code: type === 3 ? 3 : 0, id: 0, sequence: 0, payload });
}

const ERROR_TYPES = [3, 4, 5, 11, 12];
const ERROR_TYPES_V6 = [1, 2, 3, 4];

export const ERROR_TAPES: readonly Tape[] = [
  ...ERROR_TYPES.map(type =>
    tape(`ICMP type ${type} in both directions`, [
      [0, 'orig', udp(), 'new|trk'],
      [1, 'reply', error(type, REQUEST), 'rel|rpl|trk'],
      [2, 'reply', udp({ sport: 53, dport: 40000 }), 'est|rpl|trk'],
      [3, 'orig', error(type, ANSWER), 'rel|trk'],
      [4, 'reply', error(type, REQUEST), 'rel|rpl|trk'],
    ]),
  ),
  ...ERROR_TYPES_V6.map(type => {
    const quote = (where: typeof THERE6, transport: Transport) =>
      icmpv6({ type, id: 0, sequence: 0, payload: ipv6(where, transport).bytes });
    return tape(
      `ICMPv6 type ${type} in both directions`,
      [
        [0, 'orig', udp(), 'new|trk'],
        [1, 'reply', quote(THERE6, udp()), 'rel|rpl|trk'],
        [2, 'reply', udp({ sport: 53, dport: 40000 }), 'est|rpl|trk'],
        [3, 'orig', quote(BACK6, udp({ sport: 53, dport: 40000 })), 'rel|trk'],
      ],
      6,
    );
  }),
  {
    name: 'from a router on the way',
    rule: 'RFC 792, OVS',
    steps: [
      { atMs: 0, direction: 'orig', transport: udp(), verdict: 'new|trk' },
      { atMs: 1, direction: 'reply', from: '192.0.2.1', transport: error(11, REQUEST), verdict: 'rel|rpl|trk' },
    ],
  },
  tape('about nothing that is known', [
    [0, 'reply', error(3, REQUEST), 'icmp-error-unrelated', NONE],
    [1, 'orig', udp(), 'new|trk'],
    [2, 'reply', error(3, ipv4(THERE, udp({ dport: 54 })).bytes), 'icmp-error-unrelated'],
    [3, 'reply', error(3, ipv4(THERE, tcp({ dport: 53 })).bytes), 'icmp-error-unrelated'],
  ]),
  tape('quoting eight bytes of TCP', [
    [0, 'orig', tcp(), 'new|trk'],
    [1, 'reply', error(3, ipv4(THERE, tcp()).bytes.subarray(0, 28)), 'rel|rpl|trk', 'SYN_SENT CLOSED'],
  ]),
  tape('about a ping', [
    [0, 'orig', icmp(), 'new|trk'],
    [1, 'reply', error(3, ipv4(THERE, icmp()).bytes), 'rel|rpl|trk'],
  ]),
  tape('does not prolong the connection', [
    [0, 'orig', udp(), 'new|trk'],
    [59_999, 'reply', error(3, REQUEST), 'rel|rpl|trk'],
    [60_000, 'reply', error(3, REQUEST), 'icmp-error-unrelated'],
  ]),
];
