/**
 * Rule text that was damaged: it is read or refused with a FlowError, and what is read runs.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FlowError, SUPPORTED } from '../../src/flows/index.js';
import { type Random, withSeed } from '../support/random.js';
import { arpFrame, frame, icmpv6, ipv4, ipv6, tcp, udp } from './frames.js';
import { ACCEPTED, REFUSED, STRICTER } from './rules.js';
import { TestSwitch } from './test-switch.js';

const TEXTS = [...ACCEPTED, ...REFUSED.map(([text]) => text), ...STRICTER.map(([text]) => text)];
const PIECES = [
  ...',=:()[]/->+|."# \t\n\r\0\u2028é😀0123456789abcdefx',
  ...SUPPORTED.matches,
  ...SUPPORTED.protocols,
  ...SUPPORTED.actions,
  ...SUPPORTED.ct,
  ...SUPPORTED.nat,
  'actions=',
  'NXM_NX_REG0[0..15]',
  '4294967296',
  '-1',
  '0x',
  '::',
  '__proto__',
  'constructor',
  'toString',
];
const FRAMES = [
  frame(ipv4({}, tcp())),
  frame(ipv6({}, udp())),
  frame(ipv6({}, icmpv6({ type: 135 }))),
  arpFrame(),
  new Uint8Array(3),
];

function damage(random: Random, text: string): string {
  let damaged = text;
  for (let change = random.between(1, 3); change > 0; change--) {
    const from = random.below(damaged.length + 1);
    const to = from + random.below(random.chance(0.2) ? 20 : 3);
    const piece = random.chance(0.4) ? '' : random.chance(0.2) ? random.pick(TEXTS) : random.pick(PIECES);
    damaged = damaged.slice(0, from) + piece + damaged.slice(to);
  }
  return damaged;
}

describe('damaged rules', () => {
  it('are read or refused in one line, and run when they are read', () => {
    withSeed(0xf1055, random => {
      let read = 0;
      for (let round = 0; round < 30_000; round++) {
        const text = damage(random, random.pick(TEXTS));
        try {
          const one = new TestSwitch(text);
          read++;
          for (const data of FRAMES) one.run(data);
        } catch (error) {
          if (!(error instanceof FlowError)) throw new Error(`${JSON.stringify(text)}: ${error}`, { cause: error });
          assert.match(error.message, /^line \d+: [^\n\r]+$/);
          assert.ok(text.includes(error.word), `${JSON.stringify(text)}: ${error.word}`);
        }
      }
      assert.ok(read > 1_000, `only ${read} were read`);
    });
  });

  it('however deep or long', () => {
    const texts = [
      `actions=${'('.repeat(100_000)}`,
      `actions=ct(${'exec('.repeat(10_000)}`,
      `ip,actions=ct(${'exec('.repeat(10_000)}${')'.repeat(10_000)})`,
      `reg0=${'9'.repeat(1_000_000)},actions=1`,
      `actions=${'()'.repeat(20_000)}`,
      `${'ip,'.repeat(100_000)}actions=`,
    ];
    for (const text of texts) {
      try {
        void new TestSwitch(text);
      } catch (error) {
        assert.ok(error instanceof FlowError, String(error));
      }
    }
  });
});
