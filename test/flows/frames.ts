/**
 * The frames of support/frames, and ARP.
 *
 * Imports support/frames.
 */
import { frame, ipv4Bytes, join, other, u16 } from '../support/frames.js';

export * from '../support/frames.js';

export interface ArpFields {
  readonly operation?: number;
  readonly sender?: string;
  readonly target?: string;
  readonly ethertype?: number;
  /** Hardware type, protocol type, and the lengths of the addresses. */
  readonly start?: readonly number[];
}

export function arpFrame(fields: ArpFields = {}): Uint8Array {
  const { operation = 1, sender = '10.0.0.1', target = '10.0.0.2', ethertype = 0x0806 } = fields;
  const { start = [0, 1, 8, 0, 6, 4] } = fields;
  const mac = [2, 0, 0, 0, 0, 1];
  const bytes = join(start, u16(operation), mac, ipv4Bytes(sender), [0, 0, 0, 0, 0, 0], ipv4Bytes(target));
  return frame(other(ethertype, bytes));
}
