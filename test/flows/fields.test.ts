/**
 * What rules see of a frame, above all of one that is cut short, odd or wrong.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PACKET, PACKET_WORDS } from '../../src/engine/packet.js';
import { gatherHeaders, gatherTracking } from '../../src/flows/fields.js';
import { CT_END, CT_FIRST, FLOW_KEY_WORDS, KEY } from '../../src/flows/key.js';
import { KNOWN } from '../../src/wire/known.js';
import { withSeed } from '../support/random.js';
import { arpFrame, frame, icmp, icmpv6, ipv4, ipv6, other, raw, sctp, snap, tcp, udp } from './frames.js';

type Seen = Record<string, number>;

/** The words that are not 0, by name, MAC addresses aside. */
function seen(data: Uint8Array, { at = 5, known = 0, l3 = 0 } = {}): Seen {
  const memory = new DataView(new ArrayBuffer(at + data.length));
  new Uint8Array(memory.buffer).set(data, at);
  const key = new Int32Array(FLOW_KEY_WORDS).fill(-1, KEY.DL_TYPE, CT_FIRST);
  gatherHeaders(memory, at, at + data.length, known, l3, key);
  const found: Seen = {};
  const names = Object.entries(KEY);
  for (const [word, value] of key.entries()) {
    const [name, first] = names.findLast(([, start]) => start <= word) ?? ['?', 0];
    if (value === 0 || name.startsWith('DL_S') || name.startsWith('DL_D')) continue;
    found[word === first ? name : `${name}+${word - first}`] = value >>> 0;
  }
  return found;
}

const V4 = { DL_TYPE: 0x800, 'SRC+3': 0x0a000001, 'DST+3': 0x0a000002 };
const V6 = {
  DL_TYPE: 0x86dd,
  SRC: 0x20010db8,
  DST: 0x20010db8,
  'SRC+3': 1,
  'DST+3': 2,
};
const PORTS = { TP_SRC: 1000, TP_DST: 80 };

