/**
 * The compiled tables against the plain meaning of the rules: the best priority of those whose masked key is equal.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { lookup, makeClassifier, NO_RULE } from '../../src/flows/classifier.js';
import { addressOf, FLOW_KEY_WORDS, KEY, readBits, writeBits } from '../../src/flows/key.js';
import { type FlowRule, parseFlows } from '../../src/flows/parse.js';
import { type Random, withSeed } from '../support/random.js';

function matches({ match }: FlowRule, key: Int32Array): boolean {
  return match.mask.every((mask, word) => (key[word] & mask) === match.value[word]);
}

/** The rule that the first of all lines with the best priority holds. */
function plainly(rules: readonly FlowRule[], key: Int32Array): FlowRule | undefined {
  let best: FlowRule | undefined;
  for (const rule of rules) {
    if (matches(rule, key) && (best === undefined || rule.priority > best.priority)) best = rule;
  }
  return best;
}

function compiled(rules: readonly FlowRule[]): (key: Int32Array) => FlowRule | undefined {
  const ranked = rules.toSorted((one, other) => other.priority - one.priority);
  const classifier = makeClassifier(ranked.map(({ match }) => match));
  return key => {
    const rank = lookup(classifier, key);
    return rank === NO_RULE ? undefined : ranked[rank];
  };
}

/** Few values, so that rules and packets meet. */
function randomRule(random: Random): string {
  const words = [
    () => random.pick(['tcp', 'udp', 'ip', 'ipv6', 'tcp6', 'arp', 'icmp']),
    () => `in_port=${random.between(1, 3)}`,
    () => `ct_state=${random.pick(['+trk', '-trk', '+trk+new', '+trk-new+est', '0x21/0x23', 'trk|new'])}`,
    () => `ct_mark=${random.below(4)}/${random.between(1, 3)}`,
    () => `reg0=${random.below(3)}`,
    () => `ct_label=0x${random.below(4)}0000000000000000/0x30000000000000000`,
    () => `dl_vlan=${random.pick(['0xffff', '1', '2'])}`,
  ];
  const chosen = words.filter(() => random.chance(0.4)).map(make => make());
  if (chosen.some(word => /^(tcp|udp|ip|icmp)$/.test(word)) && random.chance(0.7)) {
    chosen.push(`nw_dst=10.0.0.${random.below(4)}/${random.pick([8, 30, 31, 32])}`);
  }
  if (chosen.some(word => /^(tcp|udp)6?$/.test(word)) && random.chance(0.7)) {
    chosen.push(random.chance(0.5) ? `tp_dst=${random.below(4)}` : `tp_dst=${random.below(4)}/${random.between(1, 3)}`);
  }
  if (random.chance(0.7)) chosen.push(`priority=${random.below(6)}`);
  return `${chosen.join(',')},actions=${random.below(9)}`;
}

function randomKey(random: Random): Int32Array {
  const key = new Int32Array(FLOW_KEY_WORDS);
  key[KEY.IN_PORT] = random.between(1, 3);
  key[KEY.DL_TYPE] = random.pick([0x800, 0x800, 0x86dd, 0x806]);
  key[KEY.NW_PROTO] = random.pick([6, 17, 1]);
  key[KEY.DST + 3] = 0x0a000000 | random.below(4);
  key[KEY.TP_DST] = random.below(4);
  key[KEY.VLAN_TCI] = random.pick([0, 0x1001, 0x1002]);
  key[KEY.CT_STATE] = random.pick([0, 0x21, 0x22, 0x2a, 0x30]);
  key[KEY.CT_MARK] = random.below(4);
  key[KEY.CT_LABEL + 1] = random.below(4);
  key[KEY.REG] = random.below(3);
  return key;
}

describe('lookup', () => {
  it('finds what the plain meaning of the rules says, in random tables', () => {
    withSeed(0xc1a55, random => {
      let found = 0;
      for (let round = 0; round < 400; round++) {
        const text = Array.from({ length: random.between(1, 60) }, () => randomRule(random)).join('\n');
        const { rules } = parseFlows(text);
        const find = compiled(rules);
        for (let packet = 0; packet < 50; packet++) {
          const key = randomKey(random);
          const expected = plainly(rules, key);
          if (expected !== undefined) found++;
          assert.equal(find(key)?.line, expected?.line, text);
        }
      }
      assert.ok(found > 10_000, `only ${found} packets met a rule`);
    });
  });

  it('finds each of ten thousand rules with the same mask', () => {
    const text = Array.from({ length: 10_000 }, (_, n) => `ip,nw_dst=10.${n >> 8}.${n & 255}.7,actions=${n}`).join(
      '\n',
    );
    const { rules } = parseFlows(text);
    const find = compiled(rules);
    const key = new Int32Array(FLOW_KEY_WORDS);
    key[KEY.DL_TYPE] = 0x800;
    for (const rule of rules) {
      key[KEY.DST + 3] = rule.match.value[KEY.DST + 3];
      assert.equal(find(key), rule);
    }
    key[KEY.DST + 3] = 0x0a000008;
    assert.equal(find(key), undefined);
  });

  it('finds nothing in a table without rules', () => {
    assert.equal(lookup(makeClassifier([]), new Int32Array(FLOW_KEY_WORDS)), NO_RULE);
  });
});

describe('bits of the key', () => {
  it('are read and written like those of one long number', () => {
    withSeed(0xb17, random => {
      for (let round = 0; round < 5_000; round++) {
        const key = Int32Array.from({ length: FLOW_KEY_WORDS }, () => random.u32());
        const whole = (words: Int32Array) =>
          words
            .subarray(KEY.REG, KEY.REG + 4)
            .reduce<bigint>((number, word) => (number << 32n) | BigInt(word >>> 0), 0n);
        const before = whole(key);
        const offset = random.below(128);
        const count = random.between(1, Math.min(32, 128 - offset));
        const address = addressOf(KEY.REG + 3) + offset;
        const mask = ((1n << BigInt(count)) - 1n) << BigInt(offset);
        assert.equal(BigInt(readBits(key, address, count) >>> 0), (before & mask) >> BigInt(offset));
        const bits = random.u32();
        writeBits(key, address, count, bits);
        assert.equal(whole(key), (before & ~mask) | ((BigInt(bits) << BigInt(offset)) & mask));
      }
    });
  });
});
