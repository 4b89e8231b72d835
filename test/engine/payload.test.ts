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
import { path, sent, tcpConversation } from '../conformance/conversations.js';
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

  /** @param room bytes behind the frame that are its own */
  judge(frame: Uint8Array, { room = 64, isNew = false, timeMs = 0 } = {}): Judged {
    const batch = new PacketBatch(1, frame.length + room + 32);
    batch.bytes.fill(GUARD);
    batch.add(frame, timeMs, { action: isNew ? this.#commit : this.#lookup });
    batch.packets[PACKET.FRAME_ROOM] = room;
    this.engine.execute(batch);
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
