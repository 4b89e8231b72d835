/**
 * ICMP errors under NAT: the header outside, the packet quoted inside, and the checksum over both, with quotes cut off
 * at every length.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REWRITE_SRC } from '../../src/nat/rewrite.js';
import { FACT } from '../../src/wire/facts.js';
import {
  type Extension,
  frame,
  icmp,
  icmpv6,
  ipv4,
  ipv6,
  join,
  raw,
  sctp,
  type Transport,
  tcp,
  u16,
  u32,
  udp,
} from '../support/frames.js';
import { crc32c, internetSum } from '../support/sums.js';
import { assertRewritten, ENDS, factsOf, rewriteWith, START } from './rewritten.js';

/** One end of a connection. */
interface End {
  readonly address: string;
  readonly port: number;
}

const PAYLOAD = 'the quoted payload';

/** The quoted message, sent from the one to the other end. */
type Maker = (from: End, to: End) => Transport;
/** Of the quoted message: where its checksum is, and how many bytes must be there for ports or identifier. */
interface Layout {
  readonly checksum: number;
  readonly wanted: number;
}

const MAKERS: readonly (readonly [name: string, families: readonly (4 | 6)[], layout: Layout, make: Maker])[] = [
  [
    'tcp',
    [4, 6],
    { checksum: 16, wanted: 4 },
    (from, to) => tcp({ sport: from.port, dport: to.port, payload: PAYLOAD }),
  ],
  [
    'udp',
    [4, 6],
    { checksum: 6, wanted: 4 },
    (from, to) => udp({ sport: from.port, dport: to.port, payload: PAYLOAD }),
  ],
  [
    'udp without a checksum',
    [4],
    { checksum: 6, wanted: 4 },
    (from, to) => udp({ sport: from.port, dport: to.port, payload: PAYLOAD, checksum: 0 }),
  ],
  ['sctp', [4, 6], { checksum: 8, wanted: 4 }, (from, to) => sctp({ sport: from.port, dport: to.port })],
  ['icmp echo', [4], { checksum: 2, wanted: 8 }, from => icmp({ id: from.port, payload: PAYLOAD })],
  ['icmpv6 echo', [6], { checksum: 2, wanted: 8 }, from => icmpv6({ id: from.port, payload: PAYLOAD })],
  ['another protocol', [4, 6], { checksum: 64, wanted: 0 }, () => raw(47, PAYLOAD)],
];

interface Shape {
  readonly family: 4 | 6;
  readonly options?: readonly number[];
  readonly extensions?: readonly Extension[];
}

const SHAPES: readonly Shape[] = [
  { family: 4 },
  { family: 4, options: [1, 1, 1, 1, 1, 1, 1, 0] },
  { family: 6 },
  { family: 6, extensions: [{ kind: 'hop-by-hop' }, { kind: 'destination', size: 16 }] },
];

/** Bytes of the quoted header, extensions included. */
function headerBytes({ family, options = [], extensions = [] }: Shape): number {
  return family === 4 ? 20 + options.length : extensions.reduce((sum, { size = 8 }) => sum + size, 40);
}

/**
 * An error on its way to `client`, or from it when `end` is the source that is translated: it quotes what the receiver
 * has sent to the other end.
 */
function errorFrame(shape: Shape, sender: string, peer: End, receiver: End, make: Maker): Uint8Array {
  const { family, options = [], extensions = [] } = shape;
  const quoted = { src: receiver.address, dst: peer.address };
  const outside = { src: sender, dst: receiver.address };
  const message = make(receiver, peer);
  const trailer = [0xee, 0xee, 0xee];
  if (family === 4) {
    const payload = ipv4({ ...quoted, options }, message).bytes;
    return frame(ipv4(outside, icmp({ type: 3, code: 4, sequence: 1400, payload })), { trailer });
  }
  const payload = ipv6({ ...quoted, extensions }, message).bytes;
  return frame(ipv6(outside, icmpv6({ type: 2, id: 0, sequence: 1400, payload })), { trailer });
}

