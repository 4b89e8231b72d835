/**
 * What the engine does about floods: policies, as data in shared memory that can be changed while packets flow.
 *
 * A zone has a policy: whether its connections may make room for one another, how many may be opened per second, how
 * many may be half-open, and whether it takes part in the reserve, the shrinking timeouts and the emergency of the table.
 * The table has one: which classes of connections give way, and from which fill on time runs faster for what has not been
 * answered. Two profiles are ready made:
 *
 * | profile   | a full table                                                        | time                           |
 * |-----------|---------------------------------------------------------------------|--------------------------------|
 * | ovs       | refuses, as Open vSwitch does                                       | always the same                |
 * | resilient | the oldest half-open, one-way or closing connection gives way       | shrinks from a fill of 60 % on |
 *
 * A zone whose policy does nothing costs a creation one word read.
 *
 * Imports memory, region, track/protocol, ../given. Imported by engine/, flood/, cli/flood and the public API.
 */
import { checkArray, checkObject, checkOneOf, checkSwitch, checkWhole, refuseOthers } from '../given.js';
import { CLASS, CLASS_NAMES, type ClassName } from '../track/protocol.js';
import { CONTROL, type EngineMemory, FLOOD_POLICY_WORDS, MAX_FLOOD_POLICIES } from './memory.js';
import { ZONES } from './region.js';

/** A rate of new connections: so many per second on average, `burst` at a time. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** What a zone does about floods. What is left out is off. */
export interface ZonePolicy {
  /**
   * When the table is full, a new connection of the zone takes the place of another; the zone's own may be evicted.
   * Counts for connections made from then on. Default false: a full table refuses.
   */
  readonly evicts?: boolean;
  /** … and when the zone is at its limit, the place of another one of the zone. Needs `evicts`. Default false. */
  readonly evictsAtZoneLimit?: boolean;
  /**
   * … and then every class keeps the reserve of the table; without it a new connection of the zone takes the place of
   * the cheapest, reserve or not. Needs `evicts`. Default false.
   */
  readonly keepsReserve?: boolean;
  /** Timeouts of the zone's connections shrink with the fill of the table, as its policy says. Default false. */
  readonly adaptiveTimeouts?: boolean;
  /** … and in an emergency of the table. Default false. */
  readonly emergency?: boolean;
  /** New connections of the zone. */
  readonly newConnections?: Rate;
  /** New connections of each source address in the zone. */
  readonly newConnectionsPerSource?: Rate;
  /** Half-open TCP connections of the zone, of those made since this was set. */
  readonly maxHalfOpen?: number;
  /** Half-open TCP connections of each source address in the zone. */
  readonly maxHalfOpenPerSource?: number;
}

/** What the whole table does about floods, for zones whose policy takes part in it. What is left out is off. */
export interface TablePolicy {
  /** Classes that give way when the table is full, in any order: the cheapest always goes first. */
  readonly evictable?: readonly ClassName[];
  /**
   * Percent of the maximum of connections that each class is sure of: it gives way only while it has more, or while no
   * other class that may give way has more. So a flood of one kind cannot push out the few of another.
   */
  readonly reservePercent?: number;
  /**
   * Timeouts of connections that are not replied or established shrink with the fill: whole up to `startPercent` of
   * the maximum, and so that they would be nothing at `endPercent`, which may lie beyond 100 (pf's adaptive.start/end).
   */
  readonly adaptiveTimeouts?: { readonly startPercent: number; readonly endPercent: number };
  /** From a fill of `beginPercent` until it is below `endPercent` again, such timeouts are a tenth. */
  readonly emergency?: { readonly beginPercent: number; readonly endPercent: number };
}

export type ProfileName = 'ovs' | 'resilient';

export const PROFILES: Readonly<Record<ProfileName, { readonly zone: ZonePolicy; readonly table: TablePolicy }>> = {
  ovs: { zone: {}, table: {} },
  resilient: {
    zone: { evicts: true, evictsAtZoneLimit: true, keepsReserve: true, adaptiveTimeouts: true, emergency: true },
    table: {
      evictable: ['half-open', 'one-way', 'closing'],
      reservePercent: 5,
      adaptiveTimeouts: { startPercent: 60, endPercent: 120 },
      emergency: { beginPercent: 95, endPercent: 75 },
    },
  },
};

