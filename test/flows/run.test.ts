/**
 * Packets through rules: priorities, tables, registers, ct() and what it does to the rest of a rule, limits.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CT_PARAMETER, type CtSpec, PORT } from '../../src/flows/index.js';
import { CT } from '../../src/track/state.js';
import { Bench, type Tracker } from './bench.js';
import { arpFrame, frame, icmp, ipv4, ipv6, tcp, udp } from './frames.js';

const TCP = frame(ipv4({ src: '10.0.0.1', dst: '10.0.0.2' }, tcp({ sport: 1000, dport: 80 })));
const UDP = frame(ipv4({}, udp({ sport: 53, dport: 53 })));

function run(rules: string, data = TCP, inPort = 1, tracker?: Tracker): readonly string[] {
  return new Bench(rules, tracker).run(data, inPort);
}

/** Address of the byte where an IPv4 source address of an untagged frame begins. */
const SOURCE_AT = 14 + 12;
const LAST_SOURCE_BYTE = SOURCE_AT + 3;

describe('priorities and tables', () => {
  it('the highest priority wins, wherever it stands', () => {
    const rules = 'priority=1,ip,actions=1,2\npriority=9,tcp,actions=3\npriority=5,actions=4';
    assert.deepEqual(run(rules), ['out 3']);
    assert.deepEqual(run(rules, UDP), ['out 4']);
    assert.deepEqual(run(rules, arpFrame()), ['out 4']);
  });

  it('among equals the line that comes first', () => {
    assert.deepEqual(run('ip,actions=3\ntcp,actions=4'), ['out 3']);
    assert.deepEqual(run('tcp,actions=4\nip,actions=3'), ['out 4']);
  });

  it('a packet that no rule wants is dropped', () => assert.deepEqual(run('udp,actions=2'), []));

  it('resubmit goes on with its own rule afterwards, goto does not', () => {
    const rules = 'actions=resubmit(,7),2\ntable=7,actions=3,goto_table:8\ntable=8,actions=4';
    assert.deepEqual(run(rules), ['out 3', 'out 4', 'out 2']);
  });

  it('a table without a rule for the packet, or without rules, does nothing', () => {
    assert.deepEqual(run('actions=resubmit(,7),resubmit(,9),2\ntable=7,udp,actions=3'), ['out 2']);
    assert.deepEqual(run('actions=2,goto_table:9'), ['out 2']);
  });

  it('another port counts for the lookup of a resubmit only', () => {
    const rules = [
      'in_port=1,actions=resubmit:9',
      'in_port=9,actions=in_port,9,1,resubmit(,3)',
      'table=3,in_port=1,actions=4',
      'table=3,in_port=9,actions=5',
    ].join('\n');
    assert.deepEqual(run(rules), ['out 1', 'out 9', 'out 4']);
  });

  it('resubmit to a port uses the table of its rule', () => {
    const rules = 'actions=goto_table:2\ntable=2,in_port=1,actions=resubmit:4,3\ntable=2,in_port=4,actions=5';
    assert.deepEqual(run(rules), ['out 5', 'out 3']);
  });
});

describe('outputs', () => {
  it('all of them, in order', () => assert.deepEqual(run('actions=3,2,3'), ['out 3', 'out 2', 'out 3']));

  it('not back to where the packet came from, unless in_port says so', () => {
    assert.deepEqual(run('actions=1,2', TCP, 1), ['out 2']);
    assert.deepEqual(run('actions=1,in_port', TCP, 1), ['out 1']);
  });

  it('reserved ports have their own numbers', () => {
    const events = [PORT.NORMAL, PORT.CONTROLLER, PORT.LOCAL].map(port => `out ${port}`);
    assert.deepEqual(run('actions=normal,controller,local'), events);
  });
});

