/** `flowshard replay` beyond the golden captures: its options, its output, pipes, and how it ends. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { CaptureWriter } from '../../src/pcap/writer.js';
import { scratch } from '../pcap/build.js';
import { ipv4 } from '../support/frames.js';
import {
  goldenCaptures,
  goldenPath,
  goldenText,
  MAIN,
  type PacketLine,
  packetsOf,
  run,
  splitJson,
  start,
  statesOf,
} from './program.js';

const { file, path } = scratch();
const HTTP = goldenPath('http-ipv4.pcap');
const HTTP_STATES = goldenText('http-ipv4.states');
const noFifo = spawnSync('mkfifo', ['--version']).error ? 'mkfifo is not available' : false;

/** Runs with --json and gives the objects, after checking that all went well. */
async function jsonOf(capture: string, ...options: string[]): Promise<PacketLine[]> {
  const { code, stdout, stderr } = await run(['replay', capture, '--json', ...options]);
  assert.deepEqual([code, stderr], [0, '']);
  return splitJson(stdout).objects;
}

describe('options', { concurrency: 2 }, () => {
  test('--json: what an object says', async () => {
    const objects = await jsonOf(goldenPath('ping.pcap'), '--shards', '1');
    const times = packetsOf(goldenPath('ping.pcap')).map(packet => Math.round(packet.timeMs * 1000));
    assert.deepEqual(
      objects.map(packet => Math.round(packet.time * 1e6)),
      times,
    );
    const { time, ...first } = objects[4];
    assert.equal(typeof time, 'number');
    assert.deepEqual(first, {
      n: 5,
      state: 'est|trk',
      zone: 0,
      mark: 0,
      label: '0x0',
      reason: 'none',
      tuple: { protocol: 'icmp', src: '10.1.0.2', dst: '10.2.0.2', type: 8, code: 0 },
      shard: 0,
    });
    assert.equal(objects[0].tuple, null);
    assert.equal(objects[0].reason, 'not-ip');
  });

  test('--json: ports and IPv6', async () => {
    const tuples = (await jsonOf(goldenPath('http-ipv6.pcap'))).map(packet => packet.tuple);
    assert.ok(tuples.some(tuple => tuple?.dstPort === 80 && tuple.protocol === 'tcp' && tuple.src === 'fd00:1::2'));
  });

  test('--zone', async () => {
    const { stdout } = await run(['replay', HTTP, '--json', '--dump', '--zone', '9']);
    const { objects, rest } = splitJson(stdout);
    assert.ok(objects.every(packet => packet.zone === 9));
    assert.equal(statesOf(objects), HTTP_STATES);
    assert.ok(
      rest
        .trimEnd()
        .split('\n')
        .every(line => line.includes(',zone=9,')),
    );
  });

  test('--no-commit', async () => {
    const { stdout } = await run(['replay', HTTP, '--json', '--dump', '--no-commit']);
    const { objects, rest } = splitJson(stdout);
    assert.equal(rest, '');
    assert.ok(objects.every(packet => ['new|trk', 'inv|trk'].includes(packet.state)));
    assert.ok(objects.some(packet => packet.reason === 'not-committed'));
  });

  test('--max-connections', async () => {
    const objects = await jsonOf(HTTP, '--max-connections', '1');
    assert.ok(objects.some(packet => packet.reason === 'table-full'));
  });

  test('without --max-connections: packets as short as can be, each of which opens a connection, all find room', async () => {
    const capture = path('short.pcap');
    const writer = CaptureWriter.create(capture, { linkType: 101 });
    const count = 3000;
    for (let number = 0; number < count; number++) {
      const { bytes } = ipv4(
        { src: `10.1.${number >>> 8}.${number & 255}` },
        { protocol: 47, bytes: () => new Uint8Array() },
      );
      writer.write(0, bytes, 0, bytes.length, bytes.length);
    }
    writer.close();
    for (const shards of ['1', '4']) {
      const { code, stdout, stderr } = await run(['replay', capture, '--dump', '--shards', shards]);
      assert.deepEqual([code, stderr, stdout.split('\n').length - 1], [0, '', count]);
    }
  });

  test('--no-checksums', async () => {
    const bad = (objects: PacketLine[]) => objects.filter(packet => packet.reason.endsWith('-checksum')).length;
    assert.ok(bad(await jsonOf(goldenPath('malformed.pcap'))) > 0);
    assert.equal(bad(await jsonOf(goldenPath('malformed.pcap'), '--no-checksums')), 0);
  });

  test('--no-seq-check', async () => {
    const outside = (objects: PacketLine[]) => objects.filter(packet => packet.reason === 'tcp-window').length;
    assert.ok(
      outside(await jsonOf(goldenPath('mid-stream.pcap'))) + outside(await jsonOf(goldenPath('malformed.pcap'))) > 0,
    );
    assert.equal(outside(await jsonOf(goldenPath('malformed.pcap'), '--no-seq-check')), 0);
  });

  test('--seed: the same packets to the same shards', async () => {
    const shardsOf = async (seed: string) =>
      (await jsonOf(HTTP, '--shards', '4', '--seed', seed)).map(packet => packet.shard).join();
    const first = await shardsOf('7');
    assert.equal(await shardsOf('7'), first);
    assert.notEqual(await shardsOf('8'), first);
  });

  test('--clock wall: what takes sixty days in the capture takes no time', async () => {
    const { code, stdout } = await run(['replay', goldenPath('long-lived.pcap'), '--states', '--clock', 'wall']);
    assert.equal(code, 0);
    assert.notEqual(stdout, goldenText('long-lived.states'));
    const frozen = await run(['replay', goldenPath('long-lived.pcap'), '--states', '--clock', 'frozen']);
    assert.equal(stdout, frozen.stdout);
  });

  test('the summary', async () => {
    const { code, stdout, stderr } = await run(['replay', goldenPath('mixed.pcap'), '--shards', '2']);
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /^.*mixed\.pcap\n {2}link type {3}EN10MB\n {2}packets {5}[\d,]+, /);
    const packets = goldenCaptures().find(({ name }) => name === 'mixed')?.packets;
    assert.equal(Number(/packets {5}([\d,]+),/.exec(stdout)?.[1].replaceAll(',', '')), packets);
    const titles = stdout.split('\n').filter((_line, index, lines) => index > 0 && lines[index - 1] === '');
    assert.deepEqual(titles.slice(0, 5), [
      'packets by state',
      'packets by reason',
      'connections',
      'connections open at the end',
      'packets by shard',
    ]);
    assert.match(stdout, /not-ip +the frame carries neither IPv4 nor IPv6\n/);
    const open = Number(/(\d+) {2}open at the end\n/.exec(stdout)?.[1]);
    assert.equal(open, goldenText('mixed.dump').trimEnd().split('\n').length);
    assert.match(stdout, /packets per second\n$/);
  });
});

