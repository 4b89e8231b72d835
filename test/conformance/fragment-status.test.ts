/** Settings and status of reassembly against those of a live Open vSwitch: `dpctl/ipf-get-status -m` after the same packets. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatFragmentStatus,
  fragmentStatus,
  heldDatagrams,
  LocalEngine,
  PacketBatch,
  type Settings,
} from '../../src/index.js';
import { cut, fragment } from '../support/fragments.js';
import { icmp, ipv4, ipv6, udp } from '../support/frames.js';
import { isOvsAvailable, Ovs } from '../support/ovs.js';

const LARGE = new Uint8Array(4000);
const FOUR = ipv4({ src: '10.1.0.2', dst: '10.2.0.2' }, udp({ sport: 4000, dport: 53, payload: LARGE }));
const SIX = ipv6({ src: 'fd00:1::2', dst: 'fd00:2::2' }, udp({ sport: 4000, dport: 53, payload: LARGE }));
const PING = ipv4({ src: '10.1.0.2', dst: '10.2.0.2' }, icmp({ type: 8, id: 1, payload: LARGE }));

interface Moment {
  readonly atMs: number;
  readonly frames: readonly Uint8Array[];
  /** A command of dpctl, and the same for the engine. */
  readonly command?: readonly [string, ...string[]];
  readonly set?: (settings: Settings) => void;
}

const MOMENTS: readonly Moment[] = [
  { atMs: 0, frames: [...cut(FOUR, 1480), ...cut(SIX, 1448), ...cut(PING, 1480).slice(0, 1)] },
  { atMs: 100, frames: [cut(FOUR, 1000)[0], cut(SIX, 1000)[0], ...cut(SIX, 1448, { id: 5 }).slice(1)] },
  { atMs: 200, frames: [fragment(PING, { from: 1472, to: 2000 }), ...cut(FOUR, 1480, { id: 8 }).slice(-1)] },
  { atMs: 300, frames: [cut(FOUR, 2000, { id: 9 })[0], cut(FOUR, 2000, { id: 9 })[2]] },
  {
    atMs: 400,
    frames: cut(FOUR, 800, { id: 10 }).slice(1),
    command: ['dpctl/ipf-set-min-frag', 'v4', '400'],
    set: ({ fragments }) => fragments.setMinSize('ipv4', 400),
  },
  {
    atMs: 500,
    frames: cut(SIX, 1448, { id: 11 }).slice(1),
    command: ['dpctl/ipf-set-disabled', 'v6'],
    set: ({ fragments }) => fragments.setEnabled('ipv6', false),
  },
  {
    atMs: 600,
    frames: [],
    command: ['dpctl/ipf-set-max-nfrags', '5000'],
    set: ({ fragments }) => {
      fragments.max = 5000;
    },
  },
];

/** The order of the lists is that of OVS's hash. */
function sorted(lines: readonly string[]): string[] {
  const text = lines.filter(line => !line.startsWith('('));
  return [...text, ...lines.filter(line => line.startsWith('(')).sort()];
}

const found = isOvsAvailable();

test('ipf-get-status -m says the same', { skip: found.available ? false : found.reason }, async () => {
  const ovs = await Ovs.start();
  const engine = new LocalEngine({ maxConnections: 1000 });
  engine.defineAction({});
  try {
    let nowMs = 0;
    for (const { atMs, frames, command, set } of MOMENTS) {
      if (command !== undefined) await ovs.command(command[0], ...command.slice(1));
      set?.(engine.settings);
      await ovs.warp(atMs - nowMs);
      nowMs = atMs;
      for (const frame of frames) await ovs.inject([{ data: frame }]);
      const batch = new PacketBatch(64, 1 << 18);
      for (const frame of frames) batch.add(frame, atMs);
      engine.execute(batch);
      const expected = (await ovs.command('dpctl/ipf-get-status', '-m')).split('\n');
      assert.deepEqual(
        sorted(formatFragmentStatus(fragmentStatus(engine), heldDatagrams(engine))),
        sorted(expected),
        `${atMs}`,
      );
    }
    await assert.rejects(ovs.command('dpctl/ipf-set-min-frag', 'v4', '399'));
    await assert.rejects(ovs.command('dpctl/ipf-set-max-nfrags', '5001'));
    assert.throws(() => engine.settings.fragments.setMinSize('ipv4', 399), RangeError);
    assert.throws(() => {
      engine.settings.fragments.max = 5001;
    }, RangeError);
  } finally {
    await ovs.stop();
  }
});
