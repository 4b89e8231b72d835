/**
 * A connection as text, in the form of `ovs-appctl dpctl/dump-conntrack`. The four lines with all fields were printed
 * by Open vSwitch 4.0.90 and 3.1.0 for a connection with these facts; where one is installed it is asked again.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConnectionEntry, Tuple } from '../../src/control/entry.js';
import { type FormatOptions, formatConnection, protocolName, tcpStateOf } from '../../src/control/format.js';
import type { TcpState } from '../../src/track/tcp.js';
import { frame, ipv4, tcp } from '../support/frames.js';
import { isOvsAvailable, Ovs } from '../support/ovs.js';

function tuple(src: string, dst: string, srcPort: number, dstPort: number): Tuple {
  return { src, dst, srcPort, dstPort };
}

const TCP: ConnectionEntry = {
  protocol: 6,
  isIpv6: false,
  zone: 5,
  original: tuple('10.0.0.1', '10.0.0.2', 40_000, 80),
  reply: tuple('10.0.0.2', '10.0.0.1', 80, 40_000),
  mark: 4660,
  label: 0xdeadbeef0000000000000001n,
  expiresMs: 90_999,
  tcp: {
    original: { state: 'ESTABLISHED', windowScale: 7, flags: ['WINDOW_SCALE'] },
    reply: { state: 'SYN_SENT', windowScale: 5, flags: ['WINDOW_SCALE'] },
  },
};
const ENDS =
  'tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=40000,dport=80),reply=(src=10.0.0.2,dst=10.0.0.1,sport=80,dport=40000)';
const MARKS = 'mark=4660,labels=0xdeadbeef0000000000000001';
const PEERS =
  'state_orig=ESTABLISHED,state_reply=SYN_SENT,wscale_orig=7,wscale_reply=5,flags_orig=WINDOW_SCALE,flags_reply=WINDOW_SCALE';

const FORMS: readonly (readonly [options: FormatOptions, text: string])[] = [
  [{}, `${ENDS},zone=5,${MARKS},protoinfo=(state=ESTABLISHED)`],
  [{ statisticsAtMs: 60_000 }, `${ENDS},zone=5,timeout=30,${MARKS},protoinfo=(state=ESTABLISHED)`],
  [{ more: true }, `${ENDS},id=0,zone=5,status=0,${MARKS},protoinfo=(${PEERS})`],
  [{ more: true, statisticsAtMs: 60_000 }, `${ENDS},id=0,zone=5,status=0,timeout=30,${MARKS},protoinfo=(${PEERS})`],
];

for (const [options, text] of FORMS) {
  test(`all fields in order, ${JSON.stringify(options)}`, () => assert.equal(formatConnection(TCP, options), text));
}

const availability = isOvsAvailable();
test('OVS prints the same lines', { skip: availability.available ? false : availability.reason }, async () => {
  const marks = 'set_field:0x1234->ct_mark,set_field:0xdeadbeef0000000000000001->ct_label';
  const ovs = await Ovs.start({ flows: `table=0,priority=1,ip,actions=ct(commit,zone=5,exec(${marks}))\n` });
  try {
    const back = { src: '10.0.0.2', dst: '10.0.0.1' };
    const answer = { sport: 80, dport: 40_000, flags: 'SA', ack: 0xffff_fff1 };
    await ovs.inject([{ data: frame(ipv4({}, tcp({ options: [3, 3, 7] }))) }]);
    await ovs.inject([{ data: frame(ipv4(back, tcp({ ...answer, options: [3, 3, 5] }))) }]);
    for (const [{ more, statisticsAtMs }, text] of FORMS) {
      const options = [...(more ? ['-m'] : []), ...(statisticsAtMs === undefined ? [] : ['-s'])];
      assert.deepEqual(await ovs.dump(...options), [text]);
    }
  } finally {
    await ovs.stop();
  }
});

test('what is 0 is left out', () => {
  const { tcp: _tcp, ...rest } = TCP;
  const bare = { ...rest, protocol: 17, zone: 0, mark: 0, label: 0n };
  assert.equal(formatConnection(bare), ENDS.replace('tcp', 'udp'));
  assert.equal(formatConnection(bare, { more: true }), `${ENDS.replace('tcp', 'udp')},id=0,status=0`);
});

test('seconds are rounded down', () => {
  for (const [nowMs, seconds] of [
    [90_998, 0],
    [90_000, 0],
    [89_999, 1],
    [61_000, 29],
    [60_999, 30],
  ] as const) {
    assert.match(formatConnection(TCP, { statisticsAtMs: nowMs }), new RegExp(`,timeout=${seconds},`));
  }
});

test('ICMP has id, type and code instead of ports', () => {
  const { tcp: _tcp, ...rest } = TCP;
  const icmp = (src: string, dst: string, type: number) => ({
    ...tuple(src, dst, 0, 0),
    icmp: { id: 500, type, code: 0 },
  });
  const entry = {
    ...rest,
    protocol: 1,
    zone: 1,
    mark: 1,
    label: 0n,
    original: icmp('10.0.0.3', '10.0.0.2', 8),
    reply: icmp('10.0.0.2', '10.0.0.3', 0),
  };
  assert.equal(
    formatConnection(entry),
    'icmp,orig=(src=10.0.0.3,dst=10.0.0.2,id=500,type=8,code=0),reply=(src=10.0.0.2,dst=10.0.0.3,id=500,type=0,code=0),zone=1,mark=1',
  );
});

test('a connection that was picked up on its way, as -m shows it', () => {
  const peer = (state: TcpState) => ({ state, windowScale: 0, flags: ['BE_LIBERAL'] });
  const entry = { ...TCP, tcp: { original: peer('SYN_SENT'), reply: peer('CLOSED') } };
  assert.match(
    formatConnection(entry, { more: true }),
    /protoinfo=\(state_orig=SYN_SENT,state_reply=CLOSED,flags_orig=BE_LIBERAL,flags_reply=BE_LIBERAL\)$/,
  );
});

test('one state for two peers: the later one, two of them by another name', () => {
  const stateOf = (original: TcpState, reply: TcpState) => {
    const peer = (state: TcpState) => ({ state, windowScale: 0, flags: [] });
    return tcpStateOf({ original: peer(original), reply: peer(reply) });
  };
  assert.equal(stateOf('SYN_SENT', 'CLOSED'), 'SYN_SENT');
  assert.equal(stateOf('ESTABLISHED', 'SYN_SENT'), 'ESTABLISHED');
  assert.equal(stateOf('CLOSING', 'ESTABLISHED'), 'CLOSING');
  assert.equal(stateOf('FIN_WAIT_2', 'CLOSING'), 'TIME_WAIT');
  assert.equal(stateOf('SYN_RECV', 'SYN_SENT'), 'ESTABLISHED');
  assert.equal(stateOf('TIME_WAIT', 'TIME_WAIT'), 'TIME_WAIT');
});

test('protocols that OVS names, and numbers for the others', () => {
  const named = [1, 2, 6, 17, 33, 58, 132, 136].map(protocolName);
  assert.deepEqual(named, ['icmp', 'igmp', 'tcp', 'udp', 'dccp', 'icmpv6', 'sctp', 'udplite']);
  for (const number of [0, 47, 50, 112, 255]) assert.equal(protocolName(number), String(number));
});