describe('captures with a fault', { concurrency: 2 }, () => {
  const cutAt = 30_000;
  const cut = file('cut.pcap', readFileSync(HTTP).subarray(0, cutAt));
  const complaint = /^flowshard: .*cut\.pcap: the record is cut short, 1140 of 1514 bytes are there at byte 28844\n$/;
  const lines = HTTP_STATES.split('\n').slice(0, 67).join('\n');

  for (const shards of ['1', '4']) {
    test(`${shards} shards: states and table up to the fault`, async () => {
      const { code, stdout, stderr } = await run(['replay', cut, '--shards', shards, '--states', '--dump']);
      assert.equal(code, 1);
      assert.match(stderr, complaint);
      assert.ok(stdout.startsWith(`${lines}\ntcp,orig=`));
    });
  }

  test('the summary up to the fault', async () => {
    const { code, stdout, stderr } = await run(['replay', cut]);
    assert.equal(code, 1);
    assert.match(stderr, complaint);
    assert.match(stdout, /packets {5}67, .*packets per second\n$/s);
  });

  test('the same on standard input', async () => {
    const { code, stdout, stderr } = await run(['replay', '-', '--states'], readFileSync(cut));
    assert.deepEqual([code, stdout], [1, `${lines}\n`]);
    assert.equal(
      stderr,
      'flowshard: standard input: the record is cut short, 1140 of 1514 bytes are there at byte 28844\n',
    );
  });

  test('a header and no packets', async () => {
    const capture = file('none.pcap', readFileSync(HTTP).subarray(0, 24));
    assert.deepEqual(await run(['replay', capture, '--states', '--dump']), { code: 0, stdout: '', stderr: '' });
    const { code, stdout } = await run(['replay', capture]);
    assert.equal(code, 0);
    assert.match(stdout, / {2}packets {5}0, 0 B\n/);
  });
});

