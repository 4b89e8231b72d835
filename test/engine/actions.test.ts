/**
 * The ct() action: zone, commit, force, mark and label. The answers are those of Open vSwitch 3.1.0 and 4.0.90, which
 * is asked again where it is installed. Each packet names its actions by its TTL, which both sides leave alone.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { CtAction } from '../../src/engine/action.js';
import { PacketBatch } from '../../src/engine/batch.js';
import { LocalEngine } from '../../src/engine/local.js';
import { PACKET } from '../../src/engine/packet.js';
import { formatCtState } from '../../src/track/state.js';
import { frame, icmp, ipv4, type Transport, tcp, udp } from '../support/frames.js';
import { isOvsAvailable, Ovs, REPORT_TABLE } from '../support/ovs.js';

/** An action in both languages. */
const ACTIONS = {
  look: [{ commit: false }, ''],
  commit: [{}, 'commit'],
  zone5: [{ zone: 5 }, 'commit,zone=5'],
  zone5look: [{ zone: 5, commit: false }, 'zone=5'],
  zone65535: [{ zone: 65_535 }, 'commit,zone=65535'],
  force: [{ force: true }, 'commit,force'],
  mark12: [{ mark: { value: 0x12 } }, 'commit,exec(set_field:0x12->ct_mark)'],
  markHigh: [{ mark: { value: 0x8000_0001 } }, 'commit,exec(set_field:0x80000001->ct_mark)'],
  markMask: [{ mark: { value: 0x30, mask: 0xf0 } }, 'commit,exec(set_field:0x30/0xf0->ct_mark)'],
  markClear: [{ mark: { value: 0, mask: 0x0f } }, 'commit,exec(set_field:0/0xf->ct_mark)'],
  label: [
    { label: { value: 0x0123456789abcdef_fedcba9876543210n } },
    'commit,exec(set_field:0x0123456789abcdeffedcba9876543210->ct_label)',
  ],
  labelMask: [
    { label: { value: 0xff00000000000000_0000000000000005n, mask: 0xff00000000000000_000000000000000fn } },
    'commit,exec(set_field:0xff000000000000000000000000000005/0xff00000000000000000000000000000f->ct_label)',
  ],
  labelClear: [{ label: { value: 0n } }, 'commit,exec(set_field:0->ct_label)'],
  zone5mark: [{ zone: 5, mark: { value: 7 } }, 'commit,zone=5,exec(set_field:7->ct_mark)'],
  forceMark: [{ force: true, mark: { value: 9 } }, 'commit,force,exec(set_field:9->ct_mark)'],
} as const satisfies Record<string, readonly [CtAction, string]>;

type Name = keyof typeof ACTIONS;

/** Chains of ct() on one packet, first to last; what the last one says counts. */
const CHAINS: readonly (readonly Name[])[] = [
  ...(Object.keys(ACTIONS) as Name[]).map(name => [name]),
  ['mark12', 'markMask'],
  ['mark12', 'zone5mark'],
  ['mark12', 'zone5mark', 'commit'],
  ['commit', 'force'],
  ['look', 'commit'],
];

function ttlOf(chain: readonly Name[]): number {
  const index = CHAINS.findIndex(other => other.join() === chain.join());
  assert.ok(index >= 0, chain.join());
  return index + 1;
}

type Step = readonly [chain: readonly Name[] | Name, direction: 'there' | 'back', transport: Transport, answer: string];

const THERE = udp();
const BACK = udp({ sport: 53, dport: 40000 });
const QUOTE = ipv4({ src: '10.0.0.1', dst: '10.0.0.2' }, THERE).bytes;
const UNREACHABLE = icmp({ type: 3, code: 3, id: 0, sequence: 0, payload: QUOTE });

