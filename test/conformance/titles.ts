/**
 * The checklist: every test of connection tracking that Open vSwitch has, by its title, and the test here that shows
 * the same, or why there is none. Titles are those of the main branch of July 2026; titles.test.ts checks that the tests
 * named here exist.
 *
 * Imports nothing.
 */

/** What shows the same: titles of cases, which are played to a live Open vSwitch, and tests by file and title. */
export interface Shown {
  readonly cases?: readonly string[];
  /** The title as it stands in the file, or a part of it where it is made of parts. */
  readonly tests?: readonly (readonly [file: string, title: string])[];
  /** What is not shown, or shown otherwise. */
  readonly but?: string;
}

export interface Row {
  readonly title: string;
  /** A reason when there is no such test here. */
  readonly shown: Shown | string;
}

export interface Group {
  /** File of Open vSwitch's tests. */
  readonly file: string;
  readonly rows: readonly Row[];
}

function group(file: string, rows: readonly (readonly [title: string, shown: Shown | string])[]): Group {
  return { file, rows: rows.map(([title, shown]) => ({ title, shown })) };
}

function cases(...titles: readonly string[]): Shown {
  return { cases: titles };
}

function tests(...titles: readonly (readonly [file: string, title: string])[]): Shown {
  return { tests: titles };
}

const CONTROLLER = 'rules send packets to a controller by the port of that name, there is no controller to answer';
const GROUPS = 'rules have no groups of OpenFlow';
const HEADERS = 'rules do not rewrite headers of packets, NAT alone does';
const MEGAFLOWS = 'about the flow cache of Open vSwitch: rules are looked up for each packet here';
const KERNEL = 'about the network stack of the kernel';
const TUNNELS = 'there are no tunnels';
const OPENFLOW = 'about a message of OpenFlow: deletions are commands and calls here';

const OFPROTO_DPIF = group('tests/ofproto-dpif.at', [
  ['ofproto-dpif - group with ct and dnat recirculation in action list', GROUPS],
  ['ofproto-dpif - continuation with conntrack', CONTROLLER],
  ['ofproto-dpif - conntrack - controller', cases('what one side opens the other may answer')],
  [
    'ofproto-dpif - conntrack - force commit',
    cases(
      'a forced commit in the reply direction turns the connection round',
      'a forced commit in the original direction changes nothing',
    ),
  ],
  [
    'ofproto-dpif - conntrack - related nat',
    cases('ICMP errors, SNAT, IPv4: UDP', 'ICMP errors, DNAT, IPv4: UDP', 'ICMP errors, DNAT, IPv6: UDP'),
  ],
  ['ofproto-dpif - conntrack - fragmentation nat', cases('fragments: DNAT', 'fragments: SNAT')],
  ['ofproto-dpif - conntrack - ipv6', cases('IPv6 through the firewall: TCP, UDP, echo, and what the server asks for')],
  [
    'ofproto-dpif - conntrack - output action',
    tests(
      ['conformance/outputs.test.ts', 'the firewall of the README'],
      ['conformance/outputs.test.ts', 'outputs behind ct()'],
    ),
  ],
  [
    'ofproto-dpif - conntrack - expiration',
    cases(
      'a zone whose connection has ended, and one whose has not',
      'an ended connection gives its port back to the millisecond',
    ),
  ],
  ['ofproto-dpif - conntrack - untrackable traffic', cases('neighbour discovery cannot be tracked')],
  ['ofproto-dpif - conntrack - zones', cases('the same packets in a zone per port', 'the firewall tells ports apart')],
  [
    'ofproto-dpif - conntrack - recirc,commit',
    cases(
      'mark and label set at commit are seen by every later packet',
      'committed twice: the second commit finds the first one',
    ),
  ],
  ['ofproto-dpif - conntrack - ICMP related', cases('ICMP errors from the server and from a router, without NAT')],
  ['ofproto-dpif - conntrack - ct_mark', cases('marks and labels decide', 'mark and label under masks')],
  ['ofproto-dpif - conntrack - ct_label', cases('marks and labels decide', 'mark and label under masks')],
  ['ofproto-dpif - conntrack - ct_label datapath flow', MEGAFLOWS],
  ['ofproto-dpif - conntrack - no output', cases('committed, but not sent anywhere')],
  [
    'ofproto-dpif - conntrack - tcp port reuse',
    cases(
      'port-reuse through a firewall',
      'port-reuse through SNAT',
      'the port is used again after its connection was closed',
    ),
  ],
  ['ofproto-dpif - conntrack - tcp pick up', cases('picked up in the middle, from either side')],
  [
    'ofproto-dpif - conntrack - disable tcp sequence checking',
    cases('sequence numbers are not checked, then they are'),
  ],
  [
    'ofproto-dpif - conntrack - ct_clear',
    cases('ct_clear forgets what conntrack said, not the connection', 'after ct_clear a packet is judged anew'),
  ],
  [
    'ofproto-dpif - conntrack - match masked ct fields',
    cases('the original direction is matched, under masks', 'marks, labels, zones and states are matched under masks'),
  ],
  ['ofproto-dpif - conntrack - ofproto/trace', tests(['flows/trace.test.ts', ' packets, seed '])],
  [
    'ofproto-dpif - conntrack - change sweep interval',
    tests(['engine/sweep.test.ts', 'the sweeper worker goes by the wall clock']),
  ],
]);

