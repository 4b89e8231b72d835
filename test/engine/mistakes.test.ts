/**
 * Mistakes that a compiler would find, as a program in plain JavaScript makes them: one line that names what is wrong and
 * shows it, and nothing has changed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  Engine,
  type EngineOptions,
  type FlowRules,
  LocalEngine,
  PACKET,
  PACKET_WORDS,
  PacketBatch,
  PROFILES,
  type TableOptions,
  type TablePolicy,
  type ZonePolicy,
} from '../../src/index.js';
import { frame, ipv4, udp } from '../support/frames.js';

const FRAME = frame(ipv4({}, udp()));
const NO_TIMES: readonly unknown[] = [undefined, Number.NaN, 'x', '5', null, 5n, new Date(0)];

/** @param call is given what the types forbid */
function refuses<Value>(call: (value: Value) => unknown, value: unknown, message: string): void {
  assert.throws(
    () => call(value as Value),
    (error: unknown) => String(error) === message,
    message,
  );
}

function engineWithConnection(): LocalEngine {
  const engine = new LocalEngine({ maxConnections: 10 });
  engine.defineAction({});
  const batch = new PacketBatch(1);
  batch.add(FRAME, 1000);
  engine.execute(batch);
  assert.equal(engine.connectionCount, 1);
  return engine;
}

test('a sweep needs a time', () => {
  const engine = engineWithConnection();
  for (const time of NO_TIMES) {
    assert.throws(() => engine.sweep(time as number), /^RangeError: nowMs must be a number of milliseconds: \S+/);
    assert.equal(engine.connectionCount, 1);
  }
  refuses(engine.sweep.bind(engine), 'a\nb', 'RangeError: nowMs must be a number of milliseconds: "a\\nb"');
  engine.sweep(Number.NEGATIVE_INFINITY);
  assert.equal(engine.connectionCount, 1);
  engine.sweep(Number.POSITIVE_INFINITY);
  assert.equal(engine.connectionCount, 0);
});

test('a packet needs a time', () => {
  const batch = new PacketBatch(4);
  batch.add(FRAME, 1);
  for (const time of NO_TIMES) {
    const message = /^RangeError: timeMs must be a number of milliseconds: \S+/;
    assert.throws(() => batch.add(FRAME, time as number), message);
    assert.throws(() => batch.addReserved(FRAME.length, 0, 0, time as number, 0, 0), message);
    assert.equal(batch.length, 1);
  }
  assert.ok(batch.add(FRAME, 2));
  assert.equal(2 * batch.packets[PACKET_WORDS + PACKET.FRAME_OFFSET], batch.tryReserve(0), 'the room is used once');
});

test('a frame is a Uint8Array', () => {
  const batch = new PacketBatch(4);
  const add = (bytes: Uint8Array) => batch.add(bytes, 0);
  const { buffer } = FRAME;
  refuses(add, buffer, 'TypeError: frame must be a Uint8Array: an object');
  refuses(add, new DataView(buffer), 'TypeError: frame must be a Uint8Array: an object');
  refuses(add, [...FRAME], 'TypeError: frame must be a Uint8Array: an array');
  refuses(add, 'abc', 'TypeError: frame must be a Uint8Array: "abc"');
  refuses(add, undefined, 'TypeError: frame must be a Uint8Array: undefined');
  assert.equal(batch.length, 0);
  assert.ok(add(Buffer.from(FRAME)));
});

test('a batch has a capacity', () => {
  const engine = new LocalEngine({ maxConnections: 10 });
  for (const capacity of [-1, Number.NaN, 1.5, undefined, '5', 2 ** 24 + 1]) {
    const shown = typeof capacity === 'string' ? `"${capacity}"` : capacity;
    const message = `RangeError: capacity must be a whole number from 0 to 16777216: ${shown}`;
    refuses((value: number) => new PacketBatch(value), capacity, message);
    refuses((value: number) => engine.createBatch(value), capacity, message);
  }
  for (const bytes of [-1, 0.5, Number.NaN, '5', null]) {
    assert.throws(
      () => new PacketBatch(1, bytes as number),
      /^RangeError: frameBytes must be a whole number from 0 to/,
    );
  }
  assert.equal(new PacketBatch(0).add(FRAME, 0), false);
});

