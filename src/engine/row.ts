/**
 * The words of a row (wire/rows) that are the engine's: what its passes tell one another about a packet.
 *
 * Imports wire/. Imported by the other files of engine/.
 */
import { FACT_WORDS } from '../wire/facts.js';

/** CANDIDATE and CANDIDATE_AT mean something only while the region in which they were looked up is held. */
export const ROW = {
  /** Region of the packet's key. */
  REGION: FACT_WORDS + 1,
  /** First word of the home bucket. */
  HOME: FACT_WORDS + 2,
  /** First word of the packet's action. */
  ACTION: FACT_WORDS + 3,
  /** CONN.KEY of the packet's connection if nothing but an update can come of it: see judgePlainRows(); else NO_KEY. */
  KEY: FACT_WORDS + 4,
  /** The record that is most likely the packet's, or NONE. */
  CANDIDATE: FACT_WORDS + 5,
  /** Its first word; with NONE that of record 0, which is never live. */
  CANDIDATE_AT: FACT_WORDS + 6,
} as const;

/** No connection's key: its protocol is above all that there are. */
export const NO_KEY = -1;

/** No region is locked, or a packet has none. */
export const NO_REGION = -1;
