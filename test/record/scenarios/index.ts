/** All scenarios, in the order in which they are recorded: those made from others come last. */
import { DERIVED } from './derived.js';
import { EVERYDAY } from './everyday.js';
import { FRAGMENTS } from './fragments.js';
import { HEADERS } from './headers.js';
import { ICMP } from './icmp.js';
import { LONG_LIVED } from './long-lived.js';
import { NETWORK } from './network.js';
import type { Scenario } from './scenario.js';
import { TCP } from './tcp.js';
import { TRANSFER } from './transfer.js';

export const SCENARIOS: readonly Scenario[] = [
  ...EVERYDAY,
  ...TCP,
  ...NETWORK,
  ...ICMP,
  ...TRANSFER,
  ...HEADERS,
  ...DERIVED,
  LONG_LIVED,
  ...FRAGMENTS,
];
