/**
 * What nat() takes and refuses, and the words it becomes.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  isNatFamily,
  NAT,
  NAT_DST,
  NAT_HASH,
  NAT_PERSISTENT,
  NAT_RANDOM,
  NAT_RESTORE,
  NAT_SRC,
  NAT_WORDS,
  type NatAction,
  writeNat,
} from '../../src/nat/spec.js';
import { FAMILY_IPV6, IPPROTO } from '../../src/wire/facts.js';

const AT = 3;
const UNTOUCHED = 0x5a5a5a5a;

function written(nat: NatAction): Int32Array {
  const words = new Int32Array(AT + NAT_WORDS + 2).fill(UNTOUCHED);
  writeNat(words, AT, nat);
  assert.deepEqual([...words.subarray(0, AT), ...words.subarray(AT + NAT_WORDS)], Array(AT + 2).fill(UNTOUCHED));
  return words.slice(AT, AT + NAT_WORDS);
}

test('every field has its words', () => {
  const words = written({ kind: 'src', minAddress: '10.0.0.1', maxAddress: '10.0.0.16', minPort: 5, maxPort: 70_00 });
  assert.equal(words[NAT.FLAGS], NAT_SRC);
  assert.equal(words[NAT.FAMILY], 0);
  assert.equal(words[NAT.COUNT], 16);
  assert.equal(words[NAT.PORTS], (5 << 16) | 7000);
  assert.deepEqual([...words.subarray(NAT.MIN_ADDRESS, NAT.MIN_ADDRESS + 4)], [0, 0, 0, 0x0a000001]);
  assert.deepEqual([...words.subarray(NAT.MAX_ADDRESS, NAT.MAX_ADDRESS + 4)], [0, 0, 0, 0x0a000010]);
});

test('what is left out has a default', () => {
  const words = written({ kind: 'dst', minAddress: 'fd00::5', minPort: 80 });
  assert.equal(words[NAT.FLAGS], NAT_DST);
  assert.equal(words[NAT.FAMILY], FAMILY_IPV6);
  assert.equal(words[NAT.COUNT], 1);
  assert.equal(words[NAT.PORTS], (80 << 16) | 80);
  assert.deepEqual(words.subarray(NAT.MIN_ADDRESS, NAT.MAX_ADDRESS), words.subarray(NAT.MAX_ADDRESS, NAT_WORDS));
  assert.deepEqual([...written({ kind: 'restore' })], [NAT_RESTORE, ...Array(NAT_WORDS - 1).fill(0)]);
});

test('flags', () => {
  assert.equal(
    written({ kind: 'src', random: true, persistent: true })[NAT.FLAGS],
    NAT_SRC | NAT_RANDOM | NAT_PERSISTENT,
  );
  assert.equal(written({ kind: 'dst', hash: true, random: false })[NAT.FLAGS], NAT_DST | NAT_HASH);
});

test('an all-zero first address is none, whatever the last one', () => {
  assert.equal(written({ kind: 'src', minAddress: '0.0.0.0', maxAddress: '10.0.0.1' })[NAT.COUNT], 0);
  assert.equal(written({ kind: 'src', minAddress: '::' })[NAT.COUNT], 0);
});

test('port 0 is never chosen', () => {
  const ports = (minPort: number, maxPort: number) => written({ kind: 'src', minPort, maxPort })[NAT.PORTS];
  assert.equal(ports(0, 65_535), (1 << 16) | 65_535);
  assert.equal(ports(0, 0), 0);
  assert.equal(ports(65_535, 65_535), -1);
});

test('which family a nat() is for', () => {
  const isFor = (nat: NatAction, protocol: number) => isNatFamily(written(nat), 0, protocol);
  const ipv6 = IPPROTO.TCP | FAMILY_IPV6;
  assert.deepEqual([isFor({ kind: 'src' }, IPPROTO.TCP), isFor({ kind: 'src' }, ipv6)], [true, true]);
  const ipv4 = { kind: 'src', minAddress: '10.0.0.1' } as const;
  assert.deepEqual([isFor(ipv4, IPPROTO.TCP), isFor(ipv4, ipv6)], [true, false]);
  const other = { kind: 'src', minAddress: 'fd00::1' } as const;
  assert.deepEqual([isFor(other, IPPROTO.TCP), isFor(other, ipv6)], [false, true]);
});

const REFUSED: readonly (readonly [NatAction, RegExp])[] = [
  [{ kind: 'both' as 'src' }, /kind must be src, dst or restore: "both"/],
  [{ kind: 'toString' as 'src' }, /kind must be/],
  [{ kind: 'src', minAddress: '10.0.0' }, /minAddress is not an IP address: "10.0.0"/],
  [{ kind: 'src', minAddress: '10.0.0.1', maxAddress: 'x' }, /maxAddress is not an IP address: "x"/],
  [{ kind: 'src', maxAddress: '10.0.0.1' }, /maxAddress needs a minAddress/],
  [{ kind: 'src', minAddress: '10.0.0.1', maxAddress: 'fd00::1' }, /two families: 10.0.0.1 and fd00::1/],
  [{ kind: 'src', minAddress: '10.0.0.2', maxAddress: '10.0.0.1' }, /maxAddress comes before minAddress/],
  [{ kind: 'src', minAddress: '192.0.0.1', maxAddress: '10.0.0.1' }, /maxAddress comes before minAddress/],
  [{ kind: 'src', minPort: -1 }, /minPort must be a whole number from 0 to 65535: -1/],
  [{ kind: 'src', minPort: 1.5 }, /minPort must be/],
  [{ kind: 'src', minPort: Number.NaN }, /minPort must be/],
  [{ kind: 'src', minPort: 1, maxPort: 65_536 }, /maxPort must be a whole number from 0 to 65535: 65536/],
  [{ kind: 'src', minPort: 2, maxPort: 1 }, /maxPort comes before minPort: 1 before 2/],
  [{ kind: 'src', maxPort: 1 }, /maxPort needs a minPort/],
  [{ kind: 'src', random: true, hash: true }, /random and hash exclude each other/],
  [{ kind: 'restore', minAddress: '10.0.0.1' }, /restore takes no minAddress/],
  [{ kind: 'restore', minPort: 0 }, /restore takes no minPort/],
  [{ kind: 'restore', persistent: true }, /restore takes no persistent/],
  [{ kind: 'src', minAdress: '10.0.0.1' } as NatAction, /nat has no field "minAdress"/],
  [{ kind: 'src', minAddress: 5 as unknown as string }, /nat minAddress is not an IP address: 5/],
  [{ kind: 'src', minPort: '80' as unknown as number }, /nat minPort must be a whole number from 0 to 65535: "80"/],
];

test('what is of another type is refused, and what is undefined counts as left out', () => {
  const refused = (nat: unknown, message: RegExp) => {
    assert.throws(() => written(nat as NatAction), { name: 'TypeError', message });
  };
  refused('src', /^nat must be a plain object: "src"$/);
  refused(null, /^nat must be a plain object: null$/);
  refused({ kind: 'src', random: 'false' }, /^nat random must be true or false: "false"$/);
  refused({ kind: 'restore', hash: 0 }, /^nat hash must be true or false: 0$/);
  const nothing = { kind: 'dst', minAddress: undefined, minPort: undefined, random: undefined } as unknown as NatAction;
  assert.deepEqual(written(nothing), written({ kind: 'dst' }));
});

test('what is wrong is refused in one line, and nothing is written', () => {
  for (const [nat, message] of REFUSED) {
    const words = new Int32Array(NAT_WORDS).fill(UNTOUCHED);
    assert.throws(
      () => writeNat(words, 0, nat),
      (error: unknown) => error instanceof RangeError && message.test(error.message) && !error.message.includes('\n'),
      JSON.stringify(nat),
    );
    assert.ok(words.every(word => word === UNTOUCHED));
  }
});
