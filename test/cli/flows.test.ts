/**
 * `replay --flows` and `--write`: the rules are run, the frames leave rewritten, and none of it depends on the number
 * of shards. What the rules must do to a packet is compared with Open vSwitch in test/conformance.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { CaptureReader } from '../../src/pcap/reader.js';
import { enhancedPacket, interfaceBlock, option, sectionHeader } from '../pcap/build.js';
import { frame, ipv4, udp } from '../support/frames.js';
import { goldenPath, MAIN, run } from './program.js';

const folder = mkdtempSync(join(tmpdir(), 'flowshard-flows-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const RULES = `
# clients open, the rest is looked up
table=0,priority=100,ip,actions=ct(nat,table=1)
table=1,priority=100,ct_state=+new+trk,ip,nw_src=10.1.0.0/16,actions=ct(commit,nat(src=10.9.9.9)),output:2
table=1,priority=100,ct_state=+est+trk,actions=output:2
`;

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

test('the clients’ packets leave with the address of NAT, for any number of shards', async () => {
  const flows = file('nat.flows', RULES);
  const results = [];
  for (const shards of ['1', '2', '4']) {
    const out = join(folder, `out-${shards}.pcap`);
    const args = ['replay', goldenPath('http-ipv4.pcap'), '--flows', flows, '--write', out, '--shards', shards];
    const { code, stdout, stderr } = await run([...args, '--seed', '1', '--states', '--dump']);
    assert.deepEqual([code, stderr], [0, '']);
    results.push({ stdout, bytes: readFileSync(out).toString('hex') });
  }
  assert.deepEqual(results[1], results[0]);
  assert.deepEqual(results[2], results[0]);
  const reader = CaptureReader.open(join(folder, 'out-1.pcap'));
  let packets = 0;
  while (reader.next()) {
    const source = reader.bytes.subarray(reader.frameStart + 26, reader.frameStart + 30);
    assert.equal(source.join('.'), '10.9.9.9');
    packets++;
  }
  assert.ok(packets > 50);
  assert.match(results[0].stdout, /reply=\(src=10\.2\.0\.2,dst=10\.9\.9\.9,/);
});

test('ports go by the number and by the name of the capture’s interface', async () => {
  const udpFrom = (port: number) => Buffer.from(frame(ipv4({}, udp({ sport: port }))));
  const named = (name: string) => interfaceBlock('little', 1, 0, option('little', 2, Buffer.from(name)));
  const blocks = [
    sectionHeader('little'),
    named('lan0'),
    named('wan0'),
    enhancedPacket('little', { interfaceId: 0, frame: udpFrom(1) }),
    enhancedPacket('little', { interfaceId: 1, frame: udpFrom(2) }),
  ];
  const capture = join(folder, 'named.pcapng');
  writeFileSync(capture, Buffer.concat(blocks));
  const outputs = [];
  for (const [lan, wan] of [
    ['lan0', 'wan0'],
    ['1', '2'],
  ]) {
    const rules = [
      `in_port=${lan},udp,actions=ct(commit,zone=5),output:${wan}`,
      `in_port=${wan},udp,actions=ct(commit,zone=6),${lan}`,
    ];
    const flows = file('ports.flows', rules.join('\n'));
    const { code, stdout, stderr } = await run(['replay', capture, '--flows', flows, '--dump']);
    assert.deepEqual([code, stderr], [0, '']);
    outputs.push(stdout);
  }
  assert.match(outputs[0], /sport=1,[^\n]*zone=5\n[^\n]*sport=2,[^\n]*zone=6\n/);
  assert.equal(outputs[1], outputs[0]);
  const piped = await run(
    ['replay', '-', '--flows', file('piped.flows', 'in_port=lan0,actions=2')],
    readFileSync(capture),
  );
  assert.equal(piped.code, 1);
  assert.match(piped.stderr, /piped\.flows: line 1: "lan0": no port is called "lan0"\n$/);
});

test('a rule that is wrong, rules that are not there, and words that exclude each other are one line each', async () => {
  const wrong = file('wrong.flows', 'table=0,actions=drop\ntable=0,ip,actions=ct(commmit)\n');
  const capture = goldenPath('ping.pcap');
  const cases: [args: string[], code: number, message: RegExp][] = [
    [['--flows', wrong], 1, /^flowshard: .*wrong\.flows: line 2: "commmit": .*\n$/],
    [['--flows', join(folder, 'none')], 1, /^flowshard: .*none: cannot open: no such file or directory\n$/],
    [['--flows', wrong, '--zone', '3'], 2, /^flowshard: .*--zone.*\n$/],
    [['--write', join(folder, 'no', 'folder.pcap')], 1, /^flowshard: .*folder\.pcap: .*\n$/],
  ];
  for (const [args, code, message] of cases) {
    const outcome = await run(['replay', capture, ...args]);
    assert.equal(outcome.code, code, args.join(' '));
    assert.match(outcome.stderr, message);
  }
});

test('--write does not overwrite what is read, whatever it is called', async () => {
  const golden = goldenPath('ping.pcap');
  const capture = join(folder, 'read.pcap');
  copyFileSync(golden, capture);
  const rules = file('read.flows', RULES);
  const [link, hardLink] = [join(folder, 'link.pcap'), join(folder, 'hard-link.pcap')];
  symlinkSync(capture, link);
  linkSync(capture, hardLink);
  const cases = [
    [capture, capture, 'the capture'],
    [capture, link, 'the capture'],
    [link, hardLink, 'the capture'],
    [capture, rules, 'the flow rules'],
  ];
  for (const [read, written, what] of cases) {
    const outcome = await run(['replay', read, '--flows', rules, '--write', written]);
    assert.deepEqual(outcome, { code: 1, stdout: '', stderr: `flowshard: ${written}: would overwrite ${what}\n` });
  }
  assert.deepEqual(readFileSync(capture), readFileSync(golden));
  assert.equal(readFileSync(rules, 'utf8'), RULES);
});

test('--write does not overwrite what is read by way of standard input and output', async () => {
  const capture = join(folder, 'piped.pcap');
  copyFileSync(goldenPath('ping.pcap'), capture);
  const cases = [
    ['"$1" "$2" replay - --write "$3" < "$3"', capture],
    ['"$1" "$2" replay "$3" --write - >> "$3"', 'standard output'],
  ];
  for (const [command, name] of cases) {
    const child = spawn('sh', ['-c', command, 'sh', process.execPath, MAIN, capture]);
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', text => {
      stderr += text;
    });
    const [code] = await once(child, 'close');
    assert.deepEqual([code, stderr], [1, `flowshard: ${name}: would overwrite the capture\n`]);
  }
  assert.deepEqual(readFileSync(capture), readFileSync(goldenPath('ping.pcap')));
});

test('--write -: standard output is the capture and nothing else', async () => {
  const out = join(folder, 'file.pcap');
  assert.equal((await run(['replay', goldenPath('ping.pcap'), '--write', out])).code, 0);
  const command = '"$1" "$2" replay "$3" --write - > "$4"';
  const piped = join(folder, 'piped-out.pcap');
  const child = spawn('sh', ['-c', command, 'sh', process.execPath, MAIN, goldenPath('ping.pcap'), piped]);
  assert.deepEqual(await once(child, 'close'), [0, null]);
  assert.deepEqual(readFileSync(piped), readFileSync(out));
});

/** A capture whose packets come in by interfaces of these link types, at these seconds. */
function pcapng(name: string, packets: readonly (readonly [linkType: number, seconds: number])[]): string {
  const blocks = packets.flatMap(([linkType, seconds], interfaceId) => [
    interfaceBlock('little', linkType),
    enhancedPacket('little', {
      interfaceId,
      ticks: BigInt(seconds) * 1_000_000n,
      frame: Buffer.from(frame(ipv4({}, udp()))),
    }),
  ]);
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat([sectionHeader('little'), ...blocks]));
  return path;
}