const ADDRESSES = {
  4: { peer: '192.0.2.1', receiver: '10.0.0.9', router: '198.51.100.7', others: ['203.0.113.5', '172.31.255.255'] },
  6: {
    peer: '2001:db8::1',
    receiver: 'fd00::9',
    router: '2001:db8:ff::7',
    others: ['fd77:1:2:3::5', '2001:db8:9::ffff'],
  },
} as const;

/** The same error before and after NAT of `end`. */
function beforeAndAfter(shape: Shape, end: number, make: Maker): readonly [Uint8Array, Uint8Array] {
  const { peer, receiver, router, others } = ADDRESSES[shape.family];
  const isSource = (end & REWRITE_SRC) !== 0;
  const isDestination = end !== REWRITE_SRC;
  const peerBefore = { address: peer, port: 80 };
  const receiverBefore = { address: receiver, port: 40_000 };
  const peerAfter = { address: isSource ? others[0] : peer, port: 8080 };
  const receiverAfter = { address: isDestination ? others[1] : receiver, port: 1025 };
  // A router in front of the destination end keeps its address; the source end hides everyone behind its own.
  return [
    errorFrame(shape, isSource ? peer : router, peerBefore, receiverBefore, make),
    errorFrame(shape, isSource ? others[0] : router, peerAfter, receiverAfter, make),
  ];
}

for (const [name, families, , make] of MAKERS) {
  for (const [endName, end] of ENDS) {
    test(`an error that quotes ${name}: ${endName}`, () => {
      for (const shape of SHAPES.filter(({ family }) => families.includes(family))) {
        const [before, after] = beforeAndAfter(shape, end, make);
        assertRewritten(before, after, end, `IPv${shape.family}, header of ${headerBytes(shape)} bytes`);
      }
    });
  }
}

test('a router behind the translated source speaks with the address of the NAT', () => {
  const make: Maker = (from, to) => udp({ sport: from.port, dport: to.port });
  const receiver = { address: '192.0.2.1', port: 53 };
  const before = errorFrame({ family: 4 }, '10.0.0.254', { address: '10.0.0.1', port: 999 }, receiver, make);
  const after = errorFrame({ family: 4 }, '203.0.113.5', { address: '203.0.113.5', port: 1999 }, receiver, make);
  const rewritten = rewriteWith(before, factsOf(before), factsOf(after), REWRITE_SRC);
  assert.deepEqual(rewritten, after);
});

/** Where things are in the frames of {@link errorFrame}. */
function placesIn(facts: Int32Array, shape: Shape) {
  const l4 = facts[FACT.L4] - START;
  const quoted = l4 + 8;
  return { l3: facts[FACT.L3] - START, l4, quoted, inner: quoted + headerBytes(shape) };
}

/** The quote as it should be, `length` bytes long, out of what is there before and after. */
function expectedQuote(
  before: Uint8Array,
  after: Uint8Array,
  length: number,
  header: number,
  layout: Layout,
): Uint8Array {
  const expected = before.slice(0, length);
  if (length < header) return expected;
  expected.set(after.subarray(0, header));
  const copy = (from: number, end: number) => expected.set(after.subarray(header + from, header + end), header + from);
  const there = length - header;
  if (layout.wanted > 0 && there >= layout.wanted) copy(0, 2);
  if (layout.wanted === 4 && there >= 4) copy(2, 4);
  if (layout.wanted === 8 && there >= 8) copy(4, 6);
  // ICMP's checksum lies in the two bytes before the identifier.
  if (layout.wanted === 8) expected.set(before.subarray(header, Math.min(header + 4, length)), header);
  return expected;
}

/** Asserts that the Internet checksum over a message, which covers the addresses over IPv6, is right. */
function assertSealed(bytes: Uint8Array, l3: number, l4: number, end: number, isIpv6: boolean, what: string): void {
  const message = bytes.subarray(l4, end);
  const pseudo = isIpv6 ? join(bytes.subarray(l3 + 8, l3 + 40), u32(message.length), [0, 0, 0, 58]) : new Uint8Array(0);
  assert.equal(internetSum(join(pseudo, message)), 0xffff, what);
}

