/**
 * NAT to ranges: which address and port a connection gets follows from a random key, in Open vSwitch as here, so that
 * there are no bytes to compare. What must hold is asked of both: states and number of connections are equal, every
 * address and port is one of the range, no two connections look the same to the server, and each answer comes back to
 * the client that asked.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { anatomyOf, u16 } from '../fuzz/anatomy.js';
import { isOvsAvailable, versionOf } from '../support/ovs.js';
import { clientSegment, datagram, echo, type Flow, flow, serverSegment } from './conversations.js';
import { type Answer, type Judge, LocalJudge, OvsJudge } from './judges.js';
import { gateway } from './rules.js';

const found = isOvsAvailable();
const version = found.available ? versionOf(found.version) : 0;

function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  return Array.from({ length: 8 }, (_, group) => u16(bytes, group * 2).toString(16)).join(':');
}

/** The ends of a packet, each with its port, or with the identifier of an echo. */
function seen(frame: Uint8Array): Flow {
  const anatomy = anatomyOf(frame);
  assert.ok(anatomy !== undefined);
  const { l3, l4, isIpv6: six, protocol } = anatomy;
  const [at, length] = six ? [l3 + 8, 16] : [l3 + 12, 4];
  const isPing = protocol === 1;
  return {
    src: addressText(frame.subarray(at, at + length)),
    dst: addressText(frame.subarray(at + length, at + 2 * length)),
    sport: u16(frame, isPing ? l4 + 4 : l4),
    dport: u16(frame, isPing ? l4 + 4 : l4 + 2),
  };
}

/** The number of an address: its last 16 bits are enough to tell those of a range apart. */
function lastPart(address: string): number {
  const parts = address.split(/[.:]/);
  return address.includes(':') ? Number.parseInt(parts[7], 16) : Number(parts[3]);
}

interface Choice {
  readonly title: string;
  readonly nat: string;
  /** The end that is translated, and what it may become: last parts of addresses, and ports. */
  readonly end: 'src' | 'dst';
  readonly addresses: readonly [first: number, last: number];
  readonly ports?: readonly [first: number, last: number];
  /** What clients send; one packet each. */
  readonly flows: readonly Flow[];
  readonly kind: 'udp' | 'tcp' | 'echo';
  /** How many different addresses at least are used, so that a choice that never varies shows. */
  readonly spread?: number;
  /** As of a Case. */
  readonly since?: { readonly version: number; readonly before: string };
}

function manyClients(count: number, peer: string, form: (index: number) => string): Flow[] {
  return Array.from({ length: count }, (_, index) => flow(`${form(index)}>${peer}`));
}

const CHOICES: readonly Choice[] = [
  {
    title: 'SNAT to a range of addresses',
    nat: 'nat(src=10.9.9.240-10.9.9.254)',
    end: 'src',
    addresses: [240, 254],
    flows: manyClients(40, '10.2.0.2:80', index => `10.1.0.${index + 1}:40000`),
    kind: 'tcp',
    spread: 4,
  },
  {
    title: 'SNAT to a range of addresses and two ports, at random',
    nat: 'nat(src=10.9.9.240-10.9.9.254:34567-34568,random)',
    end: 'src',
    addresses: [240, 254],
    ports: [34567, 34568],
    // No more than there are ports: Open vSwitch tries one address, and a third flow there would find none.
    flows: manyClients(2, '10.2.0.2:80', index => `10.1.0.${index + 1}:40000`),
    kind: 'tcp',
  },
  {
    title: 'SNAT to one address and a range of ports',
    nat: 'nat(src=10.9.9.9:5000-5099)',
    end: 'src',
    addresses: [9, 9],
    ports: [5000, 5099],
    flows: manyClients(60, '10.2.0.2:53', index => `10.1.0.${index + 1}:4000`),
    kind: 'udp',
  },
  {
    title: 'SNAT to one address and a range of ports, all of which are used',
    nat: 'nat(src=10.9.9.9:5000-5019,hash)',
    end: 'src',
    addresses: [9, 9],
    ports: [5000, 5019],
    flows: manyClients(20, '10.2.0.2:53', index => `10.1.0.${index + 1}:4000`),
    kind: 'udp',
  },
  {
    title: 'SNAT of echo requests to a range of addresses',
    nat: 'nat(src=10.9.9.240-10.9.9.254)',
    end: 'src',
    addresses: [240, 254],
    flows: manyClients(20, '10.2.0.2:77', index => `10.1.0.${index + 1}:77`),
    kind: 'echo',
    since: { version: 4, before: 'identifiers are not translated' },
  },
  {
    title: 'SNAT over IPv6 to two addresses',
    nat: 'nat(src=2001:db8:9::240-2001:db8:9::241)',
    end: 'src',
    addresses: [0x240, 0x241],
    flows: manyClients(20, '2001:db8:2::2:80', index => `2001:db8:1::${(index + 1).toString(16)}:40000`),
    kind: 'tcp',
    spread: 2,
  },
  {
    title: 'SNAT over IPv6 to a range of addresses and ports',
    nat: 'nat(src=[2001:db8:9::240]-[2001:db8:9::24f]:6000-6063)',
    end: 'src',
    addresses: [0x240, 0x24f],
    ports: [6000, 6063],
    flows: manyClients(20, '2001:db8:2::2:53', index => `2001:db8:1::${(index + 1).toString(16)}:4000`),
    kind: 'udp',
  },
  {
    title: 'SNAT to a range of addresses, persistent',
    nat: 'nat(src=10.9.9.240-10.9.9.254,persistent)',
    end: 'src',
    addresses: [240, 254],
    flows: [
      ...manyClients(4, '10.2.0.2:80', index => `10.1.0.7:${40_000 + index}`),
      ...manyClients(4, '10.2.0.3:80', index => `10.1.0.7:${40_000 + index}`),
    ],
    kind: 'tcp',
    since: { version: 3.4, before: 'persistent means nothing' },
  },
  {
    title: 'DNAT to a range of addresses',
    nat: 'nat(dst=10.2.0.100-10.2.0.107)',
    end: 'dst',
    addresses: [100, 107],
    flows: manyClients(40, '10.8.8.8:80', index => `10.1.0.${index + 1}:40000`),
    kind: 'tcp',
    spread: 3,
  },
  {
    title: 'DNAT to a range of ports',
    nat: 'nat(dst=10.2.0.2:8000-8015)',
    end: 'dst',
    addresses: [2, 2],
    ports: [8000, 8015],
    flows: manyClients(40, '10.8.8.8:80', index => `10.1.0.${index + 1}:40000`),
    kind: 'tcp',
  },
];