/** Words of a zone's policy; 0 means that there is no such limit. */
export const ZONE_POLICY = {
  FLAGS: 0,
  RATE: 1,
  BURST: 2,
  SOURCE_RATE: 3,
  SOURCE_BURST: 4,
  HALF_OPEN: 5,
  SOURCE_HALF_OPEN: 6,
} as const;
/** Bits of FLAGS: the zone evicts; it limits rates; it limits half-open connections. */
export const POLICY_EVICTS = 1;
export const POLICY_RATES = 2;
export const POLICY_HALF_OPEN = 4;
/** … and it evicts at its own limit too. */
export const POLICY_EVICTS_AT_LIMIT = 8;
/** … it keeps the reserve; its timeouts shrink with the fill of the table, and in an emergency. */
export const POLICY_KEEPS_RESERVE = 16;
export const POLICY_ADAPTS = 32;
export const POLICY_EMERGENCY = 64;

/** The bit of each switch of a policy. */
const SWITCHES = {
  evicts: POLICY_EVICTS,
  evictsAtZoneLimit: POLICY_EVICTS_AT_LIMIT,
  keepsReserve: POLICY_KEEPS_RESERVE,
  adaptiveTimeouts: POLICY_ADAPTS,
  emergency: POLICY_EMERGENCY,
} as const;
const SWITCH_NAMES = Object.keys(SWITCHES) as (keyof typeof SWITCHES)[];

/** Words of the table's policy: a bit 1 << CLASS for each class that may be evicted, and percentages; 0 is off. */
export const TABLE_POLICY = {
  EVICTABLE: 0,
  RESERVE: 1,
  ADAPTIVE_START: 2,
  ADAPTIVE_END: 3,
  EMERGENCY_BEGIN: 4,
  EMERGENCY_END: 5,
} as const;

/** The bucket of a rate counts thousandths of a connection in 31 bits. */
const MAX_BURST = 2_000_000;
const MAX_RATE = 100_000_000;
const MAX_HALF_OPEN = 0x7fffffff;
/** The policy of zones that have none of their own. */
const DEFAULT_POLICY = 0;

/** A zone that does nothing about floods. */
export const NO_POLICY = -1;

/** First word of the policy of a zone in `floodPolicies`, or NO_POLICY. */
export function floodPolicyOf(memory: EngineMemory, zone: number): number {
  const isOn = Atomics.load(memory.control, CONTROL.HAS_POLICIES); // a setting, orders nothing
  if (isOn === 0) return NO_POLICY;
  const at = Atomics.load(memory.zoneFloodPolicies, zone) * FLOOD_POLICY_WORDS; // a setting, orders nothing
  return Atomics.load(memory.floodPolicies, at + ZONE_POLICY.FLAGS) === 0 ? NO_POLICY : at; // a setting
}

/** FLAGS of a policy, of none as well. */
export function flagsOf(memory: EngineMemory, policy: number): number {
  return policy === NO_POLICY ? 0 : memory.floodPolicies[policy + ZONE_POLICY.FLAGS];
}

/** FLAGS of the policy of a zone. */
export function policyFlagsOf(memory: EngineMemory, zone: number): number {
  return flagsOf(memory, floodPolicyOf(memory, zone));
}

function checkRate(name: string, rate: Rate | undefined): readonly [rate: number, burst: number] {
  if (rate === undefined) return [0, 0];
  checkObject(name, rate);
  const { perSecond, burst, ...others } = rate;
  refuseOthers(name, others);
  checkWhole(`${name}.perSecond`, perSecond, 1, MAX_RATE);
  checkWhole(`${name}.burst`, burst, 1, MAX_BURST);
  return [perSecond, burst];
}

function limitWord(name: string, limit: number | undefined): number {
  if (limit === undefined) return 0;
  checkWhole(name, limit, 1, MAX_HALF_OPEN);
  return limit;
}

/** The bits of the switches that are on, from the fields of a policy that are no limits. */
function readSwitches(fields: Pick<ZonePolicy, keyof typeof SWITCHES>): number {
  const { evicts = false, evictsAtZoneLimit = false, keepsReserve = false, ...rest } = fields;
  const { adaptiveTimeouts = false, emergency = false, ...others } = rest;
  refuseOthers('policy', others);
  const switches = { evicts, evictsAtZoneLimit, keepsReserve, adaptiveTimeouts, emergency };
  for (const name of SWITCH_NAMES) checkSwitch(name, switches[name]);
  for (const name of ['evictsAtZoneLimit', 'keepsReserve'] as const) {
    if (switches[name] && !evicts) throw new RangeError(`${name} needs evicts`);
  }
  return SWITCH_NAMES.reduce((bits, name) => bits | (switches[name] ? SWITCHES[name] : 0), 0);
}

