/** pcapng: sections, interfaces, options and the kinds of packet blocks, all built by hand. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CaptureError, CaptureReader } from '../../src/pcap/reader.js';
import {
  block,
  enhancedPacket,
  frameOf,
  interfaceBlock,
  ORDERS,
  obsoletePacket,
  option,
  readAll,
  scratch,
  sectionHeader,
  simplePacket,
  u32,
  u64,
} from './build.js';

const { file } = scratch();

const OPTION = { comment: 1, name: 2, resolution: 9, offset: 14, end: 0 } as const;
const END = option('little', OPTION.end, Buffer.alloc(0));

function capture(...blocks: Buffer[]): string {
  return file('blocks.pcapng', Buffer.concat(blocks));
}

for (const order of ORDERS) {
  test(`all kinds of packet blocks, ${order}-endian, any chunk size`, () => {
    const path = capture(
      sectionHeader(order, option(order, OPTION.comment, Buffer.from('by hand')), END),
      interfaceBlock(order, 1, 0, option(order, OPTION.name, Buffer.from('eth0')), END),
      block(order, 5, u32(order, 0), Buffer.alloc(8)), // interface statistics
      enhancedPacket(order, { ticks: 1_700_000_000_123_456n, frame: frameOf(61, 1) }),
      interfaceBlock(order, 113, 0, option(order, OPTION.name, Buffer.from('any')), END),
      block(order, 0x7777, Buffer.from('an unknown block')),
      block(order, 0x7778),
      enhancedPacket(order, {
        interfaceId: 1,
        ticks: 1_700_000_001_000_000n,
        frame: frameOf(33, 2),
        original: 1514,
        options: [option(order, OPTION.comment, Buffer.from('cut')), END],
      }),
      obsoletePacket(order, { interfaceId: 1, ticks: 1_700_000_002_500_000n, frame: frameOf(64, 3) }),
      simplePacket(order, frameOf(62, 4)),
    );
    for (const chunkBytes of [1, 8, 12, 31, 64, 500, undefined]) {
      const { packets, error } = readAll(path, chunkBytes);
      assert.equal(error, undefined);
      assert.deepEqual(
        packets.map(p => [p.number, p.interfaceId, p.linkType, p.timeMs, p.originalLength, p.frame]),
        [
          [1, 0, 1, 1_700_000_000_123.456, 61, frameOf(61, 1).toString('hex')],
          [2, 1, 113, 1_700_000_001_000, 1514, frameOf(33, 2).toString('hex')],
          [3, 1, 113, 1_700_000_002_500, 64, frameOf(64, 3).toString('hex')],
          // No time of its own: that of the packet before.
          [4, 0, 1, 1_700_000_002_500, 62, frameOf(62, 4).toString('hex')],
        ],
      );
    }
  });
}

const RESOLUTIONS: { name: string; resolution: number | undefined; ticks: bigint; timeMs: number }[] = [
  { name: 'microseconds by default', resolution: undefined, ticks: 1_700_000_000_123_456n, timeMs: 1700000000123.456 },
  { name: 'seconds', resolution: 0, ticks: 1_700_000_000n, timeMs: 1700000000000 },
  { name: 'milliseconds', resolution: 3, ticks: 1_700_000_000_007n, timeMs: 1700000000007 },
  { name: 'nanoseconds', resolution: 9, ticks: 1_700_000_000_123_456_789n, timeMs: 1.7e12 + 123.456789 },
  { name: 'nanoseconds, last of a second', resolution: 9, ticks: 1_699_999_999_999_999_999n, timeMs: 1.7e12 },
  {
    name: 'nanoseconds, last microsecond',
    resolution: 9,
    ticks: 1_700_000_000_999_999_000n,
    timeMs: 1700000000999.999,
  },
  { name: 'picoseconds', resolution: 12, ticks: 86_400_000_000_000_000n, timeMs: 86_400_000 },
  { name: 'halves of a second', resolution: 0x81, ticks: 3n, timeMs: 1500 },
  { name: '2^-20 s', resolution: 0x94, ticks: (1_700_000_000n << 20n) + 1n, timeMs: 1.7e12 + 1000 / 2 ** 20 },
  { name: '2^-32 s, as NTP', resolution: 0xa0, ticks: (1_700_000_000n << 32n) + (1n << 31n), timeMs: 1.7e12 + 500 },
  { name: '2^-29 s', resolution: 0x9d, ticks: (1_700_000_000n << 29n) + (3n << 27n), timeMs: 1.7e12 + 750 },
  { name: '10^-127 s', resolution: 127, ticks: 1n, timeMs: 1e-124 },
];

for (const { name, resolution, ticks, timeMs } of RESOLUTIONS) {
  test(`time resolution: ${name}`, () => {
    for (const order of ORDERS) {
      const options = resolution === undefined ? [] : [option(order, OPTION.resolution, Buffer.from([resolution]))];
      const head = [sectionHeader(order), interfaceBlock(order, 1, 0, ...options)];
      const { packets, error } = readAll(capture(...head, enhancedPacket(order, { ticks, frame: frameOf(4) })));
      assert.equal(error, undefined);
      assert.equal(packets[0].timeMs, timeMs);
    }
  });
}

test('a nanosecond time stamp gives the double nearest to it', () => {
  const nano = option('little', OPTION.resolution, Buffer.from([9]));
  const ticks = Array.from({ length: 2000 }, (_, index) => 1_700_000_000_000_000_000n + BigInt(index) * 999_999_937n);
  const blocks = ticks.map(value => enhancedPacket('little', { ticks: value, frame: frameOf(1) }));
  const { packets } = readAll(capture(sectionHeader('little'), interfaceBlock('little', 1, 0, nano), ...blocks));
  for (const [index, { timeMs }] of packets.entries()) {
    // The decimal text of the exact value, rounded once by the parser of the language.
    const exact = `${ticks[index] / 1_000_000n}.${String(ticks[index] % 1_000_000n).padStart(6, '0')}`;
    // Sum of an integer and a rounded fraction: at most one unit in the last place (2^-12 ms) away.
    assert.ok(Math.abs(timeMs - Number(exact)) <= 2 ** -12, `${timeMs} for ${exact}`);
  }
});

test('options: padded to 32 bits, unknown ones skipped, none after the end', () => {
  for (const order of ORDERS) {
    const options = [
      option(order, 4711, Buffer.from('odd length!')),
      option(order, OPTION.name, Buffer.from('wlan0')),
      option(order, OPTION.resolution, Buffer.from([3])),
      option(order, OPTION.end, Buffer.alloc(0)),
      option(order, OPTION.name, Buffer.from('late')),
      option(order, OPTION.resolution, Buffer.from([0])),
    ];
    const packet = enhancedPacket(order, { ticks: 1500n, frame: frameOf(4) });
    const reader = CaptureReader.open(capture(sectionHeader(order), interfaceBlock(order, 1, 0, ...options), packet));
    assert.ok(reader.next());
    assert.equal(reader.timeMs, 1500);
    assert.deepEqual(names(reader), [['wlan0', 1]]);
    reader.close();
  }
});

test('time offset, positive and negative', () => {
  for (const order of ORDERS) {
    for (const seconds of [1_600_000_000n, -3600n]) {
      const options = [option(order, OPTION.offset, u64(order, seconds)), END];
      const frame = enhancedPacket(order, { ticks: 7_250_000n, frame: frameOf(4) });
      const { packets } = readAll(capture(sectionHeader(order), interfaceBlock(order, 1, 0, ...options), frame));
      assert.equal(packets[0].timeMs, Number(seconds) * 1000 + 7250);
    }
  }
});

test('time offset of an interface that counts finer than nanoseconds', () => {
  for (const order of ORDERS) {
    for (const seconds of [1_600_000_000n, -3600n]) {
      const pico = option(order, OPTION.resolution, Buffer.from([12]));
      const options = [pico, option(order, OPTION.offset, u64(order, seconds)), END];
      const frame = enhancedPacket(order, { ticks: 86_400_250_000_000_000n, frame: frameOf(4) });
      const { packets } = readAll(capture(sectionHeader(order), interfaceBlock(order, 1, 0, ...options), frame));
      assert.equal(packets[0].timeMs, Number(seconds) * 1000 + 86_400_250);
    }
  }
});

test('each section has its own byte order and its own interfaces', () => {
  const reader = CaptureReader.open(
    capture(
      sectionHeader('little'),
      interfaceBlock('little', 1, 0, option('little', OPTION.name, Buffer.from('first'))),
      enhancedPacket('little', { frame: frameOf(10, 1) }),
      sectionHeader('big'),
      interfaceBlock('big', 101, 0, option('big', OPTION.name, Buffer.from('zweite\0\0'))),
      interfaceBlock('big', 12),
      enhancedPacket('big', { interfaceId: 1, frame: frameOf(20, 2) }),
      sectionHeader('little'),
      interfaceBlock('little', 276),
      simplePacket('little', frameOf(30, 3)),
    ),
    { chunkBytes: 64 },
  );
  assert.deepEqual(names(reader), []);
  assert.ok(reader.next());
  assert.deepEqual(names(reader), [['first', 1]]);
  assert.equal(reader.linkType, 1);
  const ofFirstSection = reader.interfaces;
  assert.ok(reader.next());
  assert.deepEqual(names(reader), [
    ['zweite', 101],
    [undefined, 12],
  ]);
  assert.equal(reader.interfaceId, 1);
  assert.equal(reader.linkType, 12);
  assert.equal(ofFirstSection.length, 1);
  assert.ok(reader.next());
  assert.equal(reader.linkType, 276);
  assert.equal(reader.next(), false);
  reader.close();
});

function names(reader: CaptureReader): [string | undefined, number][] {
  return reader.interfaces.map(({ name, linkType }) => [name, linkType]);
}

test('the captured length of a simple packet: block, snap length and original length bound it', () => {
  const cases: [snapLength: number, stored: number, original: number, captured: number][] = [
    [0, 60, 60, 60],
    [0, 61, 61, 61],
    [20, 20, 1514, 20],
    [21, 21, 1514, 21],
    [65535, 33, 33, 33],
    [0, 40, 1514, 40],
  ];
  for (const [snapLength, stored, original, captured] of cases) {
    const blocks = [
      sectionHeader('little'),
      interfaceBlock('little', 1, snapLength),
      simplePacket('little', frameOf(stored), original),
    ];
    const { packets, error } = readAll(capture(...blocks));
    assert.equal(error, undefined);
    assert.equal(packets[0].frame, frameOf(captured).toString('hex'));
    assert.equal(packets[0].originalLength, original);
  }
});

test('a section without anything else is an empty capture', () => {
  assert.deepEqual(readAll(capture(sectionHeader('big'))), { packets: [], error: undefined });
});

test('thousands of skipped blocks between two packets', () => {
  const skipped = Array.from({ length: 5000 }, (_, index) => block('little', 0x7777, Buffer.alloc(index % 50)));
  const head = [sectionHeader('little'), interfaceBlock('little')];
  const packet = enhancedPacket('little', { frame: frameOf(60) });
  const { packets, error } = readAll(capture(...head, packet, ...skipped, packet), 128);
  assert.equal(error, undefined);
  assert.equal(packets.length, 2);
});

test('the number of interfaces and the length of their names are bounded', () => {
  const long = interfaceBlock('little', 1, 0, option('little', OPTION.name, Buffer.alloc(60_000, 'n')));
  const packet = enhancedPacket('little', { frame: frameOf(60) });
  const reader = CaptureReader.open(capture(sectionHeader('little'), long, packet));
  assert.ok(reader.next());
  assert.equal(reader.interfaces[0].name?.length, 256);
  reader.close();

  const many = Buffer.concat(Array(65_537).fill(interfaceBlock('little')));
  const { error } = readAll(capture(sectionHeader('little'), many));
  assert.ok(error instanceof CaptureError);
  assert.equal(error.byteOffset, 28 + 65_536 * 20);
});
