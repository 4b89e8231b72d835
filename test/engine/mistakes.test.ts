/**
 * Mistakes that a compiler would find, as a program in plain JavaScript makes them: one line that names what is wrong and
 * shows it, and nothing has changed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LocalEngine, PACKET, PACKET_WORDS, PacketBatch } from '../../src/index.js';
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
