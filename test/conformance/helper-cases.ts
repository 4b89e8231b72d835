/**
 * FTP and TFTP: control connections with a helper, the data connections that they announce, with and without NAT.
 *
 * Open vSwitch rewrites no payload on a dummy port unless HEADROOM has made room, and then no address by a longer one.
 *
 * Imports case, conversations, dialogue, judges, readdress.
 */
import { HEADROOM } from '../support/ovs.js';
import { type Case, now } from './case.js';
import { clientSegment, datagram, flow, type Path, path, tcpConversation } from './conversations.js';
import { Dialogue } from './dialogue.js';
import { LEAVE, type PacketStep } from './judges.js';
import { goldenSteps, readdressed, readdressedServer } from './readdress.js';

/**
 * Control connections of TCP with FTP's helper and of UDP with TFTP's; what they announce is committed by a rule of its
 * own; the rest passes.
 */
function rules(nat = '', zone = 0): string {
  const translates = nat !== '';
  const given = [zone === 0 ? '' : `zone=${zone}`, translates ? 'nat' : ''].filter(word => word !== '');
  const commit = [...given.filter(word => word !== 'nat'), ...(translates ? [nat] : [])];
  const exec = 'exec(set_field:7->ct_mark,set_field:0x123456789abcdef0->ct_label)';
  const lines = ['tcp,alg=ftp', 'tcp6,alg=ftp', 'udp,alg=tftp', 'udp6,alg=tftp']
    .map(line => line.split(','))
    .filter(([match]) => nat === '' || nat.includes('::') === match.endsWith('6'))
    .flatMap(([match, alg]) => [
      `table=0,priority=100,${match},actions=${HEADROOM},ct(${[...given, 'table=1'].join(',')})`,
      `table=1,priority=100,ct_state=+new-rel+trk,${match},actions=ct(${['commit', alg, ...commit, exec, `table=${LEAVE}`].join(',')})`,
      `table=1,priority=100,ct_state=+new+rel+trk,${match},actions=ct(${['commit', ...given, 'exec(set_field:9->ct_mark)', `table=${LEAVE}`].join(',')})`,
    ]);
  return [
    '',
    ...lines,
    `table=0,priority=0,actions=goto_table:${LEAVE}`,
    `table=1,priority=0,actions=goto_table:${LEAVE}`,
    '',
  ].join('\n');
}

const SINCE_EXTENDED = { version: 3.7, before: 'EPRT and EPSV are for IPv6 only' };
const SINCE_KEPT = { version: 3.3, before: 'packets of another port than 21 and 69 must name the helper, too' };

interface Place {
  readonly what: string;
  readonly nat: string;
  readonly control: Path;
  /** Text with which the client, or the server, gives its address, and by how much it becomes longer. */
  readonly port: string;
  readonly pasv: string;
  readonly portGrows: number;
  readonly pasvGrows: number;
  /** From the server to the client's port 50000, and from the client to the server's port 40001. */
  readonly active: Path;
  readonly passive: Path;
}

const PLACES: readonly Place[] = [
  {
    what: 'no NAT',
    nat: '',
    control: path('10.1.0.2:40000>10.2.0.2:21', '10.2.0.2:21>10.1.0.2:40000'),
    port: '10,1,0,2',
    pasv: '10,2,0,2',
    portGrows: 0,
    pasvGrows: 0,
    active: path('10.2.0.2:20>10.1.0.2:50000', '10.1.0.2:50000>10.2.0.2:20'),
    passive: path('10.1.0.2:41000>10.2.0.2:40001', '10.2.0.2:40001>10.1.0.2:41000'),
  },
  {
    what: 'SNAT',
    nat: 'nat(src=10.9.9.9)',
    control: path('10.1.200.200:40000>10.2.0.2:21', '10.2.0.2:21>10.9.9.9:40000'),
    port: '10,1,200,200',
    pasv: '10,2,0,2',
    portGrows: -4,
    pasvGrows: 0,
    active: path('10.2.0.2:20>10.9.9.9:50000', '10.1.200.200:50000>10.2.0.2:20'),
    passive: path('10.1.200.200:41000>10.2.0.2:40001', '10.2.0.2:40001>10.9.9.9:41000'),
  },
  {
    what: 'SNAT to an address as long',
    nat: 'nat(src=10.9.9.9)',
    control: path('10.1.0.2:40000>10.2.0.2:21', '10.2.0.2:21>10.9.9.9:40000'),
    port: '10,1,0,2',
    pasv: '10,2,0,2',
    portGrows: 0,
    pasvGrows: 0,
    active: path('10.2.0.2:20>10.9.9.9:50000', '10.1.0.2:50000>10.2.0.2:20'),
    passive: path('10.1.0.2:41000>10.2.0.2:40001', '10.2.0.2:40001>10.9.9.9:41000'),
  },
  {
    what: 'DNAT',
    nat: 'nat(dst=10.2.100.200)',
    control: path('10.1.0.2:40000>10.8.8.8:21', '10.2.100.200:21>10.1.0.2:40000'),
    port: '10,1,0,2',
    pasv: '10,2,100,200',
    portGrows: 0,
    pasvGrows: -4,
    active: path('10.2.100.200:20>10.1.0.2:50000', '10.1.0.2:50000>10.8.8.8:20'),
    passive: path('10.1.0.2:41000>10.8.8.8:40001', '10.2.100.200:40001>10.1.0.2:41000'),
  },
];