describe('what rules see of a frame', () => {
  const ports = { sport: 1000, dport: 80 };
  const cases: readonly (readonly [what: string, data: Uint8Array, seen: Seen])[] = [
    ['TCP', frame(ipv4({}, tcp({ ...ports, flags: 'SA' }))), { ...V4, NW_PROTO: 6, ...PORTS, TCP_FLAGS: 0x12 }],
    ['TCP on IPv6', frame(ipv6({}, tcp({ ...ports, flags: 'S' }))), { ...V6, NW_PROTO: 6, ...PORTS, TCP_FLAGS: 2 }],
    ['UDP', frame(ipv4({}, udp(ports))), { ...V4, NW_PROTO: 17, ...PORTS }],
    ['SCTP', frame(ipv4({}, sctp(ports))), { ...V4, NW_PROTO: 132, ...PORTS }],
    ['ICMP', frame(ipv4({}, icmp({ type: 8, code: 3 }))), { ...V4, NW_PROTO: 1, TP_SRC: 8, TP_DST: 3 }],
    ['ICMPv6', frame(ipv6({}, icmpv6({ type: 128 }))), { ...V6, NW_PROTO: 58, TP_SRC: 128 }],
    ['another protocol', frame(ipv4({}, raw(47, [1, 2, 3, 4]))), { ...V4, NW_PROTO: 47 }],
    ['ICMPv6 over IPv4', frame(ipv4({}, raw(58, new Array(8).fill(9)))), { ...V4, NW_PROTO: 58 }],
    [
      'a wrong checksum',
      frame(ipv4({ checksum: 'wrong' }, udp({ ...ports, checksum: 'wrong' }))),
      {
        ...V4,
        NW_PROTO: 17,
        ...PORTS,
      },
    ],
    ['ports of zero', frame(ipv4({}, udp({ sport: 0, dport: 0 }))), { ...V4, NW_PROTO: 17 }],
    ['options', frame(ipv4({ options: [1, 1, 1, 1] }, udp(ports))), { ...V4, NW_PROTO: 17, ...PORTS }],
    [
      'a tag',
      frame(ipv4({}, udp(ports)), { tags: [{ id: 0x6005 }] }),
      {
        ...V4,
        VLAN_TCI: 0x7005,
        NW_PROTO: 17,
        ...PORTS,
      },
    ],
    [
      'two tags',
      frame(ipv4({}, udp(ports)), { tags: [{ type: 0x88a8, id: 7 }, { id: 5 }] }),
      {
        ...V4,
        VLAN_TCI: 0x1007,
        NW_PROTO: 17,
        ...PORTS,
      },
    ],
    [
      'three tags',
      frame(ipv4({}, udp()), { tags: [{ id: 7 }, { id: 5 }, { id: 4 }] }),
      {
        DL_TYPE: 0x8100,
        VLAN_TCI: 0x1007,
      },
    ],
    ['ARP', arpFrame({ operation: 2 }), { ...V4, DL_TYPE: 0x806, NW_PROTO: 2 }],
    ['RARP', arpFrame({ ethertype: 0x8035, operation: 3 }), { ...V4, DL_TYPE: 0x8035, NW_PROTO: 3 }],
    ['a wild operation of ARP', arpFrame({ operation: 256 }), { ...V4, DL_TYPE: 0x806 }],
    ['ARP of something else', arpFrame({ start: [0, 1, 8, 0, 6, 6] }), { DL_TYPE: 0x806 }],
    ['LLC', frame(other(0, [1, 2, 3]), { llc: [0x42, 0x42, 3] }), { DL_TYPE: 0x5ff }],
    // OVS `parse_ethertype()`: no ethertype, whatever stands there.
    ['SNAP around a length', frame(ipv4({}, udp(ports)), { llc: snap(0x400) }), { DL_TYPE: 0x5ff }],
    ['SNAP', frame(ipv4({}, udp(ports)), { llc: snap(0x800) }), { ...V4, NW_PROTO: 17, ...PORTS }],
    [
      'a first fragment',
      frame(ipv4({ moreFragments: true }, udp(ports))),
      {
        ...V4,
        NW_PROTO: 17,
        NW_FRAG: 1,
      },
    ],
    ['a later fragment', frame(ipv4({ fragmentOffset: 5 }, udp(ports))), { ...V4, NW_PROTO: 17, NW_FRAG: 3 }],
    [
      'a first fragment of IPv6',
      frame(ipv6({ extensions: [{ kind: 'fragment', more: true }] }, udp(ports))),
      {
        ...V6,
        NW_PROTO: 17,
        NW_FRAG: 1,
      },
    ],
    [
      'a later fragment of IPv6',
      frame(ipv6({ extensions: [{ kind: 'fragment', offset: 5 }] }, udp(ports))),
      {
        ...V6,
        NW_PROTO: 44,
        NW_FRAG: 3,
      },
    ],
    [
      'a whole in one fragment',
      frame(ipv6({ extensions: [{ kind: 'fragment' }] }, udp(ports))),
      {
        ...V6,
        NW_PROTO: 17,
        ...PORTS,
      },
    ],
    ['a wild extension header', frame(ipv6({ extensions: [{ kind: 'routing', length: 200 }] }, udp(ports))), V6],
    ['IPv4 cut short', frame(ipv4({ totalLength: 2000 }, udp(ports))), { DL_TYPE: 0x800 }],
    ['IPv4 with a short header', frame(ipv4({ headerLength: 4 }, udp(ports))), { DL_TYPE: 0x800 }],
    ['IPv6 cut short', frame(ipv6({ payloadLength: 2000 }, udp(ports))), { DL_TYPE: 0x86dd }],
    ['TCP cut short', frame(ipv4({}, raw(6, new Array(19).fill(0x55)))), { ...V4, NW_PROTO: 6 }],
    ['TCP with a wild data offset', frame(ipv4({}, raw(6, new Array(20).fill(0xf0)))), { ...V4, NW_PROTO: 6 }],
    ['UDP cut short', frame(ipv4({}, raw(17, new Array(7).fill(0x55)))), { ...V4, NW_PROTO: 17 }],
    ['ICMP cut short', frame(ipv4({}, raw(1, new Array(7).fill(0x55)))), { ...V4, NW_PROTO: 1 }],
    ['thirteen bytes', new Uint8Array(13).fill(8), {}],
    ['a tag without what is behind it', frame(other(0x8100, [0, 5, 8])), { DL_TYPE: 0x8100 }],
    ['nothing', new Uint8Array(0), {}],
  ];
  for (const [what, data, expected] of cases) it(what, () => assert.deepEqual(seen(data), expected));

  it('padding is not part of a packet', () => {
    const short = frame(ipv4({}, raw(17, [1, 2, 3, 4])), { trailer: new Array(20).fill(7) });
    assert.deepEqual(seen(short), { ...V4, NW_PROTO: 17 });
  });

  it('where the network layer is can be known already', () => {
    const { bytes } = ipv4({}, udp(ports));
    assert.deepEqual(seen(bytes, { known: KNOWN.L3_IPV4, l3: 5 }), { ...V4, NW_PROTO: 17, ...PORTS });
    const six = ipv6({}, udp(ports));
    assert.deepEqual(seen(six.bytes, { known: KNOWN.L3_IPV6, l3: 5 }), { ...V6, NW_PROTO: 17, ...PORTS });
    assert.deepEqual(seen(bytes, { known: KNOWN.L3_OTHER }), {});
  });

  it('never reads outside the frame, whatever the bytes', () => {
    withSeed(0x5eed, random => {
      const starts = cases.map(([, data]) => data).filter(data => data.length > 0);
      for (let round = 0; round < 20_000; round++) {
        const data = Uint8Array.from(random.pick(starts));
        for (let change = random.below(4); change > 0; change--) data[random.below(data.length)] = random.u32();
        // The memory ends with the frame: a read behind it would throw.
        void seen(data.subarray(0, random.below(data.length + 1)));
      }
    });
  });
});

