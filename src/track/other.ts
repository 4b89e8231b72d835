/**
 * The tracker of UDP, SCTP and every IP protocol without rules of its own: has the other side answered?
 * Behaviour: OVS `conntrack-other.c`.
 *
 * Imports connection, expiry, protocol, timeouts, ../reason. Imported by track/trackers and engine/judge-kernel.
 */
import { REASON } from '../reason.js';
import { CONN, STATUS_L4_MASK } from './connection.js';
import { restartTimeout } from './expiry.js';
import { CLASS, type L4Protocol, UPDATE } from './protocol.js';
import { TIMEOUT } from './timeouts.js';

const { STATUS } = CONN;

export const OTHER = { FIRST: 0, MULTIPLE: 1, BOTH_WAYS: 2 } as const;
const { FIRST, MULTIPLE, BOTH_WAYS } = OTHER;
const { VALID, VALID_NEW, CHANGED } = UPDATE;
const UDP_FIRST = TIMEOUT.udp_first;

/** The state after a packet in the original (0) or the reply direction (1): states only ever rise. */
const stateAfter = (state: number, reply: number): number => Math.max(state, MULTIPLE + reply);

/** The timeout of a state: the three are numbered in the same order. */
const timeoutOf = (state: number): number => UDP_FIRST + state;

export const other: L4Protocol = {
  refusal() {
    return REASON.none;
  },

  create(context, conn, _facts) {
    context.words[conn + STATUS] |= FIRST;
    restartTimeout(context, conn, timeoutOf(FIRST));
  },

  update(context, conn, _facts, isReply) {
    const { words } = context;
    const status = words[conn + STATUS];
    const before = status & STATUS_L4_MASK;
    const state = stateAfter(before, isReply ? 1 : 0);
    words[conn + STATUS] = (status & ~STATUS_L4_MASK) | state;
    restartTimeout(context, conn, timeoutOf(state));
    if (state !== BOTH_WAYS) return VALID_NEW;
    return before === BOTH_WAYS ? VALID : VALID | CHANGED;
  },

  classOf(words, conn) {
    return (words[conn + STATUS] & STATUS_L4_MASK) === BOTH_WAYS ? CLASS.replied : CLASS['one-way'];
  },

  timeoutOf(words, conn) {
    return timeoutOf(words[conn + STATUS] & STATUS_L4_MASK);
  },
};
