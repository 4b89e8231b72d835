/** What an engine refuses to be told, and in which words; and what a ct() action may say. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CtAction } from '../../src/engine/action.js';
import { LocalEngine } from '../../src/engine/local.js';
import { type EngineOptions, resolveOptions } from '../../src/engine/options.js';

const WRONG: readonly (readonly [options: EngineOptions, message: string])[] = [
  [{ shards: 0 }, 'shards must be a whole number from 1 to 256: 0'],
  [{ shards: 257 }, 'shards must be a whole number from 1 to 256: 257'],
  [{ shards: 1.5 }, 'shards must be a whole number from 1 to 256: 1.5'],
  [{ shards: Number.NaN }, 'shards must be a whole number from 1 to 256: NaN'],
  [{ maxConnections: 0 }, 'maxConnections must be a whole number from 1 to 29000000: 0'],
  [{ maxConnections: 29_000_001 }, 'maxConnections must be a whole number from 1 to 29000000: 29000001'],
  [{ maxConnections: 5, maxIpv6Connections: 6 }, 'maxIpv6Connections must be a whole number from 0 to 5: 6'],
  [{ maxIpv6Connections: -1 }, 'maxIpv6Connections must be a whole number from 0 to 1000000: -1'],
  [{ sweepIntervalMs: 0 }, 'sweepIntervalMs must be a whole number from 1 to 86400000: 0'],
  [{ ringPackets: 63 }, 'ringPackets must be a whole number from 64 to 1048576: 63'],
  [{ ringPackets: 100 }, 'ringPackets must be a power of two: 100'],
  [{ ringBytes: 1000 }, 'ringBytes must be a whole number from 1048576 to 1073741824: 1000'],
  [{ arenaBytes: -1 }, 'arenaBytes must be a whole number from 0 to 1073741824: -1'],
  [
    { shards: 256, arenaBytes: 1 },
    'arenaBytes and the ringBytes of all shards must be less than 2 GiB together: 2147483649',
  ],
  [{ seed: -1 }, 'seed must be a whole number from 0 to 9007199254740991: -1'],
  [{ seed: 0.5 }, 'seed must be a whole number from 0 to 9007199254740991: 0.5'],
  [{ clock: 'sun' as 'wall' }, 'clock must be wall or packets: "sun"'],
];

for (const [options, message] of WRONG) {
  test(`refused: ${message}`, () => {
    assert.throws(() => resolveOptions(options), { name: 'RangeError', message });
  });
}

test('the limits themselves are taken', () => {
  assert.equal(resolveOptions({ shards: 256 }).shards, 256);
  assert.equal(resolveOptions({ maxConnections: 29_000_000 }).maxIpv6Connections, 29_000_000);
  assert.equal(resolveOptions({ maxIpv6Connections: 0 }).maxIpv6Connections, 0);
  assert.equal(resolveOptions({ shards: 255, arenaBytes: (8 << 20) - 1 }).arenaBytes, (8 << 20) - 1);
  assert.equal(resolveOptions({ ringPackets: 64, ringBytes: 1 << 20 }).ringPackets, 64);
});

test('a table that is too large for its memory names what it was made of', () => {
  const table =
    /^maxConnections 29000000 and maxIpv6Connections 29000000 would take a table of \d+ bytes, the most is \d+$/;
  assert.throws(() => new LocalEngine({ maxConnections: 29_000_000 }), { name: 'RangeError', message: table });
});

test('a seed makes the key, no seed a random one', () => {
  assert.deepEqual(resolveOptions({ seed: 5 }).hashKey, resolveOptions({ seed: 5 }).hashKey);
  const keys = [...[0, 1, 2, 2 ** 32, 2 ** 52].map(seed => resolveOptions({ seed })), resolveOptions({})];
  assert.equal(new Set(keys.map(({ hashKey }) => hashKey.join())).size, keys.length);
  assert.notDeepEqual(resolveOptions({}).hashKey, resolveOptions({}).hashKey);
});

const WRONG_ACTIONS: readonly (readonly [action: CtAction, message: string])[] = [
  [{ zone: 65_536 }, 'zone must be a whole number from 0 to 65535: 65536'],
  [{ zone: -1 }, 'zone must be a whole number from 0 to 65535: -1'],
  [{ mark: { value: 2 ** 32 } }, 'mark.value must be a whole number from 0 to 4294967295: 4294967296'],
  [{ mark: { value: 1, mask: -1 } }, 'mark.mask must be a whole number from 0 to 4294967295: -1'],
  [{ label: { value: 1n << 128n } }, `label.value must have 128 bits at most: ${1n << 128n}`],
  [{ label: { value: -1n } }, 'label.value must have 128 bits at most: -1'],
  [{ label: { value: 1n, mask: 1n << 128n } }, `label.mask must have 128 bits at most: ${1n << 128n}`],
];

for (const [action, message] of WRONG_ACTIONS) {
  test(`refused action: ${message}`, () => {
    const engine = new LocalEngine({ maxConnections: 1 });
    assert.throws(() => engine.defineAction(action), { name: 'RangeError', message });
    assert.equal(engine.defineAction({}), 0, 'a refused action takes no number');
  });
}

test('an engine holds 4096 actions', () => {
  const engine = new LocalEngine({ maxConnections: 1 });
  for (let number = 0; number < 4096; number++) assert.equal(engine.defineAction({ zone: number }), number);
  assert.throws(() => engine.defineAction({}), { name: 'RangeError', message: 'an engine holds 4096 actions at most' });
});
