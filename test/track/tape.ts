/**
 * Tapes: what is sent when, and what the tracker must say of it. Played on an engine without workers, and, in
 * ovs.test.ts, on a live Open vSwitch: the verdicts on a tape are OVS's, whatever our own code says.
 *
 * Sequence numbers on a tape may run past 2^32; they are cut when the frame is built.
 *
 * Imports src/engine, src/control, support/frames.
 */
import assert from 'node:assert/strict';
import { dumpConnections } from '../../src/control/dump.js';
import { formatConnection } from '../../src/control/format.js';
import { PacketBatch } from '../../src/engine/batch.js';
import { LocalEngine } from '../../src/engine/local.js';
import { type ReasonName, reasonName } from '../../src/reason.js';
import { CT, formatCtState } from '../../src/track/state.js';
import { frame, ipv4, ipv6, type Transport, tcp } from '../support/frames.js';

/** `est|rpl|trk` and the like; for an invalid packet, `inv|trk`, the reason. */
export type Verdict = 'new|trk' | 'est|trk' | 'est|rpl|trk' | 'rel|trk' | 'rel|rpl|trk' | ReasonName;

export interface Step {
  readonly atMs: number;
  readonly direction: Direction;
  readonly transport: Transport;
  /** Source address, if it is neither of the two hosts'. */
  readonly from?: string;
  readonly verdict: Verdict;
  /** States of the peers and perhaps the rest of protoinfo in `dump -m`; NONE: no connection; undefined: not asked. */
  readonly peers?: string | undefined;
}

export interface Tape {
  readonly name: string;
  /** Where the expected verdicts come from. */
  readonly rule: string;
  readonly steps: readonly Step[];
  readonly checksSequence?: boolean;
  readonly family?: 4 | 6;
}

export type Direction = 'orig' | 'reply';

/** Instead of peers: no connection. */
export const NONE = '-';

/** Initial sequence numbers: data crosses 2^32 on one side and 2^31, where the sign changes, on the other. */
export const C = 0xffff_fff0;
export const S = 0x7fff_fff8;
/** What both sides advertise unless a row says otherwise. */
export const WINDOW = 10_000;

/** How far an acknowledgement may be off: 65535 + 1500 bytes (OVS MAXACKWINDOW). */
export const ACK_LIMIT = 67_035;

export interface Segment {
  readonly seq?: number;
  readonly ack?: number;
  readonly length?: number;
  readonly window?: number;
  readonly options?: readonly number[];
}

/** `orig` is the side that sends first on the tape. The last field is `ORIG REPLY`, the states of the connection. */
export type Row = readonly [
  atMs: number,
  direction: Direction,
  flags: string,
  segment: Segment,
  verdict: Verdict,
  states?: string,
];

function step([atMs, direction, flags, segment, verdict, states]: Row): Step {
  const { seq = direction === 'orig' ? C : S, ack = 0, length = 0, window = WINDOW, options = [] } = segment;
  const ports = direction === 'orig' ? { sport: 40000, dport: 80 } : { sport: 80, dport: 40000 };
  const payload = new Uint8Array(length).fill(0x61);
  const transport = tcp({ ...ports, flags, seq: seq % 2 ** 32, ack: ack % 2 ** 32, window, options, payload });
  return { atMs, direction, transport, verdict, peers: states };
}

export function tcpTape(name: string, rule: string, rows: readonly Row[], checksSequence = true): Tape {
  return { name, rule, steps: rows.map(step), checksSequence };
}

/** Rows whose times start at `ms`. */
export function at(ms: number, ...rows: readonly Row[]): Row[] {
  return rows.map(([atMs, ...rest]) => [atMs + ms, ...rest]);
}

