/**
 * Listing expectations: what `ovs-appctl dpctl/dump-conntrack-exp` prints, and the same as JSON.
 *
 * Imports alg/expectation, engine/, entry, format, json, sharedarraybuffer-hashmap. Imported by the public API.
 */
import { EXPECTATION, hasParent } from '../alg/expectation.js';
import { readLabel } from '../engine/batch.js';
import type { Tracker } from '../engine/tracker.js';
import {
  isLive,
  lockRegion,
  NONE,
  nextRecordLocked,
  recordAt,
  type SharedMap,
  unlockRegion,
} from '../sharedarraybuffer-hashmap/index.js';
import { isIpv6, protocolOf, zoneOf } from '../track/connection.js';
import { formatIpv4, formatIpv6 } from './address.js';
import type { Tuple } from './entry.js';
import { formatTuple, protocolName } from './format.js';
import { type JsonTuple, jsonTuple } from './json.js';

const E = EXPECTATION;
/** The table has one region. */
const REGION_0 = 0;
/** Expectations copied, and records looked at, under one lock. */
const COPY_RECORDS = 16;
const LOOK_RECORDS = 1024;

export interface ExpectationEntry {
  /** IP protocol number. */
  readonly protocol: number;
  readonly isIpv6: boolean;
  readonly zone: number;
  /** What the first packet looks like; its source port, 0 here, may be any. */
  readonly original: Tuple;
  /** Original direction of the control connection that announced it. */
  readonly parent: Tuple;
  readonly mark: number;
  readonly label: bigint;
  /** When it ends, in milliseconds. */
  readonly expiresMs: number;
}

/**
 * The expectations that have neither ended by `nowMs` nor lost their parent, in no particular order.
 * @param tracker the calling thread's own
 * @param filter which ones; default all
 * @throws Error when their table stays locked for two seconds
 */
export function* dumpExpectations(
  tracker: Tracker,
  nowMs: number,
  filter: { readonly zone?: number } = {},
): Generator<ExpectationEntry, void, undefined> {
  const entries: ExpectationEntry[] = [];
  let record: number = NONE;
  do {
    record = copyEntries(tracker, nowMs, record, entries);
    for (const entry of entries) if (filter.zone === undefined || entry.zone === filter.zone) yield entry;
    entries.length = 0;
  } while (record !== NONE);
}

/** Copies some expectations behind `record`. @returns the last one looked at, NONE at the end */
function copyEntries(tracker: Tracker, nowMs: number, record: number, entries: ExpectationEntry[]): number {
  const { map, owner } = tracker;
  const { expectations } = tracker.memory;
  if (!lockRegion(expectations, REGION_0, owner)) throw new Error('the expectations stay locked');
  let last = record;
  let looked = 0;
  do {
    const before = last;
    last = nextRecordLocked(expectations, REGION_0, last, LOOK_RECORDS - looked);
    looked += last - before;
    if (last === NONE || !isLive(expectations, last)) continue;
    const at = recordAt(expectations, last);
    const entry = readExpectationLocked(expectations, at);
    if (entry.expiresMs > nowMs && hasParent(map, expectations.words, at, nowMs)) entries.push(entry);
  } while (last !== NONE && looked < LOOK_RECORDS && entries.length < COPY_RECORDS);
  unlockRegion(expectations, REGION_0);
  return last;
}

function readExpectationLocked(map: SharedMap, at: number): ExpectationEntry {
  const { words, doubles } = map;
  const key = words[at + E.KEY];
  const address = (word: number) => (isIpv6(key) ? formatIpv6(words, at + word) : formatIpv4(words[at + word + 3]));
  const ports = words[at + E.PARENT_PORTS];
  return {
    protocol: protocolOf(key),
    isIpv6: isIpv6(key),
    zone: zoneOf(key),
    original: { src: address(E.SRC0), dst: address(E.DST0), srcPort: 0, dstPort: words[at + E.PORT] },
    parent: {
      src: address(E.PARENT_SRC0),
      dst: address(E.PARENT_DST0),
      srcPort: ports >>> 16,
      dstPort: ports & 0xffff,
    },
    mark: words[at + E.MARK] >>> 0,
    label: readLabel(words, at + E.LABEL),
    expiresMs: doubles[(at + E.EXPIRES) >>> 1],
  };
}

/** The expectation on one line, in OVS's order: what is 0 is left out. */
export function formatExpectation(entry: ExpectationEntry): string {
  const parts = [protocolName(entry.protocol), `orig=(${formatTuple(entry.original)})`];
  if (entry.zone !== 0) parts.push(`zone=${entry.zone}`);
  if (entry.mark !== 0) parts.push(`mark=${entry.mark}`);
  if (entry.label !== 0n) parts.push(`labels=0x${entry.label.toString(16)}`);
  parts.push(`parent=(${formatTuple(entry.parent)})`);
  return parts.join(',');
}

export interface JsonExpectation {
  readonly protocol: string;
  readonly protocolNumber: number;
  readonly family: 'ipv4' | 'ipv6';
  readonly zone: number;
  readonly original: JsonTuple;
  readonly parent: JsonTuple;
  readonly mark: number;
  /** As in JsonConnection. */
  readonly label: string;
  readonly expiresMs: number;
}

/** The expectation as plain values that JSON can hold. */
export function jsonExpectation(entry: ExpectationEntry): JsonExpectation {
  return {
    protocol: protocolName(entry.protocol),
    protocolNumber: entry.protocol,
    family: entry.isIpv6 ? 'ipv6' : 'ipv4',
    zone: entry.zone,
    original: jsonTuple(entry.original),
    parent: jsonTuple(entry.parent),
    mark: entry.mark,
    label: `0x${entry.label.toString(16)}`,
    expiresMs: entry.expiresMs,
  };
}
