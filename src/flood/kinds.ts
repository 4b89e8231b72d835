/**
 * The floods there are: one table of names, what each does to a tracker, and who makes its packets.
 *
 * Imports the generators. Imported by run, cli/flood and bench/.
 */
import type { CtAction } from '../engine/action.js';
import { Churn } from './churn.js';
import { Collide } from './collide.js';
import { FtpExpect } from './ftp-expect.js';
import type { FloodOptions, Generator } from './generator.js';
import { Mixed } from './mixed.js';
import { SPRAY, Spray } from './spray.js';
import type { SpreadKind } from './spread.js';

/** What not every kind can be told. */
export type FloodChoice = 'sources' | 'destinations' | 'ports' | 'size' | 'zones';

const ENDS: readonly FloodChoice[] = ['sources', 'destinations', 'ports'];
const ENDS_AND_SIZE: readonly FloodChoice[] = [...ENDS, 'size'];

export interface Flood {
  readonly note: string;
  /** What of its packets can be chosen; the rest makes the kind what it is. */
  readonly choices: readonly FloodChoice[];
  /** How destination ports are spread unless something else is asked for. */
  readonly ports: SpreadKind;
  readonly create: (options: FloodOptions) => Generator;
}

/** The address that all connections of `nat-exhaust` share: 203.0.113.1, and 2001:db8::cb00:7101. */
const NAT_ADDRESS = { 4: '203.0.113.1', 6: '2001:db8::cb00:7101' } as const;
const NAT_PORTS = { minPort: 1024, maxPort: 65535 } as const;

function natActions(options: FloodOptions): readonly CtAction[] {
  return [{ nat: { kind: 'src', minAddress: NAT_ADDRESS[options.family], ...NAT_PORTS } }];
}

/** Zones from 1 on: the background has zone 0. */
function zoneActions(options: FloodOptions): readonly CtAction[] {
  return Array.from({ length: options.zones }, (_, index) => ({ zone: index + 1 }));
}

function mixedOf(options: FloodOptions): Generator {
  // Seeds of their own, so that the parts do not draw the same ends.
  const seeded = (part: number): FloodOptions => ({ ...options, seed: options.seed + part * 1_000_003 });
  return new Mixed(options.seed, [
    [new Spray(SPRAY.syn, seeded(1)), 20],
    [new Spray(SPRAY.udp, { ...seeded(2), ports: 'uniform' }), 16],
    [new Churn(seeded(3)), 8],
    [new Spray(SPRAY.ack, seeded(4)), 4],
    [new Spray(SPRAY.rst, seeded(5)), 4],
    [new Spray(SPRAY.synack, seeded(6)), 4],
    [new Spray(SPRAY.icmp, seeded(7)), 4],
    [new Spray(SPRAY.icmpError, seeded(8)), 2],
    [new Spray(SPRAY.frag, seeded(9)), 2],
  ]);
}

export const FLOODS = {
  syn: {
    note: 'TCP SYN that nobody answers: each opens a connection that stays half open',
    choices: ENDS_AND_SIZE,
    ports: 'one',
    create: options => new Spray(SPRAY.syn, options),
  },
  udp: {
    note: 'UDP to any port: each packet opens a connection that stays one-way',
    choices: ENDS_AND_SIZE,
    ports: 'uniform',
    create: options => new Spray(SPRAY.udp, options),
  },
  icmp: {
    note: 'echo requests, each with an identifier of its own',
    choices: ['sources', 'destinations', 'size'],
    ports: 'one',
    create: options => new Spray(SPRAY.icmp, options),
  },
  ack: {
    note: 'TCP ACK out of nowhere: each looks like a connection that was there before the tracker',
    choices: ENDS_AND_SIZE,
    ports: 'one',
    create: options => new Spray(SPRAY.ack, options),
  },
  rst: {
    note: 'TCP RST out of nowhere',
    choices: ENDS_AND_SIZE,
    ports: 'one',
    create: options => new Spray(SPRAY.rst, options),
  },
  synack: {
    note: 'TCP SYN+ACK that nobody asked for, as from reflectors',
    choices: ENDS_AND_SIZE,
    ports: 'one',
    create: options => new Spray(SPRAY.synack, options),
  },
  frag: {
    note: 'fragments of datagrams that never become whole, half of them first ones',
    choices: ENDS_AND_SIZE,
    ports: 'uniform',
    create: options => new Spray(SPRAY.frag, options),
  },
  'icmp-error': {
    note: 'ICMP errors about packets that were never sent',
    choices: ENDS,
    ports: 'uniform',
    create: options => new Spray(SPRAY.icmpError, options),
  },
  churn: {
    note: 'whole connections of eight packets: handshake, request, response, close',
    choices: ENDS_AND_SIZE,
    ports: 'one',
    create: options => new Churn(options),
  },
  'nat-exhaust': {
    note: 'UDP to one port through source NAT to one address: soon no port is left',
    choices: ENDS_AND_SIZE,
    ports: 'one',
    create: options => new Spray(SPRAY.udp, options, natActions(options)),
  },
  zones: {
    note: 'TCP SYN in many zones',
    choices: [...ENDS_AND_SIZE, 'zones'],
    ports: 'one',
    create: options => new Spray(SPRAY.syn, options, zoneActions(options)),
  },
  'ftp-expect': {
    note: 'FTP control connections that announce data connections, none of which comes',
    choices: [],
    ports: 'one',
    create: options => new FtpExpect(options),
  },
  collide: {
    note: 'UDP whose tuples collide under hashes without a secret, or that are known to share buckets',
    choices: ['size'],
    ports: 'uniform',
    create: options => new Collide(options),
  },
  mixed: {
    note: 'all of them at once, but NAT, zones, FTP and collisions',
    choices: ENDS_AND_SIZE,
    ports: 'one',
    create: mixedOf,
  },
} as const satisfies Readonly<Record<string, Flood>>;

export type FloodKind = keyof typeof FLOODS;
export const FLOOD_KINDS = Object.keys(FLOODS) as readonly FloodKind[];
