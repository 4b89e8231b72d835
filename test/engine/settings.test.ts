/**
 * Settings that change while packets flow. What limits do is what Open vSwitch 3.1.0 and 4.0.90 answered to
 * `dpctl/ct-set-limits`: a limit of a zone is exact, 0 lets nothing in, a default of 0 is none, and a refused packet is
 * `new|trk`. Timeouts in seconds by the keys of OVS's CT_Timeout_Policy.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type CtAction,
  Engine,
  formatCtState,
  LocalEngine,
  PacketBatch,
  parseTimeouts,
  reasonName,
} from '../../src/index.js';
import { frame, icmp, icmpv6, ipv4, ipv6, raw, sctp, tcp, udp } from '../support/frames.js';

function flowOf(number: number): Uint8Array {
  return frame(ipv4({ src: `10.0.${number >> 8}.${number & 0xff}` }, udp({ sport: 1000 + (number >> 16) })));
}

/** Sends one packet of each of `count` flows. @returns how many were new with the reason */
function send(engine: LocalEngine, action: number, count: number, timeMs = 0): Map<string, number> {
  const batch = new PacketBatch(count);
  for (let number = 0; number < count; number++) batch.add(flowOf(number), timeMs, { action });
  engine.execute(batch);
  const seen = new Map<string, number>();
  for (let index = 0; index < count; index++) {
    const text = `${formatCtState(batch.state(index))} ${reasonName(batch.reason(index))}`;
    seen.set(text, (seen.get(text) ?? 0) + 1);
  }
  return seen;
}

function engineWith(action: CtAction): { engine: LocalEngine; action: number } {
  const engine = new LocalEngine({ maxConnections: 1000 });
  return { engine, action: engine.defineAction(action) };
}

test('a zone is filled to its limit and no further', () => {
  const { engine, action } = engineWith({ zone: 5 });
  engine.settings.setZoneLimit(5, 3);
  assert.deepEqual(
    send(engine, action, 10),
    new Map([
      ['new|trk none', 3],
      ['new|trk zone-full', 7],
    ]),
  );
  assert.deepEqual(engine.settings.zoneLimit(5), { limit: 3, count: 3 });
  engine.settings.setZoneLimit(5, 4);
  assert.deepEqual(
    send(engine, action, 10),
    new Map([
      ['new|trk none', 4],
      ['new|trk zone-full', 6],
    ]),
  );
});

test('a limit of 0 lets nothing in, a default of 0 is none, a limit of its own counts before the default', () => {
  const { engine, action } = engineWith({ zone: 7 });
  engine.settings.setZoneLimit(7, 0);
  assert.deepEqual(send(engine, action, 4), new Map([['new|trk zone-full', 4]]));
  engine.settings.setZoneLimit(7, undefined);
  engine.settings.defaultZoneLimit = 2;
  assert.deepEqual(
    send(engine, action, 4),
    new Map([
      ['new|trk none', 2],
      ['new|trk zone-full', 2],
    ]),
  );
  engine.settings.setZoneLimit(7, 3);
  assert.deepEqual(
    send(engine, action, 4),
    new Map([
      ['new|trk none', 3],
      ['new|trk zone-full', 1],
    ]),
  );
  engine.settings.setZoneLimit(7, undefined);
  engine.settings.defaultZoneLimit = 0;
  assert.deepEqual(send(engine, action, 4), new Map([['new|trk none', 4]]));
});

test('what ends leaves its zone', () => {
  const { engine, action } = engineWith({ zone: 5 });
  send(engine, action, 10);
  assert.equal(engine.settings.zoneLimit(5).count, 10);
  engine.sweep(60_000);
  assert.equal(engine.settings.zoneLimit(5).count, 0);
});

test('four shards that commit at the limit of a zone end with exactly that many', async () => {
  const engine = await Engine.open({ shards: 4, maxConnections: 10_000, clock: 'packets' });
  try {
    const action = engine.defineAction({ zone: 9 });
    engine.settings.setZoneLimit(9, 777);
    const batch = new PacketBatch(4000);
    for (let number = 0; number < 4000; number++) batch.add(flowOf(number), 0, { action });
    await engine.execute(batch);
    assert.deepEqual(engine.settings.zoneLimit(9), { limit: 777, count: 777 });
    assert.equal(engine.connectionCount, 777);
    assert.equal(engine.counters().reasons['zone-full'], 4000 - 777);
  } finally {
    await engine.close();
  }
});

test('connections follow their timeout policy, and the defaults once it is deleted', () => {
  const { engine, action } = engineWith({ timeoutPolicy: 3 });
  engine.settings.setTimeoutPolicy(3, parseTimeouts('udp_first=3, udp_single=5'));
  send(engine, action, 1, 0);
  engine.sweep(2_999);
  assert.equal(engine.connectionCount, 1);
  engine.sweep(3_000);
  assert.equal(engine.connectionCount, 0);
  send(engine, action, 1, 10_000);
  send(engine, action, 1, 11_000);
  engine.sweep(15_999);
  assert.equal(engine.connectionCount, 1);
  engine.settings.deleteTimeoutPolicy(3);
  send(engine, action, 1, 15_999);
  engine.sweep(75_998);
  assert.equal(engine.connectionCount, 1, 'the default of udp_single is 60 s');
  engine.sweep(75_999);
  assert.equal(engine.connectionCount, 0);
});

