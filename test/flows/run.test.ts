/**
 * Packets through rules: priorities, tables, outputs, registers, limits, and a firewall.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PACKET, PACKET_WORDS } from '../../src/engine/packet.js';
import { CT_OUTCOME, type FlowContext, loadFlows, PORT, parseFlows, runFlows } from '../../src/flows/index.js';
import { CT } from '../../src/track/state.js';
import { arpFrame, frame, icmp, ipv4, tcp, udp } from './frames.js';
import { TestSwitch } from './test-switch.js';

const TCP = frame(ipv4({ src: '10.0.0.1', dst: '10.0.0.2' }, tcp({ sport: 1000, dport: 80 })));
const UDP = frame(ipv4({}, udp({ sport: 53, dport: 53 })));

function run(rules: string, data = TCP, inPort = 1): readonly string[] {
  return new TestSwitch(rules).run(data, inPort);
}

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

describe('ports that no switch has', () => {
  it('match no in_port, not even by their low 16 bits', () => {
    const rules = 'in_port=0,actions=2\nin_port=1,actions=3\nin_port=local,actions=4\npriority=1,actions=5';
    for (const port of [65_536, 65_537, 0x1_fffe, -1, -2, -65_536, 65_280, 65_535]) {
      assert.deepEqual(run(rules, TCP, port), ['out 5'], `${port}`);
    }
    assert.deepEqual(
      [0, 1, PORT.LOCAL].map(port => run(rules, TCP, port)),
      [['out 2'], ['out 3'], ['out 4']],
    );
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
    const bench = new TestSwitch('reg0=0,actions=load:1->NXM_NX_REG0[],2');
    assert.deepEqual([...bench.run(TCP)], ['out 2']);
    assert.deepEqual([...bench.run(TCP)], ['out 2']);
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
    assert.match(copies.at(-1) ?? '', /^flow-/);
    assert.ok(copies.length < 4096);
  });

  it('a pass that runs in circles does not undo the packet around it', () => {
    const rules = 'ip,actions=ct(table=1),2\ntable=1,actions=3,resubmit(,1)';
    assert.deepEqual(run(rules), ['ct 0 zone=0', 'out 2', 'flow-depth']);
  });

  it('fragments that a ct() has completed have as many steps each as a packet, and leave it what it had', () => {
    const many = '2,'.repeat(3000);
    const completing = (calls: number) => (_: unknown, call: number) => ({ completes: call === calls ? 3 : 0 });
    const each = new TestSwitch(`ip,actions=ct(commit),ct(table=1)\ntable=1,actions=${many}`, completing(1));
    const events = each.run(TCP);
    assert.equal(events.filter(event => event === 'out 2').length, 3 * 3000);
    assert.equal(events.at(-1), 'out 2');
    const rules = [
      'ip,actions=ct(table=1),ct(table=2)',
      'table=1,ip,actions=ct(commit),ct(table=3)',
      `table=2,actions=${many}`,
      `table=3,actions=${many}`,
    ];
    const around = new TestSwitch(rules.join('\n'), completing(2));
    const all = around.run(TCP);
    assert.equal(all.filter(event => event === 'out 2').length, 4 * 3000);
    assert.equal(all.at(-1), 'out 2');
  });

  it('the next packet starts afresh', () => {
    const bench = new TestSwitch('udp,actions=2\npriority=1,actions=resubmit(,0)');
    assert.deepEqual([...bench.run(TCP)], ['flow-depth']);
    assert.deepEqual([...bench.run(UDP)], ['out 2']);
  });
});

describe('memory', () => {
  it('a packet allocates nothing', () => {
    const rules = [
      'table=0,priority=20,ip,actions=load:1->NXM_NX_REG0[],ct(zone=NXM_NX_REG0[0..15],table=1),resubmit(,3)',
      'table=1,ct_state=+new,tcp,nw_dst=10.0.0.0/24,tp_dst=80,actions=ct(commit,exec(load:7->NXM_NX_CT_MARK[0..3]),table=2)',
      'table=2,reg0=1,actions=move:NXM_NX_REG0[]->NXM_NX_REG1[]',
      'table=3,reg1=0,actions=resubmit(,4)',
    ].join('\n');
    const state = CT.NEW | CT.TRK;
    const context: FlowContext = {
      frames: new DataView(new SharedArrayBuffer(2048)),
      packets: new Int32Array(PACKET_WORDS),
      defineAction: () => 0,
      ct: packet => {
        context.packets[packet + PACKET.STATE] = state;
        return CT_OUTCOME.GOES_ON;
      },
      beginCompleted: () => {},
      nextCompleted: () => -1,
      ctClear: () => {},
      output: () => {},
    };
    new Uint8Array(context.frames.buffer).set(TCP);
    context.packets[PACKET.FRAME_LENGTH] = TCP.length;
    const machine = loadFlows(parseFlows(rules), context);
    const runMany = (count: number) => {
      for (let packet = 0; packet < count; packet++) {
        context.packets[PACKET.STATE] = 0;
        assert.equal(runFlows(machine, 0, 1), 0);
      }
    };
    runMany(50_000); // until it is compiled
    const before = process.memoryUsage().heapUsed;
    runMany(200_000);
    const grown = process.memoryUsage().heapUsed - before;
    // One small object per packet would be more than 3 MB.
    assert.ok(grown < 1_000_000, `the heap grew by ${grown} bytes`);
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
    new TestSwitch(RULES, spec => ({ state: spec.commit ? state | CT.SNAT : state }), { ports: ['lan', 'wan'] });
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
