/**
 * Ethernet, VLAN tags, LLC and SNAP. Expectations follow IEEE 802.3 and 802.1Q, RFC 1042, and OVS: two tags at the most
 * (FLOW_MAX_VLAN_HEADERS), ethertypes from 0x600 on, `parse_vlan()` and `parse_ethertype()`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KNOWN } from '../../src/wire/known.js';
import { type EthernetFields, frame, ipv4, ipv6, other, snap, tcp, udp } from '../support/frames.js';
import { cut, parse, reasonOf } from './parsed.js';

const packet = ipv4({}, udp());
const QINQ = 0x88a8;

const ACCEPTED: readonly [name: string, fields: EthernetFields, l3: number][] = [
  ['no tag', {}, 14],
  ['an 802.1Q tag', { tags: [{ id: 7 }] }, 18],
  ['a priority tag', { tags: [{ id: 0 }] }, 18],
  ['an 802.1ad tag alone', { tags: [{ type: QINQ }] }, 18],
  ['802.1ad around 802.1Q', { tags: [{ type: QINQ }, {}] }, 22],
  ['802.1Q twice', { tags: [{}, {}] }, 22],
  ['802.1ad within 802.1Q', { tags: [{}, { type: QINQ }] }, 22],
  ['SNAP', { llc: snap(0x0800) }, 22],
  ['SNAP behind a tag', { tags: [{}], llc: snap(0x0800) }, 26],
  ['SNAP behind two tags', { tags: [{ type: QINQ }, {}], llc: snap(0x0800) }, 30],
  ['SNAP, the length as large as it may be', { ethertype: 0x05ff, llc: snap(0x0800) }, 22],
  ['a trailer', { trailer: new Uint8Array(18) }, 14],
];

for (const [name, fields, l3] of ACCEPTED) {
  test(`IPv4 is found behind ${name}`, () => {
    const { reason, ...facts } = parse(frame(packet, fields));
    assert.equal(reason, 'none');
    assert.deepEqual([facts.l3, facts.l4, facts.l4End], [l3, l3 + 20, l3 + 28]);
  });
}

test('IPv6 is found by its ethertype and by SNAP', () => {
  const packet6 = ipv6({}, udp());
  assert.equal(parse(frame(packet6, { tags: [{}] })).l3, 18);
  assert.equal(reasonOf(frame(packet6, { tags: [{}] })), 'none');
  assert.equal(reasonOf(frame(packet6, { llc: snap(0x86dd) })), 'none');
});

const NOT_IP: readonly [name: string, fields: EthernetFields][] = [
  ['ARP', { ethertype: 0x0806 }],
  ['MPLS', { ethertype: 0x8847 }],
  ['PPPoE', { ethertype: 0x8864 }],
  ['the smallest ethertype', { ethertype: 0x0600 }],
  ['the smallest ethertype with what looks like SNAP behind it', { ethertype: 0x0600, llc: snap(0x0800) }],
  ['the old QinQ ethertype 0x9100', { ethertype: 0x9100 }],
  ['a third tag', { tags: [{}, {}, {}] }],
  ['a third tag, 802.1ad outside', { tags: [{ type: QINQ }, { type: QINQ }, {}] }],
  ['LLC of spanning tree', { llc: [0x42, 0x42, 0x03, 0, 0, 0, 0, 0] }],
  ['SNAP of another organisation', { llc: snap(0x0800, [0, 0, 1]) }],
  ['SNAP of another organisation, first byte', { llc: snap(0x0800, [8, 0, 0]) }],
  ['SNAP with another control byte', { llc: [0xaa, 0xaa, 0xf3, 0, 0, 0, 8, 0] }],
  ['SNAP with one access point only', { llc: [0xaa, 0x42, 0x03, 0, 0, 0, 8, 0] }],
  ['SNAP around a length', { llc: snap(0x05ff) }],
  ['SNAP around a VLAN tag', { llc: [...snap(0x8100), 0, 7, 8, 0] }],
  ['a length and IP right behind it', { ethertype: 0x05ff }],
];

for (const [name, fields] of NOT_IP) {
  test(`${name} is not IP`, () => assert.equal(reasonOf(frame(packet, fields)), 'not-ip'));
}

test('an LLC frame too short for SNAP is not IP', () => {
  const whole = frame(other(0x0800), { llc: snap(0x0800) });
  for (let length = 14; length < 22; length++) assert.equal(reasonOf(cut(whole, length)), 'not-ip', `${length} bytes`);
  assert.equal(reasonOf(whole), 'ipv4-truncated');
});

test('a frame cut within its Ethernet header is truncated', () => {
  const whole = frame(packet);
  for (let length = 0; length < 14; length++) {
    assert.equal(reasonOf(cut(whole, length)), 'ethernet-truncated', `${length} bytes`);
  }
  assert.equal(reasonOf(cut(whole, 14)), 'ipv4-truncated');
});

test('a frame cut within its VLAN tags is truncated', () => {
  const whole = frame(packet, { tags: [{ type: QINQ }, {}] });
  for (let length = 0; length < 22; length++) {
    assert.equal(reasonOf(cut(whole, length)), 'ethernet-truncated', `${length} bytes`);
  }
  assert.equal(reasonOf(cut(whole, 22)), 'ipv4-truncated');
});

test('a declared network layer is believed, whatever the Ethernet header says', () => {
  const whole = frame(packet, { ethertype: 0x8847, tags: [{}, {}, {}] });
  assert.equal(reasonOf(whole), 'not-ip');
  const facts = parse(whole, { known: KNOWN.L3_IPV4, l3: 26 });
  assert.deepEqual([facts.reason, facts.family, facts.l3, facts.l4End], ['none', 4, 26, 54]);

  const whole6 = frame(ipv6({}, tcp()), { ethertype: 0x0800 });
  const facts6 = parse(whole6, { known: KNOWN.L3_IPV6, l3: 14 });
  assert.deepEqual([facts6.reason, facts6.family, facts6.l3], ['none', 6, 14]);
});

test('a bare IP packet needs no Ethernet header when its network layer is declared', () => {
  assert.equal(parse(packet.bytes, { known: KNOWN.L3_IPV4, l3: 0 }).reason, 'none');
  assert.equal(parse(ipv6({}, tcp()).bytes, { known: KNOWN.L3_IPV6, l3: 0 }).reason, 'none');
});

test('a declared network layer at or beyond the end is truncated', () => {
  for (const beyond of [0, 1, 1000]) {
    const l3 = packet.bytes.length + beyond;
    assert.equal(reasonOf(packet.bytes, { known: KNOWN.L3_IPV4, l3 }), 'ipv4-truncated');
    assert.equal(reasonOf(packet.bytes, { known: KNOWN.L3_IPV6, l3 }), 'ipv6-truncated');
  }
});

test('a frame declared to hold no IP is not IP', () => {
  assert.equal(reasonOf(frame(packet), { known: KNOWN.L3_OTHER, l3: 14 }), 'not-ip');
});
