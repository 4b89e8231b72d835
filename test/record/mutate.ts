/** Damages recorded frames, by a seeded generator, without ever making a fragment. */
import { layersOf } from './flows.js';
import { checksum, crc32c, PROTOCOL, u16 } from './frames.js';

const NETWORK = 14;

export type Random = (below: number) => number;

/** Numbers below a bound, always the same for one seed. */
export function seeded(seed: number): Random {
  let state = seed;
  return below => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

type Change = (frame: Buffer, transport: number, random: Random) => Buffer;

/** Sets a byte or a 16-bit field, if the frame has it. */
function put(frame: Buffer, at: number, value: number, bytes = 1): Buffer {
  if (at + bytes <= frame.length) frame.writeUIntBE(value, at, bytes);
  return frame;
}

const isV6 = (frame: Buffer) => frame[12] === 0x86;

/** A change of 16 bits to a value nearby, zero or the largest. */
function nearby(value: number, random: Random): number {
  return [0, 1, value - 1, value + 1, value + 4, value - 8, 7, 0xffff, random(0x10000)][random(9)] & 0xffff;
}

/** Values of the protocol field behind which no IPv6 extension header hides. */
const PROTOCOLS = [1, 6, 17, 58, 132, 47, 59, 253];

const HEADER_CHANGES: readonly Change[] = [
  // The length of the IP packet.
  (frame, _, random) => {
    const at = isV6(frame) ? NETWORK + 4 : NETWORK + 2;
    return put(frame, at, nearby(frame.readUInt16BE(at), random), 2);
  },
  // Version and IPv4 header length.
  (frame, _, random) => put(frame, NETWORK, random(2) ? (frame[NETWORK] & 0xf0) | random(16) : random(256)),
  (frame, _, random) => put(frame, isV6(frame) ? NETWORK + 6 : NETWORK + 9, PROTOCOLS[random(PROTOCOLS.length)]),
  // Hop limit, a byte of an address.
  (frame, _, random) => put(frame, isV6(frame) ? NETWORK + 7 : NETWORK + 8, random(3)),
  (frame, transport, random) => put(frame, transport - 1 - random(8), random(256)),
];

const TRANSPORT_CHANGES: readonly Change[] = [
  (frame, transport, random) => put(frame, transport + random(2) * 2, 0, 2),
  (frame, transport, random) => put(frame, transport + random(8), random(256)),
  (frame, transport, random) => put(frame, transport + random(20), random(256)),
];

const BY_PROTOCOL: Readonly<Record<number, readonly Change[]>> = {
  [PROTOCOL.TCP]: [
    (frame, transport, random) => put(frame, transport + 13, random(256)),
    (frame, transport, random) => put(frame, transport + 13, random(64)),
    (frame, transport, random) => put(frame, transport + 12, random(256)),
    (frame, transport, random) => put(frame, transport + 4, random(0x10000), 2),
    (frame, transport, random) => put(frame, transport + 8, random(0x10000), 2),
    (frame, transport, random) => put(frame, transport + 20 + random(20), random(256)),
  ],
  [PROTOCOL.UDP]: [
    (frame, transport, random) => put(frame, transport + 4, nearby(frame.readUInt16BE(transport + 4), random), 2),
    (frame, transport) => put(frame, transport + 6, 0, 2),
  ],
  [PROTOCOL.ICMP]: [
    (frame, transport, random) => put(frame, transport, random(20)),
    (frame, transport, random) => put(frame, transport + 1, random(17)),
  ],
  [PROTOCOL.ICMPV6]: [
    (frame, transport, random) => put(frame, transport, random(2) ? random(6) : 126 + random(14)),
    (frame, transport, random) => put(frame, transport + 1, random(8)),
  ],
  [PROTOCOL.SCTP]: [
    (frame, transport, random) => put(frame, transport + 14, nearby(frame.readUInt16BE(transport + 14), random), 2),
    (frame, transport, random) => put(frame, transport + 12, random(16)),
  ],
};

/** The end of the frame cut away, or more behind it. */
function resize(frame: Buffer, random: Random): Buffer {
  if (random(3) === 0) return Buffer.concat([frame, Buffer.alloc(1 + random(40), 0x5a)]);
  return Buffer.from(frame.subarray(0, NETWORK + 2 + random(frame.length - NETWORK - 2)));
}

/** A damaged copy. Half of them get right checksums again, so that the damage lies deeper. */
export function mutate(original: Buffer, random: Random): Buffer {
  const layers = layersOf(original);
  if (layers === undefined) return original;
  const { transport, protocol } = layers;
  let frame = Buffer.from(original);
  const changes = [HEADER_CHANGES, TRANSPORT_CHANGES, BY_PROTOCOL[protocol] ?? TRANSPORT_CHANGES];
  for (let times = 1 + random(2); times > 0; times--) {
    const family = changes[[0, 1, 2, 2][random(4)]];
    frame = family[random(family.length)](frame, transport, random) as typeof frame;
  }
  if (random(2)) repair(frame, transport, layers.end, protocol);
  if (random(5) === 0) frame = resize(frame, random) as typeof frame;
  return unfragmented(frame);
}

const CHECKSUM_AT: Readonly<Record<number, number>> = {
  [PROTOCOL.ICMP]: 2,
  [PROTOCOL.ICMPV6]: 2,
  [PROTOCOL.TCP]: 16,
  [PROTOCOL.UDP]: 6,
};

/** Right checksums, for a reader that trusts the lengths the frame had before. */
function repair(frame: Buffer, transport: number, end: number, protocol: number): void {
  const v6 = isV6(frame);
  if (!v6) {
    frame.writeUInt16BE(0, NETWORK + 10);
    frame.writeUInt16BE(checksum(frame.subarray(NETWORK, transport)), NETWORK + 10);
  }
  const message = frame.subarray(transport, end);
  if (protocol === PROTOCOL.SCTP) {
    message.writeUInt32LE(0, 8);
    message.writeUInt32LE(crc32c(message), 8);
    return;
  }
  const at = CHECKSUM_AT[protocol];
  const addresses = v6 ? frame.subarray(NETWORK + 8, NETWORK + 40) : frame.subarray(NETWORK + 12, NETWORK + 20);
  const pseudo = protocol === PROTOCOL.ICMP ? [] : [addresses, u16(protocol, message.length)];
  message.writeUInt16BE(0, at);
  message.writeUInt16BE(checksum(...pseudo, message), at);
}

/** Clears what would make a fragment of it. */
function unfragmented(frame: Buffer): Buffer {
  if (!isV6(frame) && frame.length >= NETWORK + 8)
    frame.writeUInt16BE(frame.readUInt16BE(NETWORK + 6) & 0xc000, NETWORK + 6);
  return frame;
}
