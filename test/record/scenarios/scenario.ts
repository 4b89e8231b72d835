/** What a recorded capture is: a name, a sentence, and how its traffic is made. */
import type { CraftedFrame } from '../frames.js';
import type { Lab } from '../lab.js';

export interface Scenario {
  readonly name: string;
  /** What the capture shows. */
  readonly description: string;
  /** The programs that sent the packets. */
  readonly programs: string;
  /** `capture` if the answers depend on time passing between packets. */
  readonly clock?: 'frozen' | 'capture';
  /** OVS's test program cannot be asked about fragments: it uses them after it has freed them. */
  readonly hasFragments?: true;
  /** Writes NAME.pcap. The path is `file`; captures that are made from others find those in `golden`. */
  readonly record: (lab: Lab, file: string, golden: string) => Promise<void>;
}

/** A scenario whose traffic goes through the router, with what must be running beforehand. */
export function routed(
  facts: Omit<Scenario, 'record'>,
  traffic: (lab: Lab) => Promise<void>,
  prepare: (lab: Lab) => Promise<void> = async () => {},
): Scenario {
  return {
    ...facts,
    record: async (lab, file) => {
      await prepare(lab);
      await lab.capture(file, 'routed', () => traffic(lab));
    },
  };
}

/** A scenario of frames that this project composed and sent over the wire. */
export function composed(name: string, description: string, frames: () => readonly CraftedFrame[]): Scenario {
  const record = (lab: Lab, file: string) => lab.capture(file, 'wire', () => lab.send(frames()));
  return { name, description, programs: 'send.py', record };
}
