/**
 * Limits and timeouts of zones on the command line: what `dpctl/ct-set-limits` and `ovs-vsctl add-zone-tp` are for a
 * switch.
 *
 * Imports commander, numbers, ../engine/settings (types), ../track/timeouts. Imported by replay.
 */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Settings } from '../engine/settings.js';
import { MAX_TIMEOUT_POLICIES, parseTimeouts, type TimeoutKey } from '../track/timeouts.js';
import { wholeNumber } from './numbers.js';

const MAX_ZONE = 0xffff;
const MAX_LIMIT = 0x7fff_fffd;
/** Policy 0 is that of zones without one. */
const MAX_ZONES_WITH_TIMEOUTS = MAX_TIMEOUT_POLICIES - 1;

const readZone = wholeNumber(0, MAX_ZONE);
const readLimit = wholeNumber(0, MAX_LIMIT);

/** What was said of zones; by zone, in the order of the command line. */
export interface ZoneFlags {
  readonly zoneLimit?: ReadonlyMap<number, number>;
  readonly defaultZoneLimit?: number;
  /** Milliseconds by OVS's key. */
  readonly zoneTimeout?: ReadonlyMap<number, Partial<Record<TimeoutKey, number>>>;
}

/** The parser of an option that is given once per zone, as `zone=value`. */
function perZone<T>(form: string, readValue: (text: string) => T) {
  return (text: string, before: ReadonlyMap<number, T> = new Map()): ReadonlyMap<number, T> => {
    const equals = text.indexOf('=');
    if (equals < 0) throw new InvalidArgumentError(`Expected is a zone and what it gets, as in ${form}.`);
    const zone = readZone(text.slice(0, equals));
    if (before.has(zone)) throw new InvalidArgumentError(`Zone ${zone} is named twice.`);
    return new Map([...before, [zone, readValue(text.slice(equals + 1))]]);
  };
}

function readTimeouts(text: string): Partial<Record<TimeoutKey, number>> {
  let timeoutsMs: Partial<Record<TimeoutKey, number>>;
  try {
    timeoutsMs = parseTimeouts(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
  if (Object.keys(timeoutsMs).length === 0) throw new InvalidArgumentError('No timeout is given.');
  return timeoutsMs;
}

const timeoutsPerZone = perZone('5=udp_first=3,udp_single=5', readTimeouts);

function zoneTimeouts(text: string, before?: ReadonlyMap<number, Partial<Record<TimeoutKey, number>>>) {
  const zones = timeoutsPerZone(text, before);
  if (zones.size > MAX_ZONES_WITH_TIMEOUTS) {
    throw new InvalidArgumentError(`Timeouts can be given to ${MAX_ZONES_WITH_TIMEOUTS} zones at most.`);
  }
  return zones;
}

/** Adds the options to a command. */
export function addZoneOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--zone-limit <zone=n>', 'connections that a zone may have, as in 5=10; for each zone').argParser(
        perZone('5=10', readLimit),
      ),
    )
    .option('--default-zone-limit <n>', 'connections that each of the other zones may have; 0: any number', readLimit)
    .addOption(
      new Option(
        '--zone-timeout <zone=timeouts>',
        'seconds by the keys of ovs-vsctl add-zone-tp, as in 5=udp_first=3,udp_single=5; for each zone',
      ).argParser(zoneTimeouts),
    );
}

/** Whether the connections of one packet can leave no room for those of another. */
export function hasZoneLimits({ zoneLimit, defaultZoneLimit = 0 }: ZoneFlags): boolean {
  return zoneLimit !== undefined || defaultZoneLimit > 0;
}

/** Tells an engine, before its first packet. */
export function applyZoneFlags(settings: Settings, flags: ZoneFlags): void {
  const { zoneLimit = new Map(), defaultZoneLimit, zoneTimeout = new Map() } = flags;
  for (const [zone, limit] of zoneLimit) settings.setZoneLimit(zone, limit);
  if (defaultZoneLimit !== undefined) settings.defaultZoneLimit = defaultZoneLimit;
  let policy = 0;
  for (const [zone, timeoutsMs] of zoneTimeout) {
    settings.setTimeoutPolicy(++policy, timeoutsMs);
    settings.setZoneTimeoutPolicy(zone, policy);
  }
}
