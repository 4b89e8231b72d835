/**
 * The kernel's own connection tracker as a witness: frames go into a namespace that routes them to nowhere, and nftables
 * logs what conntrack says of each. Needs root, nft and tcpdump.
 *
 *     source s1 --- t1 tracker t2 --- s2 source, which drops everything
 *
 * The frames keep all but their destination MAC address. Time is the real one.
 *
 * Imports nothing of the project.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const SENDER = fileURLToPath(new URL('../../../test/linux/inject.py', import.meta.url));
const COMMAND_TIMEOUT_MS = 30_000;
/** tcpdump has the log only after the kernel's buffer is flushed, once a second. */
const LOG_DELAY_MS = 1500;
const START_MS = 700;
const GROUP = 7;

/** What conntrack says, in the words of OVS, by direction and state. */
const STATES = [
  ['original', 'new', 'new|trk'],
  ['reply', 'new', 'new|rpl|trk'],
  ['original', 'established', 'est|trk'],
  ['reply', 'established', 'est|rpl|trk'],
  ['original', 'related', 'rel|trk'],
  ['reply', 'related', 'rel|rpl|trk'],
] as const;

function rules(): string {
  const log = (text: string) => `log prefix "${text}" group ${GROUP} queue-threshold 1 accept`;
  const tracked = STATES.map(([direction, state, text]) => `ct direction ${direction} ct state ${state} ${log(text)}`);
  return [
    'table inet witness { chain arriving { type filter hook prerouting priority -150;',
    'iifname != "t1" accept',
    `ct state invalid ${log('inv|trk')}`,
    `ct state untracked ${log('untracked')}`,
    ...tracked,
    '}',
    '}',
  ].join('\n');
}

/** Why the kernel cannot be asked; undefined when it can. */
export function whyNoLinuxTracker(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root, for network namespaces';
  for (const [program, option] of [
    ['ip', '-V'],
    ['nft', '--version'],
    ['tcpdump', '--version'],
    ['python3', '--version'],
  ]) {
    try {
      execFileSync(program, [option], { stdio: 'ignore', timeout: COMMAND_TIMEOUT_MS });
    } catch {
      return `needs ${program}`;
    }
  }
  try {
    const probe = new LinuxTracker();
    probe.close();
  } catch (error) {
    return `the kernel does not let us: ${error instanceof Error ? error.message.split('\n', 1)[0] : error}`;
  }
  return undefined;
}

export interface Logged {
  readonly state: string;
  /** The packet from its IP header on. */
  readonly bytes: Buffer;
}

/** Trackers that this process has made: their namespaces have names of their own. */
let made = 0;

export class LinuxTracker {
  readonly #number = made++;
  readonly #source = `source${process.pid}n${this.#number}`;
  readonly #tracker = `tracker${process.pid}n${this.#number}`;
  readonly #directory = mkdtempSync(join(tmpdir(), 'linux-'));
  readonly #mac: Buffer;
  #log: ChildProcess | undefined;

