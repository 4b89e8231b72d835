/** The checklist of Open vSwitch's titles: every test that it names exists, and no title is left out or there twice. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { CASES } from './cases.js';
import { TITLES } from './titles.js';

/** Where the sources of the tests lie, seen from what they are compiled to. */
const SOURCES = new URL('../../../test/', import.meta.url);

const caseTitles = new Set(CASES.map(({ title }) => title));

function missing(cases: readonly string[] = [], tests: readonly (readonly [string, string])[] = []): string[] {
  return [
    ...cases.filter(title => !caseTitles.has(title)).map(title => `no case is called: ${title}`),
    ...tests
      .filter(([file, title]) => !readFileSync(new URL(file, SOURCES), 'utf8').includes(title))
      .map(([file, title]) => `no test in ${file} is called: ${title}`),
  ];
}

describe('titles of Open vSwitch’s tests', () => {
  for (const { file, rows } of TITLES) {
    test(`${file}: what shows the same exists`, () => {
      const faults = rows.flatMap(({ title, shown }) =>
        typeof shown === 'string' ? [] : missing(shown.cases, shown.tests).map(fault => `${title}: ${fault}`),
      );
      assert.deepEqual(faults, []);
    });

    test(`${file}: every row says what or why`, () => {
      for (const { title, shown } of rows) {
        const count =
          typeof shown === 'string' ? shown.length : (shown.cases?.length ?? 0) + (shown.tests?.length ?? 0);
        assert.ok(count > 0, title);
      }
    });
  }

  test('as many titles as Open vSwitch has, each once in its file', () => {
    assert.deepEqual(
      TITLES.map(({ file, rows }) => [file, new Set(rows.map(({ title }) => title)).size, rows.length]),
      [
        ['tests/ofproto-dpif.at', 24, 24],
        ['tests/system-traffic.at, conntrack', 57, 57],
        ['tests/system-traffic.at, conntrack - L7', 14, 14],
        ['tests/system-traffic.at, conntrack - NAT', 39, 39],
        ['tests/library.at', 1, 1],
        ['tests/dpctl.at', 1, 1],
        ['tests/dpif-netdev.at', 1, 1],
        ['tests/ovs-ofctl.at', 2, 2],
        ['tests/ofp-print.at', 2, 2],
      ],
    );
  });

  test('no two cases have one title', () => {
    assert.equal(caseTitles.size, CASES.length);
  });
});
