/**
 * A case for a live Open vSwitch and for the engine.
 *
 * Imports case, judges, support/ovs.
 */
import { isOvsAvailable, versionOf } from '../support/ovs.js';
import type { Case } from './case.js';
import { asTold, LocalJudge, type Outcome, OvsJudge, outcomeOf } from './judges.js';

/** Why a case is not for an Open vSwitch of this version; false when it is. */
export function skipOf({ since, differs }: Case, version: number): string | false {
  if (since !== undefined && version < since.version) return `Open vSwitch ${version}: ${since.before}`;
  return differs !== undefined && `differs: ${differs}`;
}

export interface Outcomes {
  readonly expected: Outcome;
  /** What the engine says, without the original tuples that OpenFlow does not tell. */
  readonly actual: Outcome;
}

export async function outcomesOf({ flows, steps }: Pick<Case, 'flows' | 'steps'>): Promise<Outcomes> {
  const expected = await outcomeOf(await OvsJudge.start(flows), steps);
  const actual = await outcomeOf(new LocalJudge(flows), steps);
  const found = isOvsAvailable();
  const version = found.available ? versionOf(found.version) : 0;
  const answers = actual.answers.map((answer, index) => asTold(answer, expected.answers[index], version));
  return { expected, actual: { ...actual, answers } };
}

/** Whether answers and tables are equal, and the order of departures where it is asked for. */
export function agree({ expected, actual }: Outcomes, isOrdered = false): boolean {
  const text = ({ answers, dump, departures }: Outcome) => JSON.stringify([answers, dump, isOrdered ? departures : []]);
  return text(expected) === text(actual);
}
