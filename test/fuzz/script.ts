/**
 * Scripts: lists of steps, a few random words each, from which the fuzzers make their traffic. Random to begin with, and
 * shrunk by leaving out steps and then by setting words to zero; zero is the plainest choice everywhere.
 *
 * Words instead of fast-check's own records: millions of packets need a generator that costs less than the packet.
 *
 * Imports fast-check.
 */
import fc from 'fast-check';

export const STEP_WORDS = 6;

/** Rows of STEP_WORDS unsigned words. The first row is for what the whole case has in common. */
export type Script = Uint32Array;

export function stepsOf(script: Script): number {
  return script.length / STEP_WORDS;
}

export class ScriptArbitrary extends fc.Arbitrary<Script> {
  readonly #maxSteps: number;

  constructor(maxSteps: number) {
    super();
    this.#maxSteps = maxSteps;
  }

  generate(random: fc.Random): fc.Value<Script> {
    const script = new Uint32Array((1 + random.nextInt(1, this.#maxSteps)) * STEP_WORDS);
    for (let word = 0; word < script.length; word++) script[word] = random.nextInt();
    return new fc.Value(script, undefined);
  }

  canShrinkWithoutContext(value: unknown): value is Script {
    return value instanceof Uint32Array && value.length % STEP_WORDS === 0;
  }

  shrink(script: Script): fc.Stream<fc.Value<Script>> {
    return fc.stream(smaller(script)).map(value => new fc.Value(value, undefined));
  }
}

/** Everything a little simpler, the boldest first. */
function* smaller(script: Script): Generator<Script> {
  const steps = stepsOf(script);
  for (let count = steps >> 1; count >= 1; count >>= 1) {
    for (let first = steps - count; first >= 1; first -= count) yield without(script, first, count);
  }
  for (let word = 0; word < script.length; word++) {
    if (script[word] === 0) continue;
    for (const value of [0, script[word] & 0xff, script[word] >>> 8]) {
      if (value >= script[word]) continue;
      const simpler = script.slice();
      simpler[word] = value;
      yield simpler;
    }
  }
}

function without(script: Script, first: number, count: number): Script {
  const rest = new Uint32Array(script.length - count * STEP_WORDS);
  rest.set(script.subarray(0, first * STEP_WORDS));
  rest.set(script.subarray((first + count) * STEP_WORDS), first * STEP_WORDS);
  return rest;
}