/** A whole session: an active and a passive transfer, one after the other. */
function session({ control, port, pasv, portGrows, pasvGrows, active, passive }: Place): Uint8Array[] {
  const ftp = new Dialogue(control);
  return [
    ...ftp.opening(),
    ftp.server('220 ready\r\n'),
    ftp.client('USER me\r\n'),
    ftp.server('230 in\r\n'),
    ftp.client(`PORT ${port},195,80\r\n`, portGrows),
    ftp.server(''),
    ftp.server('200 PORT ok\r\n'),
    ftp.client('LIST\r\n'),
    ftp.server('150 here\r\n'),
    ...tcpConversation(active),
    ftp.server('226 sent\r\n'),
    ftp.client('PASV\r\n'),
    ftp.server(`227 Entering Passive Mode (${pasv},156,65).\r\n`, pasvGrows),
    ftp.client(''),
    ftp.client('RETR x\r\n'),
    ftp.server('150 here\r\n'),
    ...tcpConversation(passive),
    ftp.server('226 sent\r\n'),
    ftp.client(`PORT ${port},195,81\r\n`, portGrows),
    ftp.server('200 PORT ok\r\n'),
    ...tcpConversation({ out: { ...active.out, dport: 50001 }, back: { ...active.back, sport: 50001 } }),
    ftp.client('QUIT\r\n'),
    ftp.server('221 bye\r\n'),
    ...ftp.closing(),
  ];
}

const SESSIONS: readonly Case[] = PLACES.map(place => ({
  title: `FTP, PORT and 227, ${place.what}`,
  flows: rules(place.nat),
  steps: now(session(place)),
}));

const PLACES_IPV6: readonly Place[] = [
  {
    what: 'no NAT',
    nat: '',
    control: path('2001:db8:1::2:40000>2001:db8:2::2:21', '2001:db8:2::2:21>2001:db8:1::2:40000'),
    port: '2001:db8:1::2',
    pasv: '',
    portGrows: 0,
    pasvGrows: 0,
    active: path('2001:db8:2::2:20>2001:db8:1::2:50000', '2001:db8:1::2:50000>2001:db8:2::2:20'),
    passive: path('2001:db8:1::2:41000>2001:db8:2::2:40001', '2001:db8:2::2:40001>2001:db8:1::2:41000'),
  },
  {
    what: 'SNAT',
    nat: 'nat(src=2001:db8:9::9)',
    control: path('2001:db8:1:2:3:4:5:6:40000>2001:db8:2::2:21', '2001:db8:2::2:21>2001:db8:9::9:40000'),
    port: '2001:db8:1:2:3:4:5:6',
    pasv: '',
    portGrows: -7,
    pasvGrows: 0,
    active: path('2001:db8:2::2:20>2001:db8:9::9:50000', '2001:db8:1:2:3:4:5:6:50000>2001:db8:2::2:20'),
    passive: path('2001:db8:1:2:3:4:5:6:41000>2001:db8:2::2:40001', '2001:db8:2::2:40001>2001:db8:9::9:41000'),
  },
  {
    what: 'DNAT',
    nat: 'nat(dst=2001:db8:2::2)',
    control: path('2001:db8:1::2:40000>2001:db8:8::8:21', '2001:db8:2::2:21>2001:db8:1::2:40000'),
    port: '2001:db8:1::2',
    pasv: '',
    portGrows: 0,
    pasvGrows: 0,
    active: path('2001:db8:2::2:20>2001:db8:1::2:50000', '2001:db8:1::2:50000>2001:db8:8::8:20'),
    passive: path('2001:db8:1::2:41000>2001:db8:8::8:40001', '2001:db8:2::2:40001>2001:db8:1::2:41000'),
  },
];

/** The same with the commands of RFC 2428. */
function extendedSession({ control, port, portGrows, active, passive }: Place, family: 1 | 2): Uint8Array[] {
  const ftp = new Dialogue(control);
  return [
    ...ftp.opening(),
    ftp.server('220 ready\r\n'),
    ftp.client(`EPRT |${family}|${port}|50000|\r\n`, portGrows),
    ftp.server('200 EPRT ok\r\n'),
    ftp.client('LIST\r\n'),
    ...tcpConversation(active),
    ftp.server('226 sent\r\n'),
    ftp.client('EPSV\r\n'),
    ftp.server('229 Entering Extended Passive Mode (|||40001|)\r\n'),
    ftp.client('RETR x\r\n'),
    ...tcpConversation(passive),
    ftp.server('226 sent\r\n'),
    ...ftp.closing(),
  ];
}

