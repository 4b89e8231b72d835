/**
 * Filters: the compiled form against a matcher that compares copies field by field, and the text form against Open
 * vSwitch's messages.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { dumpConnections } from '../../src/control/dump.js';
import type { ConnectionEntry, Tuple } from '../../src/control/entry.js';
import { type ConnectionFilter, compileFilter, type TupleFilter } from '../../src/control/filter.js';
import { FilterError, parseFilter } from '../../src/control/filter-text.js';
import { formatConnection, tcpStateOf } from '../../src/control/format.js';
import { isOvsAvailable, Ovs } from '../support/ovs.js';
import { type Random, withSeed } from '../support/random.js';
import { IPV4, IPV6, PORTS } from './kinds.js';
import { populate } from './populate.js';

function tupleMeets(tuple: Tuple, wanted: TupleFilter | undefined): boolean {
  if (wanted === undefined) return true;
  const { src, dst, srcPort, dstPort, icmp } = wanted;
  if (src !== undefined && src !== tuple.src) return false;
  if (dst !== undefined && dst !== tuple.dst) return false;
  if (srcPort !== undefined && (tuple.icmp || srcPort !== tuple.srcPort)) return false;
  if (dstPort !== undefined && (tuple.icmp || dstPort !== tuple.dstPort)) return false;
  if (icmp === undefined) return true;
  if (tuple.icmp === undefined) return false;
  return (['id', 'type', 'code'] as const).every(part => icmp[part] === undefined || icmp[part] === tuple.icmp?.[part]);
}

function entryMeets(entry: ConnectionEntry, filter: ConnectionFilter): boolean {
  const { zone, protocol, isIpv6, original, reply, either, mark, label, tcpState } = filter;
  const markMask = BigInt(mark?.mask ?? 0xffffffff);
  const labelMask = label?.mask ?? (1n << 128n) - 1n;
  return (
    (zone === undefined || zone === entry.zone) &&
    (protocol === undefined || protocol === entry.protocol) &&
    (isIpv6 === undefined || isIpv6 === entry.isIpv6) &&
    tupleMeets(entry.original, original) &&
    tupleMeets(entry.reply, reply) &&
    (tupleMeets(entry.original, either) || tupleMeets(entry.reply, either)) &&
    (mark === undefined || (BigInt(mark.value) & markMask) === (BigInt(entry.mark) & markMask)) &&
    (label === undefined || (label.value & labelMask) === (entry.label & labelMask)) &&
    (tcpState === undefined || (entry.tcp !== undefined && tcpStateOf(entry.tcp) === tcpState))
  );
}

function randomTuple(random: Random, addresses: readonly string[], hasPorts: boolean): TupleFilter {
  const ends = hasPorts
    ? {
        ...(random.chance(0.3) ? { srcPort: random.pick([0, ...PORTS]) } : {}),
        ...(random.chance(0.3) ? { dstPort: random.pick([0, ...PORTS]) } : {}),
      }
    : {
        icmp: {
          ...(random.chance(0.5) ? { id: random.between(0, 3) } : {}),
          ...(random.chance(0.5) ? { type: random.pick([0, 8, 13, 128, 129]) } : {}),
          ...(random.chance(0.2) ? { code: random.below(2) } : {}),
        },
      };
  return {
    ...(random.chance(0.5) ? { src: random.pick(addresses) } : {}),
    ...(random.chance(0.5) ? { dst: random.pick(addresses) } : {}),
    ...(random.chance(0.6) ? ends : {}),
  };
}

function randomFilter(random: Random): ConnectionFilter {
  const isIpv6 = random.chance(0.5);
  const addresses = isIpv6 ? [...IPV6, '2001:db8::1'] : [...IPV4, '192.0.2.1', '198.51.100.1'];
  const hasPorts = random.chance(0.7);
  return {
    ...(random.chance(0.2) ? { zone: random.pick([0, 5, 7, 9]) } : {}),
    ...(random.chance(0.2) ? { protocol: random.pick([1, 6, 17, 58, 112, 132]) } : {}),
    ...(random.chance(0.2) ? { isIpv6 } : {}),
    ...(random.chance(0.3) ? { original: randomTuple(random, addresses, hasPorts) } : {}),
    ...(random.chance(0.3) ? { reply: randomTuple(random, addresses, hasPorts) } : {}),
    ...(random.chance(0.3) ? { either: randomTuple(random, addresses, hasPorts) } : {}),
    ...(random.chance(0.1) ? { mark: { value: random.pick([0, 3, 0x12, 0x8000_0012]) } } : {}),
    ...(random.chance(0.1) ? { mark: { value: 0xffff_fff2, mask: random.pick([0, 2, 0x8000_0010]) } } : {}),
    ...(random.chance(0.1) ? { label: { value: random.pick([0n, 1n]) } } : {}),
    ...(random.chance(0.1) ? { label: { value: 1n << 120n, mask: random.pick([0n, 255n << 120n, 1n]) } } : {}),
    ...(random.chance(0.1) ? { tcpState: random.pick(['SYN_SENT', 'ESTABLISHED', 'CLOSED'] as const) } : {}),
  };
}

/** In an order of their own: a dump has none. */
function texts(entries: readonly ConnectionEntry[]): string[] {
  return entries.map(entry => `${entry.expiresMs} ${formatConnection(entry, { more: true })}`).sort();
}

