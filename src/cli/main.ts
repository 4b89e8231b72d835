#!/usr/bin/env node
/**
 * The program `flowshard`: the table of its commands, and how it fails.
 *
 * Every error is one line on standard error; exit.ts has the exit codes. Imports the other files of cli/, commander;
 * nobody imports it.
 */
import { readFileSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { benchCommand } from './bench.js';
import { EXIT, isOutputClosed, reportError, writeOutput } from './exit.js';
import { floodCommand } from './flood.js';
import { LOG_LEVELS } from './logger.js';
import { replayCommand } from './replay.js';

/** One file each. */
const COMMANDS: readonly Command[] = [replayCommand, floodCommand, benchCommand];

/** From dist/src/cli/. */
const MANIFEST = new URL('../../../package.json', import.meta.url);

function version(): string {
  const manifest: { version: string } = JSON.parse(readFileSync(MANIFEST, 'utf8'));
  return manifest.version;
}

function createProgram(): Command {
  const program: Command = new Command('flowshard')
    .description('Userspace connection tracker with Open vSwitch semantics, sharded over all processors.')
    .version(version(), '--version', 'print the version')
    .helpOption('-h, --help', 'print what there is to say about a command')
    .helpCommand('help [command]', 'the same')
    .option('--debug', 'print where in the program an error comes from')
    .addOption(
      new Option('--log-level <level>', 'least important lines of the log on standard error to print')
        .choices(LOG_LEVELS)
        .default('warn'),
    )
    .exitOverride()
    .configureOutput({
      writeOut: text => {
        const bytes = Buffer.from(text);
        writeOutput(bytes, bytes.length);
      },
      // Errors are reported below, on one line; so is the lack of a command, for which commander prints the help.
      outputError: () => undefined,
      writeErr: () => undefined,
    })
    // Those of the program only: what bench can be told does not count for the commands under it.
    .configureHelp({
      showGlobalOptions: true,
      visibleGlobalOptions: of => (of === program ? [] : [...program.options]),
    });
  for (const command of COMMANDS) {
    program.addCommand(command);
    inheritSettings(command, program);
  }
  return program;
}

/** How errors and help are printed is the same for a command and all commands under it. */
function inheritSettings(command: Command, from: Command): void {
  command.copyInheritedSettings(from);
  for (const part of command.commands) inheritSettings(part, command);
}

/** What is wrong where commander prints the help although nobody has asked for it, or for that of an unknown command. */
function lackOfCommand(): string {
  const [, name] = program.args.slice(program.args.indexOf('help'));
  return program.args.includes('help') && name !== undefined
    ? `unknown command '${name}'`
    : "expected a command, see 'flowshard --help'";
}

/** @returns the exit code. */
function exitCodeOf(error: unknown, debug: boolean): number {
  if (isOutputClosed(error)) return EXIT.OK;
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return EXIT.OK;
    reportError(error.code === 'commander.help' ? lackOfCommand() : error.message.replace(/^error: /, ''), debug);
    return EXIT.USAGE;
  }
  reportError(error, debug);
  return EXIT.FAILURE;
}

const program = createProgram();
try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error, program.opts<{ debug?: true }>().debug === true);
}
