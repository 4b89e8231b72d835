/**
 * Datagrams in fragments, from a script: UDP, TCP, echoes, ICMP errors and GRE over both families, with IPv4 options,
 * extension headers on either side of the fragment header, and VLAN tags; cut at random places and sent in any order,
 * twice, too late, overlapping, damaged or not all; among packets that are whole.
 *
 * Imports action-traffic, anatomy, datagram-traffic, script, traffic, writer, support/fragments, support/frames.
 */
import { type CutFields, carried, fragment, type Part } from '../support/fragments.js';
import { frame, icmp, icmpv6, ipv4, ipv6, type Packet, raw, type Transport, tcp, udp } from '../support/frames.js';
import { GATEWAY, rewrittenWell } from './action-traffic.js';
import { anatomyOf } from './anatomy.js';
import { type Cast, EVERYBODY } from './datagram-traffic.js';
import { type Script, STEP_WORDS, stepsOf } from './script.js';
import { CLEAR, COMMIT_AND_LOOK_PASSES, COMMIT_PASS, type Traffic, type TrafficPacket } from './traffic.js';
import { sealHeader } from './writer.js';

const SOME_LENGTHS = [2900, 1300, 4400, 2900, 600, 3000, 8000, 100, 20];
/** What fragments carry: as much as is usual, just enough not to be too small, a little less, much more, next to nothing. */
const SOME_SIZES = [1480, 1448, 1184, 1232, 1176, 1224, 2960, 1480, 8];
const LONG_PART = 30_000;
const SOME_IDS = [1, 2, 3, 0, 0xffff];
const SOME_FLAGS = ['S', 'SA', 'A', 'PA', 'FA', 'R'];
const SOME_OPTIONS = [[], [], [1, 1, 1, 1], [148, 4, 0, 0, 1, 1, 1, 0]];
const SOME_EXTENSIONS = [[], [], ['hop-by-hop'], ['destination'], ['hop-by-hop', 'destination']] as const;
const SOME_TAGS = [[], [], [], [{ id: 7 }], [{ type: 0x88a8, id: 3 }, { id: 4 }]];
/** Pauses around which fragments have waited too long, in milliseconds. */
const SOME_PAUSES = [15_000, 15_001, 14_999, 1, 5000, 30_000];
const LONG_PAUSE_MS = 14_999;
const DATAGRAMS = 4;
/** Around the longest datagram, whose frame may have 65,535 bytes. */
const LONGEST = 65_420;
const LONGEST_RANGE = 64;
const PATTERN = Uint8Array.from({ length: LONGEST + LONGEST_RANGE }, (_, index) => index * 31 + (index >> 8));

function pick<T>(list: readonly T[], word: number): T {
  return list[word % list.length];
}

interface Flow {
  readonly isIpv6: boolean;
  /** Last bytes of addresses. */
  readonly src: number;
  readonly dst: number;
  readonly sport: number;
  readonly dport: number;
  readonly isReply: boolean;
}

function turned({ isIpv6, src, dst, sport, dport, isReply }: Flow): Flow {
  return { isIpv6, src: dst, dst: src, sport: dport, dport: sport, isReply: !isReply };
}

interface Datagram {
  readonly flow: Flow;
  /** The word that chose what it carries. */
  readonly content: number;
  readonly packet: Packet;
  readonly fields: CutFields;
  readonly passes: readonly number[];
  /** Fragments to come, and those that have been sent. */
  readonly parts: Part[];
  readonly sent: Part[];
}

function addressText(isIpv6: boolean, host: number): string {
  return isIpv6 ? `2001:db8::${host.toString(16)}` : `10.0.0.${host}`;
}

/** UDP mostly. */
function transportOf(flow: Flow, word: number): Transport {
  const { isIpv6, src, dst, sport, dport, isReply } = flow;
  const isLongest = (word >>> 4) % 64 === 63;
  const length = isLongest ? LONGEST + ((word >>> 10) % LONGEST_RANGE) : pick(SOME_LENGTHS, word >>> 4);
  const payload = PATTERN.subarray(0, length);
  const sum = (word >>> 20) % 32 === 31 ? ({ checksum: 'wrong' } as const) : {};
  switch (word % 8) {
    case 0:
      return tcp({
        sport,
        dport,
        seq: 1000 + ((word >>> 8) % 3),
        flags: pick(SOME_FLAGS, word >>> 12),
        payload,
        ...sum,
      });
    case 1:
    case 2: {
      const echo = { id: 7 + ((word >>> 12) % 2), sequence: 1, payload, ...sum };
      return isIpv6 ? icmpv6({ type: isReply ? 129 : 128, ...echo }) : icmp({ type: isReply ? 0 : 8, ...echo });
    }
    case 3: {
      const back = { src: addressText(isIpv6, dst), dst: addressText(isIpv6, src) };
      const quoted = udp({ sport: dport, dport: sport, payload: payload.subarray(0, 1200) });
      const mtu = { id: 0, sequence: word % 128 < 64 ? 0 : 1280 };
      if (isIpv6) return icmpv6({ type: 2, code: 0, ...mtu, payload: ipv6(back, quoted).bytes, ...sum });
      return icmp({ type: 3, code: 4, ...mtu, payload: ipv4(back, quoted).bytes, ...sum });
    }
    case 4:
      return raw(47, payload);
    default:
      return udp({ sport, dport, payload, ...sum });
  }
}

