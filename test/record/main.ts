/**
 * Records the captures in test/golden again: `node dist/test/record/main.js [names...]`, as root.
 *
 * Each scenario gets fresh namespaces. `answers.js` then asks Open vSwitch about each capture.
 *
 * Needs, as Debian names them: curl, dnsmasq, bind9-dnsutils, ethtool, hping3, iproute2, iputils-ping, libusrsctp-examples,
 * lftp, netcat-openbsd, nftables, python3, socat, tcpdump, tftp-hpa, tftpd-hpa, traceroute, vsftpd.
 */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { isFragment } from './flows.js';
import { GOLDEN } from './golden.js';
import { Lab } from './lab.js';
import { readPcap } from './pcap.js';
import { SCENARIOS } from './scenarios/index.js';
import type { Scenario } from './scenarios/scenario.js';

let current: Lab | undefined;

async function record(scenario: Scenario): Promise<void> {
  const lab = new Lab();
  current = lab;
  try {
    await lab.build();
    const file = join(lab.directory, `${scenario.name}.pcap`);
    await scenario.record(lab, file, GOLDEN);
    const packets = readPcap(file);
    if (packets.length === 0) throw new Error(`${scenario.name}: nothing was captured`);
    const fragment = packets.findIndex(({ data }) => isFragment(data));
    if (fragment >= 0 && !scenario.hasFragments)
      throw new Error(`${scenario.name}: packet ${fragment + 1} is a fragment`);
    copyFileSync(file, join(GOLDEN, `${scenario.name}.pcap`));
    const bytes = packets.reduce((sum, packet) => sum + packet.data.length, 0);
    process.stdout.write(`${scenario.name}: ${packets.length} packets, ${bytes} bytes\n`);
  } finally {
    await lab.close();
  }
}

async function main(names: readonly string[]): Promise<void> {
  const unknown = names.filter(name => !SCENARIOS.some(scenario => scenario.name === name));
  if (unknown.length > 0) throw new Error(`no such scenario: ${unknown.join(', ')}`);
  for (const scenario of SCENARIOS) {
    if (names.length === 0 || names.includes(scenario.name)) await record(scenario);
  }
}

/** An interrupted recording leaves no namespaces behind either. */
async function interrupted(): Promise<void> {
  await current?.close();
  process.exit(1);
}

process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
await main(process.argv.slice(2));
