/**
 * ICMP errors about translated connections: the packet that an error quotes is translated back along with it.
 *
 * Imports case, conversations, rules.
 */
import { type Case, now } from './case.js';
import {
  clientSegment,
  datagram,
  echo,
  type Flow,
  flow,
  icmpError,
  isIpv6,
  path,
  tcpOpening,
  udpConversation,
} from './conversations.js';
import { everything, gateway } from './rules.js';

/** Addresses of the two ends as each side sees them, and of routers beside them. */
interface Scene {
  readonly what: string;
  readonly nat: string;
  readonly client: string;
  /** What the client talks to, and what the server is talked to by. */
  readonly clientSees: string;
  readonly serverSees: string;
  readonly server: string;
  readonly routers: readonly [nearClient: string, nearServer: string];
}

const SCENES: readonly Scene[] = [
  {
    what: 'SNAT, IPv4',
    nat: 'nat(src=10.9.9.9)',
    client: '10.1.0.2',
    clientSees: '10.2.0.2',
    serverSees: '10.9.9.9',
    server: '10.2.0.2',
    routers: ['10.1.0.1', '10.2.0.1'],
  },
  {
    what: 'SNAT, IPv6',
    nat: 'nat(src=2001:db8:9::9)',
    client: '2001:db8:1::2',
    clientSees: '2001:db8:2::2',
    serverSees: '2001:db8:9::9',
    server: '2001:db8:2::2',
    routers: ['2001:db8:1::1', '2001:db8:2::1'],
  },
  {
    what: 'DNAT, IPv4',
    nat: 'nat(dst=10.2.0.2)',
    client: '10.1.0.2',
    clientSees: '10.8.8.8',
    serverSees: '10.1.0.2',
    server: '10.2.0.2',
    routers: ['10.1.0.1', '10.2.0.1'],
  },
  {
    what: 'DNAT, IPv6',
    nat: 'nat(dst=2001:db8:2::2)',
    client: '2001:db8:1::2',
    clientSees: '2001:db8:8::8',
    serverSees: '2001:db8:1::2',
    server: '2001:db8:2::2',
    routers: ['2001:db8:1::1', '2001:db8:2::1'],
  },
];

function between(src: string, sport: number, dst: string, dport: number): Flow {
  return { src, sport, dst, dport };
}

/** Errors from the server and from a router about what the server got; then about what the client got. */
function errors(scene: Scene, got: { server: Uint8Array; client: Uint8Array }): Uint8Array[] {
  const { server, serverSees, client, clientSees, routers } = scene;
  const types = isIpv6(client) ? [1, 2, 3, 4] : [3, 11, 12, 4, 5];
  return [
    icmpError(server, serverSees, got.server),
    ...types.map(type => icmpError(routers[1], serverSees, got.server, { type, code: 0 })),
    icmpError(client, clientSees, got.client),
    ...types.map(type => icmpError(routers[0], clientSees, got.client, { type, code: 0 })),
  ];
}

function aboutUdp(scene: Scene): Uint8Array[] {
  const asked = between(scene.client, 4000, scene.clientSees, 53);
  const heard = between(scene.serverSees, 4000, scene.server, 53);
  const answered = between(scene.server, 53, scene.serverSees, 4000);
  const received = between(scene.clientSees, 53, scene.client, 4000);
  return [
    datagram(asked),
    datagram(answered),
    ...errors(scene, { server: datagram(heard), client: datagram(received) }),
    // Quoted without a checksum, which stays so.
    ...(isIpv6(scene.client) ? [] : [icmpError(scene.server, scene.serverSees, datagram(heard, 'x', 0))]),
    // The connection lives on.
    datagram(asked),
  ];
}

function aboutTcp(scene: Scene): Uint8Array[] {
  const { client, clientSees, server, serverSees } = scene;
  const asWasSent = { out: between(client, 40000, clientSees, 80), back: between(server, 80, serverSees, 40000) };
  const asArrived = { out: between(serverSees, 40000, server, 80), back: between(clientSees, 80, client, 40000) };
  const segment = { flags: 'PA', at: 1, seen: 1, payload: 'a segment that is quoted, in full or only its start' };
  const heard = clientSegment(asArrived, segment);
  const received = datagramOfServer(asArrived.back);
  const head = isIpv6(client) ? 40 : 20;
  return [
    ...tcpOpening(asWasSent),
    ...errors(scene, { server: heard, client: received }),
    // Eight bytes of the segment are what a router must quote: ports and sequence number, no checksum.
    icmpError(server, serverSees, heard, { length: head + 8 }),
    icmpError(server, serverSees, heard, { length: head + 20 }),
    // One byte less than a header is left out: OVS then leaves the quoted checksum, which is there, as it was.
    icmpError(server, serverSees, heard, { length: head + 7 }),
    icmpError(server, serverSees, heard, { length: head }),
  ];
}

/** A segment of the server as the client gets it. */
function datagramOfServer(back: Flow): Uint8Array {
  return clientSegment({ out: back, back }, { flags: 'A', at: 1, seen: 1 });
}

function aboutPing(scene: Scene): Uint8Array[] {
  const { client, clientSees, server, serverSees } = scene;
  const asked = between(client, 77, clientSees, 77);
  const heard = between(serverSees, 77, server, 77);
  const answered = between(server, 77, serverSees, 77);
  const received = between(clientSees, 77, client, 77);
  return [
    echo(asked),
    echo(answered, true),
    ...errors(scene, { server: echo(heard), client: echo(received, true) }),
    echo(asked, false, 2),
  ];
}

