/**
 * Sequence numbers behind a rewritten payload, against a model that keeps the whole stream: every byte of the sender, and
 * where it ended up for the receiver.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addEdit,
  areInReply,
  countEdits,
  isBehindEdits,
  MAX_EDITS,
  OVERLAP,
  overlapWith,
  senderSequence,
  shiftAt,
  startEdits,
} from '../../src/alg/edits.js';
import { ANNEX_WORDS } from '../../src/track/connection.js';
import { withSeed } from '../support/random.js';

const AT = 3;

function edited(isReply = false): Int32Array {
  const words = new Int32Array(ANNEX_WORDS + 2 * AT).fill(0x5a5a5a5a);
  startEdits(words, AT, isReply);
  return words;
}

test('without an edit nothing moves', () => {
  const words = edited(true);
  assert.equal(areInReply(words, AT), true);
  assert.equal(countEdits(words, AT), 0);
  for (const seq of [0, 1, -1, 0x7fffffff]) {
    assert.equal(shiftAt(words, AT, seq), 0);
    assert.equal(senderSequence(words, AT, seq, false), seq);
    assert.ok(isBehindEdits(words, AT, seq));
  }
});

interface Edit {
  readonly at: number;
  readonly before: number;
  readonly after: number;
}

/** Where the sender's byte `at` arrives, counted from the start; bytes within a text that was rewritten have no place. */
function arrivalOf(edits: readonly Edit[], at: number): number {
  return edits.reduce((place, edit) => (at >= edit.at + edit.before ? place + edit.after - edit.before : place), at);
}

/** The inverse, for what lies within a text as senderSequence() says. */
function senderOf(edits: readonly Edit[], place: number, roundsUp: boolean): number {
  for (const edit of edits) {
    const start = arrivalOf(edits.slice(0, edits.indexOf(edit)), edit.at);
    if (place > start && place < start + edit.after) return roundsUp ? edit.at + edit.before : edit.at;
  }
  let at = 0;
  while (arrivalOf(edits, at) < place || edits.some(edit => at > edit.at && at < edit.at + edit.before)) at++;
  return at;
}

test('numbers move as the bytes do, also around 2^32 and with more edits than are kept', () => {
  withSeed(2604, random => {
    for (let round = 0; round < 3000; round++) {
      const words = edited();
      const start = random.pick([0, -40, 0x7fffffd0, random.u32() | 0]);
      const edits: Edit[] = [];
      let at = random.below(5);
      for (let count = random.between(1, MAX_EDITS + 2); count > 0; count--) {
        const edit = { at, before: random.between(1, 15), after: random.between(1, 15) };
        assert.ok(isBehindEdits(words, AT, (start + at) | 0));
        addEdit(words, AT, (start + at) | 0, edit.before, edit.after);
        edits.push(edit);
        at += edit.before + random.below(20);
      }
      // What lies before the edits that are kept is beyond recall.
      const kept = edits.slice(-MAX_EDITS);
      const end = at + 10;
      for (let seq = kept[0].at; seq < end; seq++) {
        if (kept.some(edit => seq > edit.at && seq < edit.at + edit.before)) continue;
        assert.equal(shiftAt(words, AT, (start + seq) | 0), arrivalOf(edits, seq) - seq, `byte ${seq}`);
      }
      for (let place = arrivalOf(edits, kept[0].at); place < arrivalOf(edits, end); place++) {
        for (const roundsUp of [false, true]) {
          const seq = senderSequence(words, AT, (start + place) | 0, roundsUp);
          assert.equal((seq - start) | 0, senderOf(edits, place, roundsUp), `place ${place}`);
        }
      }
      assert.ok(!isBehindEdits(words, AT, (start + edits[edits.length - 1].at) | 0));
      assert.ok([...words.subarray(0, AT), ...words.subarray(AT + ANNEX_WORDS)].every(word => word === 0x5a5a5a5a));
    }
  });
});

test('a segment has a rewritten text whole, in part or not at all', () => {
  const words = edited();
  addEdit(words, AT, 100, 8, 12);
  const overlap = (seq: number, length: number) => overlapWith(words, AT, 0, seq, length);
  assert.equal(overlap(95, 5), OVERLAP.NONE);
  assert.equal(overlap(108, 20), OVERLAP.NONE);
  assert.equal(overlap(104, 0), OVERLAP.NONE);
  assert.equal(overlap(95, 13), OVERLAP.WHOLE);
  assert.equal(overlap(100, 8), OVERLAP.WHOLE);
  assert.equal(overlap(95, 12), OVERLAP.PART);
  assert.equal(overlap(101, 40), OVERLAP.PART);
  assert.equal(overlap(107, 1), OVERLAP.PART);
});
