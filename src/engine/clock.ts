/**
 * Time in the engine. Nothing in it reads a clock but what is below; packets bring their time with them.
 *
 * Each region of the table notes the time of the latest packet that touched it. A sweeper that goes by captured time
 * frees what has ended by that clock: a shard that lags behind the others can then never lose a connection that a
 * packet still in its ring would have kept. One that goes by the wall clock does without: a single packet with a time
 * ahead of it would end what others keep alive.
 *
 * Imports region, sharedarraybuffer-hashmap. Imported by engine/.
 */
import { regionAt, type SharedMap } from '../sharedarraybuffer-hashmap/index.js';
import { REGION_WORD } from './region.js';

/**
 * The time by which a sweeper frees what lies in a region, in milliseconds. Read without the region's lock it is a hint.
 * @param wallMs the wall clock; or 0 to go by the latest packet that touched the region, 0 before the first
 */
export function sweepTimeMs(map: SharedMap, region: number, wallMs: number): number {
  return wallMs > 0 ? wallMs : map.doubles[(regionAt(map, region) + REGION_WORD.CLOCK) >>> 1];
}

/** The wall clock in whole milliseconds since 1970. */
export function wallClockMs(): number {
  return Date.now();
}
