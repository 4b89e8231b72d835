/** What routers and other layers add: ICMP errors, SCTP, VLAN tags, other IP protocols, everything at once. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Chunk, crafted, ip, PROTOCOL, type Route, reverse, sctp, TYPE, u16, u32, withCrc } from '../frames.js';
import { CLIENT, end, type Lab, program, SERVER } from '../lab.js';
import { readPcap, writePcap } from '../pcap.js';
import { startDns, startUdp, startWeb } from './everyday.js';
import { routed, type Scenario } from './scenario.js';
import { startTcp } from './tcp.js';

const HOSTS = [SERVER.v4, SERVER.v6];

async function refuse(lab: Lab): Promise<void> {
  for (const host of HOSTS) {
    await lab.run('client', program('udp_peer', host, 7001, 'echo*2', 'silent@4400', 'silent@4400'));
    for (const how of ['-U', '-I', '-T -p 80', ''])
      await lab.attempt('client', `traceroute -n -q 1 -w 0.3 -m 3 -N 1 ${how} ${host}`);
    await lab.attempt('client', `ping -n -q -c 2 -i 0.05 -t 1 ${host}`);
  }
  await reject(lab);
  await shrink(lab);
  await lab.attempt('client', 'ping -n -q -c 1 -w 1 192.0.2.9; ping -n -q -c 1 -w 1 2001:db8::9');
  await lab.attempt('client', 'ping -n -q -c 1 -w 4 10.2.0.77 & ping -n -q -c 1 -w 4 fd00:2::77; wait');
}

/** Rejections by a firewall on the router. */
async function reject(lab: Lab): Promise<void> {
  const rules = [
    'tcp dport 8001 reject with icmpx type admin-prohibited',
    'tcp dport 8002 reject with tcp reset',
    'udp dport 8003 reject with icmpx type host-unreachable',
    'udp dport 8004 reject with icmpx type no-route',
    'ip protocol icmp reject with icmp type net-prohibited',
    'icmpv6 type echo-request reject with icmpv6 type policy-fail',
  ];
  const adds = rules.map(rule => `add rule inet lab forward ${rule}; `).join('');
  await lab.run(
    'router',
    `nft 'add table inet lab; add chain inet lab forward { type filter hook forward priority 0; }; ${adds}'`,
  );
  for (const host of HOSTS) {
    await lab.attempt('client', `nc -w 1 ${host} 8001 </dev/null; nc -w 1 ${host} 8002 </dev/null`);
    await lab.run('client', program('udp_peer', host, 8003, 'silent*2'));
    await lab.run('client', program('udp_peer', host, 8004, 'silent*2'));
    await lab.attempt('client', `ping -n -q -c 1 -w 1 ${host}`);
  }
  await lab.run('router', 'nft flush ruleset');
}

/** A narrow link behind the router: fragmentation needed, packet too big. */
async function shrink(lab: Lab): Promise<void> {
  await lab.run(
    'router',
    'ip route replace 10.2.0.0/24 dev eth1 mtu 1280; ip -6 route replace fd00:2::/64 dev eth1 metric 256 mtu 1280',
  );
  await lab.attempt('client', `ping -n -q -M do -c 2 -i 0.05 -w 1 -s 1400 ${SERVER.v4}`);
  await lab.attempt('client', `ping -n -q -M do -c 2 -i 0.05 -w 1 -s 1400 ${SERVER.v6}`);
  await lab.run('client', 'ip route flush cache; ip -6 route flush cache');
  for (const host of [SERVER.v4, `[${SERVER.v6}]`]) {
    await lab.run(
      'client',
      `head -c 6000 /dev/zero | curl -m 9 -sg -H Expect: --data-binary @- -o /dev/null http://${host}/post`,
    );
  }
  await lab.run('router', 'ip route replace 10.2.0.0/24 dev eth1; ip -6 route replace fd00:2::/64 dev eth1 metric 256');
}

const USRSCTP = '/usr/lib/usrsctp';

