/**
 * The first packet to an announced port has mark, label and original tuple of the connection that announced it, whether
 * it is valid or not. The answers are those of Open vSwitch 4.0.90; what OpenFlow does not tell of an invalid packet, its
 * tuple, is what `write_ct_md()` says.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatIpv4 } from '../../src/control/address.js';
import { formatCtState, LocalEngine, PACKET, PacketBatch, reasonName } from '../../src/index.js';
import { clientSegment, path } from '../conformance/conversations.js';
import { Dialogue } from '../conformance/dialogue.js';

const CONTROL = path('10.1.0.2:40000>10.2.0.2:21', '10.2.0.2:21>10.1.0.2:40000');
const DATA = path('10.2.0.2:20>10.1.0.2:50000', '10.1.0.2:50000>10.2.0.2:20');
const LOOK = 1;

function tupleText(words: Int32Array): string {
  const ports = words[PACKET.TUPLE_PORTS];
  const ends = [words[PACKET.TUPLE_SRC + 3], words[PACKET.TUPLE_DST + 3]].map(formatIpv4);
  return `${words[PACKET.TUPLE_PROTOCOL]} ${ends[0]}:${ports >>> 16}>${ends[1]}:${ports & 0xffff}`;
}

test('valid or not, the first segment of an announced connection has what its parent has', () => {
  const engine = new LocalEngine({ maxConnections: 10 });
  engine.defineAction({ helper: 'ftp', mark: { value: 5 }, label: { value: 9n << 64n } });
  assert.equal(engine.defineAction({ commit: false }), LOOK);
  const batch = new PacketBatch(1);
  const judge = (frame: Uint8Array, action: number) => {
    batch.clear();
    batch.add(frame, 0, { action });
    engine.execute(batch);
  };
  const ftp = new Dialogue(CONTROL);
  for (const frame of [...ftp.opening(), ftp.client('PORT 10,1,0,2,195,80\r\n')]) judge(frame, 0);
  for (const [flags, answer] of [
    ['SA', 'inv|trk tcp-syn-ack'],
    ['F', 'inv|trk tcp-flags'],
    ['', 'inv|trk tcp-flags'],
    ['S', 'new|rel|trk not-committed'],
  ]) {
    judge(clientSegment(DATA, { flags }), LOOK);
    assert.equal(`${formatCtState(batch.state(0))} ${reasonName(batch.reason(0))}`, answer);
    assert.deepEqual([batch.mark(0), batch.label(0)], [5, 9n << 64n], answer);
    assert.equal(tupleText(batch.packets), '6 10.1.0.2:40000>10.2.0.2:21', answer);
  }
});
