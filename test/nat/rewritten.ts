/**
 * Rewriting one frame in a test: the frame lies in the middle of a larger memory, of which nothing but the IP packet
 * may be read or written. The new tuple is what wire/ reads in the frame that is expected.
 *
 * Imports src/nat, src/wire, src/reason, test/wire.
 */
import assert from 'node:assert/strict';
import { REWRITE_DST, REWRITE_SRC, rewritePacket } from '../../src/nat/rewrite.js';
import { REASON, reasonName } from '../../src/reason.js';
import { FACT, FACT_RELATED, FACT_WORDS } from '../../src/wire/facts.js';
import { KNOWN } from '../../src/wire/known.js';
import { parseFrame } from '../../src/wire/parse.js';
import { GuardedView } from '../wire/guarded.js';

/** An odd place, so that nothing is aligned by luck. */
export const START = 37;
const CANARY = 0xa5;

class GuardedWriter extends GuardedView {
  #check(at: number, bytes: number): void {
    if (at < this.start || at + bytes > this.end) throw new RangeError(`write of ${bytes} bytes at ${at}`);
  }

  override setUint16(at: number, value: number, isLittle?: boolean): void {
    this.#check(at, 2);
    super.setUint16(at, value, isLittle);
  }

  override setInt32(at: number, value: number, isLittle?: boolean): void {
    this.#check(at, 4);
    super.setInt32(at, value, isLittle);
  }

  override setUint32(at: number, value: number, isLittle?: boolean): void {
    this.#check(at, 4);
    super.setUint32(at, value, isLittle);
  }
}

/** Facts of a frame that lies at START, whatever its checksums. */
export function factsOf(frame: Uint8Array): Int32Array {
  const memory = new Uint8Array(START + frame.length);
  memory.set(frame, START);
  const facts = new Int32Array(FACT_WORDS);
  const reason = parseFrame(new DataView(memory.buffer), START, memory.length, KNOWN.NO_CHECKSUMS, 0, facts, 0);
  assert.equal(reason, REASON.none, reasonName(reason));
  return facts;
}

/** The frame with the addresses of `end` and the ports of `tuple`; `facts` are the frame's own. */
export function rewriteWith(frame: Uint8Array, facts: Int32Array, tuple: Int32Array, end: number): Uint8Array {
  const view = new GuardedWriter(new ArrayBuffer(START + frame.length + 64));
  const memory = new Uint8Array(view.buffer);
  memory.fill(CANARY).set(frame, START);
  const before = memory.slice();
  view.start = facts[FACT.L3];
  view.end = facts[FACT.L4_END];
  // Somewhere in larger arrays, as the engine has them.
  const rows = new Int32Array(3 * FACT_WORDS);
  rows.set(facts, FACT_WORDS);
  const tuples = new Int32Array(7 + FACT.PORTS + 1);
  tuples.set(tuple.subarray(0, FACT.PORTS + 1), 7);
  rewritePacket(view, rows, FACT_WORDS, tuples, 7, end, (facts[FACT.FLAGS] & FACT_RELATED) !== 0);

  for (let at = 0; at < memory.length; at++) {
    if (at < view.start || at >= view.end)
      assert.equal(memory[at], before[at], `byte ${at - START} is not the packet's`);
  }
  return memory.slice(START, START + frame.length);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** Asserts that the one frame is turned into the other, and the other back into the one. */
export function assertRewritten(before: Uint8Array, after: Uint8Array, end: number, what: string): void {
  const beforeFacts = factsOf(before);
  const afterFacts = factsOf(after);
  assert.equal(hex(rewriteWith(before, beforeFacts, afterFacts, end)), hex(after), what);
  assert.equal(hex(rewriteWith(after, afterFacts, beforeFacts, end)), hex(before), `${what}, and back`);
}

export const ENDS = [
  ['source', REWRITE_SRC],
  ['destination', REWRITE_DST],
  ['both', REWRITE_SRC | REWRITE_DST],
] as const;
