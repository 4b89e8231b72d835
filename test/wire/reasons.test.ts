/**
 * One frame for every reason that wire/ can give. The last test reads the compiled sources of wire/ for the reasons
 * that they name, so that a new one without a case here is noticed.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { ReasonName } from '../../src/reason.js';
import { KNOWN } from '../../src/wire/known.js';
import { frame, icmp, icmpv6, ipv4, ipv6, other, raw, sctp, tcp, udp } from '../support/frames.js';
import { cut, type Given, reasonOf } from './parsed.js';

const foreign = ipv4({ src: '10.0.0.77' }, tcp()).bytes;

const CASES: readonly [reason: ReasonName, name: string, frame: Uint8Array, given?: Given][] = [
  ['none', 'a TCP segment over IPv4', frame(ipv4({}, tcp()))],
  ['none', 'a UDP datagram over IPv6 in two tags', frame(ipv6({}, udp()), { tags: [{}, {}] })],
  ['not-ip', 'an ARP request', frame(other(0x0806, new Uint8Array(28)))],
  ['ethernet-truncated', 'nothing at all', new Uint8Array(0)],
  ['ethernet-truncated', 'a tag without an ethertype', cut(frame(ipv4({}, tcp()), { tags: [{}] }), 16)],
  ['checksum-declared-bad', 'a sum the NIC found wrong', frame(ipv4({}, tcp())), { known: KNOWN.L4_CHECKSUM_BAD }],
  ['ipv4-truncated', 'nineteen bytes of header', cut(frame(ipv4({}, tcp())), 33)],
  ['ipv4-header-length', 'a header of four words', frame(ipv4({ headerLength: 4 }, tcp()))],
  ['ipv4-total-length', 'a packet longer than its frame', frame(ipv4({ totalLength: 41 }, tcp()))],
  ['ipv4-checksum', 'a wrong header sum', frame(ipv4({ checksum: 'wrong' }, tcp()))],
  ['ipv4-fragment', 'the tail of a datagram', frame(ipv4({ fragmentOffset: 185 }, udp()))],
  ['ipv6-truncated', 'thirty-nine bytes of header', cut(frame(ipv6({}, tcp())), 53)],
  ['ipv6-payload-length', 'a packet longer than its frame', frame(ipv6({ payloadLength: 21 }, tcp()))],
  ['ipv6-extension-header', 'endless options', frame(ipv6({ extensions: [{ kind: 'routing', length: 255 }] }, tcp()))],
  ['ipv6-fragment', 'the head of a datagram', frame(ipv6({ extensions: [{ kind: 'fragment', more: true }] }, udp()))],
  ['tcp-truncated', 'nineteen bytes of header', frame(ipv4({}, raw(6, new Uint8Array(19))))],
  ['tcp-data-offset', 'a header of four words', frame(ipv6({}, tcp({ dataOffset: 4 })))],
  ['tcp-checksum', 'a wrong sum', frame(ipv4({}, tcp({ checksum: 'wrong' })))],
  ['udp-truncated', 'seven bytes of header', frame(ipv6({}, raw(17, new Uint8Array(7))))],
  ['udp-length', 'a datagram longer than its packet', frame(ipv4({}, udp({ length: 9 })))],
  ['udp-checksum', 'no sum over IPv6', frame(ipv6({}, udp({ checksum: 0 })))],
  ['sctp-truncated', 'eleven bytes of header', frame(ipv4({}, raw(132, new Uint8Array(11))))],
  ['sctp-chunk', 'a chunk of three bytes', frame(ipv6({}, sctp({ chunks: [{ length: 3 }] })))],
  ['sctp-checksum', 'a wrong CRC', frame(ipv4({}, sctp({ checksum: 'wrong' })))],
  ['port-zero', 'a datagram from nowhere', frame(ipv4({}, udp({ sport: 0 })))],
  ['icmp-truncated', 'seven bytes of header', frame(ipv4({}, raw(1, new Uint8Array(7))))],
  ['icmp-checksum', 'a wrong sum', frame(ipv6({}, icmpv6({ checksum: 'wrong' })))],
  ['icmp-type', 'a neighbour solicitation', frame(ipv6({}, icmpv6({ type: 135, payload: new Uint8Array(16) })))],
  ['icmp-code', 'an echo request with a code', frame(ipv4({}, icmp({ code: 1 })))],
  ['icmp-error-payload', 'an error about nothing', frame(ipv4({}, icmp({ type: 11 })))],
  ['icmp-error-address', 'an error about a stranger', frame(ipv4({}, icmp({ type: 3, payload: foreign })))],
];

for (const [reason, name, bytes, given] of CASES) {
  test(`${reason}: ${name}`, () => assert.equal(reasonOf(bytes, given), reason));
}

test('every reason that wire/ names has a case here', () => {
  const folder = new URL('../../src/wire/', import.meta.url);
  const sources = readdirSync(folder).filter(name => name.endsWith('.js'));
  const text = sources.map(name => readFileSync(new URL(name, folder), 'utf8')).join('\n');
  const named = new Set([...text.matchAll(/REASON(?:\.(\w+)|\['([\w-]+)'\])/g)].map(match => match[1] ?? match[2]));
  const covered = new Set<string>(CASES.map(([reason]) => reason));
  assert.ok(named.size > 20, `only ${named.size} reasons found in ${sources.length} files`);
  assert.deepEqual([...named].sort(), [...covered].sort());
});
