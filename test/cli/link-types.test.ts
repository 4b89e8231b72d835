/** Captures of other link types than Ethernet: the same packets behind another header get the same verdicts. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CaptureWriter } from '../../src/pcap/writer.js';
import { enhancedPacket, interfaceBlock, scratch, sectionHeader } from '../pcap/build.js';
import { goldenPath, packetsOf, run, splitJson } from './program.js';

const { file, path } = scratch();

/** The Ethernet frame as other link types would have carried it, with ethertype and payload behind `head`. */
const DISGUISES: readonly (readonly [linkType: number, what: string, disguise: (frame: Buffer) => Buffer])[] = [
  [101, 'RAW', frame => frame.subarray(14)],
  [113, 'LINUX_SLL', frame => Buffer.concat([Buffer.alloc(14), frame.subarray(12)])],
  [276, 'LINUX_SLL2', frame => Buffer.concat([frame.subarray(12, 14), Buffer.alloc(18), frame.subarray(14)])],
  [
    113,
    'LINUX_SLL and a tag',
    frame => Buffer.concat([Buffer.alloc(14), Buffer.from('8100000a', 'hex'), frame.subarray(12)]),
  ],
  [
    276,
    'LINUX_SLL2 and two tags',
    frame =>
      Buffer.concat([
        Buffer.from('88a8', 'hex'),
        Buffer.alloc(18),
        Buffer.from('000a81000014', 'hex'),
        frame.subarray(12),
      ]),
  ],
  [
    0,
    'NULL',
    frame => Buffer.concat([Buffer.from(isIpv6(frame) ? '0a000000' : '02000000', 'hex'), frame.subarray(14)]),
  ],
  [
    108,
    'LOOP',
    frame => Buffer.concat([Buffer.from(isIpv6(frame) ? '0000001e' : '00000002', 'hex'), frame.subarray(14)]),
  ],
];

function isIpv6(frame: Buffer): boolean {
  return frame.readUInt16BE(12) === 0x86dd;
}

describe('link types', { concurrency: 2 }, () => {
  // Frames that are not IP have no place behind some of these headers.
  const frames = ['http-ipv4', 'http-ipv6', 'icmp-misc']
    .flatMap(name => packetsOf(goldenPath(`${name}.pcap`)))
    .filter(({ frame }) => frame.readUInt16BE(12) === 0x0800 || isIpv6(frame));

  function write(name: string, linkType: number, disguise: (frame: Buffer) => Buffer): string {
    const writer = CaptureWriter.create(path(name), { linkType });
    for (const { frame, timeMs } of frames) {
      const made = disguise(frame);
      writer.write(timeMs, made, 0, made.length, made.length);
    }
    writer.close();
    return path(name);
  }

  for (const [linkType, what, disguise] of DISGUISES) {
    test(what, async () => {
      const plain = await run(['replay', write(`${what} plain.pcap`, 1, frame => frame), '--states', '--dump', '-m']);
      assert.match(plain.stdout, /est\|rpl\|trk/);
      assert.deepEqual(
        await run(['replay', write(`${what}.pcap`, linkType, disguise), '--states', '--dump', '-m']),
        plain,
      );
    });
  }

  test('several in one capture; three tags, and a type that nobody understands, are not IP', async () => {
    const [first] = frames;
    const cooked = DISGUISES[1][2](first.frame);
    const tags = Buffer.from('8100000181000002810000038100', 'hex');
    const contents = Buffer.concat([
      sectionHeader('little'),
      interfaceBlock('little', 1),
      interfaceBlock('little', 113),
      interfaceBlock('little', 147),
      enhancedPacket('little', { interfaceId: 0, frame: first.frame }),
      enhancedPacket('little', { interfaceId: 1, frame: cooked }),
      enhancedPacket('little', {
        interfaceId: 1,
        frame: Buffer.concat([Buffer.alloc(14), tags, first.frame.subarray(12)]),
      }),
      enhancedPacket('little', { interfaceId: 2, frame: first.frame }),
    ]);
    const capture = file('several.pcapng', contents);
    const { stdout } = await run(['replay', capture, '--json']);
    const { objects } = splitJson(stdout);
    assert.deepEqual(
      objects.map(packet => packet.reason),
      ['none', 'none', 'not-ip', 'not-ip'],
    );
    const summary = (await run(['replay', capture])).stdout;
    assert.match(summary, /EN10MB \(1 packets\), LINUX_SLL \(2 packets\), DLT 147 \(1 packets\), whose frames are not/);
  });
});
