/** Damaged captures: cut at every length, and with every kind of impossible field. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CaptureError, CaptureReader } from '../../src/pcap/reader.js';
import {
  block,
  classicHeader,
  classicRecord,
  enhancedPacket,
  frameOf,
  interfaceBlock,
  joined,
  MAGIC,
  type Order,
  obsoletePacket,
  option,
  type Piece,
  readAll,
  scratch,
  sectionHeader,
  simplePacket,
  u16,
  u32,
} from './build.js';

const { file } = scratch();

const MIB = 1024 * 1024;

function head(bytes: Buffer): Piece {
  return { bytes, packets: 0 };
}

function packet(bytes: Buffer): Piece {
  return { bytes, packets: 1 };
}

function classicPieces(order: Order, magic: number): Piece[] {
  const patched = magic === MAGIC.patched;
  return [
    head(classicHeader(order, magic)),
    ...[33, 0, 60].map(length => packet(classicRecord(order, { frame: frameOf(length), patched }))),
  ];
}

function pcapngPieces(order: Order): Piece[] {
  return [
    head(sectionHeader(order)),
    head(interfaceBlock(order, 1, 0, option(order, 2, Buffer.from('eth0')))),
    packet(enhancedPacket(order, { frame: frameOf(33) })),
    head(block(order, 0x7777, Buffer.alloc(10))),
    packet(simplePacket(order, frameOf(20))),
    head(sectionHeader(order === 'big' ? 'little' : 'big')),
    head(interfaceBlock(order === 'big' ? 'little' : 'big')),
    packet(obsoletePacket(order === 'big' ? 'little' : 'big', { frame: frameOf(60) })),
  ];
}

const CUT_CAPTURES: [name: string, pieces: Piece[]][] = [
  ['classic, little-endian', classicPieces('little', MAGIC.micro)],
  ['classic, big-endian, nanoseconds', classicPieces('big', MAGIC.nano)],
  ['classic, modified', classicPieces('little', MAGIC.patched)],
  ['pcapng, little-endian first', pcapngPieces('little')],
  ['pcapng, big-endian first', pcapngPieces('big')],
];

for (const [name, pieces] of CUT_CAPTURES) {
  test(`cut at every length: ${name}`, () => {
    const whole = joined(pieces);
    const wholePackets = readAll(file('whole.pcap', whole)).packets;
    assert.equal(wholePackets.length, 3);
    for (let length = 0; length <= whole.length; length++) {
      const expected = expectCut(pieces, length);
      const cut = file('cut.pcap', whole.subarray(0, length));
      for (const chunkBytes of [3, 64, 4096]) {
        const { packets, error } = readAll(cut, chunkBytes);
        assert.deepEqual(packets, wholePackets.slice(0, expected.packets), `packets at length ${length}`);
        if (expected.faultAt === undefined) assert.equal(error, undefined, `clean end at length ${length}`);
        else assertFault(error, expected.faultAt, /cut short|too short|empty/);
      }
    }
  });
}

/** What a cut at `length` leaves: the pieces that are whole, and where the piece it goes through starts. */
function expectCut(pieces: readonly Piece[], length: number): { packets: number; faultAt: number | undefined } {
  if (length === 0) return { packets: 0, faultAt: 0 };
  let start = 0;
  let packets = 0;
  for (const piece of pieces) {
    if (start === length) break;
    if (start + piece.bytes.length > length) return { packets, faultAt: start };
    start += piece.bytes.length;
    packets += piece.packets;
  }
  return { packets, faultAt: undefined };
}

function assertFault(error: unknown, byteOffset: number, message: RegExp): void {
  assert.ok(error instanceof CaptureError, `a CaptureError, not ${error}`);
  assert.equal(error.byteOffset, byteOffset, error.message);
  assert.match(error.message, message);
  assert.ok(error.message.endsWith(` at byte ${byteOffset}`), error.message);
  assert.doesNotMatch(error.message, /\n/);
}

