/**
 * Verdicts of a case in a form that is quick to compare: a row of numbers per packet, and the frames that left changed.
 *
 * Imports engine/packet's layout only through its writers.
 */
import { formatCtState } from '../../src/track/state.js';

/** Words of a row. Addresses and label in four words each; the label's least significant word comes first. */
export const VERDICT = {
  /** 1 when the packet was answered; 0 when it is held, as a fragment is. All other words are then 0. */
  PRESENT: 0,
  STATE: 1,
  ZONE: 2,
  MARK: 3,
  LABEL: 4,
  /** IP protocol of the original tuple, with FAMILY_IPV6; 0 when there is none. */
  PROTOCOL: 8,
  PORTS: 9,
  SRC: 10,
  DST: 14,
} as const;
export const VERDICT_WORDS = 18;

export class Verdicts {
  readonly words: Int32Array;
  /** Frames that left other than they came, by packet. */
  readonly rewritten = new Map<number, Uint8Array>();
  /** Packets of whose original tuple the witness does not say whether they have one. */
  readonly untold = new Set<number>();
  /** Packets of whose original tuple it does not say the ports. */
  readonly untoldPorts = new Set<number>();
  /** The table afterwards, as `dpctl/dump-conntrack -m -s` prints it, sorted. */
  dump: readonly string[] = [];
  /** What is expected afterwards, as `dpctl/dump-conntrack-exp` prints it, sorted; undefined of who does not tell. */
  expectations: readonly string[] | undefined;

  constructor(packets: number) {
    this.words = new Int32Array(packets * VERDICT_WORDS);
  }

  text(packet: number): string {
    const row = this.words.subarray(packet * VERDICT_WORDS, (packet + 1) * VERDICT_WORDS);
    if (row[VERDICT.PRESENT] === 0) return 'held';
    const hex = (at: number) => [...row.subarray(at, at + 4)].map(word => (word >>> 0).toString(16)).join('.');
    const state = formatCtState(row[VERDICT.STATE]);
    const marks = `zone=${row[VERDICT.ZONE]} mark=${row[VERDICT.MARK] >>> 0} label=${hex(VERDICT.LABEL)}`;
    const ports = (row[VERDICT.PORTS] >>> 0).toString(16);
    const tuple = `${row[VERDICT.PROTOCOL]} ${hex(VERDICT.SRC)}>${hex(VERDICT.DST)} ${ports}`;
    const frame = this.rewritten.get(packet);
    return `${state} ${marks} [${tuple}]${frame === undefined ? '' : ` ${Buffer.from(frame).toString('hex')}`}`;
  }
}

function sameFrame(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return Buffer.compare(one, other) === 0;
}

/** Whether two witnesses say the same of all packets, and of the table. */
export function isSame(expected: Verdicts, actual: Verdicts): boolean {
  const { words } = expected;
  for (const packet of expected.untold) {
    actual.words.fill(0, packet * VERDICT_WORDS + VERDICT.PROTOCOL, (packet + 1) * VERDICT_WORDS);
  }
  for (const packet of expected.untoldPorts) actual.words[packet * VERDICT_WORDS + VERDICT.PORTS] = 0;
  for (let word = 0; word < words.length; word++) if (words[word] !== actual.words[word]) return false;
  for (const packet of [...expected.rewritten.keys(), ...actual.rewritten.keys()]) {
    if (!sameFrame(expected.rewritten.get(packet), actual.rewritten.get(packet))) return false;
  }
  if (expected.dump.join('\n') !== actual.dump.join('\n')) return false;
  return expected.expectations === undefined || expected.expectations.join('\n') === actual.expectations?.join('\n');
}
