/** The helper of an action: by name in the API and in rules, by number in the words of an action. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type HelperName, NO_HELPER } from '../../src/alg/helpers.js';
import { ACTION, ACTION_WORDS, writeAction } from '../../src/engine/action.js';
import { dumpConnections, formatConnection, LocalEngine, PacketBatch } from '../../src/index.js';
import { clientSegment, datagram, path, serverSegment, tcpClosing, tcpOpening } from '../conformance/conversations.js';

function helperWord(helper?: HelperName): number {
  const words = new Int32Array(ACTION_WORDS);
  writeAction(words, 0, helper === undefined ? {} : { helper });
  return words[ACTION.HELPER];
}

test('an action names its helper by number', () => {
  assert.deepEqual([helperWord(), helperWord('ftp'), helperWord('tftp')], [NO_HELPER, 1, 2]);
});

test('an unknown helper is refused, and nothing is written', () => {
  const words = new Int32Array(ACTION_WORDS).fill(7);
  const bad = { zone: 1, helper: 'irc' as HelperName };
  assert.throws(() => writeAction(words, 0, bad), /^RangeError: helper must be ftp or tftp: "irc"$/);
  assert.ok(words.every(word => word === 7));
});

test('alg= of a rule is the helper of its action', () => {
  const text = [
    'ip,actions=ct(commit)',
    'tcp,actions=ct(commit,alg=ftp)',
    'udp6,actions=ct(commit,zone=3,alg=tftp)',
  ].join('\n');
  const { memory } = new LocalEngine({ maxConnections: 64, flows: { text } });
  const helpers = [0, 1, 2].map(number => memory.actions[number * ACTION_WORDS + ACTION.HELPER]);
  assert.deepEqual(helpers, [NO_HELPER, 1, 2]);
});

/** Packets, and the helper of their action. */
type Sent = readonly [frames: readonly Uint8Array[], helper?: HelperName];

/** Lines of the table after packets. */
function dumped(...packets: readonly Sent[]): string[] {
  const engine = new LocalEngine({ maxConnections: 10 });
  for (const [frames, helper] of packets) {
    const action = engine.defineAction(helper === undefined ? {} : { helper });
    const batch = new PacketBatch(frames.length);
    for (const frame of frames) batch.add(frame, 0, { action });
    engine.execute(batch);
  }
  return [...dumpConnections(engine.tracker, 0)].map(entry => formatConnection(entry));
}

const CONTROL = path('10.1.0.2:40000>10.2.0.2:21', '10.2.0.2:21>10.1.0.2:40000');

/** OVS `process_one()`: without a helper of the action the one of the connection that was found counts. */
test('the connection that takes the place of an ended one has its helper, unless the action names one', () => {
  const session = [...tcpOpening(CONTROL), ...tcpClosing(CONTROL)];
  const again = [
    clientSegment(CONTROL, { flags: 'S', at: 1_000_000 }),
    serverSegment(CONTROL, { flags: 'SA', at: 1_000_000, seen: 1_000_001 }),
  ];
  const isHelped = (...packets: readonly Sent[]) => {
    const lines = dumped(...packets);
    assert.equal(lines.length, 1);
    assert.match(lines[0], /protoinfo=\(state=ESTABLISHED\)/);
    return /,helper=ftp$/.test(lines[0]);
  };
  assert.ok(isHelped([session, 'ftp'], [again]));
  assert.ok(isHelped([session], [again, 'ftp']));
  assert.ok(!isHelped([session], [again]));
});

/** OVS takes no rule with alg=ftp that is not about TCP, nor one with alg=tftp that is not about UDP (`check_CT()`). */
test('a connection of another protocol than its helper has none', () => {
  for (const [helper, protocol] of [
    ['ftp', 'tcp'],
    ['tftp', 'udp'],
  ] as const) {
    const lines = dumped([[datagram(CONTROL.out), ...tcpOpening(CONTROL)], helper]);
    assert.equal(lines.length, 2);
    for (const line of lines) {
      assert.equal(/,helper=(.*)$/.exec(line)?.[1], line.startsWith(protocol) ? helper : undefined, line);
    }
  }
});
