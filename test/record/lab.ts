/**
 * Three network namespaces, client - router - server, in which real programs make the traffic of the captures.
 *
 *     client eth0 10.1.0.2 fd00:1::2 --- eth0 router eth1 --- eth0 10.2.0.2 fd00:2::2 server
 *     client wire --------------------------------------------------- wire server     no addresses, no kernel answers
 *
 * Routed traffic is captured on the router's eth0, crafted frames on the client's wire: each packet shows once.
 * Offloads are off, so that captured checksums are complete. Needs root.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { CraftedFrame } from './frames.js';

export type Place = 'client' | 'router' | 'server';
const PLACES: readonly Place[] = ['client', 'router', 'server'];

export const CLIENT = { v4: '10.1.0.2', v6: 'fd00:1::2' };
export const SERVER = { v4: '10.2.0.2', v6: 'fd00:2::2' };

const COMMAND_TIMEOUT_MS = 90_000;
const READY_TIMEOUT_MS = 5_000;
const STOP_TIMEOUT_MS = 2_000;
/** Time for the last packets to reach tcpdump, and for late answers of a kernel. */
const SETTLE_MS = 300;

/** The programs beside the TypeScript source; the compiled files are in dist/test/record. */
const PROGRAMS = fileURLToPath(new URL('../../../test/record/programs/', import.meta.url));

const execute = promisify(execFile);

/** The shell command that runs one of the project's own programs. */
export function program(name: string, ...parameters: readonly (string | number)[]): string {
  return ['python3', `${PROGRAMS}${name}.py`, ...parameters].join(' ');
}

interface Link {
  readonly from: Place;
  readonly fromName: string;
  readonly to: Place;
  readonly toName: string;
}

const LINKS: readonly Link[] = [
  { from: 'client', fromName: 'eth0', to: 'router', toName: 'eth0' },
  { from: 'router', fromName: 'eth1', to: 'server', toName: 'eth0' },
  { from: 'client', fromName: 'wire', to: 'server', toName: 'wire' },
];

const SYSCTLS = [
  'net.ipv4.ip_forward=1',
  'net.ipv6.conf.all.forwarding=1',
  'net.ipv4.conf.all.rp_filter=0',
  'net.ipv4.conf.default.rp_filter=0',
  'net.ipv6.conf.all.accept_dad=0',
  'net.ipv6.conf.default.accept_dad=0',
  'net.ipv6.conf.default.router_solicitations=0',
  'net.ipv4.icmp_ratelimit=0',
  'net.ipv6.icmp.ratelimit=0',
  'net.ipv4.ping_group_range="0 2147483647"',
];

const OFFLOADS = 'tx off rx off tso off gso off gro off sg off rxvlan off txvlan off';

export class Lab {
  readonly directory = mkdtempSync(join(tmpdir(), 'record-'));
  readonly #prefix = `record${process.pid}`;
  readonly #children: ChildProcess[] = [];