test('a filtered dump has what a matcher of copies picks', () => {
  withSeed(31, random => {
    const { tracker } = populate(random, 3000);
    const all = [...dumpConnections(tracker, 0)];
    assert.ok(all.length > 300, `${all.length} connections`);
    let met = 0;
    for (let round = 0; round < 2000; round++) {
      const filter = randomFilter(random);
      const wanted = all.filter(entry => entryMeets(entry, filter));
      assert.deepEqual(texts([...dumpConnections(tracker, 0, filter)]), texts(wanted));
      if (wanted.length > 0 && wanted.length < all.length) met++;
    }
    assert.ok(met > 400, `${met} filters that pick some`);
  });
});

test('each connection is found by its own tuples', () => {
  withSeed(32, random => {
    const { tracker } = populate(random, 1000);
    for (const entry of dumpConnections(tracker, 0)) {
      const { zone, protocol, original, reply } = entry;
      const bare = ({ src, dst, srcPort, dstPort, icmp }: Tuple): TupleFilter =>
        icmp ? { src, dst, icmp } : { src, dst, srcPort, dstPort };
      const filter = { zone, protocol, original: bare(original), reply: bare(reply) };
      assert.deepEqual([...dumpConnections(tracker, 0, filter)], [entry]);
      assert.ok([...dumpConnections(tracker, 0, { zone, either: bare(reply) })].some(e => e.zone === zone));
    }
  });
});

test('a filter that cannot be met is refused', () => {
  const wrong: readonly (readonly [ConnectionFilter, RegExp])[] = [
    [{ zone: 65_536 }, /zone must be/],
    [{ protocol: -1 }, /protocol must be/],
    [{ original: { src: '10.0.0.256' } }, /original.src is not an IP address/],
    [{ original: { src: '10.0.0.1' }, reply: { src: '::1' } }, /not for both/],
    [{ isIpv6: true, either: { dst: '10.0.0.1' } }, /not for both/],
    [{ reply: { srcPort: 70_000 } }, /reply.srcPort must be/],
    [{ reply: { srcPort: 1, icmp: {} } }, /not both/],
    [{ mark: { value: 2 ** 32 } }, /mark.value must be/],
    [{ label: { value: 1n << 128n } }, /label.value must have/],
    [{ tcpState: 'FIN_WAIT_2' }, /no connection is shown in TCP state "FIN_WAIT_2"/],
  ];
  for (const [filter, message] of wrong) assert.throws(() => compileFilter(filter), { name: 'RangeError', message });
});

/** Message of Open vSwitch; in 3.1 it has no marks and labels, and takes any number of words. */
const MESSAGES: readonly (readonly [args: string, message: string, since?: 'later'])[] = [
  ['zone=x', 'failed to parse zone'],
  ['zone=', 'failed to parse zone'],
  ['mark=x', 'failed to parse mark', 'later'],
  ['mark=', 'failed to parse mark', 'later'],
  ['mark=0x1ffffffff', 'failed to parse mark', 'later'],
  ['labels=x', 'failed to parse labels', 'later'],
  ['zone=1 labels=1 mark=1', 'invalid conntrack tuple field: mark', 'later'],
  ['ct_nw_src=1.1.1.1,ct_ipv6_src=::1', 'the L3 protocol does not match ::1'],
  ['ct_ipv6_src=::1 ct_nw_dst=1.1.1.1', 'the L3 protocol does not match 1.1.1.1'],
  ['ct_nw_src=1.1.1.1,ct_nw_src=1.1.1.2', 'ct_nw_src is set multiple times'],
  ['ct_ipv6_dst=::1,ct_ipv6_dst=::1', 'ct_ipv6_dst is set multiple times'],
  ['icmp_id=1', 'invalid L4 fields'],
  ['ct_nw_proto=6,icmp_type=8', 'invalid L4 fields'],
  ['foo=1', 'invalid conntrack tuple field: foo'],
  ['zone=1 zone=2', 'invalid conntrack tuple field: zone'],
  ['ct_nw_src=', 'field ct_nw_src missing value'],
  ['ct_nw_src', 'field ct_nw_src missing value'],
  ['ct_tp_src=1', 'port is set without protocol'],
  ['ct_nw_proto=256', 'failed to parse field ct_nw_proto'],
  ['ct_nw_proto=tcp', 'failed to parse field ct_nw_proto'],
  ['ct_nw_src=1.1.1', 'failed to parse field ct_nw_src'],
  ['ct_nw_src=1.1.1.01', 'failed to parse field ct_nw_src'],
  ['ct_ipv6_src=1.1.1.1', 'failed to parse field ct_ipv6_src'],
  ['ct_nw_proto=6,ct_tp_dst=65536', 'failed to parse field ct_tp_dst'],
  ['ct_nw_proto=6,ct_tp_src=-1', 'failed to parse field ct_tp_src'],
  ['ct_nw_proto=1,icmp_code=256', 'failed to parse field icmp_code'],
  ['ct_nw_proto=6 ct_nw_src=1.1.1.1 extra', 'invalid arguments', 'later'],
];

