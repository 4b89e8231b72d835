/**
 * A translated address down to its last port: each flow gets one, none is given twice, the one too many is told so, and
 * the last ports do not cost much more than the first. The ranges are those of Open vSwitch (lib/conntrack.c), which
 * itself gives up after 248 tries.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dumpConnections } from '../../src/control/dump.js';
import { flushConnections } from '../../src/control/flush.js';
import { PacketBatch } from '../../src/engine/batch.js';
import { readCounters } from '../../src/engine/counters.js';
import { LocalEngine } from '../../src/engine/local.js';
import { createMemory, handleOf } from '../../src/engine/memory.js';
import { memoryOptions, resolveOptions } from '../../src/engine/options.js';
import { createTracker, defineAction } from '../../src/engine/tracker.js';
import type { NatAction } from '../../src/nat/spec.js';
import { reasonName } from '../../src/reason.js';
import { FLOW_PORT, flowFrame, writeFlow } from '../support/flows.js';
import { frame, icmp, icmpv6, ipv4, ipv6, sctp, type Transport, tcp, udp } from '../support/frames.js';
import { newBarrier, runThreads } from '../support/threads.js';
import type { PortsJob, PortsReport } from './nat-ports-worker.js';

const SNAT: NatAction = { kind: 'src', minAddress: '192.0.2.1' };
const ALL: NatAction = { ...SNAT, minPort: 1024, maxPort: 65_535 };
const ALL_PORTS = 64_512;

function judge(engine: LocalEngine, frames: readonly Uint8Array[], timeMs = 0, action = 0): string[] {
  const batch = new PacketBatch(frames.length, frames.length * 128);
  for (const bytes of frames) assert.ok(batch.add(bytes, timeMs, { action }));
  engine.execute(batch);
  return frames.map((_, index) => reasonName(batch.reason(index)));
}

for (const [name, nat] of [
  ['of a range', ALL],
  ['without one', SNAT],
] as const) {
  test(`two threads take all 64,512 ports of an address, and none twice: ${name}`, { timeout: 120_000 }, async () => {
    const memory = createMemory(memoryOptions(resolveOptions({ shards: 2, maxConnections: 70_000 }), 1));
    defineAction(memory, { nat });
    const barrier = newBarrier();
    const job = (owner: number): PortsJob => ({ memory: handleOf(memory), owner, barrier, flows: ALL_PORTS / 2 });
    const reports = await runThreads<PortsJob, PortsReport>(new URL('./nat-ports-worker.js', import.meta.url), [
      job(2),
      job(3),
    ]);
    assert.deepEqual(reports, [{ none: ALL_PORTS / 2 }, { none: ALL_PORTS / 2 }]);
    const tracker = createTracker(memory, 1);
    const ports = new Set([...dumpConnections(tracker, 0)].map(({ reply }) => reply.dstPort));
    assert.equal(ports.size, ALL_PORTS);
    assert.deepEqual([Math.min(...ports), Math.max(...ports)], [1024, 65_535]);
    assert.equal(readCounters(memory.counters).events.portMapsMissing, 0);

    const late = new LocalEngine({ maxConnections: 1 });
    Object.assign(late, { memory, tracker });
    const tooMany = frame(ipv4({ src: '10.200.0.1', dst: '198.51.100.1' }, udp({ sport: FLOW_PORT, dport: 53 })));
    assert.deepEqual(judge(late, [tooMany]), ['nat-exhausted']);
    assert.equal(flushConnections(tracker, { original: { src: '10.0.0.77' } }), 1);
    assert.deepEqual(judge(late, [tooMany, tooMany]), ['none', 'none'], 'a port that is free again is found');
    assert.equal(flushConnections(tracker), ALL_PORTS);
  });
}

test('the last hundredth of the ports costs at most ten times the first', context => {
  const engine = new LocalEngine({ maxConnections: 140_000 });
  engine.defineAction({ nat: ALL });
  const bytes = flowFrame();
  const batch = new PacketBatch(64, 64 * 128);
  const fill = (destination: number, flows: number): number[] => {
    const times: number[] = [];
    for (let flow = 0; flow < flows; flow += batch.length) {
      batch.clear();
      for (let index = flow; index < Math.min(flow + batch.capacity, flows); index++) {
        writeFlow(bytes, index, destination);
        batch.add(bytes, 0);
      }
      const start = performance.now();
      engine.execute(batch);
      times.push(((performance.now() - start) * 1e6) / batch.length);
    }
    return times;
  };
  fill(1, ALL_PORTS); // so that the code is compiled
  const times = fill(2, ALL_PORTS);
  assert.equal(engine.connectionCount, 2 * ALL_PORTS);
  const hundredth = Math.floor(times.length / 100);
  // Not the median: others may be at work on the machine.
  const quartile = (list: readonly number[]) => [...list].sort((a, b) => a - b)[list.length >>> 2];
  const first = quartile(times.slice(0, hundredth));
  const last = quartile(times.slice(-hundredth));
  context.diagnostic(`per new connection: first 1 % ${first.toFixed(0)} ns, last 1 % ${last.toFixed(0)} ns`);
  assert.ok(last <= 10 * first, `${last} ns against ${first} ns`);
});

interface Range {
  readonly name: string;
  readonly nat: NatAction;
  /** First and last port, or identifier, that can be chosen. */
  readonly ports: readonly [number, number];
  readonly flow: (number: number) => Transport;
  readonly isIpv6?: boolean;
}

