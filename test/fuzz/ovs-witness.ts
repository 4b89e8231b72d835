/**
 * A live ovs-vswitchd as a witness: slower than a program of its own, and to be had wherever the package is installed.
 * It knows actions only as flow rules.
 *
 * Imports support/ovs, conformance/judges, anatomy, traffic, verdicts, witness, writer.
 */

import { parseAddress } from '../../src/nat/address.js';
import { CT } from '../../src/track/state.js';
import { FAMILY_IPV6 } from '../../src/wire/facts.js';
import { PORTS_OF_FRAGMENTS } from '../conformance/judges.js';
import { COMMIT_FLOWS, Ovs, type OvsReport } from '../support/ovs.js';
import { isFragment } from './anatomy.js';
import type { Traffic, TrafficPacket } from './traffic.js';
import { VERDICT, VERDICT_WORDS, Verdicts } from './verdicts.js';
import type { Witness } from './witness.js';
import { address, datagramBytes, PROTOCOL, packet } from './writer.js';

/** A packet that is no fragment. */
const TICK = packet({ src: address(false, 250), dst: address(false, 251) }, PROTOCOL.UDP, datagramBytes(1, 1, 0));
/** Longer than fragments wait. */
const PAUSE_MS = 16_000;

export class OvsWitness implements Witness {
  readonly #ovs: Ovs;
  #packets = 0;

  private constructor(ovs: Ovs) {
    this.#ovs = ovs;
  }

  /** @param flows what packets pass */
  static async start(flows = COMMIT_FLOWS): Promise<OvsWitness> {
    return new OvsWitness(await Ovs.start({ flows }));
  }

  get name(): string {
    return this.#ovs.version;
  }

  async judge({ packets, checksSequence }: Traffic): Promise<Verdicts> {
    await this.#ovs.command('dpctl/flush-conntrack');
    await this.#ovs.command(checksSequence ? 'dpctl/ct-enable-tcp-seq-chk' : 'dpctl/ct-disable-tcp-seq-chk');
    const verdicts = new Verdicts(packets.length);
    for (let from = 0, nowMs = 0; from < packets.length; ) {
      const { timeMs } = packets[from];
      const to = endOfBatch(packets, from);
      await this.#ovs.warp(timeMs - nowMs);
      const reports = await this.#ovs.inject(packets.slice(from, to).map(({ frame }) => ({ data: frame })));
      for (const report of reports) {
        const number = report.packet - 1 - this.#packets;
        read(report, verdicts, number);
        const tellsPorts = this.#ovs.versionNumber >= PORTS_OF_FRAGMENTS || report.original?.sourcePort !== 0;
        if (!tellsPorts && isFragment(packets[number].frame)) verdicts.untoldPorts.add(number);
      }
      nowMs = timeMs;
      from = to;
    }
    this.#packets += packets.length;
    verdicts.dump = await this.#ovs.dump('-m', '-s');
    if (packets.some(({ frame }) => isFragment(frame))) await this.#forgetFragments();
    return verdicts;
  }

  /** One datagram that has ended goes with each packet. */
  async #forgetFragments(): Promise<void> {
    await this.#ovs.warp(PAUSE_MS);
    while (!/^\s*num frag.*: 0$/m.test(await this.#ovs.command('dpctl/ipf-get-status'))) {
      await this.#ovs.inject([{ data: TICK }]);
      this.#packets++;
    }
  }

  close(): Promise<void> {
    return this.#ovs.stop();
  }
}

/**
 * Packets of one moment go together. A fragment goes alone: what comes with it meets the datagram that it has made whole
 * as it was before.
 */
function endOfBatch(packets: readonly TrafficPacket[], from: number): number {
  const { frame, timeMs } = packets[from];
  let to = from + 1;
  if (isFragment(frame)) return to;
  while (to < packets.length && packets[to].timeMs === timeMs && !isFragment(packets[to].frame)) to++;
  return to;
}

/** Shortest pause that is worth the clock of a switch: setting it takes longer than many packets. */
const SHORTEST_PAUSE_MS = 1000;

/** The same packets with the short pauses left out. */
export function hurried(traffic: Traffic): Traffic {
  let left = 0;
  let last = 0;
  const packets = traffic.packets.map(packet => {
    const pause = packet.timeMs - last;
    last = packet.timeMs;
    if (pause < SHORTEST_PAUSE_MS) left += pause;
    return { ...packet, timeMs: packet.timeMs - left };
  });
  return { ...traffic, packets };
}

/** A frame without IP never comes to conntrack, which refuses it. */
function read(
  { stateBits, zone, mark, label, original }: OvsReport,
  { words, untold }: Verdicts,
  number: number,
): void {
  const row = number * VERDICT_WORDS;
  words[row + VERDICT.PRESENT] = 1;
  words[row + VERDICT.STATE] = stateBits === 0 ? CT.INV | CT.TRK : stateBits;
  words[row + VERDICT.ZONE] = zone;
  words[row + VERDICT.MARK] = mark;
  for (let word = 0; word < 4; word++)
    words[row + VERDICT.LABEL + word] = Number((label >> BigInt(32 * word)) & 0xffff_ffffn);
  if (original === undefined) {
    untold.add(number);
    return;
  }
  const family = parseAddress(original.source, words, row + VERDICT.SRC);
  parseAddress(original.destination, words, row + VERDICT.DST);
  words[row + VERDICT.PROTOCOL] = original.protocol | (family === FAMILY_IPV6 ? FAMILY_IPV6 : 0);
  words[row + VERDICT.PORTS] = (original.sourcePort << 16) | original.destinationPort;
}
