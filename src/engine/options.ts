/**
 * What an engine can be told when it is opened: names, defaults and limits.
 *
 * Imports memory, policy, ../given. Imported by engine.ts, local.ts, cli/ and the public API.
 */
import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { checkObject, checkOneOf, checkSwitch, checkWhole, refuseOthers, shown } from '../given.js';
import type { MemoryOptions } from './memory.js';
import type { FlowRules } from './pipeline.js';
import { checkProfile, type ProfileName } from './policy.js';

/** What every engine can be told. */
export interface TableOptions {
  /** Connections that may exist. Default 1,000,000. The memory for them is taken at once. */
  readonly maxConnections?: number;
  /** How many of them may be IPv6, each of which takes 64 bytes more. Default: all. Connections that FTP
   * and TFTP announce, and FTP connections whose payload is rewritten, count among them. */
  readonly maxIpv6Connections?: number;
  /** What is done about floods: see policy.ts. Can be changed in all its parts while packets flow. Default `ovs`. */
  readonly profile?: ProfileName;
  /** Connections announced by FTP and TFTP that may be expected at a time, 192 bytes each. Default 4096. */
  readonly maxExpectations?: number;
  /** TCP sequence numbers are checked against the windows. Default true. */
  readonly checksSequence?: boolean;
  /** Bytes of fragments that each shard may hold until their datagrams are whole. Default 4 MiB. */
  readonly fragmentBytes?: number;
  /**
   * Sources, destinations and zones with the most packets and new connections are counted: see top.ts. Takes 240 KiB
   * per shard. Default false.
   */
  readonly tracksTop?: boolean;
  /** Makes the secret key of the hash from a number, so that runs can be repeated. Default: a random key. */
  readonly seed?: number;
  /**
   * Flow rules that every packet runs through, instead of one ct() action. The action of a packet is then the number
   * of the port that it came in by.
   */
  readonly flows?: FlowRules;
}

/** The table has become so full that an emergency has begun, or empty enough that it has ended: see TablePolicy. */
export interface EmergencyEvent {
  readonly isOn: boolean;
  /** Connections when it was reported. */
  readonly connections: number;
}

export type EmergencyListener = (event: EmergencyEvent) => void;

/** A worker has died, and another one has taken its place. */
export interface WorkerDeath {
  /** `shard 0`, …, `sweeper`. */
  readonly worker: string;
  /** Of its error, one line as a rule. */
  readonly why: string;
  /** Milliseconds from its death until all workers went on. */
  readonly tookMs: number;
  /** Connections that the repaired table has no place for: none but for a bad hash. */
  readonly connectionsLost: number;
  /** Packets that got the reason `shard-died`: one at the most. */
  readonly packetsRefused: number;
  /** Fragments that it was holding. */
  readonly fragmentsLost: number;
}

export type WorkerDeathListener = (death: WorkerDeath) => void;

/** What an engine with workers can be told besides. */
export interface EngineOptions extends TableOptions {
  /** Shard workers. Default: one less than the machine has processors, at least 1. */
  readonly shards?: number;
  /** Whose time ends connections: the wall clock's (default) or that of the packets. */
  readonly clock?: 'wall' | 'packets';
  /** Pause of the sweeper between two passes, in milliseconds. Default 1000. */
  readonly sweepIntervalMs?: number;
  /** Is called on the thread that opened the engine, once when an emergency begins and once when it ends. */
  readonly onEmergency?: EmergencyListener;
  /** Is called on the thread that opened the engine when a worker has died and was replaced. */
  readonly onWorkerDeath?: WorkerDeathListener;
  /** Packets that fit into a shard's ring, a power of two. Default 4096. */
  readonly ringPackets?: number;
  /** Bytes of frames that fit into a shard's ring. Default 8 MiB. */
  readonly ringBytes?: number;
  /** Bytes of frame memory for frames that are judged where they lie: see Producer.arena. Default 0. */
  readonly arenaBytes?: number;
  /** The shards record how long each batch takes: two looks at a clock per batch. Default false. */
  readonly measuresLatency?: boolean;
}

export type ResolvedOptions = Required<Omit<EngineOptions, 'seed' | 'flows' | 'onEmergency' | 'onWorkerDeath'>> & {
  readonly hashKey: readonly [number, number];
  readonly flows: FlowRules | undefined;
  readonly onEmergency: EmergencyListener | undefined;
  readonly onWorkerDeath: WorkerDeathListener | undefined;
};

export const MAX_SHARDS = 256;
const MAX_EXPECTATIONS = 1 << 20;
/** What fits without room for IPv6; with it some 25 million do. reserveMemory() adds it all up. */
export const MAX_CONNECTIONS = 29_000_000;
export const DEFAULT_MAX_CONNECTIONS = 1_000_000;
const MIN_RING_BYTES = 1 << 20;
const MAX_RING_BYTES = 1 << 30;
const MAX_ARENA_BYTES = 1 << 30;
/** An offset in frame memory is a word with a sign. */
const MAX_FRAME_MEMORY = 2 ** 31 - 1;
/** A datagram of the largest size fits; so much is memory that is taken once per shard. */
const MIN_FRAGMENT_BYTES = 256 << 10;
const MAX_FRAGMENT_BYTES = 1 << 30;
const DAY_MS = 86_400_000;

