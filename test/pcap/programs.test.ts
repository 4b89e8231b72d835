/**
 * The reader and the writer against other programs: tshark, tcpdump, editcap and capinfos, each skipped when it is not
 * installed.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { linkTypeName } from '../../src/pcap/linktype.js';
import { CaptureWriter } from '../../src/pcap/writer.js';
import {
  block,
  classicHeader,
  classicRecord,
  enhancedPacket,
  frameOf,
  interfaceBlock,
  MAGIC,
  ORDERS,
  obsoletePacket,
  option,
  readAll,
  type SeenPacket,
  scratch,
  sectionHeader,
  simplePacket,
  u64,
} from './build.js';

const { file, path } = scratch();

function missing(...programs: string[]): string | false {
  const absent = programs.filter(program => spawnSync(program, ['--version']).error !== undefined);
  return absent.length > 0 ? `${absent.join(' and ')} not installed` : false;
}

function run(program: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 256 * 1024 * 1024 });
  assert.equal(status, 0, `${program} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

interface TsharkPacket {
  _source: { layers: { frame: Record<string, string>; frame_raw: [hex: string] } };
}

/** The packets of a capture as tshark sees them, to be compared with those of the reader. */
function tshark(capture: string): Omit<SeenPacket, 'linkType'>[] {
  const output = run('tshark', '-n', '-r', capture, '-T', 'json', '-x', '-J', 'frame', '--no-duplicate-keys');
  return (JSON.parse(output) as TsharkPacket[]).map(({ _source: { layers } }) => {
    const { frame, frame_raw: raw } = layers;
    return {
      number: Number(frame['frame.number']),
      frame: raw[0],
      originalLength: Number(frame['frame.len']),
      timeMs: Number(frame['frame.time_epoch']) * 1000,
      interfaceId: Number(frame['frame.interface_id'] ?? 0),
    };
  });
}

/** Times are compared to half a microsecond: tshark's went through a Number of seconds. */
function assertSame(seen: readonly SeenPacket[], expected: readonly Omit<SeenPacket, 'linkType'>[]): void {
  const withoutTime = ({ number, frame, originalLength, interfaceId }: Omit<SeenPacket, 'linkType'>) => ({
    number,
    frame,
    originalLength,
    interfaceId,
  });
  assert.deepEqual(seen.map(withoutTime), expected.map(withoutTime));
  for (const [index, { timeMs }] of seen.entries()) {
    assert.ok(Math.abs(timeMs - expected[index].timeMs) <= 0.0005, `packet ${index + 1}: ${timeMs}`);
  }
}

const FRAMES = [60, 61, 62, 63, 1514].map((length, seed) => frameOf(length, seed));

for (const order of ORDERS) {
  for (const [name, magic] of Object.entries(MAGIC)) {
    test(`classic ${name} ${order}-endian, as tshark reads it`, { skip: missing('tshark') }, () => {
      const records = FRAMES.map((frame, index) =>
        classicRecord(order, {
          seconds: 1_700_000_000 + index,
          fraction: 999_999 - index,
          frame,
          original: frame.length + index,
          patched: name === 'patched',
        }),
      );
      const capture = file(`${name}-${order}.pcap`, Buffer.concat([classicHeader(order, magic), ...records]));
      const { packets, error } = readAll(capture, 64);
      assert.equal(error, undefined);
      assertSame(packets, tshark(capture));
    });
  }

  test(`pcapng ${order}-endian, as tshark reads it`, { skip: missing('tshark') }, () => {
    const resolution = (value: number) => option(order, 9, Buffer.from([value]));
    const capture = file(
      `${order}.pcapng`,
      Buffer.concat([
        sectionHeader(order),
        interfaceBlock(order, 1, 0, option(order, 2, Buffer.from('micro'))),
        interfaceBlock(order, 1, 0, resolution(9)),
        interfaceBlock(order, 113, 0, resolution(0x94)),
        interfaceBlock(order, 101, 0, resolution(3), option(order, 14, u64(order, 1_000_000_000n))),
        enhancedPacket(order, { ticks: 1_700_000_000_123_456n, frame: FRAMES[0] }),
        enhancedPacket(order, { interfaceId: 1, ticks: 1_700_000_000_999_999_999n, frame: FRAMES[1], original: 99 }),
        block(order, 0x7777, Buffer.from('unknown')),
        enhancedPacket(order, { interfaceId: 2, ticks: (1_700_000_000n << 20n) + 77n, frame: FRAMES[2] }),
        enhancedPacket(order, { interfaceId: 3, ticks: 700_000_000_007n, frame: FRAMES[3] }),
        obsoletePacket(order, { interfaceId: 1, ticks: 1_700_000_001_000_000_001n, frame: FRAMES[4] }),
      ]),
    );
    const { packets, error } = readAll(capture, 64);
    assert.equal(error, undefined);
    assertSame(packets, tshark(capture));
    assert.deepEqual(
      packets.map(packet => packet.linkType),
      [1, 1, 113, 101, 1],
    );
  });
}