function packetsIn(path: string): number {
  const reader = CaptureReader.open(path);
  while (reader.next());
  reader.close();
  return reader.packetNumber;
}

test('--write of two link types ends in front of the second, and all that came before it is there', async () => {
  const out = join(folder, 'one-type.pcap');
  const capture = pcapng('two-types.pcapng', [
    [1, 1],
    [1, 2],
    [276, 3],
    [1, 4],
  ]);
  const { code, stdout, stderr } = await run(['replay', capture, '--states', '--write', out]);
  assert.deepEqual([code, stdout], [1, '1: new|trk\n2: new|trk\n']);
  assert.equal(stderr, `flowshard: ${out}: cannot hold packets of two link types\n`);
  assert.equal(packetsIn(out), 2);
  assert.match((await run(['replay', capture, '--write', out])).stdout, /packets {5}2, .*packets per second\n$/s);
});

test('--write of a time that a pcap cannot say ends there, and all that came before it is there', async () => {
  const out = join(folder, 'until-2106.pcap');
  const capture = pcapng('after-2106.pcapng', [
    [1, 1],
    [1, 4_294_967_296],
  ]);
  const { code, stdout, stderr } = await run(['replay', capture, '--states', '--dump', '--write', out]);
  assert.equal(code, 1);
  assert.match(stdout, /^1: new\|trk\n2: new\|trk\nudp,orig=.*\n$/);
  const problem = 'the time of packet 2 must be from 1970 to 2106, not 4294967296000 ms since 1970';
  assert.equal(stderr, `flowshard: ${out}: ${problem}\n`);
  assert.equal(packetsIn(out), 1);
});

test('--write to a full disk: states and table are printed', {
  skip: existsSync('/dev/full') ? false : 'there is no /dev/full',
}, async () => {
  const args = ['replay', goldenPath('ping.pcap'), '--states', '--dump'];
  const { code, stdout, stderr } = await run([...args, '--write', '/dev/full']);
  assert.deepEqual([code, stdout], [1, (await run(args)).stdout]);
  assert.equal(stderr, 'flowshard: /dev/full: cannot write: no space left on device\n');
});

test('with --flows, - is standard input although a file is called so', async () => {
  const inside = join(folder, 'inside');
  mkdirSync(inside);
  writeFileSync(join(inside, '-'), 'not a capture');
  const command = 'cd "$1" && exec "$2" "$3" replay - --flows "$4" --states < "$5"';
  const args = [inside, process.execPath, MAIN, file('any.flows', 'ip,actions=ct(commit)'), goldenPath('ping.pcap')];
  const child = spawn('sh', ['-c', command, 'sh', ...args]);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', text => {
      output += text;
    });
  }
  const [code] = await once(child, 'close');
  assert.equal(code, 0, output);
  assert.match(output, /^1: /);
});

test('with --flows, a capture that cannot be opened is said as without', async () => {
  const loop = join(folder, 'loop.pcap');
  symlinkSync('loop.pcap', loop);
  const { code, stderr } = await run(['replay', loop, '--flows', file('any.flows', 'ip,actions=ct(commit)')]);
  assert.deepEqual([code, stderr], [1, `flowshard: ${loop}: cannot open: too many symbolic links encountered\n`]);
});