/** An odd multiplier (from the golden ratio) that turns a seed into a second word. */
const SEED_MIX = 0x9e3779b1 | 0;

function hashKeyOf(seed: number | undefined): readonly [number, number] {
  if (seed === undefined) {
    const bytes = randomBytes(8);
    return [bytes.readInt32LE(0), bytes.readInt32LE(4)];
  }
  checkWhole('seed', seed, 0, Number.MAX_SAFE_INTEGER);
  return [seed | 0, Math.imul(seed ^ Math.floor(seed / 2 ** 32), SEED_MIX) | 0];
}

/** The object around the rules; what it holds is for flows/ to say. */
function checkFlows(flows: FlowRules): void {
  checkObject('flows', flows);
  const { text, ports, ...others } = flows;
  refuseOthers('flows', others);
}

function checkListener(name: string, listener: unknown): void {
  if (listener === undefined || typeof listener === 'function') return;
  throw new TypeError(`${name} must be a function: ${shown(listener)}`);
}

/**
 * Fills in defaults.
 * @param fixed options that are not the caller's to choose
 * @throws RangeError that names the option that is out of range or unknown, TypeError for one of another type
 */
export function resolveOptions(options: EngineOptions, fixed: EngineOptions = {}): ResolvedOptions {
  checkObject('options', options);
  const {
    shards = Math.max(1, availableParallelism() - 1),
    maxConnections = DEFAULT_MAX_CONNECTIONS,
    maxIpv6Connections = maxConnections,
    profile = 'ovs',
    maxExpectations = 4096,
    checksSequence = true,
    fragmentBytes = 4 << 20,
    clock = 'wall',
    sweepIntervalMs = 1000,
    ringPackets = 4096,
    ringBytes = 8 << 20,
    arenaBytes = 0,
    measuresLatency = false,
    tracksTop = false,
    seed,
    flows,
    onEmergency,
    onWorkerDeath,
    ...others
  } = { ...options, ...fixed };
  refuseOthers('options', others);
  checkWhole('shards', shards, 1, MAX_SHARDS);
  checkWhole('maxConnections', maxConnections, 1, MAX_CONNECTIONS);
  checkWhole('maxIpv6Connections', maxIpv6Connections, 0, maxConnections);
  checkWhole('fragmentBytes', fragmentBytes, MIN_FRAGMENT_BYTES, MAX_FRAGMENT_BYTES);
  checkWhole('maxExpectations', maxExpectations, 1, MAX_EXPECTATIONS);
  checkWhole('sweepIntervalMs', sweepIntervalMs, 1, DAY_MS);
  checkWhole('ringPackets', ringPackets, 64, 1 << 20);
  if ((ringPackets & (ringPackets - 1)) !== 0)
    throw new RangeError(`ringPackets must be a power of two: ${ringPackets}`);
  checkWhole('ringBytes', ringBytes, MIN_RING_BYTES, MAX_RING_BYTES);
  checkWhole('arenaBytes', arenaBytes, 0, MAX_ARENA_BYTES);
  const frameBytes = shards * ringBytes + arenaBytes;
  if (arenaBytes > 0 && frameBytes > MAX_FRAME_MEMORY) {
    throw new RangeError(`arenaBytes and the ringBytes of all shards must be less than 2 GiB together: ${frameBytes}`);
  }
  checkOneOf('clock', clock, ['wall', 'packets']);
  checkProfile(profile);
  for (const [name, isOn] of Object.entries({ checksSequence, measuresLatency, tracksTop })) checkSwitch(name, isOn);
  if (flows !== undefined) checkFlows(flows);
  for (const [name, listener] of Object.entries({ onEmergency, onWorkerDeath })) checkListener(name, listener);
  return {
    shards,
    maxConnections,
    maxIpv6Connections,
    profile,
    maxExpectations,
    checksSequence,
    fragmentBytes,
    clock,
    sweepIntervalMs,
    ringPackets,
    ringBytes,
    arenaBytes,
    measuresLatency,
    tracksTop,
    hashKey: hashKeyOf(seed),
    flows,
    onEmergency,
    onWorkerDeath,
  };
}

/** What the memory needs to know. @param extraThreads threads besides the shards that take locks */
export function memoryOptions(options: ResolvedOptions, extraThreads: number): MemoryOptions {
  return {
    regions: options.shards,
    threads: options.shards + extraThreads,
    maxConnections: options.maxConnections,
    maxIpv6Connections: options.maxIpv6Connections,
    maxExpectations: options.maxExpectations,
    hashKey: options.hashKey,
    isWallClock: options.clock === 'wall',
    checksSequence: options.checksSequence,
    sweepIntervalMs: options.sweepIntervalMs,
  };
}
