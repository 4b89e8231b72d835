/**
 * tshark's word on every frame that `replay --flows … --write` writes: all checksums of IP, TCP, UDP, ICMP, ICMPv6 and
 * SCTP are good, after NAT of both families and of the packets that ICMP errors quote. Frames that are damaged already
 * when they come in, by tshark's word again, are left out; so is ICMPv6 over IPv4, which is any protocol to Open vSwitch:
 * it rewrites the addresses and leaves the sum over them.
 */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { CaptureReader } from '../../src/pcap/reader.js';
import { CaptureWriter } from '../../src/pcap/writer.js';
import { IPPROTO } from '../../src/wire/facts.js';
import { CASES } from '../conformance/cases.js';
import { anatomyOf } from '../fuzz/anatomy.js';
import { scratch } from '../pcap/build.js';
import { run } from './program.js';

const { file, path } = scratch();
const skip = spawnSync('tshark', ['--version']).error === undefined ? false : 'tshark not installed';

const CHECKED = ['ip', 'tcp', 'udp', 'icmp', 'icmpv6', 'sctp'] as const;
type Checked = (typeof CHECKED)[number];

const PREFERENCES = [
  ...['ip', 'tcp', 'udp'].flatMap(protocol => ['-o', `${protocol}.check_checksum:TRUE`]),
  // Fragments would otherwise be summed up as the datagram that they are part of, whatever came in between.
  ...['-o', 'sctp.checksum:CRC-32C', '-o', 'ip.defragment:FALSE', '-o', 'ipv6.defragment:FALSE'],
];

const ETHERNET = 1;
const TIMEOUT_MS = 120_000;

/** Of each frame the protocols whose checksums are there, in the order of the packet, and those that are bad. */
interface Word {
  readonly good: readonly Checked[];
  readonly bad: readonly Checked[];
}

async function tsharkOn(capture: string): Promise<Word[]> {
  const fields = CHECKED.flatMap(protocol => ['-e', `${protocol}.checksum.status`]);
  const { stdout } = await promisify(execFile)(
    'tshark',
    ['-n', '-r', capture, ...PREFERENCES, '-T', 'fields', '-E', 'separator=;', ...fields],
    { maxBuffer: 64 << 20, timeout: TIMEOUT_MS },
  );
  return stdout.trimEnd().split('\n').map(wordOf);
}

/** A line with the statuses by protocol: 0 bad, 1 good, 2 not verified, 3 not there; several where packets are quoted. */
function wordOf(line: string): Word {
  const statuses = line.split(';').map(cell => cell.split(','));
  const having = (status: string) => CHECKED.filter((_, index) => statuses[index]?.includes(status));
  return { good: having('1'), bad: having('0') };
}

function framesOf(capture: string): Buffer[] {
  const reader = CaptureReader.open(capture);
  const frames: Buffer[] = [];
  while (reader.next()) frames.push(Buffer.from(reader.bytes.subarray(reader.frameStart, reader.frameEnd)));
  reader.close();
  return frames;
}

function write(name: string, frames: readonly Uint8Array[]): string {
  const capture = path(name);
  const writer = CaptureWriter.create(capture, { linkType: ETHERNET });
  for (const [index, frame] of frames.entries()) writer.write(index, frame, 0, frame.length, frame.length);
  writer.close();
  return capture;
}

function isIcmpv6OverIpv4(frame: Uint8Array): boolean {
  const { isIpv6, protocol } = anatomyOf(frame) ?? { isIpv6: false, protocol: 0 };
  return !isIpv6 && protocol === IPPROTO.ICMPV6;
}

/** Every frame of the conformance cases that has good checksums, each once. */
async function soundFrames(): Promise<Buffer[]> {
  const all = new Map<string, Buffer>();
  for (const { steps } of CASES) {
    for (const step of steps) {
      if ('frame' in step) all.set(Buffer.from(step.frame).toString('hex'), Buffer.from(step.frame));
    }
  }
  const frames = [...all.values()];
  const words = await tsharkOn(write('all.pcap', frames));
  assert.equal(words.length, frames.length);
  return frames.filter((frame, index) => words[index].bad.length === 0 && !isIcmpv6OverIpv4(frame));
}

