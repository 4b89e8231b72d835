/**
 * `flowshard bench ovs benchmark` and `flowshard bench ovs benchmark-zones`: the commands of OVS's
 * `ovstest test-conntrack`, with its arguments and its printed form.
 *
 * Imports exit, numbers, engine/options, bench/. Imported by bench.
 */
import { Argument, Command } from 'commander';
import { OVS_MAX_CONNECTIONS, ovsBenchmark, ovsBenchmarkZones } from '../../bench/ovs.js';
import { MAX_SHARDS } from '../engine/options.js';
import { writeOutput } from './exit.js';
import { wholeNumber } from './numbers.js';

/** Packets that OVS puts into one batch at the most. */
const MAX_BURST = 32;
const MOST_PACKETS = 1e12;
const MOST_ZONES = 65_534;
const MOST_ITERATIONS = 1e6;

function print(line: string): void {
  const bytes = Buffer.from(`${line}\n`);
  writeOutput(bytes, bytes.length);
}

function argument(name: string, description: string, least: number, most: number): Argument {
  return new Argument(name, description).argParser(wholeNumber(least, most));
}

const benchmark = new Command('benchmark')
  .summary('threads that judge one flow each')
  .description('Each thread judges n_pkts packets of one UDP flow; prints the milliseconds until all are done.')
  .addArgument(argument('<n_threads>', 'threads', 1, MAX_SHARDS))
  .addArgument(argument('<n_pkts>', 'packets of each thread', 1, MOST_PACKETS))
  .addArgument(argument('<batch_size>', 'packets of a batch', 1, MAX_BURST))
  .addArgument(argument('[change_connection]', '1: another flow than usual', 0, 1))
  .action(async (threads: number, packets: number, batch: number, changes: number | undefined) => {
    const ms = await ovsBenchmark(threads, packets, batch, changes === 1);
    print(`conntrack:  ${String(Math.round(ms)).padStart(5)} ms`);
  });

const benchmarkZones = new Command('benchmark-zones')
  .summary('connections in many zones, and flushing one')
  .description(
    'Opens n_conns connections in each of n_zones zones, then flushes and fills zone 1 again and again. As in OVS, ' +
      `connections beyond ${OVS_MAX_CONNECTIONS.toLocaleString('en-US')} in all are refused.`,
  )
  .addArgument(argument('<n_conns>', 'connections of each zone', 1, OVS_MAX_CONNECTIONS))
  .addArgument(argument('<n_zones>', 'zones', 1, MOST_ZONES))
  .addArgument(argument('<iterations>', 'times to flush and fill', 1, MOST_ITERATIONS))
  .action((connections: number, zones: number, iterations: number) => {
    ovsBenchmarkZones(connections, zones, iterations, print);
  });

export const ovsBenchCommand = new Command('ovs')
  .summary("the commands of OVS's own benchmark, with its arguments")
  .description("Runs what OVS's 'ovstest test-conntrack' runs, and prints it in the same form.")
  .addCommand(benchmark)
  .addCommand(benchmarkZones);
