/**
 * Rings and their producer: nothing is lost, nothing is overwritten, verdicts come in the order of the packets; around
 * the end of the memory and around 2^31 and 2^32 packets. The shards' side is played here, step by step.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMemory } from '../../src/engine/memory.js';
import { memoryOptions, resolveOptions } from '../../src/engine/options.js';
import { PACKET, PACKET_WORDS } from '../../src/engine/packet.js';
import { processPackets } from '../../src/engine/process.js';
import { Producer } from '../../src/engine/producer.js';
import {
  allocateFrames,
  attachRing,
  createRing,
  processed,
  produced,
  publishProcessed,
  publishProduced,
  type Ring,
} from '../../src/engine/ring.js';
import { createTracker, defineAction, type Tracker } from '../../src/engine/tracker.js';
import { reasonName } from '../../src/reason.js';
import { KNOWN } from '../../src/wire/known.js';
import { frame, icmp, ipv4, udp } from '../support/frames.js';
import { type Random, withSeed } from '../support/random.js';

const MIB = 1 << 20;
const ARENA = 64 << 10;
/** The longest frame that a ring takes whole. */
const LONGEST = 256 * 1024;

/**
 * A producer and its shards, in this thread, and an arena of 64 KiB.
 * @param count packets that each ring has seen before
 */
class Bench {
  readonly rings: readonly Ring[];
  readonly trackers: readonly Tracker[];
  readonly producer: Producer;

  constructor(shards: number, packets = 64, bytes = MIB, count = 0) {
    const memory = createMemory(memoryOptions(resolveOptions({ shards, maxConnections: 1000, seed: 3 }), 0));
    defineAction(memory, {});
    const all = shards * bytes + ARENA;
    const at = allocateFrames(memory.wasm, all);
    const buffers = Array.from({ length: shards }, (_, shard) =>
      createRing(memory.wasm, packets, { at, bytes: all, ownAt: shard * bytes, ownBytes: bytes }),
    );
    this.rings = buffers.map(attachRing);
    for (const ring of this.rings) {
      publishProduced(ring, count | 0);
      publishProcessed(ring, count | 0);
    }
    this.trackers = this.rings.map((_, shard) => createTracker(memory, shard + 1));
    this.producer = new Producer(buffers, 1, 2, shards * bytes);
  }

  push(bytes: Uint8Array, cookie: number): boolean {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return this.producer.tryPush(bytes, view, 0, bytes.length, 0, 0, cookie, 0, cookie);
  }

  /** The same frame, written in the ring of a shard. */
  writeInPlace(shard: number, bytes: Uint8Array, cookie: number): boolean {
    const at = this.producer.tryReserve(shard, bytes.length);
    if (at < 0) return false;
    const frames = this.producer.reservedFrames;
    for (let offset = 0; offset < bytes.length; offset++) frames.setUint8(at + offset, bytes[offset]);
    this.producer.pushReserved(bytes.length, 0, at, cookie, 0, cookie);
    return true;
  }

  /** What a shard worker does, for `most` packets at the most. */
  work(shard: number, most = Number.POSITIVE_INFINITY): number {
    const ring = this.rings[shard];
    let left = Math.min(most, (produced(ring) - processed(ring)) | 0);
    const worked = left;
    while (left > 0) {
      const done = processed(ring);
      const first = done & (ring.capacity - 1);
      const count = Math.min(left, ring.capacity - first);
      processPackets(this.trackers[shard], ring, first, count);
      publishProcessed(ring, (done + count) | 0);
      left -= count;
    }
    return worked;
  }

  /** Cookie of the oldest verdict, which is released; -1 when there is none. */
  take(check?: (frame: Uint8Array, cookie: number) => void): number {
    const at = this.producer.peek();
    if (at < 0) return -1;
    const { verdicts, frameBytes } = this.producer;
    const cookie = verdicts[at + PACKET.COOKIE];
    const start = verdicts[at + PACKET.FRAME_OFFSET];
    check?.(frameBytes.subarray(start, start + verdicts[at + PACKET.FRAME_LENGTH]), cookie);
    assert.notEqual(verdicts[at + PACKET.STATE], 0, 'a verdict');
    this.producer.release();
    return cookie;
  }
}