function asked(kind: Choice['kind'], from: Flow): Uint8Array {
  if (kind === 'udp') return datagram(from);
  return kind === 'echo' ? echo(from) : clientSegment({ out: from, back: from }, { flags: 'S' });
}

/** What the other end answers to what it got. */
function answered(kind: Choice['kind'], got: Flow): Uint8Array {
  const back: Flow = { src: got.dst, sport: got.dport, dst: got.src, dport: got.sport };
  if (kind === 'udp') return datagram(back);
  if (kind === 'echo') return echo({ ...back, sport: got.sport }, true);
  return serverSegment({ out: got, back }, { flags: 'SA', seen: 1 });
}

function otherPort(end: Choice['end'], { sport, dport }: Flow): number {
  return end === 'src' ? dport : sport;
}

function leftAs(answer: unknown): Answer {
  assert.ok(typeof answer === 'object' && answer !== null, 'the packet left');
  return answer as Answer;
}

/** Shows all packets and their answers to a judge and checks what must hold. @returns states and number of connections */
async function check(judge: Judge, choice: Choice): Promise<readonly string[]> {
  const { kind, end, addresses, ports, flows, spread = 1 } = choice;
  const states: string[] = [];
  const chosen = new Map<string, Flow>();
  try {
    const left = (await judge.send(flows.map(from => ({ frame: asked(kind, from) })))).map(leftAs);
    for (const [index, { state, frame }] of left.entries()) {
      states.push(state);
      const got = seen(frame);
      const from = seen(asked(kind, flows[index]));
      const [address, port] = end === 'src' ? [got.src, got.sport] : [got.dst, got.dport];
      const last = lastPart(address);
      assert.ok(last >= addresses[0] && last <= addresses[1], `${address} is one of the range`);
      if (ports !== undefined) assert.ok(port >= ports[0] && port <= ports[1], `${port} is one of the range`);
      // The identifier of an echo is both ports at once, and changes when two clients meet at one address.
      else if (kind !== 'echo') assert.deepEqual(otherPort(end, got), otherPort(end, from));
      assert.deepEqual(end === 'src' ? got.dst : got.src, end === 'src' ? from.dst : from.src, 'the other end stays');
      const name = JSON.stringify(got);
      assert.ok(!chosen.has(name), `two connections look like ${name}`);
      chosen.set(name, got);
    }
    const used = new Set([...chosen.values()].map(got => (end === 'src' ? got.src : got.dst)));
    assert.ok(used.size >= spread, `${used.size} addresses are used`);
    if (choice.nat.includes('persistent')) assert.equal(used.size, 1, 'one client, one address');
    const back = (await judge.send([...chosen.values()].map(got => ({ frame: answered(kind, got) })))).map(leftAs);
    for (const [index, { state, frame }] of back.entries()) {
      states.push(state);
      const from = seen(asked(kind, flows[index]));
      const got = seen(frame);
      const expected = { src: from.dst, sport: from.dport, dst: from.src, dport: from.sport };
      assert.deepEqual(got, kind === 'echo' ? { ...expected, sport: from.sport } : expected);
    }
    return [...states, `${(await judge.dump()).length} connections`];
  } finally {
    await judge.close();
  }
}

describe('what must hold of a free choice', { concurrency: 2 }, () => {
  for (const choice of CHOICES) {
    const flows = gateway(choice.nat);
    test(`${choice.title}: the engine`, async () => {
      await check(new LocalJudge(flows), choice);
    });
    const { version: first, before } = choice.since ?? { version: 0, before: '' };
    const skip = found.available ? version < first && `Open vSwitch ${version}: ${before}` : found.reason;
    test(`${choice.title}: Open vSwitch, and the same states`, { skip }, async () => {
      const expected = await check(await OvsJudge.start(flows), choice);
      assert.deepEqual(await check(new LocalJudge(flows), choice), expected);
    });
  }
});
