/**
 * Frames of real programs, damaged: a stretch of a golden capture in which bytes are changed, frames cut short, made
 * longer or taken from another place. Most of the damage is followed by a repair of the checksums, so that it gets past
 * them. And frames of random bytes behind an ethertype.
 *
 * Fragments are left out: whether they are reassembled is not a matter of one frame.
 *
 * Imports support/captures, anatomy, script, traffic, writer.
 */
import { type CapturedPacket, capturePackets, unfragmentedNames } from '../support/captures.js';
import { anatomyOf } from './anatomy.js';
import { type Script, STEP_WORDS, stepsOf } from './script.js';
import { COMMIT_PASS, type Traffic, type TrafficPacket } from './traffic.js';
import { ETHERNET_BYTES, sealHeader, sealMessage } from './writer.js';

const ETHERTYPES = [0x0800, 0x86dd, 0x8100, 0x88a8, 0x0806, 0x05dc, 0x0040];
const MAX_RANDOM = 120;
/** Bytes behind the link layer in which damage is likely to matter. */
const HEADERS = 80;
let captures: CapturedPacket[][] | undefined;

/** Read once. */
function goldenCaptures(): CapturedPacket[][] {
  captures ??= unfragmentedNames().map(capturePackets);
  return captures;
}

/** Makes the checksums right, as far as lengths allow. */
function repair(frame: Uint8Array): void {
  const found = anatomyOf(frame);
  if (found === undefined) return;
  const { isIpv6, l3, protocol, l4, end } = found;
  if (!isIpv6) sealHeader(frame, l3, l4 - l3);
  const [from, to, bytes] = isIpv6 ? [l3 + 8, l3 + 24, 16] : [l3 + 12, l3 + 16, 4];
  const ends = { src: frame.subarray(from, from + bytes), dst: frame.subarray(to, to + bytes) };
  sealMessage(frame, ends, protocol, l4, end);
}

function randomFrame(original: Uint8Array, row: Uint32Array): Uint8Array {
  const [, a, b, c] = row;
  const frame = new Uint8Array(ETHERNET_BYTES + (a % MAX_RANDOM));
  frame.set(original.subarray(0, ETHERNET_BYTES));
  const type = ETHERTYPES[b % ETHERTYPES.length];
  frame[12] = type >>> 8;
  frame[13] = type & 0xff;
  let word = c;
  for (let at = ETHERNET_BYTES; at < frame.length; at++) {
    word = (Math.imul(word, 1664525) + 1013904223) >>> 0;
    frame[at] = word >>> 24;
  }
  if (b % 2 === 0 && frame.length > ETHERNET_BYTES) frame[ETHERNET_BYTES] = type === 0x0800 ? 0x45 : 0x60;
  return frame;
}

/** A step of the script makes one frame out of the one whose turn it is. */
function mutated(original: Uint8Array, other: Uint8Array, row: Uint32Array): Uint8Array {
  const [kind, a, b, c] = row;
  const l3 = anatomyOf(original)?.l3 ?? ETHERNET_BYTES;
  const place = (word: number) => Math.min(12 + (word % (l3 + HEADERS - 12)), original.length - 1);
  let frame = Uint8Array.from(original);
  switch (kind % 16) {
    case 0:
    case 1:
    case 2:
      return frame;
    case 3:
      return frame.subarray(0, ETHERNET_BYTES + (a % (frame.length - ETHERNET_BYTES + 1)));
    case 4:
      frame = new Uint8Array(original.length + (a % 64));
      frame.set(original);
      break;
    case 5:
      if (l3 < frame.length) frame.set(other.subarray(l3, l3 + Math.min(a % HEADERS, frame.length - l3)), l3);
      break;
    case 6:
      return randomFrame(original, row);
    case 7:
      frame[place(a)] = b;
      frame[place(c)] = b >>> 8;
      return frame;
    case 8:
      frame[place(a)] = b;
      frame[place(b >>> 8)] = c;
      frame[place(c >>> 8)] ^= 1 << ((b >>> 24) % 8);
      break;
    default:
      frame[place(a)] ^= 1 << (b % 8);
      if (c % 2 === 1) frame[place(c >>> 8)] = b >>> 8;
  }
  repair(frame);
  return frame;
}

export function mutatedTraffic(script: Script): Traffic {
  const all = goldenCaptures();
  const captured = all[script[0] % all.length];
  const other = all[script[1] % all.length];
  const first = script[2] % captured.length;
  const packets: TrafficPacket[] = [];
  let turn = 0;
  let timeMs = 0;
  for (let step = 1; step < stepsOf(script); step++) {
    const row = script.subarray(step * STEP_WORDS, (step + 1) * STEP_WORDS);
    const [, , , , c, time] = row;
    if (time % 4 !== 3) turn++;
    const { frame: original } = captured[(first + turn) % captured.length];
    const frame = mutated(original, other[c % other.length].frame, row);
    if (anatomyOf(frame)?.isFragment) continue;
    packets.push({ frame, timeMs, passes: COMMIT_PASS });
    timeMs += time % 64 === 63 ? 10_000 : time % 2;
  }
  return { packets, checksSequence: true };
}