test('settings of fragments are those of a family that there is', () => {
  const { settings, memory } = new LocalEngine({ maxConnections: 10 });
  const { fragments } = settings;
  const before = memory.control.slice();
  for (const family of ['v4', 'toString', 4, undefined, ['ipv4']]) {
    const named = family as 'ipv4';
    const message = /^RangeError: family must be ipv4 or ipv6: /;
    assert.throws(() => fragments.isEnabled(named), message);
    assert.throws(() => fragments.minSize(named), message);
    assert.throws(() => fragments.setEnabled(named, false), message);
    assert.throws(() => fragments.setMinSize(named, 500), message);
  }
  const setEnabled = (isOn: boolean) => fragments.setEnabled('ipv4', isOn);
  refuses(setEnabled, 'false', 'TypeError: isOn must be true or false: "false"');
  refuses(setEnabled, undefined, 'TypeError: isOn must be true or false: undefined');
  const checksSequence = (isOn: boolean) => {
    settings.checksSequence = isOn;
  };
  refuses(checksSequence, 'false', 'TypeError: checksSequence must be true or false: "false"');
  assert.deepEqual(memory.control, before);
});

const NO_OPTIONS: readonly (readonly [options: unknown, message: string])[] = [
  [null, 'TypeError: options must be a plain object: null'],
  [5, 'TypeError: options must be a plain object: 5'],
  ['4', 'TypeError: options must be a plain object: "4"'],
  [[], 'TypeError: options must be a plain object: an array'],
  [{ maxConections: 5 }, 'RangeError: options has no field "maxConections"'],
  [{ toString: 5 }, 'RangeError: options has no field "toString"'],
  [{ maxConnections: '5' }, 'RangeError: maxConnections must be a whole number from 1 to 29000000: "5"'],
  [{ seed: null }, 'RangeError: seed must be a whole number from 0 to 9007199254740991: null'],
  [{ seed: 5n }, 'RangeError: seed must be a whole number from 0 to 9007199254740991: 5'],
  [{ checksSequence: 'false' }, 'TypeError: checksSequence must be true or false: "false"'],
  [{ tracksTop: 0 }, 'TypeError: tracksTop must be true or false: 0'],
  [{ measuresLatency: null }, 'TypeError: measuresLatency must be true or false: null'],
  [{ profile: ['ovs'] }, 'RangeError: profile must be ovs or resilient: an array'],
  [{ profile: 'toString' }, 'RangeError: profile must be ovs or resilient: "toString"'],
  [{ onEmergency: 5 }, 'TypeError: onEmergency must be a function: 5'],
  [{ onEmergency: null }, 'TypeError: onEmergency must be a function: null'],
  [{ flows: 'actions=1' }, 'TypeError: flows must be a plain object: "actions=1"'],
  [{ flows: null }, 'TypeError: flows must be a plain object: null'],
  [{ flows: { text: 'actions=1', port: [] } }, 'RangeError: flows has no field "port"'],
];

test('options are those that there are', async () => {
  for (const [options, message] of NO_OPTIONS) {
    refuses((value: TableOptions) => new LocalEngine(value), options, message);
    await assert.rejects(Engine.open(options as EngineOptions), (error: unknown) => String(error) === message, message);
  }
  const nothing = { maxConnections: 10, seed: undefined, flows: undefined, profile: undefined } as object;
  assert.equal(new LocalEngine(nothing).settings.maxConnections, 10);
});

const NO_ACTIONS: readonly (readonly [action: unknown, message: string])[] = [
  [undefined, 'TypeError: action must be a plain object: undefined'],
  [0, 'TypeError: action must be a plain object: 0'],
  ['commit', 'TypeError: action must be a plain object: "commit"'],
  [{ zoen: 5 }, 'RangeError: action has no field "zoen"'],
  [{ zone: '5' }, 'RangeError: zone must be a whole number from 0 to 65535: "5"'],
  [{ commit: 'false' }, 'TypeError: commit must be true or false: "false"'],
  [{ force: 1 }, 'TypeError: force must be true or false: 1'],
  [{ mark: 0 }, 'TypeError: mark must be a plain object: 0'],
  [{ mark: { value: 1n } }, 'RangeError: mark.value must be a whole number from 0 to 4294967295: 1'],
  [{ label: 5n }, 'TypeError: label must be a plain object: 5'],
  [{ label: { value: 5 } }, 'TypeError: label.value must be a bigint: 5'],
  [{ label: null }, 'TypeError: label must be a plain object: null'],
  [{ nat: null }, 'TypeError: nat must be a plain object: null'],
  [{ nat: { kind: 'src', minAddress: 5 } }, 'RangeError: nat minAddress is not an IP address: 5'],
  [{ helper: null }, 'RangeError: helper must be ftp or tftp: null'],
  [{ helper: 5n }, 'RangeError: helper must be ftp or tftp: 5'],
];

test('an action has the fields that there are', () => {
  const engine = new LocalEngine({ maxConnections: 10 });
  for (const [action, message] of NO_ACTIONS) refuses(engine.defineAction.bind(engine), action, message);
  const nothing = { zone: undefined, commit: undefined, mark: undefined, label: undefined, nat: undefined } as object;
  assert.equal(engine.defineAction(nothing), 0, 'a refused action takes no number');
});