const LOOKUP = `
table=0,priority=100,ip,actions=ct(nat,table=1)
table=0,priority=100,ipv6,actions=ct(nat,table=1)
table=0,priority=0,actions=drop
table=1,priority=0,actions=output:2
`;

/** A rule that commits new connections of a family with NAT. */
function commits(match: string, nat: string): string {
  return `table=1,priority=100,ct_state=+new+trk,${match},actions=ct(commit,${nat}),output:2\n`;
}

const RULES: readonly (readonly [title: string, rules: string])[] = [
  [
    'SNAT to one address',
    commits('ip,nw_src=10.1.0.0/16', 'nat(src=10.9.9.9)') +
      commits('ipv6,ipv6_src=2001:db8:1::/48', 'nat(src=2001:db8:9::9)') +
      commits('ipv6,ipv6_src=fd00:1::/64', 'nat(src=fd00:9::9)'),
  ],
  [
    'SNAT to ranges of addresses and ports',
    commits('ip', 'nat(src=10.9.9.1-10.9.9.99:5000-9000)') +
      commits('ipv6', 'nat(src=[2001:db8:9::1]-[2001:db8:9::99]:5000-9000,random)'),
  ],
  ['DNAT to one address', commits('ip', 'nat(dst=10.2.0.2)') + commits('ipv6', 'nat(dst=2001:db8:2::2)')],
  [
    'DNAT to a port',
    commits('ip,nw_src=10.1.0.0/16', 'nat(dst=10.2.0.2:5353)') +
      commits('ipv6,ipv6_src=2001:db8:1::/48', 'nat(dst=[2001:db8:2::2]:5353)'),
  ],
];

/** A byte that the checksum covers: the TTL, or the second byte of the message. */
function coveredByte(frame: Uint8Array, protocol: Checked): number {
  const { l3, l4 } = anatomyOf(frame) ?? { l3: 0, l4: 0 };
  return protocol === 'ip' ? l3 + 8 : l4 + 1;
}

describe('checksums of written frames', { skip }, () => {
  let input = '';
  let known = new Set<string>();

  before(async () => {
    const sound = await soundFrames();
    input = write('sound.pcap', sound);
    known = new Set(sound.map(frame => frame.toString('hex')));
  });

  /** Replays under rules. @returns the capture that was written */
  async function translated(rules: string, name: string): Promise<string> {
    const flows = file(`${name}.flows`, Buffer.from(LOOKUP + rules));
    const out = path(`${name}.pcap`);
    const outcome = await run(['replay', input, '--flows', flows, '--write', out, '--dump', '--seed', '5']);
    assert.deepEqual([outcome.code, outcome.stderr], [0, '']);
    return out;
  }

  for (const [title, rules] of RULES) {
    test(`${title}: all are good`, async () => {
      const out = await translated(rules, title.replaceAll(' ', '-'));
      const frames = framesOf(out);
      const words = await tsharkOn(out);
      assert.equal(words.length, frames.length);
      const bad = frames.filter((_, index) => words[index].bad.length > 0).map(frame => frame.toString('hex'));
      assert.deepEqual(bad, []);
      const rewritten = words.filter((_, index) => !known.has(frames[index].toString('hex')));
      const count = (protocol: Checked) => rewritten.filter(({ good }) => good.includes(protocol)).length;
      for (const protocol of CHECKED) assert.ok(count(protocol) > 0, `no frame with ${protocol} was rewritten`);
      assert.ok(rewritten.length > 100, `${rewritten.length} frames were rewritten`);
    });
  }

  test('one wrong bit in a frame of each protocol is noticed', async () => {
    const out = await translated(RULES[0][1], 'before');
    const frames = framesOf(out);
    const words = await tsharkOn(out);
    const spoiled = CHECKED.map(protocol => {
      const index = words.findIndex(({ good }) => good.at(-1) === protocol);
      frames[index][coveredByte(frames[index], protocol)] ^= 0x10;
      return index;
    });
    const after = await tsharkOn(write('spoiled.pcap', frames));
    const noticed = after.flatMap(({ bad }, index) => (bad.length > 0 ? [index] : []));
    assert.deepEqual(
      noticed,
      spoiled.sort((one, other) => one - other),
    );
  });
});
