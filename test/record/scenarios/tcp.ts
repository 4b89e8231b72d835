/** TCP beyond the everyday: resets, half-open connections, ports used again, long transfers with loss. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CLIENT, type Lab, program, SERVER } from '../lab.js';
import { routed, type Scenario } from './scenario.js';

const PORT = 6000;

export async function startTcp(lab: Lab): Promise<void> {
  await lab.serve('server', 'tcp', PORT, program('tcp_peer', 'serve', PORT));
}

async function connectAs(lab: Lab, host: string, ...orders: readonly string[]): Promise<void> {
  await lab.run('client', program('tcp_peer', host, PORT, ...orders));
}

async function reset(lab: Lab): Promise<void> {
  for (const host of [SERVER.v4, SERVER.v6]) {
    await lab.attempt(
      'client',
      `nc -w 1 ${host} 6001 </dev/null; curl -m 9 -sg http://${host.includes(':') ? `[${host}]` : host}:6002/`,
    );
    await connectAs(lab, host, 'abort-client', 'abort-server', 'abort-at-once', 'unread', 'half-close', 'urgent');
    await connectAs(lab, host, 'abort-client@4100', 'abort-server@4101', 'close-both@4102', 'idle@4103');
  }
  await lab.attempt('server', `nc -w 1 ${CLIENT.v4} 6001 </dev/null`);
  await lab.attempt(
    'client',
    `hping3 -q -A -c 2 -i u20000 -p ${PORT} ${SERVER.v4}; hping3 -q -R -c 2 -i u20000 -p ${PORT} ${SERVER.v4}`,
  );
}

function nft(lab: Lab, place: 'client' | 'router' | 'server', hook: string, rule: string): Promise<string> {
  const chain = `add chain inet lab ${hook} { type filter hook ${hook} priority 0; }`;
  return lab.run(place, `nft 'add table inet lab; ${chain}; add rule inet lab ${hook} ${rule}'`);
}

async function clearNft(lab: Lab): Promise<void> {
  for (const place of ['client', 'router', 'server'] as const) await lab.run(place, 'nft flush ruleset');
}

/** Connects from both ends at once; the queue discipline holds each SYN back until the other is on its way. */
async function crossSlowly(lab: Lab): Promise<void> {
  const when = Date.now() / 1000 + 1;
  for (const place of ['client', 'server'] as const) {
    await lab.run(place, 'tc qdisc add dev eth0 root tbf rate 8kbit burst 150 latency 5s');
  }
  await Promise.all([
    lab.attempt('client', program('tcp_peer', 'cross', SERVER.v4, 4200, 4201, when)),
    lab.attempt('server', program('tcp_peer', 'cross', CLIENT.v4, 4201, 4200, when)),
  ]);
  for (const place of ['client', 'server'] as const) await lab.run(place, 'tc qdisc del dev eth0 root');
}

/** The client's SYN never arrives; the server's own, sent later, does. */
async function crossLate(lab: Lab): Promise<void> {
  await nft(lab, 'server', 'input', 'tcp dport 4210 tcp flags == syn drop');
  await Promise.all([
    lab.attempt('client', program('tcp_peer', 'cross', SERVER.v4, 4210, 4211)),
    lab.attempt('server', `sleep 0.3; ${program('tcp_peer', 'cross', CLIENT.v4, 4211, 4210)}`),
  ]);
  await clearNft(lab);
}

async function halfOpen(lab: Lab): Promise<void> {
  for (const place of ['client', 'server'] as const)
    await lab.run(place, 'sysctl -qw net.ipv4.tcp_syn_retries=3 net.ipv4.tcp_synack_retries=3');
  await nft(lab, 'server', 'input', 'tcp dport 9 drop');
  await nft(lab, 'client', 'input', 'tcp sport 6000 tcp flags syn,ack / syn,ack drop');
  await Promise.all([
    ...[SERVER.v4, SERVER.v6].map(host => lab.attempt('client', `nc -w 8 ${host} 9 </dev/null`)),
    lab.attempt('client', `timeout 5 ${program('tcp_peer', SERVER.v4, PORT, 'never')}`),
    lab.attempt('client', `timeout 5 ${program('tcp_peer', SERVER.v6, PORT, 'never')}`),
    lab.attempt(
      'client',
      `hping3 -q -S -c 5 -i u10000 -s 4220 -k -p 9 ${SERVER.v4}; hping3 -q -S -c 10 -i u5000 -p 9 ${SERVER.v4}`,
    ),
  ]);
  await clearNft(lab);
  await crossSlowly(lab);
  await crossLate(lab);
}

