/** Every golden capture, in the calling thread: states and table are those that Open vSwitch 4.0 gave. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dumpConnections } from '../../src/control/dump.js';
import { formatConnection } from '../../src/control/format.js';
import { LocalEngine } from '../../src/engine/local.js';
import { captureNames, capturePackets, captureText } from '../support/captures.js';
import { batchesOf, judgeLocally, note, stateLine } from './verdicts.js';

/** OVS sorted its own lines by bytes; so does the default sort, all being ASCII. */
function text(lines: readonly string[]): string {
  return lines.map(line => `${line}\n`).join('');
}

describe('golden captures', () => {
  for (const name of captureNames()) {
    const packets = capturePackets(name);
    const endMs = packets[packets.length - 1].timeMs;
    for (const size of [1, 7, 64]) {
      test(`${name}, batches of ${size}`, () => {
        const engine = new LocalEngine({ maxConnections: 10_000 });
        engine.defineAction({});
        const states: string[] = [];
        for (const batch of batchesOf(packets, size)) {
          engine.execute(batch);
          note(states, batch, engine.released, stateLine);
        }
        assert.equal(text(states), captureText(`${name}.states`));
        const lines = (more: boolean) =>
          Array.from(dumpConnections(engine.tracker, endMs), entry =>
            formatConnection(entry, { more, statisticsAtMs: endMs }),
          ).sort();
        assert.equal(text(lines(false)), captureText(`${name}.dump`));
        assert.equal(text(lines(true)), captureText(`${name}.dump-m`));
        const { events } = engine.counters();
        assert.equal(events.packets, packets.length);
        assert.equal(engine.connectionCount, events.created - events.expired - events.replaced);
      });
    }
    test(`${name}: the slow path alone gives every verdict and the table of the fast path`, () => {
      // An action that sets no bit of the mark changes nothing, but judgePlain() leaves it alone.
      const slow = judgeLocally(packets, { action: { mark: { value: 0, mask: 0 } } });
      assert.deepEqual(judgeLocally(packets), slow);
    });
    test(`${name}: swept all the time, the same`, () => {
      const engine = new LocalEngine({ maxConnections: 10_000 });
      engine.defineAction({});
      const states: string[] = [];
      for (const batch of batchesOf(packets, 1)) {
        engine.execute(batch);
        engine.sweep(batch.times[2]);
        note(states, batch, engine.released, stateLine);
      }
      assert.equal(text(states), captureText(`${name}.states`));
      assert.equal(engine.connectionCount, captureText(`${name}.dump`).split('\n').length - 1);
    });
  }
});
