/**
 * What `flowshard replay` says to people: what was in the capture, what became of its packets, what the table holds.
 *
 * Imports feed, line-writer, numbers, progress, section, table-text, verdicts, engine/, pcap/linktype. Imported by replay.
 */
import { PACKET } from '../engine/packet.js';
import { isSupportedLinkType, linkTypeName } from '../pcap/linktype.js';
import { REASON, REASON_COUNT, reasonMeaning, reasonName } from '../reason.js';
import { formatCtState } from '../track/state.js';
import type { Feed } from './feed.js';
import type { LineWriter } from './line-writer.js';
import { formatCount, formatDuration, formatShare } from './numbers.js';
import { formatBytes } from './progress.js';
import { section } from './section.js';
import type { ProtocolCount } from './table-text.js';
import { HELD_STATE, isHeld, type VerdictSink } from './verdicts.js';

const STATES = 256;
/** In place of a state: fragments that have not come back. */
const HELD = STATES;

/** Counts verdicts. */
export class Tally implements VerdictSink {
  readonly states = new Float64Array(STATES + 1);
  readonly reasons = new Float64Array(REASON_COUNT);
  readonly shards: Float64Array;

  constructor(shards: number) {
    this.shards = new Float64Array(shards);
  }

  pushed(): void {}

  verdict(words: Int32Array, at: number, shard: number): void {
    this.states[isHeld(words, at) ? HELD : words[at + PACKET.STATE] & (STATES - 1)]++;
    this.reasons[words[at + PACKET.REASON]]++;
    this.shards[shard]++;
  }

  flush(): void {}
}

/** What a summary is made from, besides the feed and the tally. */
export interface SummaryFacts {
  readonly file: string;
  readonly isInterrupted: boolean;
  /** From the first packet read to the last verdict. */
  readonly tookMs: number;
  /** Connections created, and removed because a new one took their place. */
  readonly created: number;
  readonly replaced: number;
  readonly table: readonly ProtocolCount[];
}

/** Prints the summary. @throws as writeOutput() */
export function printSummary(writer: LineWriter, feed: Feed, tally: Tally, facts: SummaryFacts): void {
  const lines = [
    ...captureLines(feed, facts),
    ...verdictLines(feed, tally),
    ...connectionLines(facts),
    ...shardLines(tally),
    ...speedLines(feed, facts),
  ];
  for (const line of lines) writer.text(`${line}\n`);
}

function captureLines(feed: Feed, facts: SummaryFacts): string[] {
  const lines = [`${facts.file === '-' ? 'standard input' : facts.file}${facts.isInterrupted ? ' (interrupted)' : ''}`];
  const links = feed.linkTypes.map(({ linkType, packets }) => {
    const count = feed.linkTypes.length > 1 ? ` (${formatCount(packets)} packets)` : '';
    const note = isSupportedLinkType(linkType) ? '' : ', whose frames are not understood and count as not IP';
    return `${linkTypeName(linkType)}${count}${note}`;
  });
  if (links.length > 0) lines.push(`  link type   ${links.join(', ')}`);
  const cut = feed.capturedBytes < feed.wireBytes ? `, ${formatBytes(feed.capturedBytes)} of them captured` : '';
  lines.push(`  packets     ${formatCount(feed.packets)}, ${formatBytes(feed.wireBytes)}${cut}`);
  if (feed.packets > 0) lines.push(`  duration    ${formatDuration(feed.latestMs - feed.earliestMs)}`);
  return lines;
}

function verdictLines(feed: Feed, tally: Tally): string[] {
  const states = ranked(tally.states).map(([state, packets]) => [
    formatCount(packets),
    formatShare(packets, feed.judged),
    state === HELD ? HELD_STATE : formatCtState(state),
  ]);
  const reasons = ranked(tally.reasons)
    .filter(([code]) => code !== REASON.none)
    .map(([code, packets]) => [
      formatCount(packets),
      formatShare(packets, feed.judged),
      reasonName(code),
      reasonMeaning(code),
    ]);
  return [...section('packets by state', states), ...section('packets by reason', reasons)];
}

function connectionLines(facts: SummaryFacts): string[] {
  const { created, replaced, table } = facts;
  const open = table.reduce((sum, count) => sum + count.connections, 0);
  // Not the sweeper's count: it may not have come by since the last packet.
  const expired = created - replaced - open;
  const fates = [
    [formatCount(created), 'created'],
    [formatCount(expired), 'expired'],
    [formatCount(replaced), 'replaced by a new connection with the same addresses and ports'],
    [formatCount(open), 'open at the end'],
  ];
  const protocols = table.map(({ protocol, connections, tcpStates }) => [
    formatCount(connections),
    /^\d+$/.test(protocol) ? `protocol ${protocol}` : protocol,
    [...tcpStates]
      .sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
      .map(([state, count]) => `${formatCount(count)} ${state}`)
      .join(', '),
  ]);
  return [...section('connections', fates), ...section('connections open at the end', protocols)];
}

function shardLines(tally: Tally): string[] {
  const total = tally.shards.reduce((sum, packets) => sum + packets, 0);
  const rows = [...tally.shards].map((packets, shard) => [
    formatCount(packets),
    formatShare(packets, total),
    `shard ${shard}`,
  ]);
  return section('packets by shard', rows);
}

function speedLines(feed: Feed, facts: SummaryFacts): string[] {
  const speed = facts.tookMs > 0 ? feed.judged / (facts.tookMs / 1000) : 0;
  return ['', `${formatDuration(facts.tookMs)}, ${formatCount(speed)} packets per second`];
}

/** Places and counts of what is not 0, the most frequent first. */
function ranked(counts: Float64Array): [place: number, count: number][] {
  const found: [number, number][] = [];
  counts.forEach((count, place) => {
    if (count > 0) found.push([place, count]);
  });
  return found.sort((a, b) => b[1] - a[1] || a[0] - b[0]);
}
