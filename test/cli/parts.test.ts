/** Small parts of the command line that need no process of their own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CaptureClock } from '../../src/cli/capture-clock.js';
import { formatCount, formatDuration, formatShare } from '../../src/cli/numbers.js';
import { formatBytes, progressLine } from '../../src/cli/progress.js';
import { UnderWay } from '../../src/cli/under-way.js';

/** A time of today, which a double does not hold to the microsecond. */
const START_MS = 1_795_475_179_805.833;

test('capture clock: whole milliseconds since the first packet, in spite of what a double loses', () => {
  for (let micros = 0; micros < 20_000; micros++) {
    const clock = new CaptureClock('capture');
    clock.advance(START_MS);
    clock.advance(START_MS + micros / 1000);
    assert.equal(clock.nowMs, Math.floor(micros / 1000), `${micros} µs`);
  }
});

test('capture clock: never goes backwards', () => {
  const clock = new CaptureClock('capture');
  const times = [START_MS, START_MS + 50, START_MS - 1000, START_MS + 49, START_MS + 51].map(captureMs => {
    clock.advance(captureMs);
    return clock.nowMs;
  });
  assert.deepEqual(times, [0, 50, 50, 50, 51]);
});

test('frozen and wall clock', () => {
  const frozen = new CaptureClock('frozen');
  frozen.advance(START_MS);
  assert.equal(frozen.nowMs, 0);
  const wall = new CaptureClock('wall');
  const before = Date.now();
  wall.advance(0);
  assert.ok(wall.nowMs >= before && wall.nowMs <= Date.now());
});

test('packets under way: numbers come out as they went in, as many at once as was said', () => {
  for (const most of [1, 3, 4]) {
    const underWay = new UnderWay(most);
    for (let first = 0; first < 10 * most; first += most) {
      const numbers = Array.from({ length: most }, (_, index) => first + index);
      for (const number of numbers) underWay.push(number);
      assert.deepEqual(
        numbers.map(() => underWay.take()),
        numbers,
      );
    }
  }
});

test('numbers for people', () => {
  assert.equal(formatCount(1_234_567), '1,234,567');
  assert.equal(formatShare(1, 3), '33.3 %');
  assert.equal(formatShare(0, 0), '0.0 %');
  assert.deepEqual([3.21, 4500, 125_000, 12_000_000, 5_191_200_000].map(formatDuration), [
    '3.2 ms',
    '4.50 s',
    '2 min 5 s',
    '3 h 20 min',
    '60 d 2 h',
  ]);
  assert.deepEqual([999, 1500, 2_500_000, 3_210_000_000].map(formatBytes), ['999 B', '1.5 kB', '2.5 MB', '3.21 GB']);
});

test('the progress line', () => {
  const half = progressLine(500_000, 1_000_000, 1234, 5678);
  assert.equal(half, `[${'#'.repeat(12)}${'.'.repeat(12)}]  50.0 %  500.0 kB of 1.0 MB  1,234 packets  5,678/s`);
  assert.equal(progressLine(500_000, undefined, 1, 2), '500.0 kB  1 packets  2/s');
  assert.match(progressLine(2_000_000, 1_000_000, 1, 2), /100\.0 %/);
});