const EXTENDED: readonly Case[] = [
  ...PLACES_IPV6.map(place => ({
    title: `FTP, EPRT and 229 over IPv6, ${place.what}`,
    flows: rules(place.nat),
    steps: now(extendedSession(place, 2)),
  })),
  ...PLACES.filter(({ what }) => what === 'no NAT' || what === 'DNAT').map(place => ({
    title: `FTP, EPRT and 229 over IPv4, ${place.what}`,
    flows: rules(place.nat),
    steps: now(extendedSession({ ...place, port: place.port.replaceAll(',', '.') }, 1)),
    ...(place.nat === '' ? {} : { differs: 'OVS writes the address of EPRT with commas, which no server reads' }),
    since: SINCE_EXTENDED,
  })),
];

const [PLAIN] = PLACES;

/** A session in which the client says something, and then tries the data connection that it may have announced. */
function said(text: string, from: 'client' | 'server' = 'client', control = PLAIN.control): Uint8Array[] {
  const ftp = new Dialogue(control);
  return [
    ...ftp.opening(),
    from === 'client' ? ftp.client(text) : ftp.server(text),
    ...tcpConversation(PLAIN.active),
    ...tcpConversation(PLAIN.passive),
  ];
}

/** The data connection that PORT or EPRT has announced begins with segments that are invalid. */
function badlyOpened({ control, port, portGrows, active }: Place, command: string): Uint8Array[] {
  const ftp = new Dialogue(control);
  return [
    ...ftp.opening(),
    ftp.client(`${command.replace('ADDRESS', port)}\r\n`, portGrows),
    ...['SA', 'F', 'SF', ''].map(flags => clientSegment(active, { flags })),
    ...tcpConversation(active),
    clientSegment(active, { flags: 'SA' }),
  ];
}

const BADLY_OPENED: readonly Case[] = [
  ...PLACES.map(place => ({ place, command: 'PORT ADDRESS,195,80' })),
  ...PLACES_IPV6.map(place => ({ place, command: 'EPRT |2|ADDRESS|50000|' })),
].map(({ place, command }) => ({
  title: `FTP: an announced connection that begins with invalid segments, ${command.slice(0, 4)}, ${place.what}`,
  flows: rules(place.nat),
  steps: now(badlyOpened(place, command)),
}));

const ODD: readonly (readonly [what: string, steps: Uint8Array[]])[] = [
  ['somebody else’s address in PORT', said('PORT 10,1,0,3,195,80\r\n')],
  ['somebody else’s address in 227', said('227 here (10,2,0,3,156,65)\r\n', 'server')],
  ['PORT without numbers', said('PORT\r\n')],
  ['PORT cut off', said('PORT 10,1,0,2,195,')],
  ['PORT with a number above 255', said('PORT 10,1,0,2,195,256\r\n')],
  ['PORT with a number of four digits', said('PORT 10,1,0,2,0195,80\r\n')],
  ['PORT with a number of five digits', said('PORT 10,1,0,2,00195,80\r\n')],
  ['PORT with a zero byte behind its first number', said('PORT 10,1,0,2,195\x0080\r\n')],
  ['PORT with a zero byte behind the word', said('PORT\0 10,1,0,2,195,80\r\n')],
  ['PORT in small letters', said('port 10,1,0,2,195,80\r\n')],
  ['PORT in the reply direction', said('PORT 10,1,0,2,195,80\r\n', 'server')],
  ['227 in the original direction', said('227 x 10,2,0,2,156,65\r\n')],
  ['PORT behind something else', said('TYPE I\r\nPORT 10,1,0,2,195,80\r\n')],
  ['EPRT of the other family', said('EPRT |2|2001:db8:1::2|50000|\r\n')],
];

const OTHER_PORT = path('10.1.0.2:40000>10.2.0.2:2121', '10.2.0.2:2121>10.1.0.2:40000');
const WITHOUT_HELPER = rules().replaceAll(/,alg=t?ftp/g, '');

/** A request, and data from a port of the server's choice. */
function transfer(request: Path, data: Path): Uint8Array[] {
  return [
    datagram(request.out, '\0\x01file\0octet\0'),
    datagram(data.out, '\0\x03\0\x01data'),
    datagram(data.back, '\0\x04\0\x01'),
    datagram(data.out, '\0\x03\0\x02end'),
    datagram(data.back, '\0\x04\0\x02'),
  ];
}

