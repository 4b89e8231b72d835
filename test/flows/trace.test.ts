/**
 * Asks a real Open vSwitch what random packets do in random tables: `ofproto/trace` translates a frame, and what it
 * recirculates to, without sending anything. The tracker finds every packet new, there and here.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CT_PARAMETER } from '../../src/flows/index.js';
import { CT } from '../../src/track/state.js';
import { isOvsAvailable, Ovs } from '../support/ovs.js';
import { type Random, withSeed } from '../support/random.js';
import { arpFrame, frame, icmp, icmpv6, ipv4, ipv6, tcp, udp } from './frames.js';
import { TestSwitch } from './test-switch.js';

const found = isOvsAvailable();
const skip = found.available ? false : found.reason;

const TABLES = 6;
const RULES = 150;
const PACKETS = 250;
const SEEDS = [11, 12, 13, 14, 15, 16];

/** A match that leaves only untracked packets: there a ct() may set part of the mark without knowing the rest. */
const UNTRACKED = 'ct_state=-trk';

function randomMatch(random: Random): string[] {
  const protocol = random.pick(['ip', 'ip', 'tcp', 'udp', 'icmp', 'ipv6', 'tcp6', 'udp6', 'icmp6', 'arp', '']);
  const words = protocol === '' ? [] : [protocol];
  if (random.chance(0.3)) words.push(`in_port=${random.between(1, 2)}`);
  if (random.chance(0.5)) words.push(random.pick([UNTRACKED, UNTRACKED, '+trk', '+trk+new', '-est'].map(ctState)));
  if (/^(ip|tcp|udp|icmp|arp)$/.test(protocol) && random.chance(0.4)) {
    words.push(`nw_${random.pick(['src', 'dst'])}=10.0.0.${random.between(1, 4)}/${random.pick([30, 31, 32])}`);
  }
  if (/6$/.test(protocol) && random.chance(0.4)) {
    words.push(`ipv6_${random.pick(['src', 'dst'])}=2001:db8::${random.between(1, 4)}/${random.pick([64, 127, 128])}`);
  }
  if (/^(tcp|udp)/.test(protocol) && random.chance(0.5)) {
    words.push(`tp_dst=${random.pick(['80', '81', '80/0xfffe', '0x50/0xff'])}`);
  }
  if (/^(tcp)/.test(protocol) && random.chance(0.2)) words.push(random.pick(['tcp_flags=+syn', 'tcp_flags=-ack']));
  if (/^icmp/.test(protocol) && random.chance(0.3)) words.push(`icmp_type=${random.pick([8, 0, 128, 129])}`);
  if (/^(ip|udp)/.test(protocol) && !words.some(word => word.startsWith('tp_dst')) && random.chance(0.2)) {
    words.push(`nw_frag=${random.pick(['no', 'yes', 'first', 'later', 'not_later'])}`);
  }
  if (random.chance(0.2)) words.push(`reg0=${random.below(3)}/${random.pick(['0x3', '0x1'])}`);
  if (random.chance(0.1)) words.push(`dl_vlan=${random.pick(['0xffff', '5', '7'])}`);
  if (random.chance(0.1)) words.push(`ct_mark=${random.below(4)}/0x3`);
  if (random.chance(0.1)) words.push(`ct_zone=${random.below(3)}`);
  return words;
}

function ctState(text: string): string {
  return text.startsWith('ct_state') ? text : `ct_state=${text}`;
}

function randomCt(random: Random, table: number, isUntracked: boolean): string {
  const words: string[] = [];
  if (random.chance(0.7) || !isUntracked) {
    words.push('commit');
    if (random.chance(0.2)) words.push('force');
    const marks = ['set_field:1->ct_mark', 'set_field:2->ct_mark', 'load:0x103->NXM_NX_CT_MARK[]'];
    const partly = ['set_field:3/2->ct_mark', 'move:NXM_NX_REG0[0..7]->NXM_NX_CT_MARK[0..7]'];
    words.push(`exec(${random.pick(isUntracked ? [...marks, ...partly] : marks)})`);
  }
  if (random.chance(0.5)) {
    words.push(`zone=${random.pick(['1', '2', 'in_port', 'NXM_NX_REG0[0..15]', 'NXM_NX_REG1[16..31]'])}`);
  }
  // Recirculation leads forward only, or the trace would never end.
  if (table + 1 < TABLES && random.chance(0.7)) words.push(`table=${random.between(table + 1, TABLES - 1)}`);
  return `ct(${words.join(',')})`;
}

