/**
 * The tracker of UDP, SCTP and every IP protocol without rules of its own: has the other side answered?
 * Behaviour: OVS `conntrack-other.c`.
 *
 * Imports connection, expiry, protocol, timeouts, ../reason. Imported by track/trackers.
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

/** Timeout by state. */
const TIMEOUT_OF = [TIMEOUT.udp_first, TIMEOUT.udp_single, TIMEOUT.udp_multiple] as const;

export const other: L4Protocol = {
  refusal() {
    return REASON.none;
  },

  create(context, conn, _facts) {
    context.words[conn + STATUS] |= FIRST;
    restartTimeout(context, conn, TIMEOUT_OF[FIRST]);
  },

  update(context, conn, _facts, isReply) {
    const { words } = context;
    const status = words[conn + STATUS];
    const before = status & STATUS_L4_MASK;
    let state = before;
    if (isReply) state = BOTH_WAYS;
    else if (state === FIRST) state = MULTIPLE;
    words[conn + STATUS] = (status & ~STATUS_L4_MASK) | state;
    restartTimeout(context, conn, TIMEOUT_OF[state]);
    if (state !== BOTH_WAYS) return VALID_NEW;
    return before === BOTH_WAYS ? VALID : VALID | CHANGED;
  },

  classOf(words, conn) {
    return (words[conn + STATUS] & STATUS_L4_MASK) === BOTH_WAYS ? CLASS.replied : CLASS['one-way'];
  },
};