const SYSTEM_CONNTRACK = group('tests/system-traffic.at, conntrack', [
  ['conntrack - controller', cases('what one side opens the other may answer')],
  ['conntrack - force commit', cases('a forced commit in the reply direction turns the connection round')],
  [
    'conntrack - ct flush',
    cases(
      'deleted: everything',
      'deleted: a zone',
      'deleted: one connection of a zone',
      'deleted: one connection of zone 0, by what the server answers to',
      'deleted: by protocol',
      'deleted: by address',
      'deleted: by IPv6 address',
      'deleted: by the reply direction',
      'deleted: by type of ICMP',
      'deleted: by identifier of ICMP',
      'deleted: by mark',
      'deleted: by mark under a mask',
      'deleted: by label under a mask',
      'deleted: by label in a zone',
    ),
  ],
  ['conntrack - IPv4 ping', cases('ping through a firewall', 'what one side opens the other may answer')],
  [
    'conntrack - get_nconns and get/set_maxconns',
    {
      ...cases('maximum of connections, and their number'),
      ...tests(['engine/settings.test.ts', 'the maximum of connections can be lowered and raised again']),
    },
  ],
  ['conntrack - IPv6 ping', cases('what one side opens the other may answer')],
  [
    'conntrack - preserve registers',
    cases(
      'the same table again and again, told apart by a register',
      'registers and metadata live on through ct(table=)',
    ),
  ],
  ['conntrack - invalid', cases('the answer to what was never committed')],
  [
    'conntrack - zones',
    cases('the same packets in a zone per port', 'marks, labels, zones and states are matched under masks'),
  ],
  ['conntrack - zones from field', cases('zone from a register')],
  ['conntrack - zones from other field', cases('zone from ct_zone')],
  ['conntrack - zones from other field, more tests', cases('zone from ct_mark and from ct_label')],
  [
    'conntrack - multiple bridges',
    {
      ...cases('two zones commit one after the other'),
      but: 'there is one switch; its zones are those of both bridges',
    },
  ],
  ['conntrack - multiple zones', cases('two zones commit one after the other')],
  ['conntrack - SNAT with icmp_id', cases('SNAT conflict of ICMP identifiers')],
  ['conntrack - multiple namespaces, internal ports', KERNEL],
  ['conntrack - ct_mark', cases('marks and labels decide')],
  ['conntrack - ct_mark bit-fiddling', cases('bits are changed packet by packet', 'mark and label under masks')],
  ['conntrack - ct_mark from register', cases('mark from a register')],
  ['conntrack - ct_label', cases('marks and labels decide')],
  ['conntrack - ct_label bit-fiddling', cases('bits are changed packet by packet', 'mark and label under masks')],
  ['conntrack - ct metadata, multiple zones', cases('marks of connections differ by zone')],
  ['conntrack - new connections', cases('datagrams and echo requests stay new until somebody answers')],
  [
    'conntrack - generic IP protocol',
    cases('a protocol without ports: the first client is translated, the second finds the address taken'),
  ],
  ['conntrack - ICMP related', cases('ICMP errors from the server and from a router, without NAT')],
  [
    'conntrack - ICMP related to original direction',
    cases('an ICMP error about a packet of the reply direction, on equal ports'),
  ],
  ['conntrack - ICMP related 2', cases('ICMP errors from the server and from a router, without NAT')],
  ['conntrack - ICMP related NAT with single port', cases('ICMP errors, destination port changed')],
  [
    'conntrack - IPv4 fragmentation',
    cases('fragments: a datagram in order, IPv4', 'fragments: a request and its answer', 'fragments: echo'),
  ],
  [
    'conntrack - IPv4 fragmentation with ct orig match',
    cases('fragments: the original direction is matched behind ct()'),
  ],
  [
    'conntrack - IPv4 fragmentation expiry',
    tests(['fragment/reassembly.test.ts', 'after 15 s the rest comes too late; until then it is in time']),
  ],
  ['conntrack - IPv4 fragmentation + vlan', cases('fragments: in one tag, IPv4')],
  ['conntrack - IPv4 fragmentation + cvlan', cases('fragments: in two tags, IPv4')],
  ['conntrack - IPv4 fragmentation incomplete reassembled packet', cases('fragments: one that is missing, IPv4')],
  [
    'conntrack - IPv4 fragmentation with fragments specified',
    cases('fragments: a datagram in order, IPv4', 'fragments: first and later ones by other rules'),
  ],
  ['conntrack - IPv4 fragmentation out of order', cases('fragments: a datagram reversed, IPv4')],
  [
    'conntrack - IPv4 fragmentation overlapping fragments by 1 octet',
    cases('fragments: overlapping by eight octets, IPv4'),
  ],
  [
    'conntrack - IPv4 fragmentation overlapping fragments by 1 octet out of order',
    cases('fragments: overlapping by eight octets, the last first, IPv4'),
  ],
  [
    'conntrack - IPv6 fragmentation',
    cases('fragments: a datagram in order, IPv6', 'fragments: a request and its answer, IPv6'),
  ],
  [
    'conntrack - IPv6 fragmentation with ct orig match',
    cases('fragments: the original direction is matched behind ct()'),
  ],
  [
    'conntrack - IPv6 fragmentation expiry',
    tests(['fragment/reassembly.test.ts', 'after 15 s the rest comes too late; until then it is in time']),
  ],
  ['conntrack - IPv6 fragmentation + vlan', cases('fragments: in one tag, IPv6')],
  ['conntrack - IPv6 fragmentation + cvlan', cases('fragments: in two tags, IPv6')],
  ['conntrack - IPv6 fragmentation incomplete reassembled packet', cases('fragments: one that is missing, IPv6')],
  ['conntrack - IPv6 fragmentation with fragments specified', cases('fragments: a datagram in order, IPv6')],
  ['conntrack - IPv6 fragmentation out of order', cases('fragments: a datagram reversed, IPv6')],
  ['conntrack - IPv6 fragmentation, multiple extension headers', cases('fragments: with extension headers in front')],
  [
    'conntrack - IPv6 fragmentation, multiple extension headers + out of order',
    cases('fragments: with extension headers in front, reversed'),
  ],
  ['conntrack - IPv6 fragmentation, multiple extension headers 2', cases('fragments: with extension headers behind')],
  [
    'conntrack - IPv6 fragmentation, multiple extension headers 2 + out of order',
    cases('fragments: with extension headers on both sides, reversed'),
  ],
  ['conntrack - Fragmentation over vxlan', TUNNELS],
  ['conntrack - IPv6 Fragmentation over vxlan', TUNNELS],
  [
    'conntrack - IPv4 Fragmentation + NAT',
    cases('fragments: SNAT', 'fragments: SNAT, reversed', 'fragments: SNAT of an echo'),
  ],
  ['conntrack - resubmit to ct multiple times', cases('two resubmissions, a ct() in each')],
  [
    'conntrack - zone-based timeout policy',
    {
      ...cases(
        'timeout policy of a zone: first, single and multiple datagrams, requests and replies',
        'timeout policy of a zone: the states of TCP',
        'timeout policies of two zones, one of them without',
        'timeout policy of a zone: taken away, and what a connection was made with',
      ),
      ...tests(['engine/settings.test.ts', 'a zone has a timeout policy for the connections whose action names none']),
    },
  ],
  ['conntrack - SCTP SNAT with port range', cases('SCTP: an association under SNAT with one port')],
  ['conntrack - fragment reassembly with L3 L4 protocol information', KERNEL],
]);

