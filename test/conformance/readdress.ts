/**
 * Captures as they would have been under NAT: what servers sent to a client goes to the address of NAT instead, quoted
 * packets included; or what clients sent to a server. Addresses and checksums are computed here from the bytes up, apart from the engine.
 *
 * Imports cli/program for the captures, support/sums.
 */
import { goldenPath, packetsOf } from '../cli/program.js';
import { ipv4Bytes, ipv6Bytes } from '../support/frames.js';
import { internetChecksum } from '../support/sums.js';
import type { PacketStep } from './judges.js';

/** Where addresses are in a frame, which one is replaced by which, and the network that the frame comes from. */
interface Form {
  readonly type: number;
  readonly src: number;
  readonly dst: number;
  readonly bytes: number;
  readonly client: readonly number[];
  readonly nat: readonly number[];
  readonly network: number;
}

const IPV4 = { type: 0x0800, src: 26, dst: 30, bytes: 4 };
const IPV6 = { type: 0x86dd, src: 22, dst: 38, bytes: 16 };
const V4: Form = { ...IPV4, client: ipv4Bytes('10.1.0.2'), nat: ipv4Bytes('10.9.9.9'), network: 2 };
const V6: Form = { ...IPV6, client: ipv6Bytes('fd00:1::2'), nat: ipv6Bytes('fd00:9::9'), network: 2 };
const SERVER_V4: Form = { ...IPV4, client: ipv4Bytes('10.2.0.2'), nat: ipv4Bytes('10.8.8.8'), network: 1 };
const SERVER_V6: Form = { ...IPV6, client: ipv6Bytes('fd00:2::2'), nat: ipv6Bytes('fd00:8::8'), network: 1 };

/** The packets of a golden capture, times from its first packet on. */
export function goldenSteps(name: string, change: (frame: Buffer) => Buffer = frame => frame): PacketStep[] {
  const packets = packetsOf(goldenPath(`${name}.pcap`));
  let atMs = 0;
  return packets.map(({ frame, timeMs }) => {
    // As the program's clock: whole milliseconds, never back.
    atMs = Math.max(atMs, Math.floor(timeMs - packets[0].timeMs + 0.0004));
    return { frame: change(frame), atMs };
  });
}

/** A frame of a server to the client, sent to the address of NAT instead; others as they are. */
export function readdressed(frame: Buffer): Buffer {
  return readdress(frame, [V4, V6]);
}

/** A frame of the client to the server, sent to the address that hides the server; others as they are. */
export function readdressedServer(frame: Buffer): Buffer {
  return readdress(frame, [SERVER_V4, SERVER_V6]);
}

function readdress(frame: Buffer, forms: readonly Form[]): Buffer {
  const type = frame.length > 34 ? frame.readUInt16BE(12) : 0;
  const form = forms.find(candidate => candidate.type === type);
  if (form === undefined || frame.length < form.dst + form.bytes) return frame;
  const { src, dst, bytes, client, nat, network } = form;
  const isIpv4 = type === IPV4.type;
  const isToClient = frame.subarray(dst, dst + bytes).equals(Buffer.from(client));
  if (!isToClient) return frame;
  // What the client's own router says never passed the gateway.
  const isFromThere = isIpv4 ? frame[src + 1] === network : frame.readUInt16BE(src + 2) === network;
  if (!isFromThere) return frame;
  Buffer.from(nat).copy(frame, dst);
  const ip = 14;
  const l4 = isIpv4 ? ip + (frame[ip] & 15) * 4 : ip + 40;
  const protocol = isIpv4 ? frame[ip + 9] : frame[ip + 6];
  const end = isIpv4 ? ip + frame.readUInt16BE(ip + 2) : l4 + frame.readUInt16BE(ip + 4);
  const isError = isIpv4 ? protocol === 1 && [3, 11].includes(frame[l4]) : protocol === 58 && frame[l4] < 128;
  if (isError) readdressQuoted(frame, l4 + 8, form);
  if (isIpv4) seal(frame, ip + 10, ip, l4, Buffer.alloc(0));
  const at = { 1: 2, 6: 16, 17: 6, 58: 2 }[protocol];
  if (at === undefined) return frame;
  if (protocol === 17 && frame.readUInt16BE(l4 + at) === 0) return frame;
  const addresses = frame.subarray(src, dst + bytes);
  const tail = Buffer.from([0, protocol, (end - l4) >>> 8, (end - l4) & 0xff]);
  seal(frame, l4 + at, l4, end, protocol === 1 ? Buffer.alloc(0) : Buffer.concat([addresses, tail]));
  return frame;
}

/** The quoted packet left the gateway with the address of NAT as its source. */
function readdressQuoted(frame: Buffer, ip: number, form: Form): void {
  const { src, bytes, client, nat } = form;
  const at = ip + src - 14;
  if (!frame.subarray(at, at + bytes).equals(Buffer.from(client))) return;
  Buffer.from(nat).copy(frame, at);
  const l4 = form.type === IPV4.type ? ip + (frame[ip] & 15) * 4 : ip + 40;
  if (form.type === IPV4.type) seal(frame, ip + 10, ip, l4, Buffer.alloc(0));
  const protocol = form.type === IPV4.type ? frame[ip + 9] : frame[ip + 6];
  const sumAt = { 6: 16, 17: 6, 58: 2 }[protocol];
  if (sumAt === undefined || l4 + sumAt + 2 > frame.length) return;
  const old = frame.readUInt16BE(l4 + sumAt);
  if (protocol === 17 && old === 0) return;
  // The rest of the packet may be missing: the old sum less the old address plus the new one.
  const words = [...client].map((byte, index) => ~byte & 0xff & (index < bytes ? 0xff : 0));
  const sum = internetChecksum(
    Buffer.concat([Buffer.from([~(old >>> 8) & 0xff, ~old & 0xff]), Buffer.from(words), Buffer.from(nat)]),
  );
  frame.writeUInt16BE(protocol === 17 && sum === 0 ? 0xffff : sum, l4 + sumAt);
}

/** Writes the checksum of `before` and the bytes [from, end) at `at`. */
function seal(frame: Buffer, at: number, from: number, end: number, before: Buffer): void {
  frame.writeUInt16BE(0, at);
  const sum = internetChecksum(Buffer.concat([before, frame.subarray(from, end)]));
  frame.writeUInt16BE(sum, at);
}
