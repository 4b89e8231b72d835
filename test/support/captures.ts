/**
 * The golden captures and what Open vSwitch 4.0 said of them, for tests without the program.
 *
 * Imports record/pcap, record/golden.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GOLDEN } from '../record/golden.js';
import { readPcap } from '../record/pcap.js';

export interface CapturedPacket {
  readonly frame: Uint8Array;
  /** Whole milliseconds since the first packet, never less than the packet before has: the clock of the answers. */
  readonly timeMs: number;
}

export function captureText(file: string): string {
  return readFileSync(join(GOLDEN, file), 'utf8');
}

export function captureNames(): string[] {
  return entries().map(({ name }) => name);
}

/** Those without fragments, each of whose packets can be judged by itself. */
export function unfragmentedNames(): string[] {
  return entries()
    .filter(({ hasFragments }) => hasFragments !== true)
    .map(({ name }) => name);
}

function entries(): readonly { readonly name: string; readonly hasFragments?: true }[] {
  return JSON.parse(captureText('index.json')).captures;
}

export function capturePackets(name: string): CapturedPacket[] {
  const packets = readPcap(join(GOLDEN, `${name}.pcap`));
  let nowMs = 0;
  return packets.map(({ time, data }) => {
    nowMs = Math.max(nowMs, Math.floor((time - packets[0].time) / 1000));
    return { frame: data, timeMs: nowMs };
  });
}
