/**
 * Frame templates: whole Ethernet frames with right checksums, in which only what tells one packet from another is
 * rewritten, so that thousands of packets are built in the time that the engine takes to judge them.
 *
 * Flow number n goes from port 1024 + n mod 256 of client 10.0.0.0 + n / 256 to one port of one server; over IPv6 the
 * same words end addresses of one /96. The engine's hash is keyed, so neighbouring flows lie anywhere in the table.
 *
 * Imports nothing of the project: frames that the code under test had a hand in would prove little. Imported by the
 * other files of bench/.
 */
export interface TemplateOptions {
  readonly family: 4 | 6;
  readonly protocol: 'udp' | 'tcp';
  /** Bytes behind the L4 header. */
  readonly payload: number;
  /** TCP flags, options (a multiple of four bytes) and window. */
  readonly flags?: number;
  readonly options?: readonly number[];
  /** An 802.1Q tag. */
  readonly isTagged?: boolean;
}

export interface Template {
  readonly bytes: Uint8Array;
  readonly isIpv6: boolean;
  readonly isTcp: boolean;
  readonly l3: number;
  readonly l4: number;
  /** The last words of the addresses, and the two checksums; IPv6 has no header checksum. */
  readonly srcAt: number;
  readonly dstAt: number;
  readonly headerSumAt: number;
  readonly l4SumAt: number;
  /** Sums over what writeFlow() does not rewrite. */
  readonly headerSum: number;
  readonly l4Sum: number;
}

const CLIENT_NET = 0x0a000000;
const SERVER = 0xc0a80001;
const FIRST_PORT = 1024;
const SERVER_PORT = 443;
/** 2001:db8:: and two more words of zeros, in front of the word that differs. */
const IPV6_PREFIX = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0];
const MACS = [0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1];
const VLAN_TAG = [0x81, 0x00, 0x00, 0x07];
const PROTOCOL = { udp: 17, tcp: 6 } as const;
const ACK = 0x10;
/** Without a scale: 65535 bytes, 44 full segments that nobody has acknowledged. */
const WINDOW = 0xffff;

function u16(value: number): number[] {
  return [value >>> 8, value & 0xff];
}

function u32(value: number): number[] {
  return [...u16(value >>> 16), ...u16(value & 0xffff)];
}

/** Sum of the 16-bit words in [from, end), not folded; an odd last byte is the high half of a word (RFC 1071). */
function sumOf(bytes: Uint8Array, from: number, end: number): number {
  let sum = 0;
  for (let at = from; at < end; at++) sum += (at - from) % 2 === 0 ? bytes[at] << 8 : bytes[at];
  return sum;
}

function checksumOf(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
  return ~folded & 0xffff;
}

function halves(word: number): number {
  return (word >>> 16) + (word & 0xffff);
}

function l4Header(options: TemplateOptions): number[] {
  const { protocol, payload, flags = ACK, options: tcpOptions = [] } = options;
  if (protocol === 'udp') return [...u16(0), ...u16(SERVER_PORT), ...u16(8 + payload), 0, 0];
  const words = 5 + tcpOptions.length / 4;
  const start = [...u16(0), ...u16(SERVER_PORT), ...u32(0), ...u32(0)];
  return [...start, words << 4, flags, ...u16(WINDOW), 0, 0, 0, 0, ...tcpOptions];
}

function l3Header(family: 4 | 6, protocol: number, length: number): number[] {
  if (family === 6) {
    const addresses = [...IPV6_PREFIX, ...u32(0), ...IPV6_PREFIX, ...u32(SERVER)];
    return [0x60, 0, 0, 0, ...u16(length), protocol, 64, ...addresses];
  }
  return [0x45, 0, ...u16(20 + length), 0, 0, 0x40, 0, 64, protocol, 0, 0, ...u32(0), ...u32(SERVER)];
}

export function createTemplate(options: TemplateOptions): Template {
  const { family, protocol, payload, isTagged = false } = options;
  const isIpv6 = family === 6;
  const link = [...MACS, ...(isTagged ? VLAN_TAG : []), ...u16(isIpv6 ? 0x86dd : 0x0800)];
  const number = PROTOCOL[protocol];
  const transport = l4Header(options);
  const length = transport.length + payload;
  const network = l3Header(family, number, length);
  const l3 = link.length;
  const l4 = l3 + network.length;
  const bytes = new Uint8Array(l4 + length);
  bytes.set([...link, ...network, ...transport]);
  for (let at = l4 + transport.length; at < bytes.length; at++) bytes[at] = at * 7;
  const addressesAt = l3 + (isIpv6 ? 8 : 12);
  const pseudoSum = sumOf(bytes, addressesAt, l4) + number + length;
  return {
    bytes,
    isIpv6,
    isTcp: protocol === 'tcp',
    l3,
    l4,
    srcAt: l3 + (isIpv6 ? 20 : 12),
    dstAt: l3 + (isIpv6 ? 36 : 16),
    headerSumAt: l3 + 10,
    l4SumAt: l4 + (protocol === 'udp' ? 6 : 16),
    headerSum: sumOf(bytes, l3, l4),
    l4Sum: pseudoSum + sumOf(bytes, l4, bytes.length),
  };
}

/**
 * Turns a copy of the template's bytes at `at` into a packet of flow number `flow`, with its checksums.
 * @param isReply from the server to the client
 * @param seq TCP sequence number, and `ack` the number acknowledged; not looked at for UDP
 */
export function writeFlow(
  view: DataView,
  at: number,
  template: Template,
  flow: number,
  isReply: boolean,
  seq: number,
  ack: number,
): void {
  const { isTcp, l4 } = template;
  const client = (CLIENT_NET + (flow >>> 8)) >>> 0;
  const port = FIRST_PORT + (flow & 0xff);
  view.setUint32(at + (isReply ? template.dstAt : template.srcAt), client);
  view.setUint32(at + (isReply ? template.srcAt : template.dstAt), SERVER);
  view.setUint16(at + l4 + (isReply ? 2 : 0), port);
  view.setUint16(at + l4 + (isReply ? 0 : 2), SERVER_PORT);
  // A sum does not mind the order of its words: both directions have the same.
  let sum = template.l4Sum + halves(client) + port;
  if (isTcp) {
    view.setUint32(at + l4 + 4, seq);
    view.setUint32(at + l4 + 8, ack);
    sum += halves(seq) + halves(ack);
  }
  const checksum = checksumOf(sum);
  view.setUint16(at + template.l4SumAt, checksum === 0 && !isTcp ? 0xffff : checksum);
  if (!template.isIpv6) view.setUint16(at + template.headerSumAt, checksumOf(template.headerSum + halves(client)));
}