async function transfer(lab: Lab): Promise<void> {
  await nft(lab, 'router', 'forward', 'meta length > 200 numgen random mod 40 == 0 drop');
  await lab.run('router', 'tc qdisc add dev eth0 root tbf rate 20mbit burst 20k latency 40ms');
  await lab.run('client', `curl -m 9 -s -o /dev/null http://${SERVER.v4}/280000`);
  await lab.run(
    'client',
    `head -c 200000 /dev/zero | curl -m 9 -sg -H Expect: --data-binary @- -o /dev/null http://[${SERVER.v6}]/post`,
  );
  for (const place of ['client', 'server'] as const) await lab.run(place, 'sysctl -qw net.ipv4.tcp_window_scaling=0');
  await lab.run('client', `curl -m 9 -s -o /dev/null http://${SERVER.v4}/150000`);
  await lab.run('client', 'sysctl -qw net.ipv4.tcp_window_scaling=1 net.ipv4.tcp_sack=0 net.ipv4.tcp_timestamps=0');
  await lab.run('client', `curl -m 9 -s -o /dev/null http://${SERVER.v4}/100000`);
  await clearNft(lab);
  await lab.run('router', 'tc qdisc del dev eth0 root');
}

/** A client that forgets its connection: the RST is dropped before anyone sees it. */
async function forget(lab: Lab, host: string): Promise<void> {
  await nft(lab, 'client', 'output', 'tcp sport 4303 tcp flags & rst == rst drop');
  await connectAs(lab, host, 'abort-client@4303');
  await clearNft(lab);
  await connectAs(lab, host, 'echo@4303');
}

async function reuse(lab: Lab): Promise<void> {
  await lab.run('client', 'sysctl -qw net.ipv4.tcp_max_tw_buckets=0');
  for (const host of [SERVER.v4, SERVER.v6]) {
    for (let round = 0; round < 3; round++) {
      await connectAs(lab, host, 'close-server@4300', 'echo@4301', 'abort-client@4302', 'abort-server@4304');
    }
    await connectAs(
      lab,
      host,
      'close-both@4305',
      'close-server@4305',
      'echo@4305',
      'abort-client@4305',
      'half-close@4305',
    );
    await forget(lab, host);
  }
  await sleep(100);
}

export const TCP: readonly Scenario[] = [
  routed(
    {
      name: 'resets',
      description:
        'closed ports, aborts by either side, data after close, half-closed and urgent data, stray ACK and RST',
      programs: 'nc, curl, hping3, tcp_peer.py',
    },
    reset,
    startTcp,
  ),
  routed(
    {
      name: 'half-open',
      description: 'SYNs into silence with their retransmissions, SYN+ACK never answered, simultaneous opens',
      programs: 'nc, hping3, tcp_peer.py',
    },
    halfOpen,
    startTcp,
  ),
  routed(
    {
      name: 'large-transfer',
      description: 'downloads and an upload with one packet in 40 lost: SACK, window scaling, then without either',
      programs: 'curl, Python http.server',
    },
    transfer,
    async lab => {
      await lab.serve('server', 'tcp', 80, program('web_server', 80));
    },
  ),
  routed(
    {
      name: 'port-reuse',
      description:
        'the same ports again after each kind of close, in TIME_WAIT, and over a connection the client forgot',
      programs: 'tcp_peer.py',
    },
    reuse,
    startTcp,
  ),
];
