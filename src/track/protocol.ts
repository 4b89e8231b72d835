/**
 * The shape that every L4 tracker has, and what it may answer. The table that picks one by IP protocol is trackers.ts.
 *
 * Imports wire/facts' layout only through its users. Imported by the trackers of track/ and by engine/.
 */

/** What a tracker works on: the caller's memory, borrowed for the call. */
export interface TrackContext {
  /** The connection table's words, and the same memory as doubles. */
  readonly words: Int32Array;
  readonly doubles: Float64Array;
  /** The frames of the batch. */
  readonly frames: DataView;
  /** The facts of the batch's packets. */
  readonly facts: Int32Array;
  /** Milliseconds, indexed by policy * TIMEOUT_POLICY_SIZE + TIMEOUT. */
  readonly timeoutsMs: Float64Array;
  /** One double: the time of the packet at hand, in milliseconds. As an argument it would become an object. */
  readonly now: Float64Array;
  /** First of the counts in `words` of TCP connections by laterTcpState(), to be kept when that changes. */
  readonly tcpCountsAt: number;
  /** TCP sequence numbers are checked against the windows (`dpctl/ct-enable-tcp-seq-chk`). */
  readonly checksSequence: boolean;
}

/**
 * What update() makes of a packet. A negative answer is minus the reason why the packet is invalid.
 */
export const UPDATE = {
  /** The packet belongs to an established connection. */
  VALID: 0,
  /** It belongs to one that has not been answered. */
  VALID_NEW: 1,
  /** It opens a new connection where a closed one stood: the old one is to be removed. */
  REPLACE: 2,
  /**
   * Bit beside VALID or VALID_NEW: the connection may be of another class now, or one of its TCP peers in another
   * state. An invalid packet can change the states of the peers too, and says nothing of it.
   */
  CHANGED: 4,
} as const;

/**
 * Classes of connections, the cheapest to lose first: what has not been answered costs its owner least, and is what
 * floods are made of.
 */
const CLASSES = [
  ['half-open', 'TCP, and not established on both sides yet'],
  ['one-way', 'any other protocol, and the other side has not answered'],
  ['closing', 'TCP that was established, and a FIN or a RST was seen'],
  ['replied', 'any other protocol, and both sides have sent'],
  ['established', 'TCP, established on both sides'],
] as const satisfies readonly (readonly [name: string, meaning: string])[];

export type ClassName = (typeof CLASSES)[number][0];

/** Names of the classes, the cheapest first. */
export const CLASS_NAMES: readonly ClassName[] = CLASSES.map(([name]) => name);

/** Number of a class by name, from 1 on; 0 stands for none. */
export const CLASS = Object.fromEntries(CLASSES.map(([name], index) => [name, index + 1])) as Readonly<
  Record<ClassName, number>
>;

export interface L4Protocol {
  /** REASON.none when a packet without a connection may open one, otherwise why not. */
  refusal(context: TrackContext, facts: number): number;
  /** Fills the L4 part of the new record at word `conn`, whose STATUS is otherwise set, and starts its timeout. */
  create(context: TrackContext, conn: number, facts: number): void;
  /** Takes a packet of the connection at word `conn` into account. @returns an UPDATE, or minus a reason */
  update(context: TrackContext, conn: number, facts: number, isReply: boolean): number;
  /** The class (CLASS) of the connection at word `conn`. */
  classOf(words: Int32Array, conn: number): number;
  /** The timeout (TIMEOUT) that goes with its state. */
  timeoutOf(words: Int32Array, conn: number): number;
}
