/**
 * Two judges of the same packets under the same flow rules: a live Open vSwitch, and the engine on this thread. Their
 * answers have one form, so that a test compares texts.
 *
 * Imports changes, support/ovs, the engine. Imported by the tests of this folder, and by fuzz/.
 */
import {
  dumpConnections,
  dumpExpectations,
  formatConnection,
  formatCtState,
  formatExpectation,
  LocalEngine,
  PACKET,
  PACKET_WORDS,
  PacketBatch,
} from '../../src/index.js';
import { FAMILY_IPV6 } from '../../src/wire/facts.js';
import { HEADROOM, type OriginalTuple, Ovs, type OvsReport, REPORT_TABLE } from '../support/ovs.js';
import { type Change, changeLocal, OvsSettings } from './changes.js';

/** A packet that goes in. */
export interface PacketStep {
  readonly frame: Uint8Array;
  /** Port on which it arrives, 1 to 3. Default 1. */
  readonly port?: number;
  /** When, in milliseconds since the start; steps are in order. Default: when the one before it came. */
  readonly atMs?: number;
}

export type Step = PacketStep | Change;

function isPacket(step: Step): step is PacketStep {
  return 'frame' in step;
}

/** What was said of a packet as it left. */
export interface Answer {
  readonly state: string;
  readonly zone: number;
  readonly mark: number;
  readonly label: bigint;
  /** The original direction of its connection, as text; empty when it has none. */
  readonly original: string;
  readonly frame: Buffer;
}

/** Of a packet, undefined when it did not leave; of a change, a line of text. */
export type StepAnswer = Answer | undefined | string;

export interface Judge {
  /** Takes steps in order, and answers each. */
  send(steps: readonly Step[]): Promise<StepAnswer[]>;
  /** Numbers of the packets that have left, from 0, in the order in which they did. */
  readonly departures: readonly number[];
  /** Lets time pass. */
  waitUntil(ms: number): Promise<void>;
  /** The connections as `dpctl/dump-conntrack -m -s` prints them, sorted. */
  dump(): Promise<string[]>;
  /** The expectations as `dpctl/dump-conntrack-exp` prints them, sorted; undefined where there is no such command. */
  expectations(): Promise<string[] | undefined>;
  close(): Promise<void>;
}

/** Where rules send a packet that is to leave; each judge has its own rule there. */
export const LEAVE = REPORT_TABLE;
/** What the rules of the engine need in addition. */
const LEAVE_RULE = `table=${LEAVE},actions=output:9\n`;

/** Consecutive packets of one moment, or one change. */
function* moments(steps: readonly Step[]): Generator<Change | { atMs: number | undefined; group: PacketStep[] }> {
  for (let at = 0; at < steps.length; ) {
    const first = steps[at++];
    if (!isPacket(first)) {
      yield first;
      continue;
    }
    const { atMs } = first;
    const group = [first];
    for (let next = steps[at]; next !== undefined && isPacket(next) && (next.atMs ?? atMs) === atMs; next = steps[at]) {
      group.push(next);
      at++;
    }
    yield { atMs, group };
  }
}

export class OvsJudge implements Judge {
  readonly #ovs: Ovs;
  readonly #settings: OvsSettings;
  #nowMs = 0;
  #sent = 0;
  readonly departures: number[] = [];

  private constructor(ovs: Ovs) {
    this.#ovs = ovs;
    this.#settings = new OvsSettings(ovs);
  }

  static async start(flows: string): Promise<OvsJudge> {
    return new OvsJudge(await Ovs.start({ flows }));
  }

