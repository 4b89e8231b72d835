/**
 * Worker threads in tests: start several at once, let them begin together, and wait for what they report.
 *
 * Imports nothing of src/.
 */
import { Worker } from 'node:worker_threads';

const BARRIER_MS = 20_000;

/**
 * Runs a script in one thread per input and waits until all have ended.
 * @param script compiled module beside the test, as `new URL('./x-worker.js', import.meta.url)`
 * @returns the one message that each thread posts, in the order of the inputs
 */
export function runThreads<Input, Report>(script: URL, inputs: readonly Input[]): Promise<Report[]> {
  return Promise.all(inputs.map(workerData => reportOf<Report>(new Worker(script, { workerData }))));
}

/** The message that a worker posts. Fails when the worker throws, or ends without a word. */
export function reportOf<Report>(worker: Worker): Promise<Report> {
  return new Promise((resolve, reject) => {
    let report: { readonly value: Report } | undefined;
    worker.on('message', (value: Report) => {
      report = { value };
    });
    worker.on('error', reject);
    worker.on('exit', code => {
      if (report === undefined) reject(new Error(`a worker ended without a report, exit code ${code}`));
      else resolve(report.value);
    });
  });
}

/** Memory for one barrier, to be handed to every thread. */
export function newBarrier(): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(4));
}

/**
 * Waits until `count` threads have come here.
 * @throws Error when they do not all come
 */
export function meet(barrier: Int32Array<SharedArrayBuffer>, count: number): void {
  const arrived = Atomics.add(barrier, 0, 1) + 1; // counts this thread in
  if (arrived === count) {
    Atomics.notify(barrier, 0);
    return;
  }
  for (let seen = arrived; seen < count; seen = Atomics.load(barrier, 0)) {
    if (Atomics.wait(barrier, 0, seen, BARRIER_MS) === 'timed-out') throw new Error('not all threads came');
  }
}
