/**
 * What the generators make: frames that the parser understands as what they are meant to be, every checksum right, and
 * the same ones for the same seed. Expected values are those of the RFCs; sums are added up by test/support.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FLOOD_KINDS, FLOODS, type FloodChoice, type FloodKind } from '../../src/flood/kinds.js';
import { REASON, reasonName } from '../../src/reason.js';
import { FACT, FACT_RELATED, FACT_WORDS, FAMILY_IPV6, PROTOCOL_MASK } from '../../src/wire/facts.js';
import { parseFrame } from '../../src/wire/parse.js';
import { internetSum } from '../support/sums.js';
import { framesOf, OPTIONS } from './made.js';

const FRAMES = 2000;
const TCP_FLAGS_AT = 13;
const SYN = 0x02;
const RST = 0x04;
const ACK = 0x10;

interface Expected {
  readonly protocol: number;
  readonly flags?: number;
  readonly isRelated?: true;
}

/** Of ICMP errors the protocol is that of the quoted packet. */
const EXPECTED: Partial<Record<FloodKind, Expected>> = {
  syn: { protocol: 6, flags: SYN },
  ack: { protocol: 6, flags: ACK },
  rst: { protocol: 6, flags: RST },
  synack: { protocol: 6, flags: SYN | ACK },
  udp: { protocol: 17 },
  'icmp-error': { protocol: 17, isRelated: true },
  'nat-exhaust': { protocol: 17 },
  zones: { protocol: 6, flags: SYN },
  collide: { protocol: 17 },
};

function factsOf(frame: Uint8Array): Int32Array {
  const facts = new Int32Array(FACT_WORDS);
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const reason = parseFrame(view, 0, frame.length, 0, 0, facts, 0);
  assert.equal(reason, REASON.none, reasonName(reason));
  return facts;
}

for (const family of [4, 6] as const) {
  for (const [kind, expected] of Object.entries(EXPECTED) as [FloodKind, Expected][]) {
    test(`${kind} over IPv${family}: every frame is what it is meant to be, with all checksums right`, () => {
      for (const sizes of [[], [64, 570, 1514]]) {
        const made = framesOf(FLOODS[kind].create({ ...OPTIONS, family, sizes }), FRAMES);
        for (const { frame } of made) {
          const facts = factsOf(frame);
          assert.equal(facts[FACT.PROTOCOL] & PROTOCOL_MASK, expected.protocol);
          assert.equal((facts[FACT.PROTOCOL] & FAMILY_IPV6) !== 0, family === 6);
          assert.equal(facts[FACT.FLAGS], expected.isRelated ? FACT_RELATED : 0);
          if (expected.flags !== undefined) assert.equal(frame[facts[FACT.L4] + TCP_FLAGS_AT], expected.flags);
        }
      }
    });
  }

  test(`icmp over IPv${family}: echo requests, with all checksums right`, () => {
    const echo = family === 4 ? 8 : 128;
    const ids = new Set<number>();
    for (const { frame } of framesOf(FLOODS.icmp.create({ ...OPTIONS, family }), FRAMES)) {
      const facts = factsOf(frame);
      assert.equal(frame[facts[FACT.L4]], echo);
      ids.add(facts[FACT.PORTS] >>> 16);
    }
    assert.ok(ids.size > FRAMES * 0.95, `${ids.size} identifiers`);
  });

  test(`churn over IPv${family}: whole conversations, with all checksums right`, () => {
    const flags = new Map<number, number>();
    for (const { frame } of framesOf(FLOODS.churn.create({ ...OPTIONS, family }), 256 * 8)) {
      const bits = frame[factsOf(frame)[FACT.L4] + TCP_FLAGS_AT];
      flags.set(bits, (flags.get(bits) ?? 0) + 1);
    }
    // Of 256 conversations: SYN, SYN+ACK, ACK (twice), PSH+ACK (twice), FIN+ACK (twice).
    assert.deepEqual(Object.fromEntries(flags), { 2: 256, 18: 256, 16: 512, 24: 512, 17: 512 });
  });
}

for (const [family, form] of [
  [4, /^PORT 172,116,(\d+),(\d+),\d{3},\d{3}\r\n$/],
  [6, /^EPRT \|2\|2001:db8::ac74:([0-9a-f]{2})([0-9a-f]{2})\|\d{5}\|\r\n$/],
] as const) {
  test(`ftp-expect over IPv${family}: handshakes, then commands that name their sender, with all checksums right`, () => {
    let commands = 0;
    for (const { frame } of framesOf(FLOODS['ftp-expect'].create({ ...OPTIONS, family }), FRAMES)) {
      const facts = factsOf(frame);
      const text = Buffer.from(frame.subarray(facts[FACT.L4] + 20)).toString('latin1');
      if (text === '') continue;
      commands++;
      const [, third, fourth] = form.exec(text) ?? assert.fail(text);
      const base = family === 4 ? 10 : 16;
      const named = (Number.parseInt(third, base) << 8) | Number.parseInt(fourth, base);
      assert.equal(facts[FACT.SRC] & 0xffff, named);
    }
    // Of 35 packets of a connection 32 are commands.
    assert.ok(commands > FRAMES * 0.85 && commands < FRAMES * 0.95, `${commands} commands`);
  });
}