/** A rule without its priority. */
function randomRule(random: Random): string {
  const table = random.chance(0.4) ? 0 : random.below(TABLES);
  const match = randomMatch(random);
  const isIp = match.length > 0 && /^(ip|tcp|udp|icmp)/.test(match[0]);
  const isUntracked = match.includes(UNTRACKED);
  const later = () => random.between(table + 1, TABLES - 1);
  const actions: string[] = [];
  for (let count = random.below(5); count > 0; count--) {
    const kinds = [
      () => random.pick(['1', '2', '3', 'output:2', 'in_port']),
      () => random.pick(['load:1->NXM_NX_REG0[0..1]', 'set_field:0x2/0x2->reg0', 'load:0x20001->NXM_NX_REG1[]']),
      () => random.pick(['move:NXM_NX_REG1[]->NXM_NX_REG0[]', 'move:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]']),
      () => (isIp ? randomCt(random, table, isUntracked) : '3'),
      () => (isIp ? randomCt(random, table, isUntracked) : '2'),
      () => 'ct_clear',
      () => (table + 1 < TABLES ? `resubmit(,${later()})` : '3'),
      () => (table + 1 < TABLES ? `resubmit(2,${later()})` : '2'),
      () => (match.includes('in_port=1') ? 'resubmit:2' : '3'),
    ];
    actions.push(random.pick(kinds)());
  }
  if (table + 1 < TABLES && random.chance(0.3)) actions.push(`goto_table:${later()}`);
  return `${[`table=${table}`, ...match].join(',')},actions=${actions.join(',') || 'drop'}`;
}

function matchWords(rule: string): number {
  return rule.slice(0, rule.indexOf('actions=')).split(',').length;
}

function randomFrame(random: Random): Uint8Array {
  const four = { src: `10.0.0.${random.between(1, 4)}`, dst: `10.0.0.${random.between(1, 4)}` };
  const six = { src: `2001:db8::${random.between(1, 4)}`, dst: `2001:db8::${random.between(1, 4)}` };
  const ports = { sport: random.between(1, 9), dport: random.pick([80, 81, 0x150, 7]) };
  const flags = random.pick(['S', 'SA', 'A']);
  const fragment = random.chance(0.2) ? { moreFragments: random.chance(0.5), fragmentOffset: random.below(2) } : {};
  const tags = random.chance(0.1) ? { tags: [{ id: random.pick([5, 6, 7]) }] } : {};
  const kinds = [
    () => frame(ipv4(four, tcp({ ...ports, flags })), tags),
    () => frame(ipv4({ ...four, ...fragment }, udp(ports)), tags),
    () => frame(ipv4(four, icmp({ type: random.pick([8, 0]) }))),
    () => frame(ipv6(six, tcp({ ...ports, flags })), tags),
    () => frame(ipv6(six, udp(ports))),
    () => frame(ipv6(six, icmpv6({ type: random.pick([128, 129]) }))),
    () => arpFrame({ sender: four.src, target: four.dst }),
  ];
  return random.pick(kinds)();
}

const hex = (value: number) => (value >>> 0).toString(16);

/** What a ct() of the datapath does, in the words of both sides. */
function ctEvent(isCommit: boolean, zone: number, mark: number, mask: number): string {
  return `ct ${isCommit ? 'commit ' : ''}zone=${zone} mark=${hex(mark)}/${hex(mask)}`;
}

