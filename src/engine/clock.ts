/**
 * Time in the engine. Nothing in it reads a clock but what is below; packets bring their time with them.
 *
 * Each region of the table notes the time of the latest packet that touched it. A sweeper that goes by captured time
 * frees what has ended by that clock: a shard that lags behind the others can then never lose a connection that a
 * packet still in its ring would have kept.
 *
 * Imports region, sharedarraybuffer-hashmap. Imported by engine/.
 */
import { regionAt, type SharedMap } from '../sharedarraybuffer-hashmap/index.js';
import { REGION_WORD } from './region.js';

/** Time of the latest packet that touched a region, in milliseconds; 0 before the first. Needs the region's lock. */
export function regionClockLocked(map: SharedMap, region: number): number {
  return map.doubles[(regionAt(map, region) + REGION_WORD.CLOCK) >>> 1];
}

/** The wall clock in whole milliseconds since 1970. */
export function wallClockMs(): number {
  return Date.now();
}
