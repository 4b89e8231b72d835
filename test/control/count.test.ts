/**
 * The counts of connections that have not ended, against a dump of the same table.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countLive } from '../../src/control/count.js';
import { dumpConnections } from '../../src/control/dump.js';
import { PacketBatch } from '../../src/engine/batch.js';
import { LocalEngine } from '../../src/engine/local.js';
import { shownTcpState } from '../../src/track/tcp.js';
import { IPPROTO } from '../../src/wire/facts.js';
import { frame, icmp, ipv4, ipv6, tcp, udp } from '../support/frames.js';

test('what is counted is what a dump shows, at any time', () => {
  const engine = new LocalEngine({ maxConnections: 5000 });
  engine.defineAction({});
  const batch = new PacketBatch(5000);
  for (let number = 0; number < 4000; number++) {
    const src = `10.1.${number >> 8}.${number & 255}`;
    const transport = [tcp(), udp(), icmp(), tcp({ flags: 'A' })][number % 4];
    batch.add(frame(number % 5 === 0 ? ipv6({}, udp({ sport: 1 + number })) : ipv4({ src }, transport)), number);
    if (number % 8 !== 0) continue;
    batch.add(
      frame(ipv4({ src: '10.0.0.2', dst: src }, tcp({ sport: 80, dport: 40_000, flags: 'SA', ack: 1 }))),
      number,
    );
  }
  engine.execute(batch);
  let seen = 0;
  for (const nowMs of [4000, 31_000, 33_000, 61_500, 100_000, 1e9]) {
    const live = countLive(engine.tracker, nowMs);
    const states = new Map<string, number>();
    live.tcpStates.forEach((count, state) => {
      if (count > 0) states.set(shownTcpState(state), (states.get(shownTcpState(state)) ?? 0) + count);
    });
    const entries = [...dumpConnections(engine.tracker, nowMs)];
    for (let protocol = 0; protocol < 256; protocol++) {
      const shown = entries.filter(entry => entry.protocol === protocol).length;
      assert.equal(live.protocols[protocol], shown, `protocol ${protocol} at ${nowMs}`);
    }
    const tcpCount = live.tcpStates.reduce((sum, count) => sum + count);
    assert.equal(tcpCount, live.protocols[IPPROTO.TCP]);
    assert.equal(
      [...states.values()].reduce((sum, count) => sum + count, 0),
      tcpCount,
    );
    seen += entries.length;
  }
  assert.ok(seen > 4000);
});
