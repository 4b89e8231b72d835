/** Classic pcap: what each field of a capture becomes. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CaptureError, CaptureReader } from '../../src/pcap/reader.js';
import { classicHeader, classicRecord, frameOf, MAGIC, ORDERS, readAll, scratch } from './build.js';

const { file, path } = scratch();

const FRAMES = [frameOf(60, 1), frameOf(0, 2), frameOf(1514, 3)];

const VARIANTS = [
  { name: 'microseconds', magic: MAGIC.micro, patched: false, fraction: 123_456, timeMs: 1_700_000_000_123.456 },
  {
    name: 'nanoseconds',
    magic: MAGIC.nano,
    patched: false,
    fraction: 123_456_789,
    timeMs: 1_700_000_000_000 + 123.456789,
  },
  { name: 'modified', magic: MAGIC.patched, patched: true, fraction: 999_999, timeMs: 1_700_000_000_999.999 },
];

for (const order of ORDERS) {
  for (const { name, magic, patched, fraction, timeMs } of VARIANTS) {
    test(`${name}, ${order}-endian, any chunk size`, () => {
      const records = FRAMES.map(frame => classicRecord(order, { seconds: 1_700_000_000, fraction, frame, patched }));
      const capture = file('variant.pcap', Buffer.concat([classicHeader(order, magic, 113), ...records]));
      for (const chunkBytes of [1, 7, 24, 64, 1000, undefined]) {
        const { packets, error } = readAll(capture, chunkBytes);
        assert.equal(error, undefined);
        assert.deepEqual(
          packets,
          FRAMES.map((frame, index) => ({
            number: index + 1,
            frame: frame.toString('hex'),
            originalLength: frame.length,
            timeMs,
            interfaceId: 0,
            linkType: 113,
          })),
        );
      }
    });
  }
}

test('a frame cut by the snap length is delivered as it is', () => {
  const record = classicRecord('little', { frame: frameOf(96), original: 1514 });
  const { packets } = readAll(file('cut.pcap', Buffer.concat([classicHeader('little', MAGIC.micro), record])));
  assert.equal(packets.length, 1);
  assert.equal(packets[0].frame, frameOf(96).toString('hex'));
  assert.equal(packets[0].originalLength, 1514);
});

test('an original length below the captured length is delivered as it is', () => {
  const record = classicRecord('little', { frame: frameOf(60), original: 0 });
  const { packets } = readAll(file('odd.pcap', Buffer.concat([classicHeader('little', MAGIC.micro), record])));
  assert.equal(packets[0].frame.length, 2 * 60);
  assert.equal(packets[0].originalLength, 0);
});

test('seconds are unsigned', () => {
  const record = classicRecord('big', { seconds: 0xffffffff, fraction: 0, frame: frameOf(1) });
  const { packets } = readAll(file('late.pcap', Buffer.concat([classicHeader('big', MAGIC.micro), record])));
  assert.equal(packets[0].timeMs, 4_294_967_295_000);
});

const FCS_CASES = [
  { name: 'no FCS bit: nothing is stripped', link: 0x30000001, captured: 64, original: 64, expect: [64, 64] },
  { name: '4 bytes off a complete frame', link: 0x24000001, captured: 64, original: 64, expect: [60, 60] },
  { name: 'a cut frame has lost its FCS already', link: 0x24000001, captured: 64, original: 100, expect: [64, 96] },
  { name: 'a frame cut within its FCS', link: 0x24000001, captured: 62, original: 64, expect: [60, 60] },
  { name: 'a frame shorter than its FCS', link: 0x24000001, captured: 3, original: 3, expect: [0, 0] },
  {
    name: 'a frame that claims to be shorter than it is',
    link: 0x24000001,
    captured: 64,
    original: 0,
    expect: [64, 0],
  },
  { name: 'the longest FCS has 30 bytes', link: 0xf4000001, captured: 64, original: 64, expect: [34, 34] },
];

for (const { name, link, captured, original, expect } of FCS_CASES) {
  test(`FCS: ${name}`, () => {
    for (const order of ORDERS) {
      const frame = frameOf(captured);
      const contents = [
        classicHeader(order, MAGIC.micro, link),
        classicRecord(order, { frame, original }),
        classicRecord(order, { frame, original }),
      ];
      const { packets, error } = readAll(file('fcs.pcap', Buffer.concat(contents)), 64);
      assert.equal(error, undefined);
      assert.equal(packets.length, 2);
      for (const packet of packets) {
        assert.equal(packet.linkType, 1);
        assert.equal(packet.frame, frame.subarray(0, expect[0]).toString('hex'));
        assert.equal(packet.originalLength, expect[1]);
      }
    }
  });
}

test('interfaces, progress and close', () => {
  const contents = Buffer.concat([
    classicHeader('little', MAGIC.micro, 276),
    classicRecord('little', { frame: frameOf(10) }),
    classicRecord('little', { frame: frameOf(20) }),
  ]);
  const reader = CaptureReader.open(file('progress.pcap', contents));
  assert.deepEqual(reader.interfaces, [{ name: undefined, linkType: 276 }]);
  assert.equal(reader.totalBytes, contents.length);
  assert.equal(reader.packetNumber, 0);
  assert.equal(reader.bytesRead, 24);
  assert.ok(reader.next());
  assert.equal(reader.packetNumber, 1);
  assert.equal(reader.bytesRead, 24 + 16 + 10);
  reader.close();
  reader.close();
  assert.equal(reader.bytesRead, 24 + 16 + 10);
  assert.throws(() => reader.next(), /^Error: .*progress\.pcap: the capture is closed$/);
});

test('other versions than 2.4 are refused', () => {
  for (const version of [
    [1, 0],
    [2, 3],
    [2, 5],
    [543, 0],
  ] as [number, number][]) {
    const { error } = readAll(file('version.pcap', classicHeader('big', MAGIC.micro, 1, version)));
    assert.ok(error instanceof CaptureError);
    assert.match(error.message, new RegExp(`version ${version.join('\\.')} is not supported.* at byte 0$`));
  }
});

test('what is not a capture is refused, each thing in its own words and with its path', () => {
  const cases: [name: string, expected: RegExp][] = [
    [path('missing.pcap'), /missing\.pcap: cannot open: no such file or directory$/],
    [path('.'), /is a directory, expected a capture file$/],
    [file('empty.pcap', Buffer.alloc(0)), /empty\.pcap: empty, expected a capture at byte 0$/],
    [file('short.pcap', Buffer.from('abc')), /short\.pcap: too short to be a capture at byte 0$/],
    [file('notes.txt', Buffer.from('hello world\n')), /notes\.txt: neither .* starts with 68 65 6c 6c at byte 0$/],
    [file('c.pcap.gz', Buffer.from('1f8b08000000', 'hex')), /c\.pcap\.gz: compressed with gzip.* at byte 0$/],
    [file('line\nfeed', Buffer.from('hello world\n')), /line\?feed: neither/],
  ];
  for (const [name, expected] of cases) {
    const { packets, error } = readAll(name);
    assert.ok(error instanceof Error);
    assert.match(error.message, expected);
    assert.doesNotMatch(error.message, /\n/);
    assert.deepEqual(packets, []);
  }
});

test('a chunk size that is not a positive integer is refused', () => {
  for (const chunkBytes of [0, -1, 1.5, Number.NaN]) {
    assert.throws(() => CaptureReader.open(path('missing.pcap'), { chunkBytes }), RangeError);
  }
});
