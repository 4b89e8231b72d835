/**
 * The program behind `npm run bench:sweep`: prints what packets feel of the sweeper, with the profile that is named,
 * `resilient` unless another one is.
 *
 * Imports machine, storm. Nobody imports it.
 */
import type { ProfileName } from '../src/engine/policy.js';
import { currentCommit, describeMachine } from './machine.js';
import { BATCH, ENDING, ENDS_WITHIN_MS, measureStorm, OTHERS } from './storm.js';

const profile = (process.argv[2] ?? 'resilient') as ProfileName;
const { cpu, cores, platform } = describeMachine();
console.log(
  `machine  ${cpu}, ${cores} cores, ${platform}; node ${process.version}; commit ${currentCommit() ?? 'unknown'}`,
);
console.log(
  `profile  ${profile}; ${ENDING} connections end within ${ENDS_WITHIN_MS} ms, ${OTHERS} others, batches of ${BATCH}`,
);
const { createNs, passMs, quiet, storm, sweep, longestLockUs } = await measureStorm(profile);
console.log(`created  ${Math.round(createNs)} ns for each, building frames included`);
['that nothing is known of', 'that was looked at before'].forEach((what, index) => {
  console.log(`pass over ${ENDING + OTHERS} connections ${what}: ${passMs[index].toFixed(2)} ms`);
});
for (const [name, figures] of [
  ['nothing ends', quiet],
  ['a million end', storm],
] as const) {
  const { mpps, seconds, p50, p99, p999, max, over1Ms, waits, longestWaitUs, preemptions } = figures;
  const times = `p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)}, p99.9 ${p999.toFixed(1)}, max ${max.toFixed(1)} µs`;
  console.log(
    `${name.padEnd(14)} ${mpps.toFixed(2)} Mpps for ${seconds.toFixed(1)} s; batch ${times}; ${over1Ms} over 1 ms; ` +
      `${waits} waited for the lock, the longest for ${longestWaitUs.toFixed(1)} µs; ${preemptions} times preempted`,
  );
}
const { stepUs, lagMs } = sweep;
console.log(
  `sweeper        step p50 ${stepUs.p50.toFixed(1)}, p99.9 ${stepUs.p999.toFixed(1)}, max ${stepUs.max.toFixed(1)} µs; longest lock ${longestLockUs.toFixed(1)} µs`,
);
console.log(
  `lag            p50 ${lagMs.p50.toFixed(0)}, p99.9 ${lagMs.p999.toFixed(0)}, max ${lagMs.max.toFixed(0)} ms of ${lagMs.count} connections`,
);
console.log(`p99.9 grew by  ${(storm.p999 - quiet.p999).toFixed(1)} µs`);
