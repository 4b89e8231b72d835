/**
 * The trackers of ICMP and ICMPv6 queries: a request, and whether it was answered. Behaviour: OVS `conntrack-icmp.c`.
 *
 * OVS picks the tracker by the IP protocol alone, so that ICMP inside IPv6 (and the reverse) comes here without a key
 * of its own; whether it may open a connection still depends on its first byte.
 *
 * Imports connection, expiry, protocol, timeouts, wire/, ../reason. Imported by track/trackers.
 */
import { REASON } from '../reason.js';
import { u8 } from '../wire/bytes.js';
import { FACT } from '../wire/facts.js';
import { ICMP, ICMPV6 } from '../wire/icmp.js';
import { CONN, STATUS_L4_MASK } from './connection.js';
import { restartTimeout } from './expiry.js';
import { CLASS, type L4Protocol, type TrackContext, UPDATE } from './protocol.js';
import { TIMEOUT } from './timeouts.js';

const { STATUS } = CONN;
const { L4, L4_END } = FACT;

const FIRST = 0;
const REPLIED = 1;
const TIMEOUT_OF = [TIMEOUT.icmp_first, TIMEOUT.icmp_reply] as const;

function tracker(requests: ReadonlySet<number>): L4Protocol {
  return {
    refusal(context, facts) {
      const l4 = context.facts[facts + L4];
      const isRequest = l4 < context.facts[facts + L4_END] && requests.has(u8(context.frames, l4));
      return isRequest ? REASON.none : REASON['icmp-not-request'];
    },
    create,
    update,
    classOf,
    timeoutOf,
  };
}

function create(context: TrackContext, conn: number, _facts: number): void {
  context.words[conn + STATUS] |= FIRST;
  restartTimeout(context, conn, TIMEOUT_OF[FIRST]);
}

function update(context: TrackContext, conn: number, _facts: number, isReply: boolean): number {
  const { words } = context;
  const status = words[conn + STATUS];
  const before = status & STATUS_L4_MASK;
  const state = isReply ? REPLIED : before;
  words[conn + STATUS] = (status & ~STATUS_L4_MASK) | state;
  restartTimeout(context, conn, TIMEOUT_OF[state]);
  if (state === FIRST) return UPDATE.VALID_NEW;
  return before === REPLIED ? UPDATE.VALID : UPDATE.VALID | UPDATE.CHANGED;
}

function classOf(words: Int32Array, conn: number): number {
  return (words[conn + STATUS] & STATUS_L4_MASK) === REPLIED ? CLASS.replied : CLASS['one-way'];
}

function timeoutOf(words: Int32Array, conn: number): number {
  return TIMEOUT_OF[words[conn + STATUS] & STATUS_L4_MASK];
}

export const icmp = tracker(new Set([ICMP.ECHO_REQUEST, ICMP.TIMESTAMP_REQUEST, ICMP.INFORMATION_REQUEST]));
export const icmpv6 = tracker(new Set([ICMPV6.ECHO_REQUEST]));