test('frag over IPv4: more fragments follow each, lengths are multiples of eight, header checksums are right', () => {
  let firsts = 0;
  for (const { frame } of framesOf(FLOODS.frag.create({ ...OPTIONS, sizes: [64, 99, 1514] }), FRAMES)) {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    assert.equal(internetSum(frame.subarray(14, 34)), 0xffff);
    assert.equal(view.getUint16(20) & 0xe000, 0x2000);
    assert.equal((view.getUint16(16) - 20) % 8, 0);
    if ((view.getUint16(20) & 0x1fff) === 0) firsts++;
  }
  assert.ok(Math.abs(firsts / FRAMES - 0.5) < 0.06, `${firsts} first fragments`);
});

test('frag over IPv6: a fragment header for UDP, more fragments follow', () => {
  for (const { frame } of framesOf(FLOODS.frag.create({ ...OPTIONS, family: 6 }), FRAMES)) {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    assert.equal(frame[20], 44);
    assert.equal(frame[54], 17);
    assert.equal(view.getUint16(56) & 7, 1);
    assert.equal((view.getUint16(18) - 8) % 8, 0);
  }
});

test('every kind: one seed, the same frames and actions; another seed, others', () => {
  for (const kind of FLOOD_KINDS) {
    const first = framesOf(FLOODS[kind].create(OPTIONS), 500);
    assert.deepEqual(framesOf(FLOODS[kind].create(OPTIONS), 500), first, kind);
    const other = framesOf(FLOODS[kind].create({ ...OPTIONS, seed: 2 }), 500);
    assert.notDeepEqual(other, first, kind);
  }
});

const CHOSEN = {
  sources: { sources: 'subnet' },
  destinations: { destinations: 'subnet' },
  ports: { ports: 'subnet' },
  size: { sizes: [200, 1000] },
  zones: { zones: 5 },
} as const satisfies Record<FloodChoice, Partial<typeof OPTIONS>>;

test('every kind: what can be chosen changes its packets', () => {
  for (const kind of FLOOD_KINDS) {
    const usual = { ...OPTIONS, ports: FLOODS[kind].ports };
    const made = framesOf(FLOODS[kind].create(usual), 500);
    for (const choice of FLOODS[kind].choices) {
      const other = framesOf(FLOODS[kind].create({ ...usual, ...CHOSEN[choice] }), 500);
      assert.notDeepEqual(other, made, `${kind} ${choice}`);
    }
  }
});

test('sizes: each as likely', () => {
  for (const kind of FLOOD_KINDS.filter(name => (FLOODS[name].choices as readonly FloodChoice[]).includes('size'))) {
    const sizes = [256, 512, 1024];
    const counts = new Map<number, number>();
    for (const { frame } of framesOf(FLOODS[kind].create({ ...OPTIONS, sizes }), 8 * FRAMES)) {
      counts.set(frame.length, (counts.get(frame.length) ?? 0) + 1);
    }
    // Fragments are as long as eight bytes at a time allow: their sizes are those or a few bytes less.
    const near = (size: number) =>
      [...counts].reduce((sum, [length, count]) => sum + (length <= size && length > size - 8 ? count : 0), 0);
    const [first, ...others] = sizes.map(near);
    for (const count of others) assert.ok(first > 500 && Math.abs(count / first - 1) < 0.15, `${kind}: ${[...counts]}`);
  }
});

test('churn: connections have their ends from the spreads, and no two under way have the same', () => {
  const tuples = new Map<string, number>();
  const options = { ...OPTIONS, sources: 'one', destinations: 'one', ports: 'one' } as const;
  for (const { frame } of framesOf(FLOODS.churn.create(options), 16_384 * 8)) {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    const ports = [view.getUint16(34), view.getUint16(36)];
    const isReply = ports[0] === 80;
    const [client, server] = isReply
      ? [view.getUint32(30), view.getUint32(26)]
      : [view.getUint32(26), view.getUint32(30)];
    assert.deepEqual([client, server], [0x0a800000, 0xc0a80001]);
    const port = `${ports[isReply ? 1 : 0]}`;
    tuples.set(port, (tuples.get(port) ?? 0) + 1);
  }
  // Those under way at the end have begun again with the first ports.
  assert.equal(tuples.size, 16_384);
  assert.ok([...tuples.values()].every(count => count <= 16));
});

test('zones: every action has a zone of its own, and all are used', () => {
  const generator = FLOODS.zones.create(OPTIONS);
  assert.deepEqual(
    generator.actions.map(({ zone }) => zone),
    Array.from({ length: OPTIONS.zones }, (_, index) => index + 1),
  );
  assert.equal(new Set(framesOf(generator, 1000).map(({ action }) => action)).size, OPTIONS.zones);
});