const SYSTEM_L7 = group('tests/system-traffic.at, conntrack - L7', [
  ['conntrack - IPv4 HTTP', cases('http-ipv4 through a firewall')],
  ['conntrack - IPv6 HTTP', cases('http-ipv6 through a firewall')],
  [
    'conntrack - commit, recirc',
    cases('looked up many times', 'committed twice: the second commit finds the first one'),
  ],
  [
    'conntrack - multiple zones, local',
    { ...cases('two zones and back to the first'), but: 'LOCAL is a port like any other' },
  ],
  [
    'conntrack - multi-stage pipeline, local',
    {
      ...cases('a pipeline of stages, a zone for each end, chosen by registers'),
      but: 'LOCAL is a port like any other',
    },
  ],
  [
    'conntrack - limit by zone',
    {
      ...cases(
        'limit of a zone: the last place goes to the first who comes',
        'limit of a zone: lowered and raised while packets flow',
        'default limit: each zone without one of its own has it, and zone 0 too',
        'limit of a zone: what is deleted and what has ended makes room',
      ),
      ...tests(['engine/settings.test.ts', 'a limit of 0 lets nothing in, a default of 0 is none']),
    },
  ],
  ['FTP - no conntrack', 'a test of the FTP programs themselves: nothing is tracked'],
  ['conntrack - FTP', cases('FTP, PORT and 227, no NAT')],
  ['conntrack - FTP non-standard port', cases('FTP on another port')],
  ['conntrack - FTP with expectation dump', cases('FTP in a zone')],
  ['conntrack - FTP over IPv6', cases('FTP, EPRT and 229 over IPv6, no NAT')],
  ['conntrack - IPv6 FTP Passive', cases('FTP, EPRT and 229 over IPv6, no NAT')],
  ['conntrack - FTP with multiple expectations', cases('FTP, PORT and 227, no NAT', 'ftp of the captures')],
  ['conntrack - TFTP', cases('TFTP, no NAT')],
]);