  async send(steps: readonly Step[]): Promise<StepAnswer[]> {
    const answers: StepAnswer[] = [];
    const places = new Map<number, number>();
    for (const moment of moments(steps)) {
      if (!('group' in moment)) {
        answers.push(await this.#settings.change(moment));
        continue;
      }
      const { atMs, group } = moment;
      if (atMs !== undefined) await this.waitUntil(atMs);
      for (let count = group.length; count > 0; count--) places.set(this.#sent++, answers.push(undefined) - 1);
      const reports = await this.#ovs.inject(
        group.map(({ frame, port }) => ({ data: frame, ...(port === undefined ? {} : { port }) })),
      );
      for (const report of reports) {
        const place = places.get(report.packet - 1);
        if (place !== undefined) answers[place] = ovsAnswer(report);
        this.departures.push(report.packet - 1);
      }
    }
    return answers;
  }

  async waitUntil(ms: number): Promise<void> {
    if (ms > this.#nowMs) await this.#ovs.warp(ms - this.#nowMs);
    this.#nowMs = Math.max(this.#nowMs, ms);
  }

  dump(): Promise<string[]> {
    return this.#ovs.dump('-m', '-s');
  }

  async expectations(): Promise<string[] | undefined> {
    if (this.#ovs.versionNumber < EXPECTATIONS_SINCE) return undefined;
    const text = await this.#ovs.command('dpctl/dump-conntrack-exp');
    return text
      .split('\n')
      .filter(line => line !== '')
      .sort();
  }

  close(): Promise<void> {
    return this.#ovs.stop();
  }
}

function ovsAnswer(report: OvsReport): Answer {
  const { state, zone, mark, label, original, frame } = report;
  return { state, zone, mark, label, original: original === undefined ? '' : tupleText(original), frame };
}

function tupleText({ protocol, source, sourcePort, destination, destinationPort }: OriginalTuple): string {
  return `${protocol} ${source} ${sourcePort} > ${destination} ${destinationPort}`;
}

/** The first Open vSwitch that lists expectations. */
const EXPECTATIONS_SINCE = 3.2;

const MAX_FRAME = 1 << 18;

export class LocalJudge implements Judge {
  readonly #engine: LocalEngine;
  /** A packet, and the fragments that come back with it. */
  readonly #batch = new PacketBatch(64, 4 * MAX_FRAME);
  #nowMs = 0;
  #sent = 0;
  readonly departures: number[] = [];

  constructor(flows: string) {
    this.#engine = new LocalEngine({
      maxConnections: 10_000,
      flows: { text: flows.replaceAll(`${HEADROOM},`, '') + LEAVE_RULE },
    });
  }

  async send(steps: readonly Step[]): Promise<StepAnswer[]> {
    const answers: StepAnswer[] = [];
    const places = new Map<number, number>();
    for (const step of steps) {
      if (!isPacket(step)) {
        answers.push(changeLocal(this.#engine, step));
        continue;
      }
      const { frame, port = 1, atMs = this.#nowMs } = step;
      places.set(this.#sent, answers.push(undefined) - 1);
      this.#nowMs = Math.max(this.#nowMs, atMs);
      this.#batch.clear();
      this.#batch.add(frame, this.#nowMs, { action: port, cookie: this.#sent++ });
      this.#engine.execute(this.#batch);
      this.#engine.released.takeInto(this.#batch);
      for (let index = 0; index < this.#batch.length; index++) {
        const answer = localAnswer(this.#batch, index);
        const place = places.get(this.#batch.cookie(index));
        if (answer === undefined || place === undefined) continue;
        answers[place] = answer;
        this.departures.push(this.#batch.cookie(index));
      }
    }
    return answers;
  }

  async waitUntil(ms: number): Promise<void> {
    this.#nowMs = Math.max(this.#nowMs, ms);
  }

  async dump(): Promise<string[]> {
    const options = { more: true, statisticsAtMs: this.#nowMs };
    return [...dumpConnections(this.#engine.tracker, this.#nowMs)]
      .map(entry => formatConnection(entry, options))
      .sort();
  }

  async expectations(): Promise<string[]> {
    return [...dumpExpectations(this.#engine.tracker, this.#nowMs)].map(formatExpectation).sort();
  }

  async close(): Promise<void> {}
}

function localAnswer(batch: PacketBatch, index: number): Answer | undefined {
  const words = batch.packets.subarray(index * PACKET_WORDS, (index + 1) * PACKET_WORDS);
  if (words[PACKET.OUTPUTS] === 0) return undefined;
  const start = words[PACKET.FRAME_OFFSET];
  return {
    state: formatCtState(batch.state(index)),
    zone: batch.zone(index),
    mark: batch.mark(index),
    label: batch.label(index),
    original: localTuple(words),
    frame: Buffer.from(batch.bytes.subarray(start, start + words[PACKET.FRAME_LENGTH])),
  };
}

function localTuple(words: Int32Array): string {
  const key = words[PACKET.TUPLE_PROTOCOL];
  if (key === 0) return '';
  const isIpv6 = (key & FAMILY_IPV6) !== 0;
  const ports = words[PACKET.TUPLE_PORTS];
  return tupleText({
    protocol: key & 0xff,
    source: addressText(words, PACKET.TUPLE_SRC, isIpv6),
    destination: addressText(words, PACKET.TUPLE_DST, isIpv6),
    sourcePort: ports >>> 16,
    destinationPort: ports & 0xffff,
  });
}

/** IPv6 in eight groups without abbreviation. */
function addressText(words: Int32Array, at: number, isIpv6: boolean): string {
  const bytes = Buffer.alloc(16);
  for (let word = 0; word < 4; word++) bytes.writeInt32BE(words[at + word], word * 4);
  if (!isIpv6) return bytes.subarray(12).join('.');
  return Array.from({ length: 8 }, (_, group) => bytes.readUInt16BE(group * 2).toString(16)).join(':');
}

/** An answer as a line; the frame in hexadecimals, since every byte counts. */
function answerText(answer: StepAnswer): string {
  if (answer === undefined) return 'did not leave';
  if (typeof answer === 'string') return answer;
  const { state, zone, mark, label, original, frame } = answer;
  return `${state} zone=${zone} mark=${mark} label=0x${label.toString(16)} [${original}] ${frame.toString('hex')}`;
}

export interface Outcome {
  readonly answers: readonly string[];
  readonly departures: readonly number[];
  readonly dump: readonly string[];
  readonly expectations: readonly string[] | undefined;
}

/** First version that tells the ports of the original tuple of fragments other than the first. */
export const PORTS_OF_FRAGMENTS = 4;

/**
 * OpenFlow tells the original tuple of some packets only, not of invalid ones for one: where it does not, ours is not
 * compared. Nor are its ports where an old version has none to tell.
 * @param version of the Open vSwitch that told it
 */
export function asTold(answer: string, told: string | undefined, version: number): string {
  if (told?.includes(' [] ')) return answer.replace(/\[[^\]]*\]/, '[]');
  const hasNoPorts = version < PORTS_OF_FRAGMENTS && told !== undefined && / 0 > \S+ 0\]/.test(told);
  return hasNoPorts ? answer.replace(/ \d+ > (\S+) \d+\]/, ' 0 > $1 0]') : answer;
}

/** Shows a judge all packets, closes it, and gives what it said. */
export async function outcomeOf(judge: Judge, steps: readonly Step[]): Promise<Outcome> {
  try {
    const answers = await judge.send(steps);
    return {
      answers: answers.map(answerText),
      departures: judge.departures,
      dump: await judge.dump(),
      expectations: await judge.expectations(),
    };
  } finally {
    await judge.close();
  }
}
