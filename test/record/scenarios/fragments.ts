/**
 * Fragments of real traffic, and what is made of them: other orders, copies, gaps, overlaps, tags, smaller pieces.
 *
 * Open vSwitch is asked with its clock at each packet's time; packets of the second capture are more than a millisecond
 * apart, because within one batch it does not judge them one by one.
 */
import { join as joinPath } from 'node:path';
import { checksum, u16 } from '../frames.js';
import { CLIENT, type Lab, program, SERVER } from '../lab.js';
import { type Random, seeded } from '../mutate.js';
import { type Packet, readPcap, writePcap } from '../pcap.js';
import { startUdp } from './everyday.js';
import { routed, type Scenario } from './scenario.js';

const SEED = 20260704;
const NETWORK = 14;

/** The shell words for a datagram of so many bytes, as udp_peer.py takes them. */
function bytes(count: number, rest = ''): string {
  return `"$(head -c ${count} /dev/zero | tr '\\0' x)${rest}"`;
}

async function traffic(lab: Lab): Promise<void> {
  for (const host of [SERVER.v4, SERVER.v6]) {
    await lab.run('client', `ping -n -q -c 2 -i 0.05 -s 3000 ${host}; ping -n -q -c 1 -s 9000 ${host}`);
    await lab.run('client', program('udp_peer', host, 7000, bytes(2500, '*2@4100'), 'echo@4100', bytes(4000, '@4100')));
    await lab.run('client', program('udp_peer', host, 7000, 'echo@4101', bytes(5000, '@4101')));
  }
  await lab.run('client', program('udp_peer', SERVER.v4, 7000, bytes(3000, '@4102!')));
  await lab.run('server', `ping -n -q -c 1 -s 2000 ${CLIENT.v4}; ping -n -q -c 1 -s 2000 ${CLIENT.v6}`);
}

/** The fragments of each datagram of a capture, in order of time: by addresses and identification. */
function datagrams(packets: readonly Packet[]): Buffer[][] {
  const found = new Map<string, Buffer[]>();
  for (const { data } of packets) {
    const v6 = data[12] === 0x86;
    if (v6 ? data[NETWORK + 6] !== 44 : (data.readUInt16BE(NETWORK + 6) & 0x3fff) === 0) continue;
    const key = v6 ? data.subarray(22, 54).toString('hex') + data.readUInt32BE(58) : identity(data);
    const frames = found.get(key);
    if (frames) frames.push(data);
    else found.set(key, [data]);
  }
  return [...found.values()];
}

function identity(data: Buffer): string {
  return `${data.subarray(26, 34).toString('hex')} ${data.readUInt16BE(18)} ${data[23]}`;
}

/** A fragment whose part begins so many octets earlier, and has them twice. */
function overlapping(frame: Buffer, octets: number): Buffer {
  const v6 = frame[12] === 0x86;
  const header = v6 ? NETWORK + 48 : NETWORK + 20;
  const grown = Buffer.concat([
    frame.subarray(0, header),
    frame.subarray(header, header + octets),
    frame.subarray(header),
  ]);
  const at = v6 ? NETWORK + 42 : NETWORK + 6;
  const units = v6 ? octets : octets / 8;
  grown.writeUInt16BE(grown.readUInt16BE(at) - units, at);
  const length = v6 ? NETWORK + 4 : NETWORK + 2;
  grown.writeUInt16BE(grown.readUInt16BE(length) + octets, length);
  return v6 ? grown : sealed(grown);
}

/** An IPv4 header with its checksum made anew. */
function sealed(frame: Buffer): Buffer {
  frame.writeUInt16BE(0, NETWORK + 10);
  frame.writeUInt16BE(checksum(frame.subarray(NETWORK, NETWORK + 20)), NETWORK + 10);
  return frame;
}

