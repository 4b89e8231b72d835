/**
 * What a flood has done to an engine, in numbers.
 *
 * Imports engine/, control/top, track/protocol, ../reason. Imported by run and cli/.
 */
import { formatTopEntry } from '../control/top.js';
import type { Counters, EventName } from '../engine/counters.js';
import type { Quantiles } from '../engine/histogram.js';
import type { ProfileName } from '../engine/policy.js';
import { TOP_BY, TOP_OF, type TopBy, type TopEntry, type TopOf, type TopQuery } from '../engine/top.js';
import type { ReasonName } from '../reason.js';
import type { ClassName } from '../track/protocol.js';

/** Reasons for which a new connection is refused. */
const REFUSALS: readonly ReasonName[] = [
  'zone-full',
  'table-full',
  'table-memory',
  'zone-rate',
  'source-rate',
  'half-open-limit',
  'nat-exhausted',
];

/** What is counted of each class that a connection is evicted from. */
const EVICTIONS = {
  'half-open': 'evictedHalfOpen',
  'one-way': 'evictedOneWay',
  closing: 'evictedClosing',
  replied: 'evictedReplied',
  established: 'evictedEstablished',
} as const satisfies Record<ClassName, EventName>;

/** Connections evicted, by class. */
export type Evicted = Readonly<Record<ClassName, number>>;

const HITTERS = 5;

export interface Usage {
  /** Of this thread's heap, and of the process. */
  readonly heapBytes: number;
  readonly rssBytes: number;
}

export interface FloodReport {
  readonly kind: string;
  readonly seed: number;
  readonly shards: number;
  readonly clock: 'wall' | 'virtual';
  readonly profile: ProfileName;
  readonly maxConnections: number;
  /** Seconds of the packets' clock, and of the wall clock. */
  readonly seconds: number;
  readonly tookSeconds: number;
  readonly isInterrupted: boolean;
  /** Packets judged, of the flood and of the sessions, and how many million of them per second of wall time. */
  readonly packets: number;
  readonly mpps: number;
  /** Those of the sessions among them. */
  readonly establishedPackets: number;
  /** A sum over all verdicts in the order of the packets, in hexadecimal: equal for runs in which all are equal. */
  readonly verdicts: string;
  /** Times that the flood had to wait because a ring was full; in virtual time with one shard the batch that is judged. */
  readonly stalls: number;
  /** Seconds of wall time that it waited. */
  readonly stalledSeconds: number;
  readonly created: number;
  /** New connections refused, and why. */
  readonly refused: number;
  readonly refusedBy: Readonly<Record<string, number>>;
  readonly evicted: Evicted;
  readonly expired: number;
  readonly replaced: number;
  /** Connections in the table at the end, the ended ones that no sweep has removed included. */
  readonly connections: number;
  /** Packets by reason. */
  readonly reasons: Readonly<Record<string, number>>;
  /** Sessions, those that were not known any more when a packet of theirs came, and their packets that were misjudged. */
  readonly established: number;
  readonly establishedEvicted: number;
  readonly establishedMisjudged: number;
  readonly batchLatencyUs: Quantiles | null;
  /** Times that an emergency began, and ended. */
  readonly emergencies: { readonly begun: number; readonly ended: number };
  /** Longest time that a thread waited for a lock, in microseconds. */
  readonly longestLockWaitUs: number;
  /** Steps of the sweeper, and how late it removed what had ended, in milliseconds. */
  readonly sweepStepUs: Quantiles;
  readonly sweepLagMs: Quantiles;
  /** Data connections that control connections have announced. */
  readonly expectations: number;
  /** Null when they were not counted. */
  readonly top: Hitters | null;
  readonly heapBytes: { readonly start: number; readonly end: number };
  readonly rssBytes: { readonly start: number; readonly end: number };
  /** After each minute of wall time. */
  readonly minutes: readonly Usage[];
}

export function usageNow(): Usage {
  const { heapUsed, rss } = process.memoryUsage();
  return { heapBytes: heapUsed, rssBytes: rss };
}

function evictedOf(count: (name: EventName) => number): Evicted {
  const entries = Object.entries(EVICTIONS).map(([name, event]) => [name, count(event)]);
  return Object.fromEntries(entries) as Record<ClassName, number>;
}

/** One of the most frequent: an address or a zone, and between which bounds its count lies. */
export interface Hitter {
  readonly name: string;
  readonly least: number;
  readonly most: number;
}

/** Of the last minute or two. */
export type Hitters = Readonly<Record<TopOf, Readonly<Record<TopBy, readonly Hitter[]>>>>;

export function hittersOf(top: (query: TopQuery) => TopEntry[]): Hitters {
  const hitters = (by: TopBy, what: TopOf) =>
    top({ by, what, count: HITTERS }).map(entry => ({
      name: formatTopEntry(entry),
      least: entry.least,
      most: entry.most,
    }));
  const byAll = (what: TopOf) =>
    Object.fromEntries(TOP_BY.map(by => [by, hitters(by, what)])) as Record<TopBy, Hitter[]>;
  return Object.fromEntries(TOP_OF.map(what => [what, byAll(what)])) as Record<TopOf, Record<TopBy, Hitter[]>>;
}

/** What was counted since `before`. */
export class Progressed {
  readonly #before: Counters;
  readonly #after: Counters;

  constructor(before: Counters, after: Counters) {
    this.#before = before;
    this.#after = after;
  }

  event(name: EventName): number {
    return this.#after.events[name] - this.#before.events[name];
  }

  reasons(): Record<string, number> {
    const counted = Object.entries(this.#after.reasons).map(
      ([name, count]) => [name, count - (this.#before.reasons[name] ?? 0)] as const,
    );
    return Object.fromEntries(counted.filter(([, count]) => count > 0));
  }

  evicted(): Evicted {
    return evictedOf(name => this.event(name));
  }

  refusals(): { readonly total: number; readonly by: Record<string, number> } {
    const all = Object.entries(this.reasons()).filter(([name]) => (REFUSALS as readonly string[]).includes(name));
    return { total: all.reduce((sum, [, count]) => sum + count, 0), by: Object.fromEntries(all) };
  }
}
