/**
 * TCP between pairs of peers, from a script: handshakes, data, closings and resets as real stacks send them, which then
 * get lost, held back, sent again, cut differently or moved to where a bound of the window check lies. Connections are
 * also met in the middle, opened from both sides, and opened again on the same ports.
 *
 * The bounds are those of RFC 9293 section 3.10.7.4 and of OVS `conntrack-tcp.c`: 65535 + 1500 for acknowledgements,
 * the other side's window in either scale, one for resets.
 *
 * Imports script, traffic, writer.
 */
import { type Script, STEP_WORDS, stepsOf } from './script.js';
import { COMMIT_PASS, type Traffic, type TrafficPacket } from './traffic.js';
import { address, type Ends, PROTOCOL, packet, segmentBytes, swapped } from './writer.js';

const FIN = 0x01;
const SYN = 0x02;
const RST = 0x04;
const PSH = 0x08;
const ACK = 0x10;
const URG = 0x20;

interface Sent {
  readonly flags: number;
  readonly seq: number;
  readonly ack: number;
  readonly length: number;
  readonly options: readonly number[];
}

interface Peer {
  isn: number;
  /** Next sequence number that it sends. */
  next: number;
  window: number;
  scale: number;
  readonly sent: Sent[];
  held: Sent | undefined;
}

interface Pair {
  readonly ends: readonly [Ends, Ends];
  readonly ports: readonly [number, number];
  readonly peers: readonly [Peer, Peer];
}

const SOME_WINDOWS = [65535, 0, 1, 8192, 64, 1023];
const SOME_LENGTHS = [0, 1, 2, 100, 536, 1460];
const SOME_SCALES = [7, 0, 1, 2, 14, 15, 255];
/** Where sequence numbers begin; the later ones wrap around soon. */
const SOME_ISNS = [1000, 0, 1, 0xffff_ff00, 0x7fff_ff00, 0x8000_0000];
/** Distances at which a comparison changes its mind. */
const SOME_OFFSETS = [0, 1, -1, 2, -2, 100, -100, 1460, -1460, 65535, -65535, 67035, 67036, -67035, -67036, 70000];
const FAR_OFFSETS = [0x7fff_ffff, -0x8000_0000, 0x4000_0000, 1_000_000, -1_000_000, 67035 << 7, 67035 << 14];
/** Pauses around which timeouts end, in milliseconds. */
const SOME_PAUSES = [1, 10, 1000, 29_999, 30_000, 44_999, 45_000, 60_000, 899_999, 900_000, 86_400_000];
const MAX_SENT = 16;

function pick<T>(list: readonly T[], word: number): T {
  return list[word % list.length];
}

function newPeer(isn: number): Peer {
  return { isn, next: isn, window: 65535, scale: 0, sent: [], held: undefined };
}

/** The option, padded; its length is wrong now and then. */
function scaleOption(scale: number, word: number): number[] {
  const length = word % 31 === 30 ? 0 : 3;
  return word % 3 === 1 ? [2, 4, 5, 180, 1, 3, length, scale] : [3, length, scale, 0];
}

class Play {
  readonly packets: TrafficPacket[] = [];
  readonly #pairs: readonly Pair[];
  #nowMs = 0;