/** Reads `good` pieces and then a bad one: the packets of the good ones arrive, the fault is where the bad starts. */
function checkBad(good: Piece[], bad: Buffer, message: RegExp): void {
  const start = joined(good).length;
  const path = file('bad.pcap', Buffer.concat([joined(good), bad, frameOf(64)]));
  for (const chunkBytes of [16, 64, undefined]) {
    const { packets, error } = readAll(path, chunkBytes);
    assert.equal(packets.length, good.filter(piece => piece.packets === 1).length);
    assertFault(error, start, message);
  }
}

for (const captured of [16 * MIB + 1, 0x7fffffff, 0x80000000, 0xffffffff]) {
  test(`classic: a captured length of ${captured}`, () => {
    for (const order of ['little', 'big'] as const) {
      const bad = classicRecord(order, { frame: frameOf(60), captured });
      checkBad(classicPieces(order, MAGIC.micro), bad, new RegExp(`claims ${captured} captured bytes`));
    }
  });
}

const BAD_LENGTHS: [name: string, length: number, message: RegExp][] = [
  ['zero', 0, /impossible length of 0 bytes/],
  ['below the framing', 11, /impossible length of 11 bytes/],
  ['8', 8, /impossible length of 8 bytes/],
  ['not a multiple of 4', 34, /impossible length of 34 bytes, not a multiple of 4/],
  ['above 16 MiB', 16 * MIB + 4, /more than the limit/],
  ['huge', 0xfffffffc, /claims 4294967292 bytes, more than the limit/],
];

for (const [name, length, message] of BAD_LENGTHS) {
  test(`pcapng: a block length ${name}`, () => {
    for (const type of [6, 0x7777]) {
      checkBad(pcapngPieces('big'), Buffer.concat([u32('little', type), u32('little', length)]), message);
    }
  });
}

test('pcapng: the two lengths of a block differ', () => {
  const bad = enhancedPacket('little', { frame: frameOf(60) });
  bad.writeUInt32LE(bad.length + 4, bad.length - 4);
  checkBad(pcapngPieces('big'), bad, /starts with a length of 92 bytes and ends with one of 96/);
});

const SHORT_BLOCKS: [name: string, type: number, least: number][] = [
  ['interface', 1, 20],
  ['packet', 2, 32],
  ['simple packet', 3, 16],
  ['enhanced packet', 6, 32],
];

for (const [name, type, least] of SHORT_BLOCKS) {
  test(`pcapng: ${name} blocks shorter than their fixed fields`, () => {
    for (let length = 12; length < least; length += 4) {
      const bad = block('little', type, Buffer.alloc(length - 12));
      checkBad(pcapngPieces('big'), bad, new RegExp(`the ${name} block has ${length} bytes, fewer than the ${least}`));
    }
  });
}

test('pcapng: a section header too short, of another version, or without byte order', () => {
  const magic = u32('little', 0x1a2b3c4d);
  const type = 0x0a0d0d0a;
  for (let length = 16; length < 28; length += 4) {
    const bad = block('little', type, magic, Buffer.alloc(length - 16));
    checkBad(pcapngPieces('big'), bad, /section header block has \d+ bytes, fewer than the 28/);
    assertFault(readAll(file('short.pcapng', bad)).error, 0, /fewer than the 28/);
  }
  const version = block('little', type, magic, u16('little', 2), Buffer.alloc(10));
  checkBad(pcapngPieces('big'), version, /pcapng version 2 is not supported/);
  assertFault(readAll(file('version.pcapng', version)).error, 0, /pcapng version 2/);
  const order = block('little', type, u32('little', 0x1a2b3c4e), Buffer.alloc(12));
  checkBad(pcapngPieces('big'), order, /no byte-order magic but 0x4e3c2b1a/);
  assertFault(readAll(file('order.pcapng', order)).error, 0, /no byte-order magic/);
});