const NO_ZONE_POLICIES: readonly (readonly [policy: unknown, message: string])[] = [
  [null, 'TypeError: policy must be a plain object: null'],
  ['resilient', 'TypeError: policy must be a plain object: "resilient"'],
  [{ evict: true }, 'RangeError: policy has no field "evict"'],
  [{ evicts: 'false' }, 'TypeError: evicts must be true or false: "false"'],
  [{ emergency: { beginPercent: 95 } }, 'TypeError: emergency must be true or false: an object'],
  [{ newConnections: 5 }, 'TypeError: newConnections must be a plain object: 5'],
  [{ newConnections: { perSecond: 5, burts: 1 } }, 'RangeError: newConnections has no field "burts"'],
  [{ maxHalfOpen: null }, 'RangeError: maxHalfOpen must be a whole number from 1 to 2147483647: null'],
];

const NO_TABLE_POLICIES: readonly (readonly [policy: unknown, message: string])[] = [
  [null, 'TypeError: tablePolicy must be a plain object: null'],
  [5, 'TypeError: tablePolicy must be a plain object: 5'],
  [{ evicts: true }, 'RangeError: tablePolicy has no field "evicts"'],
  [{ evictable: 5 }, 'TypeError: evictable must be an array: 5'],
  [{ evictable: 'half-open' }, 'TypeError: evictable must be an array: "half-open"'],
  [{ reservePercent: '5' }, 'RangeError: reservePercent must be a whole number from 0 to 100: "5"'],
  [{ adaptiveTimeouts: true }, 'TypeError: adaptiveTimeouts must be a plain object: true'],
  [{ adaptiveTimeouts: { start: 60 } }, 'RangeError: adaptiveTimeouts has no field "start"'],
  [{ emergency: null }, 'TypeError: emergency must be a plain object: null'],
  [{ emergency: { begin: 90 } }, 'RangeError: emergency has no field "begin"'],
];

test('policies have the fields that there are', () => {
  const { settings } = new LocalEngine({ maxConnections: 10, profile: 'resilient' });
  const { zone, table } = PROFILES.resilient;
  for (const [policy, message] of NO_ZONE_POLICIES) {
    refuses((value: ZonePolicy) => settings.setZonePolicy(3, value), policy, message);
    refuses((value: ZonePolicy) => Object.assign(settings, { defaultZonePolicy: value }), policy, message);
  }
  for (const [policy, message] of NO_TABLE_POLICIES) {
    refuses((value: TablePolicy) => Object.assign(settings, { tablePolicy: value }), policy, message);
  }
  assert.deepEqual([settings.zonePolicy(3), settings.defaultZonePolicy, settings.tablePolicy], [zone, zone, table]);
  settings.tablePolicy = { evictable: undefined, emergency: undefined } as object;
  settings.defaultZonePolicy = { evicts: undefined, newConnections: undefined } as object;
  assert.deepEqual([settings.tablePolicy, settings.defaultZonePolicy], [{}, {}]);
});

const NO_RULES: readonly (readonly [flows: unknown, message: string])[] = [
  [{}, 'TypeError: flows.text must be a text: undefined'],
  [{ text: 5 }, 'TypeError: flows.text must be a text: 5'],
  [{ text: ['actions=1'] }, 'TypeError: flows.text must be a text: an array'],
  [{ text: 'actions=1', ports: { a: 1 } }, 'TypeError: flows.ports must be an array or a Map: an object'],
  [{ text: 'actions=1', ports: '' }, 'TypeError: flows.ports must be an array or a Map: ""'],
  [{ text: 'actions=1', ports: ['a', 5] }, 'TypeError: a name in flows.ports must be a text: 5'],
  [{ text: 'actions=1', ports: Array(1) }, 'TypeError: a name in flows.ports must be a text: undefined'],
  [
    { text: 'actions=a', ports: new Map([['a', 'x']]) },
    'RangeError: port "a" of flows.ports must be a whole number from 0 to 65279: "x"',
  ],
  [
    { text: 'actions=a', ports: new Map([['a', 65_280]]) },
    'RangeError: port "a" of flows.ports must be a whole number from 0 to 65279: 65280',
  ],
];

test('flow rules are a text, and names of ports are names', async () => {
  const open = (flows: FlowRules) => new LocalEngine({ maxConnections: 10, flows });
  for (const [flows, message] of NO_RULES) refuses(open, flows, message);
  const [flows, message] = NO_RULES[0];
  const opening = Engine.open({ maxConnections: 10, flows: flows as FlowRules });
  await assert.rejects(opening, (error: unknown) => String(error) === message);
  open({ text: 'actions=a', ports: new Map([['a', 65_279]]) });
  open({ text: 'actions=1', ports: undefined } as object as FlowRules);
});
