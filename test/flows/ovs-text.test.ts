/**
 * Asks the ovs-ofctl that is installed about the same rule texts: what both take, and what both refuse.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { ACCEPTED, REFUSED, STRICTER } from './rules.js';

/** True when Open vSwitch can parse the rule and decode it again, as the switch would. */
function ovsTakes(text: string): boolean {
  const { status, stdout } = spawnSync('ovs-ofctl', ['-O', 'OpenFlow13', 'parse-flow', text], { encoding: 'utf8' });
  return status === 0 && !stdout.includes('decode error');
}

const isInstalled = spawnSync('ovs-ofctl', ['--version']).status === 0;
const skip = isInstalled ? false : 'ovs-ofctl is not installed';

describe('Open vSwitch agrees', { skip }, () => {
  it('that these rules are right', () => {
    assert.deepEqual(
      ACCEPTED.filter(text => !ovsTakes(text)),
      [],
    );
  });

  it('that these rules are wrong', () => {
    assert.deepEqual(
      REFUSED.filter(([text]) => ovsTakes(text)),
      [],
    );
  });

  it('or takes what is refused here on purpose', () => {
    assert.deepEqual(
      STRICTER.filter(([text]) => !ovsTakes(text)),
      [],
    );
  });
});
