/** Connections as JSON: the documented fields, for TCP, UDP and ICMP. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dumpConnections } from '../../src/control/dump.js';
import { formatConnectionJson, jsonConnection } from '../../src/control/json.js';
import { PacketBatch } from '../../src/engine/batch.js';
import { LocalEngine } from '../../src/engine/local.js';
import { frame, icmp, ipv4, ipv6, tcp, udp } from '../support/frames.js';
import { withSeed } from '../support/random.js';
import { populate } from './populate.js';

test('one object per connection', () => {
  const engine = new LocalEngine({ maxConnections: 8 });
  engine.defineAction({ zone: 5, mark: { value: 0xffff_ffff }, label: { value: (1n << 127n) + 5n } });
  engine.defineAction({});
  const batch = new PacketBatch(3);
  batch.add(frame(ipv4({}, tcp({ sport: 1, dport: 2 }))), 1000);
  batch.add(frame(ipv4({}, icmp({ id: 7 }))), 1000, { action: 1 });
  batch.add(frame(ipv6({ src: 'fd00::1', dst: 'fd00::2' }, udp({ sport: 3, dport: 4 }))), 1000, { action: 1 });
  engine.execute(batch);
  const objects = [...dumpConnections(engine.tracker, 1000)]
    .map(entry => jsonConnection(entry))
    .sort((a, b) => a.protocolNumber - b.protocolNumber);
  const [ping, web, dns] = objects;
  const original = { src: '10.0.0.1', dst: '10.0.0.2', srcPort: 1, dstPort: 2 };
  const { expiresMs: _, tcp: state, ...rest } = web;
  assert.deepEqual(rest, {
    protocol: 'tcp',
    protocolNumber: 6,
    family: 'ipv4',
    zone: 5,
    original,
    reply: { src: '10.0.0.2', dst: '10.0.0.1', srcPort: 2, dstPort: 1 },
    mark: 0xffff_ffff,
    label: '0x80000000000000000000000000000005',
  });
  assert.equal(state?.state, 'SYN_SENT');
  assert.deepEqual(Object.keys(state.original), ['state', 'windowScale', 'flags']);
  assert.deepEqual(ping.original, { src: '10.0.0.1', dst: '10.0.0.2', icmp: { id: 7, type: 8, code: 0 } });
  assert.deepEqual(ping.reply, { src: '10.0.0.2', dst: '10.0.0.1', icmp: { id: 7, type: 0, code: 0 } });
  assert.equal(ping.label, '0x0');
  assert.equal(dns.family, 'ipv6');
  assert.equal('tcp' in dns, false);
});

test('a line per connection that reads back as it was', () => {
  withSeed(51, random => {
    for (const entry of dumpConnections(populate(random, 500).tracker, 0)) {
      const line = formatConnectionJson(entry, 100);
      assert.ok(!line.includes('\n'));
      assert.deepEqual(JSON.parse(line), jsonConnection(entry, 100));
      assert.equal(JSON.parse(line).remainingMs, entry.expiresMs - 100);
    }
  });
});