async function associate(lab: Lab): Promise<void> {
  const chat = (host: string, ports: string) =>
    `(sleep 0.3; echo one; sleep 0.2; echo two; sleep 0.2) | timeout 4 ${USRSCTP}/client ${host} 7 ${ports}`;
  const echo = lab.start('server', `${USRSCTP}/echo_server`);
  await sleep(300);
  await lab.attempt('client', chat(SERVER.v4, '4500'));
  await lab.attempt('client', chat(SERVER.v6, '4501'));
  await end(echo, 'SIGKILL');
  const discard = lab.start('server', `${USRSCTP}/tsctp`);
  await sleep(300);
  await lab.attempt('client', `timeout 8 ${USRSCTP}/tsctp -n 60 -l 900 ${SERVER.v4}`);
  await end(discard, 'SIGKILL');
}

function initiation(tag: number): Buffer {
  return Buffer.concat([u32(tag, 65536), u16(10, 10), u32(1)]);
}

/** Associations as a test program would make them, good and bad, over both IP versions. */
function craftedSctp(route: Route) {
  const [a, b] = [0x1111, 0x2222];
  const client = (tag: number, ...chunks: Chunk[]) =>
    crafted('client', type, ip(route, PROTOCOL.SCTP, sctp([4600, 36412], tag, chunks)));
  const server = (tag: number, ...chunks: Chunk[]) =>
    crafted('server', type, ip(reverse(route), PROTOCOL.SCTP, sctp([36412, 4600], tag, chunks)));
  const bad = (change: (packet: Buffer) => Buffer, port = 4600) =>
    crafted('client', type, ip(route, PROTOCOL.SCTP, change(sctp([port, 36412], b, [data]))));
  const type = route.source.includes(':') ? TYPE.IPV6 : TYPE.IPV4;
  const data: Chunk = { type: 0, flags: 3, value: Buffer.concat([u32(1), u16(0, 0), u32(0), Buffer.from('hello')]) };
  const empty = Buffer.alloc(0);
  return [
    client(0, { type: 1, value: initiation(a) }),
    server(a, { type: 2, value: initiation(b) }),
    client(b, { type: 10, value: Buffer.from('cookie..') }, data),
    server(a, { type: 11, value: empty }, { type: 3, value: Buffer.concat([u32(1, 65536), u16(0, 0)]) }),
    client(b, { type: 4, value: Buffer.concat([u16(1, 8), u32(7)]) }),
    server(a, { type: 5, value: Buffer.concat([u16(1, 8), u32(7)]) }),
    bad(packet => flip(packet, 8)),
    bad(packet => flip(packet, packet.length - 1)),
    bad(packet => withCrc(length(packet, 3))),
    bad(packet => withCrc(length(packet, 0))),
    bad(packet => withCrc(length(packet, 200))),
    bad(packet => withCrc(length(packet, 17))),
    bad(packet => withCrc(packet.subarray(0, 12))),
    bad(packet => withCrc(packet.subarray(0, 14))),
    bad(packet => packet.subarray(0, 11)),
    bad(packet => withCrc(packet), 4700),
    bad(packet => flip(packet, 8), 4701),
    bad(packet => withCrc(packet), 0),
    client(b, { type: 7, value: u32(1) }),
    server(a, { type: 8, value: empty }),
    client(b, { type: 14, value: empty }),
    client(b, { type: 6, value: empty }),
  ];
}

function flip(packet: Buffer, at: number): Buffer {
  const copy = Buffer.from(packet);
  copy[at] ^= 0x40;
  return copy;
}

/** Another length in the first chunk. */
function length(packet: Buffer, value: number): Buffer {
  const copy = Buffer.from(packet);
  copy.writeUInt16BE(value, 14);
  return copy;
}

