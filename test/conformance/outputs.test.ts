/**
 * Where packets leave: the frames that each port of a live Open vSwitch has sent are those that the engine gives to the
 * port of that number, in the same order, under rules with real outputs.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { LocalEngine, PACKET, PacketBatch } from '../../src/index.js';
import { CaptureReader } from '../../src/pcap/reader.js';
import { isOvsAvailable, Ovs } from '../support/ovs.js';
import {
  datagram,
  flow,
  icmpError,
  path,
  pings,
  serverSegment,
  tcpConversation,
  udpConversation,
} from './conversations.js';
import type { PacketStep } from './judges.js';

const PORTS = [1, 2, 3];
const TCP = path('10.1.0.2:40000>10.2.0.2:80', '10.2.0.2:80>10.9.9.9:40000');
const UDP = path('10.1.0.2:4000>10.2.0.2:53', '10.2.0.2:53>10.9.9.9:4000');
const UDP_V6 = path('2001:db8:1::2:4000>2001:db8:2::2:53', '2001:db8:2::2:53>2001:db8:1::2:4000');

function turns(frames: readonly Uint8Array[], ports: readonly number[] = [1, 2]): PacketStep[] {
  return frames.map((frame, index) => ({ frame, port: ports[index % ports.length] }));
}

const TRAFFIC: readonly PacketStep[] = [
  ...turns([datagram(UDP.back)], [2]),
  ...turns(udpConversation(UDP)),
  ...turns(tcpConversation(TCP), [1, 2, 1, 1, 2, 1, 2, 1]),
  ...turns(pings(UDP)),
  ...turns([icmpError('10.2.0.1', '10.9.9.9', datagram(flow('10.9.9.9:4000>10.2.0.2:53')))], [2]),
  ...turns([serverSegment(TCP, { flags: 'A', at: 1_000_000, seen: 1 })], [2]),
  ...turns(udpConversation(UDP_V6)),
  ...turns([datagram(UDP.out)], [3]),
];

/** The firewall of the README. */
const FIREWALL = `
table=0,priority=100,ip,actions=ct(nat,table=1)
table=1,priority=100,ct_state=+new+trk,ip,in_port=1,nw_src=10.1.0.0/16,actions=ct(commit,nat(src=10.9.9.9)),output:2
table=1,priority=100,ct_state=+est+trk,in_port=1,actions=output:2
table=1,priority=100,ct_state=+est+trk,in_port=2,actions=output:1
table=1,priority=90,ct_state=+rel+trk,in_port=2,actions=output:1
`;

const SETS: readonly (readonly [title: string, rules: string])[] = [
  ['the firewall of the README', FIREWALL],
  [
    'outputs behind ct(), through other tables, and back where a packet came from',
    `
table=0,priority=100,udp,in_port=1,actions=ct(commit,nat(src=10.9.9.9),table=2)
table=0,priority=90,tcp,actions=ct(commit,nat(src=10.9.9.9)),resubmit(,3)
table=0,priority=90,icmp,actions=ct(commit),in_port
table=0,priority=80,ip,in_port=2,actions=ct(nat,table=2)
table=0,priority=80,ipv6,actions=output:3
table=2,in_port=1,actions=2
table=2,in_port=2,ct_state=+est+trk,actions=1
table=2,in_port=2,ct_state=-est+trk,actions=goto_table:4
table=3,in_port=1,actions=3
table=3,in_port=2,actions=drop
table=4,in_port=2,actions=resubmit(1,5)
table=5,in_port=1,actions=3
`,
  ],
  [
    'not back to the port that a packet came from, unless in_port says so',
    `
table=0,in_port=1,ip,actions=ct(commit,zone=NXM_OF_IN_PORT[],table=1)
table=0,in_port=2,ip,actions=ct(commit,zone=NXM_OF_IN_PORT[],table=1)
table=1,priority=9,ct_zone=1,udp,actions=output:1
table=1,priority=9,ct_zone=1,tcp,actions=in_port
table=1,priority=9,ct_zone=2,udp,actions=output:1
table=1,priority=1,actions=output:3
`,
  ],
];

/** Without the source address, in which the harness numbers packets. */
function withoutNumber(frame: Uint8Array): string {
  const bytes = Buffer.from(frame);
  return bytes.fill(0, 6, 12).toString('hex');
}

const folder = mkdtempSync(join(tmpdir(), 'flowshard-outputs-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function framesOf(file: string): string[] {
  const reader = CaptureReader.open(file);
  const frames: string[] = [];
  while (reader.next()) frames.push(withoutNumber(reader.bytes.subarray(reader.frameStart, reader.frameEnd)));
  reader.close();
  return frames;
}

async function sentByOvs(rules: string, number: number): Promise<string[][]> {
  const files = PORTS.map(port => join(folder, `${number}-${port}.pcap`));
  const ovs = await Ovs.start({ flows: rules });
  try {
    for (const [index, port] of PORTS.entries()) {
      ovs.vsctl('set', 'Interface', `p${port}`, `options:tx_pcap=${files[index]}`);
    }
    // One by one: two ports would be read at the same time otherwise.
    for (const { frame, port = 1 } of TRAFFIC) await ovs.inject([{ data: frame, port }]);
  } finally {
    await ovs.stop();
  }
  return files.map(framesOf);
}

function sentByEngine(rules: string, ports: readonly string[] = []): string[][] {
  const engine = new LocalEngine({ maxConnections: 100, flows: { text: rules, ports } });
  const batch = new PacketBatch(1);
  const sent = PORTS.map((): string[] => []);
  for (const { frame, port = 1 } of TRAFFIC) {
    batch.clear();
    batch.add(frame, 0, { action: port });
    engine.execute(batch);
    const { packets } = batch;
    assert.ok(packets[PACKET.OUTPUTS] <= 1);
    if (packets[PACKET.OUTPUTS] === 0) continue;
    const start = packets[PACKET.FRAME_OFFSET];
    sent[packets[PACKET.OUTPUT] - 1].push(
      withoutNumber(batch.bytes.subarray(start, start + packets[PACKET.FRAME_LENGTH])),
    );
  }
  return sent;
}

const found = isOvsAvailable();

describe('ports that packets leave by', () => {
  for (const [number, [title, rules]] of SETS.entries()) {
    test(title, { skip: found.available ? false : found.reason }, async () => {
      const expected = await sentByOvs(rules, number);
      assert.ok(expected.flat().length > 5);
      assert.deepEqual(sentByEngine(rules), expected);
    });
  }

  test('ports by name are the ports of their numbers', () => {
    const named = FIREWALL.replaceAll('output:1', 'output:lan')
      .replaceAll('output:2', 'output:"wan"')
      .replaceAll('in_port=1', 'in_port=lan')
      .replaceAll('in_port=2', 'in_port="wan"');
    assert.ok(!/port[=:][0-9]/.test(named));
    assert.deepEqual(sentByEngine(named, ['lan', 'wan']), sentByEngine(FIREWALL));
  });
});
