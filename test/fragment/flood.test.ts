/**
 * A million fragments of datagrams that never become whole, from a million sources, among 10,000 real flows, every tenth
 * of which is fragmented itself: what is held stays within its bounds, and every real packet gets its verdict.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CT, formatCtState, KNOWN, PACKET, PACKET_WORDS, PacketBatch, REASON } from '../../src/index.js';
import { cut } from '../support/fragments.js';
import { frame, ipv4, udp } from '../support/frames.js';
import { auditFragments } from './audit.js';
import { opened } from './feeding.js';

const FLOOD = 1_000_000;
const FLOWS = 10_000;
const PER_FLOW = FLOOD / FLOWS;
const LARGE = new Uint8Array(2000);
const IPV4_SRC = 26;
const IPV4_ID = 18;

test('a flood of fragments starves nobody', { timeout: 120_000 }, () => {
  const engine = opened({ maxConnections: 2 * FLOWS });
  const memory = process.memoryUsage().arrayBuffers;
  const lost = Buffer.from(cut(ipv4({ dst: '10.200.0.1' }, udp({ payload: LARGE })), 1480)[0]);
  const known = KNOWN.L3_CHECKSUM_GOOD; // of the flood, whose addresses are written over
  const batch = new PacketBatch(PER_FLOW + 8, (PER_FLOW + 8) * 1600);
  const back = new PacketBatch(64, 64 * 1600);
  const wrong: string[] = [];
  let sent = 0;
  let returned = 0;
  for (let flow = 0; flow < FLOWS; flow++) {
    const client = `10.${100 + (flow >>> 16)}.${(flow >>> 8) & 0xff}.${flow & 0xff}`;
    const isFragmented = flow % 10 === 0;
    const payload = isFragmented ? LARGE : 'small';
    const request = ipv4({ src: client, dst: '10.201.0.1' }, udp({ sport: 5000, dport: 53, payload }));
    const answer = ipv4({ src: '10.201.0.1', dst: client }, udp({ sport: 53, dport: 5000, payload }));
    const packets = [request, answer].flatMap((packet, index) =>
      (isFragmented ? cut(packet, 1480) : [frame(packet)]).map(bytes => ({ bytes, cookie: 1 + index })),
    );
    const nowMs = flow;
    batch.clear();
    for (let number = 0; number < PER_FLOW; number++) {
      lost.writeUInt32BE((0x64000000 + sent) >>> 0, IPV4_SRC);
      lost.writeUInt16BE(sent & 0xffff, IPV4_ID);
      sent++;
      batch.add(lost, nowMs, { known });
      // The real ones come in the midst of it, their fragments apart.
      const due = packets[(number - 10) / 20];
      if (due !== undefined) batch.add(due.bytes, nowMs, { cookie: due.cookie });
    }
    engine.execute(batch);
    const expect = (state: number, cookie: number) => {
      const right = cookie === 1 ? CT.NEW | CT.TRK : CT.EST | CT.RPL | CT.TRK;
      if (state !== right) wrong.push(`flow ${flow}, ${cookie}: ${formatCtState(state)}`);
      returned++;
    };
    for (let index = 0; index < batch.length; index++) {
      const cookie = batch.cookie(index);
      if (batch.reason(index) !== REASON['fragment-held']) expect(batch.state(index), cookie);
      else if (cookie === 0 && batch.packets[index * PACKET_WORDS + PACKET.STATE] !== 0)
        wrong.push('a state too early');
    }
    for (; engine.released.takeInto(back) > 0; back.clear()) {
      for (let index = 0; index < back.length; index++) expect(back.state(index), back.cookie(index));
    }
  }
  assert.deepEqual(wrong, []);
  const fragmented = FLOWS / 10;
  assert.equal(returned, 2 * (FLOWS - fragmented) + 4 * fragmented);
  assert.equal(engine.connectionCount, FLOWS);

  const { events, reasons } = engine.counters();
  const held = auditFragments(engine);
  assert.equal(held, engine.settings.fragments.max);
  assert.equal(events.ipv4FragmentsAccepted, FLOOD + 4 * fragmented);
  assert.equal(events.ipv4FragmentsCompleted, 4 * fragmented);
  assert.equal(events.ipv4FragmentsEvicted, FLOOD - held);
  assert.equal(reasons['fragment-held'], FLOOD + 4 * fragmented);
  // No memory but the batches': what is held lies in what was taken when the engine was opened.
  assert.ok(process.memoryUsage().arrayBuffers - memory < 4 << 20);
});
