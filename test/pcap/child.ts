/**
 * The other end of the pipes in pipes.test.ts, run as a program of its own because reading a capture blocks its thread.
 *
 *   node child.js print <capture>          one line per packet as it arrives, then `end BYTES` or `error MESSAGE`
 *   node child.js copy <capture> <target>  writes what it reads; `error MESSAGE` on standard error
 */

import { writeSync } from 'node:fs';
import { CaptureReader } from '../../src/pcap/reader.js';
import { CaptureWriter } from '../../src/pcap/writer.js';

function print(path: string): void {
  const reader = CaptureReader.open(path);
  while (reader.next()) writeSync(1, `packet ${reader.packetNumber} ${reader.frameEnd - reader.frameStart}\n`);
  writeSync(1, `end ${reader.bytesRead} of ${reader.totalBytes}\n`);
  reader.close();
}

function copy(from: string, to: string): void {
  const reader = CaptureReader.open(from);
  const writer = CaptureWriter.create(to, { linkType: reader.interfaces[0].linkType });
  while (reader.next()) {
    writer.write(reader.timeMs, reader.bytes, reader.frameStart, reader.frameEnd, reader.originalLength);
  }
  writer.close();
  reader.close();
}

const [, , command, from, to] = process.argv;
try {
  if (command === 'print') print(from);
  else copy(from, to);
} catch (error) {
  writeSync(command === 'print' ? 1 : 2, `error ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