describe('registers', () => {
  it('are 0 at first, and keep what is written through resubmissions', () => {
    const rules = [
      'reg0=0,metadata=0,actions=load:5->NXM_NX_REG0[4..7],set_field:0x100000002->metadata,resubmit(,1),resubmit(,2)',
      'table=1,reg0=0x50,metadata=0x100000002,actions=set_field:0xf/0xf->reg0,2',
      'table=2,reg0=0x5f,actions=3',
    ].join('\n');
    assert.deepEqual(run(rules), ['out 2', 'out 3']);
  });

  it('move copies bits, between words and where they overlap', () => {
    const rules = [
      'ip,actions=move:NXM_OF_IP_DST[]->NXM_NX_XXREG0[20..51],resubmit(,1)',
      // 10.0.0.2 from bit 20 on: bits 20 to 31 are the end of reg3, the rest the start of reg2.
      'table=1,reg3=0x00200000,reg2=0xa000,actions=2,resubmit(,2)',
      'table=2,actions=move:NXM_NX_XXREG0[0..95]->NXM_NX_XXREG0[32..127],resubmit(,3)',
      'table=3,reg3=0x00200000,reg2=0x00200000,reg1=0xa000,reg0=0,actions=3',
    ].join('\n');
    assert.deepEqual(run(rules), ['out 2', 'out 3']);
  });

  it('are those of one packet', () => {
    const bench = new Bench('reg0=0,actions=load:1->NXM_NX_REG0[],2');
    assert.deepEqual([...bench.run(TCP)], ['out 2']);
    assert.deepEqual([...bench.run(TCP)], ['out 2']);
  });
});

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
    assert.deepEqual(
      run(rules),
      ['ct 0 zone=0', 'out 4', 'ct 1 zone=0', 'out 3', 'ct 2 zone=0', 'out 4'].toSpliced(
        1,
        4,
        'out 4',
        'ct 1 zone=0',
        'out 3',
        'ct 2 zone=0',
      ),
    );
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
    const bench = new Bench(rules, () => ({ rewrite: bytes => void (bytes[LAST_SOURCE_BYTE] = 9) }));
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
    const bench = new Bench(rules, (_spec, calls) => ({
      mark: calls,
      rewrite: bytes => void (bytes[LAST_SOURCE_BYTE] = 100 + calls),
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
    const bench = new Bench(rules, () => ({ mark: 0x0a00_0005 }));
    assert.deepEqual(bench.run(TCP, 7), ['ct 0 zone=7', `ct 1 zone=${0x0a00}`]);
    const { MARK, MARK_MASK, LABEL, LABEL_MASK } = CT_PARAMETER;
    const [first, second] = bench.parameters;
    assert.deepEqual([first[MARK], first[MARK_MASK]], [0x0a00_0001, -1]);
    assert.deepEqual([...second.subarray(LABEL, LABEL + 4)], [1, 0, 0, 5]);
    assert.deepEqual([...second.subarray(LABEL_MASK, LABEL_MASK + 4)], [-1, -1, -1, -1]);
    assert.deepEqual([second[MARK], second[MARK_MASK]], [0, 0]);
  });

  it('gives the same parameters as the CtSpec when nothing varies', () => {
    const rules = 'ip,actions=ct(commit,zone=3,exec(set_field:0x12/0xf0->ct_mark,set_field:0x5/0x7->ct_label))';
    const bench = new Bench(rules);
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
    const bench = new Bench(rules, () => ({ mark: 5 }));
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

describe('limits', () => {
  it('a rule that resubmits to itself ends with nothing done', () => {
    assert.deepEqual(run('actions=2,resubmit(,0)'), ['flow-depth']);
    assert.deepEqual(run('ip,actions=ct(commit),2,resubmit(,0)'), ['flow-depth']);
  });

  it('64 deep is fine', () => {
    const deep = (last: number) =>
      [`actions=resubmit(,1)`]
        .concat(
          Array.from(
            { length: last + 1 },
            (_, depth) =>
              `table=1,reg0=${depth},actions=${depth === last ? '2' : `load:${depth + 1}->NXM_NX_REG0[],resubmit(,1)`}`,
          ),
        )
        .join('\n');
    assert.deepEqual(run(deep(64)), ['out 2']);
    assert.deepEqual(run(deep(65)), ['flow-depth']);
  });

  it('forward resubmissions do not count as deep', () => {
    const rules = Array.from({ length: 200 }, (_, table) => `table=${table},actions=resubmit(,${table + 1})`);
    assert.deepEqual(run([...rules, 'table=200,actions=2'].join('\n')), ['out 2']);
  });

  it('a rule that doubles at each step ends as well', () => {
    const rules = Array.from({ length: 60 }, (_, table) => {
      return `table=${table},actions=resubmit(,${table + 1}),resubmit(,${table + 1})`;
    });
    assert.deepEqual(run(rules.join('\n')), ['flow-steps']);
    const outputs = `actions=${'2,'.repeat(5000)}3`;
    assert.deepEqual(run(outputs), ['flow-steps']);
  });

  it('a packet that recirculates for ever ends, and so do its copies', () => {
    const rounds = run('ip,actions=ct(table=0)');
    assert.equal(rounds.at(-1), 'flow-depth');
    assert.equal(rounds.length, 64 + 2);
    const copies = run('ip,actions=ct(table=0),ct(table=0),2');
    assert.equal(copies.at(-1), 'flow-steps');
    assert.ok(copies.length < 4096);
  });

  it('a pass that runs in circles does not undo the packet around it', () => {
    const rules = 'ip,actions=ct(table=1),2\ntable=1,actions=3,resubmit(,1)';
    assert.deepEqual(run(rules), ['ct 0 zone=0', 'out 2', 'flow-depth']);
  });

  it('the next packet starts afresh', () => {
    const bench = new Bench('udp,actions=2\npriority=1,actions=resubmit(,0)');
    assert.deepEqual([...bench.run(TCP)], ['flow-depth']);
    assert.deepEqual([...bench.run(UDP)], ['out 2']);
  });
});

describe('a firewall with NAT', () => {
  const RULES = `
    # lan is port 1, wan is port 2
    table=0,priority=50,arp,in_port=lan,actions=wan
    table=0,priority=50,arp,in_port=wan,actions=lan
    table=0,priority=20,ip,actions=controller(max_len=65535),ct(nat,table=1)
    table=1,priority=100,ct_state=+new-rel+trk,in_port=lan,tcp,tp_dst=21,nw_dst=10.0.0.1,actions=ct(commit,alg=ftp,nat(src=10.0.1.1),table=2)
    table=1,priority=90,ct_state=+new+rel+trk,ip,actions=ct(commit,nat,table=2)
    table=1,priority=80,ct_state=+new-rel+trk,in_port=lan,ip,actions=ct(commit,nat(src=10.0.1.1),table=2)
    table=1,priority=70,ct_state=+est+trk,ip,actions=goto_table:2
    table=1,priority=0,actions=drop
    table=2,in_port=lan,actions=wan
    table=2,in_port=wan,actions=lan
  `;
  const bench = (state: number) =>
    new Bench(RULES, spec => ({ state: spec.commit ? state | CT.SNAT : state }), { ports: ['lan', 'wan'] });
  const controller = `out ${PORT.CONTROLLER}`;

  it('a new connection from inside is translated and passes', () => {
    assert.deepEqual(bench(CT.NEW | CT.TRK).run(TCP), [controller, 'ct 0 zone=0', 'ct 3 zone=0', 'out 2']);
  });
  it('FTP has its helper', () => {
    const ftp = frame(ipv4({ dst: '10.0.0.1' }, tcp({ dport: 21 })));
    const one = bench(CT.NEW | CT.TRK);
    assert.deepEqual(one.run(ftp), [controller, 'ct 0 zone=0', 'ct 1 zone=0', 'out 2']);
    assert.equal(one.specs[1].alg, 'ftp');
  });
  it('a related one passes in either direction', () => {
    const related = bench(CT.NEW | CT.REL | CT.TRK).run(frame(ipv4({}, icmp({ type: 3 }))), 2);
    assert.deepEqual(related, [controller, 'ct 0 zone=0', 'ct 2 zone=0', 'out 1']);
  });
  it('a new one from outside does not', () => {
    assert.deepEqual(bench(CT.NEW | CT.TRK).run(TCP, 2), [controller, 'ct 0 zone=0']);
  });
  it('an answer passes, what is invalid does not', () => {
    assert.deepEqual(bench(CT.EST | CT.RPL | CT.TRK).run(TCP, 2), [controller, 'ct 0 zone=0', 'out 1']);
    assert.deepEqual(bench(CT.INV | CT.TRK).run(TCP, 1), [controller, 'ct 0 zone=0']);
  });
  it('ARP is not tracked', () => assert.deepEqual(bench(0).run(arpFrame()), ['out 2']));
});