const SCTP: Scenario = {
  name: 'sctp',
  description:
    'associations, data both ways, heartbeats, shutdown; then crafted ones with wrong CRCs and chunk lengths',
  programs: 'usrsctp client, echo_server and tsctp, send.py',
  record: async (lab, file) => {
    await lab.capture(`${file}.real`, 'routed', () => associate(lab));
    const frames = [
      ...craftedSctp({ source: CLIENT.v4, destination: SERVER.v4 }),
      ...craftedSctp({ source: CLIENT.v6, destination: SERVER.v6 }),
    ];
    await lab.capture(`${file}.crafted`, 'wire', () => lab.send(frames));
    writePcap(file, [...readPcap(`${file}.real`), ...readPcap(`${file}.crafted`)]);
  },
};

/** Ping, UDP and TCP between two tap devices whose frames cross the wire in tags. */
async function tagged(lab: Lab, tags: string): Promise<void> {
  const client = lab.start('client', program('tagger', '10.3.0.1', 'fd00:3::1', tags));
  const server = lab.start('server', program('tagger', '10.3.0.2', 'fd00:3::2', tags));
  await sleep(500);
  for (const host of ['10.3.0.2', 'fd00:3::2']) {
    const url = host.includes(':') ? `[${host}]` : host;
    await lab.run('client', `ping -n -q -c 2 -i 0.05 ${host}; curl -m 9 -sg -o /dev/null http://${url}/3000`);
    await lab.run('client', program('udp_peer', host, 7000, 'echo*2@4800', 'stream_3'));
  }
  await end(client);
  await end(server);
}

function vlan(name: string, description: string, tagLists: readonly string[]): Scenario {
  return {
    name,
    description,
    programs: 'tagger.py around ping, curl, Python http.server, udp_peer.py',
    record: async (lab, file) => {
      await startWeb(lab);
      await startUdp(lab);
      await lab.capture(file, 'wire', async () => {
        for (const tags of tagLists) await tagged(lab, tags);
      });
    },
  };
}

const NUMBERS = { igmp: 2, dccp: 33, gre: 47, esp: 50, ah: 51, ospf: 89, pim: 103, vrrp: 112, test: 253 };

async function others(lab: Lab): Promise<void> {
  const { dccp, gre, esp, ospf, pim, vrrp, test } = NUMBERS;
  for (const host of HOSTS) {
    const payloads = [
      `${gre}:0000080045000014*2`,
      `${esp}:0000100100000001deadbeef*3`,
      `${dccp}:13881389050000000000000000000000*2`,
    ];
    const rest = [
      `${ospf}:0201002c0a000001`,
      `${pim}:2000df93`,
      `${vrrp}:2101640100fe0000*2`,
      `${test}:00`,
      '94:4500*2',
      '255:aa',
    ];
    await lab.attempt('client', program('ip_peer', host, ...payloads, ...rest));
    await lab.run('client', program('udp_peer', host, 7002, 'lite', 'echo*2', 'silent*2', 'stream_4'));
  }
  await lab.attempt('client', program('ip_peer', SERVER.v4, '58:8000000000010001', '0:00'));
  await lab.attempt('client', program('ip_peer', SERVER.v6, '1:0800f7fd00010001'));
  await lab.attempt(
    'server',
    program('ip_peer', CLIENT.v4, `${gre}:0000080045000014*2`, `${esp}:0000100100000001deadbeef`),
  );
  const join = 'socat -u UDP-RECV:9000,ip-add-membership=239.1.2.3:eth0';
  const join6 = "socat -u UDP6-RECV:9001,ipv6-join-group='[ff05::123]:eth0'";
  await lab.attempt('client', `timeout 1 ${join} - & timeout 1 ${join6} - & wait`);
  await lab.attempt('client', 'echo hello | socat - UDP-DATAGRAM:239.1.2.3:9000,ip-multicast-if=10.1.0.2');
  await lab.attempt('client', 'echo hello | socat - UDP-DATAGRAM:10.1.0.255:9000,broadcast');
}

