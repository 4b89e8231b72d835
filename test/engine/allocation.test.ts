/**
 * The packet loop allocates nothing: two million packets, kind by kind, and the heap has not grown.
 *
 * The least that a packet could leave is a number on the heap, 12 bytes. The limit is a quarter of that, since a batch
 * may box a time or two.
 */
import assert from 'node:assert/strict';
import { PerformanceObserver } from 'node:perf_hooks';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { CtAction } from '../../src/engine/action.js';
import { PacketBatch } from '../../src/engine/batch.js';
import { LocalEngine } from '../../src/engine/local.js';
import { PACKET, PACKET_WORDS } from '../../src/engine/packet.js';
import { formatCtState } from '../../src/track/state.js';
import { cut } from '../support/fragments.js';
import { frame, icmp, ipv4, ipv6, sctp, tcp, udp } from '../support/frames.js';

const LIMIT_BYTES = 3;
const BATCH = 1000;
const ROUNDS = 200;
/** Times as they are today, and with a fraction: numbers that do not fit into a tagged word. */
const START_MS = 1_790_000_000_000.5;
const DATA = new Uint8Array(100);
const LONG = new Uint8Array(2000);

interface Kind {
  readonly name: string;
  /** The frames of flow number `flow`, in order. */
  readonly frames: (flow: number) => readonly Uint8Array[];
  /** What the last packet of the last round gets. */
  readonly verdict: string;
  readonly action?: CtAction;
  /** Time that passes between rounds. */
  readonly passedMs?: number;
  readonly connections?: number;
  readonly tracksTop?: true;
  /** Rules in place of the action. */
  readonly flows?: string;
}

function there(flow: number): { src: string; dst: string } {
  return { src: `10.0.${flow >>> 8}.${flow & 0xff}`, dst: '10.9.9.9' };
}

function back(flow: number): { src: string; dst: string } {
  return { src: '10.9.9.9', dst: there(flow).src };
}

const CONVERSATION = (flow: number) => [
  frame(ipv4(there(flow), tcp())),
  frame(ipv4(back(flow), tcp({ sport: 80, dport: 40_000, flags: 'SA', ack: 0xffff_fff1 }))),
  frame(ipv4(there(flow), tcp({ flags: 'PA', seq: 0xffff_fff1, payload: DATA }))),
  frame(ipv4(back(flow), tcp({ sport: 80, dport: 40_000, flags: 'R', seq: 0xffff_fff1 }))),
];
const ERROR = (flow: number) => frame(ipv4(back(flow), icmp({ type: 3, payload: ipv4(there(flow), udp()).bytes })));
const UDP = (flow: number) => frame(ipv4(there(flow), udp({ payload: DATA })));

const KINDS: readonly Kind[] = [
  { name: 'UDP that is known', frames: flow => [UDP(flow)], verdict: 'new|trk' },
  {
    name: 'TCP that opens, closes and is replaced',
    frames: CONVERSATION,
    verdict: 'est|rpl|trk',
  },
  {
    name: 'UDP that has ended and begins anew',
    frames: flow => [UDP(flow)],
    verdict: 'new|trk',
    passedMs: 60_000,
  },
  {
    name: 'UDP with mark and label',
    frames: flow => [UDP(flow)],
    verdict: 'new|trk',
    action: { mark: { value: 1, mask: 0xff }, label: { value: 3n } },
  },
  { name: 'UDP over IPv6', frames: flow => [frame(ipv6({}, udp({ sport: 1 + flow })))], verdict: 'new|trk' },
  { name: 'UDP that finds the table full', frames: flow => [UDP(flow)], verdict: 'new|trk', connections: 10 },
  {
    name: 'heavy hitters of UDP that has ended and begins anew',
    frames: flow => [UDP(flow)],
    verdict: 'new|trk',
    passedMs: 60_000,
    tracksTop: true,
  },
  { name: 'an ICMP error', frames: flow => [UDP(flow), ERROR(flow)], verdict: 'rel|rpl|trk' },
  { name: 'SCTP', frames: flow => [frame(ipv4(there(flow), sctp()))], verdict: 'new|trk' },
  {
    name: 'TCP with a wrong checksum',
    frames: flow => [frame(ipv4(there(flow), tcp({ checksum: 'wrong' })))],
    verdict: 'inv|trk',
  },
  {
    name: 'UDP under rules that take zone, mark and label from registers',
    frames: flow => [UDP(flow)],
    verdict: 'new|trk',
    flows:
      'udp,actions=move:NXM_OF_UDP_DST[]->NXM_NX_REG0[0..15],ct(commit,zone=NXM_NX_REG0[0..15],exec(move:NXM_OF_IP_SRC[]->NXM_NX_CT_MARK[],move:NXM_OF_IP_DST[]->NXM_NX_CT_LABEL[64..95]),table=1)\n' +
      'table=1,ip,actions=output:2\n',
  },
  {
    name: 'fragments that never become whole',
    frames: flow => cut(ipv4(there(flow), udp({ payload: LONG })), 1480).slice(1),
    verdict: '0',
    passedMs: 20_000,
  },
  {
    name: 'datagrams in fragments',
    frames: flow => cut(ipv4(there(flow), udp({ payload: LONG })), 1480),
    // Nobody takes what comes back, which is given up after ten seconds: half of it fills the room until then.
    verdict: 'inv|trk',
    passedMs: 10_000,
  },
  { name: 'no IP', frames: () => [frame({ ethertype: 0x0806, bytes: DATA })], verdict: 'inv|trk' },
];

