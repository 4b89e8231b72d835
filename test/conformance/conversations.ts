/**
 * Packets of conversations under NAT. One end of a conversation sees other addresses than the other end, so a
 * conversation is two flows: `out` as its client sends, `back` as its server answers.
 *
 * Imports support/frames. Imported by the cases and tests of this folder.
 */
import {
  type Content,
  frame,
  icmp,
  icmpv6,
  ipv4,
  ipv6,
  type Packet,
  type Transport,
  tcp,
  udp,
} from '../support/frames.js';

/** One direction: source and destination. A port is the identifier for ICMP. */
export interface Flow {
  readonly src: string;
  readonly sport: number;
  readonly dst: string;
  readonly dport: number;
}

export interface Path {
  readonly out: Flow;
  readonly back: Flow;
}

export function isIpv6(address: string): boolean {
  return address.includes(':');
}

export function packet(flow: Pick<Flow, 'src' | 'dst'>, transport: Transport): Packet {
  const { src, dst } = flow;
  return isIpv6(src) ? ipv6({ src, dst }, transport) : ipv4({ src, dst }, transport);
}

export function sent(flow: Pick<Flow, 'src' | 'dst'>, transport: Transport): Uint8Array {
  return frame(packet(flow, transport));
}

/** A flow from the text `10.1.0.2:4000>10.2.0.2:80`; ports behind the last colon, also for IPv6. */
export function flow(text: string): Flow {
  const [src, sport, dst, dport] = text.split('>').flatMap(end => {
    const colon = end.lastIndexOf(':');
    return [end.slice(0, colon), end.slice(colon + 1)];
  });
  return { src, sport: Number(sport), dst, dport: Number(dport) };
}

export function path(out: string, back: string): Path {
  return { out: flow(out), back: flow(back) };
}

const CLIENT_SEQ = 0xffff_fff0;
const SERVER_SEQ = 0x7fff_fff0;

interface Segment {
  readonly flags: string;
  /** Bytes sent so far by this end and by the other one, SYN and FIN included. */
  readonly at?: number;
  readonly seen?: number;
  readonly payload?: string;
}

export function clientSegment(path: Path, { flags, at = 0, seen = 0, payload = '' }: Segment): Uint8Array {
  const { out } = path;
  const seq = (CLIENT_SEQ + at) >>> 0;
  const ack = flags.includes('A') ? (SERVER_SEQ + seen) >>> 0 : 0;
  return sent(out, tcp({ sport: out.sport, dport: out.dport, flags, seq, ack, payload }));
}

export function serverSegment(path: Path, { flags, at = 0, seen = 0, payload = '' }: Segment): Uint8Array {
  const { back } = path;
  const seq = (SERVER_SEQ + at) >>> 0;
  const ack = flags.includes('A') ? (CLIENT_SEQ + seen) >>> 0 : 0;
  return sent(back, tcp({ sport: back.sport, dport: back.dport, flags, seq, ack, payload }));
}

export function tcpOpening(path: Path): Uint8Array[] {
  return [
    clientSegment(path, { flags: 'S' }),
    serverSegment(path, { flags: 'SA', seen: 1 }),
    clientSegment(path, { flags: 'A', at: 1, seen: 1 }),
  ];
}

export function tcpClosing(path: Path, at = 1, seen = 1): Uint8Array[] {
  return [
    clientSegment(path, { flags: 'FA', at, seen }),
    serverSegment(path, { flags: 'FA', at: seen, seen: at + 1 }),
    clientSegment(path, { flags: 'A', at: at + 1, seen: seen + 1 }),
  ];
}

/** Opened, four bytes and an odd number of bytes, closed. */
export function tcpConversation(path: Path): Uint8Array[] {
  return [
    ...tcpOpening(path),
    clientSegment(path, { flags: 'PA', at: 1, seen: 1, payload: 'ping' }),
    serverSegment(path, { flags: 'PA', at: 1, seen: 5, payload: 'pong!' }),
    ...tcpClosing(path, 5, 6),
  ];
}

export function datagram(
  { src, dst, sport, dport }: Flow,
  payload: Content = 'payload',
  checksum?: number,
): Uint8Array {
  return sent({ src, dst }, udp({ sport, dport, payload, ...(checksum === undefined ? {} : { checksum }) }));
}

/** Question, answer, question, answer of an odd length. */
export function udpConversation({ out, back }: Path): Uint8Array[] {
  return [datagram(out, 'a'), datagram(back, 'bc'), datagram(out, 'def'), datagram(back, 'g')];
}

export function echo({ src, dst, sport: id }: Flow, isReply = false, sequence = 1): Uint8Array {
  const payload = 'echo me';
  const transport = isIpv6(src)
    ? icmpv6({ type: isReply ? 129 : 128, id, sequence, payload })
    : icmp({ type: isReply ? 0 : 8, id, sequence, payload });
  return sent({ src, dst }, transport);
}

/** Two echo requests, each with its reply; the identifier is the source port of a flow. */
export function pings({ out, back }: Path): Uint8Array[] {
  return [echo(out), echo(back, true), echo(out, false, 2), echo(back, true, 2)];
}

/** The frame of an ICMP error (default: port unreachable) that quotes the packet of `quoted`. */
export function icmpError(
  from: string,
  to: string,
  quoted: Uint8Array,
  { type, code, length }: { type?: number; code?: number; length?: number } = {},
): Uint8Array {
  const payload = quoted.subarray(14, length === undefined ? undefined : 14 + length);
  // The second word is unused but for the MTU that packet-too-big and fragmentation-needed carry.
  const rest = { id: 0, sequence: 0, payload };
  const transport = isIpv6(from)
    ? icmpv6({ type: type ?? 1, code: code ?? 4, ...rest })
    : icmp({ type: type ?? 3, code: code ?? 3, ...rest });
  return sent({ src: from, dst: to }, transport);
}
