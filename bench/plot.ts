/**
 * Line plots as SVG text, for a page that needs nothing but itself.
 *
 * Imports nothing. Imported by page.
 */
export interface Series {
  readonly name: string;
  /** Points in the order of x. */
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Plot {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly Series[];
  /** The x axis is divided by factors, not by differences. */
  readonly isLogarithmic: boolean;
}

const WIDTH = 640;
const HEIGHT = 320;
const LEFT = 64;
const RIGHT = 150;
const TOP = 36;
const BOTTOM = 48;
const COLORS = ['#1f6fb4', '#d1495b', '#2e933c', '#8a5cb8', '#c77d0a', '#4a5759'];
const Y_LINES = 5;

const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 2 });

export function escapeHtml(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
}

/** The least of 1, 2, 2.5 and 5 times a power of ten that is not below `value`. */
function roundStep(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 2.5, 5, 10].find(factor => factor * power >= value) ?? 10;
  return step * power;
}

interface Scale {
  readonly x: (value: number) => number;
  readonly y: (value: number) => number;
  readonly step: number;
}

function scaleOf(plot: Plot): Scale {
  const points = plot.series.flatMap(({ points }) => points);
  const place = (x: number) => (plot.isLogarithmic ? Math.log(x) : x);
  const xs = points.map(([x]) => place(x));
  const least = Math.min(...xs);
  const span = Math.max(...xs) - least || 1;
  const step = roundStep(Math.max(...points.map(([, y]) => y), Number.MIN_VALUE) / Y_LINES);
  const top = step * Y_LINES;
  return {
    x: value => LEFT + ((place(value) - least) / span) * (WIDTH - LEFT - RIGHT),
    y: value => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM),
    step,
  };
}

function text(x: number, y: number, anchor: string, content: string): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escapeHtml(content)}</text>`;
}

function axes(plot: Plot, scale: Scale): string[] {
  const parts: string[] = [];
  for (let lineNumber = 0; lineNumber <= Y_LINES; lineNumber++) {
    const value = lineNumber * scale.step;
    const y = scale.y(value).toFixed(1);
    parts.push(`<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y}" y2="${y}" class="grid"/>`);
    parts.push(text(LEFT - 8, scale.y(value) + 4, 'end', grouped.format(value)));
  }
  const xs = [...new Set(plot.series.flatMap(({ points }) => points.map(([x]) => x)))];
  for (const x of xs) parts.push(text(scale.x(x), HEIGHT - BOTTOM + 18, 'middle', grouped.format(x)));
  parts.push(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, 'middle', plot.xLabel));
  parts.push(text(LEFT, TOP - 12, 'start', plot.yLabel));
  return parts;
}

function curves(plot: Plot, scale: Scale): string[] {
  return plot.series.flatMap(({ name, points }, index) => {
    const color = COLORS[index % COLORS.length];
    const path = points.map(([x, y]) => `${scale.x(x).toFixed(1)},${scale.y(y).toFixed(1)}`).join(' ');
    const dots = points.map(
      ([x, y]) =>
        `<circle cx="${scale.x(x).toFixed(1)}" cy="${scale.y(y).toFixed(1)}" r="3.5" fill="${color}">` +
        `<title>${escapeHtml(`${name}: ${grouped.format(y)} at ${grouped.format(x)}`)}</title></circle>`,
    );
    const key = TOP + 18 * index;
    return [
      `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="2"/>`,
      ...dots,
      `<rect x="${WIDTH - RIGHT + 14}" y="${key - 9}" width="10" height="10" fill="${color}"/>`,
      text(WIDTH - RIGHT + 30, key, 'start', name),
    ];
  });
}

/** A figure with its caption. The plot must have a point. */
export function plotSvg(plot: Plot): string {
  const scale = scaleOf(plot);
  const body = [...axes(plot, scale), ...curves(plot, scale)].join('\n');
  return (
    `<figure><figcaption>${escapeHtml(plot.title)}</figcaption>\n` +
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(plot.title)}">\n${body}\n</svg></figure>`
  );
}
