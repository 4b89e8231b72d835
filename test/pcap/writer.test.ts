/** The writer: bytes on disk compared with captures built by hand, and round trips through the reader. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CaptureWriter } from '../../src/pcap/writer.js';
import { classicHeader, classicRecord, frameOf, MAGIC, readAll, scratch, u32 } from './build.js';

const { path } = scratch();

test('microseconds: the file is the one built by hand', () => {
  const target = path('micro.pcap');
  const writer = CaptureWriter.create(target, { linkType: 1 });
  const frame = frameOf(60);
  writer.write(1_700_000_000_123.456, frame, 0, 60, 60);
  writer.write(1_700_000_000_000 + 999.9996, frame, 10, 30, 1514);
  writer.write(0, frame, 5, 5, 0);
  writer.close();
  writer.close();
  const header = classicHeader('little', MAGIC.micro);
  header.writeUInt32LE(262_144, 16);
  assert.deepEqual(
    readFileSync(target),
    Buffer.concat([
      header,
      classicRecord('little', { seconds: 1_700_000_000, fraction: 123_456, frame }),
      // Rounded up into the next second.
      classicRecord('little', { seconds: 1_700_000_001, fraction: 0, frame: frame.subarray(10, 30), original: 1514 }),
      classicRecord('little', { frame: Buffer.alloc(0) }),
    ]),
  );
});

test('nanoseconds and snap length: the file is the one built by hand', () => {
  const target = path('nano.pcap');
  const writer = CaptureWriter.create(target, { linkType: 276, nanoseconds: true, snapLength: 40 });
  writer.write(1500.000001, frameOf(60), 0, 60, 60);
  writer.write(4_294_967_295_999, frameOf(40), 0, 40, 40);
  writer.close();
  const header = classicHeader('little', MAGIC.nano, 276);
  u32('little', 40).copy(header, 16);
  assert.deepEqual(
    readFileSync(target),
    Buffer.concat([
      header,
      classicRecord('little', { seconds: 1, fraction: 500_000_001, frame: frameOf(60).subarray(0, 40), original: 60 }),
      classicRecord('little', { seconds: 0xffffffff, fraction: 999_000_000, frame: frameOf(40) }),
    ]),
  );
});

test('every microsecond survives the way through a double, and so does the order of frames of all sizes', () => {
  const target = path('trip.pcap');
  const writer = CaptureWriter.create(target, { linkType: 101 });
  const sizes = [0, 1, 64, 1514, 9000, 65_535, 262_128, 262_144];
  const expected: { frame: string; seconds: number; micros: number }[] = [];
  for (let index = 0; index < 400; index++) {
    // Few of the largest, which do not fit the buffer along with their header.
    const frame = frameOf(sizes[index % 50 < 42 ? index % 5 : index % 8], index);
    const [seconds, micros] = [1_700_000_000 + index, (index * 2503) % 1_000_000];
    writer.write(seconds * 1000 + micros / 1000, frame, 0, frame.length, frame.length);
    expected.push({ frame: frame.toString('hex'), seconds, micros });
  }
  writer.close();
  const { packets, error } = readAll(target);
  assert.equal(error, undefined);
  assert.equal(packets.length, expected.length);
  for (const [index, packet] of packets.entries()) {
    assert.equal(packet.frame, expected[index].frame);
    assert.equal(packet.timeMs, expected[index].seconds * 1000 + expected[index].micros / 1000);
    assert.equal(packet.originalLength * 2, expected[index].frame.length);
  }
});

test('records that end at, just before or just beyond the end of the buffer', () => {
  const target = path('edge.pcap');
  // The buffer has 256 KiB, of which the header of the file takes 24 bytes and that of the first record 16.
  const room = 256 * 1024 - 24 - 16;
  for (let gap = 0; gap <= 40; gap++) {
    for (const length of [0, 10]) {
      const frames = [frameOf(1000, gap), Buffer.alloc(room - 1000 - 16 - gap, gap), frameOf(length), frameOf(7)];
      const writer = CaptureWriter.create(target, { linkType: 1 });
      for (const frame of frames) writer.write(0, frame, 0, frame.length, frame.length);
      writer.close();
      const records = frames.map(frame => classicRecord('little', { frame }));
      assert.ok(readFileSync(target).subarray(24).equals(Buffer.concat(records)), `gap ${gap}, length ${length}`);
    }
  }
});

test('a writer that is closed at once leaves a valid, empty capture', () => {
  const target = path('none.pcap');
  CaptureWriter.create(target, { linkType: 1 }).close();
  assert.deepEqual(readAll(target), { packets: [], error: undefined });
});

test('what cannot be written is refused and leaves the capture whole', () => {
  const target = path('refused.pcap');
  const writer = CaptureWriter.create(target, { linkType: 1 });
  const frame = frameOf(10);
  for (const timeMs of [-0.001, -1000, 4_294_967_296_000, Number.NaN, Infinity]) {
    assert.throws(() => writer.write(timeMs, frame, 0, 10, 10), RangeError);
  }
  for (const original of [-1, 2 ** 32, 1.5, Number.NaN]) {
    assert.throws(() => writer.write(0, frame, 0, 10, original), RangeError);
  }
  writer.write(0, frame, 0, 10, 10);
  assert.throws(() => writer.write(-1, frame, 0, 10, 10), {
    message: `${target}: the time of packet 2 must be from 1970 to 2106, not -1 ms since 1970`,
  });
  assert.throws(() => writer.write(0, frame, 0, 10, -1), {
    message: `${target}: the original length of packet 2 must be a 32-bit number, not -1`,
  });
  writer.close();
  assert.equal(readAll(target).packets.length, 1);
  assert.throws(() => writer.write(0, frame, 0, 10, 10), /refused\.pcap: the capture is closed$/);
});

test('options out of range are refused before the file is touched', () => {
  const target = path('untouched.pcap');
  for (const options of [
    { linkType: -1 },
    { linkType: 65_536 },
    { linkType: 1, snapLength: 0 },
    { linkType: 1, snapLength: 262_145 },
  ]) {
    assert.throws(() => CaptureWriter.create(target, options), RangeError);
  }
  assert.equal(existsSync(target), false);
});

test('files that cannot be created or written: one line with path and reason', () => {
  const create = (target: string) => CaptureWriter.create(target, { linkType: 1 });
  assert.throws(
    () => create(path('no/such/x.pcap')),
    /^Error: .*no\/such\/x\.pcap: cannot create: no such file or dir/,
  );
  assert.throws(() => create(path('.')), /^Error: .*: cannot create: illegal operation on a directory$/);
});

test('a full disk', { skip: existsSync('/dev/full') ? false : 'there is no /dev/full' }, () => {
  const writer = CaptureWriter.create('/dev/full', { linkType: 1 });
  const frame = frameOf(1500);
  const fill = () => {
    for (let count = 0; count < 200; count++) writer.write(0, frame, 0, 1500, 1500);
  };
  assert.throws(fill, /^Error: \/dev\/full: cannot write: no space left on device$/);
  // The failed bytes are gone; what remains in the buffer fails as well, and closing twice does not.
  writer.write(0, frame, 0, 1500, 1500);
  assert.throws(() => writer.close(), /cannot write: no space left on device$/);
  writer.close();
});