  constructor(common: Uint32Array) {
    this.#pairs = Array.from({ length: 1 + (common[0] % 3) }, (_, index) => {
      const isIpv6 = ((common[1] >>> index) & 1) === 1;
      const ends = { src: address(isIpv6, 1 + index), dst: address(isIpv6, 100) };
      const peers = [
        newPeer(pick(SOME_ISNS, common[2] >>> (index * 4))),
        newPeer(pick(SOME_ISNS, common[3] >>> index)),
      ];
      return { ends: [ends, swapped(ends)], ports: [40000, 80], peers: peers as [Peer, Peer] };
    });
  }

  /** One step; see the lists above for what the words choose from. */
  step(row: Uint32Array): void {
    const [kind, who, a, b, c, time] = row;
    if (time % 16 === 15) this.#nowMs += pick(SOME_PAUSES, time >>> 4);
    else this.#nowMs += (time >>> 4) % 3;
    const pair = pick(this.#pairs, who >>> 1);
    const side = who & 1;
    const from = pair.peers[side];
    const to = pair.peers[1 - side];
    // biome-ignore format: a table
    switch (kind % 20) {
      case 0: this.#open(pair, side, a, b, c); break;
      case 1: this.#open(pair, 0, a, b, c); this.#accept(pair, 1, b, c); this.#acknowledge(pair, 0, 0); break;
      case 2: this.#accept(pair, side, a, b); break;
      case 3: case 4: this.#acknowledge(pair, side, a); break;
      case 5: case 6: case 7: this.#data(pair, side, PSH | ACK, pick(SOME_LENGTHS, a), b); break;
      case 8: this.#data(pair, side, FIN | ACK, a % 4 === 0 ? pick(SOME_LENGTHS, b) : 0, c); break;
      case 9: this.#data(pair, 0, FIN | ACK, 0, 0); this.#data(pair, 1, FIN | ACK, 0, 0); this.#acknowledge(pair, 0, 0); break;
      case 10: this.#send(pair, side, { flags: a % 2 ? RST | ACK : RST, seq: from.next + pick(SOME_OFFSETS, b >>> 3), ack: c % 3 === 0 ? 0 : to.next, length: 0, options: [] }); break;
      case 11: case 12: this.#again(pair, side, a, b, c); break;
      case 13: from.next = (from.next + pick(SOME_LENGTHS, a)) >>> 0; break;
      case 14: this.#hold(pair, side, a); break;
      case 15: case 16: this.#wild(pair, side, a, b, c); break;
      case 17: this.#send(pair, side, { flags: ACK, seq: from.next - 1, ack: to.next, length: a % 2, options: [] }); break;
      case 18: from.window = pick(SOME_WINDOWS, a); break;
      default: this.#data(pair, side, PSH | ACK, b % 8 === 7 ? 20_000 : pick(SOME_LENGTHS, a), c);
    }
  }

  #send({ ends, ports, peers }: Pair, side: number, sent: Sent): void {
    const { window } = peers[side];
    const segment = { ...sent, sport: ports[side], dport: ports[1 - side], window };
    const frame = packet(ends[side], PROTOCOL.TCP, segmentBytes(segment));
    this.packets.push({ frame, timeMs: this.#nowMs, passes: COMMIT_PASS });
    const log = peers[side].sent;
    log.push(sent);
    if (log.length > MAX_SENT) log.shift();
  }

  /** A SYN: of a new incarnation, or the same again. */
  #open(pair: Pair, side: number, a: number, b: number, c: number): void {
    const peer = pair.peers[side];
    if (a % 2 === 0) peer.isn = (pick(SOME_ISNS, a >>> 1) + (c % 1000)) >>> 0;
    peer.scale = pick(SOME_SCALES, b >>> 2);
    const options = b % 4 === 0 ? [] : scaleOption(peer.scale, c);
    this.#send(pair, side, { flags: SYN, seq: peer.isn, ack: 0, length: c % 16 === 15 ? 10 : 0, options });
    peer.next = (peer.isn + 1) >>> 0;
  }

  #accept(pair: Pair, side: number, a: number, b: number): void {
    const peer = pair.peers[side];
    const options = a % 4 === 0 ? [] : scaleOption(pick(SOME_SCALES, a >>> 2), b);
    this.#send(pair, side, { flags: SYN | ACK, seq: peer.isn, ack: pair.peers[1 - side].next, length: 0, options });
    peer.next = (peer.isn + 1) >>> 0;
  }

  #acknowledge(pair: Pair, side: number, a: number): void {
    const behind = a % 4 === 3 ? pick(SOME_LENGTHS, a >>> 2) : 0;
    const ack = pair.peers[1 - side].next - behind;
    this.#send(pair, side, { flags: ACK, seq: pair.peers[side].next, ack, length: 0, options: [] });
  }

  #data(pair: Pair, side: number, flags: number, length: number, word: number): void {
    const peer = pair.peers[side];
    const urgent = word % 32 === 31 ? URG : 0;
    this.#send(pair, side, {
      flags: flags | urgent,
      seq: peer.next,
      ack: pair.peers[1 - side].next,
      length,
      options: [],
    });
    peer.next = (peer.next + length + (flags & FIN)) >>> 0;
  }

  /** A segment sent before: as it was, with a newer acknowledgement, or cut elsewhere. */
  #again(pair: Pair, side: number, a: number, b: number, c: number): void {
    const { sent } = pair.peers[side];
    if (sent.length === 0) return;
    const one = pick(sent, a);
    const ack = b % 2 === 0 ? one.ack : pair.peers[1 - side].next;
    const shift = c % 4 === 0 ? (c >>> 2) % 50 : 0;
    this.#send(pair, side, { ...one, ack, seq: one.seq + shift });
  }

  /** Keeps a data segment back, and lets go of the one kept before. */
  #hold(pair: Pair, side: number, a: number): void {
    const peer = pair.peers[side];
    if (peer.held !== undefined) this.#send(pair, side, peer.held);
    const length = pick(SOME_LENGTHS, a);
    peer.held = { flags: PSH | ACK, seq: peer.next, ack: pair.peers[1 - side].next, length, options: [] };
    peer.next = (peer.next + length) >>> 0;
  }

  /** Any flags, at a place where a bound may lie. */
  #wild(pair: Pair, side: number, a: number, b: number, c: number): void {
    const from = pair.peers[side];
    const to = pair.peers[1 - side];
    const flags = a % 4 === 0 ? (a >>> 2) & 0xff : ACK | (a % 8 === 1 ? PSH : 0);
    const seq = from.next + offset(b, to);
    const ack = to.next + offset(c, from);
    const length = pick(SOME_LENGTHS, a >>> 10);
    this.#send(pair, side, { flags, seq, ack, length, options: (flags & SYN) !== 0 ? scaleOption(c % 16, b) : [] });
  }
}

/** Somewhere near the edge of a window. */
function offset(word: number, { window, scale }: Peer): number {
  const fine = ((word >>> 16) % 5) - 2;
  switch (word % 8) {
    case 0:
      return fine;
    case 1:
      return pick(FAR_OFFSETS, word >>> 3) + fine;
    case 2:
      return (window << (scale & 15)) + fine;
    case 3:
      return -(window << (scale & 15)) + fine;
    case 4:
      return window + fine;
    default:
      return pick(SOME_OFFSETS, word >>> 3) + fine;
  }
}

export function tcpTraffic(script: Script): Traffic {
  const play = new Play(script.subarray(0, STEP_WORDS));
  for (let step = 1; step < stepsOf(script); step++) {
    play.step(script.subarray(step * STEP_WORDS, (step + 1) * STEP_WORDS));
  }
  return { packets: play.packets, checksSequence: script[4] % 8 !== 7 };
}
