/**
 * A packet that comes again in the zone and is not judged twice keeps the reason for which it is invalid: no verdict is
 * without its reason. That such a packet stays `inv` is what Open vSwitch says; the reasons are this project's own.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCtState, LocalEngine, PACKET, PacketBatch, REASON_COUNT, reasonName } from '../../src/index.js';
import { clientSegment, path, serverSegment, tcpOpening } from '../conformance/conversations.js';
import { Dialogue } from '../conformance/dialogue.js';

const TCP = path('10.1.0.2:40000>10.2.0.2:80', '10.2.0.2:80>10.1.0.2:40000');
const FTP = path('10.1.0.2:40000>10.2.0.2:21', '10.2.0.2:21>10.1.0.2:40000');
const OUTSIDE = clientSegment(TCP, { flags: 'PA', at: 0x4000_0000, seen: 1, payload: 'far' });

class Judge {
  readonly engine = new LocalEngine({ maxConnections: 10 });
  readonly batch = new PacketBatch(1);

  constructor() {
    this.engine.defineAction({ helper: 'ftp' });
  }

  again(): string {
    this.engine.execute(this.batch);
    return `${formatCtState(this.batch.state(0))} ${reasonName(this.batch.reason(0))}`;
  }

  first(frame: Uint8Array): string {
    this.batch.clear();
    this.batch.add(frame, 0);
    return this.again();
  }
}

for (const [what, before, frame, answer] of [
  ['outside the window', tcpOpening(TCP), OUTSIDE, 'inv|trk tcp-window'],
  ['with flags that nobody uses', tcpOpening(TCP), clientSegment(TCP, { flags: 'SF' }), 'inv|trk tcp-flags'],
  ['without a connection', [], serverSegment(TCP, { flags: 'SA', seen: 1 }), 'inv|trk tcp-syn-ack'],
  ['that no helper can read', tcpOpening(FTP), new Dialogue(FTP).client('PORT 10,1'), 'est|inv|trk alg-malformed'],
] as const) {
  test(`a packet ${what} has the same verdict each time`, () => {
    const judge = new Judge();
    for (const bytes of before) judge.first(bytes);
    assert.deepEqual([judge.first(frame), judge.again(), judge.again()], [answer, answer, answer]);
  });
}

test('a packet that is valid has no reason, whatever its row says', () => {
  const judge = new Judge();
  const [syn] = tcpOpening(TCP);
  assert.equal(judge.first(syn), 'new|trk none');
  judge.batch.packets[PACKET.REASON] = 1;
  assert.equal(judge.again(), 'new|trk none');
});

test('a reason that there is not is none', () => {
  const judge = new Judge();
  for (const bytes of tcpOpening(TCP)) judge.first(bytes);
  for (const word of [-1, REASON_COUNT, -0x8000_0000, 0x7fff_ffff]) {
    judge.first(OUTSIDE);
    judge.batch.packets[PACKET.REASON] = word;
    assert.equal(judge.again(), 'inv|trk none', `${word}`);
  }
});
