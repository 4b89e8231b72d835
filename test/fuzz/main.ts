/**
 * The long run, by hand: `FLOWSHARD_ORACLE=program node dist/test/fuzz/main.js KIND [PACKETS] [SEED] [DIRECTORY]`.
 *
 * The kind `rules` needs none: it asks a live ovs-vswitchd.
 *
 * Imports campaign, kinds, oracle-program, rule-campaign.
 */
import { run } from './campaign.js';
import { KINDS } from './kinds.js';
import { OracleProgram } from './oracle-program.js';
import { runRules } from './rule-campaign.js';

const DEFAULT_PACKETS = 100_000;

async function main([
  name = '',
  packets = `${DEFAULT_PACKETS}`,
  seed = '1',
  directory = '.',
]: readonly string[]): Promise<void> {
  if (name === 'rules') {
    const { packets: compared, cases } = await runRules(Number(seed), Number(packets));
    process.stdout.write(`rules: ${compared} packets, ${cases} sets of rules, seed ${seed}: no difference\n`);
    return;
  }
  const kind = KINDS.find(one => one.name === name);
  if (kind === undefined) throw new Error(`kinds are ${KINDS.map(one => one.name).join(', ')}, rules`);
  const { FLOWSHARD_ORACLE: path } = process.env;
  if (path === undefined) throw new Error('FLOWSHARD_ORACLE names no program');
  const witness = await OracleProgram.start(path, kind.actions);
  try {
    const begin = performance.now();
    const outcome = await run({ kind, witness, seed: Number(seed), packets: Number(packets), directory });
    const seconds = (performance.now() - begin) / 1000;
    process.stdout.write(
      `${kind.name}: ${outcome.packets} packets in ${outcome.cases} cases, seed ${seed}, ${witness.name}, ` +
        `${seconds.toFixed(0)} s: no difference\n`,
    );
  } finally {
    await witness.close();
  }
}

await main(process.argv.slice(2));
