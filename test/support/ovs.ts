/**
 * A private Open vSwitch to ask for the right answer: its own database, its own directory, a dummy datapath that needs
 * neither root nor a network, and a clock that stands still until told to move.
 *
 * Frames go in through the switch's control socket; what conntrack said about each comes back as an OpenFlow
 * packet-in. Many frames travel per call and no process is started per frame.
 *
 * Imports support/ovs-sockets.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ControlSocket,
  NXM,
  OpenFlowSocket,
  type PacketIn,
  READY_TIMEOUT_MS,
  REPLY_TIMEOUT_MS,
  within,
} from './ovs-sockets.js';

/** Names of the ct_state bits, bit 0 first: the order in which OVS prints them. */
export const CT_STATE_NAMES = ['new', 'est', 'rel', 'rpl', 'inv', 'trk', 'snat', 'dnat'] as const;

/** The text of a ct_state as OVS prints it; `0` if conntrack never saw the packet. */
export function ctStateText(bits: number): string {
  return CT_STATE_NAMES.filter((_, bit) => bits & (1 << bit)).join('|') || '0';
}

/** Flows end with `goto_table:250` (or `ct(table=250)`), where each packet is reported. */
export const REPORT_TABLE = 250;

/**
 * Actions that give a packet spare room in front, without which FTP NAT on dummy ports refuses to rewrite a payload.
 * The output in between makes the tag real; port 3 leads nowhere.
 */
export const HEADROOM = 'push_vlan:0x8100,set_field:4097->vlan_vid,output:3,pop_vlan';

/** Every IP packet through ct(commit) in zone 0. */
export const COMMIT_FLOWS = `
table=0,priority=100,ip,actions=ct(commit,table=${REPORT_TABLE})
table=0,priority=100,ipv6,actions=ct(commit,table=${REPORT_TABLE})
table=0,priority=0,actions=goto_table:${REPORT_TABLE}
`;

/** Where an OVS lives. Directories are searched before PATH. */
export interface OvsInstall {
  readonly directories: readonly string[];
  readonly schema: string;
}

export const PACKAGED_OVS: OvsInstall = { directories: [], schema: '/usr/share/openvswitch/vswitch.ovsschema' };

/** The OVS that OVS_BIN_DIRS (separated as in PATH) and OVS_SCHEMA name, else the packaged one. */
export function ovsFromEnvironment(environment = process.env): OvsInstall {
  const { OVS_BIN_DIRS: directories, OVS_SCHEMA: schema } = environment;
  if (!directories) return PACKAGED_OVS;
  return { directories: directories.split(delimiter), schema: schema ?? PACKAGED_OVS.schema };
}

export type OvsAvailability =
  | { readonly available: true; readonly version: string }
  | { readonly available: false; readonly reason: string };

const NEEDED_PROGRAMS = ['ovsdb-tool', 'ovsdb-server', 'ovs-vsctl', 'ovs-ofctl', 'ovs-vswitchd'];

/** What was found out about installs so far: asking every program takes longer than a small test. */
const known = new Map<string, OvsAvailability>();

export function isOvsAvailable(install: OvsInstall = ovsFromEnvironment()): OvsAvailability {
  const key = JSON.stringify(install);
  const found = known.get(key) ?? lookFor(install);
  known.set(key, found);
  return found;
}

function lookFor(install: OvsInstall): OvsAvailability {
  if (!existsSync(install.schema)) return { available: false, reason: `no OVS database schema at ${install.schema}` };
  let version = '';
  for (const program of NEEDED_PROGRAMS) {
    try {
      version = execFileSync(program, ['--version'], {
        env: searchPath(install),
        encoding: 'utf8',
        timeout: READY_TIMEOUT_MS,
      });
    } catch (error) {
      return { available: false, reason: `cannot run ${program}: ${error instanceof Error ? error.message : error}` };
    }
  }
  return { available: true, version: firstLine(version) };
}

/** Major and minor version as a number, from the line that an OVS program names itself with. */
export function versionOf(line: string): number {
  return Number(/\d+\.\d+/.exec(line)?.[0]);
}

export interface InjectedFrame {
  readonly data: Uint8Array;
  /** OpenFlow port 1 to 3 on which the frame arrives. Order is kept on one port only. */
  readonly port?: number;
}

