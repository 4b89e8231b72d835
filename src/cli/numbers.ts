/**
 * Numbers on the command line, from text, and in print.
 *
 * Imports commander. Imported by the commands of cli/.
 */
import { InvalidArgumentError } from 'commander';

/**
 * Makes the parser of an option that takes a whole number.
 * @returns a function for commander, whose error names the option and its value and says what is allowed
 */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return text => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`Allowed are whole numbers from ${least} to ${most}.`);
  };
}

const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** A count for people: `1,234,567`. */
export function formatCount(value: number): string {
  return grouped.format(value);
}

/** A part of a whole for people: `12.3 %`; of nothing, nothing. */
export function formatShare(part: number, whole: number): string {
  return whole === 0 ? '0.0 %' : `${((100 * part) / whole).toFixed(1)} %`;
}

/** A duration for people, from milliseconds: `3.2 ms`, `4.50 s`, `2 min 5 s`, `3 h 20 min`, `60 d 2 h`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${ms.toFixed(1)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(2)} s`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  const hours = Math.floor(minutes / 60);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