describe('pipes', { concurrency: 2 }, () => {
  test('standard input, all at once', async () => {
    const outcome = await run(['replay', '-', '--states'], readFileSync(HTTP));
    assert.deepEqual(outcome, { code: 0, stdout: HTTP_STATES, stderr: '' });
  });

  for (const [signal, exitCode] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    test(`standard input, slowly: verdicts come before the next packets do, and ${signal} is heeded`, async () => {
      const child = start(['replay', '-', '--states', '--dump']);
      const contents = readFileSync(HTTP);
      let stdout = '';
      child.stdout.setEncoding('utf8').on('data', text => {
        stdout += text;
      });
      const arrival = async (text: string) => {
        while (!stdout.endsWith(text)) await once(child.stdout, 'data');
      };
      // Packets 1 and 2 have 42 bytes each behind a header of 16, packet 3 has 74.
      child.stdin.write(contents.subarray(0, 24 + 58 + 58));
      await arrival('2: inv|trk\n');
      child.stdin.write(contents.subarray(140, 200));
      child.stdin.write(contents.subarray(200, 230));
      await arrival('3: new|trk\n');
      child.kill(signal);
      const [code] = await once(child, 'close');
      assert.equal(code, exitCode);
      assert.match(stdout, /^1: inv\|trk\n2: inv\|trk\n3: new\|trk\ntcp,orig=.*state=SYN_SENT\)\n$/);
    });
  }

  test('a FIFO', { skip: noFifo }, async () => {
    const command = 'mkfifo "$1" && { cat "$2" > "$1" & } && "$3" "$4" replay "$1" --states && wait';
    const child = spawn('sh', ['-c', command, 'sh', path('fifo'), HTTP, process.execPath, MAIN]);
    let stdout = '';
    child.stdout.setEncoding('utf8').on('data', text => {
      stdout += text;
    });
    assert.deepEqual(await once(child, 'close'), [0, null]);
    assert.equal(stdout, HTTP_STATES);
  });

  for (const option of ['--states', '--json', '--dump', '--help']) {
    test(`standard output closed early: ${option}`, async () => {
      const child = start(['replay', goldenPath('mixed.pcap'), option]);
      child.stdout.destroy();
      let stderr = '';
      child.stderr.on('data', text => {
        stderr += text;
      });
      const [code] = await once(child, 'close');
      assert.deepEqual([code, stderr], [0, '']);
    });
  }

  test('standard output full', { skip: existsSync('/dev/full') ? false : 'there is no /dev/full' }, async () => {
    const child = spawn('sh', ['-c', '"$1" "$2" replay "$3" > /dev/full', 'sh', process.execPath, MAIN, HTTP]);
    let stderr = '';
    child.stderr.on('data', text => {
      stderr += text;
    });
    assert.deepEqual(await once(child, 'close'), [1, null]);
    assert.equal(stderr, 'flowshard: standard output: cannot write: no space left on device\n');
  });
});