export interface OriginalTuple {
  readonly protocol: number;
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export interface OvsReport {
  /** Number of the frame since the start of this OVS, the first being 1. */
  readonly packet: number;
  readonly stateBits: number;
  readonly state: string;
  readonly zone: number;
  readonly mark: number;
  readonly label: bigint;
  readonly original: OriginalTuple | undefined;
  /** The frame as it left, rewritten by NAT. */
  readonly frame: Buffer;
}

export interface OvsOptions {
  readonly install?: OvsInstall;
  readonly flows?: string;
  /** A running clock makes timeouts depend on how long the test takes. */
  readonly clock?: 'stopped' | 'running';
}

const STOP_TIMEOUT_MS = 2_000;
/** A dummy port holds 100 frames that are not yet processed. */
const BATCH_FRAMES = 48;
/** Frames remembered, in case a fragment leaves long after it came. */
const REMEMBERED_FRAMES = 50_000;
const MAX_WARP_MS = 1_000_000_000;

const ETHERNET_HEADER_BYTES = 14;
const SOURCE_MAC = 6;
/** The packet number travels in the source address, behind this prefix: flows must not match eth_src. */
const TAG_PREFIX = 0x02ee;
const FENCE_TYPE = 0x88b5;
const FENCE_PREFIX = Buffer.from('02fefefefefe02fefefefefe88b5', 'hex');

export class Ovs {
  readonly version: string;
  readonly #install: OvsInstall;
  readonly #directory = mkdtempSync(join(tmpdir(), 'ovs-'));
  readonly #children: ChildProcess[] = [];
  readonly #frames = new Map<number, Uint8Array>();
  readonly #fences = new Map<number, () => void>();
  readonly #emergency = () => this.#abandon();
  readonly #onSignal = (signal: NodeJS.Signals) => {
    this.#abandon();
    process.kill(process.pid, signal);
  };
  #control: ControlSocket | undefined;
  #openflow: OpenFlowSocket | undefined;
  #arrived: PacketIn[] = [];
  #packets = 0;
  #fenceNumber = 0;