function packetOf(
  flow: Flow,
  transport: Transport,
  word: number,
): { readonly packet: Packet; readonly unfragmentable: number } {
  const { isIpv6 } = flow;
  const ends = { src: addressText(isIpv6, flow.src), dst: addressText(isIpv6, flow.dst) };
  if (!isIpv6) return { packet: ipv4({ ...ends, options: pick(SOME_OPTIONS, word) }, transport), unfragmentable: 0 };
  const kinds = pick(SOME_EXTENSIONS, word);
  const extensions = kinds.map(kind => ({ kind }));
  return { packet: ipv6({ ...ends, extensions }, transport), unfragmentable: ((word >>> 4) % (kinds.length + 1)) * 8 };
}

/** Cuts of one size, of several sizes, or anywhere. */
function partsOf(size: number, word: number): Part[] {
  const parts: Part[] = [];
  for (let from = 0, index = 0; from < size; index++) {
    const some = word % 4 === 3 ? pick(SOME_SIZES, word >>> (2 + index)) : pick(SOME_SIZES, word >>> 2);
    const length = word % 4 === 2 ? 1184 + ((word >>> (4 + index)) % 64) * 8 : some;
    // Not too many of them.
    const to = Math.min(size, from + (index > 5 ? 2960 + ((size >> 3) & ~7) : length));
    parts.push({ from, to });
    from = to;
  }
  return parts;
}

class Play {
  readonly packets: TrafficPacket[] = [];
  /** Few, so that what is cut up meets connections. */
  readonly #flows: readonly Flow[];
  readonly #datagrams: Datagram[] = [];
  readonly #cast: Cast;
  #nowMs = 0;
  /** Fragments since nothing was held. */
  #fragments = 0;

