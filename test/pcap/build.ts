/**
 * Captures built byte by byte, from the format documents and not from the code under test, and a way to read them.
 *
 * For the tests of this folder and of test/cli.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { CaptureReader } from '../../src/pcap/reader.js';

export type Order = 'little' | 'big';
export const ORDERS: readonly Order[] = ['little', 'big'];

export const MAGIC = { micro: 0xa1b2c3d4, nano: 0xa1b23c4d, patched: 0xa1b2cd34 } as const;

export function u16(order: Order, value: number): Buffer {
  const bytes = Buffer.alloc(2);
  if (order === 'little') bytes.writeUInt16LE(value);
  else bytes.writeUInt16BE(value);
  return bytes;
}

export function u32(order: Order, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  if (order === 'little') bytes.writeUInt32LE(value);
  else bytes.writeUInt32BE(value);
  return bytes;
}

export function u64(order: Order, value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  if (order === 'little') bytes.writeBigUInt64LE(BigInt.asUintN(64, value));
  else bytes.writeBigUInt64BE(BigInt.asUintN(64, value));
  return bytes;
}

/** `length` bytes that differ from each other and between frames. */
export function frameOf(length: number, seed = 1): Buffer {
  return Buffer.from(Array.from({ length }, (_, index) => (seed * 31 + index * 7) & 0xff));
}

export function classicHeader(order: Order, magic: number, linkType = 1, version: [number, number] = [2, 4]): Buffer {
  return Buffer.concat([
    u32(order, magic),
    u16(order, version[0]),
    u16(order, version[1]),
    u32(order, 0),
    u32(order, 0),
    u32(order, 65535),
    u32(order, linkType),
  ]);
}

export interface RecordFields {
  seconds?: number;
  fraction?: number;
  frame: Buffer;
  captured?: number;
  original?: number;
  /** The 8 more bytes of the 'modified' format. */
  patched?: boolean;
}

export function classicRecord(order: Order, fields: RecordFields): Buffer {
  return Buffer.concat([
    u32(order, fields.seconds ?? 0),
    u32(order, fields.fraction ?? 0),
    u32(order, fields.captured ?? fields.frame.length),
    u32(order, fields.original ?? fields.frame.length),
    fields.patched ? Buffer.from('0000000308000000', 'hex') : Buffer.alloc(0),
    fields.frame,
  ]);
}

function pad4(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}

export function block(order: Order, type: number, ...body: Buffer[]): Buffer {
  const inner = pad4(Buffer.concat(body));
  const length = u32(order, inner.length + 12);
  return Buffer.concat([u32(order, type), length, inner, length]);
}

export function option(order: Order, code: number, value: Buffer): Buffer {
  return Buffer.concat([u16(order, code), u16(order, value.length), pad4(value)]);
}

export function sectionHeader(order: Order, ...options: Buffer[]): Buffer {
  const length = u64(order, -1n);
  return block(order, 0x0a0d0d0a, u32(order, 0x1a2b3c4d), u16(order, 1), u16(order, 0), length, ...options);
}

export function interfaceBlock(order: Order, linkType = 1, snapLength = 0, ...options: Buffer[]): Buffer {
  return block(order, 1, u16(order, linkType), u16(order, 0), u32(order, snapLength), ...options);
}

export interface PacketBlockFields {
  interfaceId?: number;
  ticks?: bigint;
  frame: Buffer;
  captured?: number;
  original?: number;
  options?: Buffer[];
}

export function enhancedPacket(order: Order, fields: PacketBlockFields): Buffer {
  return block(order, 6, u32(order, fields.interfaceId ?? 0), ...packetFields(order, fields));
}

/** The obsolete packet block: 16 bits of interface id, then a count of drops. */
export function obsoletePacket(order: Order, fields: PacketBlockFields): Buffer {
  return block(order, 2, u16(order, fields.interfaceId ?? 0), u16(order, 7), ...packetFields(order, fields));
}

export function simplePacket(order: Order, frame: Buffer, original = frame.length): Buffer {
  return block(order, 3, u32(order, original), frame);
}

function packetFields(order: Order, fields: PacketBlockFields): Buffer[] {
  const ticks = fields.ticks ?? 0n;
  return [
    u32(order, Number(ticks >> 32n)),
    u32(order, Number(ticks & 0xffffffffn)),
    u32(order, fields.captured ?? fields.frame.length),
    u32(order, fields.original ?? fields.frame.length),
    pad4(fields.frame),
    ...(fields.options ?? []),
  ];
}

/** One piece of a capture, for tests that cut it: a header or a record, with how many packets it holds. */
export interface Piece {
  bytes: Buffer;
  packets: 0 | 1;
}

export function joined(pieces: readonly Piece[]): Buffer {
  return Buffer.concat(pieces.map(piece => piece.bytes));
}

export interface SeenPacket {
  number: number;
  frame: string;
  originalLength: number;
  timeMs: number;
  interfaceId: number;
  linkType: number;
}

export interface Outcome {
  packets: SeenPacket[];
  /** What open() or next() threw; undefined after a clean end. */
  error: unknown;
}

/** Reads all of a capture and checks what holds for every packet. */
export function readAll(path: string, chunkBytes?: number): Outcome {
  const packets: SeenPacket[] = [];
  let reader: CaptureReader | undefined;
  try {
    reader = CaptureReader.open(path, chunkBytes === undefined ? {} : { chunkBytes });
    while (reader.next()) packets.push(seen(reader));
    assert.equal(reader.next(), false, 'the end stays the end');
    return { packets, error: undefined };
  } catch (error) {
    return { packets, error };
  } finally {
    reader?.close();
  }
}

function seen(reader: CaptureReader): SeenPacket {
  const { bytes, frameStart, frameEnd } = reader;
  assert.ok(
    frameStart >= 0 && frameStart <= frameEnd && frameEnd <= bytes.length,
    `frame ${frameStart} to ${frameEnd}`,
  );
  assert.ok(Number.isFinite(reader.timeMs), `time ${reader.timeMs}`);
  return {
    number: reader.packetNumber,
    frame: Buffer.from(bytes.subarray(frameStart, frameEnd)).toString('hex'),
    originalLength: reader.originalLength,
    timeMs: reader.timeMs,
    interfaceId: reader.interfaceId,
    linkType: reader.linkType,
  };
}

/** Paths and files in a directory of their own, which goes away after the tests of the calling file. */
export function scratch(): { path: (name: string) => string; file: (name: string, contents: Uint8Array) => string } {
  const directory = mkdtempSync(join(tmpdir(), 'flowshard-pcap-'));
  after(() => rmSync(directory, { recursive: true, force: true }));
  const path = (name: string) => join(directory, name);
  return {
    path,
    file(name, contents) {
      writeFileSync(path(name), contents);
      return path(name);
    },
  };
}