const SNAT6: NatAction = { kind: 'src', minAddress: '2001:db8::1' };
const RANGES: readonly Range[] = [
  { name: 'TCP, 1 to 511', nat: SNAT, ports: [1, 511], flow: () => tcp({ sport: 300, dport: 80, flags: 'S' }) },
  { name: 'UDP, 600 to 1023', nat: SNAT, ports: [600, 1023], flow: () => udp({ sport: 1000, dport: 53 }) },
  { name: 'SCTP, a range', nat: { ...SNAT, minPort: 5000, maxPort: 5999 }, ports: [5000, 5999], flow: () => sctp({}) },
  {
    name: 'ICMP, a range',
    nat: { ...SNAT, minPort: 1, maxPort: 700 },
    ports: [1, 700],
    flow: () => icmp({ id: 9, type: 8 }),
  },
  { name: 'ICMPv6', nat: SNAT6, ports: [1, 511], flow: () => icmpv6({ id: 9, type: 128 }), isIpv6: true },
  {
    name: 'UDP over IPv6, random',
    nat: { ...SNAT6, minPort: 1024, maxPort: 3071, random: true },
    ports: [1024, 3071],
    flow: () => udp({ sport: 7, dport: 9 }),
    isIpv6: true,
  },
];

for (const { name, nat, ports, flow, isIpv6 } of RANGES) {
  const [least, most] = ports;
  const size = most - least + 1;
  test(`every port of a range, and no other: ${name}`, () => {
    // Translated IPv6 takes two annexes a connection.
    const engine = new LocalEngine({ maxConnections: 2 * size + 10, seed: 5 });
    engine.defineAction({ nat });
    const flowOf = (number: number) => {
      const low = `${number >>> 8}.${number & 0xff}`;
      if (isIpv6) return frame(ipv6({ src: `fd00::${number.toString(16)}`, dst: 'fd01::1' }, flow(number)));
      return frame(ipv4({ src: `10.0.${low}`, dst: '198.51.100.1' }, flow(number)));
    };
    for (let number = 0; number < size; number += 64) {
      const frames = Array.from({ length: Math.min(64, size - number) }, (_, index) => flowOf(number + index));
      assert.deepEqual(judge(engine, frames), Array(frames.length).fill('none'), `from flow ${number} on`);
    }
    const given = new Set<number>();
    for (const { reply } of dumpConnections(engine.tracker, 0)) given.add(reply.icmp?.id ?? reply.dstPort);
    assert.deepEqual([given.size, Math.min(...given), Math.max(...given)], [size, least, most]);
    assert.deepEqual(judge(engine, [flowOf(size)]), ['nat-exhausted']);
    // A day later all have ended, and nobody has swept: their ports are to be had again.
    assert.deepEqual(judge(engine, [flowOf(size)], 86_400_001), ['none']);
  });
}

test('without a map for everybody: no more than the tries of Open vSwitch, and it is counted', () => {
  const engine = new LocalEngine({ maxConnections: 20_000, seed: 5 });
  engine.defineAction({ nat: { ...SNAT, minPort: 1024, maxPort: 2047 } });
  // Sixteen destinations, each with 1,000 of 1,024 ports in use, and eight maps.
  for (let destination = 0; destination < 16; destination++) {
    for (let flow = 0; flow < 1000; flow += 50) {
      const frames = Array.from({ length: 50 }, (_, index) => {
        const number = flow + index;
        const src = `10.0.${number >>> 8}.${number & 0xff}`;
        return frame(ipv4({ src, dst: `198.51.100.${destination}` }, udp({ sport: 7, dport: 53 })));
      });
      judge(engine, frames);
    }
  }
  const { events, reasons } = engine.counters();
  assert.ok(events.portMapsMissing > 0);
  assert.equal(events.created + (reasons['nat-exhausted'] ?? 0), 16_000);
  const tuples = [...dumpConnections(engine.tracker, 0)].map(({ reply }) => `${reply.src} ${reply.dstPort}`);
  assert.equal(new Set(tuples).size, events.created, 'no port twice');
});
