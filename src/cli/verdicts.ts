/**
 * What becomes of verdicts, packet by packet and in the order of the capture: a line of text, an object of JSON, or
 * nothing.
 *
 * Imports line-writer, under-way, control/, engine/, track/, wire/. Imported by feed, frame-writer, held, replay and
 * replay-summary.
 */
import { formatIpv4, formatIpv6 } from '../control/address.js';
import { protocolName } from '../control/format.js';
import { readLabel } from '../engine/batch.js';
import { PACKET } from '../engine/packet.js';
import { REASON, reasonName } from '../reason.js';
import { formatCtState } from '../track/state.js';
import { FAMILY_IPV6, IPPROTO, PROTOCOL_MASK } from '../wire/facts.js';
import type { LineWriter } from './line-writer.js';
import { UnderWay } from './under-way.js';

/** Where the packet loop leaves its packets. Called for every packet: implementations allocate as little as they can. */
export interface VerdictSink {
  /** A packet goes in, captured at `captureMs`, milliseconds since 1970. */
  pushed(captureMs: number): void;
  /** Its verdict comes out: the words of PACKET from `at` on, valid during the call, and the shard that judged it. */
  verdict(words: Int32Array, at: number, shard: number): void;
  /** Somebody may be waiting. @throws as writeOutput() */
  flush(): void;
}

/** Verdicts that nobody asked for. */
export const NO_SINK: VerdictSink = {
  pushed() {},
  verdict() {},
  flush() {},
};

/** What a fragment has for a state whose datagram never became whole. */
export const HELD_STATE = 'held';

const STATE_TEXTS = Array.from({ length: 256 }, (_, state) => Buffer.from(`: ${formatCtState(state)}\n`));
const HELD_TEXT = Buffer.from(`: ${HELD_STATE}\n`);

/** Whether a packet is a fragment that has not come back. */
export function isHeld(words: Int32Array, at: number): boolean {
  return words[at + PACKET.REASON] === REASON['fragment-held'];
}

/** `--states`: `N: a|b|c`, the lines of `ovstest test-conntrack pcap`. */
export class StateLines implements VerdictSink {
  readonly #writer: LineWriter;
  #number = 0;

  constructor(writer: LineWriter) {
    this.#writer = writer;
  }

  pushed(): void {}

  verdict(words: Int32Array, at: number): void {
    this.#writer.number(++this.#number);
    this.#writer.bytes(isHeld(words, at) ? HELD_TEXT : STATE_TEXTS[words[at + PACKET.STATE] & 0xff]);
  }

  flush(): void {
    this.#writer.flush();
  }
}

/**
 * `--json`: an object per packet and line.
 *
 * `time` is a number, seconds since 1970 with six decimals; `label` a string in hexadecimals, because 128 bits are no
 * number of JSON; `reason` the name of the reason; `tuple` the original direction of the connection, or null.
 */
export class JsonLines implements VerdictSink {
  readonly #writer: LineWriter;
  /** Capture times. */
  readonly #times: UnderWay;
  #number = 0;

  /** @param underWay packets that can be under way at once */
  constructor(writer: LineWriter, underWay: number) {
    this.#writer = writer;
    this.#times = new UnderWay(underWay);
  }

  pushed(captureMs: number): void {
    this.#times.push(captureMs);
  }

  verdict(words: Int32Array, at: number, shard: number): void {
    const time = formatSeconds(this.#times.take());
    const state = isHeld(words, at) ? HELD_STATE : formatCtState(words[at + PACKET.STATE]);
    const reason = reasonName(words[at + PACKET.REASON]);
    this.#number++;
    this.#writer.text(
      `{"n":${this.#number},"time":${time},"state":"${state}","zone":${words[at + PACKET.ZONE]},` +
        `"mark":${words[at + PACKET.MARK] >>> 0},"label":"${formatLabel(words, at + PACKET.LABEL)}",` +
        `"reason":"${reason}","tuple":${formatTuple(words, at)},"shard":${shard}}\n`,
    );
  }

  flush(): void {
    this.#writer.flush();
  }
}

/** Seconds with six decimals from milliseconds: by whole microseconds, or as well as it goes where they are not exact. */
function formatSeconds(ms: number): string {
  const micros = Math.round(ms * 1000);
  if (micros < 0 || micros > Number.MAX_SAFE_INTEGER) return (ms / 1000).toFixed(6);
  const seconds = Math.floor(micros / 1e6);
  return `${seconds}.${String(micros - seconds * 1e6).padStart(6, '0')}`;
}

function formatLabel(words: Int32Array, at: number): string {
  const isZero = (words[at] | words[at + 1] | words[at + 2] | words[at + 3]) === 0;
  return isZero ? '0x0' : `0x${readLabel(words, at).toString(16)}`;
}

function formatTuple(words: Int32Array, at: number): string {
  const key = words[at + PACKET.TUPLE_PROTOCOL];
  if (key === 0) return 'null';
  const isIpv6 = (key & FAMILY_IPV6) !== 0;
  const src = formatAddress(words, at + PACKET.TUPLE_SRC, isIpv6);
  const dst = formatAddress(words, at + PACKET.TUPLE_DST, isIpv6);
  const high = words[at + PACKET.TUPLE_PORTS] >>> 16;
  const low = words[at + PACKET.TUPLE_PORTS] & 0xffff;
  const isIcmp = key === IPPROTO.ICMP || key === (IPPROTO.ICMPV6 | FAMILY_IPV6);
  const ends = isIcmp ? `"type":${high},"code":${low}` : `"srcPort":${high},"dstPort":${low}`;
  return `{"protocol":"${protocolName(key & PROTOCOL_MASK)}","src":"${src}","dst":"${dst}",${ends}}`;
}

function formatAddress(words: Int32Array, at: number, isIpv6: boolean): string {
  return isIpv6 ? formatIpv6(words, at) : formatIpv4(words[at + 3]);
}
