/** What the README says of flow rules is what the parser takes: no word is missing. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { SUPPORTED } from '../../src/flows/index.js';
import { FIELDS } from '../../src/flows/vocabulary.js';

const README = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');

function rowOf(where: string): string {
  const row = README.split('\n').find(line => line.startsWith(`| ${where} |`));
  assert.ok(row !== undefined, where);
  return row;
}

function checkNamed(where: string, words: readonly string[]): void {
  const row = rowOf(where);
  assert.deepEqual(
    words.filter(word => !row.includes(`\`${word}\``)),
    [],
    where,
  );
}

test('the README names every action, argument, option and protocol', () => {
  checkNamed('in front', SUPPORTED.options);
  checkNamed('actions', SUPPORTED.actions);
  checkNamed('`ct(…)`', [...SUPPORTED.ct, ...SUPPORTED.alg, ...SUPPORTED.exec, ...SUPPORTED.writable.exec]);
  checkNamed('`nat(…)`', SUPPORTED.nat);
  // Two other names of ip and one of ipv6 are left to the list in parse.ts.
  checkNamed(
    'protocols',
    SUPPORTED.protocols.filter(name => !['ipv4', 'ip4', 'ip6'].includes(name)),
  );
});

test('the README names every match, and nothing else', () => {
  const named = FIELDS.map(({ names }) => names[0]);
  const isTransport = (name: string) => /^(tcp|udp|sctp)_(src|dst)$/.test(name);
  const isRegister = (name: string) => /^(metadata|x*reg\d+)$/.test(name);
  checkNamed(
    'matches',
    named.filter(name => !name.startsWith('ct_') && !isTransport(name) && !isRegister(name)),
  );
  checkNamed(
    'of the tracker',
    named.filter(name => name.startsWith('ct_')),
  );
  const words = (where: string) => [...rowOf(where).matchAll(/`([a-z0-9_]+)`/g)].map(([, word]) => word);
  const prefixes = ['tcp_', 'udp_', 'sctp_'];
  const said = [...words('matches'), ...words('of the tracker'), ...words('registers')];
  assert.deepEqual(
    said.filter(word => !named.includes(word) && !prefixes.includes(word)),
    [],
  );
});
