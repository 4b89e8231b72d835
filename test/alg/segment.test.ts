/**
 * Changes to a segment, against the frame that a sender would have made: the same addresses and numbers, the other text,
 * every length and checksum right (RFC 791, RFC 8200, RFC 9293). SACK blocks are those of RFC 2018.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addEdit, startEdits } from '../../src/alg/edits.js';
import { canGrow, replaceText, restoreAcknowledgements, sealSegment, shiftSequence } from '../../src/alg/segment.js';
import { ANNEX_WORDS } from '../../src/track/connection.js';
import { FACT, FACT_WORDS } from '../../src/wire/facts.js';
import { parseFrame } from '../../src/wire/parse.js';
import { frame, ipv4, ipv6, type Packet, type Transport, tcp, u32 } from '../support/frames.js';
import { GuardedView } from '../wire/guarded.js';

/** An odd place in the memory, and room behind the frame. */
const START = 7;
const ROOM = 32;
const GUARD = 0xa5;

const FAMILIES: Readonly<Record<string, (transport: Transport) => Packet>> = {
  IPv4: transport => ipv4({ src: '10.1.0.2', dst: '10.2.0.2' }, transport),
  'IPv4 with options': transport => ipv4({ src: '10.1.0.2', dst: '10.2.0.2', options: [1, 1, 1, 0] }, transport),
  IPv6: transport => ipv6({ src: 'fd00:1::2', dst: 'fd00:2::2' }, transport),
};

/** A frame in memory of which nothing outside of it and its room may be touched, and its facts. */
class Segment {
  readonly view: GuardedView;
  readonly facts = new Int32Array(FACT_WORDS);
  readonly l4: number;

  constructor(bytes: Uint8Array, room = 0) {
    this.view = new GuardedView(new ArrayBuffer(START + bytes.length + room + 8));
    this.view.start = START;
    this.view.end = START + bytes.length + room;
    new Uint8Array(this.view.buffer).fill(GUARD).set(bytes, START);
    assert.equal(parseFrame(this.view, START, START + bytes.length, 0, START, this.facts, 0), 0);
    this.l4 = this.facts[FACT.L4];
  }

  bytes(length: number): Buffer {
    return Buffer.from(this.view.buffer, START, length);
  }
}

const PADDING = 'padding';
const TEXTS = [
  ['a longer text', '10,1,0,2', '100,101,102,103'],
  ['a shorter text', '10,1,0,2', '1,1,1,1'],
  ['a text of the same length', '10,1,0,2', '10,1,0,9'],
] as const;

for (const [family, packetOf] of Object.entries(FAMILIES)) {
  for (const [what, before, after] of TEXTS) {
    test(`${family}, ${what}: the frame is as if it had been sent so, padding included`, () => {
      const framed = (text: string, seq: number) =>
        Buffer.concat([
          frame(packetOf(tcp({ flags: 'PA', seq, payload: `PORT ${text},1,2\r\n` }))),
          Buffer.from(PADDING),
        ]);
      const sent = framed(before, 1000);
      const expected = framed(after, 993);
      const segment = new Segment(sent, ROOM);
      const { view, facts, l4 } = segment;
      const at = l4 + 20 + 'PORT '.length;
      replaceText(view, facts, 0, at, before.length, START + sent.length, textOf(after), after.length);
      shiftSequence(view, l4, -7);
      sealSegment(view, facts, 0);
      assert.equal(segment.bytes(expected.length).toString('hex'), expected.toString('hex'));
      assert.equal(facts[FACT.L4_END], START + expected.length - PADDING.length);
    });
  }

  test(`${family}: a packet grows up to the length that its header can say`, () => {
    const bytes = frame(packetOf(tcp({ flags: 'PA', payload: 'PORT' })));
    const { view, facts } = new Segment(bytes);
    // The length in the header: of the whole packet over IPv4, of what follows the header over IPv6.
    const length = bytes.length - 14 - (family === 'IPv6' ? 40 : 0);
    assert.equal(canGrow(view, facts, 0, 65_535 - length), true);
    assert.equal(canGrow(view, facts, 0, 65_536 - length), false);
  });
}

function textOf(text: string): DataView {
  return new DataView(Uint8Array.from(Buffer.from(text)).buffer);
}

/** Five bytes of the sender, from its byte 100 on, arrive as nine: what it counts from 105 on is four more for the receiver. */
function edited(): Int32Array {
  const words = new Int32Array(ANNEX_WORDS);
  startEdits(words, 0, false);
  addEdit(words, 0, 100, 5, 9);
  return words;
}

/** With values that are sequence numbers behind the edit, too. */
const TIMESTAMPS = [8, 10, ...u32(120), ...u32(130)];
const SACK = (from: number, to: number) => [5, 10, ...u32(from), ...u32(to)];

/** Options of an acknowledgement as the receiver sends it, and as its sender is to get it. */
const OPTIONS: readonly [name: string, sent: readonly number[], restored: readonly number[]][] = [
  ['none', [], []],
  ['SACK behind others', [1, ...TIMESTAMPS, 1, ...SACK(120, 130)], [1, ...TIMESTAMPS, 1, ...SACK(116, 126)]],
  [
    'two blocks',
    [1, 1, 5, 18, ...[104, 120, 130, 140].flatMap(u32)],
    [1, 1, 5, 18, ...[105, 116, 126, 136].flatMap(u32)],
  ],
  ['half a block', [5, 6, ...u32(120)], [5, 6, ...u32(120)]],
  ['a SACK behind the end of options', [0, 2, ...SACK(120, 130)], [0, 2, ...SACK(120, 130)]],
  ['a SACK behind an option of no length', [8, 0, ...SACK(120, 130)], [8, 0, ...SACK(120, 130)]],
  ['a SACK that ends behind the header', [1, 1, 5, 10, ...u32(120)], [1, 1, 5, 10, ...u32(120)]],
  ['a kind without a length at the end', [1, 1, 1, 5], [1, 1, 1, 5]],
];

for (const [name, options, restored] of OPTIONS) {
  test(`an acknowledgement is turned back, options: ${name}`, () => {
    const segment = new Segment(frame(ipv6({}, tcp({ flags: 'A', ack: 120, options }))));
    restoreAcknowledgements(segment.view, segment.l4, edited(), 0);
    sealSegment(segment.view, segment.facts, 0);
    const expected = frame(ipv6({}, tcp({ flags: 'A', ack: 116, options: restored })));
    assert.equal(segment.bytes(expected.length).toString('hex'), Buffer.from(expected).toString('hex'));
  });
}

test('without ACK the number says nothing and stays as it is', () => {
  const sent = frame(ipv4({}, tcp({ flags: 'R', ack: 120, options: [1, 1, ...SACK(120, 130)] })));
  const segment = new Segment(sent);
  restoreAcknowledgements(segment.view, segment.l4, edited(), 0);
  assert.equal(segment.bytes(sent.length).toString('hex'), Buffer.from(sent).toString('hex'));
});