/** About what was never said, with one thing wrong at a time. */
function strangers(scene: Scene): Uint8Array[] {
  const { client, clientSees, server, serverSees, routers } = scene;
  const heard = between(serverSees, 4000, server, 53);
  return [
    datagram(between(client, 4000, clientSees, 53)),
    icmpError(server, serverSees, datagram({ ...heard, sport: 4001 })),
    icmpError(server, serverSees, datagram({ ...heard, dport: 54 })),
    icmpError(routers[1], serverSees, datagram({ ...heard, dst: routers[1] })),
    // The quoted packet is not from the receiver of the error.
    icmpError(server, routers[0], datagram(heard)),
    // It quotes what the server never got: the packet before its translation.
    icmpError(server, client, datagram(between(client, 4000, clientSees, 53))),
    icmpError(routers[0], client, datagram(between(client, 4000, clientSees, 53))),
  ];
}

const CONFLICTING = [
  path('10.1.0.2:4000>10.2.0.2:53', '10.2.0.2:53>10.9.9.9:4000'),
  path('10.1.0.3:4000>10.2.0.2:53', '10.2.0.2:53>10.9.9.9:4001'),
] as const;

/** OVS updates the checksum of the quoted protocol at its place in the outer ICMPv6 header. */
const OVERWRITES_QUOTED_TCP = 'the quoted packet stays whole; Open vSwitch overwrites two bytes of its source address';

export const RELATED_CASES: readonly Case[] = [
  ...SCENES.flatMap(scene => {
    const flows = gateway(scene.nat);
    return [
      { title: `ICMP errors, ${scene.what}: UDP`, flows, steps: now(aboutUdp(scene)) },
      {
        title: `ICMP errors, ${scene.what}: TCP`,
        flows,
        steps: now(aboutTcp(scene)),
        ...(isIpv6(scene.client) ? { differs: OVERWRITES_QUOTED_TCP } : {}),
      },
      { title: `ICMP errors, ${scene.what}: ICMP echo`, flows, steps: now(aboutPing(scene)) },
      { title: `ICMP errors, ${scene.what}: about strangers`, flows, steps: now(strangers(scene)) },
      {
        title: `ICMP errors, ${scene.what}: without nat they leave as they came`,
        flows: gateway(scene.nat, 'table=1'),
        steps: now(aboutUdp(scene)),
      },
    ];
  }),
  {
    title: 'ICMP errors, ports changed: the quoted ports too',
    flows: gateway('nat(src=10.9.9.9)'),
    steps: now(
      ...CONFLICTING.map(udpConversation),
      icmpError('10.2.0.2', '10.9.9.9', datagram(flow('10.9.9.9:4000>10.2.0.2:53'))),
      icmpError('10.2.0.2', '10.9.9.9', datagram(flow('10.9.9.9:4001>10.2.0.2:53'))),
      icmpError('10.2.0.2', '10.9.9.9', datagram(flow('10.9.9.9:4001>10.2.0.2:53'), 'unsummed', 0)),
      icmpError('10.1.0.3', '10.2.0.2', datagram(flow('10.2.0.2:53>10.1.0.3:4000'))),
      icmpError('10.1.0.2', '10.2.0.2', datagram(flow('10.2.0.2:53>10.1.0.2:4000'))),
    ),
  },
  {
    title: 'ICMP errors, destination port changed',
    flows: gateway('nat(dst=10.2.0.2:5353)'),
    steps: now(
      udpConversation(path('10.1.0.2:4000>10.8.8.8:53', '10.2.0.2:5353>10.1.0.2:4000')),
      icmpError('10.2.0.2', '10.1.0.2', datagram(flow('10.1.0.2:4000>10.2.0.2:5353'))),
      icmpError('10.1.0.2', '10.8.8.8', datagram(flow('10.8.8.8:53>10.1.0.2:4000'))),
    ),
  },
  {
    title: 'ICMP errors, IPv6, destination port changed',
    flows: gateway('nat(dst=[2001:db8:2::2]:5353)'),
    steps: now(
      udpConversation(path('2001:db8:1::2:4000>2001:db8:8::8:53', '2001:db8:2::2:5353>2001:db8:1::2:4000')),
      icmpError('2001:db8:2::2', '2001:db8:1::2', datagram(flow('2001:db8:1::2:4000>2001:db8:2::2:5353'))),
      icmpError('2001:db8:1::2', '2001:db8:8::8', datagram(flow('2001:db8:8::8:53>2001:db8:1::2:4000'))),
    ),
  },
  {
    title: 'ICMP errors, identifier changed',
    flows: gateway('nat(src=10.9.9.9)'),
    steps: now(
      echo(flow('10.1.0.2:77>10.2.0.2:77')),
      echo(flow('10.1.0.3:77>10.2.0.2:77')),
      icmpError('10.2.0.1', '10.9.9.9', echo(flow('10.9.9.9:77>10.2.0.2:77'))),
      icmpError('10.2.0.1', '10.9.9.9', echo(flow('10.9.9.9:78>10.2.0.2:78'))),
    ),
    since: { version: 4, before: 'a second client with the identifier is not translated' },
  },
  {
    title: 'ICMP errors under a rule that commits with marks: they carry the marks of the connection',
    flows: everything(
      'ct(commit,nat(src=10.9.9.9),exec(set_field:0x5->ct_mark,set_field:0x77->ct_label),table=1)',
      'goto_table:250',
    ),
    steps: now(
      datagram(flow('10.1.0.2:4000>10.2.0.2:53')),
      icmpError('10.2.0.2', '10.9.9.9', datagram(flow('10.9.9.9:4000>10.2.0.2:53'))),
      icmpError('10.2.0.2', '10.9.9.9', datagram(flow('10.9.9.9:4001>10.2.0.2:53'))),
    ),
  },
];
