/** Long captures: positions beyond 4 GiB, and nothing allocated per packet. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { GCProfiler } from 'node:v8';
import { CaptureReader } from '../../src/pcap/reader.js';
import {
  classicHeader,
  classicRecord,
  enhancedPacket,
  frameOf,
  interfaceBlock,
  MAGIC,
  option,
  scratch,
  sectionHeader,
} from './build.js';

const { path } = scratch();
const CHILD = fileURLToPath(new URL('child.js', import.meta.url));

const MIB = 1024 * 1024;

test('positions beyond 4 GiB are exact', { timeout: 120_000 }, () => {
  // Through a pipe and the same record over and over: a file of that size, even a sparse one, takes five times as long.
  const records = 257;
  writeFileSync(path('header'), classicHeader('little', MAGIC.micro));
  writeFileSync(path('record'), classicRecord('little', { frame: Buffer.alloc(16 * MIB - 16) }));
  const produce = `cat "$1"; i=0; while [ $i -lt ${records} ]; do cat "$2"; i=$((i + 1)); done; head -c 5 "$2"`;
  const { stdout } = spawnSync(
    'sh',
    ['-c', `{ ${produce}; } | "$0" "$3" print -`, process.execPath, path('header'), path('record'), CHILD],
    { encoding: 'utf8' },
  );
  const lines = stdout.trimEnd().split('\n');
  assert.equal(lines.length, records + 1);
  assert.equal(lines[records - 1], `packet ${records} ${16 * MIB - 16}`);
  const faultAt = 24 + records * 16 * MIB;
  assert.ok(faultAt > 2 ** 32);
  assert.equal(
    lines[records],
    `error standard input: the record header is cut short, 5 of 16 bytes are there at byte ${faultAt}`,
  );
});

/** Sums what is in the capture, so that no read can be left out. Returns how many packets there were. */
function drain(reader: CaptureReader, sums: Float64Array): number {
  let packets = 0;
  while (reader.next()) {
    packets += 1;
    sums[0] += reader.bytes[reader.frameStart];
    sums[1] += reader.timeMs;
  }
  return packets;
}

const PACKETS = 500_000;

function classicCapture(): Buffer {
  const record = classicRecord('little', { seconds: 1_700_000_000, fraction: 123_457, frame: frameOf(64) });
  return Buffer.concat([classicHeader('little', MAGIC.micro), ...Array(PACKETS).fill(record)]);
}

function pcapngCapture(): Buffer {
  const packet = enhancedPacket('little', { ticks: 1_700_000_000_123_456_789n, frame: frameOf(64) });
  const nano = option('little', 9, Buffer.from([9]));
  return Buffer.concat([
    sectionHeader('little'),
    interfaceBlock('little', 1, 0, nano),
    ...Array<Buffer>(PACKETS).fill(packet),
  ]);
}

for (const [name, build] of [
  ['classic', classicCapture],
  ['pcapng', pcapngCapture],
] as const) {
  test(`${name}: reading allocates nothing per packet`, () => {
    const target = path(`${name}.capture`);
    writeFileSync(target, build());
    const sums = new Float64Array(2);
    const collections: number[] = [];
    // The first passes compile. One number kept on the heap per packet would be 8 MB a pass, and several collections.
    for (let pass = 0; pass < 8; pass++) {
      const reader = CaptureReader.open(target);
      const profiler = new GCProfiler();
      profiler.start();
      assert.equal(drain(reader, sums), PACKETS);
      collections.push(profiler.stop().statistics.length);
      reader.close();
    }
    assert.equal(sums[0], 8 * PACKETS * frameOf(64)[0]);
    assert.ok(Math.min(...collections.slice(4)) <= 1, `collections per pass: ${collections}`);
  });
}
