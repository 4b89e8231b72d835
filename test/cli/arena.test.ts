/** `flowshard replay` of captures that are longer than the memory in which their frames are judged. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockLender } from '../../src/cli/arena.js';
import { CaptureWriter } from '../../src/pcap/writer.js';
import { scratch } from '../pcap/build.js';
import { frame, ipv4, udp } from '../support/frames.js';
import { run } from './program.js';

const { path } = scratch();

const FLOWS = 50;
const PACKETS = 20_000;
/** Longer than a block; an IP packet has no such padding. */
const GIANT = new Uint8Array(250_000);
const GIANTS = 60;

test('30 MB, with frames of all lengths among them: every verdict, with one shard and with three', async () => {
  const capture = path('long.pcap');
  const writer = CaptureWriter.create(capture, { linkType: 1 });
  const states: string[] = [];
  const add = (bytes: Uint8Array, state: string) => {
    writer.write(states.length, bytes, 0, bytes.length, bytes.length);
    states.push(`${states.length + 1}: ${state}\n`);
  };
  for (let packet = 0; packet < PACKETS; packet++) {
    const [sport, round] = [1 + (packet % FLOWS), Math.floor(packet / FLOWS)];
    const payload = new Uint8Array((packet * 37) % 1400).fill(packet);
    // One direction alone stays new; from the first reply on both are established (OVS conntrack-other.c).
    const isReply = round % 3 === 2;
    const [src, dst] = isReply ? ['10.0.0.2', '10.0.0.1'] : ['10.0.0.1', '10.0.0.2'];
    const ports = isReply ? { sport: 53, dport: sport } : { sport, dport: 53 };
    const state = round < 2 ? 'new|trk' : isReply ? 'est|rpl|trk' : 'est|trk';
    add(frame(ipv4({ src, dst }, udp({ ...ports, payload }))), state);
    if (packet % (PACKETS / GIANTS) < 1) add(GIANT, 'inv|trk');
  }
  writer.close();
  for (const shards of ['1', '3']) {
    const { code, stdout, stderr } = await run([
      'replay',
      capture,
      '--states',
      '--shards',
      shards,
      '--max-connections',
      '99',
    ]);
    assert.deepEqual([code, stderr], [0, '']);
    assert.equal(stdout, states.join(''));
  }
});

test('a block is lent again when the verdicts of all packets in it are there', () => {
  const progress = { packets: 0, judged: 0 };
  const lender = new BlockLender(new Uint8Array(new SharedArrayBuffer(3 << 20)), progress);
  const seen: (number | undefined)[] = [];
  const next = (packets: number, judged: number) => {
    Object.assign(progress, { packets, judged });
    seen.push(lender.nextChunk()?.byteOffset);
    assert.equal(lender.isExhausted, seen.at(-1) === undefined);
  };
  next(10, 0);
  next(20, 0);
  next(30, 9);
  next(30, 10);
  next(40, 19);
  next(40, 40);
  const MIB = 1 << 20;
  assert.deepEqual(seen, [MIB, 2 * MIB, undefined, 0, undefined, MIB]);
});