/** The words of a policy. @throws TypeError or RangeError that names the field at fault */
function encodeZonePolicy(policy: ZonePolicy): Int32Array {
  checkObject('policy', policy);
  const { newConnections, newConnectionsPerSource, maxHalfOpen, maxHalfOpenPerSource, ...switches } = policy;
  const words = new Int32Array(FLOOD_POLICY_WORDS);
  const rate = checkRate('newConnections', newConnections);
  const sourceRate = checkRate('newConnectionsPerSource', newConnectionsPerSource);
  const halfOpen = limitWord('maxHalfOpen', maxHalfOpen);
  const sourceHalfOpen = limitWord('maxHalfOpenPerSource', maxHalfOpenPerSource);
  let flags = readSwitches(switches);
  if (rate[0] + sourceRate[0] > 0) flags |= POLICY_RATES;
  if (halfOpen + sourceHalfOpen > 0) flags |= POLICY_HALF_OPEN;
  words.set([flags, ...rate, ...sourceRate, halfOpen, sourceHalfOpen]);
  return words;
}

function rateOf(perSecond: number, burst: number): Rate | undefined {
  return perSecond === 0 ? undefined : { perSecond, burst };
}

/** The policy whose words begin at `at`, with what is off left out. */
function decodeZonePolicy(words: Int32Array, at: number): ZonePolicy {
  const newConnections = rateOf(words[at + ZONE_POLICY.RATE], words[at + ZONE_POLICY.BURST]);
  const perSource = rateOf(words[at + ZONE_POLICY.SOURCE_RATE], words[at + ZONE_POLICY.SOURCE_BURST]);
  const maxHalfOpen = words[at + ZONE_POLICY.HALF_OPEN];
  const maxHalfOpenPerSource = words[at + ZONE_POLICY.SOURCE_HALF_OPEN];
  const isOn = (name: keyof typeof SWITCHES) => (words[at + ZONE_POLICY.FLAGS] & SWITCHES[name]) !== 0;
  return {
    ...Object.fromEntries(SWITCH_NAMES.filter(isOn).map(name => [name, true])),
    ...(newConnections === undefined ? {} : { newConnections }),
    ...(perSource === undefined ? {} : { newConnectionsPerSource: perSource }),
    ...(maxHalfOpen === 0 ? {} : { maxHalfOpen }),
    ...(maxHalfOpenPerSource === 0 ? {} : { maxHalfOpenPerSource }),
  };
}

function isSame(words: Int32Array, at: number, made: Int32Array): boolean {
  return made.every((word, index) => words[at + index] === word);
}

/** The number of a row with these words, a new one if need be. */
function rowFor(memory: EngineMemory, made: Int32Array): number {
  const { floodPolicies, zoneFloodPolicies } = memory;
  const inUse = new Uint8Array(MAX_FLOOD_POLICIES);
  for (let zone = 0; zone < ZONES; zone++) inUse[zoneFloodPolicies[zone]] = 1;
  for (let row = DEFAULT_POLICY + 1; row < MAX_FLOOD_POLICIES; row++) {
    if (inUse[row] === 1 && isSame(floodPolicies, row * FLOOD_POLICY_WORDS, made)) return row;
  }
  const free = inUse.indexOf(0, DEFAULT_POLICY + 1);
  if (free < 0) throw new RangeError(`an engine holds ${MAX_FLOOD_POLICIES - 1} different policies of zones at most`);
  floodPolicies.set(made, free * FLOOD_POLICY_WORDS);
  return free;
}

/**
 * Sets the policy of zones that have none of their own.
 * @throws TypeError or RangeError that names the field at fault; nothing is changed then
 */
export function writeDefaultPolicy(memory: EngineMemory, policy: ZonePolicy): void {
  memory.floodPolicies.set(encodeZonePolicy(policy), DEFAULT_POLICY * FLOOD_POLICY_WORDS);
  noteWhetherOn(memory);
}

/**
 * Gives a zone a policy of its own, or takes it away.
 * @throws RangeError when a field is out of range or there are too many different policies, TypeError when one is of
 *   another type; nothing is changed then
 */
export function writeZonePolicy(memory: EngineMemory, zone: number, policy: ZonePolicy | undefined): void {
  checkWhole('zone', zone, 0, ZONES - 1);
  const row = policy === undefined ? DEFAULT_POLICY : rowFor(memory, encodeZonePolicy(policy));
  Atomics.store(memory.zoneFloodPolicies, zone, row); // publishes the words of the row
  noteWhetherOn(memory);
}

/** The policy that a zone follows. */
export function readZonePolicy(memory: EngineMemory, zone: number): ZonePolicy {
  checkWhole('zone', zone, 0, ZONES - 1);
  const row = Atomics.load(memory.zoneFloodPolicies, zone); // acquires the words of the row
  return decodeZonePolicy(memory.floodPolicies, row * FLOOD_POLICY_WORDS);
}

