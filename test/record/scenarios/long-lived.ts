/**
 * Sixty days of recorded packets with new timestamps: each kind of connection is continued one millisecond before its
 * timeout, and another time exactly at it, around 2^31 and 2^32 milliseconds and elsewhere.
 */
import { join } from 'node:path';
import { conversations, hasFin, sameDirection, tcpFlags } from '../flows.js';
import { FLAG, PROTOCOL } from '../frames.js';
import { type Packet, readPcap, writePcap } from '../pcap.js';
import type { Scenario } from './scenario.js';

const SECOND = 1000;
const DAY = 86_400 * SECOND;
/** Between packets that belong together. */
const STEP = 20;
/** When the capture claims to begin, in microseconds. */
const BEGIN = 1_700_000_000_456_789;
const END = 60 * DAY;

/** The middle of each case's first play. */
const MOMENTS = [2 * DAY, 2 ** 31, 2 ** 32, 56 * DAY];
/** By when a connection that was continued is gone again, whatever its state. */
const FORGOTTEN = 1.05 * DAY;

/** The packets up to an idle time that equals a timeout, and the one that ends it. */
interface Case {
  readonly before: readonly Buffer[];
  readonly after: Buffer;
  readonly timeout: number;
}

/** Makes a case of a conversation. */
type Cut = (frames: readonly Buffer[]) => Case;

interface Timed {
  readonly at: number;
  readonly data: Buffer;
}

function play({ before, after }: Case, start: number, idle: number): Timed[] {
  const frames = before.map((data, index) => ({ at: start + index * STEP, data }));
  return [...frames, { at: start + (before.length - 1) * STEP + idle, data: after }];
}

function schedule(cases: readonly Case[]): Timed[] {
  const twice = (each: Case, start: number) => {
    const again = start + each.timeout + FORGOTTEN;
    return [...play(each, start, each.timeout - 1), ...play(each, again, each.timeout)];
  };
  const plays = MOMENTS.flatMap(moment =>
    cases.flatMap((each, index) => twice(each, Math.floor(moment - each.timeout / 2) + index)),
  );
  // What is left at the end, for the dump.
  const open = cases.flatMap((each, index) => {
    const start = END - Math.floor(each.timeout / 2) + index * STEP;
    return each.before.map((data, step) => ({ at: start + step, data }));
  });
  const first = { at: 0, data: cases[0].before[0] };
  return [first, ...plays, ...open].sort((one, other) => one.at - other.at);
}

/** The first packet of the conversation, and the first that answers it. */
function exchange(frames: readonly Buffer[]): [request: Buffer, reply: Buffer] {
  const reply = frames.find(frame => !sameDirection(frame, frames[0]));
  if (reply === undefined) throw new Error('a conversation without an answer');
  return [frames[0], reply];
}

const ECHO: readonly Cut[] = [
  frames => ({ before: frames.slice(0, 1), after: exchange(frames)[1], timeout: 60 * SECOND }),
  frames => ({ before: exchange(frames), after: frames[0], timeout: 30 * SECOND }),
];

/** UDP, and every other protocol without states: first packet, more from the same side, both sides. */
const DATAGRAM: readonly Cut[] = [
  frames => ({ before: frames.slice(0, 1), after: exchange(frames)[1], timeout: 60 * SECOND }),
  frames => ({ before: exchange(frames), after: exchange(frames)[1], timeout: 30 * SECOND }),
  frames => ({ before: [frames[0], frames[0]], after: exchange(frames)[1], timeout: 60 * SECOND }),
  frames => ({ before: [...exchange(frames), frames[0]], after: exchange(frames)[1], timeout: 30 * SECOND }),
];

function upTo(count: (frames: readonly Buffer[]) => number, seconds: number): Cut {
  return frames => {
    const length = count(frames);
    return { before: frames.slice(0, length), after: frames[length], timeout: seconds * SECOND };
  };
}

/** SYN, SYN+ACK, established, one FIN, both FINs, all over. */
const CLOSED: readonly Cut[] = [
  upTo(() => 1, 30),
  upTo(() => 2, 30),
  upTo(() => 4, 86_400),
  upTo(frames => frames.findIndex(hasFin) + 1, 900),
  upTo(frames => frames.findLastIndex(hasFin) + 1, 45),
  frames => ({ before: frames, after: frames[frames.length - 1], timeout: 30 * SECOND }),
];

/** After a RST: the segment before it, or a new SYN. */
const RESET: readonly Cut[] = [
  frames => ({ before: frames, after: frames[frames.length - 2], timeout: 30 * SECOND }),
  frames => ({ before: frames, after: frames[0], timeout: 30 * SECOND }),
];

const isAnswered = (frames: readonly Buffer[]) => frames.some(frame => !sameDirection(frame, frames[0]));
const isSyn = (frame: Buffer) => tcpFlags(frame) === FLAG.SYN;
/** One connection from its SYN to the acknowledgment of its second FIN. */
const isWhole = (frames: readonly Buffer[]) =>
  frames.length < 20 &&
  isSyn(frames[0]) &&
  frames.filter(isSyn).length === 1 &&
  frames.filter(hasFin).length === 2 &&
  !hasFin(frames[frames.length - 1]);
const isReset = (frames: readonly Buffer[]) =>
  frames.length > 4 && frames.filter(isSyn).length === 1 && (tcpFlags(frames[frames.length - 1]) & FLAG.RST) !== 0;

/** A case per timeout, each of another conversation, as they overlap in time. */
function cases(golden: string): Case[] {
  const load = (protocol: number, ...names: readonly string[]) =>
    names.flatMap(name => conversations(readPcap(join(golden, `${name}.pcap`)), protocol));
  const groups: readonly (readonly [cuts: readonly Cut[], conversations: readonly Buffer[][]])[] = [
    [ECHO, load(PROTOCOL.ICMP, 'ping').filter(isAnswered)],
    [ECHO, load(PROTOCOL.ICMPV6, 'ping').filter(isAnswered)],
    [DATAGRAM, load(PROTOCOL.UDP, 'udp-both-ways').filter(isAnswered)],
    [DATAGRAM.slice(0, 2), load(47, 'other-protocols').filter(isAnswered)],
    [CLOSED, load(PROTOCOL.TCP, 'dns').filter(isWhole)],
    [CLOSED, load(PROTOCOL.TCP, 'http-ipv6').filter(isWhole)],
    [RESET, load(PROTOCOL.TCP, 'resets').filter(isReset)],
  ];
  return groups.flatMap(([cuts, found]) => cuts.slice(0, found.length).map((cut, index) => cut(found[index])));
}

export const LONG_LIVED: Scenario = {
  name: 'long-lived',
  description: 'sixty days of connections continued 1 ms before their timeout and at it, around 2^31 and 2^32 ms too',
  programs: 'packets of ping, udp-both-ways, other-protocols, dns, http-ipv6 and resets with new timestamps',
  clock: 'capture',
  record: async (_lab, file, golden) => {
    const packets = schedule(cases(golden)).map(({ at, data }, index): Packet => {
      const microsecond = index === 0 ? 0 : (index * 137) % 1000;
      return { time: BEGIN + at * 1000 + microsecond, data, length: data.length };
    });
    writePcap(
      file,
      packets.sort((one, other) => one.time - other.time),
    );
  },
};