/** The answer is ct_state, zone, mark and label. */
const CASES: readonly (readonly [name: string, steps: readonly Step[]])[] = [
  [
    'without commit nothing is remembered',
    [
      ['look', 'there', THERE, 'new|trk 0 0 0'],
      ['look', 'back', BACK, 'new|trk 0 0 0'],
      ['commit', 'there', THERE, 'new|trk 0 0 0'],
      ['look', 'back', BACK, 'est|rpl|trk 0 0 0'],
    ],
  ],
  [
    'zones know nothing of one another',
    [
      ['commit', 'there', THERE, 'new|trk 0 0 0'],
      ['zone5look', 'back', BACK, 'new|trk 5 0 0'],
      ['zone5', 'back', BACK, 'new|trk 5 0 0'],
      ['commit', 'back', BACK, 'est|rpl|trk 0 0 0'],
      ['zone5', 'there', THERE, 'est|rpl|trk 5 0 0'],
      ['zone65535', 'there', THERE, 'new|trk 65535 0 0'],
      ['zone65535', 'back', BACK, 'est|rpl|trk 65535 0 0'],
    ],
  ],
  [
    'force turns a connection round',
    [
      ['commit', 'there', THERE, 'new|trk 0 0 0'],
      ['force', 'there', THERE, 'new|trk 0 0 0'],
      ['commit', 'back', BACK, 'est|rpl|trk 0 0 0'],
      ['force', 'there', THERE, 'est|trk 0 0 0'],
      ['force', 'back', BACK, 'new|trk 0 0 0'],
      ['commit', 'there', THERE, 'est|rpl|trk 0 0 0'],
      ['commit', 'back', BACK, 'est|trk 0 0 0'],
    ],
  ],
  [
    'force forgets mark and label, and cannot make a connection of what opens none',
    [
      ['mark12', 'there', tcp(), 'new|trk 0 18 0'],
      ['label', 'there', tcp(), 'new|trk 0 18 1512366075204170947332355369683137040'],
      ['force', 'back', tcp({ sport: 80, dport: 40000, flags: 'A' }), 'new|trk 0 0 0'],
      ['force', 'there', tcp({ flags: 'SA' }), 'inv|trk 0 0 0'],
      ['look', 'there', tcp({ flags: 'A' }), 'new|trk 0 0 0'],
    ],
  ],
  [
    'marks: all bits, some bits, none',
    [
      ['mark12', 'there', THERE, 'new|trk 0 18 0'],
      ['commit', 'back', BACK, 'est|rpl|trk 0 18 0'],
      ['markMask', 'back', BACK, 'est|rpl|trk 0 50 0'],
      ['markClear', 'there', THERE, 'est|trk 0 48 0'],
      ['markHigh', 'there', THERE, 'est|trk 0 2147483649 0'],
      ['look', 'back', BACK, 'est|rpl|trk 0 2147483649 0'],
      ['zone5look', 'there', THERE, 'new|trk 5 0 0'],
    ],
  ],
  [
    'labels: 128 bits, some bits, none',
    [
      ['label', 'there', THERE, 'new|trk 0 0 1512366075204170947332355369683137040'],
      ['commit', 'back', BACK, 'est|rpl|trk 0 0 1512366075204170947332355369683137040'],
      ['labelMask', 'back', BACK, `est|rpl|trk 0 0 ${0xff23456789abcdef_fedcba9876543215n}`],
      ['labelClear', 'there', THERE, 'est|trk 0 0 0'],
      ['look', 'back', BACK, 'est|rpl|trk 0 0 0'],
    ],
  ],
  [
    'an ICMP error has the mark of its connection and may change it',
    [
      ['mark12', 'there', THERE, 'new|trk 0 18 0'],
      ['look', 'back', UNREACHABLE, 'rel|rpl|trk 0 18 0'],
      ['markMask', 'back', UNREACHABLE, 'rel|rpl|trk 0 50 0'],
      ['look', 'back', BACK, 'est|rpl|trk 0 50 0'],
      ['zone5mark', 'back', UNREACHABLE, 'inv|trk 5 0 0'],
    ],
  ],
  [
    'an invalid packet marks its connection all the same',
    [
      ['commit', 'there', tcp(), 'new|trk 0 0 0'],
      ['mark12', 'there', tcp({ flags: 'SF' }), 'inv|trk 0 18 0'],
      ['look', 'back', tcp({ sport: 80, dport: 40000, flags: 'SA', ack: 0xffff_fff1 }), 'est|rpl|trk 0 18 0'],
      ['mark12', 'there', tcp({ flags: 'SF', dport: 81 }), 'inv|trk 0 0 0'],
    ],
  ],
  [
    'several ct() on one packet',
    [
      [['mark12', 'markMask'], 'there', THERE, 'new|trk 0 50 0'],
      [['mark12', 'zone5mark'], 'back', BACK, 'new|trk 5 7 0'],
      [['mark12', 'zone5mark', 'commit'], 'there', THERE, 'est|trk 0 18 0'],
      [['commit', 'force'], 'back', BACK, 'new|trk 0 0 0'],
      [['look', 'commit'], 'back', BACK, 'new|trk 0 0 0'],
      ['look', 'there', THERE, 'est|rpl|trk 0 0 0'],
    ],
  ],
];

function frameOf([chain, direction, transport]: Step): Uint8Array {
  const [src, dst] = direction === 'there' ? ['10.0.0.1', '10.0.0.2'] : ['10.0.0.2', '10.0.0.1'];
  return frame(ipv4({ src, dst, ttl: ttlOf(typeof chain === 'string' ? [chain] : chain) }, transport));
}

for (const [name, steps] of CASES) {
  test(name, () => {
    const engine = new LocalEngine({ maxConnections: 64 });
    const numbers = new Map(Object.entries(ACTIONS).map(([action, [made]]) => [action, engine.defineAction(made)]));
    const batch = new PacketBatch(1);
    const answers = steps.map((step, index) => {
      const [chain] = step;
      batch.clear();
      batch.add(frameOf(step), index);
      for (const action of typeof chain === 'string' ? [chain] : chain) {
        batch.packets[PACKET.ACTION] = numbers.get(action) ?? -1;
        engine.execute(batch);
      }
      return `${formatCtState(batch.state(0))} ${batch.zone(0)} ${batch.mark(0)} ${batch.label(0)}`;
    });
    assert.deepEqual(
      answers,
      steps.map(([, , , answer]) => answer),
    );
  });
}

const availability = isOvsAvailable();
describe('OVS gives the same answers', { skip: availability.available ? false : availability.reason }, () => {
  let ovs: Ovs;
  before(async () => {
    const flows = CHAINS.map((chain, index) => {
      const texts = chain.map((action, place) => {
        const inner = ACTIONS[action][1];
        const table = place === chain.length - 1 ? `table=${REPORT_TABLE}` : '';
        return `ct(${[inner, table].filter(Boolean).join()})`;
      });
      return `table=0,priority=100,ip,nw_ttl=${index + 1},actions=${texts.join()}\n`;
    });
    ovs = await Ovs.start({ flows: flows.join('') });
  });
  after(() => ovs?.stop());
  for (const [name, steps] of CASES) {
    test(name, async () => {
      await ovs.command('dpctl/flush-conntrack');
      const answers: string[] = [];
      for (const step of steps) {
        const [report] = await ovs.inject([{ data: frameOf(step) }]);
        answers.push(`${report?.state} ${report?.zone} ${report?.mark} ${report?.label}`);
      }
      assert.deepEqual(
        answers,
        steps.map(([, , , answer]) => answer),
      );
    });
  }
});