describe('what rules see of the tracker', () => {
  const tracked = (words: Partial<Record<keyof typeof PACKET, number>>, dlType = 0x800): Int32Array => {
    const packets = new Int32Array(2 * PACKET_WORDS);
    for (const [name, value] of Object.entries(words))
      packets[PACKET_WORDS + PACKET[name as keyof typeof PACKET]] = value;
    const key = new Int32Array(FLOW_KEY_WORDS).fill(-1, CT_FIRST, CT_END);
    key[KEY.DL_TYPE] = dlType;
    gatherTracking(packets, PACKET_WORDS, key);
    return key;
  };

  it('nothing of a packet that it has not seen', () => {
    const key = tracked({ STATE: 0, ZONE: 5, MARK: 6, LABEL: 7, TUPLE_PROTOCOL: 6 });
    assert.ok(key.subarray(CT_FIRST, CT_END).every(word => word === 0));
  });

  it('state, zone, mark, label, and the tuple of the same family', () => {
    const words = { STATE: 0x2a, ZONE: 5, MARK: -1, LABEL: 7, TUPLE_PROTOCOL: 6, TUPLE_PORTS: 0xfffe0050 | 0 };
    const key = tracked(words);
    assert.deepEqual(
      [key[KEY.CT_STATE], key[KEY.CT_ZONE], key[KEY.CT_MARK], ...key.subarray(KEY.CT_LABEL, KEY.CT_LABEL + 4)],
      [0x2a, 5, -1, 0, 0, 0, 7],
    );
    assert.deepEqual([key[KEY.CT_NW_PROTO], key[KEY.CT_TP_SRC], key[KEY.CT_TP_DST]], [6, 0xfffe, 80]);
    assert.equal(tracked(words, 0x86dd)[KEY.CT_NW_PROTO], 0);
  });
});
