/** Classic pcap files with microseconds, as tcpdump writes them. The recorder's own, so that it judges nothing by src/. */
import { readFileSync, writeFileSync } from 'node:fs';

export interface Packet {
  /** Microseconds since 1970. */
  readonly time: number;
  readonly data: Buffer;
  /** Length on the wire; more than the data if the capture was cut short. */
  readonly length: number;
}

const MAGIC = 0xa1b2c3d4;
const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const ETHERNET = 1;

export function readPcap(path: string): Packet[] {
  const file = readFileSync(path);
  if (file.readUInt32LE(0) !== MAGIC || file.readUInt32LE(20) !== ETHERNET)
    throw new Error(`${path}: not a plain Ethernet pcap`);
  const packets: Packet[] = [];
  for (let at = FILE_HEADER_BYTES; at < file.length; ) {
    const start = at + RECORD_HEADER_BYTES;
    const end = start + file.readUInt32LE(at + 8);
    const time = file.readUInt32LE(at) * 1e6 + file.readUInt32LE(at + 4);
    packets.push({ time, data: file.subarray(start, end), length: file.readUInt32LE(at + 12) });
    at = end;
  }
  return packets;
}

export function writePcap(path: string, packets: readonly Packet[]): void {
  const header = Buffer.alloc(FILE_HEADER_BYTES);
  header.writeUInt32LE(MAGIC, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(262144, 16);
  header.writeUInt32LE(ETHERNET, 20);
  writeFileSync(path, Buffer.concat([header, ...packets.flatMap(packet => [recordHeader(packet), packet.data])]));
}

function recordHeader({ time, data, length }: Packet): Buffer {
  const header = Buffer.alloc(RECORD_HEADER_BYTES);
  header.writeUInt32LE(Math.floor(time / 1e6), 0);
  header.writeUInt32LE(time % 1e6, 4);
  header.writeUInt32LE(data.length, 8);
  header.writeUInt32LE(length, 12);
  return header;
}
