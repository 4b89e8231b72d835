/**
 * What `flowshard flood` says to people: how far it is, and what became of the sessions and the table.
 *
 * Imports line-writer, numbers, progress, section, engine/histogram, engine/top, flood/, ../reason. Imported by flood.
 */
import type { Quantiles } from '../engine/histogram.js';
import { TOP_BY, TOP_OF, type TopBy, type TopOf } from '../engine/top.js';
import type { Evicted, FloodReport, Hitter } from '../flood/report.js';
import type { RunOptions, Stage } from '../flood/run.js';
import { REASON, reasonMeaning } from '../reason.js';
import type { LineWriter } from './line-writer.js';
import { formatCount, formatDuration, formatShare } from './numbers.js';
import { formatBytes } from './progress.js';
import { section } from './section.js';

/** Over so long speeds are averaged, at the least; twice as long at the most. */
const SPEED_MS = 500;

/** What is going on now: the speeds of the last second or half of one, not those since the flood began. */
export class LiveSpeed {
  #from: Stage | undefined;
  #next: Stage | undefined;

  /** Packets judged and connections created per second. */
  at(stage: Stage): { readonly packets: number; readonly created: number } {
    this.#from ??= stage;
    this.#next ??= stage;
    if (stage.elapsedMs - this.#next.elapsedMs >= SPEED_MS) {
      this.#from = this.#next;
      this.#next = stage;
    }
    const seconds = (stage.elapsedMs - this.#from.elapsedMs) / 1000;
    if (seconds <= 0) return { packets: 0, created: 0 };
    return {
      packets: (stage.packets - this.#from.packets) / seconds,
      created: (stage.created - this.#from.created) / seconds,
    };
  }
}

/** The lines while a flood is going on, each short enough for a terminal of 80 columns. */
export function stageText(stage: Stage, options: RunOptions, speed: LiveSpeed): string {
  const { packets, created } = speed.at(stage);
  const lines = [
    [
      formatDuration(stage.elapsedMs),
      `${formatCount(packets)} packets/s`,
      `${formatCount(created)} new/s`,
      `table ${formatShare(stage.connections, options.maxConnections)}`,
      `p99 ${formatDuration(stage.p99Us / 1000)}`,
    ],
    [`established ${formatCount(stage.kept)} of ${formatCount(options.established)} kept`],
    [`evicted ${evictedText(stage.evicted)}`],
  ];
  return lines.map(items => items.join('  ')).join('\n');
}

/** Connections evicted by class, those of which there are any. */
function evictedText(evicted: Evicted): string {
  const some = Object.entries(evicted).filter(([, count]) => count > 0);
  return some.length === 0 ? 'none' : some.map(([name, count]) => `${formatCount(count)} ${name}`).join(', ');
}

/** Prints the summary. @throws as writeOutput() */
export function printFlood(writer: LineWriter, report: FloodReport): void {
  const lines = [
    ...headLines(report),
    ...section('packets by reason', reasonRows(report)),
    ...section('connections', connectionRows(report)),
    ...hitterLines(report),
    ...section('time of a batch of up to 64 packets', quantileRows(report.batchLatencyUs)),
    ...section('time of a step of the sweeper', quantileRows(report.sweepStepUs)),
    ...section('how late the sweeper removed what had ended', lagRows(report.sweepLagMs)),
    ...section('memory', memoryRows(report)),
  ];
  for (const line of lines) writer.text(`${line}\n`);
}

function headLines(report: FloodReport): string[] {
  const { kind, clock, seconds, tookSeconds, packets, mpps } = report;
  const time = clock === 'virtual' ? `${formatDuration(seconds * 1000)} of virtual time in ` : '';
  const speed = `${formatDuration(tookSeconds * 1000)}, ${mpps.toFixed(2)} million packets per second`;
  const { established, establishedEvicted, establishedMisjudged } = report;
  return [
    `${kind}: ${formatCount(packets)} packets in ${time}${speed}${report.isInterrupted ? ' (interrupted)' : ''}`,
    `established sessions: ${formatCount(established)}, ${formatCount(establishedEvicted)} lost, ` +
      `${formatCount(establishedMisjudged)} of their packets misjudged`,
  ];
}

function reasonRows({ reasons, packets }: FloodReport): string[][] {
  return Object.entries(reasons)
    .sort((a, b) => b[1] - a[1])
    .map(([name, count]) => [
      formatCount(count),
      formatShare(count, packets),
      name,
      reasonMeaning(REASON[name as keyof typeof REASON]),
    ]);
}

function connectionRows(report: FloodReport): string[][] {
  const { created, refused, evicted, expired, replaced, connections, maxConnections } = report;
  const evictions = Object.entries(evicted)
    .filter(([name, count]) => count > 0 || name === 'established')
    .map(([name, count]) => [formatCount(count), `${name} evicted`]);
  return [
    [formatCount(created), 'created'],
    [formatCount(refused), 'refused'],
    ...evictions,
    [formatCount(expired), 'expired'],
    [formatCount(replaced), 'replaced by a new connection with the same addresses and ports'],
    ...emergencyRows(report),
    ...(report.expectations > 0 ? [[formatCount(report.expectations), 'expectations announced']] : []),
    [formatCount(connections), `in the table at the end, ${formatShare(connections, maxConnections)} of it`],
  ];
}

function emergencyRows({ emergencies: { begun, ended } }: FloodReport): string[][] {
  return begun + ended === 0 ? [] : [[formatCount(begun), `emergencies began, ${formatCount(ended)} ended`]];
}

const TOP_TITLES = { new: 'new connections', packets: 'packets, about,' } as const satisfies Record<TopOf, string>;

/** Those whose count is known well enough to stand out from what a sketch holds by chance. */
function hitterLines({ top }: FloodReport): string[] {
  if (top === null) return [];
  return TOP_OF.flatMap(what => TOP_BY.flatMap(by => hitterSection(what, by, top[what][by])));
}

function hitterSection(what: TopOf, by: TopBy, hitters: readonly Hitter[]): string[] {
  const rows = hitters
    .filter(({ least, most }) => least * 2 > most)
    .map(({ name, least, most }) => [
      formatCount(least),
      least === most ? name : `${name}, at the most ${formatCount(most)}`,
    ]);
  const lines = rows.length > 0 ? rows : [[`no ${by} stands out`]];
  return section(`${TOP_TITLES[what]} of this minute and the last, by ${by}`, lines);
}

/** Nothing where nothing was measured. */
function quantileRows(quantiles: Quantiles | null): string[][] {
  if (quantiles === null || quantiles.count === 0) return [];
  return rowsOf(quantiles, us => `${us.toFixed(1)} µs`);
}

function rowsOf({ p50, p99, p999, max }: Quantiles, format: (value: number) => string): string[][] {
  const names = ['p50', 'p99', 'p99.9', 'longest'];
  return [p50, p99, p999, max].map((value, index) => [format(value), names[index]]);
}

/** Nothing where nothing has ended. */
function lagRows(lagMs: Quantiles): string[][] {
  return lagMs.count === 0 ? [] : rowsOf(lagMs, formatDuration);
}

function memoryRows({ heapBytes, rssBytes }: FloodReport): string[][] {
  return [
    [formatBytes(heapBytes.start), 'heap at the start', formatBytes(heapBytes.end), 'at the end'],
    [formatBytes(rssBytes.start), 'resident at the start', formatBytes(rssBytes.end), 'at the end'],
  ];
}
