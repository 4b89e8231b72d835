/**
 * What is done to a judge between packets: limits, timeouts, the check of sequence numbers, deletions. Each change in
 * the words of Open vSwitch and of the engine.
 *
 * Imports support/ovs, the engine. Imported by judges.
 */
import { flushConnections, type LocalEngine, parseFilter, parseTimeouts } from '../../src/index.js';
import type { Ovs } from '../support/ovs.js';

/** Something else that is done to a judge, at the time of the packet before it. */
export type Change =
  /** Undefined takes the limit, or the policy, away. */
  | { readonly zoneLimit: readonly [zone: number, limit: number | undefined] }
  | { readonly defaultZoneLimit: number }
  /** Seconds by the keys of `ovs-vsctl add-zone-tp`. */
  | { readonly zoneTimeouts: readonly [zone: number, seconds: Readonly<Record<string, number>> | undefined] }
  | { readonly maxConnections: number }
  | { readonly checksSequence: boolean }
  /** The words of `dpctl/flush-conntrack`. */
  | { readonly flush: readonly string[] }
  /** Asks for the number of connections, which is then part of the answers. */
  | { readonly counts: true };

const DATAPATH = 'dummy';
const DONE = 'done';

/** Changes of a switch. */
export class OvsSettings {
  readonly #ovs: Ovs;
  /** Row of the datapath in the database, once there is one. */
  #datapath: string | undefined;

  constructor(ovs: Ovs) {
    this.#ovs = ovs;
  }

  /** @returns the answer of a question, else that it was done */
  async change(change: Change): Promise<string> {
    const ovs = this.#ovs;
    if ('counts' in change) return `connections ${await ovs.command('dpctl/ct-get-nconns')}`;
    if ('zoneLimit' in change) {
      const [zone, limit] = change.zoneLimit;
      if (limit === undefined) await ovs.command('dpctl/ct-del-limits', `zone=${zone}`);
      else await ovs.command('dpctl/ct-set-limits', `zone=${zone},limit=${limit}`);
    } else if ('defaultZoneLimit' in change) {
      await ovs.command('dpctl/ct-set-limits', `default=${change.defaultZoneLimit}`);
    } else if ('zoneTimeouts' in change) {
      await this.#setTimeouts(...change.zoneTimeouts);
    } else if ('maxConnections' in change) {
      await ovs.command('dpctl/ct-set-maxconns', change.maxConnections);
    } else if ('checksSequence' in change) {
      await ovs.command(`dpctl/ct-${change.checksSequence ? 'enable' : 'disable'}-tcp-seq-chk`);
    } else {
      await ovs.command('dpctl/flush-conntrack', ...change.flush);
    }
    return DONE;
  }

  /**
   * Since 3.3 a policy that is there when its zone is made does not count (a defect), a change of it does: it is made
   * with other timeouts first. The flow cache is emptied, since a cached ct() keeps the policy that it was made with.
   */
  async #setTimeouts(zone: number, seconds: Readonly<Record<string, number>> | undefined): Promise<void> {
    const ovs = this.#ovs;
    this.#datapath ??= ovs
      .vsctl(
        ...['--', '--id=@d', 'create', 'Datapath', 'datapath_version=0'],
        ...['--', 'set', 'Open_vSwitch', '.', `datapaths:${DATAPATH}=@d`],
      )
      .trim();
    if (seconds === undefined) {
      ovs.vsctl('del-zone-tp', DATAPATH, `zone=${zone}`);
    } else {
      const words = (more: number) => Object.entries(seconds).map(([key, value]) => `timeouts:${key}=${value + more}`);
      const [policy] = ovs
        .vsctl(
          ...['--', '--id=@p', 'create', 'CT_Timeout_Policy', ...words(1)],
          ...['--', '--id=@z', 'create', 'CT_Zone', 'timeout_policy=@p'],
          ...['--', 'set', 'Datapath', this.#datapath, `ct_zones:${zone}=@z`],
        )
        .split('\n');
      ovs.vsctl('set', 'CT_Timeout_Policy', policy, ...words(0));
    }
    await ovs.command('revalidator/purge');
  }
}

/** Number of the timeout policy of a zone: the zone's own, so that zones do not share one. */
function policyOf(zone: number): number {
  return (zone % 255) + 1;
}

export function changeLocal(engine: LocalEngine, change: Change): string {
  const { settings } = engine;
  if ('counts' in change) return `connections ${settings.connectionCount}`;
  if ('zoneLimit' in change) settings.setZoneLimit(...change.zoneLimit);
  else if ('defaultZoneLimit' in change) settings.defaultZoneLimit = change.defaultZoneLimit;
  else if ('maxConnections' in change) settings.maxConnections = change.maxConnections;
  else if ('checksSequence' in change) settings.checksSequence = change.checksSequence;
  else if ('flush' in change) flushConnections(engine.tracker, parseFilter(change.flush));
  else {
    const [zone, seconds] = change.zoneTimeouts;
    if (seconds === undefined) {
      settings.setZoneTimeoutPolicy(zone, 0);
      settings.deleteTimeoutPolicy(policyOf(zone));
    } else {
      const text = Object.entries(seconds).map(([key, value]) => `${key}=${value}`);
      settings.setTimeoutPolicy(policyOf(zone), parseTimeouts(text.join()));
      settings.setZoneTimeoutPolicy(zone, policyOf(zone));
    }
  }
  return DONE;
}