test('a zone has a timeout policy for the connections whose action names none; they keep it', () => {
  const { engine, action } = engineWith({ zone: 6 });
  const named = engine.defineAction({ zone: 6, timeoutPolicy: 3 });
  engine.settings.setTimeoutPolicy(2, { udp_first: 2000 });
  engine.settings.setTimeoutPolicy(3, { udp_first: 3000 });
  engine.settings.setZoneTimeoutPolicy(6, 2);
  assert.deepEqual([engine.settings.zoneTimeoutPolicy(6), engine.settings.zoneTimeoutPolicy(7)], [2, 0]);
  send(engine, action, 1);
  engine.settings.setZoneTimeoutPolicy(6, 0);
  engine.sweep(1_999);
  assert.equal(engine.connectionCount, 1);
  engine.sweep(2_000);
  assert.equal(engine.connectionCount, 0);
  send(engine, action, 1, 10_000);
  engine.sweep(69_999);
  assert.equal(engine.connectionCount, 1, 'the zone has no policy any more: 60 s');
  engine.sweep(70_000);
  engine.settings.setZoneTimeoutPolicy(6, 2);
  send(engine, named, 1, 100_000);
  engine.sweep(102_999);
  assert.equal(engine.connectionCount, 1, 'the policy of the action counts');
  engine.sweep(103_000);
  assert.equal(engine.connectionCount, 0);
});

/** OVS `ct_dpif_timeout_policy_support_ipproto()`; a minute is OVS's default for a first packet, of TCP half of it. */
for (const [protocol, packet, endsMs, defaultMs] of [
  ['TCP', ipv4({}, tcp()), 2000, 30_000],
  ['UDP', ipv4({}, udp()), 3000, 60_000],
  ['ICMP', ipv4({}, icmp()), 4000, 60_000],
  ['TCP over IPv6', ipv6({}, tcp()), 2000, 30_000],
  ['UDP over IPv6', ipv6({}, udp()), 3000, 60_000],
  ['ICMPv6', ipv6({}, icmpv6()), 4000, 60_000],
  ['SCTP', ipv4({}, sctp()), 60_000, 60_000],
  ['SCTP over IPv6', ipv6({}, sctp()), 60_000, 60_000],
  ['GRE', ipv4({}, raw(47, [0, 0, 8, 0])), 60_000, 60_000],
] as const) {
  test(`the timeout policy of a zone ${endsMs < defaultMs ? 'counts' : 'does not count'} for ${protocol}`, () => {
    // An action that sets no bit of the mark keeps packets off the fast path.
    for (const [policy, lastsMs, more] of [
      [2, endsMs, {}],
      [2, endsMs, { mark: { value: 0, mask: 0 } }],
      [0, defaultMs, {}],
    ] as const) {
      const { engine, action } = engineWith({ zone: 6, ...more });
      engine.settings.setTimeoutPolicy(2, { tcp_syn_sent: 2000, udp_first: 3000, icmp_first: 4000 });
      engine.settings.setZoneTimeoutPolicy(6, policy);
      const batch = new PacketBatch(1);
      batch.add(frame(packet), 0, { action });
      engine.execute(batch);
      engine.sweep(lastsMs - 1);
      assert.equal(engine.connectionCount, 1);
      engine.sweep(lastsMs);
      assert.equal(engine.connectionCount, 0);
    }
  });
}

test('what is out of range is refused by name and changes nothing', () => {
  const { engine } = engineWith({});
  const { settings } = engine;
  assert.throws(() => settings.setZoneLimit(65_536, 1), /zone must be .* 65536/);
  assert.throws(() => settings.setZoneLimit(1, -1), /limit must be .* -1/);
  assert.throws(() => settings.setTimeoutPolicy(256, {}), /256/);
  assert.throws(() => settings.setTimeoutPolicy(0, { udp_first: 0.5 }), /udp_first in milliseconds .* 0.5/);
  assert.throws(() => settings.setZoneTimeoutPolicy(65_536, 1), /zone must be .* 65536/);
  assert.throws(() => settings.setZoneTimeoutPolicy(1, 256), /policy must be .* 256/);
  assert.equal(settings.zoneTimeoutPolicy(1), 0);
  for (const key of ['udp_last', 'constructor', '__proto__']) {
    assert.throws(() => parseTimeouts(`${key}=3`), { message: `not a timeout: ${key}=3` });
    const policy = Object.fromEntries([[key, 3000]]);
    assert.throws(() => settings.setTimeoutPolicy(1, policy), { message: `no such timeout: ${key}` });
  }
  assert.throws(() => parseTimeouts('udp_first=4294967296'), /udp_first=4294967296/);
  assert.throws(() => parseTimeouts('udp_first=3s'), /udp_first=3s/);
  for (const [timeouts, shown] of [
    [undefined, 'undefined'],
    [5, '5'],
    [['udp_first'], 'an array'],
  ] as const) {
    const message = (name: string, what: string) => ({
      name: 'TypeError',
      message: `${name} must be ${what}: ${shown}`,
    });
    const policy = timeouts as unknown as { udp_first: number };
    assert.throws(() => settings.setTimeoutPolicy(1, policy), message('timeoutsMs', 'a plain object'));
    assert.throws(() => parseTimeouts(timeouts as unknown as string), message('timeouts', 'a text'));
  }
  assert.throws(() => settings.setTimeoutPolicy('1' as unknown as number, {}), /policy must be .* "1"/);
  assert.throws(() => {
    settings.maxConnections = 1001;
  }, /maxConnections .* 1001/);
  assert.throws(() => engine.defineAction({ timeoutPolicy: 256 }), /timeoutPolicy .* 256/);
  assert.equal(settings.maxConnections, 1000);
});

test('the maximum of connections can be lowered and raised again', () => {
  const { engine, action } = engineWith({});
  engine.settings.maxConnections = 2;
  assert.deepEqual(
    send(engine, action, 5),
    new Map([
      ['new|trk none', 2],
      ['new|trk table-full', 3],
    ]),
  );
  engine.settings.maxConnections = 1000;
  assert.deepEqual(send(engine, action, 5), new Map([['new|trk none', 5]]));
});