/** Mostly short, some longer than a ring takes, none sure to be IP. */
function randomFrame(random: Random): Uint8Array {
  if (random.chance(0.5)) return frame(ipv4({}, udp({ sport: random.between(1, 65_535), payload: random.bytes(20) })));
  const length = random.chance(0.02) ? random.between(LONGEST - 64, LONGEST + 5000) : random.below(40_000);
  const bytes = new Uint8Array(length);
  bytes.fill(random.u32());
  return bytes;
}

for (const [shards, count] of [
  [1, 0],
  [3, 0],
  [1, 2 ** 31 - 300],
  [3, 2 ** 32 - 100],
] as const) {
  test(`frames stay whole and in order, ${shards} shards from packet ${count} on`, () => {
    withSeed(4711, random => {
      const bench = new Bench(shards, 64, MIB, count);
      const waiting: Uint8Array[] = [];
      let pushed = 0;
      let taken = 0;
      let refused = 0;
      let cut = 0;
      const check = (seen: Uint8Array, cookie: number) => {
        const sent = waiting[0];
        if (sent.length > LONGEST) cut++;
        assert.equal(Buffer.compare(seen, sent.subarray(0, LONGEST)), 0, `frame ${cookie} of ${sent.length} bytes`);
      };
      for (let round = 0; taken < 3000; round++) {
        assert.ok(round < 100_000, `stuck at packet ${taken}`);
        for (let burst = random.below(70); burst > 0 && pushed < 3000; burst--) {
          const next = randomFrame(random);
          const isInPlace = next.length < 1000 && random.chance(0.3);
          // Room that is left unused is as free as before.
          if (random.chance(0.1)) bench.producer.tryReserve(random.below(shards), random.below(2000));
          if (!(isInPlace ? bench.writeInPlace(random.below(shards), next, pushed) : bench.push(next, pushed))) {
            refused++;
            break;
          }
          waiting.push(next);
          pushed++;
        }
        assert.equal(bench.producer.pending, waiting.length);
        bench.producer.publish();
        for (let turn = random.below(shards + 1); turn > 0; turn--) bench.work(random.below(shards), random.below(50));
        for (let most = random.below(70); most > 0; most--) {
          const cookie = bench.take(check);
          if (cookie < 0) break;
          assert.equal(cookie, taken++);
          waiting.shift();
        }
      }
      assert.equal(bench.producer.pending, 0);
      assert.ok(refused > 10 && cut > 2, `${refused} refused, ${cut} cut: the test shows too little`);
    });
  });
}

for (const count of [0, 2 ** 31 - 32, 2 ** 32 - 32]) {
  test(`a full ring takes nothing more and loses nothing, from packet ${count} on`, () => {
    const bench = new Bench(1, 64, MIB, count);
    const short = frame(ipv4({}, udp()));
    for (let cookie = 0; cookie < 64; cookie++) assert.equal(bench.push(short, cookie), true);
    for (let again = 0; again < 3; again++) assert.equal(bench.push(short, 99), false);
    assert.equal(bench.take(), -1, 'nothing was published, so nothing was judged');
    bench.producer.publish();
    assert.equal(bench.push(short, 99), false);
    assert.equal(bench.work(0), 64);
    assert.equal(bench.push(short, 99), false, 'judged is not released');
    assert.equal(bench.take(), 0);
    assert.equal(bench.push(short, 64), true);
    assert.equal(bench.push(short, 99), false);
    bench.producer.publish();
    bench.work(0);
    for (let cookie = 1; cookie <= 64; cookie++) assert.equal(bench.take(), cookie);
    assert.deepEqual([bench.take(), bench.producer.pending], [-1, 0]);
  });
}

