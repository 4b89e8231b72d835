/**
 * One frame made into that of any of millions of flows, faster than building each.
 *
 * Imports support/frames.
 */
import { frame, ipv4, udp } from './frames.js';

/** Source port of every flow; they differ in the address. */
export const FLOW_PORT = 40_000;
const SRC_AT = 26;
const DST_LAST_AT = 33;
const IP_SUM_AT = 24;

/** A frame for {@link writeFlow}: UDP without a checksum, to 198.51.100.0, port 53. */
export function flowFrame(): Uint8Array {
  return frame(ipv4({ src: '10.0.0.0', dst: '198.51.100.0' }, udp({ sport: FLOW_PORT, dport: 53, checksum: 0 })));
}

/** Makes the frame that of flow `number`: source 10.x.x.x, last byte of the destination as given, header sum in order. */
export function writeFlow(bytes: Uint8Array, number: number, destination: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint32(SRC_AT, 0x0a000000 | number);
  bytes[DST_LAST_AT] = destination;
  view.setUint16(IP_SUM_AT, 0);
  let sum = 0;
  for (let at = 14; at < 34; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(IP_SUM_AT, ~sum & 0xffff);
}