/** The checksum of a cut SCTP packet: off by what the difference of the ports amounts to over what is there. */
function cutSctp(before: Uint8Array, expected: Uint8Array): number {
  const crcOf = (bytes: Uint8Array) => crc32c(join(bytes.subarray(0, 8), [0, 0, 0, 0], bytes.subarray(12)));
  const old = new DataView(before.buffer, before.byteOffset).getUint32(8, true);
  return (old ^ crcOf(before) ^ crcOf(expected)) >>> 0;
}

for (const [name, families, layout, make] of MAKERS) {
  test(`a quote of ${name} cut off at every length`, () => {
    for (const shape of SHAPES.filter(({ family }) => families.includes(family))) {
      for (const [endName, end] of ENDS) {
        const [before, after] = beforeAndAfter(shape, end, make);
        const facts = factsOf(before);
        const tuple = factsOf(after);
        const { l3, l4, quoted, inner } = placesIn(facts, shape);
        const header = inner - quoted;
        const whole = facts[FACT.L4_END] - START - quoted;
        for (let length = 0; length <= whole; length++) {
          const what = `IPv${shape.family}, ${endName}, ${length} bytes`;
          const cut = facts.slice();
          cut[FACT.L4_END] = START + quoted + length;
          const result = rewriteWith(before, cut, tuple, end);
          const expected = expectedQuote(before.subarray(quoted), after.subarray(quoted), length, header, layout);
          const at = header + layout.checksum;
          const size = name === 'sctp' ? 4 : 2;
          if (at + size <= length) {
            if (name === 'sctp') {
              const sum = cutSctp(before.subarray(inner, quoted + length), expected.subarray(header));
              expected.set(u32(sum).reverse(), at);
            } else {
              // Without the bytes behind it the identifier stays, and with it the checksum of ICMP.
              const isWhole = length - header >= layout.wanted;
              if (isWhole) expected.set(after.subarray(quoted + at, quoted + at + 2), at);
              else expected.set(result.subarray(quoted + at, quoted + at + 2), at);
            }
          }
          assert.deepEqual(result.subarray(quoted, quoted + length), expected, what);
          assert.deepEqual(
            result.subarray(l3 + (shape.family === 4 ? 12 : 8), l4),
            after.subarray(l3 + (shape.family === 4 ? 12 : 8), l4),
            what,
          );
          assertSealed(result, l3, l4, quoted + length, shape.family === 6, what);
        }
      }
    }
  });
}

test('an error whose own header is cut off: nothing behind the IP header is touched', () => {
  const [before, after] = beforeAndAfter({ family: 4 }, REWRITE_SRC, MAKERS[0][3]);
  const facts = factsOf(before);
  for (let length = 0; length < 8; length++) {
    facts[FACT.L4_END] = facts[FACT.L4] + length;
    const result = rewriteWith(before, facts, factsOf(after), REWRITE_SRC);
    assert.deepEqual(result.subarray(34), before.subarray(34));
    assert.deepEqual(result.subarray(14, 34), after.subarray(14, 34));
  }
});

test('a quoted header with a wrong checksum keeps its error', () => {
  const make: Maker = (from, to) => tcp({ sport: from.port, dport: to.port });
  const [before, after] = beforeAndAfter({ family: 4 }, REWRITE_SRC, make);
  // A router that counted the time to live down and left the checksum alone.
  const ttl = 14 + 20 + 8 + 8;
  for (const bytes of [before, after]) {
    bytes[ttl]--;
    const l4 = 34;
    bytes.set([0, 0], l4 + 2);
    bytes.set(u16(0xffff - internetSum(bytes.subarray(l4, bytes.length - 3))), l4 + 2);
  }
  assertRewritten(before, after, REWRITE_SRC, 'time to live');
});