test('pcapng: a captured length beyond the block', () => {
  for (const captured of [61, 64, 65, 0x7fffffff, 0xffffffff]) {
    const fields = { frame: frameOf(60), captured };
    checkBad(pcapngPieces('big'), enhancedPacket('little', fields), /the packet block of 92 bytes claims \d+ captured/);
    checkBad(pcapngPieces('big'), obsoletePacket('little', fields), /the packet block of 92 bytes claims \d+ captured/);
  }
});

test('pcapng: an interface that is not there', () => {
  const section = [head(sectionHeader('little'))];
  checkBad(section, simplePacket('little', frameOf(8)), /names interface 0, the section has 0 so far/);
  checkBad(section, enhancedPacket('little', { frame: frameOf(8) }), /names interface 0/);
  const one = [...section, head(interfaceBlock('little'))];
  checkBad(one, obsoletePacket('little', { frame: frameOf(8), interfaceId: 1 }), /names interface 1/);
  checkBad(one, enhancedPacket('little', { frame: frameOf(8), interfaceId: 0xffffffff }), /interface 4294967295/);
});

test('pcapng: damaged interface options', () => {
  const section = [head(sectionHeader('little'))];
  const bad = (...options: Buffer[]) => interfaceBlock('little', 1, 0, ...options);
  const beyond = Buffer.concat([u16('little', 2), u16('little', 5), Buffer.alloc(4)]);
  checkBad(section, bad(beyond), /option 2 runs beyond the end of its interface block/);
  checkBad(section, bad(option('little', 9, Buffer.alloc(2))), /time resolution of the interface has 2 bytes/);
  checkBad(section, bad(option('little', 9, Buffer.alloc(0))), /time resolution of the interface has 0 bytes/);
  checkBad(section, bad(option('little', 14, Buffer.alloc(4))), /time offset of the interface has 4 bytes/);
});

test('a fault stays: asking again gives the same error', () => {
  const good = classicPieces('little', MAGIC.micro);
  const path = file('again.pcap', Buffer.concat([joined(good), Buffer.alloc(5)]));
  const reader = CaptureReader.open(path, { chunkBytes: 32 });
  while (reader.packetNumber < 3) assert.ok(reader.next());
  for (let attempt = 0; attempt < 3; attempt++) {
    assert.throws(
      () => reader.next(),
      (error: unknown) => {
        assertFault(error, joined(good).length, /record header is cut short, 5 of 16 bytes are there/);
        return true;
      },
    );
    assert.equal(reader.packetNumber, 3);
  }
  reader.close();
});

test('the largest record is read, through a chunk that has to grow', () => {
  const large = frameOf(16 * MIB);
  const small = frameOf(60, 9);
  const records = [large, small].map(frame => classicRecord('little', { frame }));
  const path = file('large.pcap', Buffer.concat([classicHeader('little', MAGIC.micro), ...records]));
  const reader = CaptureReader.open(path, { chunkBytes: 64 });
  assert.equal(reader.bytes.length, 64);
  assert.ok(reader.next());
  assert.ok(large.equals(reader.bytes.subarray(reader.frameStart, reader.frameEnd)));
  assert.equal(reader.bytes.length, 16 * MIB + 16);
  assert.ok(reader.next());
  assert.ok(small.equals(reader.bytes.subarray(reader.frameStart, reader.frameEnd)));
  assert.equal(reader.next(), false);
  reader.close();
});

test('a length that the capture does not keep costs no memory', () => {
  const bad = classicRecord('little', { frame: frameOf(60), captured: 16 * MIB });
  const path = file('promise.pcap', Buffer.concat([classicHeader('little', MAGIC.micro), bad]));
  const reader = CaptureReader.open(path, { chunkBytes: 64 });
  assert.throws(() => reader.next(), /the record is cut short, 60 of 16777216 bytes are there at byte 24$/);
  assert.ok(reader.bytes.length <= 256, `${reader.bytes.length} bytes`);
  reader.close();
});
