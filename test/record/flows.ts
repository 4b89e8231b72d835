/** Sorts recorded packets into conversations: enough parsing for untagged frames that are known to be sound. */
import { FLAG, PROTOCOL } from './frames.js';
import type { Packet } from './pcap.js';

export interface Layers {
  readonly version: 4 | 6;
  readonly protocol: number;
  /** Where the transport header starts in the frame, and where the IP packet ends. */
  readonly transport: number;
  readonly end: number;
  readonly source: string;
  readonly destination: string;
}

const NETWORK = 14;

/** Undefined if the frame is not plain IP in Ethernet. */
export function layersOf(frame: Buffer): Layers | undefined {
  const type = frame.readUInt16BE(12);
  if (type === 0x0800 && frame.length >= 34) {
    const transport = NETWORK + (frame[NETWORK] & 15) * 4;
    const [source, destination] = [frame.subarray(26, 30), frame.subarray(30, 34)].map(bytes => bytes.join('.'));
    return { version: 4, protocol: frame[23], transport, end: NETWORK + frame.readUInt16BE(16), source, destination };
  }
  if (type !== 0x86dd || frame.length < 54) return undefined;
  const [source, destination] = [frame.subarray(22, 38), frame.subarray(38, 54)].map(bytes => bytes.toString('hex'));
  return { version: 6, protocol: frame[20], transport: 54, end: 54 + frame.readUInt16BE(18), source, destination };
}

/** Fragments are no part of captures that do not say so. */
export function isFragment(frame: Buffer): boolean {
  const isIpv4 = layersOf(frame)?.version === 4 && frame[NETWORK] >> 4 === 4;
  return isIpv4 && (frame.readUInt16BE(NETWORK + 6) & 0x3fff) !== 0;
}

/** The same for both directions of a connection; for ICMP the identifier takes the place of the ports. */
function conversationOf(frame: Buffer): string | undefined {
  const layers = layersOf(frame);
  if (layers === undefined) return undefined;
  const { protocol, transport, source, destination } = layers;
  if (protocol === PROTOCOL.ICMP || protocol === PROTOCOL.ICMPV6) {
    return [protocol, frame.readUInt16BE(transport + 4), ...[source, destination].sort()].join(' ');
  }
  const hasPorts = protocol === PROTOCOL.TCP || protocol === PROTOCOL.UDP;
  const ports = hasPorts ? [frame.readUInt16BE(transport), frame.readUInt16BE(transport + 2)] : [0, 0];
  return [protocol, ...[`${source} ${ports[0]}`, `${destination} ${ports[1]}`].sort()].join(' ');
}

/** Frames of each conversation, in the order of their first packets. */
export function conversations(packets: readonly Packet[], protocol: number): Buffer[][] {
  const found = new Map<string, Buffer[]>();
  for (const { data } of packets) {
    const name = conversationOf(data);
    if (name === undefined || layersOf(data)?.protocol !== protocol) continue;
    const frames = found.get(name);
    if (frames) frames.push(data);
    else found.set(name, [data]);
  }
  return [...found.values()];
}

export function tcpFlags(frame: Buffer): number {
  return frame[(layersOf(frame)?.transport ?? 0) + 13];
}

export function hasFin(frame: Buffer): boolean {
  return (tcpFlags(frame) & FLAG.FIN) !== 0;
}

export function sameDirection(one: Buffer, other: Buffer): boolean {
  return layersOf(one)?.source === layersOf(other)?.source;
}