test('text that cannot be read has the messages of Open vSwitch', () => {
  for (const [args, message] of MESSAGES) {
    assert.throws(() => parseFilter(args.split(' ')), new FilterError(message), args);
  }
  // Open vSwitch takes these for something else than what they say.
  const refused = [
    ['zone=65536', 'failed to parse zone'],
    ['zone=5x', 'failed to parse zone'],
    ['zone=-1', 'failed to parse zone'],
    ['mark=5/x', 'failed to parse mark'],
    ['labels=5/', 'failed to parse labels'],
    ['ct_nw_proto=6,ct_nw_proto=17', 'ct_nw_proto is set multiple times'],
    ['ct_nw_proto=1,ct_tp_src=5', 'invalid L4 fields'],
  ];
  for (const [args, message] of refused) {
    assert.throws(() => parseFilter(args.split(' ')), new FilterError(message), args);
  }
});

test('what is no array of texts is refused in one line', () => {
  const cases: readonly (readonly [args: unknown, message: string])[] = [
    [undefined, 'args must be an array: undefined'],
    ['zone=5', 'args must be an array: "zone=5"'],
    [[5], 'a word of args must be a text: 5'],
    [['zone=5', null], 'a word of args must be a text: null'],
  ];
  for (const [args, message] of cases) {
    assert.throws(() => parseFilter(args as readonly string[]), { name: 'TypeError', message });
  }
});

test('text that can be read', () => {
  const icmpZero = { icmp: { id: 0, type: 0, code: 0 } };
  const cases: readonly (readonly [args: readonly string[], filter: ConnectionFilter])[] = [
    [[], { original: {}, reply: {} }],
    [['zone=0x5'], { zone: 5, original: {}, reply: {} }],
    [
      ['mark=010/0xff', 'labels=0x10000000000000000'],
      {
        mark: { value: 8, mask: 255 },
        label: { value: 1n << 64n, mask: (1n << 128n) - 1n },
        original: {},
        reply: {},
      },
    ],
    [['', 'ct_nw_dst=10.0.0.1'], { isIpv6: false, original: {}, reply: { dst: '10.0.0.1' } }],
    [['ct_ipv6_src=::,ct_nw_proto=6,ct_tp_src=0'], { isIpv6: true, protocol: 6, original: {}, reply: {} }],
    [['ct_nw_src=0.0.0.0'], { isIpv6: false, original: { src: '0.0.0.0' }, reply: {} }],
    [
      ['ct_nw_proto:0x6 ct_tp_src(+5)', 'ct_nw_proto=6,,ct_tp_dst=9'],
      { protocol: 6, original: { srcPort: 5 }, reply: { dstPort: 9 } },
    ],
    [
      ['ct_nw_src=1.1.1.1,ct_nw_dst=2.2.2.2,ct_nw_proto=17,ct_tp_src=1,ct_tp_dst=2'],
      { zone: 0, isIpv6: false, protocol: 17, either: { src: '1.1.1.1', dst: '2.2.2.2', srcPort: 1, dstPort: 2 } },
    ],
    [
      ['zone=3', 'ct_ipv6_src=::1,ct_ipv6_dst=::2,ct_nw_proto=58,icmp_id=7,icmp_type=128'],
      { zone: 3, isIpv6: true, protocol: 58, either: { src: '::1', dst: '::2', icmp: { id: 7, type: 128, code: 0 } } },
    ],
    [['ct_nw_proto=1'], { protocol: 1, original: icmpZero, reply: icmpZero }],
  ];
  for (const [args, filter] of cases) {
    assert.deepEqual(parseFilter(args), filter, args.join(' '));
    compileFilter(filter);
  }
});

const availability = isOvsAvailable();
describe('Open vSwitch says the same', { skip: availability.available ? false : availability.reason }, () => {
  let ovs: Ovs;
  before(async () => {
    ovs = await Ovs.start();
  });
  after(() => ovs?.stop());

  test('messages', async () => {
    const isFirst = / 3\.[12]\./.test(ovs.version);
    for (const [args, message, since] of MESSAGES) {
      if (since === 'later' && isFirst) continue;
      await assert.rejects(ovs.command('dpctl/flush-conntrack', ...args.split(' ')), (error: Error) => {
        assert.equal(error.message, `ovs-vswitchd: ${message} (Invalid argument)`, args);
        return true;
      });
    }
  });
});