async function everything(lab: Lab): Promise<void> {
  const again = (times: number, command: string) =>
    lab.attempt('client', `for i in $(seq ${times}); do ${command}; done`);
  await Promise.all([
    again(
      9,
      `curl -m 9 -s -o /dev/null http://${SERVER.v4}/9000; curl -m 9 -sg -o /dev/null http://[${SERVER.v6}]/7000`,
    ),
    again(4, `curl -m 9 -s -o /dev/null http://${SERVER.v4}/60000`),
    again(
      12,
      `dig +tries=1 +time=1 @${SERVER.v4} www.example A; dig +tcp +tries=1 +time=1 @${SERVER.v6} www.example AAAA`,
    ),
    again(2, `ping -n -q -c 8 -i 0.1 ${SERVER.v4}; ping -n -q -c 8 -i 0.1 ${SERVER.v6}`),
    again(6, program('udp_peer', SERVER.v4, 7000, 'echo*10', 'stream_20', 'silent*5')),
    again(5, program('udp_peer', SERVER.v6, 7000, 'echo*10', 'twice*3')),
    again(
      3,
      program('tcp_peer', SERVER.v4, 6000, 'abort-client', 'abort-server', 'close-both', 'half-close', 'unread'),
    ),
    again(2, program('tcp_peer', SERVER.v6, 6000, 'abort-at-once', 'close-server', 'echo', 'urgent')),
    again(10, `nc -w 1 ${SERVER.v4} 6001 </dev/null; ${program('udp_peer', SERVER.v6, 7001, 'silent')}`),
    again(3, `traceroute -n -q 1 -w 0.2 -m 3 ${SERVER.v4}; traceroute -n -q 1 -w 0.2 -m 3 ${SERVER.v6}`),
    again(1, `hping3 -q -S -c 60 -i u3000 -p ++6000 ${SERVER.v4}; hping3 -q -2 -c 40 -i u3000 -p ++7000 ${SERVER.v4}`),
    again(2, program('ip_peer', SERVER.v4, '47:00000800*3', '50:0000100100000001*3')),
  ]);
}

export const NETWORK: readonly Scenario[] = [
  routed(
    {
      name: 'port-unreachable',
      description:
        'ICMP errors for real: ports and hosts out of reach, time exceeded, prohibited, too big, IPv4 and IPv6',
      programs: 'udp_peer.py, traceroute, ping, nc, curl, nft reject',
    },
    refuse,
    startWeb,
  ),
  SCTP,
  vlan('vlan', 'ping, HTTP and UDP in one 802.1Q tag: VLAN 10, the same addresses in VLAN 20, a priority tag', [
    '8100:000a',
    '8100:0014',
    '8100:a000',
  ]),
  vlan('qinq', 'the same in 802.1ad plus 802.1Q, in two 802.1Q tags, in 802.1ad alone, and in three tags', [
    '88a8:0064 8100:000a',
    '8100:0064 8100:0014',
    '88a8:0065',
    '88a8:0064 8100:000a 8100:000b',
  ]),
  routed(
    {
      name: 'other-protocols',
      description:
        'GRE, ESP, DCCP, OSPF, PIM, VRRP and unknown numbers, UDP-Lite, IGMP and MLD, ICMP in the wrong IP version',
      programs: 'ip_peer.py, udp_peer.py, socat',
    },
    others,
    async lab => {
      lab.start('server', program('udp_peer', 'serve', 7002, 'lite'));
      lab.start('server', program('ip_peer', 'serve', NUMBERS.gre, NUMBERS.dccp, NUMBERS.vrrp, 94));
      await sleep(300);
    },
  ),
  routed(
    {
      name: 'mixed',
      description: 'a bit of everything at the same time',
      programs: 'curl, dig, ping, traceroute, hping3, nc, udp_peer.py, tcp_peer.py, ip_peer.py',
    },
    everything,
    async lab => {
      await startWeb(lab);
      await startDns(lab);
      await startUdp(lab);
      await startTcp(lab);
      lab.start('server', program('ip_peer', 'serve', 47));
    },
  ),
];