/** Bytes that the heap grows by, and how often it was collected meanwhile: then the growth says nothing. */
async function growthOf(run: () => void): Promise<{ bytes: number; collections: number }> {
  let collections = 0;
  const observer = new PerformanceObserver(list => {
    collections += list.getEntries().length;
  });
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  await sleep(5);
  observer.observe({ entryTypes: ['gc'] });
  const before = process.memoryUsage().heapUsed;
  run();
  const bytes = process.memoryUsage().heapUsed - before;
  await sleep(5);
  observer.disconnect();
  return { bytes, collections };
}

for (const {
  name,
  frames,
  verdict,
  action = {},
  passedMs = 1,
  connections = BATCH,
  flows,
  tracksTop = false,
} of KINDS) {
  test(`${name}: 200,000 packets leave nothing on the heap`, async () => {
    const rules = flows === undefined ? {} : { flows: { text: flows } };
    const engine = new LocalEngine({ maxConnections: connections, seed: 1, tracksTop, ...rules });
    engine.defineAction(action);
    const batch = new PacketBatch(BATCH);
    for (let flow = 0; batch.length < BATCH; flow++) for (const bytes of frames(flow)) batch.add(bytes, START_MS);
    const originals = batch.packets.slice();
    const nowMs = new Float64Array([START_MS]);
    const run = () => {
      for (let round = 0; round < ROUNDS; round++) {
        // The rows as they were, without what the last round has said, and later.
        batch.packets.set(originals);
        nowMs[0] += passedMs;
        for (let index = 0; index < BATCH; index++) {
          batch.times[(index * PACKET_WORDS + PACKET.TIME) >>> 1] = nowMs[0];
        }
        engine.execute(batch);
      }
    };
    run(); // compiled by now, or soon
    const tries = [];
    for (let attempt = 0; attempt < 8; attempt++) {
      const { bytes, collections } = await growthOf(run);
      tries.push({ perPacket: bytes / (ROUNDS * BATCH), collections });
      if (collections === 0 && bytes / (ROUNDS * BATCH) < LIMIT_BYTES) break;
    }
    const last = tries[tries.length - 1];
    assert.ok(last.collections === 0 && last.perPacket < LIMIT_BYTES, JSON.stringify(tries));
    assert.equal(formatCtState(batch.state(BATCH - 1)), verdict);
  });
}

test('the measure notices one number per packet', async () => {
  const kept: { time: number }[] = [];
  kept.length = ROUNDS * BATCH;
  const { bytes, collections } = await growthOf(() => {
    for (let packet = 0; packet < kept.length; packet++) kept[packet] = { time: START_MS + packet };
  });
  assert.ok(bytes / kept.length > LIMIT_BYTES || collections > 0, `${bytes} bytes`);
});