const SYSTEM_NAT = group('tests/system-traffic.at, conntrack - NAT', [
  ['conntrack - simple SNAT', tests(['conformance/choice.test.ts', 'SNAT to a range of addresses'])],
  ['conntrack - SNAT with ct_mark change on reply', cases('a reply changes the mark under SNAT')],
  [
    'conntrack - SNAT with port range',
    tests(['conformance/choice.test.ts', 'SNAT to a range of addresses and two ports, at random']),
  ],
  [
    'conntrack - SNAT with port range using ICMP',
    {
      ...cases('SNAT with one port, ICMP: the identifier'),
      ...tests(['conformance/choice.test.ts', 'SNAT of echo requests to a range of addresses']),
    },
  ],
  [
    'conntrack - SNAT with port range with exhaustion',
    cases('SNAT with one port: the second client finds it taken, another server is free'),
  ],
  [
    'conntrack - more complex SNAT',
    {
      ...cases('SNAT, IPv4: TCP', 'http-ipv4 through SNAT'),
      ...tests(['conformance/choice.test.ts', 'SNAT to a range of addresses']),
    },
  ],
  [
    'conntrack - all-zero IP SNAT',
    cases(
      'SNAT to all zeros: the address stays, and the port unless it is taken',
      'SNAT to all zeros makes way for a connection under DNAT',
    ),
  ],
  ['conntrack - simple DNAT', cases('DNAT, IPv4: TCP')],
  [
    'conntrack - DNAT with additional SNAT',
    cases(
      'DNAT, then SNAT of the same connection: the first one counts, mark and label are set',
      'two commits with different NAT: the first one counts',
    ),
  ],
  ['conntrack - more complex DNAT', cases('DNAT, IPv4: TCP', 'DNAT with a port')],
  ['conntrack - ICMP related with NAT', cases('ICMP errors, SNAT, IPv4: UDP')],
  [
    'conntrack - ICMP related with SNAT',
    cases(
      'ICMP errors, SNAT, IPv4: UDP',
      'ICMP errors that are committed with nat once more, both ways, and after a deletion',
    ),
  ],
  ['conntrack - FTP SNAT prerecirc ', cases('FTP, PORT and 227, SNAT to an address as long')],
  ['conntrack - FTP SNAT prerecirc seqadj', cases('FTP, PORT and 227, SNAT')],
  ['conntrack - FTP SNAT postrecirc ', cases('FTP, PORT and 227, SNAT to an address as long')],
  ['conntrack - FTP SNAT postrecirc seqadj', cases('FTP, PORT and 227, SNAT')],
  ['conntrack - FTP SNAT orig tuple ', cases('FTP, PORT and 227, SNAT to an address as long')],
  ['conntrack - FTP SNAT orig tuple seqadj', cases('FTP, PORT and 227, SNAT')],
  ['conntrack - IPv4 FTP Passive with SNAT', cases('FTP, PORT and 227, SNAT')],
  ['conntrack - IPv4 FTP Passive with DNAT', cases('FTP, PORT and 227, DNAT')],
  ['conntrack - IPv4 FTP Passive with DNAT 2', cases('FTP, PORT and 227, DNAT')],
  ['conntrack - IPv4 FTP Active with DNAT', cases('FTP, PORT and 227, DNAT')],
  ['conntrack - IPv4 FTP Active with DNAT with reverse skew', cases('FTP, PORT and 227, DNAT')],
  [
    'conntrack - IPv6 HTTP with SNAT',
    {
      ...cases('http-ipv6 through SNAT', 'SNAT, IPv6: TCP'),
      ...tests(['conformance/choice.test.ts', 'SNAT over IPv6 to two addresses']),
    },
  ],
  ['conntrack - IPv6 HTTP with DNAT', cases('DNAT, IPv6: TCP', 'DNAT, IPv6: ICMP echo')],
  ['conntrack - IPv6 ICMP6 Related with SNAT', cases('ICMP errors, SNAT, IPv6: UDP')],
  ['conntrack - ICMPv6 related NAT with single port', cases('ICMP errors, IPv6, destination port changed')],
  ['conntrack - IPv6 FTP with SNAT', cases('FTP, EPRT and 229 over IPv6, SNAT')],
  ['conntrack - IPv6 FTP Passive with SNAT', cases('FTP, EPRT and 229 over IPv6, SNAT')],
  ['conntrack - IPv6 FTP with SNAT - orig tuple', cases('FTP, EPRT and 229 over IPv6, SNAT')],
  ['conntrack - IPv4 TFTP with SNAT', cases('TFTP, SNAT')],
  [
    'conntrack - DNAT load balancing',
    { ...cases('DNAT to one of three servers by the port of the client'), but: `${GROUPS}: rules choose the server` },
  ],
  [
    'conntrack - DNAT load balancing with NC',
    {
      ...cases(
        'DNAT to one of three servers by the port of the client',
        'DNAT conflict: one client port to two addresses of one server',
      ),
      but: `${GROUPS}: rules choose the server`,
    },
  ],
  ['conntrack - floating IP', HEADERS],
  ['conntrack - negative test for recirculation optimization', HEADERS],
  [
    'conntrack - Multiple ICMP traverse',
    cases('a request goes through two zones, the second time as new as the first'),
  ],
  ['conntrack - can match and clear ct_state from outside OVS', KERNEL],
  [
    'conntrack - ICMP from different source related with NAT',
    cases(
      'ICMP errors, DNAT, IPv4: UDP',
      'ICMP errors that are committed with nat once more, both ways, and after a deletion',
    ),
  ],
  ['conntrack - Flush many conntrack entries by port', cases('deleted: by port of the client')],
]);