test('simple packets with a snap length, as tshark reads them', { skip: missing('tshark') }, () => {
  const head = [sectionHeader('little'), interfaceBlock('little', 1, 70)];
  const packets = [simplePacket('little', FRAMES[1]), simplePacket('little', frameOf(70), 1514)];
  const capture = file('simple.pcapng', Buffer.concat([...head, ...packets]));
  // No times in it: tshark says nothing, which reads as NaN, so times are set equal.
  const expected = tshark(capture).map(packet => ({ ...packet, timeMs: 0 }));
  assertSame(readAll(capture).packets, expected);
});

test('what editcap converts reads the same in every format', { skip: missing('editcap', 'mergecap') }, () => {
  const records = FRAMES.map((frame, index) =>
    classicRecord('big', { seconds: 1_700_000_000, fraction: index * 111_111, frame }),
  );
  const source = file('source.pcap', Buffer.concat([classicHeader('big', MAGIC.micro), ...records]));
  const original = readAll(source).packets;
  assert.equal(original.length, FRAMES.length);
  for (const format of ['pcap', 'nsecpcap', 'modpcap', 'pcapng']) {
    run('editcap', '-F', format, source, path(format));
    assert.deepEqual(readAll(path(format), 100), { packets: original, error: undefined }, format);
  }
  // Captures of two link types, merged: the interfaces of one section.
  const cooked = file('cooked.pcap', Buffer.concat([classicHeader('big', MAGIC.micro, 113), ...records]));
  run('mergecap', '-a', '-F', 'pcapng', '-w', path('merged'), source, cooked);
  const merged = readAll(path('merged'));
  assert.equal(merged.error, undefined);
  assert.deepEqual(
    merged.packets.map(({ interfaceId, linkType, timeMs, frame }) => ({ interfaceId, linkType, timeMs, frame })),
    [
      ...original.map(({ timeMs, frame }) => ({ interfaceId: 0, linkType: 1, timeMs, frame })),
      ...original.map(({ timeMs, frame }) => ({ interfaceId: 1, linkType: 113, timeMs, frame })),
    ],
  );
});

function written(name: string, nanoseconds: boolean): string {
  const writer = CaptureWriter.create(path(name), { linkType: 101, nanoseconds, snapLength: 100 });
  for (const [index, frame] of FRAMES.entries()) {
    writer.write(1_700_000_000_000 + index * 0.5, frame, 0, frame.length, frame.length);
  }
  writer.close();
  return path(name);
}

test('what the writer writes, as capinfos sees it', { skip: missing('capinfos') }, () => {
  for (const nanoseconds of [false, true]) {
    const report = run('capinfos', '-M', written('written.pcap', nanoseconds));
    assert.match(report, /File encapsulation: +rawip\n/);
    assert.match(report, /Number of packets: +5\n/);
    assert.match(report, /Packet size limit: +file hdr: 100 bytes/);
    assert.match(report, nanoseconds ? /File timestamp precision: +nanoseconds/ : /precision: +microseconds/);
    assert.match(report, new RegExp(`Data size: +${60 + 61 + 62 + 63 + 1514} bytes`));
  }
});

test('what the writer writes, as tcpdump sees it', { skip: missing('tcpdump') }, () => {
  const capture = written('written.pcap', true);
  const output = run('tcpdump', '-nn', '-tt', '-xx', '--time-stamp-precision=nano', '-r', capture);
  // A line with the time for each packet, then lines of an offset and up to 16 bytes in hexadecimal.
  const packets = output.split(/^(?=\d)/m);
  assert.equal(packets.length, FRAMES.length);
  for (const [index, packet] of packets.entries()) {
    assert.ok(packet.startsWith(`1700000000.00${index * 5 < 10 ? '0' : ''}${index * 5}00000 `.slice(0, 14)), packet);
    const hex = packet.replace(/^.*\n/, '').replace(/^\s*0x[0-9a-f]+:/gm, '');
    assert.equal(hex.replace(/\s/g, ''), FRAMES[index].subarray(0, 100).toString('hex'));
  }
});

test('names of link types, as tcpdump spells them', { skip: missing('tcpdump') }, () => {
  // Not 14, which is the number of another link type on Linux.
  for (const linkType of [0, 1, 12, 101, 108, 113, 228, 229, 276]) {
    const capture = file('empty.pcap', classicHeader('little', MAGIC.micro, linkType));
    const { stderr } = spawnSync('tcpdump', ['-r', capture], { encoding: 'utf8' });
    assert.equal(/link-type (\w+)/.exec(stderr)?.[1], linkTypeName(linkType));
  }
});