  async close(): Promise<void> {
    for (const child of this.#children.reverse()) await end(child);
    for (const place of PLACES) await execute('ip', ['netns', 'del', this.#namespace(place)]).catch(() => {});
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Runs a shell command to its end and gives what it printed. @throws Error if it fails */
  async run(place: Place, command: string): Promise<string> {
    const options = { timeout: COMMAND_TIMEOUT_MS, cwd: this.directory, maxBuffer: 1 << 26 };
    const { stdout } = await execute('ip', ['netns', 'exec', this.#namespace(place), 'sh', '-c', command], options);
    return stdout;
  }

  /** The same for a command that is expected to fail, as when a port is closed. */
  async attempt(place: Place, command: string): Promise<void> {
    await this.run(place, command).catch(() => {});
  }

  /** Starts a command that keeps running until close() or end(). */
  start(place: Place, command: string): ChildProcess {
    const parameters = ['netns', 'exec', this.#namespace(place), 'sh', '-c', `exec ${command}`];
    const child = spawn('ip', parameters, { cwd: this.directory, stdio: ['pipe', 'ignore', 'pipe'] });
    this.#children.push(child);
    return child;
  }

  /** Starts a server and waits until it listens. */
  async serve(place: Place, protocol: 'tcp' | 'udp', port: number, command: string): Promise<ChildProcess> {
    const child = this.start(place, command);
    for (const deadline = Date.now() + READY_TIMEOUT_MS; Date.now() < deadline; await sleep(20)) {
      const listening = await this.run(place, `ss -Hln --${protocol} "sport = :${port}"`);
      if (listening !== '') return child;
    }
    throw new Error(`nothing listens on ${protocol} port ${port}: ${command}`);
  }

  /** Sends crafted frames from both ends of the wire, in order. */
  async send(frames: readonly CraftedFrame[]): Promise<void> {
    const sender = this.start('client', program('send', `/run/netns/${this.#namespace('server')}`));
    sender.stdin?.end(frames.map(({ from, data }) => `${from} ${data.toString('hex')}\n`).join(''));
    const [code] = await once(sender, 'exit', { signal: AbortSignal.timeout(COMMAND_TIMEOUT_MS) });
    if (code !== 0) throw new Error(`the sender ended with ${code}`);
  }

  /** Records what happens at the capture point while `traffic` runs. */
  async capture(file: string, point: 'routed' | 'wire', traffic: () => Promise<void>, snapLength = 0): Promise<void> {
    const [place, device] = point === 'routed' ? (['router', 'eth0'] as const) : (['client', 'wire'] as const);
    const command = `tcpdump -i ${device} -w ${file} -s ${snapLength} -U --immediate-mode -n --micro -Z root -B 8192`;
    const tcpdump = this.start(place, command);
    await untilPrinted(tcpdump, 'listening on');
    try {
      await traffic();
      await sleep(SETTLE_MS);
    } finally {
      await end(tcpdump, 'SIGINT');
    }
  }

  /** Makes the namespaces and links. Whatever comes of it, close() removes them. */
  async build(): Promise<void> {
    for (const place of PLACES) {
      await execute('ip', ['netns', 'add', this.#namespace(place)]);
      await this.run(place, `sysctl -qw ${SYSCTLS.join(' ')}; ip link set lo up`);
    }
    for (const link of LINKS) await this.#connect(link);
    await this.run('client', address('eth0', '10.1.0.2', 'fd00:1::2', '10.1.0.1', 'fd00:1::1'));
    await this.run('server', address('eth0', '10.2.0.2', 'fd00:2::2', '10.2.0.1', 'fd00:2::1'));
    await this.run('router', address('eth0', '10.1.0.1', 'fd00:1::1'));
    await this.run('router', address('eth1', '10.2.0.1', 'fd00:2::1'));
    for (const place of ['client', 'server'] as const) {
      await this.run(place, 'sysctl -qw net.ipv6.conf.wire.disable_ipv6=1; ip link set wire arp off mtu 9000');
    }
    await sleep(2500); // link-local addresses, multicast reports
  }

  async #connect({ from, fromName, to, toName }: Link): Promise<void> {
    const peer = ['peer', 'name', toName, 'netns', this.#namespace(to)];
    await execute('ip', ['link', 'add', fromName, 'netns', this.#namespace(from), 'type', 'veth', ...peer]);
    await this.run(from, `ethtool -K ${fromName} ${OFFLOADS}; ip link set ${fromName} up`);
    await this.run(to, `ethtool -K ${toName} ${OFFLOADS}; ip link set ${toName} up`);
  }

  #namespace(place: Place): string {
    return `${this.#prefix}${place}`;
  }
}

function address(device: string, v4: string, v6: string, via4?: string, via6?: string): string {
  const own = `ip addr add ${v4}/24 dev ${device}; ip -6 addr add ${v6}/64 dev ${device} nodad`;
  return via4 ? `${own}; ip route add default via ${via4}; ip -6 route add default via ${via6}` : own;
}

async function untilPrinted(child: ChildProcess, text: string): Promise<void> {
  const signal = AbortSignal.timeout(READY_TIMEOUT_MS);
  let printed = '';
  while (!printed.includes(text)) {
    if (!child.stderr) throw new Error('no standard error to read');
    const [chunk] = await once(child.stderr, 'data', { signal });
    printed += chunk;
  }
  child.stderr?.resume();
}

export async function end(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  const patience = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(patience);
}