const TFTP: readonly Case[] = [
  ['no NAT', '', '10.1.0.2:40000>10.2.0.2:69', '10.2.0.2:6000>10.1.0.2:40000', '10.1.0.2:40000>10.2.0.2:6000'],
  [
    'SNAT',
    'nat(src=10.9.9.9)',
    '10.1.0.2:40000>10.2.0.2:69',
    '10.2.0.2:6000>10.9.9.9:40000',
    '10.1.0.2:40000>10.2.0.2:6000',
  ],
  [
    'DNAT',
    'nat(dst=10.2.0.2)',
    '10.1.0.2:40000>10.8.8.8:69',
    '10.2.0.2:6000>10.1.0.2:40000',
    '10.1.0.2:40000>10.8.8.8:6000',
  ],
  [
    'IPv6',
    '',
    '2001:db8:1::2:40000>2001:db8:2::2:69',
    '2001:db8:2::2:6000>2001:db8:1::2:40000',
    '2001:db8:1::2:40000>2001:db8:2::2:6000',
  ],
].map(([what, nat, request, data, acknowledgement]) => ({
  title: `TFTP, ${what}`,
  flows: rules(nat),
  steps: now(transfer({ out: flow(request), back: flow(request) }, path(data, acknowledgement))),
}));

/** Both families at once, with the addresses of the golden captures. */
function translating(ipv4: string, ipv6: string): string {
  return mergeTables(rules(`nat(${ipv4})`), rules(`nat(${ipv6})`));
}

/** Rules for different matches, and the rules that they share once. */
function mergeTables(...tables: readonly string[]): string {
  return `${[...new Set(tables.flatMap(table => table.split('\n')))].join('\n')}\n`;
}

/** TCP ports of a frame over IPv4 without options or tags, none for others. */
function portsOf(frame: Uint8Array): readonly number[] {
  const view = Buffer.from(frame);
  const isTcp = view.length >= 54 && view.readUInt16BE(12) === 0x0800 && view[23] === 6;
  return isTcp ? [view.readUInt16BE(34), view.readUInt16BE(36)] : [];
}

/** Without the control connections that use EPRT over IPv4, whose address OVS spoils under NAT, and their data. */
function withoutEprt(steps: readonly PacketStep[]): PacketStep[] {
  const ports = new Set<number>();
  for (const { frame } of steps) {
    const [, announced] = /EPRT \|1\|[0-9.]+\|([0-9]+)\|/.exec(Buffer.from(frame).toString('latin1')) ?? [];
    if (announced !== undefined) ports.add(Number(announced)).add(portsOf(frame)[0]);
  }
  return steps.filter(({ frame }) => !portsOf(frame).some(port => ports.has(port)));
}

/** Real clients and servers. */
const RECORDED: readonly Case[] = ['ftp', 'tftp'].flatMap(name => {
  const older = { since: name === 'ftp' ? SINCE_EXTENDED : SINCE_KEPT };
  return [
    { title: `${name} of the captures`, flows: rules(), steps: goldenSteps(name), ...older },
    {
      title: `${name} of the captures through SNAT`,
      flows: translating('src=10.9.9.9', 'src=fd00:9::9'),
      steps: withoutEprt(goldenSteps(name, readdressed)),
      ...older,
    },
    {
      title: `${name} of the captures through SNAT to a shorter address`,
      flows: translating('src=1.9.9.9', 'src=::9'),
      steps: withoutEprt(goldenSteps(name)),
      ...older,
    },
    {
      title: `${name} of the captures through DNAT`,
      flows: translating('dst=10.2.0.2', 'dst=fd00:2::2'),
      steps: withoutEprt(goldenSteps(name, readdressedServer)),
      ...older,
    },
  ];
});

export const HELPER_CASES: readonly Case[] = [
  ...SESSIONS,
  { title: 'FTP in a zone', flows: rules('', 9), steps: now(session(PLAIN)) },
  { title: 'FTP in a zone with SNAT', flows: rules('nat(src=10.9.9.9)', 9), steps: now(session(PLACES[1])) },
  ...EXTENDED,
  ...BADLY_OPENED,
  ...ODD.map(([what, steps]) => ({
    title: `FTP: ${what}`,
    flows: rules(),
    steps: now(steps),
    ...(what.startsWith('EPRT') ? { since: SINCE_EXTENDED } : {}),
  })),
  {
    title: 'FTP on another port',
    flows: rules(),
    since: SINCE_KEPT,
    steps: now(said('PORT 10,1,0,2,195,80\r\n', 'client', OTHER_PORT)),
  },
  { title: 'FTP without its helper', flows: WITHOUT_HELPER, steps: now(session(PLAIN)) },
  ...TFTP,
  ...RECORDED,
  { title: 'TFTP without its helper', flows: WITHOUT_HELPER, steps: TFTP[0].steps },
];
