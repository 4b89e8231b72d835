/**
 * What can be changed while packets flow: the maximum of connections, limits per zone, policies against floods, timeout
 * policies, the check of sequence numbers and the sweeper's interval. Every change counts from the next batch on.
 *
 * What is of another type is a TypeError, or a RangeError for what is to be a number, and changes nothing.
 *
 * Lowering a limit removes nothing; it refuses new connections until enough have ended (as in OVS).
 *
 * Imports memory, policy, region, track/timeouts, ../given. Imported by engine.ts, local.ts and the public API.
 */
import { checkSwitch, checkWhole } from '../given.js';
import { MAX_TIMEOUT_POLICIES, type TimeoutKey, writeTimeoutPolicy } from '../track/timeouts.js';
import { FragmentSettings } from './fragment-settings.js';
import { CONTROL, type EngineMemory } from './memory.js';
import {
  applyProfile,
  type ProfileName,
  readDefaultPolicy,
  readTablePolicy,
  readZonePolicy,
  type TablePolicy,
  writeDefaultPolicy,
  writeTablePolicy,
  writeZonePolicy,
  type ZonePolicy,
} from './policy.js';
import { ZONES } from './region.js';

/** Largest limit of a zone: the words that hold it have 31 bits, one value means "none". */
const MAX_LIMIT = 0x7ffffffd;
const DAY_MS = 86_400_000;

export class Settings {
  readonly #memory: EngineMemory;
  readonly #capacity: number;

  /** Those of reassembly. */
  readonly fragments: FragmentSettings;

  constructor(memory: EngineMemory) {
    this.#memory = memory;
    this.fragments = new FragmentSettings(memory);
    this.#capacity = Atomics.load(memory.control, CONTROL.MAX_CONNECTIONS); // what the table was made for
  }