  /** @throws Error when there are no namespaces to be had; nothing is left behind then */
  constructor() {
    try {
      this.#build();
      const link = this.#in(this.#tracker, 'ip', '-br', 'link', 'show', 't1');
      this.#mac = Buffer.from((/(?:[0-9a-f]{2}:){5}[0-9a-f]{2}/.exec(link)?.[0] ?? '').replaceAll(':', ''), 'hex');
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Sends frames and gives what was logged, in order: without those that the kernel drops before conntrack. */
  async judge(frames: readonly Uint8Array[]): Promise<Logged[]> {
    this.#in(this.#tracker, 'nft', 'flush', 'ruleset');
    execFileSync('ip', ['netns', 'exec', this.#tracker, 'nft', '-f', '-'], {
      input: rules(),
      timeout: COMMAND_TIMEOUT_MS,
    });
    const file = join(this.#directory, 'log.pcap');
    const options = ['-i', `nflog:${GROUP}`, '-s', '0', '-U', '--immediate-mode', '-w', file];
    this.#log = spawn('ip', ['netns', 'exec', this.#tracker, 'tcpdump', ...options], { stdio: 'ignore' });
    await sleep(START_MS);
    const lines = frames.map(frame => `${this.#addressed(frame).toString('hex')}\n`).join('');
    execFileSync('ip', ['netns', 'exec', this.#source, 'python3', SENDER, 's1'], {
      input: lines,
      timeout: COMMAND_TIMEOUT_MS,
    });
    await sleep(LOG_DELAY_MS);
    const ended = once(this.#log, 'exit', { signal: AbortSignal.timeout(COMMAND_TIMEOUT_MS) });
    this.#log.kill('SIGINT');
    await ended;
    this.#log = undefined;
    return readLog(readFileSync(file));
  }

  close(): void {
    this.#log?.kill('SIGKILL');
    for (const name of [this.#source, this.#tracker]) {
      try {
        execFileSync('ip', ['netns', 'del', name], { stdio: 'ignore', timeout: COMMAND_TIMEOUT_MS });
      } catch {
        // it was never made
      }
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #addressed(frame: Uint8Array): Buffer {
    const copy = Buffer.from(frame);
    this.#mac.copy(copy);
    return copy;
  }

  #in(namespace: string, ...command: readonly string[]): string {
    const options = { encoding: 'utf8', stdio: 'pipe', timeout: COMMAND_TIMEOUT_MS } as const;
    return execFileSync('ip', ['netns', 'exec', namespace, ...command], options);
  }

  #build(): void {
    const [source, tracker] = [this.#source, this.#tracker];
    for (const name of [source, tracker]) execFileSync('ip', ['netns', 'add', name], { stdio: 'pipe' });
    this.#in(source, 'ip', 'link', 'add', 's1', 'type', 'veth', 'peer', 'name', 't1', 'netns', tracker);
    this.#in(source, 'ip', 'link', 'set', 's1', 'up');
    this.#in(source, 'ip', 'link', 'add', 's2', 'type', 'veth', 'peer', 'name', 't2', 'netns', tracker);
    this.#in(source, 'ip', 'link', 'set', 's2', 'up');
    const settings = [
      'net.ipv4.ip_forward=1',
      'net.ipv6.conf.all.forwarding=1',
      'net.ipv4.conf.all.rp_filter=0',
      'net.ipv4.conf.default.rp_filter=0',
      'net.ipv4.conf.t1.rp_filter=0',
      'net.ipv4.conf.all.accept_local=1',
      'net.ipv6.conf.t1.accept_dad=0',
      'net.ipv6.conf.t2.accept_dad=0',
    ];
    this.#in(tracker, 'sysctl', '-qw', ...settings);
    for (const device of ['lo', 't1', 't2']) this.#in(tracker, 'ip', 'link', 'set', device, 'up');
    this.#in(tracker, 'ip', 'addr', 'add', '192.0.2.1/30', 'dev', 't2');
    for (const [family, neighbour] of [
      ['-4', '192.0.2.2'],
      ['-6', 'fe80::99'],
    ]) {
      this.#in(tracker, 'ip', family, 'neigh', 'add', neighbour, 'lladdr', '02:00:00:00:00:99', 'dev', 't2');
      this.#in(tracker, 'ip', family, 'route', 'add', 'default', 'via', neighbour, 'dev', 't2');
    }
  }
}

const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const LOG_HEADER_BYTES = 4;
/** Attributes of a log entry (linux/netfilter/nfnetlink_log.h). */
const NFULA = { PAYLOAD: 9, PREFIX: 10 };

function readLog(file: Buffer): Logged[] {
  const entries: Logged[] = [];
  for (let at = FILE_HEADER_BYTES; at + RECORD_HEADER_BYTES <= file.length; ) {
    const start = at + RECORD_HEADER_BYTES;
    const end = start + file.readUInt32LE(at + 8);
    entries.push(readEntry(file.subarray(start + LOG_HEADER_BYTES, end)));
    at = end;
  }
  return entries;
}

function readEntry(attributes: Buffer): Logged {
  let state = '';
  let bytes = Buffer.alloc(0);
  for (let at = 0; at + 4 <= attributes.length; ) {
    const length = attributes.readUInt16LE(at);
    const type = attributes.readUInt16LE(at + 2);
    const value = attributes.subarray(at + 4, at + length);
    if (type === NFULA.PREFIX) state = value.toString('latin1').replace(/\0.*$/, '');
    if (type === NFULA.PAYLOAD) bytes = Buffer.from(value);
    at += Math.max((length + 3) & ~3, 4);
  }
  return { state, bytes };
}
