/**
 * The rules of `replay --flows`: their text, and the names that they may call ports by.
 *
 * Imports engine/pipeline (types), pcap/. Imported by replay.
 */
import { readFileSync, statSync } from 'node:fs';
import type { FlowRules } from '../engine/pipeline.js';
import { oneLine, systemReason } from '../pcap/descriptor.js';
import { CaptureReader } from '../pcap/reader.js';

/** @throws Error with a one-line message when the file of the rules cannot be read */
export function readFlowRules(path: string, capture: string): FlowRules {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new Error(`${oneLine(path)}: cannot open: ${systemReason(error)}`);
  }
  return { text, ports: interfaceNames(capture) };
}

/**
 * Names of the interfaces that a capture describes in front of its first packet, in order; empty for one without. A
 * pipe can be read only once, so its ports have numbers only.
 */
function interfaceNames(capture: string): string[] {
  let reader: CaptureReader | undefined;
  try {
    if (capture === '-' || !statSync(capture).isFile()) return [];
    reader = CaptureReader.open(capture);
    reader.next();
  } catch {
    // What is wrong with the capture is said when its packets are tracked.
  }
  const names = reader?.interfaces.map(({ name }) => name ?? '');
  reader?.close();
  return names ?? [];
}