  /** Connections that may exist (`dpctl/ct-get-maxconns`). */
  get maxConnections(): number {
    return Atomics.load(this.#memory.control, CONTROL.MAX_CONNECTIONS); // a setting
  }

  /** @throws RangeError beyond what the engine was opened with: its memory is fixed */
  set maxConnections(limit: number) {
    checkWhole('maxConnections', limit, 0, this.#capacity);
    Atomics.store(this.#memory.control, CONTROL.MAX_CONNECTIONS, limit); // a setting
  }

  /** Connections that exist, ended ones that no sweep has removed included (`dpctl/ct-get-nconns`). */
  get connectionCount(): number {
    return Atomics.load(this.#memory.control, CONTROL.CONNECTIONS); // a count
  }

  /** TCP sequence numbers are checked (`dpctl/ct-get-tcp-seq-chk`). */
  get checksSequence(): boolean {
    return Atomics.load(this.#memory.control, CONTROL.CHECKS_SEQUENCE) === 1; // a setting
  }

  set checksSequence(isOn: boolean) {
    checkSwitch('checksSequence', isOn);
    Atomics.store(this.#memory.control, CONTROL.CHECKS_SEQUENCE, isOn ? 1 : 0); // a setting
  }

  /** Pause of the sweeper between two passes, in milliseconds (`dpctl/ct-get-sweep-interval`). */
  get sweepIntervalMs(): number {
    return Atomics.load(this.#memory.control, CONTROL.SWEEP_INTERVAL_MS); // a setting
  }

  set sweepIntervalMs(ms: number) {
    checkWhole('sweepIntervalMs', ms, 1, DAY_MS);
    Atomics.store(this.#memory.control, CONTROL.SWEEP_INTERVAL_MS, ms); // a setting
    Atomics.add(this.#memory.control, CONTROL.SWEEP_WAKE, 1); // changes the word that the sweeper sleeps on
    Atomics.notify(this.#memory.control, CONTROL.SWEEP_WAKE);
  }

  /**
   * Sets the policy of the table and that of zones that have none of their own.
   * @throws RangeError for a profile that there is not
   */
  applyProfile(name: ProfileName): void {
    applyProfile(this.#memory, name);
  }

  /** What the table does about floods; replaced as a whole. @throws RangeError, and nothing is changed then */
  get tablePolicy(): TablePolicy {
    return readTablePolicy(this.#memory);
  }

  set tablePolicy(policy: TablePolicy) {
    writeTablePolicy(this.#memory, policy);
  }

  /** What zones without a policy of their own do about floods. @throws RangeError, and nothing is changed then */
  get defaultZonePolicy(): ZonePolicy {
    return readDefaultPolicy(this.#memory);
  }

  set defaultZonePolicy(policy: ZonePolicy) {
    writeDefaultPolicy(this.#memory, policy);
  }

  /**
   * Gives a zone a policy of its own, `{}` for one that does nothing; undefined takes it away.
   * @throws RangeError when zone or policy are out of range; nothing is changed then
   */
  setZonePolicy(zone: number, policy: ZonePolicy | undefined): void {
    writeZonePolicy(this.#memory, zone, policy);
  }

  /** The policy that a zone follows, its own or the default one. */
  zonePolicy(zone: number): ZonePolicy {
    return readZonePolicy(this.#memory, zone);
  }

  /** Limit of zones that have none of their own; 0: none. */
  get defaultZoneLimit(): number {
    return Atomics.load(this.#memory.control, CONTROL.DEFAULT_ZONE_LIMIT); // a setting
  }

  set defaultZoneLimit(limit: number) {
    checkWhole('defaultZoneLimit', limit, 0, MAX_LIMIT);
    Atomics.store(this.#memory.control, CONTROL.DEFAULT_ZONE_LIMIT, limit); // a setting
  }

  /**
   * Limits a zone; 0 allows no connection, undefined takes the limit away (`dpctl/ct-set-limits`, `ct-del-limits`).
   * @throws RangeError when zone or limit are out of range
   */
  setZoneLimit(zone: number, limit: number | undefined): void {
    checkWhole('zone', zone, 0, ZONES - 1);
    if (limit !== undefined) checkWhole('limit', limit, 0, MAX_LIMIT);
    Atomics.store(this.#memory.zoneLimits, zone, limit === undefined ? 0 : limit + 1); // a setting
  }

  /** Limit of a zone, undefined when it has none of its own, and its connections. */
  zoneLimit(zone: number): { readonly limit: number | undefined; readonly count: number } {
    checkWhole('zone', zone, 0, ZONES - 1);
    const stored = Atomics.load(this.#memory.zoneLimits, zone); // a setting
    const count = Atomics.load(this.#memory.zoneCounts, zone); // a count
    return { limit: stored === 0 ? undefined : stored - 1, count };
  }

  /**
   * Creates or replaces a timeout policy: what is not named gets its default. Connections that have the policy follow
   * it from their next packet on.
   * @param policy 0 to 255; 0 is what connections have by default
   * @param timeoutsMs milliseconds by OVS's key
   * @throws RangeError when a number is out of range or a key is unknown
   */
  setTimeoutPolicy(policy: number, timeoutsMs: Partial<Record<TimeoutKey, number>>): void {
    writeTimeoutPolicy(this.#memory.timeoutsMs, policy, timeoutsMs);
  }

  /**
   * Gives a zone a timeout policy: that of new connections of TCP, UDP, ICMP and ICMPv6 whose action names none
   * (`ovs-vsctl add-zone-tp`); 0 takes it away (`del-zone-tp`). Connections that exist keep theirs, until it is deleted.
   * @throws RangeError when a number is out of range
   */
  setZoneTimeoutPolicy(zone: number, policy: number): void {
    checkWhole('zone', zone, 0, ZONES - 1);
    checkWhole('policy', policy, 0, MAX_TIMEOUT_POLICIES - 1);
    Atomics.store(this.#memory.zonePolicies, zone, policy); // a setting
  }

  /** Timeout policy of a zone, 0 when it has none of its own. */
  zoneTimeoutPolicy(zone: number): number {
    checkWhole('zone', zone, 0, ZONES - 1);
    return Atomics.load(this.#memory.zonePolicies, zone); // a setting
  }

  /** Deletes a timeout policy: connections that have it follow the defaults, as in OVS. */
  deleteTimeoutPolicy(policy: number): void {
    writeTimeoutPolicy(this.#memory.timeoutsMs, policy, {});
  }
}
