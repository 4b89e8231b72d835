/** HTTP, DNS, ping and UDP between well-behaved programs. */
import { type Lab, program, SERVER } from '../lab.js';
import { routed, type Scenario } from './scenario.js';

export async function startWeb(lab: Lab): Promise<void> {
  await lab.serve('server', 'tcp', 80, program('web_server', 80));
}

export async function startDns(lab: Lab): Promise<void> {
  const names =
    '--address=/www.example/192.0.2.1 --address=/www.example/2001:db8::1 --txt-record=long.example,"$(seq -s. 90)"';
  const quiet =
    '--no-daemon --no-resolv --no-hosts --conf-file=/dev/null --pid-file= --user=root --log-facility=/dev/null';
  await lab.serve('server', 'udp', 53, `dnsmasq ${quiet} --local=/example/ ${names}`);
}

export async function startUdp(lab: Lab): Promise<void> {
  await lab.serve('server', 'udp', 7000, program('udp_peer', 'serve', 7000));
}

async function browse(lab: Lab, host: string): Promise<void> {
  const url = `http://${host}`;
  await lab.run('client', `curl -m 9 -sg -o /dev/null ${url}/512`);
  await lab.run(
    'client',
    `curl -m 9 -sg ${url}/10 ${url}/20000 ${url}/nothing ${url}/3 -o /dev/null -o /dev/null -o /dev/null -o /dev/null`,
  );
  await lab.run(
    'client',
    `head -c 5000 /dev/zero | curl -m 9 -sg -H Expect: --data-binary @- -o /dev/null ${url}/post`,
  );
  await lab.run(
    'client',
    `curl -sgI --http1.0 ${url}/1 -o /dev/null; curl -m 9 -sg -Z -o /dev/null -o /dev/null -o /dev/null ${url}/900 ${url}/901 ${url}/902`,
  );
}

async function resolve(lab: Lab): Promise<void> {
  const dig = 'dig +tries=1 +time=2';
  for (const server of [SERVER.v4, SERVER.v6]) {
    for (const question of [
      'www.example A',
      'www.example AAAA',
      'missing.example A',
      'long.example TXT',
      '-x 192.0.2.1',
    ]) {
      await lab.attempt('client', `${dig} @${server} ${question}`);
      await lab.attempt('client', `${dig} +tcp @${server} ${question}`);
    }
    await lab.attempt('client', `${dig} +tcp +keepopen @${server} www.example A www.example AAAA other.example A`);
  }
  await lab.attempt('client', `${dig} -b 10.1.0.2#5353 @${SERVER.v4} www.example A`);
  await lab.attempt('client', `${dig} -b 10.1.0.2#5353 @${SERVER.v4} www.example AAAA`);
}

async function ping(lab: Lab): Promise<void> {
  for (const host of [SERVER.v4, SERVER.v6]) {
    for (const size of [0, 1, 56, 555, 1400]) await lab.run('client', `ping -n -q -c 2 -i 0.05 -s ${size} ${host}`);
    await lab.run('client', `ping -n -q -c 3 -i 0.05 -e 77 ${host} & ping -n -q -c 3 -i 0.05 -e 78 ${host}; wait`);
  }
  await lab.run('server', 'ping -n -q -c 3 -i 0.05 10.1.0.2; ping -n -q -c 3 -i 0.05 fd00:1::2');
  await lab.run(
    'client',
    `ping -n -q -c 1 10.1.0.1; ping -n -q -c 1 -e 77 ${SERVER.v4}; ping -n -q -c 1 -e 0 ${SERVER.v4}`,
  );
}

async function talk(lab: Lab): Promise<void> {
  for (const host of [SERVER.v4, SERVER.v6]) {
    await lab.run(
      'client',
      program('udp_peer', host, 7000, 'echo', 'echo*5', 'silent*4', 'twice*2', 'stream_10', 'echo*2@4001'),
    );
    await lab.run('client', program('udp_peer', host, 7000, 'echo*2@4001', 'silent@4002', 'echo@4002'));
  }
  await lab.run('client', program('udp_peer', SERVER.v4, 7000, "'echo*3!'", "'silent*2!'", "'stream_3@4003!'"));
  await lab.run('server', program('udp_peer', '10.1.0.2', 7000, 'echo*3', 'silent*2', 'stream_5'));
  await lab.run('client', `seq 1000 | socat -u -b 500 - UDP-SENDTO:${SERVER.v4}:7000`);
}

export const EVERYDAY: readonly Scenario[] = [
  routed(
    {
      name: 'http-ipv4',
      description: 'HTTP over IPv4: single requests, several on one connection, a POST, parallel connections',
      programs: 'curl, Python http.server',
    },
    lab => browse(lab, SERVER.v4),
    startWeb,
  ),
  routed(
    { name: 'http-ipv6', description: 'the same over IPv6', programs: 'curl, Python http.server' },
    lab => browse(lab, `[${SERVER.v6}]`),
    startWeb,
  ),
  routed(
    {
      name: 'dns',
      description: 'A, AAAA, TXT, PTR and missing names, over UDP and TCP, IPv4 and IPv6, and one source port twice',
      programs: 'dig, dnsmasq',
    },
    resolve,
    startDns,
  ),
  routed(
    {
      name: 'ping',
      description:
        'echo in both directions, IPv4 and IPv6, several identifiers (zero too) and sizes, an identifier reused',
      programs: 'ping',
    },
    ping,
  ),
  routed(
    {
      name: 'udp-both-ways',
      description:
        'UDP requests, answers, streams and silence, both sides opening, ports reused, checksum zero over IPv4',
      programs: 'udp_peer.py, socat',
    },
    talk,
    async lab => {
      await startUdp(lab);
      await lab.serve('client', 'udp', 7000, program('udp_peer', 'serve', 7000));
    },
  ),
];
