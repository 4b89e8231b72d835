/**
 * Payloads of FTP control connections rewritten under NAT: longer, shorter, sent again, cut through, and without room.
 *
 * The texts are those of RFC 959; sequence numbers are right when the segments of both directions fit together again
 * (RFC 9293), which the tracker and a count of the bytes both check.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  dumpConnections,
  dumpExpectations,
  formatConnection,
  formatCtState,
  formatExpectation,
  jsonExpectation,
  LocalEngine,
  PACKET,
  PacketBatch,
  reasonName,
} from '../../src/index.js';
import { clientSegment, path, sent, serverSegment, tcpConversation } from '../conformance/conversations.js';
import { Dialogue } from '../conformance/dialogue.js';
import { tcp } from '../support/frames.js';
import { reasonOf } from '../wire/parsed.js';

const LONG = '100.101.102.103';
const CONTROL = path('10.1.0.2:40000>10.2.0.2:21', `10.2.0.2:21>${LONG}:40000`);
const GROWS = LONG.length - '10.1.0.2'.length;
const GUARD = 0xa5;

interface Judged {
  readonly state: string;
  readonly reason: string;
  readonly frame: Buffer;
  readonly payload: string;
  readonly seq: number;
  readonly ack: number;
}

class Gateway {
  readonly engine: LocalEngine;
  readonly #lookup: number;
  readonly #commit: number;

  constructor(options: ConstructorParameters<typeof LocalEngine>[0] = {}) {
    this.engine = new LocalEngine({ maxConnections: 100, ...options });
    const nat = { kind: 'src', minAddress: LONG } as const;
    this.#commit = this.engine.defineAction({ helper: 'ftp', nat, mark: { value: 5 } });
    this.#lookup = this.engine.defineAction({ nat: { kind: 'restore' } });
  }

  /**
   * @param room bytes behind the frame that are its own
   * @param times of the action, one after the other on the same packet
   */
  judge(frame: Uint8Array, { room = 64, isNew = false, timeMs = 0, times = 1 } = {}): Judged {
    const batch = new PacketBatch(1, frame.length + room + 32);
    batch.bytes.fill(GUARD);
    batch.add(frame, timeMs, { action: isNew ? this.#commit : this.#lookup });
    batch.packets[PACKET.FRAME_ROOM] = room;
    for (let time = 0; time < times; time++) this.engine.execute(batch);
    const length = batch.packets[PACKET.FRAME_LENGTH];
    assert.equal(batch.packets[PACKET.FRAME_ROOM], room + frame.length - length, 'room and length add up');
    const behind = batch.bytes.subarray(frame.length + room);
    assert.ok(
      behind.every(byte => byte === GUARD),
      'bytes behind the room were written',
    );
    const left = Buffer.from(batch.bytes.subarray(0, length));
    const l4 = 14 + (left[14] & 15) * 4;
    return {
      state: formatCtState(batch.state(0)),
      reason: reasonName(batch.reason(0)),
      frame: left,
      payload: left.subarray(l4 + (left[l4 + 12] >>> 4) * 4, 14 + left.readUInt16BE(16)).toString('latin1'),
      seq: left.readUInt32BE(l4 + 4),
      ack: left.readUInt32BE(l4 + 8),
    };
  }

  open(control = CONTROL): Dialogue {
    const ftp = new Dialogue(control);
    const [syn, ...rest] = ftp.opening();
    assert.equal(this.judge(syn, { isNew: true }).state, 'new|trk|snat');
    for (const frame of rest) this.judge(frame);
    return ftp;
  }

  get expectations(): string[] {
    return [...dumpExpectations(this.engine.tracker, 0)].map(formatExpectation);
  }
}

const PORT = 'PORT 10,1,0,2,195,80\r\n';
const REWRITTEN = 'PORT 100,101,102,103,195,80\r\n';

test('a longer address makes the packet longer, and both directions fit together afterwards', () => {
  const gateway = new Gateway();
  const ftp = gateway.open();
  const port = gateway.judge(ftp.client(PORT, GROWS));
  assert.equal(port.payload, REWRITTEN);
  assert.equal(reasonOf(port.frame), 'none', 'lengths and checksums are right');
  const answer = gateway.judge(ftp.server('200 ok\r\n'));
  assert.equal(answer.state, 'est|rpl|trk|dnat');
  assert.equal(answer.ack, (port.seq + PORT.length) >>> 0, 'the client is told of the bytes that it sent');
  const list = gateway.judge(ftp.client('LIST\r\n'));
  assert.equal(list.seq, (port.seq + REWRITTEN.length) >>> 0, 'the server finds no gap');
  const again = gateway.judge(ftp.client(PORT, GROWS));
  assert.equal(again.payload, REWRITTEN);
  assert.equal(again.seq, (list.seq + 6) >>> 0);
  assert.equal(gateway.judge(ftp.server('200 ok\r\n')).ack, (again.seq - GROWS + PORT.length) >>> 0);
  for (const frame of ftp.closing()) assert.equal(gateway.judge(frame).reason, 'none');
  assert.deepEqual(gateway.engine.counters().events.edits, 2);
});

test('what is padded keeps its padding', () => {
  const gateway = new Gateway();
  const ftp = gateway.open();
  const padded = Buffer.concat([ftp.client(PORT, GROWS), Buffer.from('pad')]);
  const { frame, payload } = gateway.judge(padded);
  assert.equal(payload, REWRITTEN);
  assert.equal(frame.subarray(-3).toString(), 'pad');
  assert.equal(reasonOf(frame), 'none');
});

test('a command that is sent again is rewritten again, and counts once', () => {
  const gateway = new Gateway();
  const ftp = gateway.open();
  const frame = ftp.client(PORT, GROWS);
  const first = gateway.judge(frame);
  for (let times = 0; times < 3; times++) assert.deepEqual(gateway.judge(frame), first);
  const next = gateway.judge(ftp.client('LIST\r\n'));
  assert.equal(next.seq, (first.seq + REWRITTEN.length) >>> 0);
  assert.deepEqual(gateway.judge(frame), first, 'after what follows, too');
  assert.equal(gateway.engine.counters().events.edits, 1);
  assert.equal(gateway.expectations.length, 1);
});

/** A segment of the client that begins `at` bytes behind its first one, which the server has acknowledged nothing of. */
function segment(at: number, payload: string): Uint8Array {
  const { src, dst, sport, dport } = CONTROL.out;
  return sent(
    { src, dst },
    tcp({ sport, dport, flags: 'PA', seq: (0xffff_fff1 + at) >>> 0, ack: 0x7fff_fff1, payload }),
  );
}

test('sent again together with other bytes, it is still rewritten as a whole', () => {
  const gateway = new Gateway();
  gateway.open();
  const type = 'TYPE I\r\n';
  const all = `${type}${PORT}LIST\r\n`;
  gateway.judge(segment(0, type));
  gateway.judge(segment(type.length, PORT));
  gateway.judge(segment(type.length + PORT.length, 'LIST\r\n'));
  const { payload, frame, reason } = gateway.judge(segment(0, all));
  assert.deepEqual([payload, reason], [all.replace(PORT, REWRITTEN), 'none']);
  assert.equal(reasonOf(frame), 'none');
});

test('a segment that cuts through what was rewritten, or says something else there, is invalid and stays as it is', () => {
  const gateway = new Gateway();
  gateway.open();
  gateway.judge(segment(0, PORT));
  for (const [at, payload] of [
    [0, PORT.slice(0, 9)],
    [7, PORT.slice(7)],
    [12, PORT.slice(12)],
    [0, PORT.replace('1,0,2', '1,0,3')],
    [0, PORT.toLowerCase().replace('10,1,0,2', '10,1,02,')],
  ] as const) {
    const judged = gateway.judge(segment(at, payload));
    assert.deepEqual([judged.state, judged.reason, judged.payload], ['est|inv|trk|snat', 'alg-partial', payload]);
  }
  assert.equal(gateway.judge(segment(0, PORT.slice(0, 5))).payload, 'PORT ', 'what ends before it passes');
  assert.equal(gateway.judge(segment(13, PORT.slice(13))).payload, PORT.slice(13), 'what begins behind it passes');
});

/** OVS `process_ftp_ctl_v4()` takes the address of its sender, by either side's name for it, and no other. */
test('somebody else’s address is invalid, stays as it is, and announces nothing', () => {
  for (const [text, isClient] of [
    ['PORT 10,1,0,3,195,80\r\n', true],
    ['PORT 10,2,0,2,195,80\r\n', true],
    ['EPRT |1|10.1.0.3|50000|\r\n', true],
    ['227 Entering Passive Mode (10,2,0,3,156,64).\r\n', false],
    ['227 Entering Passive Mode (10,1,0,2,156,64).\r\n', false],
  ] as const) {
    const gateway = new Gateway();
    const ftp = gateway.open();
    const { state, reason, payload } = gateway.judge(isClient ? ftp.client(text) : ftp.server(text));
    const invalid = isClient ? 'est|inv|trk|snat' : 'est|rpl|inv|trk|dnat';
    assert.deepEqual([state, reason, payload], [invalid, 'alg-malformed', text]);
    assert.deepEqual(gateway.expectations, []);
  }
});

test('what is out of the window announces nothing, from either side: README', () => {
  const passive = '227 Entering Passive Mode (10,2,0,2,156,64).\r\n';
  for (const [segment, payload, state] of [
    [clientSegment, PORT, 'inv|trk|snat'],
    [serverSegment, passive, 'inv|trk|dnat'],
  ] as const) {
    for (const [far, answer, announced] of [
      [0, 'none', 1],
      [1_000_000, 'tcp-window', 0],
    ] as const) {
      const gateway = new Gateway();
      gateway.open();
      const judged = gateway.judge(segment(CONTROL, { flags: 'PA', at: 1 + far, seen: 1, payload }));
      assert.equal(judged.reason, answer);
      if (far > 0) assert.deepEqual([judged.state, judged.payload], [state, payload]);
      assert.equal(gateway.expectations.length, announced);
    }
  }
});

test('a packet that passes two ct(nat) of one zone is judged once: README', () => {
  const gateway = new Gateway();
  const ftp = gateway.open();
  // Rewritten, its numbers reach beyond the bytes that are looked at: who read it again would not understand it.
  const far = (text: string) => text.replace(' ', ' '.repeat(105));
  const { state, reason, payload, frame } = gateway.judge(ftp.client(far(PORT), GROWS), { times: 2 });
  assert.deepEqual([state, reason, payload], ['est|trk|snat', 'none', far(REWRITTEN)]);
  assert.equal(reasonOf(frame), 'none');
  assert.equal(gateway.expectations.length, 1);
  assert.equal(gateway.engine.counters().events.edits, 1);
});

test('a command that comes in several segments is not rewritten', () => {
  for (let cut = 5; cut < PORT.length - 1; cut++) {
    const gateway = new Gateway();
    gateway.open();
    const first = gateway.judge(segment(0, PORT.slice(0, cut)));
    const second = gateway.judge(segment(cut, PORT.slice(cut)));
    assert.deepEqual([first.state, first.reason], ['est|inv|trk|snat', 'alg-malformed'], `cut at ${cut}`);
    assert.equal(first.payload + second.payload, PORT);
    assert.deepEqual(gateway.expectations, []);
  }
});

test('without room behind the frame it stays as it is, byte by byte of room', () => {
  for (let room = 0; room <= GROWS; room++) {
    const gateway = new Gateway();
    const ftp = gateway.open();
    const frame = ftp.client(PORT, GROWS);
    const { state, reason, payload } = gateway.judge(frame, { room });
    if (room < GROWS) assert.deepEqual([state, reason, payload], ['est|inv|trk|snat', 'alg-room', PORT]);
    else assert.deepEqual([state, reason, payload], ['est|trk|snat', 'none', REWRITTEN]);
    assert.equal(gateway.expectations.length, room < GROWS ? 0 : 1);
    if (room < GROWS)
      assert.equal(gateway.judge(ftp.client('x')).seq, (0xffff_fff1 + PORT.length) >>> 0, 'nothing moved');
  }
});

test('without memory for what was rewritten it stays as it is', () => {
  const gateway = new Gateway({ maxIpv6Connections: 0 });
  const ftp = gateway.open();
  const { state, reason, payload } = gateway.judge(ftp.client(PORT, GROWS));
  assert.deepEqual([state, reason, payload], ['est|inv|trk|snat', 'alg-memory', PORT]);
});

/** Bytes of a SACK option (RFC 2018) with one block, and two of nothing in front. */
function sack(left: number, right: number): number[] {
  const option = Buffer.from([1, 1, 5, 10, 0, 0, 0, 0, 0, 0, 0, 0]);
  option.writeUInt32BE(left >>> 0, 4);
  option.writeUInt32BE(right >>> 0, 8);
  return [...option];
}

test('SACK blocks are turned back with the acknowledgement', () => {
  const gateway = new Gateway();
  const ftp = gateway.open();
  const port = gateway.judge(ftp.client(PORT, GROWS));
  const list = gateway.judge(ftp.client('LIST\r\n'));
  const { src, dst, sport, dport } = CONTROL.back;
  const options = sack(list.seq, list.seq + 6);
  const answer = gateway.judge(
    sent({ src, dst }, tcp({ sport, dport, flags: 'A', seq: 0x7fff_fff1, ack: port.seq, options })),
  );
  assert.equal(answer.ack, port.seq);
  assert.equal(reasonOf(answer.frame), 'none');
  const at = 14 + 20 + 20 + 4;
  assert.equal(answer.frame.readUInt32BE(at), (list.seq - GROWS) >>> 0);
  assert.equal(answer.frame.readUInt32BE(at + 4), (list.seq - GROWS + 6) >>> 0);
});

test('the data connection is related, has mark and parent, and the address that it was announced with', () => {
  const gateway = new Gateway();
  const ftp = gateway.open();
  gateway.judge(ftp.client(PORT, GROWS));
  assert.deepEqual(gateway.expectations, [
    `tcp,orig=(src=10.2.0.2,dst=${LONG},sport=0,dport=50000),mark=5,parent=(src=10.1.0.2,dst=10.2.0.2,sport=40000,dport=21)`,
  ]);
  const [expectation] = dumpExpectations(gateway.engine.tracker, 0);
  assert.deepEqual(JSON.parse(JSON.stringify(jsonExpectation(expectation))).parent, {
    src: '10.1.0.2',
    dst: '10.2.0.2',
    srcPort: 40000,
    dstPort: 21,
  });
  assert.deepEqual([...dumpExpectations(gateway.engine.tracker, 0, { zone: 1 })], []);
  const data = path(`10.2.0.2:20>${LONG}:50000`, '10.1.0.2:50000>10.2.0.2:20');
  const states = tcpConversation(data).map(frame => gateway.judge(frame).state);
  assert.deepEqual(states.slice(0, 3), ['new|rel|trk|dnat', 'est|rel|rpl|trk|snat', 'est|rel|trk|dnat']);
  const lines = [...dumpConnections(gateway.engine.tracker, 0)].map(entry => formatConnection(entry, { more: true }));
  assert.ok(lines.some(line => line.includes(',helper=ftp')));
  assert.ok(lines.some(line => line.endsWith(',parent=(src=10.1.0.2,dst=10.2.0.2,sport=40000,dport=21)')));
});

/** OVS `set_mark()` and `set_label()`: on a connection that was announced they leave what it has from its parent. */
test('the data connection keeps mark and label of its parent, whatever an action sets', () => {
  const control = path('10.1.0.2:40000>10.2.0.2:21', '10.2.0.2:21>10.1.0.2:40000');
  const data = path('10.2.0.2:20>10.1.0.2:50000', '10.1.0.2:50000>10.2.0.2:20');
  const engine = new LocalEngine({ maxConnections: 100 });
  const parent = engine.defineAction({ helper: 'ftp', mark: { value: 5 }, label: { value: 6n } });
  const other = engine.defineAction({ mark: { value: 9 }, label: { value: 10n } });
  const judge = (frames: readonly Uint8Array[], action: number) => {
    const batch = new PacketBatch(frames.length);
    for (const frame of frames) batch.add(frame, 0, { action });
    engine.execute(batch);
    return frames.map((_, index) => `${formatCtState(batch.state(index))} ${batch.mark(index)} ${batch.label(index)}`);
  };
  const ftp = new Dialogue(control);
  judge([...ftp.opening(), ftp.client(PORT)], parent);
  const answers = judge(tcpConversation(data), other);
  assert.deepEqual(answers.slice(0, 3), ['new|rel|trk 5 6', 'est|rel|rpl|trk 5 6', 'est|rel|trk 5 6']);
  assert.ok(answers.every(answer => answer.endsWith(' 5 6')));
  const marks = [...dumpConnections(engine.tracker, 0)].map(({ mark, label }) => [mark, label]);
  assert.deepEqual(marks, [
    [5, 6n],
    [5, 6n],
  ]);
  // On the control connection it does set them.
  assert.deepEqual(judge([ftp.client('LIST\r\n')], other), ['est|trk 9 10']);
});
