/** Captures that need others: damaged frames, frames cut short, connections seen from the middle. */
import { join as joinPath } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { layersOf } from '../flows.js';
import type { CraftedFrame } from '../frames.js';
import { CLIENT, type Lab, program, SERVER } from '../lab.js';
import { mutate, seeded } from '../mutate.js';
import { readPcap, writePcap } from '../pcap.js';
import { startDns, startUdp, startWeb } from './everyday.js';
import type { Scenario } from './scenario.js';
import { startTcp } from './tcp.js';

const SEED = 20260701;
const LONGEST_MUTATED = 250;

/** From which captures how many packets are damaged. */
const SOURCES: readonly (readonly [capture: string, packets: number])[] = [
  ['http-ipv4', 45],
  ['http-ipv6', 45],
  ['dns', 45],
  ['ping', 30],
  ['sctp', 40],
  ['udp-both-ways', 20],
  ['resets', 60],
  ['other-protocols', 20],
];

/** Every packet as it was, and in front of it now and then damaged copies: connections go on beside the damage. */
function damaged(golden: string): CraftedFrame[] {
  const random = seeded(SEED);
  const frames: CraftedFrame[] = [];
  for (const [capture, count] of SOURCES) {
    const packets = readPcap(joinPath(golden, `${capture}.pcap`)).filter(({ data }) => data.length <= LONGEST_MUTATED);
    for (const { data } of packets.slice(0, count)) {
      const source = layersOf(data)?.source;
      const from = source === SERVER.v4 || source?.startsWith('fd000002') ? 'server' : 'client';
      for (let copies = random(3); copies > 0; copies--) frames.push({ from, data: mutate(data, random) });
      frames.push({ from, data });
    }
  }
  return frames;
}

const ODD_FLAGS = [
  '',
  '-F',
  '-S -F',
  '-S -R',
  '-F -P -U',
  '-S -A -F -R -P -U',
  '-U',
  '-P',
  '-S -U',
  '-S -P',
  '-R -F',
  '-A -F',
  '-X',
  '-Y',
  '-S -X -Y',
  '-S -A',
];

async function oddPackets(lab: Lab): Promise<void> {
  const send = (options: string) => lab.attempt('client', `timeout 0.3 hping3 -q -n -c 1 ${options} ${SERVER.v4}`);
  for (const flags of ODD_FLAGS) await send(`${flags} -s 4900 -k -p 80`);
  for (const options of [
    '-S -b',
    '-S -O 4',
    '-S -O 15',
    '-S -p 0',
    '-S -s 0 -k -p 80',
    '-2 -p 0',
    '-2 -s 0 -k -p 53',
    '-2 -b -p 53',
  ]) {
    await send(options.includes('-p') ? options : `${options} -p 80`);
  }
  for (const options of [
    '-1 -C 8 -K 3',
    '-1 -C 0',
    '-1 -C 13',
    '-1 -C 17',
    '-1 -b',
    '-0 -H 47',
    '-0 -H 6',
    '-0 -H 17 -d 3',
    '-0 -H 1 -d 4',
  ])
    await send(options);
}

const MALFORMED: Scenario = {
  name: 'malformed',
  description:
    'odd TCP flags, then recorded packets with damaged lengths, offsets, types, ports and checksums among sound ones',
  programs: 'hping3, send.py with frames of mutate.ts',
  record: async (lab, file, golden) => {
    await startWeb(lab);
    await lab.capture(`${file}.odd`, 'routed', () => oddPackets(lab));
    await lab.capture(`${file}.damaged`, 'wire', () => lab.send(damaged(golden)));
    writePcap(file, [...readPcap(`${file}.odd`), ...readPcap(`${file}.damaged`)]);
  },
};

const SNAP_LENGTHS = [20, 33, 34, 38, 40, 42, 46, 53, 54, 60, 62, 66, 74, 80, 100];

async function brief(lab: Lab): Promise<void> {
  await lab.run(
    'client',
    `ping -n -q -c 1 ${SERVER.v4}; ping -n -q -c 1 ${SERVER.v6}; curl -m 5 -s -o /dev/null http://${SERVER.v4}/9`,
  );
  await lab.run('client', `dig +tries=1 +time=1 @${SERVER.v6} www.example A`);
  await lab.run('client', program('udp_peer', SERVER.v4, 7000, 'echo', 'stream_1'));
}

const TRUNCATED: Scenario = {
  name: 'truncated',
  description: `the same traffic, captured with ${SNAP_LENGTHS.join(', ')} bytes of each packet`,
  programs: 'ping, curl, dig, udp_peer.py; tcpdump -s',
  record: async (lab, file) => {
    await startWeb(lab);
    await startDns(lab);
    await startUdp(lab);
    for (const bytes of SNAP_LENGTHS) await lab.capture(`${file}.${bytes}`, 'routed', () => brief(lab), bytes);
    writePcap(
      file,
      SNAP_LENGTHS.flatMap(bytes => readPcap(`${file}.${bytes}`)),
    );
  },
};

/** Connections that are there before the capture starts, and end in it. */
async function underWay(lab: Lab): Promise<void> {
  const slow = '--limit-rate 24k -m 20 -o /dev/null';
  await Promise.all([
    lab.run('client', `curl -s ${slow} http://${SERVER.v4}/60000`),
    lab.run('client', `curl -sg ${slow} http://[${SERVER.v6}]/60000`),
    lab.run('client', program('tcp_peer', SERVER.v4, 6000, 'pace', 'echo')),
    lab.run('client', program('tcp_peer', SERVER.v6, 6000, 'pace-abort', 'echo')),
    lab.run('client', `ping -n -q -i 0.1 -c 15 ${SERVER.v4}`),
    lab.run('client', `ping -n -q -i 0.1 -c 15 ${SERVER.v6}`),
    lab.run('client', program('udp_peer', SERVER.v4, 7000, 'stream_2*9@4950', 'echo*3')),
    lab.run('server', program('tcp_peer', CLIENT.v4, 6000, 'pace', 'abort-client')),
  ]);
}

const MID_STREAM: Scenario = {
  name: 'mid-stream',
  description: 'connections that began before the capture did: slow downloads, conversations, ping; then new ones',
  programs: 'curl, Python http.server, ping, tcp_peer.py, udp_peer.py',
  record: async (lab, file) => {
    await startWeb(lab);
    await startTcp(lab);
    await startUdp(lab);
    await lab.serve('client', 'tcp', 6000, program('tcp_peer', 'serve', 6000));
    // Small windows, so that the downloads are still going on.
    await lab.run('client', 'sysctl -qw net.ipv4.tcp_rmem="4096 8192 8192"');
    const traffic = underWay(lab);
    await sleep(700);
    await lab.capture(file, 'routed', () => traffic);
  },
};

export const DERIVED: readonly Scenario[] = [MALFORMED, TRUNCATED, MID_STREAM];