function ovsCt(text: string): string {
  const zone = Number(/zone=(\d+)/.exec(text)?.[1] ?? 0);
  const [, mark, mask] = /mark=(?:0x)?([0-9a-f]+)\/(?:0x)?([0-9a-f]+)/.exec(text) ?? ['', '0', '0'];
  return ctEvent(text.includes('commit'), zone, Number.parseInt(mark, 16), Number.parseInt(mask, 16));
}

/** The datapath actions of a trace, those of each recirculation in the place where it happens. */
function ovsEvents(trace: string): string[] {
  const passes = trace.split(/^=+\n(?=recirc\()/m).map(pass => {
    const actions = /^Datapath actions: (.*)$/m.exec(pass)?.[1] ?? '';
    return actions.match(/(?:[^,(]|\((?:[^()]|\([^()]*\))*\))+/g) ?? [];
  });
  // A trace shows the passes in the order in which it met them, not in that of what happens.
  const behind: number[][] = [];
  let met = 0;
  for (const actions of passes) behind.push(actions.filter(isRecirculation).map(() => ++met));
  const eventsOf = (pass: number): string[] =>
    passes[pass].flatMap(action => {
      if (isRecirculation(action)) return eventsOf(behind[pass].shift() ?? 0);
      if (action.startsWith('ct(') || action === 'ct') return [ovsCt(action)];
      if (action === 'drop') return [];
      return [action === 'ct_clear' ? 'clear' : `out ${action}`];
    });
  return eventsOf(0);
}

function isRecirculation(action: string): boolean {
  return action.startsWith('recirc(');
}

/** The same of the tables here. */
function ourEvents(one: TestSwitch, data: Uint8Array, port: number): string[] {
  one.run(data, port);
  let calls = 0;
  return one.events.map(event => {
    if (!event.startsWith('ct ')) return event;
    const spec = one.specs[Number(event.split(' ')[1])];
    const parameters = one.parameters[calls++];
    const { ZONE, MARK, MARK_MASK } = CT_PARAMETER;
    return ctEvent(spec.commit, parameters[ZONE], parameters[MARK], parameters[MARK_MASK]);
  });
}

describe('random tables do in Open vSwitch what they do here', { skip }, () => {
  for (const seed of SEEDS) {
    it(`${RULES} rules, ${PACKETS} packets, seed ${seed}`, async () => {
      const cases: { data: Uint8Array; port: number; ours: string[] }[] = [];
      let rules = '';
      withSeed(seed, random => {
        // A packet that meets no rule would go to the controller there.
        const last = Array.from({ length: TABLES }, (_, table) => `table=${table},priority=0,actions=drop`);
        // Narrow rules come first, or the wide ones would hide them. Which of two rules with the same priority wins is
        // not defined there, so that each has its own.
        const others = Array.from({ length: RULES }, () => randomRule(random))
          .toSorted((one, other) => matchWords(one) - matchWords(other))
          .map((rule, index) => `priority=${index + 1},${rule}`);
        rules = [...last, ...others].join('\n');
        const one = new TestSwitch(rules, (_spec, calls) => ({
          state: CT.TRK | CT.NEW,
          mark: one.parameters[calls - 1][CT_PARAMETER.MARK],
        }));
        for (let packet = 0; packet < PACKETS; packet++) {
          const data = randomFrame(random);
          const port = random.between(1, 2);
          cases.push({ data, port, ours: ourEvents(one, data, port) });
        }
      });
      const ovs = await Ovs.start({ flows: `${rules}\n` });
      try {
        let interesting = 0;
        for (const { data, port, ours } of cases) {
          const bytes = Buffer.from(data).toString('hex');
          const trace = await ovs.command('ofproto/trace', 'br0', `in_port=${port}`, bytes);
          assert.deepEqual(ours, ovsEvents(trace), `FLOWSHARD_TEST_SEED=${seed}\n${trace}`);
          if (ours.length > 2) interesting++;
        }
        assert.ok(interesting > 5, `only ${interesting} packets did much`);
      } finally {
        await ovs.stop();
      }
    });
  }
});
