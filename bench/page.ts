/**
 * A run as one HTML page that needs nothing else: what was measured on, plots, and all figures.
 *
 * Imports plot, result. Imported by cli/bench.
 */
import { escapeHtml, type Plot, plotSvg, type Series } from './plot.js';
import { type BenchReport, type BenchResult, COLUMN_NAMES, headLines, resultCells } from './result.js';

const STYLE = `
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 84rem; padding: 0 1rem; color: #1d2327; }
pre { background: #f4f5f6; padding: 1rem; overflow-x: auto; font-size: 13px; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(30rem, 1fr)); gap: 1.5rem; }
figure { margin: 0; border: 1px solid #d9dde1; padding: 1rem; }
figcaption { font-weight: 600; margin-bottom: .4rem; }
svg { width: 100%; height: auto; font-size: 12px; }
svg text { fill: #444b52; }
.grid { stroke: #e3e6e9; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { border-bottom: 1px solid #e3e6e9; padding: .25rem .6rem; text-align: right; white-space: nowrap; }
th:nth-child(-n+2), td:nth-child(-n+2), td:last-child, th:last-child { text-align: left; }
@media (prefers-color-scheme: dark) {
  body { background: #15181b; color: #dfe3e6; } pre { background: #1f2428; } figure, th, td { border-color: #333a40; }
  svg text { fill: #b9c0c6; } .grid { stroke: #2b3136; }
}`;

const grouped = new Intl.NumberFormat('en-US');

/** Updates and the like without anything special, which is what curves compare. */
function isPlain(result: BenchResult): boolean {
  const { popularity, newShare, nat, checksums, hints } = result;
  return (
    popularity === undefined &&
    newShare === undefined &&
    nat === undefined &&
    checksums !== 'verified' &&
    hints !== 'l3' &&
    result.nsPerPacket !== null
  );
}

/** One curve per value of `by`, points by `x`. */
function seriesOf(
  results: readonly BenchResult[],
  by: (result: BenchResult) => string,
  x: (result: BenchResult) => number,
  y: (result: BenchResult) => number,
): Series[] {
  const names = [...new Set(results.map(by))];
  return names.map(name => {
    const points = new Map(
      results.filter(result => by(result) === name).map(result => [x(result), y(result)] as const),
    );
    return { name, points: [...points].sort((a, b) => a[0] - b[0]) };
  });
}

const ns = (result: BenchResult) => result.nsPerPacket ?? 0;
const mpps = (result: BenchResult) => result.mpps ?? 0;
const connectionsOf = (result: BenchResult) => result.connections;

function plotsOf(report: BenchReport): Plot[] {
  const plain = report.results.filter(isPlain);
  const standard = plain.filter(({ batch }) => batch === null || batch === report.batch);
  const sized = (work: string, title: string): Plot => ({
    title,
    xLabel: 'connections',
    yLabel: work === 'delete' ? 'ns per connection' : 'ns per packet',
    series: seriesOf(
      standard.filter(result => result.work === work && result.shards === 1),
      ({ mix }) => mix,
      connectionsOf,
      ns,
    ),
    isLogarithmic: true,
  });
  const batches = plain.filter(({ work, mix, shards }) => work === 'update' && mix === 'udp4' && shards === 1);
  const sizes = [...new Set(batches.filter(({ batch }) => batch !== report.batch).map(connectionsOf))];
  const plots: Plot[] = [
    sized('update', 'Updates, by the number of connections'),
    sized('create', 'Creations, by the number of connections'),
    sized('delete', 'Deletions by the sweeper, by the number of connections'),
    {
      title: 'Updates, by the size of the batch',
      xLabel: 'packets per batch',
      yLabel: 'ns per packet',
      series: seriesOf(
        batches.filter(({ connections }) => sizes.includes(connections)),
        ({ connections }) => `${grouped.format(connections)} conn.`,
        ({ batch }) => batch ?? 0,
        ns,
      ),
      isLogarithmic: true,
    },
    {
      title: 'Several shards at once, a sweeper running',
      xLabel: 'shards',
      yLabel: 'Mpackets/s',
      series: seriesOf(
        plain.filter(({ work }) => work.startsWith('threads')),
        ({ work, connections }) => `${work.replace('threads-', '')}, ${grouped.format(connections)}`,
        ({ shards }) => shards,
        mpps,
      ),
      isLogarithmic: false,
    },
  ];
  const latencies: Series[] = report.results.flatMap(({ latencyUs, connections }) =>
    latencyUs === undefined
      ? []
      : [
          {
            name: `${grouped.format(connections)} conn.`,
            points: [
              [50, latencyUs.p50],
              [99, latencyUs.p99],
              [99.9, latencyUs.p999],
              [100, latencyUs.max],
            ] as const,
          },
        ],
  );
  plots.push({
    title: 'Time of a batch while the sweeper removes connections',
    xLabel: 'percentile (100: the longest)',
    yLabel: 'µs per batch',
    series: latencies,
    isLogarithmic: false,
  });
  return plots.filter(({ series }) => series.some(({ points }) => points.length > 0));
}

function row(result: BenchResult): string {
  return `<tr>${resultCells(result)
    .map(cell => `<td>${escapeHtml(cell)}</td>`)
    .join('')}</tr>`;
}

/** The whole page. */
export function pageOf(report: BenchReport): string {
  const about = headLines(report).slice(0, -2).join('\n');
  const head = COLUMN_NAMES.map(name => `<th>${escapeHtml(name)}</th>`).join('');
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>flowshard bench</title>
<style>${STYLE}</style></head>
<body>
<h1>flowshard bench</h1>
<pre>${escapeHtml(about)}</pre>
<div class="plots">
${plotsOf(report).map(plotSvg).join('\n')}
</div>
<h2>All figures</h2>
<table><thead><tr>${head}</tr></thead>
<tbody>
${report.results.map(row).join('\n')}
</tbody></table>
</body>
</html>
`;
}
