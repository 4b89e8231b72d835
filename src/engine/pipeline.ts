/**
 * Flow tables in front of the tracker: each packet of a shard runs through the rules, whose ct() actions are executed
 * on the spot, and the packet's row says in the end where it went.
 *
 * A packet runs to its end before the next one begins, as in OVS when packets come one by one: what one commits the
 * next one finds. A fragment waits in the ct() that it comes to; when its datagram is whole, all of its fragments go on
 * from there, in the order of their offsets, each in the memory of a stage and then to the ring of the released.
 *
 * Imports action, departure, packet, process, reassembly, release, stage, tracker, flows/, fragment/. Imported by local.ts, engine.ts and workers/.
 */

import {
  CT_OUTCOME,
  CT_PARAMETER,
  type CtSpec,
  FLOW_OUTCOME,
  type FlowContext,
  type FlowMachine,
  loadFlows,
  type PortNames,
  parseFlows,
  runFlows,
} from '../flows/index.js';
import { NONE } from '../fragment/layout.js';
import type { NatAction } from '../nat/spec.js';
import { REASON } from '../reason.js';
import { ACTION as ACTION_WORD, ACTION_WORDS, type CtAction, MAX_ACTIONS } from './action.js';
import { Departure, TRACKING_WORDS } from './departure.js';
import { PACKET, PACKET_WORDS } from './packet.js';
import type { EnginePackets } from './packet-memory.js';
import { processPackets } from './process.js';
import { MAX_HELD_FRAME } from './reassembly.js';
import { queueReleased, settleFragments } from './release.js';
import { MAX_STAGES, Stage } from './stage.js';
import type { Tracker } from './tracker.js';

const { ACTION, STATE, REASON: P_REASON } = PACKET;

/** Rules, and the names that they call ports by. */
export interface FlowRules {
  /** In the syntax of `ovs-ofctl add-flows`. */
  readonly text: string;
  /** Names of the ports 1, 2, … in order, or by number. */
  readonly ports?: PortNames;
}

/** The action of the engine that does what a rule's ct() asks for; what varies by packet is not in it. */
function actionOf(spec: CtSpec): CtAction {
  return {
    zone: spec.zone,
    commit: spec.commit,
    force: spec.force,
    ...(spec.mark ? { mark: spec.mark } : {}),
    ...(spec.label ? { label: spec.label } : {}),
    ...(spec.nat ? { nat: natOf(spec.nat) } : {}),
    ...(spec.alg ? { helper: spec.alg } : {}),
  };
}

function natOf(nat: NonNullable<CtSpec['nat']>): NatAction {
  const { kind, addresses, ports, random, hash, persistent } = nat;
  return {
    kind,
    random,
    hash,
    persistent,
    ...(addresses ? { minAddress: addressText(addresses, 'min'), maxAddress: addressText(addresses, 'max') } : {}),
    ...(ports ? { minPort: ports.min, maxPort: ports.max } : {}),
  };
}

type Addresses = NonNullable<NonNullable<CtSpec['nat']>['addresses']>;

function addressText(addresses: Addresses, end: 'min' | 'max'): string {
  const groups = addresses.isIpv6 ? 8 : 4;
  const bits = addresses.isIpv6 ? 16n : 8n;
  const value = addresses[end];
  const parts = Array.from({ length: groups }, (_, group) => {
    const part = (value >> (bits * BigInt(groups - 1 - group))) & ((1n << bits) - 1n);
    return part.toString(addresses.isIpv6 ? 16 : 10);
  });
  return parts.join(addresses.isIpv6 ? ':' : '.');
}

export class Pipeline implements FlowContext {
  readonly #tracker: Tracker;
  readonly #machine: FlowMachine;
  readonly #define: (action: CtAction) => number;
  #memory: EnginePackets;
  /** Numbers of the actions defined so far: rules that ask for the same share one. */
  readonly #numbers = new Map<string, number>();
  /** By number of an action, 1: its zone, mark or label comes with each packet. */
  readonly #varies = new Uint8Array(MAX_ACTIONS);
  /** The packet at hand as it left last, and the port that it came in by. */
  #departure = new Departure(MAX_HELD_FRAME);
  #inPort = 0;
  /** Fragments that run on their own, and how many stages of them are in use. */
  readonly #stages: Stage[] = [];
  #depth = 0;

  /**
   * @param define takes an action and gives its number: the first thread defines them, the others count along
   * @throws FlowError for a rule that is wrong, RangeError when there are too many different actions
   */
  constructor(tracker: Tracker, memory: EnginePackets, rules: FlowRules, define: (action: CtAction) => number) {
    this.#tracker = tracker;
    this.#memory = memory;
    this.#define = define;
    if (tracker.reassembly !== undefined) tracker.reassembly.isPiped = true;
    this.#machine = loadFlows(parseFlows(rules.text, rules.ports === undefined ? {} : { ports: rules.ports }), this);
  }