  constructor(common: Uint32Array, cast: Cast) {
    this.#cast = cast;
    this.#flows = [0, 2, 4].map(word => {
      const [who, ports] = common.subarray(word, word + 2);
      const { src, dst } = cast.hosts(who >>> 1);
      return { isIpv6: who % 2 === 1, src, dst, ...cast.ports(ports, src), isReply: false };
    });
  }

  step(row: Uint32Array): void {
    const [kind, who, a, b, c, time] = row;
    this.#wait(time);
    const slot = (who >>> 16) % DATAGRAMS;
    const known = this.#datagrams[slot];
    const datagram = known === undefined || kind % 16 < 6 ? this.#begin(pick(this.#flows, who), a >>> 4, b, c) : known;
    this.#datagrams[slot] = datagram;
    const { parts, sent } = datagram;
    // biome-ignore format: a table
    switch (kind % 16) {
      case 0: case 1: case 2: case 3: case 8: case 9: this.#send(datagram, parts.length, c >>> 16); break;
      case 4: case 5: case 6: case 7: this.#send(datagram, 1 + (c % 3), c >>> 16); break;
      case 10: if (a % 2 === 0) parts.splice(a % (parts.length + 1), 1); else this.#answer(slot, a, b, c); break;
      case 11: if (sent.length > 0) this.#push(datagram, pick(sent, a), b); break;
      case 12: this.#push(datagram, anyPart(datagram, a, c), b); break;
      case 13: this.#damaged(datagram, a, b, c); break;
      case 14: this.#answer(slot, a, b, c); break;
      default: this.#whole(datagram);
    }
  }

  /** Whatever may have waited too long goes, a datagram with each packet. */
  #wait(time: number): void {
    const pause = time % 32 === 31 ? pick(SOME_PAUSES, time >>> 5) : (time >>> 4) % 3;
    this.#nowMs += pause;
    if (pause < LONG_PAUSE_MS) return;
    const tick = frame(ipv4({ src: '10.0.0.250', dst: '10.0.0.251' }, udp()));
    for (; this.#fragments > 0; this.#fragments--) {
      this.packets.push({ frame: tick, timeMs: this.#nowMs, passes: COMMIT_PASS });
    }
  }

  #begin(flow: Flow, content: number, b: number, c: number): Datagram {
    const transport = transportOf(flow, content);
    const { packet, unfragmentable } = packetOf(flow, transport, b);
    const fields = { id: pick(SOME_IDS, b >>> 8), tags: pick(SOME_TAGS, b >>> 12), unfragmentable };
    const [pass] = this.#cast.passes(b >>> 16, flow.isIpv6, transport.protocol, flow.src);
    const passes = pass === CLEAR ? COMMIT_PASS : [pass];
    return { flow, content, packet, fields, passes, parts: partsOf(carried(packet, fields), c), sent: [] };
  }

  /** Sends fragments in order, the last first, or any. */
  #send(datagram: Datagram, count: number, word: number): void {
    for (let left = count; left > 0 && datagram.parts.length > 0; left--) {
      const { length } = datagram.parts;
      const at = word % 4 < 2 ? 0 : word % 4 === 2 ? length - 1 : (word >>> (left % 12)) % length;
      const [part] = datagram.parts.splice(at, 1);
      datagram.sent.push(part);
      this.#push(datagram, part, word >>> 8);
    }
  }

  #push({ packet, fields, passes }: Datagram, part: Part, word: number): void {
    const trailer = word % 16 === 15 ? new Uint8Array(word % 40) : [];
    this.#add(fragment(packet, part, { ...fields, trailer }), passes);
  }

  #add(bytes: Uint8Array, passes: readonly number[]): void {
    this.packets.push({ frame: bytes, timeMs: this.#nowMs, passes });
    this.#fragments++;
  }

  /** A fragment with a bit of its headers changed, or cut short. */
  #damaged({ packet, fields, passes, parts, sent }: Datagram, a: number, b: number, c: number): void {
    const part = pick([...parts, ...sent, { from: 0, to: 1184 }], a);
    const bytes = fragment(packet, part, fields);
    if (c % 4 === 0) {
      this.#add(bytes.subarray(0, 14 + (b % (bytes.length - 13))), passes);
      return;
    }
    bytes[12 + (b % 60)] ^= 1 << ((b >>> 8) % 8);
    const found = anatomyOf(bytes);
    if (c % 4 > 1 && found?.isIpv6 === false) sealHeader(bytes, found.l3, found.l4 - found.l3);
    this.#add(bytes, passes);
  }

  #answer(slot: number, a: number, b: number, c: number): void {
    const { flow, content } = this.#datagrams[slot];
    const datagram = this.#begin(turned(flow), content, b, c);
    this.#datagrams[slot] = datagram;
    this.#send(datagram, datagram.parts.length, a);
  }

  #whole({ packet, fields, passes }: Datagram): void {
    if (packet.bytes.length > LONGEST) return; // no port takes it
    this.packets.push({ frame: frame(packet, { tags: fields.tags ?? [] }), timeMs: this.#nowMs, passes });
  }
}

/** A part with bounds that nobody has cut at; now and then it says wrongly whether there is more. */
function anyPart({ packet, fields }: Datagram, a: number, c: number): Part {
  const size = carried(packet, fields);
  const from = (a % Math.max(1, size)) & ~7;
  const to = Math.min(size, from + (c % 2 === 0 ? pick(SOME_SIZES, a >>> 16) : LONG_PART));
  return { from, to, ...(c % 4 === 3 ? { more: c % 16 === 3 } : {}) };
}

function play(script: Script, cast: Cast): Traffic {
  const made = new Play(script.subarray(0, STEP_WORDS), cast);
  for (let step = 1; step < stepsOf(script); step++) {
    made.step(script.subarray(step * STEP_WORDS, (step + 1) * STEP_WORDS));
  }
  return { packets: made.packets, checksSequence: true };
}

export function fragmentTraffic(script: Script): Traffic {
  return play(script, { ...EVERYBODY, passes: () => COMMIT_PASS });
}

/**
 * Through two actions of one zone. What the first one refuses leaves: it would wait in the second, where Open vSwitch looks
 * for it by a number that its flow cache may have forgotten, and judges it together with what makes its datagram whole.
 */
export function repeatedFragmentTraffic(script: Script): Traffic {
  const traffic = fragmentTraffic(script);
  const packets = traffic.packets.map(packet => ({ ...packet, passes: COMMIT_AND_LOOK_PASSES }));
  return { ...traffic, packets, leavesInvalid: true };
}

/** Through source and destination NAT, and zones. */
export function translatedFragmentTraffic(script: Script): Traffic {
  return rewrittenWell(play(script, GATEWAY));
}
