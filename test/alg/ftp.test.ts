/**
 * What FTP announces. The expected readings follow RFC 959 and RFC 2428 and Open vSwitch's `process_ftp_ctl_v4()` and
 * `process_ftp_ctl_v6()`; where a case differs from OVS the test says so.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ftp } from '../../src/alg/ftp.js';
import { tftp } from '../../src/alg/tftp.js';
import { withSeed } from '../support/random.js';
import { bytesOf, read, readText } from './message.js';

const client = (address: string, port: number, text = address) => ({ port, client: address, text });
const server = (address: string, port: number, text = address) => ({ port, server: address, text });

test('PORT names the client', () => {
  const wanted = client('10.1.0.2', 197 * 256 + 33, '10,1,0,2');
  for (const text of [
    'PORT 10,1,0,2,197,33\r\n',
    'port 10,1,0,2,197,33\n',
    'pOrT  (10,1,0,2,197,33)',
    'PORT x 10,1,0,2/197.33 ',
  ]) {
    assert.deepEqual(readText(ftp, text), wanted, text);
  }
  assert.deepEqual(
    readText(ftp, 'PORT 255,255,255,255,255,255\r\n'),
    client('255.255.255.255', 65535, '255,255,255,255'),
  );
  // OVS `terminate_number_str()` goes on for one digit more than MAX_FTP_PORT_DGTS.
  const zeros = readText(ftp, 'PORT 10,1,0,2,0195,80\r\n');
  assert.deepEqual(zeros, client('10.1.0.2', 195 * 256 + 80, '10,1,0,2'));
  assert.deepEqual(readText(ftp, 'PORT 10.1.0.2,0,0\r\n'), 'malformed', 'the commas behind count as dots');
});

test('227 names the server, whatever stands before its numbers', () => {
  const wanted = server('10.2.0.2', 156 * 256 + 64, '10,2,0,2');
  for (const text of [
    '227 Entering Passive Mode (10,2,0,2,156,64).\r\n',
    '227 =10,2,0,2,156,64\r\n',
    '227-x 10,2,0,2,156,64 ',
  ]) {
    assert.deepEqual(readText(ftp, text), wanted, text);
  }
});

test('EPRT names the client in either family', () => {
  assert.deepEqual(readText(ftp, 'EPRT |1|132.235.1.2|6275|\r\n'), client('132.235.1.2', 6275));
  assert.deepEqual(readText(ftp, 'eprt !1!132.235.1.2!6275!\r\n'), client('132.235.1.2', 6275));
  const text = 'EPRT |2|1080::8:800:200C:417A|5282|\r\n';
  assert.deepEqual(readText(ftp, text, true), client('1080::8:800:200c:417a', 5282, '1080::8:800:200C:417A'));
  assert.deepEqual(readText(ftp, text), 'malformed', 'IPv6 in a connection over IPv4');
  assert.deepEqual(readText(ftp, 'EPRT |1|132.235.1.2|6275|\r\n', true), 'malformed', 'IPv4 in one over IPv6');
});

test('229 names no address', () => {
  const text = '229 Entering Extended Passive Mode (|||6446|)\r\n';
  assert.deepEqual(readText(ftp, text), { port: 6446 });
  assert.deepEqual(readText(ftp, text, true), { port: 6446 });
  assert.deepEqual(readText(ftp, '200 ok\r\n229 Extended Passive Mode OK (|||6446|)\r\n', true), { port: 6446 });
  assert.deepEqual(readText(ftp, '229 Passive (|||6446|)\r\n', true), 'nothing', 'OVS looks for the words over IPv6');
});

test('everything else says nothing', () => {
  for (const text of [
    '',
    'P',
    'POR',
    'USER anonymous\r\n',
    'PASV\r\n',
    'EPSV\r\n',
    '226 Transfer complete.\r\n',
    ' PORT 1,2,3,4,5,6\r\n',
  ]) {
    assert.equal(readText(ftp, text), 'nothing', JSON.stringify(text));
    assert.equal(readText(ftp, text, true), 'nothing', JSON.stringify(text));
  }
  assert.equal(readText(ftp, 'PORT 1,2,3,4,5,6\r\n', true), 'nothing', 'PORT over IPv6');
});

const MALFORMED = [
  'PORT\r\n',
  'PORT \r\n',
  'PORT 10,1,0,2\r\n',
  'PORT 10,1,0,2,197\r\n',
  'PORT 10,1,0,2,197,\r\n',
  'PORT 10,1,0,2,256,1\r\n',
  'PORT 10,1,0,2,1,256\r\n',
  'PORT 10,1,0,256,1,1\r\n',
  'PORT 10,1,0,02,1,1\r\n',
  'PORT 10,1,0,2,00001,1\r\n',
  'PORT 10,1,0,2,,1,1\r\n',
  '227 Entering Passive Mode\r\n',
  '227 Entering Passive Mode (10,1,0)\r\n',
  'EPRT |1|10.1.0.2|65536|\r\n',
  'EPRT |1|10.1.0.2|\r\n',
  'EPRT |11|10.1.0.2|21|\r\n',
  'EPRT |3|10.1.0.2|21|\r\n',
  'EPRT ||10.1.0.2|21|\r\n',
  '229 Entering Extended Passive Mode (||||)\r\n',
  '229 Entering Extended Passive Mode (|||65536|)\r\n',
  '229 Entering Extended Passive Mode (|||0000021|)\r\n',
];

test('announcements that cannot be read are malformed', () => {
  for (const text of MALFORMED) assert.equal(readText(ftp, text), 'malformed', JSON.stringify(text));
  for (const text of [
    'EPRT |2|::g|21|\r\n',
    'EPRT |2|1:2|21|\r\n',
    'EPRT |2|',
    'EPRT |22|::1|1|',
    'Extended passive ()',
  ]) {
    assert.equal(readText(ftp, text, true), 'malformed', JSON.stringify(text));
  }
});

const WHOLE: readonly (readonly [text: string, isIpv6: boolean])[] = [
  ['PORT 10,1,0,2,197,33\r\n', false],
  ['227 Entering Passive Mode (10,2,0,2,156,64).\r\n', false],
  ['EPRT |1|132.235.1.2|6275|\r\n', false],
  ['229 Entering Extended Passive Mode (|||6446|)\r\n', false],
  ['EPRT |2|1080::8:800:200c:417a|5282|\r\n', true],
  ['229 Entering Extended Passive Mode (|||6446|)\r\n', true],
];

test('a word that a segment ends with is none yet, as in OVS', () => {
  for (const text of ['PORT', 'EPRT', '227', '229']) {
    assert.equal(readText(ftp, text), 'nothing', text);
    assert.equal(readText(ftp, `${text} `), 'malformed', text);
  }
  assert.equal(readText(ftp, '229 Extended Passive', true), 'nothing');
  assert.equal(readText(ftp, '229 Extended Passive ', true), 'malformed');
});

test('cut at any byte, an announcement is whole or none: unlike OVS, a number that a segment ends with is not taken', () => {
  for (const [text, isIpv6] of WHOLE) {
    const whole = readText(ftp, text, isIpv6);
    for (let length = 0; length < text.length; length++) {
      const reading = readText(ftp, text.slice(0, length), isIpv6);
      if (typeof reading === 'object') assert.deepEqual(reading, whole, `${length} bytes of ${text}`);
    }
  }
});

test('a zero byte, and the 128th, end what is read', () => {
  assert.equal(readText(ftp, 'PORT 10,1,0,2,197\0,33\r\n'), 'malformed');
  assert.equal(readText(ftp, 'PORT 10,1,0,2,197\x0033\r\n'), 'malformed');
  assert.equal(readText(ftp, 'PORT\0 10,1,0,2,197,33\r\n'), 'malformed');
  const filled = (length: number) => `227 ${'x'.repeat(length)}10,2,0,2,1,2)\r\n`;
  assert.deepEqual(readText(ftp, filled(111)), server('10.2.0.2', 258, '10,2,0,2'));
  assert.equal(readText(ftp, filled(112)), 'malformed');
});

test('random and mutated texts are read without a look outside of them', () => {
  withSeed(2603, random => {
    for (let round = 0; round < 100_000; round++) {
      const [text, isIpv6] = random.pick(WHOLE);
      const bytes = random.chance(0.1) ? random.bytes(random.below(200)) : bytesOf(text);
      for (let change = random.below(4); change > 0 && bytes.length > 0; change--) {
        bytes[random.below(bytes.length)] = random.chance(0.5)
          ? random.pick([...bytesOf('0123456789,.|:() \r\n\0')])
          : random.below(256);
      }
      const reading = read(
        ftp,
        bytes.subarray(0, random.chance(0.5) ? bytes.length : random.below(bytes.length + 1)),
        isIpv6,
      );
      if (typeof reading !== 'object') continue;
      assert.ok(Number(reading.port) >= 0 && Number(reading.port) <= 65535);
      assert.ok((reading.text ?? '').length <= 45);
    }
  });
});

test('every packet of TFTP announces the port that it was asked from', () => {
  assert.deepEqual(readText(tftp, '\0\x01file\0octet\0'), { port: 'client' });
  assert.deepEqual(readText(tftp, ''), { port: 'client' });
});