  private constructor(install: OvsInstall, version: string) {
    this.#install = install;
    this.version = version;
    process.on('exit', this.#emergency);
    process.once('SIGINT', this.#onSignal).once('SIGTERM', this.#onSignal);
  }

  /** @throws Error if there is no usable OVS, or if it does not start */
  static async start(options: OvsOptions = {}): Promise<Ovs> {
    const install = options.install ?? ovsFromEnvironment();
    const found = isOvsAvailable(install);
    if (!found.available) throw new Error(found.reason);
    const ovs = new Ovs(install, found.version);
    try {
      await ovs.#startDatabase();
      await ovs.#startSwitch(options.flows ?? COMMIT_FLOWS);
      if (options.clock !== 'running') await ovs.command('time/stop');
      return ovs;
    } catch (error) {
      await ovs.stop();
      throw error;
    }
  }

  /** Such as 3.1. */
  get versionNumber(): number {
    return versionOf(this.version);
  }

  /** Runs an appctl command and gives its output. @throws Error with the text of OVS if it refuses */
  async command(name: string, ...parameters: readonly (string | number)[]): Promise<string> {
    if (!this.#control) throw new Error('OVS is not running');
    const output = await this.#control.call(name, parameters.map(String));
    return output.trimEnd(); // older versions end their output with a line feed
  }

  /** Runs ovs-vsctl, as for zone limits and timeout policies. */
  vsctl(...parameters: readonly string[]): string {
    return this.#run('ovs-vsctl', '--retry', '--timeout=10', `--db=unix:${this.#path('db.sock')}`, ...parameters);
  }

  /** The connections, one line each, sorted. Options as `-m`, `-s`, `zone=5`. */
  async dump(...options: readonly string[]): Promise<string[]> {
    const text = await this.command('dpctl/dump-conntrack', ...options);
    return text
      .split('\n')
      .filter(line => line !== '')
      .sort();
  }

  /** Moves the stopped clock. */
  async warp(milliseconds: number): Promise<void> {
    for (let left = Math.floor(milliseconds); left > 0; left -= MAX_WARP_MS) {
      await this.command('time/warp', Math.min(left, MAX_WARP_MS));
    }
  }

  /**
   * Sends frames through the flows, in order. Gives what left, in the order it left: without the frames that conntrack
   * dropped or holds back, and with those of earlier calls that it releases now.
   */
  async inject(frames: readonly InjectedFrame[]): Promise<OvsReport[]> {
    const reports: OvsReport[] = [];
    for (let from = 0; from < frames.length; ) {
      const port = frames[from].port ?? 1;
      let to = from;
      while (to < frames.length && to - from < BATCH_FRAMES && (frames[to].port ?? 1) === port) to++;
      await this.#pass(port, frames.slice(from, to));
      reports.push(...this.#collect());
      from = to;
    }
    return reports;
  }

  /** Ends the daemons and removes their directory. */
  async stop(): Promise<void> {
    this.#control?.end();
    this.#openflow?.end();
    this.#control = undefined;
    for (const child of this.#children.reverse()) await endChild(child);
    this.#abandon();
  }

  #abandon(): void {
    for (const child of this.#children) if (isRunning(child)) child.kill('SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true });
    process.off('exit', this.#emergency).off('SIGINT', this.#onSignal).off('SIGTERM', this.#onSignal);
  }

  async #startDatabase(): Promise<void> {
    this.#run('ovsdb-tool', 'create', this.#path('conf.db'), this.#install.schema);
    this.#daemon(
      'ovsdb-server',
      this.#path('conf.db'),
      `--remote=punix:${this.#path('db.sock')}`,
      this.#unixctl('ovsdb'),
    );
    await this.#untilExists('db.sock');
    // One VLAN tag is the default; the second one would hide the IP header behind it.
    this.vsctl('--no-wait', 'init', '--', 'set', 'Open_vSwitch', '.', 'other_config:vlan-limit=2');
  }

  async #startSwitch(flows: string): Promise<void> {
    const dummy = ['--enable-dummy=override', '--disable-system'];
    this.#daemon('ovs-vswitchd', `unix:${this.#path('db.sock')}`, ...dummy, this.#unixctl('vswitchd'));
    await this.#untilExists('vswitchd.ctl');
    this.#control = await ControlSocket.open(this.#path('vswitchd.ctl'));
    const bridge = ['datapath_type=dummy', 'fail-mode=secure', 'protocols=[OpenFlow10,OpenFlow13,OpenFlow15]'];
    const ports = [1, 2, 3].flatMap(port =>
      `-- add-port br0 p${port} -- set Interface p${port} type=dummy ofport_request=${port} mtu_request=65000`.split(
        ' ',
      ),
    );
    this.vsctl('add-br', 'br0', '--', 'set', 'bridge', 'br0', ...bridge, ...ports);
    const fence = `table=0,priority=65535,dl_type=${FENCE_TYPE},actions=controller(max_len=65535)\n`;
    const report = `table=${REPORT_TABLE},priority=0,actions=controller(max_len=65535)\n`;
    writeFileSync(this.#path('flows.txt'), fence + report + flows);
    const bridgeSocket = this.#path('br0.mgmt');
    this.#run('ovs-ofctl', '-O', 'OpenFlow13', 'add-flows', `unix:${bridgeSocket}`, this.#path('flows.txt'));
    this.#openflow = await OpenFlowSocket.open(bridgeSocket, packet => this.#onPacketIn(packet));
  }

  /** Injects one batch and waits until the frame sent behind it has come back. */
  async #pass(port: number, frames: readonly InjectedFrame[]): Promise<void> {
    const hex = frames.map(frame => this.#tag(frame.data).toString('hex'));
    const number = ++this.#fenceNumber;
    const fence = Buffer.alloc(60);
    FENCE_PREFIX.copy(fence);
    fence.writeUInt32BE(number, ETHERNET_HEADER_BYTES);
    const passed = new Promise<void>(resolve => this.#fences.set(number, resolve));
    await this.command('netdev-dummy/receive', `p${port}`, ...hex, fence.toString('hex'));
    await within(REPLY_TIMEOUT_MS, passed, 'frames to pass the switch');
  }

  #tag(data: Uint8Array): Buffer {
    if (data.length < ETHERNET_HEADER_BYTES)
      throw new RangeError(`a frame of ${data.length} bytes has no Ethernet header`);
    const number = ++this.#packets;
    this.#frames.set(number, data);
    this.#frames.delete(number - REMEMBERED_FRAMES);
    const tagged = Buffer.from(data);
    tagged.writeUInt16BE(TAG_PREFIX, SOURCE_MAC);
    tagged.writeUInt32BE(number, SOURCE_MAC + 2);
    return tagged;
  }

  #onPacketIn(packet: PacketIn): void {
    const { frame } = packet;
    if (!frame.subarray(0, ETHERNET_HEADER_BYTES).equals(FENCE_PREFIX)) {
      this.#arrived.push(packet);
      return;
    }
    const number = frame.readUInt32BE(ETHERNET_HEADER_BYTES);
    this.#fences.get(number)?.();
    this.#fences.delete(number);
  }

  #collect(): OvsReport[] {
    const arrived = this.#arrived;
    this.#arrived = [];
    return arrived.map(({ frame, fields }) => {
      const packet = frame.readUInt32BE(SOURCE_MAC + 2);
      Buffer.from(this.#frames.get(packet) ?? frame).copy(frame, SOURCE_MAC, SOURCE_MAC, SOURCE_MAC + 6);
      return report(packet, frame, fields);
    });
  }

  #path(name: string): string {
    return join(this.#directory, name);
  }

  #unixctl(name: string): string {
    return `--unixctl=${this.#path(`${name}.ctl`)}`;
  }

  #environment(): NodeJS.ProcessEnv {
    const directory = this.#directory;
    const places = { OVS_RUNDIR: directory, OVS_LOGDIR: directory, OVS_DBDIR: directory, OVS_SYSCONFDIR: directory };
    return { ...searchPath(this.#install), ...places };
  }

  #run(program: string, ...parameters: readonly string[]): string {
    const options = { env: this.#environment(), encoding: 'utf8', timeout: READY_TIMEOUT_MS, stdio: 'pipe' } as const;
    return execFileSync(program, parameters, options);
  }

  /** Daemons stay in the foreground, so that the process id is known. */
  #daemon(program: string, ...parameters: readonly string[]): void {
    const log = `--log-file=${this.#path(`${program}.log`)}`;
    const all = [...parameters, log, '-vconsole:off', '--no-chdir'];
    const child = spawn(program, all, { env: this.#environment(), cwd: this.#directory, stdio: 'ignore' });
    child.on('error', () => {}); // a program that cannot start shows as a socket that never appears
    this.#children.push(child);
  }

  async #untilExists(name: string): Promise<void> {
    for (const deadline = Date.now() + READY_TIMEOUT_MS; !existsSync(this.#path(name)); await sleep(5)) {
      if (Date.now() > deadline) throw new Error(`OVS did not create ${name}`);
    }
  }
}

function searchPath(install: OvsInstall): NodeJS.ProcessEnv {
  const { PATH: path = '' } = process.env;
  return { ...process.env, PATH: [...install.directories, path].join(delimiter) };
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0];
}

function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

async function endChild(child: ChildProcess): Promise<void> {
  if (!isRunning(child)) return;
  const ended = new Promise<void>(resolve => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const patience = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(patience);
}

function report(packet: number, frame: Buffer, fields: ReadonlyMap<number, Buffer>): OvsReport {
  const number = (field: number) => Number.parseInt(fields.get(field)?.toString('hex') ?? '0', 16);
  const address = (v4: number, v6: number) => addressText(fields.get(v4) ?? fields.get(v6));
  const stateBits = number(NXM.CT_STATE);
  const source = address(NXM.CT_NW_SRC, NXM.CT_IPV6_SRC);
  const destination = address(NXM.CT_NW_DST, NXM.CT_IPV6_DST);
  const ports = { sourcePort: number(NXM.CT_TP_SRC), destinationPort: number(NXM.CT_TP_DST) };
  return {
    packet,
    stateBits,
    state: ctStateText(stateBits),
    zone: number(NXM.CT_ZONE),
    mark: number(NXM.CT_MARK),
    label: BigInt(`0x${fields.get(NXM.CT_LABEL)?.toString('hex') ?? '0'}`),
    original: source === '' ? undefined : { protocol: number(NXM.CT_NW_PROTO), source, destination, ...ports },
    frame,
  };
}

/** IPv6 in eight groups without abbreviation. */
function addressText(bytes: Buffer | undefined): string {
  if (bytes === undefined) return '';
  if (bytes.length === 4) return bytes.join('.');
  return Array.from({ length: 8 }, (_, group) => bytes.readUInt16BE(group * 2).toString(16)).join(':');
}