/** A fragment in two, at `octets` of what it carries. */
function split(frame: Buffer, octets: number): Buffer[] {
  const v6 = frame[12] === 0x86;
  const header = v6 ? NETWORK + 48 : NETWORK + 20;
  const at = v6 ? NETWORK + 42 : NETWORK + 6;
  const length = v6 ? NETWORK + 4 : NETWORK + 2;
  const piece = (from: number, to: number, isLast: boolean) => {
    const made = Buffer.concat([frame.subarray(0, header), frame.subarray(header + from, header + to)]);
    const field = frame.readUInt16BE(at);
    const more = v6 ? 1 : 0x2000;
    made.writeUInt16BE((field + (v6 ? from : from / 8)) | (isLast ? field & more : more), at);
    made.writeUInt16BE(made.length - NETWORK - (v6 ? 40 : 0), length);
    return v6 ? made : sealed(made);
  };
  return [piece(0, octets, false), piece(octets, frame.length - header, true)];
}

function tagged(frame: Buffer, ...tags: readonly number[]): Buffer {
  return Buffer.concat([frame.subarray(0, 12), ...tags.map(tag => u16(0x8100, tag)), frame.subarray(12)]);
}

function shuffled(frames: readonly Buffer[], random: Random): Buffer[] {
  const mixed = [...frames];
  for (let last = mixed.length - 1; last > 0; last--) {
    const other = random(last + 1);
    [mixed[last], mixed[other]] = [mixed[other], mixed[last]];
  }
  return mixed;
}

/** Frames, and how long after the one before each of them comes, in milliseconds. */
interface Play {
  readonly frames: readonly Buffer[];
  readonly gapMs: number;
}

/** Longer than OVS waits for the rest of a datagram. */
const WAIT_MS = 16_000;

/**
 * What is played of a datagram.
 * @param other one that comes while the rest of the first is waited for in vain: OVS gives that up with the next packet
 */
function plays(frames: readonly Buffer[], other: readonly Buffer[], random: Random): Play[] {
  const soon = (...played: readonly Buffer[]): Play => ({ frames: played, gapMs: 2 });
  const [first, second] = frames;
  const last = frames[frames.length - 1];
  const meanwhile: Play = { frames: other, gapMs: Math.ceil(WAIT_MS / other.length) };
  return [
    soon(...[...frames].reverse()),
    soon(...shuffled(frames, random)),
    soon(...frames.map(frame => tagged(frame, 5))),
    soon(...frames.map(frame => tagged(frame, 6, 7))),
    soon(first, first, last, ...frames.slice(1)),
    { frames: frames.slice(1), gapMs: 3 },
    meanwhile,
    soon(first, ...split(second, 1200), ...frames.slice(2)),
    soon(...split(first, 800), ...frames.slice(1)),
    meanwhile,
    soon(first, overlapping(second, 8), ...frames.slice(2)),
    meanwhile,
    soon(...frames),
  ];
}

function derived(golden: string): Packet[] {
  const random = seeded(SEED);
  const packets = readPcap(joinPath(golden, 'fragments.pcap'));
  let time = packets[0].time;
  const made: Packet[] = [];
  const chosen = datagrams(packets).filter(frames => frames.length >= 2 && frames.length <= 4);
  for (let index = 0; index + 1 < chosen.length; index += 3) {
    for (const { frames: played, gapMs } of plays(chosen[index], chosen[index + 1], random)) {
      for (const data of played) {
        time += gapMs * 1000 + 1;
        made.push({ time, data, length: data.length });
      }
    }
    time += 20_000_000;
  }
  return made;
}

export const FRAGMENTS: readonly Scenario[] = [
  routed(
    {
      name: 'fragments',
      description:
        'large pings and UDP datagrams over IPv4 and IPv6, both directions, some on one connection with small ones',
      programs: 'ping, udp_peer.py',
      clock: 'capture',
      hasFragments: true,
    },
    traffic,
    async lab => {
      await startUdp(lab);
      await lab.serve('client', 'udp', 7000, program('udp_peer', 'serve', 7000));
    },
  ),
  {
    name: 'fragments-derived',
    description:
      'the same fragments in other orders, twice, too late, too small, overlapping, split, tagged, with gaps',
    programs: 'packets of fragments with new timestamps',
    clock: 'capture',
    hasFragments: true,
    record: async (_lab, file, golden) => writePcap(file, derived(golden)),
  },
];
