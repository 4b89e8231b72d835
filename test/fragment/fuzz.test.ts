/**
 * Random fragments, well-formed and damaged, under settings that change: nothing throws, nothing outside the released
 * frames is written, and what is held adds up all the time.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LocalEngine, PacketBatch } from '../../src/index.js';
import { carried, cut, fragment } from '../support/fragments.js';
import { icmp, ipv4, ipv6, type Packet, raw, sctp, tcp, udp } from '../support/frames.js';
import { type Random, withSeed } from '../support/random.js';
import { auditFragments } from './audit.js';
import { opened, taken } from './feeding.js';

const ROUNDS = 1500;
const BATCH = 32;

const GATEWAY = `
table=0,ip,actions=ct(nat,table=1)
table=0,ipv6,actions=ct(table=1)
table=1,ct_state=+new,ip,nw_frag=later,actions=output:3,ct(commit,zone=1,nat(src=10.9.9.9),table=2)
table=1,ct_state=+new,ip,actions=ct(commit,nat(src=10.9.9.9),table=2),output:4
table=1,ip,actions=ct(commit,zone=2,nat(dst=10.8.8.8),table=2)
table=1,ipv6,actions=ct(commit,zone=1),ct(commit,zone=2,table=2)
table=2,actions=output:2
`;

const SOURCES: readonly ((payload: Uint8Array, from: number) => Packet)[] = [
  (payload, from) => ipv4({ src: `10.0.0.${from}` }, udp({ sport: 5000 + from, payload })),
  (payload, from) => ipv4({ src: `10.0.0.${from}`, options: [1, 1, 1, 1] }, tcp({ payload })),
  (payload, from) => ipv4({ src: `10.0.0.${from}` }, icmp({ type: 8, id: from, payload })),
  (payload, from) => ipv4({ src: `10.0.0.${from}` }, raw(47, payload)),
  payload => ipv4({}, icmp({ type: 3, payload: ipv4({}, udp({ payload })).bytes })),
  (_, from) => ipv4({ src: `10.0.0.${from}` }, sctp()),
  (payload, from) => ipv6({ src: `2001:db8::${from}` }, udp({ payload })),
  (payload, from) => ipv6({ src: `2001:db8::${from}`, extensions: [{ kind: 'destination' }] }, udp({ payload })),
];

function randomPart(random: Random, size: number): { from: number; to: number; more?: boolean } {
  const unit = random.pick([8, 1200, 1232, 1480]);
  const from = Math.min(random.below(4) * unit, Math.max(0, size - 1)) & ~7;
  const to = Math.min(size, from + random.pick([unit, unit, 2 * unit, 8, size]));
  return random.chance(0.05) ? { from: random.pick([0, 65_528, from]), to: 0, more: random.chance(0.5) } : { from, to };
}

function randomFrame(random: Random): Uint8Array {
  const payload = new Uint8Array(random.pick([0, 7, 1300, 2900, 4400]));
  const packet = random.pick(SOURCES)(payload, random.between(1, 3));
  const tags = random.chance(0.2) ? [{}] : [];
  const unfragmentable = packet.ethertype === 0x86dd && packet.bytes[6] === 60 && random.chance(0.5) ? 8 : 0;
  const fields = { id: random.below(3), tags, unfragmentable, trailer: new Uint8Array(random.chance(0.1) ? 9 : 0) };
  const part = randomPart(random, carried(packet, fields));
  const bytes = fragment(packet, part, fields);
  if (random.chance(0.2)) {
    for (let changes = random.between(1, 4); changes > 0; changes--) {
      bytes[random.below(Math.min(bytes.length, 90))] = random.below(256);
    }
  }
  return random.chance(0.05) ? bytes.subarray(0, random.below(bytes.length)) : bytes;
}

/** A datagram whose fragments are all there, in any order, now and then one twice or too few. */
function wholeFrames(random: Random): Uint8Array[] {
  const payload = new Uint8Array(random.pick([1300, 2900, 4400]));
  const packet = random.pick(SOURCES)(payload, random.between(1, 3));
  const frames = cut(packet, random.pick([1200, 1232, 1480]), { id: random.below(1 << 16) });
  if (random.chance(0.1)) frames.push(random.pick(frames));
  if (random.chance(0.1)) frames.pop();
  return frames.sort(() => random.below(3) - 1);
}

function changeSettings(engine: LocalEngine, random: Random): void {
  const { fragments } = engine.settings;
  const family = random.pick(['ipv4', 'ipv6'] as const);
  fragments.setEnabled(family, random.chance(0.9));
  fragments.setMinSize(family, random.pick([400, 400, 1200, 9000]));
  fragments.max = random.pick([0, 1, 7, 50, 1000, 5000]);
}

for (const [name, options] of [
  ['one action', {}],
  ['flow rules with NAT and several zones', { flows: { text: GATEWAY } }],
] as const) {
  test(`${name}: ${ROUNDS * BATCH} random fragments`, () => {
    withSeed(4, random => {
      const engine = opened({ fragmentBytes: 256 << 10, ...options });
      const isPlain = !('flows' in options);
      const actions = isPlain
        ? [0, engine.defineAction({ zone: 1 }), engine.defineAction({ zone: 2, commit: false })]
        : [1];
      const batch = new PacketBatch(BATCH, BATCH * 70_000);
      const coming: Uint8Array[] = [];
      let nowMs = 0;
      let released = 0;
      for (let round = 0; round < ROUNDS; round++) {
        batch.clear();
        for (let count = random.between(1, BATCH); count > 0; count--) {
          const known = random.chance(0.5) ? 1 << 4 : 0;
          if (coming.length === 0) coming.push(...(random.chance(0.5) ? wholeFrames(random) : [randomFrame(random)]));
          const bytes = coming.pop() ?? new Uint8Array(0);
          assert.ok(batch.add(bytes, nowMs, { action: random.pick(actions), known }));
        }
        const before = isPlain ? Buffer.from(batch.bytes.subarray(0, 200_000)) : undefined;
        engine.execute(batch);
        if (before !== undefined) assert.ok(before.equals(batch.bytes.subarray(0, 200_000)), 'frames of others stay');
        if (random.chance(0.8)) released += taken(engine).length;
        if (round % 20 === 0) auditFragments(engine);
        if (random.chance(0.02)) changeSettings(engine, random);
        if (round % 300 === 0) engine.settings.fragments.max = 1000;
        nowMs += random.pick([0, 1, 100, 100, 16_000]);
      }
      assert.ok(released > 100, `${released} came back`);
      taken(engine);
      engine.settings.fragments.max = 1000;
      for (const gapMs of [30_000, 30_000]) {
        nowMs += gapMs;
        batch.clear();
        batch.add(new Uint8Array(14), nowMs);
        batch.add(ipv4({}, udp()).bytes, nowMs, { known: 1 << 5 });
        engine.execute(batch);
        taken(engine);
      }
      assert.equal(auditFragments(engine), 0, 'nothing is held for ever');
    });
  });
}
