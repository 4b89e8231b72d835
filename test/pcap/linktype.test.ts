/** Link types: names, and where the network layer starts. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSupportedLinkType, linkTypeName, networkLayer } from '../../src/pcap/linktype.js';

const IPV4 = '4500001400000000400100007f0000017f000001';
const IPV6 = '6000000000003b400000000000000000000000000000000100000000000000000000000000000001';

/** Headers as they are on disk; `offset` counts from the start of the frame. */
const CASES: { name: string; linkType: number; frame: string; ethertype: number; offset: number }[] = [
  { name: 'Ethernet', linkType: 1, frame: `ffffffffffff0200000000010800${IPV4}`, ethertype: -1, offset: 0 },
  { name: 'Ethernet, empty', linkType: 1, frame: '', ethertype: -1, offset: 0 },
  ...[12, 14, 101].flatMap(linkType => [
    { name: `raw ${linkType}, IPv4`, linkType, frame: IPV4, ethertype: 0x0800, offset: 0 },
    { name: `raw ${linkType}, IPv6`, linkType, frame: IPV6, ethertype: 0x86dd, offset: 0 },
    { name: `raw ${linkType}, version 5`, linkType, frame: '55', ethertype: 0, offset: 0 },
    { name: `raw ${linkType}, empty`, linkType, frame: '', ethertype: 0, offset: 0 },
  ]),
  { name: 'IPv4', linkType: 228, frame: IPV4, ethertype: 0x0800, offset: 0 },
  { name: 'IPv6', linkType: 229, frame: IPV6, ethertype: 0x86dd, offset: 0 },
  { name: 'NULL, IPv4, little-endian', linkType: 0, frame: `02000000${IPV4}`, ethertype: 0x0800, offset: 4 },
  { name: 'NULL, IPv4, big-endian', linkType: 0, frame: `00000002${IPV4}`, ethertype: 0x0800, offset: 4 },
  ...['0a', '18', '1c', '1e'].flatMap(family => [
    { name: `NULL, IPv6 as ${family}`, linkType: 0, frame: `${family}000000${IPV6}`, ethertype: 0x86dd, offset: 4 },
    { name: `NULL, IPv6 as ${family}, BE`, linkType: 0, frame: `000000${family}${IPV6}`, ethertype: 0x86dd, offset: 4 },
    { name: `LOOP, IPv6 as ${family}`, linkType: 108, frame: `000000${family}${IPV6}`, ethertype: 0x86dd, offset: 4 },
  ]),
  { name: 'NULL, no family', linkType: 0, frame: `00000000${IPV4}`, ethertype: 0, offset: 0 },
  { name: 'NULL, another family', linkType: 0, frame: `07000000${IPV4}`, ethertype: 0, offset: 0 },
  { name: 'NULL, two bytes set', linkType: 0, frame: `02000002${IPV4}`, ethertype: 0, offset: 0 },
  { name: 'NULL, a middle byte set', linkType: 0, frame: `02000100${IPV4}`, ethertype: 0, offset: 0 },
  { name: 'NULL, nothing behind', linkType: 0, frame: '02000000', ethertype: 0x0800, offset: 4 },
  { name: 'NULL, cut', linkType: 0, frame: '020000', ethertype: 0, offset: 0 },
  { name: 'LOOP, IPv4', linkType: 108, frame: `00000002${IPV4}`, ethertype: 0x0800, offset: 4 },
  { name: 'LOOP is big-endian', linkType: 108, frame: `02000000${IPV4}`, ethertype: 0, offset: 0 },
  { name: 'LOOP, cut', linkType: 108, frame: '000000', ethertype: 0, offset: 0 },
  {
    name: 'cooked v1',
    linkType: 113,
    frame: `0000000100060200000000010000${'0800'}${IPV4}`,
    ethertype: 0x0800,
    offset: 16,
  },
  {
    name: 'cooked v1, VLAN',
    linkType: 113,
    frame: `0004000100060200000000010000${'8100'}006486dd${IPV6}`,
    ethertype: 0x8100,
    offset: 16,
  },
  { name: 'cooked v1, header only', linkType: 113, frame: `${'00'.repeat(14)}0806`, ethertype: 0x0806, offset: 16 },
  { name: 'cooked v1, cut', linkType: 113, frame: `${'00'.repeat(14)}08`, ethertype: 0, offset: 0 },
  {
    name: 'cooked v2',
    linkType: 276,
    frame: `${'86dd'}000000000002000100060200000000010000${IPV6}`,
    ethertype: 0x86dd,
    offset: 20,
  },
  { name: 'cooked v2, VLAN', linkType: 276, frame: `${'88a8'}${'00'.repeat(18)}`, ethertype: 0x88a8, offset: 20 },
  { name: 'cooked v2, cut', linkType: 276, frame: `0800${'00'.repeat(17)}`, ethertype: 0, offset: 0 },
  { name: 'unknown link type', linkType: 147, frame: IPV4, ethertype: 0, offset: 0 },
];

for (const { name, linkType, frame, ethertype, offset } of CASES) {
  test(`network layer: ${name}`, () => {
    const inner = Buffer.from(frame, 'hex');
    const out = new Int32Array(2);
    // Within bytes of other packets, which must not be looked at.
    for (const start of [0, 1, 37]) {
      const bytes = Buffer.concat([Buffer.alloc(start, 0x45), inner, Buffer.alloc(40, 0x45)]);
      out.fill(99);
      networkLayer(linkType, bytes, start, start + inner.length, out);
      assert.deepEqual([...out], [ethertype, start + offset]);
    }
  });
}

test('names are those of tcpdump, and exactly the named types are supported', () => {
  const names = new Map([
    [0, 'NULL'],
    [1, 'EN10MB'],
    [12, 'RAW'],
    [14, 'RAW'],
    [101, 'RAW'],
    [108, 'LOOP'],
    [113, 'LINUX_SLL'],
    [228, 'IPV4'],
    [229, 'IPV6'],
    [276, 'LINUX_SLL2'],
  ]);
  for (let linkType = 0; linkType < 400; linkType++) {
    assert.equal(linkTypeName(linkType), names.get(linkType) ?? `DLT ${linkType}`);
    assert.equal(isSupportedLinkType(linkType), names.has(linkType));
  }
});