test('a ring whose frame memory is full takes nothing more, and all again once it is empty', () => {
  const bench = new Bench(1, 64);
  const long = new Uint8Array(200_000);
  for (let round = 0; round < 20; round++) {
    let pushed = 0;
    while (bench.push(long, pushed)) pushed++;
    assert.ok(pushed >= 4 && pushed <= 5, `${pushed} frames of 200000 bytes in 1 MiB`);
    bench.producer.publish();
    bench.work(0);
    for (let cookie = 0; cookie < pushed; cookie++) assert.equal(bench.take(), cookie);
  }
});

test('a full ring does not stop the others, and verdicts wait for their turn', () => {
  const bench = new Bench(2);
  const byShard: Uint8Array[] = [];
  for (let sport = 1; byShard.filter(Boolean).length < 2; sport++) {
    const next = frame(ipv4({}, udp({ sport })));
    bench.push(next, 0);
    bench.producer.publish();
    bench.work(0);
    bench.work(1);
    bench.producer.peek();
    byShard[bench.producer.shard] = next;
    bench.take();
  }
  for (let cookie = 0; cookie < 64; cookie++) assert.ok(bench.push(byShard[0], cookie));
  assert.equal(bench.push(byShard[0], 64), false);
  assert.equal(bench.push(byShard[1], 64), true);
  bench.producer.publish();
  bench.work(1);
  assert.equal(bench.producer.peek(), -1, 'the first packet is not judged yet');
  bench.work(0);
  for (let cookie = 0; cookie <= 64; cookie++) assert.equal(bench.take(), cookie);
});

test('both directions of a connection and the errors about it come to one shard, whose part holds it', () => {
  const bench = new Bench(4);
  const used = new Set<number>();
  const shardOf = (bytes: Uint8Array) => {
    assert.ok(bench.push(bytes, 0));
    bench.producer.publish();
    for (let shard = 0; shard < 4; shard++) bench.work(shard);
    assert.notEqual(bench.producer.peek(), -1);
    const { shard } = bench.producer;
    bench.take();
    used.add(shard);
    return shard;
  };
  withSeed(99, random => {
    for (let round = 0; round < 200; round++) {
      const [src, dst] = [`10.0.0.${random.below(255)}`, `10.0.1.${random.below(255)}`];
      const [sport, dport] = [random.between(1, 65_535), random.between(1, 65_535)];
      const there = ipv4({ src, dst }, udp({ sport, dport }));
      const back = ipv4({ src: dst, dst: src }, udp({ sport: dport, dport: sport }));
      const error = icmp({ type: 3, id: 0, sequence: 0, payload: there.bytes });
      const shard = shardOf(frame(there));
      assert.equal(shardOf(frame(back)), shard);
      assert.equal(shardOf(frame(back, { tags: [{}] })), shard);
      assert.equal(shardOf(frame(ipv4({ src: '192.0.2.1', dst: src }, error))), shard);
      // Later fragments have no ports to go by, only addresses.
      const fragment = (fragmentOffset: number) =>
        shardOf(frame(ipv4({ src, dst, fragmentOffset }, udp({ sport, dport, checksum: 0 }))));
      assert.equal(fragment(1), fragment(3));
    }
  });
  assert.deepEqual([...used].sort(), [0, 1, 2, 3]);
});

test('a frame written in place is judged as one that was copied', () => {
  const verdicts = [true, false].map(isInPlace => {
    const bench = new Bench(1);
    const [ring] = bench.rings;
    for (let cookie = 0; cookie < 10; cookie++) {
      const next = frame(ipv4({}, udp({ sport: 1 + (cookie % 5) })));
      assert.ok(isInPlace ? bench.writeInPlace(0, next, cookie) : bench.push(next, cookie));
    }
    bench.producer.publish();
    bench.work(0);
    return ring.packets.slice(0, 10 * PACKET_WORDS);
  });
  assert.deepEqual(verdicts[0], verdicts[1]);
});