/** SYN, SYN+ACK, ACK without options, at 0, 1 and 2 ms (RFC 9293 section 3.5). */
export const HANDSHAKE: readonly Row[] = [
  [0, 'orig', 'S', {}, 'new|trk', 'SYN_SENT CLOSED'],
  [1, 'reply', 'SA', { ack: C + 1 }, 'est|rpl|trk', 'ESTABLISHED SYN_SENT'],
  [2, 'orig', 'A', { seq: C + 1, ack: S + 1 }, 'est|trk', 'ESTABLISHED ESTABLISHED'],
];

/** Both sides close, the first side first, at 3 to 6 ms (RFC 9293 section 3.6). */
export const CLOSE: readonly Row[] = [
  [3, 'orig', 'FA', { seq: C + 1, ack: S + 1 }, 'est|trk', 'CLOSING ESTABLISHED'],
  [4, 'reply', 'A', { seq: S + 1, ack: C + 2 }, 'est|rpl|trk', 'FIN_WAIT_2 ESTABLISHED'],
  [5, 'reply', 'FA', { seq: S + 1, ack: C + 2 }, 'est|rpl|trk', 'FIN_WAIT_2 CLOSING'],
  [6, 'orig', 'A', { seq: C + 2, ack: S + 2 }, 'est|trk', 'FIN_WAIT_2 FIN_WAIT_2'],
];

/** The frame of a step. */
export function frameOf({ direction, transport, from }: Step, family: 4 | 6 = 4): Uint8Array {
  const hosts = family === 4 ? ['10.0.0.1', '10.0.0.2'] : ['2001:db8::1', '2001:db8::2'];
  const [src, dst] = direction === 'orig' ? hosts : hosts.toReversed();
  return frame((family === 4 ? ipv4 : ipv6)({ src: from ?? src, dst }, transport));
}

/** What a line of `dump -m` says of the peers, for a step to compare with: their states, then scales and flags. */
export function peersOf(line: string | undefined): string {
  if (line === undefined) return NONE;
  const [, orig, reply, rest] = /state_orig=(\w+),state_reply=(\w+),(.*)\)/.exec(line) ?? [];
  return orig === undefined ? line : `${orig} ${reply} ${rest}`;
}

/** The states alone, when that is all a step asks for. */
export function asAsked(peers: string, asked: string | undefined): string {
  if (asked === undefined) return '';
  return asked.includes('flags_') ? peers : peers.split(' ').slice(0, 2).join(' ');
}

export interface Playing {
  /** Time of the tape's 0. */
  readonly epochMs?: number;
  /** Plays it with an action that sets no bit of the mark, which keeps packets off the fast path. */
  readonly isSlow?: boolean;
  readonly family?: 4 | 6;
}

/** Plays a tape, packet by packet, and compares. */
export function play(tape: Tape, { epochMs = 0, isSlow = false, family = 4 }: Playing = {}): void {
  const engine = new LocalEngine({ maxConnections: 16, checksSequence: tape.checksSequence ?? true, seed: 1 });
  engine.defineAction(isSlow ? { mark: { value: 0, mask: 0 } } : {});
  const batch = new PacketBatch(1, 1 << 16);
  const seen = tape.steps.map(step => {
    const nowMs = epochMs + step.atMs;
    batch.clear();
    assert.ok(batch.add(frameOf(step, tape.family ?? family), nowMs));
    engine.execute(batch);
    const state = batch.state(0);
    const verdict = state === (CT.INV | CT.TRK) ? reasonName(batch.reason(0)) : formatCtState(state);
    if (verdict.endsWith('trk')) assert.equal(reasonName(batch.reason(0)), 'none', tape.name);
    const connections = [...dumpConnections(engine.tracker, nowMs)];
    if (step.peers !== undefined) assert.ok(connections.length <= 1, 'two connections of one key');
    const line = connections[0] && formatConnection(connections[0], { more: true });
    return [step.atMs, verdict, asAsked(peersOf(line), step.peers)];
  });
  const expected = tape.steps.map(({ atMs, verdict, peers = '' }) => [atMs, verdict, peers]);
  assert.deepEqual(seen, expected, `${tape.name} (${tape.rule})`);
}
