/**
 * Recorded traffic of real programs through the kernel's conntrack: where Linux and Open vSwitch say the same, so does the
 * engine; where they differ, the difference is one of those that the README lists, and the engine follows Open vSwitch.
 *
 * Needs root and namespaces; skips with the reason otherwise.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatCtState } from '../../src/track/state.js';
import { EngineWitness } from '../fuzz/engine-witness.js';
import { COMMIT_ONLY, COMMIT_PASS } from '../fuzz/traffic.js';
import { VERDICT, VERDICT_WORDS } from '../fuzz/verdicts.js';
import { captureNames, capturePackets, captureText } from '../support/captures.js';
import { LinuxTracker, type Logged, whyNoLinuxTracker } from './tracker.js';

interface Witnessed {
  readonly capture: string;
  /** Pairs `Open vSwitch / Linux` that may differ, and why. */
  readonly differs?: Readonly<Record<string, string>>;
}

const OLD_RESET = 'a reset for a connection that a reset has closed: Linux wants the exact sequence number';
const SIMULTANEOUS = 'simultaneous open: one connection to Linux, a new one at the second SYN to OVS';
const ODD_QUERY = 'ICMP address masks, and queries with a code: tracked by Linux only';
const ODD_ERROR = 'ICMP errors whose quoted packet OVS finds too short';
const FOREIGN_ICMP = 'ICMP in IPv6 and ICMPv6 in IPv4: invalid to Linux, a protocol without identifiers to OVS';

const CAPTURES: readonly Witnessed[] = [
  { capture: 'http-ipv4' },
  { capture: 'http-ipv6' },
  { capture: 'dns' },
  { capture: 'ping' },
  { capture: 'udp-both-ways' },
  { capture: 'mid-stream' },
  { capture: 'resets', differs: { 'est|trk / inv|trk': OLD_RESET } },
  {
    capture: 'half-open',
    differs: {
      'new|trk / est|rpl|trk': SIMULTANEOUS,
      'inv|trk / est|rpl|trk': SIMULTANEOUS,
      'inv|trk / est|trk': SIMULTANEOUS,
    },
  },
  {
    capture: 'icmp-misc',
    differs: {
      'inv|trk / new|trk': ODD_QUERY,
      'inv|trk / est|trk': ODD_QUERY,
      'inv|trk / est|rpl|trk': ODD_QUERY,
      'inv|trk / rel|rpl|trk': ODD_ERROR,
      'new|trk / inv|trk': FOREIGN_ICMP,
    },
  },
];

const ETHERNET_BYTES = 14;
/** The packets that must have been judged by both, of those that the capture holds. */
const LEAST_SHARE = 0.8;

/** ct_state by packet, as Linux logged it; a packet that it did not log, or did not track, is not there. */
function byPacket(frames: readonly Uint8Array[], log: readonly Logged[]): Map<number, string> {
  const states = new Map<number, string>();
  let next = 0;
  for (const { state, bytes } of log) {
    const isIt = (frame: Uint8Array) => Buffer.from(frame).subarray(ETHERNET_BYTES).equals(bytes);
    const found = frames.findIndex((frame, index) => index >= next && isIt(frame));
    if (found < 0) continue; // the namespace's own, such as neighbour discovery
    if (state !== 'untracked') states.set(found, state);
    next = found + 1;
  }
  return states;
}

const reason = whyNoLinuxTracker();

describe('Linux as a second witness', { skip: reason ?? false, concurrency: 3 }, () => {
  for (const { capture, differs = {} } of CAPTURES) {
    test(capture, async t => {
      assert.ok(captureNames().includes(capture));
      const packets = capturePackets(capture);
      const frames = packets.map(({ frame }) => frame);
      const tracker = new LinuxTracker();
      let log: Logged[] = [];
      try {
        log = await tracker.judge(frames);
      } finally {
        tracker.close();
      }
      const linux = byPacket(frames, log);
      const ovs = captureText(`${capture}.states`)
        .trimEnd()
        .split('\n')
        .map(line => line.slice(line.indexOf(': ') + 2));
      const traffic = packets.map(({ frame }) => ({ frame, timeMs: 0, passes: COMMIT_PASS }));
      const { words } = await new EngineWitness(COMMIT_ONLY).judge({ packets: traffic, checksSequence: true });
      assert.ok(linux.size >= frames.length * LEAST_SHARE, `${linux.size} of ${frames.length} packets were logged`);
      const unlike = new Map<string, number>();
      for (const [packet, state] of linux) {
        const ours = formatCtState(words[packet * VERDICT_WORDS + VERDICT.STATE]);
        assert.equal(ours, ovs[packet], `packet ${packet + 1}`);
        if (ours === state) continue;
        const pair = `${ours} / ${state}`;
        assert.ok(pair in differs, `packet ${packet + 1}: ${pair}`);
        unlike.set(pair, (unlike.get(pair) ?? 0) + 1);
      }
      const told = [...unlike].map(([pair, count]) => `${count} ${pair}`).join(', ');
      t.diagnostic(`${linux.size} of ${frames.length} packets judged by both; differ: ${told || 'none'}`);
    });
  }
});
