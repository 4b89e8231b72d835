/**
 * Settings of reassembly, as the `ipf-set-*` commands of `ovs-appctl dpctl` have them. Each counts from the next
 * fragment on; what is held stays.
 *
 * Imports memory, fragment/layout, ../given. Imported by settings.ts and control/.
 */
import { MAX_FRAGMENTS } from '../fragment/layout.js';
import { checkOneOf, checkSwitch, checkWhole } from '../given.js';
import { CONTROL, type EngineMemory } from './memory.js';

export type Family = 'ipv4' | 'ipv6';

/** Least and largest minimum of a fragment's size: OVS takes nothing below, and no packet is longer. */
const LEAST_MIN_SIZE = 400;
const LARGEST_MIN_SIZE = 65_535;

const IS_ON = { ipv4: CONTROL.IPV4_REASSEMBLY, ipv6: CONTROL.IPV6_REASSEMBLY };
const MIN_SIZE = { ipv4: CONTROL.IPV4_MIN_FRAGMENT, ipv6: CONTROL.IPV6_MIN_FRAGMENT };

/** The word of the control block that a family has. @throws RangeError when there is no such family */
function wordOf(words: Readonly<Record<Family, number>>, family: Family): number {
  checkOneOf('family', family, Object.keys(words));
  return words[family];
}

/** @throws RangeError for a family that there is not, TypeError for a value of another type; nothing is changed then */
export class FragmentSettings {
  readonly #control: Int32Array;

  constructor(memory: EngineMemory) {
    this.#control = memory.control;
  }

  /** Fragments of a family are reassembled (`ipf-set-enabled`, `ipf-set-disabled`). Default: both. */
  isEnabled(family: Family): boolean {
    return Atomics.load(this.#control, wordOf(IS_ON, family)) === 1; // a setting
  }

  setEnabled(family: Family, isOn: boolean): void {
    checkSwitch('isOn', isOn);
    Atomics.store(this.#control, wordOf(IS_ON, family), isOn ? 1 : 0); // a setting
  }

  /** Bytes of the IP packet that a fragment has at least, the last one aside (`ipf-set-min-frag`). Default 1200, 1280. */
  minSize(family: Family): number {
    return Atomics.load(this.#control, wordOf(MIN_SIZE, family)); // a setting
  }

  /** @throws RangeError below 400 */
  setMinSize(family: Family, bytes: number): void {
    checkWhole('minSize', bytes, LEAST_MIN_SIZE, LARGEST_MIN_SIZE);
    Atomics.store(this.#control, wordOf(MIN_SIZE, family), bytes); // a setting
  }

  /** Fragments that may be held, by all shards together (`ipf-set-max-nfrags`). Default 1000. */
  get max(): number {
    return Atomics.load(this.#control, CONTROL.MAX_FRAGMENTS); // a setting
  }

  /** @throws RangeError above 5000 */
  set max(fragments: number) {
    checkWhole('max', fragments, 0, MAX_FRAGMENTS);
    Atomics.store(this.#control, CONTROL.MAX_FRAGMENTS, fragments); // a setting
  }

  /** Fragments that are held. */
  get count(): number {
    return Atomics.load(this.#control, CONTROL.FRAGMENTS); // a count
  }
}
