/**
 * Limits and timeouts of zones on the command line. What they do to packets is compared with Open vSwitch in
 * test/conformance; here it is that they reach the engine, and that the number of shards does not matter.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { scratch } from '../pcap/build.js';
import { goldenPath, run, splitJson } from './program.js';

const { file } = scratch();
const DNS = goldenPath('dns.pcap');

async function outputOf(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(['replay', ...args]);
  assert.deepEqual([code, stderr], [0, ''], args.join(' '));
  return stdout;
}

describe('zones on the command line', { concurrency: 2 }, () => {
  for (const limit of [
    ['--zone-limit', '5=7'],
    ['--default-zone-limit', '7'],
    ['--default-zone-limit', '1', '--zone-limit', '5=7'],
  ]) {
    test(`${limit.join(' ')}: that many connections, the same for any number of shards`, async () => {
      const outputs = [];
      for (const shards of ['1', '2', '4']) {
        outputs.push(
          await outputOf(DNS, '--states', '--dump', '--zone', '5', ...limit, '--shards', shards, '--seed', '3'),
        );
      }
      assert.equal(outputs[0].split('\n').filter(line => line.includes('zone=5')).length, 7);
      assert.deepEqual(outputs.slice(1), [outputs[0], outputs[0]]);
    });
  }

  test('a limit of 0 lets nothing in, and says why', async () => {
    const { objects, rest } = splitJson(await outputOf(DNS, '--json', '--dump', '--zone', '5', '--zone-limit', '5=0'));
    assert.equal(rest.trim(), '');
    const valid = objects.filter(packet => !packet.state.includes('inv'));
    assert.ok(valid.length > 100 && valid.every(packet => packet.state === 'new|trk' && packet.reason === 'zone-full'));
  });

  test('limits count per zone, under rules that choose it', async () => {
    const rules = 'udp,actions=ct(commit,zone=1,table=1)\ntcp,actions=ct(commit,zone=2,table=1)\ntable=1,actions=2\n';
    const flows = file('zones.flows', Buffer.from(rules));
    const dump = await outputOf(DNS, '--flows', flows, '--dump', '--zone-limit', '1=3', '--default-zone-limit', '2');
    const count = (zone: number) => dump.split('\n').filter(line => line.includes(`zone=${zone}`)).length;
    assert.deepEqual([count(1), count(2)], [3, 2]);
  });

  test('timeouts count in seconds for the connections of their zone', async () => {
    const timeouts = ['--zone-timeout', '5=udp_first=100,udp_multiple=200', '--zone-timeout', '6=udp_first=7'];
    const dump = async (zone: string) => await outputOf(DNS, '--dump', '-s', '--zone', zone, ...timeouts);
    const seconds = (text: string) =>
      text
        .split('\n')
        .filter(line => line.startsWith('udp,'))
        .map(line => Number(/timeout=(\d+)/.exec(line)?.[1]));
    const plain = seconds(await dump('4'));
    const longer = seconds(await dump('5'));
    // OVS's defaults: 60 s of udp_first and udp_single, 30 of udp_multiple.
    assert.ok(plain.length > 10 && plain.every(left => left <= 60));
    assert.equal(longer.length, plain.length);
    assert.ok(longer.every(left => left > 60 && left <= 200));
  });
});
