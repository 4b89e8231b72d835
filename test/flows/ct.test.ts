/**
 * What ct() does to a packet and to the rest of its rule: recirculation, copies, parameters, ct_clear.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CT_PARAMETER, type CtSpec } from '../../src/flows/index.js';
import { CT } from '../../src/track/state.js';
import { frame, ipv4, ipv6, tcp, udp } from './frames.js';
import { TestSwitch, type Tracker } from './test-switch.js';

const TCP = frame(ipv4({ src: '10.0.0.1', dst: '10.0.0.2' }, tcp({ sport: 1000, dport: 80 })));
const UDP = frame(ipv4({}, udp({ sport: 53, dport: 53 })));

function run(rules: string, data = TCP, inPort = 1, tracker?: Tracker): readonly string[] {
  return new TestSwitch(rules, tracker).run(data, inPort);
}

/** The last byte of the IPv4 source address of a frame without tags. */
const LAST_SOURCE_BYTE = 14 + 12 + 3;

describe('ct()', () => {
  it('with a table: what the tracker found is seen there', () => {
    const rules = [
      'ct_state=-trk,ip,actions=ct(zone=5,table=1)',
      'table=1,ct_state=+trk+est,ct_zone=5,ct_mark=0x7/0xf,ct_label=0x20000000000000000/0xf0000000000000000,actions=2',
    ].join('\n');
    const found = { state: CT.TRK | CT.EST, mark: 0x17, label: 0x2_0000_0000_0000_0000n };
    assert.deepEqual(
      run(rules, TCP, 1, () => found),
      ['ct 0 zone=5', 'out 2'],
    );
  });

  it('without a table: the packet counts as untracked from there on', () => {
    const rules = [
      'actions=resubmit(,1)',
      'table=1,ip,actions=ct(commit),resubmit(,2),ct(table=3)',
      'table=2,ct_state=+trk,actions=3',
      'table=2,ct_state=-trk,actions=4',
      'table=3,ct_state=+trk,ip,actions=resubmit(,2),ct(commit),resubmit(,2)',
    ].join('\n');
    const expected = ['ct 0 zone=0', 'out 4', 'ct 1 zone=0', 'out 3', 'ct 2 zone=0', 'out 4'];
    assert.deepEqual(run(rules), expected);
  });

  it('what follows it goes on with the packet as it was, after the copy has run', () => {
    const rules = [
      'ip,actions=load:1->NXM_NX_REG0[],ct(table=1),2,resubmit(,2)',
      'table=1,reg0=1,actions=3,load:2->NXM_NX_REG0[]',
      'table=2,ct_state=-trk,reg0=1,actions=4',
    ].join('\n');
    assert.deepEqual(run(rules), ['ct 0 zone=0', 'out 3', 'out 2', 'out 4']);
  });

  it('matches the headers that NAT made after recirculation, and those before it without', () => {
    const rules = [
      'ip,actions=ct(commit,nat(src=10.0.0.9),table=1),resubmit(,2)',
      'table=1,ip,nw_src=10.0.0.9,actions=3',
      'table=1,ip,nw_src=10.0.0.1,actions=4',
      'table=2,ip,nw_src=10.0.0.9,actions=5',
      'table=2,ip,nw_src=10.0.0.1,actions=6',
    ].join('\n');
    const bench = new TestSwitch(rules, () => ({
      rewrite: bytes => bytes.fill(9, LAST_SOURCE_BYTE, LAST_SOURCE_BYTE + 1),
    }));
    assert.deepEqual(bench.run(TCP), ['ct 0 zone=0', 'out 3', 'out 6']);
    // The frame itself is the translated one both times.
    assert.deepEqual(
      bench.left.map(bytes => bytes[LAST_SOURCE_BYTE]),
      [9, 9],
    );
  });

  it('a recirculated copy does not change the packet that the other actions go on with', () => {
    const rules = [
      'ip,actions=ct(table=1),2',
      'table=1,ip,actions=ct(zone=2,table=2),3',
      'table=2,ip,actions=ct(zone=3,table=3),4',
      'table=3,actions=5',
    ].join('\n');
    const bench = new TestSwitch(rules, (_spec, calls) => ({
      mark: calls,
      rewrite: bytes => bytes.fill(100 + calls, LAST_SOURCE_BYTE, LAST_SOURCE_BYTE + 1),
    }));
    bench.run(TCP);
    assert.deepEqual(
      bench.events.filter(event => event.startsWith('out')),
      ['out 5', 'out 4', 'out 3', 'out 2'],
    );
    assert.deepEqual(
      bench.left.map(bytes => bytes[LAST_SOURCE_BYTE]),
      [103, 103, 102, 101],
    );
    assert.equal(bench.word('MARK'), 1);
    assert.equal(bench.word('ZONE'), 0);
    assert.deepEqual(bench.packets.slice(0, 32), new Int32Array(32));
  });

  it('gives zone, mark and label of a field with each call', () => {
    const rules = [
      'in_port=7,ip,actions=ct(commit,zone=in_port,exec(move:NXM_OF_IP_SRC[]->NXM_NX_CT_MARK[]),table=1)',
      'table=1,ip,actions=ct(commit,zone=NXM_NX_CT_MARK[16..31],exec(set_field:1->ct_label,move:NXM_NX_CT_MARK[0..7]->NXM_NX_CT_LABEL[96..103]))',
    ].join('\n');
    const bench = new TestSwitch(rules, () => ({ mark: 0x0a00_0005 }));
    assert.deepEqual(bench.run(TCP, 7), ['ct 0 zone=7', `ct 1 zone=${0x0a00}`]);
    const { MARK, MARK_MASK, LABEL, LABEL_MASK } = CT_PARAMETER;
    const [first, second] = bench.parameters;
    assert.deepEqual([first[MARK], first[MARK_MASK]], [0x0a00_0001, -1]);
    assert.deepEqual([...second.subarray(LABEL, LABEL + 4)], [1, 0, 0, 5]);
    assert.deepEqual([...second.subarray(LABEL_MASK, LABEL_MASK + 4)], [-1, -1, -1, -1]);
    // As in Open vSwitch, bits that a move reads are set as the packet has them: see test/conformance.
    assert.deepEqual([second[MARK], second[MARK_MASK]], [5, 0xff]);
  });

  it('gives the same parameters as the CtSpec when nothing varies', () => {
    const rules = 'ip,actions=ct(commit,zone=3,exec(set_field:0x12/0xf0->ct_mark,set_field:0x5/0x7->ct_label))';
    const bench = new TestSwitch(rules);
    bench.run(TCP);
    assert.deepEqual([...bench.parameters[0]], [3, 0x10, 0xf0, 5, 0, 0, 0, 7, 0, 0, 0]);
    const [spec]: readonly CtSpec[] = bench.specs;
    assert.deepEqual(
      [spec.mark, spec.label],
      [
        { value: 0x10, mask: 0xf0 },
        { value: 5n, mask: 7n },
      ],
    );
  });

  it('a packet that waits has no more actions', () => {
    assert.deepEqual(
      run('ip,actions=ct(table=1),2\ntable=1,actions=3', TCP, 1, () => ({ holds: true })),
      ['ct 0 zone=0'],
    );
  });

  it('a packet that waits inside a recirculation ends that copy only', () => {
    const rules = 'ip,actions=ct(table=1),2\ntable=1,ip,actions=ct(zone=1),3';
    assert.deepEqual(
      run(rules, TCP, 1, (_spec, calls) => ({ holds: calls === 2 })),
      ['ct 0 zone=0', 'ct 1 zone=1', 'out 2'],
    );
  });

  it('ct_clear makes a tracked packet untracked, and leaves others alone', () => {
    const rules = [
      'ip,actions=ct_clear,ct(table=1)',
      'table=1,ct_state=+trk,ip,actions=ct_clear,resubmit(,2),ct_clear',
      'table=2,ct_state=-trk,ct_mark=0,actions=2',
    ].join('\n');
    const bench = new TestSwitch(rules, () => ({ mark: 5 }));
    assert.deepEqual(bench.run(TCP), ['ct 0 zone=0', 'clear', 'out 2']);
    assert.equal(bench.word('STATE'), 0);
  });

  it('matches the original tuple of the packet’s own family', () => {
    const rules = [
      'ip,actions=ct(table=1)',
      'ipv6,actions=ct(table=1)',
      'table=1,ct_state=+new,ip,ct_nw_proto=17,ct_nw_src=10.0.0.3,ct_nw_dst=10.0.0.7,ct_tp_src=5,ct_tp_dst=6,actions=2',
      'table=1,ct_state=+new,ipv6,ct_nw_proto=17,ct_ipv6_src=a00:0:a00:1:a00:2:a00:3,ct_ipv6_dst=a00:4:a00:5:a00:6:a00:7,actions=3',
      'table=1,priority=1,actions=4',
    ].join('\n');
    const tracker =
      (isIpv6: boolean): Tracker =>
      () => ({ tuple: { protocol: 17, isIpv6, ports: [5, 6] } });
    const six = frame(ipv6({}, udp()));
    assert.deepEqual(run(rules, UDP, 1, tracker(false)).at(-1), 'out 2');
    assert.deepEqual(run(rules, UDP, 1, tracker(true)).at(-1), 'out 4');
    assert.deepEqual(run(rules, six, 1, tracker(true)).at(-1), 'out 3');
    assert.deepEqual(run(rules, six, 1, tracker(false)).at(-1), 'out 4');
  });
});