  get frames(): DataView {
    return this.#memory.frames;
  }

  get packets(): Int32Array {
    return this.#memory.packets;
  }

  /** Goes over to other memory, such as the next batch's. */
  use(memory: EnginePackets): void {
    this.#memory = memory;
  }

  defineAction(spec: CtSpec): number {
    const text = JSON.stringify(spec, (_, value) => (typeof value === 'bigint' ? value.toString() : value));
    const known = this.#numbers.get(text);
    if (known !== undefined) return known;
    const number = this.#define(actionOf(spec));
    this.#numbers.set(text, number);
    this.#varies[number] = spec.variesByPacket ? 1 : 0;
    return number;
  }

  ct(packet: number, action: number, parameters: Int32Array, pass: number): number {
    const { packets } = this.#memory;
    const { actions, actionsAt, reassembly } = this.#tracker;
    if (reassembly !== undefined) reassembly.pass = pass;
    packets[packet + ACTION] = action;
    if (this.#varies[action] === 1) {
      this.#fillOwnAction(action, parameters);
      this.#tracker.actions = this.#tracker.ownAction;
      this.#tracker.actionsAt = this.#tracker.ownAction.byteOffset;
      packets[packet + ACTION] = 0;
    }
    processPackets(this.#tracker, this.#memory, packet / PACKET_WORDS, 1);
    this.#tracker.actions = actions;
    this.#tracker.actionsAt = actionsAt;
    if (packets[packet + P_REASON] !== REASON['fragment-held']) return CT_OUTCOME.GOES_ON;
    if (reassembly === undefined || reassembly.completed === NONE) return CT_OUTCOME.GONE;
    if (this.#depth < MAX_STAGES) return CT_OUTCOME.COMPLETED;
    queueReleased(reassembly.store, reassembly.completed);
    reassembly.completed = NONE;
    return CT_OUTCOME.GONE;
  }

  beginCompleted(): void {
    const { reassembly } = this.#tracker;
    if (reassembly === undefined) return;
    if (this.#stages.length === this.#depth) this.#stages.push(new Stage(this.#tracker.memory.wasm));
    const { outcome } = this.#machine.translator;
    this.#stages[this.#depth++].begin(reassembly, { memory: this.#memory, departure: this.#departure, outcome });
  }

  nextCompleted(): number {
    const { reassembly } = this.#tracker;
    if (reassembly === undefined) return -1;
    const { translator } = this.#machine;
    const stage = this.#stages[this.#depth - 1];
    const outer = stage.advance(this.#tracker, reassembly, this.#inPort, translator.outcome);
    if (outer === undefined) {
      this.use(stage.memory);
      this.#departure = stage.departure;
      translator.outcome = FLOW_OUTCOME.NONE;
      return 0;
    }
    this.use(outer.memory);
    this.#departure = outer.departure;
    translator.outcome = outer.outcome;
    this.#depth--;
    return -1;
  }

  /** The action as it was defined, with what this packet brings along. */
  #fillOwnAction(action: number, parameters: Int32Array): void {
    const { actions, ownAction: own } = this.#tracker;
    for (let word = 0; word < ACTION_WORDS; word++) own[word] = actions[action * ACTION_WORDS + word];
    own[ACTION_WORD.ZONE] = parameters[CT_PARAMETER.ZONE];
    own[ACTION_WORD.MARK] = parameters[CT_PARAMETER.MARK];
    for (let word = 0; word < 4; word++) own[ACTION_WORD.LABEL + word] = parameters[CT_PARAMETER.LABEL + word];
  }

  ctClear(packet: number): void {
    this.packets.fill(0, packet + STATE, packet + STATE + TRACKING_WORDS);
  }

  output(packet: number, port: number): void {
    this.#departure.note(this.#memory, packet, port);
  }

  /**
   * Runs `count` packets from number `first` on, each with the port in its ACTION word. A packet that leaves has the
   * row and the frame that it left with, the last time; one that does not has what became of it.
   */
  run(first: number, count: number): void {
    const { packets } = this.#memory;
    const { reassembly } = this.#tracker;
    for (let packet = first * PACKET_WORDS; packet < (first + count) * PACKET_WORDS; packet += PACKET_WORDS) {
      this.#inPort = packets[packet + ACTION];
      if (reassembly !== undefined) reassembly.cause = packets[packet + PACKET.COOKIE];
      this.#departure.reset();
      this.ctClear(packet);
      const outcome = runFlows(this.#machine, packet, this.#inPort);
      this.#departure.settle(this.#memory, packet, this.#inPort, outcome);
    }
    settleFragments(this.#tracker);
  }
}
