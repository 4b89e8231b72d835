/**
 * IPv6 headers and extension headers (RFC 8200, RFC 4302). The checks are those of OVS's `ipv6_sanity_check()`,
 * `parse_ipv6_ext_hdrs()` and `extract_l3_ipv6()`, which refuses every fragment but the atomic one.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Extension, frame, ipv6, raw, tcp, udp } from '../support/frames.js';
import { cut, parse, reasonOf } from './parsed.js';

const IP = 14;
const UPPER = IP + 40;

test('the facts of a packet', () => {
  const packet = ipv6(
    { src: 'fe80:1:2:3:4:5:6:7', dst: '2001:db8::ffff:8000:1' },
    udp({ sport: 0xfffe, dport: 53, payload: [1, 2, 3] }),
  );
  assert.deepEqual(parse(frame(packet, { trailer: [9, 9] })), {
    reason: 'none',
    family: 6,
    protocol: 17,
    src: [0xfe800001, 0x00020003, 0x00040005, 0x00060007],
    dst: [0x20010db8, 0, 0x0000ffff, 0x80000001],
    ports: [0xfffe, 53],
    reversed: [53, 0xfffe],
    l3: 14,
    l4: 54,
    l4End: 65,
    related: false,
  });
});

test('every cut of a frame is refused', () => {
  const whole = frame(ipv6({ extensions: [{ kind: 'hop-by-hop' }] }, udp({ payload: 'payload' })));
  for (let length = IP; length < whole.length; length++) {
    assert.equal(reasonOf(cut(whole, length)), length < UPPER ? 'ipv6-truncated' : 'ipv6-payload-length', `${length}`);
  }
});

test('a payload length longer than the frame', () => {
  for (const payloadLength of [9, 10, 65535]) {
    assert.equal(reasonOf(frame(ipv6({ payloadLength }, udp()))), 'ipv6-payload-length');
  }
});

test('what lies beyond the payload length is not part of the packet', () => {
  assert.equal(reasonOf(frame(ipv6({ payloadLength: 7 }, udp()))), 'udp-truncated');
  assert.equal(reasonOf(frame(ipv6({ payloadLength: 0 }, udp()))), 'udp-truncated');
  const extensions: Extension[] = [{ kind: 'destination', size: 16 }];
  assert.equal(reasonOf(frame(ipv6({ extensions, payloadLength: 15 }, udp()))), 'ipv6-extension-header');
});

test('more padding than 16 bits count is a wrong payload length, as in OVS', () => {
  assert.equal(reasonOf(frame(ipv6({}, udp()), { trailer: new Uint8Array(65_535) })), 'none');
  assert.equal(reasonOf(frame(ipv6({}, udp()), { trailer: new Uint8Array(65_536) })), 'ipv6-payload-length');
});

test('the longest packet there is', () => {
  const facts = parse(frame(ipv6({}, udp({ payload: new Uint8Array(65535 - 8) }))));
  assert.deepEqual([facts.reason, facts.l4End - facts.l4], ['none', 65535]);
});

const CHAINS: readonly [name: string, extensions: readonly Extension[], bytes: number][] = [
  ['hop-by-hop options', [{ kind: 'hop-by-hop' }], 8],
  ['long hop-by-hop options', [{ kind: 'hop-by-hop', size: 64 }], 64],
  ['the longest destination options', [{ kind: 'destination', size: 2048 }], 2048],
  ['routing', [{ kind: 'routing', size: 24 }], 24],
  ['the shortest authentication', [{ kind: 'authentication', size: 8 }], 8],
  ['authentication in units of four bytes', [{ kind: 'authentication', size: 28 }], 28],
  ['an atomic fragment', [{ kind: 'fragment' }], 8],
  ['an atomic fragment before options', [{ kind: 'fragment' }, { kind: 'destination' }], 16],
  ['hop-by-hop options out of place', [{ kind: 'destination' }, { kind: 'hop-by-hop' }], 16],
  [
    'every kind, in the order of RFC 8200',
    [
      { kind: 'hop-by-hop' },
      { kind: 'destination', size: 16 },
      { kind: 'routing', size: 40 },
      { kind: 'fragment' },
      { kind: 'authentication', size: 24 },
      { kind: 'destination' },
    ],
    104,
  ],
  ['a hundred of them', new Array<Extension>(100).fill({ kind: 'destination' }), 800],
];

for (const [name, extensions, bytes] of CHAINS) {
  test(`walked: ${name}`, () => {
    const facts = parse(frame(ipv6({ extensions }, tcp())));
    assert.deepEqual([facts.reason, facts.protocol, facts.l4 - UPPER, facts.ports], ['none', 6, bytes, [40000, 80]]);
  });

  test(`cut short: ${name}`, () => {
    for (let payloadLength = 0; payloadLength < bytes; payloadLength++) {
      const reason = reasonOf(frame(ipv6({ extensions, payloadLength }, tcp())));
      assert.equal(reason, 'ipv6-extension-header', `${payloadLength} of ${bytes} bytes`);
    }
    assert.equal(reasonOf(frame(ipv6({ extensions, payloadLength: bytes }, tcp()))), 'tcp-truncated');
  });
}

test('an extension header longer than the packet', () => {
  for (const kind of ['hop-by-hop', 'routing', 'destination', 'authentication'] as const) {
    const fits = { kind, length: kind === 'authentication' ? 5 : 2 } as const;
    assert.equal(reasonOf(frame(ipv6({ extensions: [fits] }, tcp()))), 'tcp-truncated', kind);
    for (const length of [fits.length + 1, 255]) {
      const reason = reasonOf(frame(ipv6({ extensions: [{ kind, length }] }, tcp())));
      assert.equal(reason, 'ipv6-extension-header', `${kind} of length ${length}`);
    }
  }
});

test('any other next header ends the walk and is the protocol', () => {
  for (const protocol of [1, 4, 41, 47, 50, 59, 135, 139, 140, 255]) {
    const facts = parse(frame(ipv6({ extensions: [{ kind: 'routing' }] }, raw(protocol, [44, 0, 0, 1]))));
    assert.deepEqual([facts.reason, facts.protocol, facts.ports, facts.l4], ['none', protocol, [0, 0], UPPER + 8]);
  }
});

const FRAGMENTS: readonly [name: string, extension: Extension][] = [
  ['the first of several', { kind: 'fragment', more: true }],
  ['one in the middle', { kind: 'fragment', offset: 185, more: true }],
  ['the last', { kind: 'fragment', offset: 1 }],
  ['the last possible', { kind: 'fragment', offset: 0x1fff }],
  ['atomic but for a reserved bit', { kind: 'fragment', reserved: 1 }],
];

for (const [name, extension] of FRAGMENTS) {
  test(`fragment refused, with addresses to steer it by: ${name}`, () => {
    const src = '2001:db8:0:1::5';
    for (const before of [[], [{ kind: 'hop-by-hop' }]] satisfies Extension[][]) {
      const facts = parse(frame(ipv6({ src, extensions: [...before, extension] }, udp())));
      assert.deepEqual([facts.reason, facts.family], ['ipv6-fragment', 6]);
      assert.deepEqual(facts.src, [0x20010db8, 1, 0, 5]);
      assert.deepEqual(facts.dst, [0x20010db8, 0, 0, 2]);
    }
  });
}

test('the first fragment says which protocol it carries, the others do not', () => {
  const protocolOf = (fragment: Omit<Extension, 'kind'>) =>
    parse(frame(ipv6({ extensions: [{ kind: 'fragment', ...fragment }, { kind: 'destination' }] }, udp()))).protocol;
  assert.deepEqual(
    [protocolOf({ more: true }), protocolOf({ offset: 1, more: true }), protocolOf({ offset: 9 })],
    [17, 44, 44],
  );
});

test('behind the header of a later fragment nothing is read', () => {
  const extensions: Extension[] = [
    { kind: 'fragment', offset: 7 },
    { kind: 'routing', length: 255 },
  ];
  assert.equal(reasonOf(frame(ipv6({ extensions }, udp()))), 'ipv6-fragment');
});

test('a fragment is refused even when an atomic one follows', () => {
  const extensions: Extension[] = [{ kind: 'fragment', more: true }, { kind: 'fragment' }];
  assert.equal(reasonOf(frame(ipv6({ extensions }, udp()))), 'ipv6-fragment');
});