const OTHERS: readonly Group[] = [
  group('tests/library.at', [
    [
      'Conntrack Library - FTP ALG parsing',
      tests(['alg/ftp.test.ts', 'announcements that cannot be read are malformed']),
    ],
  ]),
  group('tests/dpctl.at', [
    [
      'dpctl - ct-set-limits ct-get-limits ct-del-limits',
      {
        ...cases('limit of a zone: lowered and raised while packets flow'),
        ...tests(['engine/settings.test.ts', 'what is out of range is refused by name and changes nothing']),
        but: 'the words of the command come with the command',
      },
    ],
  ]),
  group('tests/dpif-netdev.at', [
    [
      'dpif-netdev - conntrack',
      tests(
        ['wire/ipv4.test.ts', 'a wrong header checksum'],
        ['wire/known.test.ts', 'a declared good checksum excuses nothing but the checksum'],
        ['wire/known.test.ts', 'a declared bad IPv4 header makes every IPv4 packet invalid'],
      ),
    ],
  ]),
  group('tests/ovs-ofctl.at', [
    ['ovs-ofctl ct-flush-zone', { ...cases('deleted: a zone'), but: OPENFLOW }],
    [
      'ovs-ofctl ct-flush',
      { ...cases('deleted: by protocol', 'deleted: by address', 'deleted: by mark'), but: OPENFLOW },
    ],
  ]),
  group('tests/ofp-print.at', [
    ['NXT_CT_FLUSH_ZONE', OPENFLOW],
    ['NXT_CT_FLUSH', OPENFLOW],
  ]),
];

export const TITLES: readonly Group[] = [OFPROTO_DPIF, SYSTEM_CONNTRACK, SYSTEM_L7, SYSTEM_NAT, ...OTHERS];