test('a frame in the arena is judged where it lies, as one that was copied', () => {
  for (const shards of [1, 3]) {
    const words = [true, false].map(isInPlace => {
      const bench = new Bench(shards);
      const { producer } = bench;
      const seen: number[] = [];
      for (let cookie = 0; cookie < 40; cookie++) {
        const next = frame(ipv4({}, udp({ sport: 1 + (cookie % 5) })));
        const at = 100 + cookie * 200;
        producer.arena.set(next, at);
        assert.ok(
          isInPlace ? producer.tryPushInPlace(at, at + next.length, 0, 0, cookie, 0, cookie) : bench.push(next, cookie),
        );
      }
      producer.publish();
      for (let shard = 0; shard < shards; shard++) bench.work(shard);
      for (let cookie = 0; cookie < 40; cookie++) {
        const at = producer.peek();
        assert.notEqual(at, -1);
        const { verdicts, frameBytes } = producer;
        const start = verdicts[at + PACKET.FRAME_OFFSET];
        if (isInPlace) {
          assert.equal(frameBytes.byteOffset + start, producer.arena.byteOffset + 100 + cookie * 200);
          assert.equal(verdicts[at + PACKET.FRAME_ROOM], 0);
        }
        seen.push(...verdicts.subarray(at + PACKET.STATE, at + PACKET.FRAME_ROOM));
        assert.equal(bench.take(), cookie);
      }
      return seen;
    });
    assert.deepEqual(words[0], words[1]);
  }
});

test('a frame that reaches out of the arena is refused by its shard, whatever lies beyond', () => {
  const bench = new Bench(2);
  const { producer } = bench;
  const spans = [
    [-1, 60],
    [0, ARENA + 1],
    [ARENA - 10, ARENA + 50],
    [100, 99],
    [-0x8000_0000, 0x7fff_ffff],
  ] as const;
  for (const [start, end] of spans) assert.ok(producer.tryPushInPlace(start, end, 0, 0, 0, 0, 7));
  assert.ok(producer.tryPushInPlace(100, 160, KNOWN.L3_IPV4, 99, 0, 0, 7), 'its network layer lies before it');
  producer.publish();
  bench.work(0);
  bench.work(1);
  for (let packet = 0; packet <= spans.length; packet++) {
    const at = producer.peek();
    assert.equal(reasonName(producer.verdicts[at + PACKET.REASON]), 'frame-range', `packet ${packet}`);
    assert.equal(bench.take(), 7);
  }
});

test('frames in the arena need slots, and a fragment among several shards has to be alone', () => {
  const bench = new Bench(2);
  const { producer } = bench;
  const short = frame(ipv4({}, udp()));
  const fragment = frame(ipv4({ fragmentOffset: 3 }, udp({ checksum: 0 })));
  producer.arena.set(short);
  producer.arena.set(fragment, 1000);
  const push = () => producer.tryPushInPlace(0, short.length, 0, 0, 0, 0, 1);
  for (let slot = 0; slot < 64; slot++) assert.ok(push());
  assert.equal(push(), false);
  assert.equal(producer.tryPushInPlace(1000, 1000 + fragment.length, 0, 0, 0, 0, 2), false);
  producer.publish();
  bench.work(0);
  bench.work(1);
  for (let slot = 0; slot < 64; slot++) assert.equal(bench.take(), 1);
  assert.ok(producer.tryPushInPlace(1000, 1000 + fragment.length, 0, 0, 0, 0, 2));
  assert.equal(push(), false);
});

test('the ring says what a packet brings', () => {
  const bench = new Bench(1);
  bench.push(frame(ipv4({}, udp())), 42);
  const [ring] = bench.rings;
  assert.equal(ring.packets[PACKET.COOKIE], 42);
  assert.equal(ring.times[PACKET.TIME >>> 1], 42);
  assert.equal(ring.packets.length, 64 * PACKET_WORDS);
});