export function readDefaultPolicy(memory: EngineMemory): ZonePolicy {
  return decodeZonePolicy(memory.floodPolicies, DEFAULT_POLICY * FLOOD_POLICY_WORDS);
}

function noteWhetherOn(memory: EngineMemory): void {
  const { floodPolicies, zoneFloodPolicies, control } = memory;
  const isOn = (row: number) => floodPolicies[row * FLOOD_POLICY_WORDS + ZONE_POLICY.FLAGS] !== 0;
  const hasPolicies = isOn(DEFAULT_POLICY) || zoneFloodPolicies.some(isOn);
  Atomics.store(control, CONTROL.HAS_POLICIES, hasPolicies ? 1 : 0); // publishes the policies written before
}

/** A bit 1 << CLASS for each class. */
function classBits(names: readonly ClassName[]): number {
  checkArray('evictable', names);
  for (const name of names) checkOneOf('a class of evictable', name, CLASS_NAMES);
  return names.reduce((bits, name) => bits | (1 << CLASS[name]), 0);
}

/** Words of the fills at which timeouts begin to shrink and would be nothing; 0 when they stay. */
function readAdaptive(adaptive: TablePolicy['adaptiveTimeouts']): readonly [start: number, end: number] {
  if (adaptive === undefined) return [0, 0];
  checkObject('adaptiveTimeouts', adaptive);
  const { startPercent, endPercent, ...others } = adaptive;
  refuseOthers('adaptiveTimeouts', others);
  checkWhole('adaptiveTimeouts.startPercent', startPercent, 1, 100);
  checkWhole('adaptiveTimeouts.endPercent', endPercent, 1, 1000);
  if (startPercent >= endPercent) throw new RangeError('adaptiveTimeouts must end above their start');
  return [startPercent, endPercent];
}

/** Words of the fills at which an emergency begins and ends; 0 when there is none. */
function readEmergency(emergency: TablePolicy['emergency']): readonly [begin: number, end: number] {
  if (emergency === undefined) return [0, 0];
  checkObject('emergency', emergency);
  const { beginPercent, endPercent, ...others } = emergency;
  refuseOthers('emergency', others);
  checkWhole('emergency.beginPercent', beginPercent, 1, 100);
  checkWhole('emergency.endPercent', endPercent, 1, 100);
  if (endPercent >= beginPercent) throw new RangeError('an emergency must end below the fill at which it begins');
  return [beginPercent, endPercent];
}

/** Sets the policy of the table. @throws TypeError or RangeError that names the field at fault; nothing is changed then */
export function writeTablePolicy(memory: EngineMemory, policy: TablePolicy): void {
  checkObject('tablePolicy', policy);
  const { evictable = [], reservePercent = 0, adaptiveTimeouts, emergency, ...others } = policy;
  refuseOthers('tablePolicy', others);
  checkWhole('reservePercent', reservePercent, 0, 100);
  const words = [classBits(evictable), reservePercent, ...readAdaptive(adaptiveTimeouts), ...readEmergency(emergency)];
  memory.tablePolicy.set(words);
}

export function readTablePolicy(memory: EngineMemory): TablePolicy {
  const { EVICTABLE, RESERVE, ADAPTIVE_START, ADAPTIVE_END, EMERGENCY_BEGIN, EMERGENCY_END } = TABLE_POLICY;
  const words = memory.tablePolicy;
  const evictable = CLASS_NAMES.filter(name => (words[EVICTABLE] & (1 << CLASS[name])) !== 0);
  const adaptive = { startPercent: words[ADAPTIVE_START], endPercent: words[ADAPTIVE_END] };
  const emergency = { beginPercent: words[EMERGENCY_BEGIN], endPercent: words[EMERGENCY_END] };
  return {
    ...(evictable.length === 0 ? {} : { evictable }),
    ...(words[RESERVE] === 0 ? {} : { reservePercent: words[RESERVE] }),
    ...(adaptive.startPercent === 0 ? {} : { adaptiveTimeouts: adaptive }),
    ...(emergency.beginPercent === 0 ? {} : { emergency }),
  };
}

/** @throws RangeError for a profile that there is not */
export function checkProfile(name: ProfileName): void {
  checkOneOf('profile', name, Object.keys(PROFILES));
}

/** Sets the policy of the table and the default of its zones; zones with a policy of their own keep it. */
export function applyProfile(memory: EngineMemory, name: ProfileName): void {
  checkProfile(name);
  const { table, zone } = PROFILES[name];
  writeTablePolicy(memory, table);
  writeDefaultPolicy(memory, zone);
}
